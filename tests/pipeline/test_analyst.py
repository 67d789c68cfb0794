"""The analyst's day: a report begun, linted, built alone and compared."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml_language_server
from processes import require
from project_copy import ROOT, ProjectCopy
from yaml_language_server import YamlLanguageServer

CHECK = ("python", "scripts/check_models.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    return ProjectCopy(tmp_path_factory.mktemp("analyst") / "project")


def make(target: str, *variables: str) -> tuple[str, ...]:
    return ("make", "--no-print-directory", target, *variables)


def test_a_new_report_is_refused_until_it_is_described(project: ProjectCopy) -> None:
    project.run(*CHECK)
    name = "rpt_posts_by_country"
    yaml = f"models/reports/{name}.yml"

    told = project.run(*make("model", f"NAME={name}"))

    assert yaml in told
    assert project.refused(*CHECK).splitlines() == [
        f"{yaml}:4: write a description of {name}",
        f"{yaml}:12: write a description of the column country",
        f"{yaml}:17: write a description of the column post_count",
    ]
    project.replace(yaml, 'description: ""', "description: Said.")
    project.run(*CHECK)
    project.replace(yaml, f"model: {name}", "model: rpt_users_joined_by_year")
    assert f"{yaml}:4: write a unit test of {name}" in project.refused(*CHECK)
    project.path(yaml).unlink()
    assert f"{name}.sql:1: describe {name} in {yaml}" in project.refused(*CHECK)
    project.path(yaml).with_suffix(".sql").unlink()
    project.run("git", "checkout", "--quiet", "models/exposures.yml")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("rpt_users_joined_by_year", "is there already: choose another name"),
        ("rpt_Posts", "is no name of a report"),
        ("dim_posts", "is no name of a report"),
        ("rpt_../posts", "is no name of a report"),
        ("", "is no name of a report"),
    ],
)
def test_a_report_with_no_good_name_is_refused(
    project: ProjectCopy, name: str, sentence: str
) -> None:
    told = project.refused(*make("model", f"NAME={name}"))

    assert [line for line in told.splitlines() if sentence in line] == [
        told.splitlines()[0]
    ]
    assert project.run("git", "status", "--porcelain") == ""


@pytest.fixture(scope="module")
def editor() -> dict[str, Any]:
    text = (ROOT / ".vscode/settings.json").read_text("utf-8")
    settings: dict[str, Any] = json.loads(
        re.sub(r"^ *//.*$", "", text, flags=re.MULTILINE)
    )
    return settings


def test_the_editor_runs_what_make_installs(editor: dict[str, Any]) -> None:
    programs = [
        editor["python.defaultInterpreterPath"],
        editor["sqlfluff.executablePath"],
        *editor["ruff.path"],
    ]
    for program in programs:
        assert program.startswith("${workspaceFolder}/.venv/bin/")
        assert (Path(sys.prefix) / "bin" / Path(program).name).exists()


def test_the_editor_underlines_nothing_in_yaml_but_mistakes(
    editor: dict[str, Any],
) -> None:
    require(yaml_language_server.missing())
    project = ROOT / "dbt_project.yml"
    health = ROOT / "models/reports/rpt_pipeline_health.yml"
    files = [*ROOT.glob("models/**/*.yml"), *ROOT.glob("seeds/*.yml"), project]
    mistakes = {
        health: ("description", "descripton", "5: Property descripton is not allowed."),
        project: (
            "model-paths",
            "model-path",
            "7: Property model-path is not allowed.",
        ),
    }
    with YamlLanguageServer(ROOT, editor["yaml.schemas"]) as server:
        complaints = {
            path: server.complaints(path, path.read_text("utf-8")) for path in files
        }
    with YamlLanguageServer(ROOT, editor["yaml.schemas"]) as server:
        found = {
            path: server.complaints(path, path.read_text("utf-8").replace(old, new, 1))
            for path, (old, new, _) in mistakes.items()
        }

    assert {path: said for path, said in complaints.items() if said} == {}
    assert found == {path: [said] for path, (_, _, said) in mistakes.items()}


def test_setup_tells_of_a_profile_that_is_not_as_the_example(
    project: ProjectCopy,
) -> None:
    project.path("data").mkdir(exist_ok=True)
    project.path("data/pinterest.duckdb").touch()  # nothing has to be made
    assert "profiles.yml" not in project.run(*make("setup"))

    project.replace("profiles.yml", "query_retries: 0", "query_retries: 1")

    told = project.run(*make("setup"))
    assert "profiles.yml is not as profiles.yml.example is now" in told
    assert "query_retries: 1" in project.path("profiles.yml").read_text("utf-8")
