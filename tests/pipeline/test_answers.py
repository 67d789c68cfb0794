"""The right answers, whatever the way the records took."""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from conftest import BIN, ROOT

from ingestion.answers import trace

if TYPE_CHECKING:
    from conftest import Pipeline

Row = tuple[Any, ...]
Answers = dict[str, list[Row]]
USER_ID = "12a740a19697"
KEYS = {"pin": "index", "geo": "ind", "user": "ind"}


def answers_of(pipeline: "Pipeline", expected: Answers) -> Answers:
    return {model: pipeline.rows(model) for model in expected}


def test_make_run_on_the_real_records_gives_exactly_the_answers(
    pipeline: "Pipeline", real_folder: Path, expected: Answers
) -> None:
    command = ("make", "--no-print-directory", "run", f"SOURCE={real_folder}")

    done = pipeline.call(*command)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert answers_of(pipeline, expected) == expected
    with duckdb.connect(str(pipeline.published), read_only=True) as published:
        for model, rows in expected.items():
            found = published.table(model).fetchall()
            assert sorted(found, key=str) == rows, model
    assert "Median followers of users by age group" in done.stdout
    assert re.search(r"36-50 +│ +6,000 ", done.stdout)

    before = pipeline.everything()
    again = pipeline.call(*command)

    assert again.returncode == 0, again.stderr[-4000:]
    assert "Nothing new" in again.stdout
    assert pipeline.everything() == before

    traced = pipeline.call("make", "--no-print-directory", "trace", "EVENT=7528")

    assert traced.returncode == 0, traced.stderr
    assert "newest" in traced.stdout


def test_a_trace_names_every_copy_and_what_became_of_it(
    pipeline: "Pipeline", real_records: dict[str, list[str]]
) -> None:
    number, pin = next(
        (number, line)
        for number, line in enumerate(real_records["pin"])
        if json.loads(line)["index"] == 7528
    )
    for record_type, lines in real_records.items():
        pipeline.land(record_type, 0, lines)
    pipeline.land("pin", 494, ["", pin])
    pipeline.land("user", 494, ['{"ind": 7528, "title": "of a pin"}'])
    pipeline.dbt("seed")
    pipeline.dbt("run")

    found = trace(pipeline.database, 7528)

    at = f"topics/{USER_ID}.%s/partition=0/{USER_ID}.%s+0+0000000%03d.json"
    assert [(copy.file_path, copy.line, copy.verdict) for copy in found.copies] == [
        (at % ("pin", "pin", 0), number + 1, "superseded by a newer copy"),
        (at % ("pin", "pin", 494), 2, "newest"),
        (at % ("geo", "geo", 0), number + 1, "newest"),
        (at % ("user", "user", 0), number + 1, "newest"),
        (at % ("user", "user", 494), 1, "rejected: foreign"),
    ]
    assert found.post is not None
    assert found.user is not None
    user = json.loads(real_records["user"][number])
    assert found.post["category"] == json.loads(pin)["category"]
    assert found.user["last_name"] == user["last_name"]


def kill_dbt(pipeline: "Pipeline", model: str) -> None:
    """Start a run, and end it as a power cut would when it comes to a model."""
    command = [str(BIN / "dbt"), "--no-use-colors", "run"]
    with subprocess.Popen(
        command, cwd=ROOT, env=pipeline.env, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            if "START" in line and f".{model} " in line:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL


def test_replays_late_parts_and_killed_runs_give_the_same_tables_as_a_full_refresh(
    pipeline: "Pipeline",
    real_records: dict[str, list[str]],
    emission_order: list[int],
    expected: Answers,
) -> None:
    by_number = {
        record_type: {json.loads(line)[KEYS[record_type]]: line for line in lines}
        for record_type, lines in real_records.items()
    }
    emitted = {
        record_type: [numbered[number] for number in emission_order]
        for record_type, numbered in by_number.items()
    }
    assert {len(lines) for lines in emitted.values()} == {500}

    # Load 1: half the pins and users as emitted; every geo record is yet to come.
    pipeline.land("pin", 0, emitted["pin"][:250])
    pipeline.land("user", 0, emitted["user"][:250])
    pipeline.dbt("build")
    # Load 2: the other half; the run is killed between the base models and the next.
    pipeline.land("pin", 250, emitted["pin"][250:])
    pipeline.land("user", 250, emitted["user"][250:])
    kill_dbt(pipeline, "int_newest_users")
    assert len(pipeline.rows("base_pinterest__users", "distinct loaded_at")) == 2
    # Load 3: the geo records, two loads after their pins; killed before the marts.
    pipeline.land("geo", 0, emitted["geo"])
    kill_dbt(pipeline, "fct_posts")
    # Load 4: a restarted emulator draws all 500 again.
    for record_type, lines in emitted.items():
        pipeline.land(record_type, 500, lines)
    pipeline.dbt("build", "--exclude-resource-type", "unit_test")
    # Load 5: nothing but what was seen, over the other transport.
    for record_type, lines in emitted.items():
        stream = pipeline.landing / f"topics/streaming-x-{record_type}/partition=3"
        stream.mkdir(parents=True)
        name = f"streaming-x-{record_type}+3+0000000000.json"
        (stream / name).write_text("\n".join(lines), "utf-8")
    pipeline.dbt("build")

    assert answers_of(pipeline, expected) == expected
    health = pipeline.rows(
        "rpt_pipeline_health", "topic, landed_count, newest_count, superseded_count"
    )
    assert health == [
        ("12a740a19697.geo", 1000, 0, 1000),
        ("12a740a19697.pin", 1000, 0, 1000),
        ("12a740a19697.user", 1000, 0, 1000),
        ("streaming-x-geo", 500, 494, 6),
        ("streaming-x-pin", 500, 494, 6),
        ("streaming-x-user", 500, 494, 6),
    ]

    in_loads = pipeline.everything()
    pipeline.dbt("build", "--full-refresh")

    assert pipeline.everything() == in_loads
