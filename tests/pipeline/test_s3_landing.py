"""DuckDB's models on a landing in S3: the answers of the same landing in a folder."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import ministack_server
import pytest
from ministack_server import MiniStack
from processes import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Pipeline

EVENTS = "300"
LATER = "(landed|loaded)_at$"


@pytest.fixture
def ministack(tmp_path: Path) -> "Iterator[MiniStack]":
    require(ministack_server.missing())
    server = MiniStack(tmp_path)
    yield server
    server.stop()


def answers(pipeline: "Pipeline") -> dict[str, list[tuple[object, ...]]]:
    """Every table, but for when a file was landed, which differs by seconds."""
    return {
        name: pipeline.rows(name, f"columns(c -> not regexp_matches(c, '{LATER}'))")
        for name in pipeline.tables()
        if name != "base_pinterest__dead_letters"
    }


def test_the_models_answer_from_s3_what_they_answer_from_a_folder(
    pipeline: "Pipeline", ministack: MiniStack
) -> None:
    options = ("--events", EVENTS, "--compression", "gzip", "--flush-records", "70")
    pipeline.emit(Path("sample"), *options)
    pipeline.dbt("build", "--exclude-resource-type", "unit_test")
    expected = answers(pipeline)
    assert len(expected["fct_posts"]) == int(EVENTS)

    shutil.rmtree(pipeline.landing)
    pipeline.database.unlink()
    bucket = "s3://landing/raw"
    pipeline.env |= {**ministack.environment, "LANDING": bucket}
    words = ("emit", "landing", "--source", "sample", "--user-id", "12a740a19697")
    pipeline.ingest(*words, "--landing", bucket, *options)
    assert "Clean" in pipeline.ingest("verify", bucket)
    pipeline.dbt("build", "--exclude-resource-type", "unit_test")
    assert answers(pipeline) == expected

    pipeline.dbt("run", "--select", "base")
    assert answers(pipeline) == expected

    for landing, problem in (
        (f"{bucket}s", f"There is no landing at {bucket}s, it has no topics"),
        ("s3://nowhere/raw", "there is no bucket nowhere"),
    ):
        pipeline.env["LANDING"] = landing
        done = pipeline.call("dbt", "run", "--full-refresh", "--select", "base")
        assert done.stdout.count(problem) == 1
        assert "At:" not in done.stdout
    assert answers(pipeline) == expected
