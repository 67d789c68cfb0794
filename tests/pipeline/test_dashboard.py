"""The page says what the reports say, and one sentence where there are none."""

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from page_tables import page_tables

from ingestion.dashboard import reads

if TYPE_CHECKING:
    from conftest import Pipeline


def shown(value: Any, column: str) -> str:  # noqa: ANN401 - any value of a report
    """Write a value as the page should."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M UTC")
    if isinstance(value, str | date) or column.endswith(("year", "rank")):
        return str(value)
    if isinstance(value, float) and abs(value) < 1:
        return f"{value:.4g}"
    return f"{value:,}".removesuffix(".0")


def test_the_exposure_names_what_the_page_reads(built: "Pipeline") -> None:
    manifest = json.loads((built.folder / "target" / "manifest.json").read_bytes())
    nodes = manifest["exposures"]["exposure.pinterest.dashboard"]["depends_on"]["nodes"]

    named = {node.split(".")[-1] for node in nodes}

    assert named == {read.report for read in reads()} | {"age_groups"}


def test_every_row_of_every_report_is_on_the_page(built: "Pipeline") -> None:
    done = built.ingest("dashboard")

    assert done.splitlines()[-1] == f"Open {built.page}"
    tables = page_tables(built.page)
    reports = [name for name in built.tables() if name.startswith("rpt_")]
    # One is cut, the other is that of the counts, too slow for a page.
    for name in set(reports) - {"rpt_follower_change_by_user", "rpt_missing_values"}:
        header, *rows = tables[name]
        columns = [column.replace(" ", "_") for column in header]
        expected = [
            [shown(value, column) for column, value in zip(columns, row, strict=True)]
            for row in built.rows(name, ", ".join(columns))
        ]
        assert expected, name
        assert sorted(rows) == sorted(expected), name
    changes = built.rows("rpt_follower_change_by_user", "follower_change")
    greatest = sorted((abs(change) for (change,) in changes), reverse=True)
    _, *rows = tables["rpt_follower_change_by_user"]
    assert [abs(int(row[-2].replace(",", ""))) for row in rows] == greatest[:12]
    assert {row[-1] for row in rows} == {f"{len(changes):,}"}


def test_a_page_without_its_reports_is_one_sentence(pipeline: "Pipeline") -> None:
    done = pipeline.call("ingest", "dashboard")

    assert done.returncode == 1
    assert "is not there: dbt build --target duckdb makes it." in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not pipeline.page.exists()


def test_an_unknown_target_is_one_sentence(pipeline: "Pipeline") -> None:
    done = pipeline.call("ingest", "dashboard", "--target", "snowflake")

    assert done.returncode == 1
    assert "does not have a target named 'snowflake'" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_an_empty_landing_gives_a_page_that_says_so(pipeline: "Pipeline") -> None:
    (pipeline.landing / "topics").mkdir(parents=True)
    pipeline.dbt("build", "--exclude-resource-type", "unit_test", "test")

    pipeline.ingest("dashboard")

    page = pipeline.page.read_text("utf-8")
    assert "Nothing has landed yet" in page
    assert "<article" not in page


def test_the_doctor_connects_as_dbt_does(built: "Pipeline") -> None:
    asked = ("ingest", "doctor", "--user-id", "u", "--dbt-target")

    well = built.call(*asked, "duckdb")
    unknown = built.call(*asked, "elsewhere")

    assert well.returncode == 0, well.stdout + well.stderr
    assert "dbt connects to duckdb" in well.stdout
    assert unknown.returncode == 1
    assert "dbt cannot use the target elsewhere" in unknown.stdout
    assert "Traceback" not in unknown.stderr
