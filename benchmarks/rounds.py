"""Several ways to do the same, in turn: medians, spreads, and ratios within a round."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from ingestion.cursors import State
from ingestion.dispatch import Destination, Dispatch
from ingestion.sources import JsonLinesFolder


class Timing(NamedTuple):
    """What one pass took."""

    records: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


def timed(work: Callable[[], int]) -> Timing:
    """Run something that returns how many records it sent; CPU is this process's."""
    begin, cpu = time.perf_counter(), time.process_time()
    records = work()
    return Timing(records, time.perf_counter() - begin, time.process_time() - cpu)


def emitted(source: Path, destination: Destination, state: Path, user: str) -> Timing:
    """Emit a folder with keys, outcomes, order, and a position on disk."""
    with (
        closing(JsonLinesFolder.open(source)) as folder,
        Dispatch(folder, destination, State(state), user) as dispatch,
    ):
        lanes = dispatch.prepare(lambda _: None)

        def work() -> int:
            dispatch.run(lanes)
            return sum(lane.courier.tally.acknowledged for lane in lanes)

        return timed(work)


def in_turn(
    ways: Sequence[Callable[[], Timing]], rounds: int
) -> list[tuple[Timing, ...]]:
    """Time each way once a round, after a round that warms up and does not count."""
    played = [tuple(way() for way in ways) for _ in range(rounds + 1)]
    return list(zip(*played[1:], strict=True))


def tell(name: str, timings: Sequence[Timing]) -> None:
    """Print the median and the spread of one way."""
    rates = sorted(timing.rate for timing in timings)
    cpu = median(t.cpu_seconds / t.records * 1e6 for t in timings)
    sys.stdout.write(
        f"{name:28} {median(rates):9,.0f} records/s ({rates[0]:,.0f} to "
        f"{rates[-1]:,.0f}), {cpu:7.1f} µs of client CPU a record\n"
    )


def tell_ratio(
    what: str, ours: Sequence[Timing], theirs: Sequence[Timing], wanted: str
) -> None:
    """Print how many times their records a second are ours, in the same rounds."""
    pairs = zip(ours, theirs, strict=True)
    ratios = sorted(mine.rate / other.rate for mine, other in pairs)
    sys.stdout.write(
        f"{what}: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}; "
        f"{wanted} or more is wanted)\n"
    )
