"""Landers that kill themselves before or after call n, of every call that they make."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from confluent_kafka import KafkaError, TopicPartition
from memory_streams import Inline, MemoryStream

from ingestion.emitters import Clock, Flush
from ingestion.errors import IngestError
from ingestion.kafka_source import KafkaReader
from ingestion.kinesis_source import KinesisCalls, KinesisReader
from ingestion.lander import Lander, Reader, Rules
from ingestion.landing import Landing
from ingestion.stores import Partition
from ingestion.verify import verify

if TYPE_CHECKING:
    from landing_sites import Site

pytest_plugins = ["landing_sites"]

Values = dict[Partition, list[bytes | None]]
"""What is in each partition; what is no UTF-8 or None can be no line."""


class Kill:
    """Ends this process before or after the call of this number, whoever is called."""

    def __init__(self, at: int = -1, when: str = "") -> None:
        self._at, self._when = at, when
        self._calls = 0

    def watch(self, target: Any) -> Any:  # noqa: ANN401 - it is what was passed in
        """Return something that does what `target` does."""
        return Watched(target, self)

    def call(self, work: Callable[..., object], *args: Any, **named: Any) -> object:  # noqa: ANN401
        number, self._calls = self._calls, self._calls + 1
        self._end_if(number, "before")
        try:
            return work(*args, **named)
        finally:
            self._end_if(number, "after")

    def _end_if(self, number: int, when: str) -> None:
        if (number, when) == (self._at, self._when):
            os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """Passes every method through `Kill.call`."""

    def __init__(self, target: object, kill: Kill) -> None:
        self._target, self._kill = target, kill

    def __getattr__(self, name: str) -> object:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        return lambda *args, **named: self._kill.call(found, *args, **named)


class QuickClock(Clock):
    """Time goes on while somebody sleeps, and nobody does."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> float:
        return super().now() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


# --- Kinesis -----------------------------------------------------------------------


def stream() -> tuple[MemoryStream, Values]:
    """Return a shard and its child, with a record that can be no line."""
    made = MemoryStream(now=time.time)
    made.open()
    made.put(0, b"1", b"\xff", b"2", b"3")
    made.open(0)
    made.put(1, b"4")
    shards = made.shards.items()
    return made, {Partition(made.name, n): list(shard.values) for n, shard in shards}


def kinesis_reader(landing: Landing, kill: Kill) -> Reader:
    made, _ = stream()
    calls = KinesisCalls(lambda: kill.watch(made))
    return KinesisReader(calls, Inline(), landing, [made.name], clock=QuickClock())


# --- Kafka -------------------------------------------------------------------------


class Message(SimpleNamespace):
    """One message, or the end of a partition."""

    def topic(self) -> str:
        return "u.pin"

    def partition(self) -> int:
        number: int = self.number
        return number

    def offset(self) -> int:
        offset: int = self.at
        return offset

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self.end else None  # noqa: SLF001

    def value(self) -> bytes | None:
        value: bytes | None = self.data
        return value

    def key(self) -> None:
        """Give none."""

    def timestamp(self) -> tuple[int, int]:
        return 1, 7


class MemoryKafka:
    """A consumer of a topic, and its admin client."""

    def __init__(self, values: Values) -> None:
        self._values = {place.number: part for place, part in values.items()}
        self._at: dict[int, int] = {}

    def list_topics(self, *_: object, **__: object) -> object:
        found = SimpleNamespace(error=None, partitions=self._values)
        return SimpleNamespace(topics={"u.pin": found}, cluster_id="c")

    def describe_topics(self, *_: object, **__: object) -> object:
        found = SimpleNamespace(topic_id="t")
        return {"u.pin": SimpleNamespace(result=lambda _: found)}

    def get_watermark_offsets(
        self, place: TopicPartition, **_: object
    ) -> tuple[int, int]:
        return 0, len(self._values[place.partition])

    def assign(self, places: list[TopicPartition]) -> None:
        self._at = {place.partition: place.offset for place in places}

    def seek(self, place: TopicPartition) -> None:
        self._at[place.partition] = place.offset

    def consume(self, *_: object) -> list[Message]:
        return [m for number in self._values for m in self._from(number)]

    def _from(self, number: int) -> Iterator[Message]:
        values, at = self._values[number], self._at[number]
        for offset in range(at, min(at + 3, len(values))):
            self._at[number] = offset + 1
            yield Message(number=number, at=offset, data=values[offset], end=False)
        if self._at[number] == len(values):
            yield Message(number=number, at=len(values), data=None, end=True)


def topic() -> Values:
    return {Partition("u.pin", 0): [b"1", None, b"2", b"3"]}


def kafka_reader(_: Landing, kill: Kill) -> Reader:
    client = kill.watch(MemoryKafka(topic()))
    return KafkaReader(client, client, ["u.pin"])


# --- both --------------------------------------------------------------------------


class Made(NamedTuple):
    """How to read a source, and what is in it."""

    reader: Callable[[Landing, Kill], Reader]
    values: Callable[[], Values]


SOURCES: Final = {
    "kinesis": Made(kinesis_reader, lambda: stream()[1]),
    "kafka": Made(kafka_reader, topic),
}


def land(site: "Site", source: str, kill: Kill) -> None:
    landing = Landing.open(site.store(kill.watch))
    reader, rules = SOURCES[source].reader, Rules(accept_dead_letters=True)
    Lander(landing, reader(landing, kill), rules, Flush(max_records=2)).run()


def assert_landed_once(site: "Site", values: Values) -> None:
    landing = Landing.read(site.store())
    ledgers = {Partition(x.topic, x.partition): x for x in verify(landing)}
    assert ledgers.keys() == values.keys()
    for partition, part in values.items():
        lines = [value for value in part if value is not None and value.isascii()]
        objects = landing.store.listing(partition).objects
        landed = b"".join(site.body(name) for _, name in objects)
        assert landed == b"".join(line + b"\n" for line in lines)
        ledger = ledgers[partition]
        assert ledger.problems == []
        assert ledger.records + ledger.dead == len(part)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("source", SOURCES)
def test_killed_at_every_call_and_run_again_each_record_is_landed_once(
    site: "Site", source: str, when: str
) -> None:
    values = SOURCES[source].values()
    for at in count():
        place = site.beside()
        code = in_child(lambda: land(place, source, Kill(at, when)))  # noqa: B023
        land(place, source, Kill())
        assert_landed_once(place, values)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert at >= 20


def in_child(work: Callable[[], Any]) -> int:
    """Fork, run, and return how the child ended; an IngestError is exit code 1."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        work()
        code = 0
    except IngestError as error:
        code = error.exit_code
    finally:
        os._exit(code)
