"""The machine: what incremental runs meet, and that a full refresh agrees."""

import gzip
import json
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from conftest import Pipeline

GUARD = "a_file_that_changed_needs_a_full_refresh"


def pin(number: int, category: str) -> str:
    record = {"index": number, "category": category, "poster_name": "p"}
    return json.dumps({**record, "tag_list": category})


def geo(number: int, country: str, day: int = 1) -> str:
    posted_at = f"2020-01-{day:02d} 00:00:00"
    return json.dumps({"ind": number, "timestamp": posted_at, "country": country})


def user(number: int, name: str, age: int = 30) -> str:
    joined = "2016-01-01T00:00:00"
    return json.dumps(
        {
            "ind": number,
            "first_name": name,
            "last_name": "x",
            "age": age,
            "date_joined": joined,
        }
    )


def test_each_run_heals_what_came_late_or_died_and_agrees_with_a_full_refresh(
    pipeline: "Pipeline",
) -> None:
    def categories() -> dict[int, str]:
        return dict(pipeline.rows("fct_posts", "post_id, category"))

    def tags() -> list[str]:
        return [tag for (tag,) in pipeline.rows("rpt_top_tags_by_category", "tag")]

    def people() -> list[str]:
        return [name for (name,) in pipeline.rows("dim_users", "first_name")]

    pipeline.land("pin", 100, [pin(1, "new"), pin(2, "only")])
    pipeline.land("geo", 0, [geo(1, "Chad"), geo(2, "Peru")])
    pipeline.land("user", 0, [user(1, "Ann"), user(2, "Bob")])
    pipeline.dbt("seed")
    pipeline.dbt("run")
    assert categories() == {1: "new", 2: "only"}
    assert people() == ["Ann", "Bob"]
    assert tags() == ["new", "only"]

    # An older copy arrives in a later load, and a person turns out to be another. The
    # run dies before it counts tags and groups people.
    pipeline.land("pin", 0, [pin(1, "old"), pin(3, "late")])
    pipeline.land("user", 2, [user(2, "Cid")])
    pipeline.dbt("run", "--exclude", "int_tag_counts+", "int_users+")
    assert categories() == {1: "new", 2: "only", 3: "late"}
    assert people() == ["Ann", "Bob"]
    assert tags() == ["new", "only"]

    # All clocks were ahead until now: this run starts before everything it finds.
    with duckdb.connect(str(pipeline.database)) as connection:
        for table, column in load_times(connection):
            connection.execute(
                f"update {table} set {column} = {column} + interval 10 year"
            )
    pipeline.land("pin", 200, [pin(2, "newest")])
    pipeline.land("geo", 2, [geo(3, "Fiji")])
    pipeline.land("user", 3, [user(1, "Dee")])
    pipeline.dbt("run")
    assert categories() == {1: "new", 2: "newest", 3: "late"}
    assert people() == ["Cid", "Dee"]
    assert tags() == ["late", "new", "newest"]

    # A base model alone is fully refreshed, with a new file; later the rest runs.
    pipeline.land("pin", 300, [pin(3, "refreshed")])
    pipeline.dbt("run", "--select", "base_pinterest__pins", "--full-refresh")
    pipeline.dbt("build")
    assert categories() == {1: "new", 2: "newest", 3: "refreshed"}
    assert tags() == ["new", "newest", "refreshed"]

    in_runs = pipeline.everything()
    pipeline.dbt("build", "--full-refresh")
    assert pipeline.everything() == in_runs

    # A base model is compiled and shown without its pre-hook.
    shown = pipeline.dbt("show", "--select", "base_pinterest__pins")
    assert "Previewing node 'base_pinterest__pins'" in shown

    # A mistyped landing is no empty one: nothing is emptied, and one sentence says so.
    # What reads no landed files needs no landing.
    right = pipeline.env["LANDING"]
    pipeline.env["LANDING"] = f"{right}s"
    for words in (("build", "--full-refresh"), ("test",), ("source", "freshness")):
        done = pipeline.call("dbt", *words)
        assert done.returncode != 0
        no_landing = f"There is no landing at {right}s, it has no topics: check"
        assert done.stdout.count(no_landing) == 1
        assert "At:" not in done.stdout
    pipeline.dbt("run", "--select", "rpt_users_joined_by_year")
    pipeline.dbt("docs", "generate")
    assert pipeline.everything() == in_runs

    # Of an empty one the guard says that everything is gone, and what to look at.
    (pipeline.folder / "empty" / "topics").mkdir(parents=True)
    pipeline.env["LANDING"] = str(pipeline.folder / "empty")
    shown = pipeline.dbt("show", "--select", GUARD, "--output", "json")
    assert shown.count('"is gone: check LANDING, then do a full refresh"') == 5


def load_times(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute(
        "select table_name, column_name from duckdb_columns() join duckdb_tables() "
        "using (table_name) where column_name like '%loaded_at'"
    ).fetchall()


def test_files_of_other_sinks_compressed_or_broken_are_read_line_by_line(
    pipeline: "Pipeline",
) -> None:
    pipeline.land(
        "pin",
        0,
        [
            pin(1, "plain"),
            b"",
            b'{"index": 2, "category": "caf\xe9"}',  # Latin-1, not UTF-8
            b'{"index": 3, "category": "crlf"}\r',
            b'  [{"index": "4", "category": "listed"}] ',
            b'[{"index": 5}, {"index": 6}]',
            b'{"index": 7, "title": null}',
            b'{"index": 8}',
            b'{"hello": "world"}',
            b"42",
            b'{"index": 9, "category": "cut',
        ],
    )
    folder = pipeline.landing / "topics" / "streaming-x-pin" / "partition=12"
    folder.mkdir(parents=True)
    lines = "\n".join(pin(number, "zipped") for number in range(10, 10_010))
    packed = folder / "streaming-x-pin+12+0000000000.json.gz"
    packed.write_bytes(gzip.compress(lines.encode()))
    pipeline.dbt("build")

    found: dict[int, str] = dict(pipeline.rows("fct_posts", "post_id, category"))

    assert {n: found.pop(n) for n in (1, 3, 4, 7)} == {
        1: "plain",
        3: "crlf",
        4: "listed",
        7: None,
    }
    assert found == dict.fromkeys(range(10, 10_010), "zipped")
    rejected = pipeline.rows("rejected_records", "line_number, reason, raw_line")
    assert rejected == [
        (10, "not_object", "42"),
        (11, "not_json", '{"index": 9, "category": "cut'),
        (3, "not_json", '{"index": 2, "category": "caf\ufffd"}'),
        (6, "not_object", '[{"index": 5}, {"index": 6}]'),
        (8, "foreign", '{"index": 8}'),
        (9, "no_key", '{"hello": "world"}'),
    ]

    packed.write_bytes(b"not gzip at all")
    done = pipeline.call(
        "dbt", "run", "--full-refresh", "--select", "base_pinterest__pins"
    )
    assert done.returncode != 0
    assert f"{packed} is not readable as gzip" in done.stdout


def test_a_database_that_somebody_holds_is_one_sentence(pipeline: "Pipeline") -> None:
    with duckdb.connect(str(pipeline.database)):
        done = pipeline.call("dbt", "run")

    assert done.returncode != 0
    assert f"{pipeline.database} is in use by another program" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_topics_are_those_that_a_setting_names_and_no_others(
    pipeline: "Pipeline",
) -> None:
    topics = {"a.pin": 1, "b.pin": 2, "bb.pin": 3, "a.pin-archive": 4}
    for topic, number in topics.items():
        folder = pipeline.landing / "topics" / topic / "partition=0"
        folder.mkdir(parents=True)
        line = pin(number, topic) + "\n" + pin(1, topic) + "\n"
        (folder / f"{topic}+0+0000000000.json").write_text(line)

    told = pipeline.dbt("build", "--vars", "{pin_topics: 'a[.]pin|b[.]pin'}")

    assert pipeline.rows("fct_posts", "post_id, category") == [
        (1, "b.pin"),
        (2, "b.pin"),
    ]
    assert "Got 2 results" in told
    assert "WARN=1" in told


def test_what_other_code_or_seeds_have_made_turns_a_build_red(
    pipeline: "Pipeline",
) -> None:
    pipeline.land("pin", 0, [pin(1, "art")])
    pipeline.land("user", 0, [user(1, "Ann")])
    pipeline.dbt("build")
    with duckdb.connect(str(pipeline.database)) as connection:
        connection.execute(
            "update fct_posts set user_id = md5('other');"
            "update int_newest_pins set rewritten_tags = 'was';"
            "update int_tag_counts set tag = 'was'"
        )

    guards = ["posts_show_their_newest_parts", "tags_are_those_of_the_newest_pins"]
    done = pipeline.call("dbt", "test", "--select", *guards)

    assert done.returncode == 1
    for guard in guards:
        assert f"Failure in test {guard}" in done.stdout
