"""A topic in memory, and who reads it: events in any order, without a broker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ingestion.lander import Batch, Bounds, Log, Point, Record
from ingestion.stores import Partition

PIN = Partition("u.pin", 0)


@dataclass
class Topic:
    """One partition of a broker: offsets that are not in `records` are holes."""

    records: dict[int, bytes | None]
    high: int = 0
    low: int = 0
    name: str = "kafka:c:t"

    def __post_init__(self) -> None:
        self.high = max(self.high, self.low, max(self.records, default=-1) + 1)


@dataclass
class MemoryReader:
    """Reads a topic as one lander does; it is the partition's log too.

    With `stale`, the first batch behind a seek is one that was on its way before it.
    """

    topic: Topic
    size: int = 1_000
    stale: Callable[[], bool] = lambda: False
    broken: Callable[[], bool] = lambda: False
    position: int = 0
    late: Batch | None = None
    seeks: list[int] = field(default_factory=list)
    reads: int = 0
    idles: int = 0

    def idle(self) -> None:
        self.idles += 1

    def start(
        self, opened: Callable[[Partition, Log], Point], dropped: Callable[..., None]
    ) -> None:
        dropped(PIN)
        self.position = opened(PIN, self).offset

    def read(self, seconds: float) -> Iterator[Batch]:
        assert seconds > 0
        self.reads += 1
        assert self.reads < 1_000, "the lander never comes to an end"
        if self.late is not None:
            late, self.late = self.late, None
            yield late
        elif self.broken():
            self._next()  # what was fetched is lost on the way
            yield Batch(PIN, broken=True)
        else:
            yield self._next()

    def _next(self) -> Batch:
        offsets = sorted(n for n in self.topic.records if n >= self.position)
        taken = offsets[: self.size]
        found = [Record(n, self.topic.records[n], b"k", n * 10) for n in taken]
        self.position = taken[-1] + 1 if taken else self.topic.high
        return Batch(PIN, found, caught_up=taken == offsets, end=self.topic.high)

    def identity(self) -> str:
        return self.topic.name

    def bounds(self) -> Bounds:
        return Bounds(self.topic.low, self.topic.high)

    def seek(self, point: Point) -> None:
        self.seeks.append(point.offset)
        self.late = self._next() if self.stale() else None
        self.position = point.offset

    def landed(self, offset: int) -> None:
        assert offset <= self.topic.high
