"""How follow counts and what it does when a build is not green."""

import sys
from typing import Any

import pytest

from ingestion.errors import StopError
from ingestion.follow import Delays, LanderProcess, follow


def link(first: int | None, last: int | None, records: int) -> dict[str, Any]:
    return {"first_time": first, "last_time": last, "records": records}


def test_a_quantile_weighs_every_record_the_same() -> None:
    delays = Delays()
    delays.add(link(1_000, 1_000, 95), 11.0)
    delays.add(link(6_000, 6_000, 5), 11.0)
    assert delays.quantile(0.05) == 5.0
    assert delays.quantile(0.06) == 10.0
    assert delays.quantile(1.0) == 10.0


@pytest.mark.parametrize("records", [1, 19, 20, 21, 10_000])
def test_the_records_of_an_object_are_spread_evenly(records: int) -> None:
    delays = Delays()
    delays.add(link(0, 100_000, records), 100.0)
    assert delays.tenths.total() == records
    assert max(delays.tenths) == 1_000
    if records > 1:
        assert min(delays.tenths) == 0
        assert delays.quantile(0.5) == pytest.approx(50, abs=6)


def test_what_has_no_time_is_not_counted() -> None:
    delays = Delays()
    delays.add(link(None, None, 3), 1.0)
    delays.add(link(1, 1, 0), 1.0)
    assert delays.quantile(0.5) is None


SAYS = "import time; print('%s', flush=True); time.sleep(60)"
LINK = '{"event":"link","first_time":1,"last_time":1,"records":7}'


def lander(said: str) -> LanderProcess:
    return LanderProcess([sys.executable, "-c", SAYS % said])


def test_what_was_not_green_is_built_again_and_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingestion.follow._AGAIN_SECONDS", 0.1)
    running, delays = lander(LINK), Delays()
    green = iter([False, True])
    builds = follow(running, lambda: next(green), delays, lambda: False)
    try:
        first, second = next(builds), next(builds)
    finally:
        running.stop()
    assert [(b.green, b.records) for b in (first, second)] == [(False, 7), (True, 7)]
    assert delays.tenths.total() == 7
    assert running.take() == []


def test_a_lander_that_has_ended_ends_it() -> None:
    ended = LanderProcess([sys.executable, "-c", "import sys; sys.exit(4)"])
    with pytest.raises(StopError, match="ended with exit code 4"):
        next(follow(ended, lambda: True, Delays(), lambda: False))
    assert ended.stop() == 4
