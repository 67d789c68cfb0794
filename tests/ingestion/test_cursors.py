"""What an emitter keeps: a position, a lock, and what was set aside."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from ingestion.cursors import Cursor, Route, State
from ingestion.delivery import Message
from ingestion.errors import RetryError, StopError

ROUTE = Route("place", "content", {"order": "table"}, "kafka-rest x", "u.pin")


class FakePace:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def cursor(root: Path, route: Route = ROUTE, pace: FakePace | None = None) -> Cursor:
    return Cursor(State(root), route, pace or FakePace())


def test_a_position_is_written_at_most_once_a_second(tmp_path: Path) -> None:
    pace = FakePace()
    writing = cursor(tmp_path, pace=pace)
    assert writing.resume() == 0
    for position, time in ((5, 0.4), (6, 0.9), (7, 1.0), (8, 1.5)):
        pace.time = time
        writing.save(position)
    assert cursor(tmp_path).resume() == 7
    writing.save(9, now=True)
    assert cursor(tmp_path).resume() == 9


@pytest.mark.parametrize(
    "other",
    [
        replace(ROUTE, topic="u.geo"),
        replace(ROUTE, destination="kafka-rest y"),
        replace(ROUTE, stream={"order": "emulator", "seed": 1, "bound": 2}),
    ],
)
def test_another_route_has_a_position_of_its_own(tmp_path: Path, other: Route) -> None:
    cursor(tmp_path).save(5, now=True)
    assert cursor(tmp_path, other).resume() == 0


def test_the_same_content_at_another_place_goes_on(tmp_path: Path) -> None:
    cursor(tmp_path).save(5, now=True)
    assert cursor(tmp_path, replace(ROUTE, location="elsewhere")).resume() == 5


def test_changed_content_at_the_same_place_is_refused(tmp_path: Path) -> None:
    cursor(tmp_path).resume()
    changed = replace(ROUTE, fingerprint="other content")
    with pytest.raises(StopError, match="has changed since it was emitted"):
        cursor(tmp_path, changed).resume()
    assert cursor(tmp_path, changed).resume(restart=True) == 0
    assert cursor(tmp_path, changed).resume() == 0


def test_what_was_set_aside_is_kept_before_the_position_moves_on(
    tmp_path: Path,
) -> None:
    writing = cursor(tmp_path)
    writing.set_aside(Message(4, 7, b'{"index":7}'), "refused: 413")
    assert not (tmp_path / "rejected.jsonl").exists()
    writing.save(5, now=True)
    writing.save(6, now=True)
    (line,) = (tmp_path / "rejected.jsonl").read_bytes().splitlines()
    kept = orjson.loads(line)
    assert (kept["position"], kept["key"], kept["reason"]) == (4, 7, "refused: 413")
    assert (tmp_path / "rejected.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b"{}", "holds no position"),
        (b'{"position":-1}', "holds no position"),
    ],
)
def test_a_damaged_position_stops(tmp_path: Path, body: bytes, says: str) -> None:
    cursor(tmp_path).save(5, now=True)
    (path,) = (tmp_path / "cursors").glob("*.json")
    path.write_bytes(body)
    with pytest.raises(StopError, match=says):
        cursor(tmp_path).resume()
    assert cursor(tmp_path).resume(restart=True) == 0


def test_the_lock_keeps_a_second_run_out_while_it_is_held(tmp_path: Path) -> None:
    with (
        cursor(tmp_path).locked(),
        pytest.raises(RetryError, match=r"the same rows to u\.pin: wait"),
        cursor(tmp_path).locked(),
    ):
        pass
    with cursor(tmp_path).locked():
        pass


def test_a_state_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StopError, match="Cannot write"):
        cursor(tmp_path / "file").resume(restart=True)
