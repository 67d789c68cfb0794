"""Every kind of dirt, counted by how it was made and by the models."""

import json
import re
from typing import TYPE_CHECKING

from ingestion.sample import write_sample

if TYPE_CHECKING:
    from conftest import Pipeline

EVENTS = 2_000
TYPES = ("pin", "geo", "user")


def is_read_by_duckdb_alone(line: bytes) -> bool:
    """Tell a record with a key twice, a trailing comma or a NaN: docs/engines.md."""
    last = rb"(category|country|date_joined)"
    odd = rb'\{"%b":null,.*\}|\{.*,\}|\{.*: NaN\}' % last
    return re.fullmatch(odd, line) is not None


def test_a_clean_sample_builds_without_a_warning(pipeline: "Pipeline") -> None:
    write_sample(pipeline.folder / "sample", EVENTS, seed=3)
    pipeline.emit(pipeline.folder / "sample")

    pipeline.dbt("--warn-error", "build")

    assert pipeline.rows("rpt_event_health", "record_type, event_count") == [
        ("geo", EVENTS),
        ("pin", EVENTS),
        ("user", EVENTS),
    ]


def test_dirt_is_counted_exactly_and_nothing_is_lost(pipeline: "Pipeline") -> None:
    folder = pipeline.folder / "sample"
    counts = write_sample(folder, EVENTS, seed=1, dirt=True)
    done = pipeline.call(
        *("ingest", "emit", "landing", "--source", str(folder), "--user-id", "dirty"),
        *("--landing", str(pipeline.landing), "--bad-lines", "land"),
    )
    assert done.returncode == 3, done.stderr  # what is not UTF-8 was set aside

    pipeline.dbt("build")

    health = {
        record_type: numbers
        for record_type, *numbers in pipeline.rows(
            "rpt_pipeline_health",
            "record_type, landed_count, rejected_count, valid_count, newest_count, "
            "superseded_count",
        )
    }
    reasons = {
        (record_type, reason): count
        for record_type, reason, count in pipeline.rows(
            "(select record_type, reason, count(*) from rejected_records group by all)"
        )
    }
    missing = {
        (record_type, column): count
        for record_type, column, count in pipeline.rows(
            "rpt_missing_values", "record_type, column_name, unreadable_count"
        )
        if count
    }
    for record_type in TYPES:
        made = counts.records[record_type]
        landed, rejected, valid, newest, superseded = health[record_type]
        # What JSON readers disagree on is a copy more or a reject more.
        lines = (folder / f"{record_type}.jsonl").read_bytes().splitlines()
        disputed = sum(map(is_read_by_duckdb_alone, lines))
        assert 0 < disputed < made.disputed
        assert valid == made.valid + disputed
        assert landed == made.lines - made.blank - made.not_utf8
        assert newest == made.newest
        assert superseded == made.superseded + disputed
        assert rejected == sum(made.rejected.values()) + made.disputed - disputed
        for reason, count in made.rejected.items():
            more = made.disputed - disputed if reason == "not_json" else 0
            assert reasons.get((record_type, reason), 0) == count + more, reason

    events = {
        record_type: rest
        for record_type, *rest in pipeline.rows(
            "rpt_event_health",
            "record_type, event_count, incomplete_post_count, unidentified_count",
        )
    }
    for record_type in TYPES:
        made = counts.records[record_type]
        assert events[record_type][:2] == [made.newest, made.incomplete_posts]
    assert events["user"][2] == counts.unidentified_posts
    assert len(pipeline.rows("fct_posts", "post_id")) == counts.events
    assert missing == {
        tuple(name.split(".")): count
        for name, count in counts.unreadable.items()
        if count
    }

    pipeline.ingest("publish")
    told = pipeline.ingest("answers", "rejected_records", "--json").splitlines()
    assert len(told) == sum(reasons.values())
    assert {json.loads(line)["event"] for line in told} == {"rejected_records"}
