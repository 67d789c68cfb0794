"""From an emitter over Kinesis to the report: the answers of every other way."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import kinesalite_server
import pytest
from kinesalite_server import Kinesalite
from processes import require

if TYPE_CHECKING:
    from conftest import Pipeline, Row

USER_ID = "12a740a19697"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kinesalite]:
    require(kinesalite_server.missing())
    folder = tmp_path / "kinesalite"
    folder.mkdir()
    with Kinesalite(folder) as started:
        yield started


def test_what_is_emitted_to_kinesis_and_landed_gives_exactly_the_answers(
    pipeline: "Pipeline",
    server: Kinesalite,
    real_folder: Path,
    expected: dict[str, list["Row"]],
) -> None:
    pipeline.env |= server.environment
    state, landing = pipeline.folder / "state", str(pipeline.landing)
    pipeline.ingest("streams", "create", "--user-id", USER_ID, "--shards", "2")
    pipeline.ingest(
        *("emit", "kinesis", "--source", str(real_folder), "--user-id", USER_ID),
        *("--state", str(state)),
    )
    words = ("land", "kinesis", "--user-id", USER_ID, "--landing", landing)
    pipeline.ingest(*words, "--flush-records", "100")
    assert "Clean" in pipeline.ingest("verify", landing)
    pipeline.dbt("build", "--exclude-resource-type", "unit_test")
    assert {model: pipeline.rows(model) for model in expected} == expected
