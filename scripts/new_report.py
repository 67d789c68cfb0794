"""Make the files of a new report, `make model NAME=rpt_…`: a beginning that builds.

    python scripts/new_report.py rpt_posts_by_country

The SQL counts posts by country, the YAML has its contract, the test of its key and a
unit test. Both are there to be changed. Descriptions are left empty: `make check` names
each one until it is written.
"""

import re
from pathlib import Path

import click

SQL = """\
with

posts as (
    select * from {{ ref('fct_posts') }}
    where country is not null
),

post_counts as (
    select
        country,
        count(*) as post_count
    from posts
    group by country
)

select * from post_counts
"""

YAML = """\
version: 2

models:
  - name: NAME
    description: ""
    data_tests:
      # The grain: one row for each of these.
      - unique_combination:
          arguments:
            columns: [country]
    columns:
      - name: country
        data_type: string
        description: ""
        data_tests:
          - not_null
      - name: post_count
        data_type: bigint
        description: ""
        data_tests:
          - not_null

unit_tests:
  - name: posts_without_a_country_form_no_row
    model: NAME
    given:
      - input: ref('fct_posts')
        rows:
          - {post_id: 1, country: Norway}
          - {post_id: 2, country: Norway}
          - {post_id: 3, country: Angola}
          - {post_id: 4, country: null}
    expect:
      rows:
        - {country: Norway, post_count: 2}
        - {country: Angola, post_count: 1}
"""

EXPOSURE = """\
  - name: TITLE
    label: LABEL
    type: analysis
    maturity: low
    url: ../data/dashboard.html
    description: "LABEL, in the published answers and on the terminal."
    depends_on:
      - ref('NAME')
    owner:
      name: The maintainers of the pipeline
"""


@click.command()
@click.argument("name")
def main(name: str) -> None:
    """Make the files of a new report; existing ones are never touched."""
    if not re.fullmatch(r"rpt_[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise click.ClickException(
            f"{name!r} is no name of a report: say rpt_ and then lower-case words "
            "joined by _, such as NAME=rpt_posts_by_country."
        )
    taken = sorted(path for path in Path("models").rglob(f"{name}.*"))
    if taken:
        raise click.ClickException(f"{taken[0]} is there already: choose another name.")
    sql = Path("models/reports") / f"{name}.sql"
    sql.write_text(SQL, "utf-8")
    sql.with_suffix(".yml").write_text(YAML.replace("NAME", name), "utf-8")
    title = name.removeprefix("rpt_")
    label = title.replace("_", " ").capitalize()
    exposures = Path("models/exposures.yml")
    with exposures.open("a", encoding="utf-8") as file:
        file.write(
            EXPOSURE.replace("NAME", name)
            .replace("TITLE", title)
            .replace("LABEL", label)
        )
    for path in (sql, sql.with_suffix(".yml"), exposures):
        click.echo(path)
    click.echo("Write the question, the rows and their tests there, then: make changed")


if __name__ == "__main__":
    main()
