"""The analyst's day: a report begun, linted, built alone and compared."""

import json
import re
import sys
from pathlib import Path

import pytest
from project_copy import ROOT, ProjectCopy

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


def test_the_editor_runs_what_make_installs_and_knows_every_yaml() -> None:
    text = (ROOT / ".vscode/settings.json").read_text("utf-8")
    settings = json.loads(re.sub(r"^ *//.*$", "", text, flags=re.MULTILINE))
    programs = [
        settings["python.defaultInterpreterPath"],
        settings["sqlfluff.executablePath"],
        *settings["ruff.path"],
    ]
    for program in programs:
        assert program.startswith("${workspaceFolder}/.venv/bin/")
        assert (Path(sys.prefix) / "bin" / Path(program).name).exists()
    known = {
        path
        for patterns in settings["yaml.schemas"].values()
        for pattern in patterns
        for path in ROOT.glob(pattern)
    }
    folders = (ROOT / "models", ROOT / "seeds")
    written = {path for folder in folders for path in folder.rglob("*.yml")}
    assert known == {*written, ROOT / "dbt_project.yml"}


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
