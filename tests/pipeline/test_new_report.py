"""The walk of docs/new-report.md: commands, files, and what catches mistakes."""

import re
import shlex
import shutil
from collections.abc import Iterator

import pytest
from project_copy import ROOT, ProjectCopy

PAGE = (ROOT / "docs/new-report.md").read_text("utf-8")
NAME = "rpt_busiest_month_by_category"
SQL = f"models/reports/{NAME}.sql"
YAML = f"models/reports/{NAME}.yml"
MONTH = "date_trunc('month', posted_at)"


def steps() -> Iterator[tuple[str, str, str]]:
    """Yield language, file named last, and content of each block of the page."""
    file = ""
    pattern = r"`((?:models|ingestion)/[\w/]+\.\w+)`|```(\w+)\n(.*?)```"
    for named, language, content in re.findall(pattern, PAGE, re.DOTALL):
        if named:
            file = named
        else:
            yield language, file, content


@pytest.fixture(scope="module")
def told(project: ProjectCopy) -> dict[str, str]:
    """Follow the page; return what each command said."""
    said = {}
    for language, file, content in steps():
        if language == "sh":
            for command in content.splitlines():
                said[command] = project.run(*shlex.split(command))
        elif language == "python":
            written = project.path(file).read_text("utf-8")
            project.path(file).write_text(f"{written}\n\n{content}", "utf-8")
        elif file == "models/exposures.yml":
            dashboard = "type: dashboard"
            written = project.path(file).read_text("utf-8")
            before, after = written.split(dashboard, 1)
            after = after.replace("depends_on:\n", f"depends_on:\n{content}", 1)
            project.path(file).write_text(before + dashboard + after, "utf-8")
        else:
            assert project.path(file).exists(), f"make model did not write {file}"
            project.path(file).write_text(content, "utf-8")
    return said


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """A copy in which 2,000 events are landed and answered, and all is linted."""
    project = ProjectCopy(tmp_path_factory.mktemp("walk") / "project")
    sample = ("--source", "sample", "--events", "2000", "--user-id", "sample")
    project.run("ingest", "emit", "landing", *sample, "--landing", "data/landing")
    refused = project.refused("make", "changed")
    assert "There is no green build to read what has not changed from" in refused
    project.run("make", "build")
    (project.path("target") / "linted").touch()
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", project.path(".mypy_cache"))
    return project


def test_the_page_answers_a_new_question(told: dict[str, str]) -> None:
    assert len(told) == 8
    changed = told["make changed"]
    assert re.findall(r"START sql \w+ model main\.(\w+)", changed) == [NAME]
    assert re.search(r"PASS \w+::months_with_as_many_posts_are_all_there ", changed)
    assert f"PASS unique_combination_{NAME}" in changed
    compared = told["make diff BASE=main"].splitlines()
    assert f"{NAME} is new" in compared
    assert "1 of 18 reports change." in compared
    answer = told[f"ingest answers {NAME}"]
    question = "The month in which each category has most posts. Ties are all there."
    assert question in " ".join(answer.split())
    rows = [line for line in answer.splitlines() if re.search(r"201\d-\d\d-01", line)]
    assert len(rows) >= 10
    alone = told[f"ingest answers {NAME} --published data/changed.duckdb"]
    assert [line for line in rows if line not in alone] == []


def test_the_page_of_charts_shows_the_new_one(
    told: dict[str, str], project: ProjectCopy
) -> None:
    assert "make dashboard" in told
    page = project.path("data/dashboard.html").read_text("utf-8")
    (question,) = re.findall(r'    "(In which month.*)",\n', PAGE)

    assert question in page
    assert re.search(r"Of all months, 201\d-\d\d-01", page)


MISTAKES = {
    "wrong grain": ("group by category, ", "group by category, country, "),
    "a dropped tie": ("rank()", "row_number()"),
    "wrong type": (f"cast({MONTH} as date)", MONTH),
}


def message_of(mistake: str) -> str:
    (row,) = re.findall(rf"^\| {mistake}.*\| `([^|]*)` \|$", PAGE, re.MULTILINE)
    return str(row)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("told")
def test_a_mistake_in_the_rows_is_told_with_its_file(
    project: ProjectCopy, mistake: str
) -> None:
    before = project.path(SQL).read_text("utf-8")
    project.replace(SQL, *MISTAKES[mistake])

    said = project.refused("make", "changed")

    project.path(SQL).write_text(before, "utf-8")
    assert message_of(mistake) in said


@pytest.mark.usefixtures("told")
def test_a_missing_description_is_told_with_its_line(project: ProjectCopy) -> None:
    before = project.path(YAML).read_text("utf-8")
    described = "        description: First day of the month of the posts, UTC.\n"
    project.replace(YAML, described, "")

    said = project.refused("make", "check")

    project.path(YAML).write_text(before, "utf-8")
    assert message_of("a missing description") in said.splitlines()


@pytest.mark.usefixtures("told")
def test_a_diff_shows_the_rows_that_are_gone_and_new(project: ProjectCopy) -> None:
    report = "models/reports/rpt_users_joined_by_year.sql"
    before = project.path(report).read_text("utf-8")
    project.replace(report, "count(*) as", "count(*) + 1 as")

    said = project.run("make", "diff", "BASE=main", "ROWS=1")

    project.path(report).write_text(before, "utf-8")
    (line,) = [line for line in said.splitlines() if "rpt_users_joined" in line]
    gone, new = map(int, re.findall(r"(\d+) rows", line))
    assert gone == new > 1
    assert f"… {gone - 1} more" in said
    assert "2 of 18 reports change." in said.splitlines()
    assert project.run("git", "worktree", "list").count("\n") == 1
    refused = project.refused("make", "diff", "BASE=nowhere")
    assert "Error: git cannot check 'nowhere' out" in refused
