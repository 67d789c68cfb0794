"""Everything is described, and what the pages print works."""

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Pipeline

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The suite itself, what `test_answers` runs, no test, and a matter of the shell.
RUN_ELSEWHERE = {"make test", "make run", "make bench", "source .venv/bin/activate"}


def manifest(pipeline: "Pipeline") -> dict[str, Any]:
    path = pipeline.folder / "target" / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            joined = block.replace("\\\n", " ")
            lines = (line.split("#")[0].strip() for line in joined.splitlines())
            found += [line for line in lines if line and line not in RUN_ELSEWHERE]
    return list(dict.fromkeys(found))


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
    assert len(reports) == 16
    assert reports - exposed == set()


def test_the_docs_open_on_the_written_overview(built: "Pipeline") -> None:
    built.dbt("docs", "generate", "--static")

    page = (built.folder / "target" / "static_index.html").read_text("utf-8")
    assert "People post pins." in page


@pytest.mark.parametrize("command", commands())
def test_a_command_that_a_page_prints_works(built: "Pipeline", command: str) -> None:
    words = shlex.split(command.replace("data/landing", str(built.landing)))

    done = built.call(*words)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
