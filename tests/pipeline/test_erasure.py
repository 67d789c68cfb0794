"""A person's erasure, by the commands of the page, in their order."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import duckdb
from conftest import ROOT, USER_ID

if TYPE_CHECKING:
    from conftest import Pipeline

NAME = "Ashwood"


def user(event: int, last_name: str, joined: str = "2016-03-01 10:00:00") -> str:
    record = {"ind": event, "first_name": "Ada", "last_name": last_name, "age": 34}
    return json.dumps({**record, "date_joined": joined})


def emit(pipeline: "Pipeline", name: str, users: list[str]) -> None:
    source = pipeline.folder / name
    source.mkdir()
    (source / "user.jsonl").write_text("\n".join(users) + "\n", "utf-8")
    pipeline.emit(source, "--bad-lines", "land")


def steps() -> Iterator[list[str]]:
    text = (ROOT / "docs/operating.md").read_text("utf-8")
    _, _, section = text.partition("### A person's erasure")
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block
    for line in block[1].splitlines():
        yield shlex.split(line.removeprefix("$ "))


def holding(pipeline: "Pipeline") -> list[str]:
    """Return the tables of both databases that hold the name."""
    found = []
    for path in (pipeline.database, pipeline.published):
        with duckdb.connect(str(path), read_only=True) as connection:
            tables = connection.execute("select table_name from duckdb_tables()")
            views = "select view_name from duckdb_views() where not internal"
            names = [*tables.fetchall(), *connection.execute(views).fetchall()]
            found += [
                name
                for (name,) in names
                if any(NAME in str(row) for row in connection.table(name).fetchall())
            ]
    return found


def test_who_is_erased_as_the_page_says_is_nowhere_any_more(
    pipeline: "Pipeline",
) -> None:
    others = [user(event, "Birch") for event in range(2, 5)]
    emit(pipeline, "old", [user(1, NAME), *others, user(7, NAME)])
    emit(pipeline, "new", [user(1, "Birch"), f'{{"last_name": "{NAME}"}}', "{}"])
    pipeline.dbt("build")
    pipeline.ingest("publish")
    before = pipeline.rows("rejected_records", "reason")
    places = {
        "data/landing": str(pipeline.landing),
        "data/pinterest.duckdb": str(pipeline.database),
        "data/answers.duckdb": str(pipeline.published),
    }
    lines: dict[str, list[str]] = {}

    for words in steps():
        command = [places.get(word, word) for word in words]
        if command[:2] == ["ingest", "redact"]:
            assert "--line" in command
            for file, numbers in lines.items():
                said = [word for number in numbers for word in ("--line", number)]
                pipeline.ingest(
                    *("redact", str(pipeline.landing), file, *said),
                    *("--by", "data protection", "--reason", "request 1"),
                )
            continue
        if command[:2] == ["ingest", "trace"]:
            command[2] = "7"
        done = pipeline.call(*command)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        if "show" in command:
            for row in json.loads(done.stdout)["show"]:
                lines.setdefault(row["file_path"], []).append(str(row["line"]))

    name = f"topics/{USER_ID}.user/partition=0/{USER_ID}.user+0+000000000"
    assert lines == {f"{name}0.json": ["1", "5"], f"{name}5.json": ["2"]}
    landed = "".join(p.read_text() for p in pipeline.landing.rglob("*.json"))
    assert NAME not in landed
    assert landed.count("Birch") == 4
    assert holding(pipeline) == []
    assert before == [("no_key",), ("no_key",)]
    assert pipeline.rows("rejected_records", "reason") == [("no_key",)]
    assert pipeline.rows("fct_posts", "post_id") == [(n,) for n in range(1, 5)]
