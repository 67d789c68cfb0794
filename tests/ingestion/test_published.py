"""Publishing, reading and tracing, on small files made by hand."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ingestion.answers import publish, reports, trace
from ingestion.errors import RetryError, StopError

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "built.duckdb"
    build(path, "Chad")
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.json"
    described = {
        "description": "How it\nis.",
        "columns": {"country": {"description": "Where it's."}},
    }
    path.write_text(json.dumps({"nodes": {"model.pinterest.rpt_groups": described}}))
    return path


def build(path: Path, country: str) -> None:
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table age_groups as from (values ('old', 2), ('young', 1)) "
            "as t(age_group, sort_order)"
        )
        connection.execute(
            "create table rpt_groups as from (values ('old', $country, 1), "
            "('young', 'Peru', 2), ('young', 'Fiji', 3)) "
            "as t(age_group, country, n)",
            {"country": country},
        )
        connection.execute("create table base_secret as select 1 as one")
        connection.execute("create view dim_pins as select one from base_secret")


def published_tables(path: Path) -> list[str]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return [name for (name,) in connection.execute("show tables").fetchall()]


def test_marts_and_reports_are_published_with_their_descriptions(
    database: Path, manifest: Path, tmp_path: Path
) -> None:
    published = tmp_path / "new" / "answers.duckdb"

    assert publish(database, published, manifest) == 2

    assert published_tables(published) == ["age_groups", "dim_pins", "rpt_groups"]
    assert [path.name for path in published.parent.iterdir()] == ["answers.duckdb"]
    with duckdb.connect(str(published), read_only=True) as connection:
        comments = connection.execute(
            "select comment from duckdb_columns() where column_name = 'country'"
        ).fetchall()
    assert comments == [("Where it's.",)]


def test_a_reader_keeps_the_answers_it_opened_and_the_next_one_sees_the_new(
    database: Path, manifest: Path, tmp_path: Path
) -> None:
    published = tmp_path / "answers.duckdb"
    publish(database, published, manifest)
    with duckdb.connect(str(published), read_only=True) as reader:
        build(database, "Mali")
        publish(database, published, manifest)
        old = reader.execute("select country from rpt_groups where n = 1").fetchall()
    (report,) = reports(published, ["rpt_groups"], None)
    assert old == [("Chad",)]
    assert ("old", "Mali", 1) in report.rows


def test_a_publication_that_fails_leaves_the_old_answers_and_nothing_else(
    database: Path, manifest: Path, tmp_path: Path
) -> None:
    published = tmp_path / "out" / "answers.duckdb"
    publish(database, published, manifest)
    before = published.read_bytes()
    with duckdb.connect(str(database)) as connection:
        connection.execute("drop table age_groups")

    with pytest.raises(StopError, match="age_groups"):
        publish(database, published, manifest)

    assert published.read_bytes() == before
    assert list(published.parent.iterdir()) == [published]


def test_a_report_has_its_question_and_the_seed_s_order_of_age_groups(
    database: Path, manifest: Path, tmp_path: Path
) -> None:
    published = tmp_path / "answers.duckdb"
    publish(database, published, manifest)

    (report,) = reports(published, [], limit=2)

    assert report.question == "How it is."
    assert report.rows == [("young", "Fiji", 3), ("young", "Peru", 2)]
    assert report.row_count == 3


def test_a_report_that_does_not_exist_is_named_with_those_that_do(
    database: Path, manifest: Path, tmp_path: Path
) -> None:
    published = tmp_path / "answers.duckdb"
    publish(database, published, manifest)
    with pytest.raises(StopError, match=r"no report rpt_typo: dim_pins, rpt_groups"):
        list(reports(published, ["rpt_typo"], None))


def test_a_file_that_is_not_there_names_the_command_that_makes_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(StopError, match="dbt build makes it"):
        trace(tmp_path / "none.duckdb", 1)


def test_a_database_without_the_models_names_the_command_that_makes_them(
    database: Path,
) -> None:
    with pytest.raises(StopError, match=r"base_pinterest__pins.*dbt build makes it"):
        trace(database, 1)


def test_a_file_that_somebody_writes_is_one_sentence_to_try_again(
    database: Path,
) -> None:
    command = [sys.executable, "-c", HOLD, str(database)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RetryError, match="in use by another program"):
            trace(database, 1)
        holder.communicate("")


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken.duckdb"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StopError, match="cannot be opened"):
        trace(path, 1)
