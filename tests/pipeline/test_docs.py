"""Everything is described, and what the pages print works."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import chromium
import click
import pytest
from dbt.cli.main import cli as dbt
from processes import require

from ingestion.cli import main

if TYPE_CHECKING:
    from conftest import Pipeline

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
WALK = ROOT / "docs/new-report.md"  # test_new_report follows it

# What is not run here, by how it begins. Its options are parsed all the same.
NOT_RUN = {
    "make test": "is the suite itself",
    "make run": "test_answers runs it, on the real records",
    "source .venv/bin/activate": "is a matter of the shell",
    "export ": "is a matter of the shell",
    "make cluster": "takes minutes: test_engines starts the same cluster",
    "dbt build --target spark_cluster": "test_engines builds on the cluster",
    "ingest emit landing --source sql": "needs a database: test_mariadb has one",
    "ingest emit kafka-rest": "needs a proxy: test_kafka_rest_servers has one",
    "ingest emit landing --source my/older-records": "needs records of yours: "
    "test_increments lands late parts",
    "ingest redact": "would take records from other tests: see test_erasure",
    "rm data/": "would take the database from other tests, the same",
    "ingest streams create --region": "needs an account: see test_kinesalite",
    "ingest emit kinesis --source sample --region": "needs an account, the same",
    "ingest emit kinesis --source sample --user-id": "needs a gateway in an account",
    "ingest emit landing --source sample --landing s3:": "needs a bucket: "
    "test_every_store lands in MiniStack",
    "ingest verify s3:": "needs a bucket, the same",
    "LANDING=s3:": "needs a bucket: test_s3_landing builds from MiniStack",
    "ingest land kafka": "needs a broker: test_kafka_landing has one",
    "aws ": "needs an account: test_walk holds it against the models of AWS",
    "AWS_PROFILE=": "needs an account: test_core walks these lines on MiniStack",
    "ingest land kinesis": "needs an account: test_kinesis_landing has none",
    'python -c "import boto3': "deletes a bucket of an account",
    "make setup PYTHON": "sets up a client machine in an account",
    "ingest answers rpt_top_category_by_country": "needs what the lines above it build",
    "ingest replay": "needs a broker: test_kafka_operations has one",
    "ingest verify data/landing --against": "needs a broker, the same",
    "make follow": "needs a broker: test_follow_kafka has one",
    "ingest doctor": "needs a proxy or an account: test_doctor looks at both",
}


def manifest(pipeline: "Pipeline") -> dict[str, Any]:
    path = pipeline.folder / "target" / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def blocks(page: Path, language: str) -> Iterator[str]:
    text = page.read_text("utf-8").replace("\\\n", " ")
    yield from re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands() -> list[str]:
    """Return every command in a block of a page: `sh`, and `$` lines of `console`."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh") if page != WALK else ():
            found += [line.split("#")[0] for line in block.splitlines()]
        for block in blocks(page, "console"):
            found += [line[2:] for line in block.splitlines() if line[:2] == "$ "]
    return list(dict.fromkeys(" ".join(line.split()) for line in found if line.strip()))


RUN = [line for line in commands() if not line.startswith(tuple(NOT_RUN))]


def test_every_model_seed_source_and_column_is_described(built: "Pipeline") -> None:
    found = manifest(built)
    nodes = [
        node
        for node in [*found["nodes"].values(), *found["sources"].values()]
        if node["resource_type"] in {"model", "seed", "source"}
    ]
    assert len(nodes) > 30
    assert [node["name"] for node in nodes if not node["description"]] == []
    undescribed = [
        (table, column)
        for node in nodes
        if (table := node["name"]) in built.tables()
        for column in built.columns(table)
        if not node["columns"].get(column, {}).get("description")
    ]
    assert undescribed == []


def test_every_report_has_an_exposure(built: "Pipeline") -> None:
    found = manifest(built)
    exposed = {
        name.split(".")[-1]
        for exposure in found["exposures"].values()
        for name in exposure["depends_on"]["nodes"]
    }
    reports = {name for name in built.tables() if name.startswith("rpt_")}
    assert len(reports) >= 16
    assert reports - exposed == set()


def test_every_exposure_links_from_the_docs_to_the_page(built: "Pipeline") -> None:
    exposures = manifest(built)["exposures"].values()

    site = Path("target/static_index.html")
    links = {exposure["url"] for exposure in exposures}
    assert [os.path.normpath(site.parent / link) for link in links] == [
        "data/dashboard.html"
    ]


def test_the_docs_open_on_the_written_overview(built: "Pipeline") -> None:
    built.dbt("docs", "generate", "--static")

    page = (built.folder / "target" / "static_index.html").read_text("utf-8")
    assert "People post pins." in page


def test_the_docs_site_opens_offline_and_leads_to_the_page(built: "Pipeline") -> None:
    require(chromium.missing())
    built.dbt("docs", "generate", "--static")
    site = built.folder / "target" / "static_index.html"

    with chromium.chromium() as browser:
        visit = chromium.Visit(browser, site)
        visit.page.get_by_text("People post pins.").wait_for()
        overview = visit.page.get_by_role("link", name="the page", exact=True)
        leads = [overview.evaluate("link => link.href")]
        exposure = "#!/exposure/exposure.pinterest.users_joined_by_year"
        visit.page.goto(site.as_uri() + exposure)
        button = visit.page.get_by_text("View this exposure")
        button.wait_for()
        leads.append(button.evaluate("link => link.href"))

    assert leads == [(built.folder / "data/dashboard.html").as_uri()] * 2
    assert len(visit.requests) > 1
    assert visit.outside() == []
    assert visit.complaints == []


@pytest.mark.parametrize("command", RUN)
def test_a_command_that_a_page_prints_works(built: "Pipeline", command: str) -> None:
    words = shlex.split(command.replace("data/landing", str(built.landing)))

    done = built.call(*words)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_what_is_not_run_is_printed_somewhere() -> None:
    assert [
        begins
        for begins in NOT_RUN
        if not any(line.startswith(begins) for line in commands())
    ] == []
    for page in PAGES:
        for block in blocks(page, "console"):
            assert any(line[:2] == "$ " for line in block.splitlines()), (page, block)


def parsed(command: click.Command, words: list[str]) -> None:
    """Parse what a page prints as click would, without running it."""
    with command.make_context(command.name or "", words) as context:
        if isinstance(command, click.Group):
            _, child, left = command.resolve_command(
                context,
                [*context._protected_args, *context.args],  # noqa: SLF001
            )
            assert child is not None
            parsed(child, left)


@pytest.mark.parametrize(
    "command",
    [line for line in commands() if re.match(r"(\w+=\S+ )*(ingest|dbt) ", line)],
)
def test_the_options_of_a_command_that_a_page_prints_exist(command: str) -> None:
    program, *words = [w for w in shlex.split(command) if not re.match(r"\w+=", w)]
    parsed({"ingest": main, "dbt": dbt}[program], words)


def commands_in_sentences() -> list[str]:
    pattern = r"`((?:make|ingest|python|pytest) [^`]+)`"
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    return sorted({" ".join(found.split()) for found in re.findall(pattern, text)})


@pytest.mark.parametrize(
    "command",
    [*commands_in_sentences(), *(c for c in commands() if c.startswith("make "))],
)
def test_a_command_names_what_there_is(command: str) -> None:
    program, *words = command.split()
    if program == "make":
        words = list(takewhile("&&".__ne__, words))
        target = next(word for word in words if "=" not in word)
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert re.search(rf"^{re.escape(target)}:.* ## ", makefile, re.MULTILINE)
    elif program == "ingest":
        found: click.Command | None = main
        for word in words:
            if isinstance(found, click.Group) and word[:1] not in "-…":
                found = found.commands.get(word)
        assert found is not None
    else:
        files = [word for word in words if "/" in word]
        assert files
        assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_picture_in_the_readme_is_what_the_command_prints(
    built: "Pipeline",
) -> None:
    told = built.call("make", "--no-print-directory", "--dry-run", "pictures")
    committed = "docs/pictures/answers.svg"
    (command,) = [line for line in told.stdout.splitlines() if committed in line]
    drawn = built.folder / "drawn.svg"
    words = shlex.split(command.replace(committed, str(drawn)))

    assert built.call(*words).returncode == 0

    assert drawn.read_bytes() == (ROOT / committed).read_bytes()


# --- links -------------------------------------------------------------------------


def prose(page: Path) -> str:
    """Return the text of a page without its blocks and inline code."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"`[^`\n]*`", "code", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


def links() -> list[tuple[Path, str]]:
    pattern = r"(?<!!)\[[^\]]*\]\(([^)\s]*)\)|!\[[^\]]*\]\(([^)\s]*)\)"
    return [
        (page, link or picture)
        for page in PAGES
        for link, picture in re.findall(pattern, prose(page))
    ]


def test_every_link_of_a_page_resolves() -> None:
    broken = []
    for page, link in links():
        url = urlsplit(link)
        if url.scheme:
            resolves = url.scheme == "https" and "." in url.netloc
        else:
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            resolves = target.is_relative_to(ROOT) and target.exists()
            if resolves and url.fragment:
                resolves = url.fragment in anchors(target)
        if not resolves:
            broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert len(links()) > 30
    assert broken == []


def test_each_symptom_of_operating_is_produced_by_a_test() -> None:
    page = (ROOT / "docs/operating.md").read_text("utf-8")
    named = re.findall(r"\| `(test_\w+)` \|$", page, re.MULTILINE)
    suites = "".join(path.read_text("utf-8") for path in ROOT.glob("tests/*/test_*.py"))
    assert len(named) >= 12
    assert [name for name in named if f"def {name}(" not in suites] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text("utf-8")
    pages = {page.name for page in DOCS if page.parent == ROOT / "docs"}
    assert {name for name in pages if f"({name})" not in index} == {"README.md"}


def test_the_readme_is_short_and_each_of_its_reports_is_there() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) < 100
    reports = {path.stem for path in (ROOT / "models/reports").glob("rpt_*.sql")}
    named = set(re.findall(r"`(rpt_\w+)`", text))
    assert named <= reports
