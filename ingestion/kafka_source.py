"""Kafka as a source of landings: partitions read by offset, never by group offsets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, overload

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec

from ingestion.against import Stretch
from ingestion.errors import IngestError, RetryError, StopError
from ingestion.lander import Batch, Bounds, Columns, Log, Point, Record
from ingestion.landing import Link
from ingestion.metrics import Extent
from ingestion.stores import Partition
from ingestion.topics import KafkaAdmin, answer_of, explain_kafka

_BATCH: Final = 1_000
_READ_SECONDS: Final = 1.0
_GAUGE_SECONDS: Final = 5.0
_SETTINGS: Final = {
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "enable.auto.commit": False,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 8_192,
    "fetch.queue.backoff.ms": 10,  # not a second, when that was full
    "log_level": 0,
}
_NO_ID: Final = {str(Uuid(0, 0)), "None"}
_STOPS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - how the library names its own errors
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._FATAL,  # noqa: SLF001
}


def kafka_consumer(
    bootstrap: str, group: str, settings: Mapping[str, Any] | None = None
) -> Consumer:
    """Return a consumer for `KafkaReader`; `settings` are the user's, as for SASL."""
    named = {**(settings or {}), **_SETTINGS}
    try:
        return Consumer({**named, "bootstrap.servers": bootstrap, "group.id": group})
    except (KafkaException, ValueError) as error:
        raise StopError(
            f"The Kafka client does not take these settings ({error}): correct "
            "--kafka-config, --bootstrap or --group."
        ) from error


Place = tuple[str | None, int | None]
"""A topic and the number of a partition, as messages have them."""

Opened = Callable[[Partition, Log], Point]
Dropped = Callable[[Partition], None]


@dataclass(slots=True)
class KafkaReader:
    """Reads topics: all their partitions, or with `shared` those the group gives it.

    Where a partition is read from is never taken from the group's offsets: they are
    committed for tools that watch the lag.
    """

    consumer: Consumer
    admin: KafkaAdmin
    topics: Sequence[str]
    shared: bool = False
    timeout: float = 30.0
    _opened: Opened = lambda *_: Point(0)
    _dropped: Dropped = lambda _: None
    _failure: IngestError | None = None
    _given_wrongly: bool = False
    _paused: list[TopicPartition] = field(default_factory=list)
    _places: dict[Partition, None] = field(default_factory=dict)

    def start(self, opened: Opened, dropped: Dropped) -> None:
        """Begin; `StopError` where a topic is not there."""
        self._opened, self._dropped = opened, dropped
        numbers = {topic: self.numbers(topic) for topic in self.topics}
        if self.shared:
            self._subscribe()
            return
        places = [Partition(t, n) for t, found in numbers.items() for n in found]
        self._assign(self.consumer, [TopicPartition(p.topic, p.number) for p in places])
        self._raise_failure()

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._dropped = lambda _: None
        self.consumer.close()

    # --- the group -----------------------------------------------------------------

    def _subscribe(self) -> None:
        self.consumer.subscribe(
            list(self.topics),
            on_assign=self._assign,
            on_revoke=self._revoke,
            on_lost=self._revoke,
        )

    def _assign(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        """Read every partition from the end of its chain.

        An exception must not cross the library: it is kept, and raised by `read`.
        """
        try:
            found = [self._place(place) for place in given]
        except IngestError as error:
            self._failure, found = error, []  # else the library assigns what it gave
        consumer.assign(found)

    def _place(self, given: TopicPartition) -> TopicPartition:
        partition = Partition(given.topic, given.partition)
        point = self._opened(partition, KafkaLog(self, partition))
        self._places[partition] = None
        return TopicPartition(given.topic, given.partition, point.offset)

    def _revoke(self, _: Consumer, given: list[TopicPartition]) -> None:
        for place in given:
            partition = Partition(place.topic, place.partition)
            self._places.pop(partition, None)
            self._dropped(partition)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._given_wrongly = self.shared
            raise failure

    def _ask_again(self) -> None:
        """Have the group give partitions anew after those given could not be opened.

        Only now, when reading goes on: closed right after it, the library aborts.
        """
        if self._given_wrongly:
            self._given_wrongly = False
            self.consumer.unsubscribe()
            self._subscribe()

    # --- reading -------------------------------------------------------------------

    def read(self, seconds: float) -> Iterator[Batch]:
        """Return what has arrived, a batch for each partition."""
        try:
            self._ask_again()
            self._resume()
            messages = self.consumer.consume(_BATCH, seconds)
        except KafkaException as error:
            raise explain_kafka(error, "read from Kafka") from error
        self._raise_failure()
        records: dict[Place, list[Message]] = {}
        ends: set[Place] = set()
        broken: set[Place] = set()
        for message in messages:
            place = message.topic(), message.partition()
            failed = message.error()
            if failed is None:
                records.setdefault(place, []).append(message)
            elif failed.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                ends.add(place)
            elif self.shared or failed.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                _require_harmless(failed, place)
                broken.add(place)
        for partition in list(self._places):
            place = partition.topic, partition.number
            if place in records or place in ends or place in broken:
                found = Messages(records.get(place, []))
                end = self._end(partition)
                yield Batch(partition, found, place in ends, place in broken, end)

    def _end(self, partition: Partition) -> int | None:
        """Return the high watermark that came with the last answer; asks nobody."""
        place = TopicPartition(partition.topic, partition.number)
        try:
            _, high = self.consumer.get_watermark_offsets(place, cached=True)
        except KafkaException:
            return None
        return high if high >= 0 else None

    def idle(self) -> None:
        """Poll with all partitions paused: the group keeps its member."""
        if not self.shared:
            return
        try:
            self._paused = self._held()
            self.consumer.pause(self._paused)
            self.consumer.poll(0)
        except KafkaException as error:
            raise explain_kafka(error, "pause reading from Kafka") from error

    def _resume(self) -> None:
        """Go on with the partitions that are still given of those that were paused."""
        paused, self._paused = self._paused, []
        held = set(self._held())
        if going_on := [place for place in paused if place in held]:
            self.consumer.resume(going_on)

    def _held(self) -> list[TopicPartition]:
        return [TopicPartition(place.topic, place.number) for place in self._places]

    # --- what is asked of the brokers ----------------------------------------------

    def numbers(self, topic: str) -> list[int]:
        """Return the numbers of a topic's partitions."""
        try:
            found = self.admin.list_topics(topic, timeout=self.timeout).topics[topic]
        except KafkaException as error:
            failed = self.admin.reason(error)
            raise explain_kafka(failed, f"look at the topic {topic}") from error
        if found.error is not None:
            failed = KafkaException(found.error)
            raise explain_kafka(failed, f"look at the topic {topic}") from failed
        return sorted(found.partitions)

    def identity(self, topic: str) -> str:
        """Return `kafka:<cluster id>:<topic id>`, asked of the brokers now."""
        return topic_identity(self.admin, topic, self.timeout)

    def extents(self, partitions: Sequence[Partition]) -> dict[Partition, Extent]:
        """Return what the brokers have now; by the admin client, from any thread."""
        if not partitions:
            return {}
        low = self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        high = self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        kept = self._retentions({partition.topic for partition in partitions})
        return {p: Extent(low[p], high[p], kept.get(p.topic)) for p in partitions}

    def _offsets(
        self, partitions: Sequence[Partition], spec: OffsetSpec
    ) -> dict[Partition, int]:
        places = {p: TopicPartition(p.topic, p.number) for p in partitions}
        asked = dict.fromkeys(places.values(), spec)
        futures = self.admin.list_offsets(asked, request_timeout=_GAUGE_SECONDS)
        try:
            return {
                p: answer_of(futures[x], _GAUGE_SECONDS).offset
                for p, x in places.items()
            }
        except KafkaException as error:
            raise RetryError("The brokers do not tell their offsets.") from error

    def _retentions(self, topics: set[str]) -> dict[str, float]:
        """Return for how many seconds records are kept, of topics that tell."""
        asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        futures = self.admin.describe_configs(asked, request_timeout=_GAUGE_SECONDS)
        found = {}
        for resource, future in futures.items():
            with suppress(KafkaException):
                kept = _kept_seconds(answer_of(future, _GAUGE_SECONDS))
                if kept is not None:
                    found[resource.name] = kept
        return found


def topic_retention(
    admin: AdminClient, topic: str, timeout: float = 30.0
) -> float | None:
    """Return for how many seconds a topic keeps records; None is for ever.

    Raises `StopError` for who may not ask.
    """
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        futures = admin.describe_configs([resource], request_timeout=timeout)
        return _kept_seconds(answer_of(futures[resource], timeout))
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise StopError(
                f"{topic} may not be asked how long it keeps records, so no metric "
                "warns before they expire: grant DESCRIBE_CONFIGS on the topic, on "
                "Amazon MSK kafka-cluster:DescribeTopicDynamicConfiguration."
            ) from error
        raise explain_kafka(error, f"look at the topic {topic}") from error


def _kept_seconds(config: Mapping[str, ConfigEntry]) -> float | None:
    kept = int(config["retention.ms"].value or -1)
    return kept / 1000 if kept >= 0 else None


def topic_identity(admin: AdminClient, topic: str, timeout: float = 30.0) -> str:
    """Return `kafka:<cluster id>:<topic id>`, asked of the brokers now.

    Raises `StopError` where the topic has no id (KIP-516): nobody could tell it apart.
    The cluster's id comes with the topic: librdkafka 2.16 aborts the process where
    DescribeCluster is answered by a broker that knows of none, as one that was stopped.
    """
    try:
        cluster = admin.list_topics(topic, timeout=timeout).cluster_id
        futures = admin.describe_topics(
            TopicCollection([topic]), request_timeout=timeout
        )
        found = answer_of(futures[topic], timeout)
    except KafkaException as error:
        raise explain_kafka(error, f"look at the topic {topic}") from error
    if str(found.topic_id) in _NO_ID:
        raise StopError(
            f"The brokers give the topic {topic} no id, so that one made anew in its "
            "place would pass for it: nothing was read. Use brokers that do, as Kafka "
            "does since 2.8."
        )
    return f"kafka:{cluster}:{found.topic_id}"


def _require_harmless(error: KafkaError, place: Place) -> None:
    """Raise `StopError` for what no seek can mend."""
    if error.code() in _STOPS or error.fatal():
        failed = KafkaException(error)
        raise explain_kafka(failed, f"read {place[0] or 'from Kafka'}") from failed


class Messages(Columns):
    """Messages of one partition that are no errors."""

    def __init__(self, messages: list[Message]) -> None:
        """Look at nothing yet."""
        self._messages = messages

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self._messages)

    @overload
    def __getitem__(self, at: int) -> Record: ...

    @overload
    def __getitem__(self, at: slice) -> "Messages": ...

    def __getitem__(self, at: int | slice) -> "Record | Messages":
        """Return one record, or some of the messages."""
        if isinstance(at, slice):
            return Messages(self._messages[at])
        message = self._messages[at]
        kind, time = message.timestamp()
        (offset,) = Messages([message]).offsets
        return Record(offset, message.value(), message.key(), time if kind else None)

    @property
    def offsets(self) -> list[int]:
        """The offsets of all."""
        found = [message.offset() for message in self._messages]
        if None in found:
            raise StopError("Kafka gave a record without an offset: report it.")
        return found  # type: ignore[return-value]

    @property
    def values(self) -> list[bytes | None]:
        """The values of all."""
        return [message.value() for message in self._messages]


def offset_at(
    admin: AdminClient, time: datetime, partition: Partition, timeout: float = 30.0
) -> int:
    """Return the offset of the first record that is not older than `time`.

    That is the end where all are older.
    """
    milliseconds = int(time.timestamp() * 1000)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    for spec in (OffsetSpec.for_timestamp(milliseconds), latest):
        place = TopicPartition(partition.topic, partition.number)
        try:
            futures = admin.list_offsets(
                {place: spec},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=timeout,
            )
            offset: int = answer_of(futures[place], timeout).offset
        except KafkaException as error:
            raise explain_kafka(error, f"look for a time in {partition}") from error
        if offset >= 0:
            return offset
    raise StopError(f"{partition} does not say where it ends: report it.")


@dataclass(frozen=True, slots=True)
class KafkaLog:
    """One partition of a topic."""

    reader: KafkaReader
    partition: Partition

    def identity(self) -> str:
        """Return `kafka:<cluster id>:<topic id>`, asked of the brokers now."""
        return self.reader.identity(self.partition.topic)

    def bounds(self) -> Bounds:
        """Return the log start and the high watermark, asked of the brokers now."""
        place = TopicPartition(self.partition.topic, self.partition.number)
        try:
            found = self.reader.consumer.get_watermark_offsets(
                place, timeout=self.reader.timeout
            )
        except KafkaException as error:
            raise explain_kafka(error, f"look at {self.partition}") from error
        return Bounds(*found)

    def seek(self, point: Point) -> None:
        """Read on from its offset."""
        topic, number = self.partition.topic, self.partition.number
        place = TopicPartition(topic, number, point.offset)
        try:
            self.reader.consumer.seek(place)
        except KafkaException as error:
            raise explain_kafka(error, f"seek in {self.partition}") from error

    def landed(self, offset: int) -> None:
        """Commit the offset for tools that watch the lag; nobody waits for it."""
        if not self.reader.shared:
            return
        place = TopicPartition(self.partition.topic, self.partition.number, offset)
        try:
            self.reader.consumer.commit(offsets=[place], asynchronous=True)
        except KafkaException as error:
            raise explain_kafka(error, f"commit the lag of {self.partition}") from error


# --- held against a landing --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KafkaOriginal:
    """Kafka as `ingestion.against` asks it; places are offsets."""

    reader: KafkaReader

    def numbers(self, topic: str) -> list[int]:
        """Return the numbers of a topic's partitions."""
        return self.reader.numbers(topic)

    def identity(self, topic: str) -> str:
        """Return `kafka:<cluster id>:<topic id>`, asked of the brokers now."""
        return self.reader.identity(topic)

    def end(self, link: Link) -> int:
        """Return the first offset behind a link."""
        return link.next - link.base

    def offset(self, record: Record) -> int:
        """Return the offset of a record."""
        return record.offset

    def read(self, partition: Partition, end: Link | None, *, whole: bool) -> Stretch:
        """Read what is committed from the chain's end, or from the log start, on.

        Raises `StopError` where the topic ends before its chain does.
        """
        landed = 0 if end is None else self.end(end)
        low, high = KafkaLog(self.reader, partition).bounds()
        if landed > high:
            raise StopError(
                f"{partition} ends at {high}, but it was landed up to {landed}: it was "
                "cut."
            )
        start = low if whole else max(low, landed)
        expired = max(low - landed, 0) if end is not None else 0
        return Stretch(self._records(partition, start, high), expired)

    def _records(
        self, partition: Partition, start: int, high: int
    ) -> Iterator[tuple[int, Record]]:
        consumer, quiet = self.reader.consumer, 0.0
        consumer.assign([TopicPartition(partition.topic, partition.number, start)])
        while start < high:
            for message in consumer.consume(_BATCH, _READ_SECONDS):
                failed = message.error()
                if failed is None:
                    record = Messages([message])[0]
                    start, quiet = record.offset + 1, 0.0
                    if record.offset < high:
                        yield record.offset, record
                elif failed.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    return
                else:
                    doing = f"read {partition}"
                    raise explain_kafka(KafkaException(failed), doing) from None
            quiet += _READ_SECONDS
            if quiet > self.reader.timeout:
                raise RetryError(
                    f"Cannot read {partition} from {start} to {high}: the brokers give "
                    "nothing. See that they run, then run the same command again."
                )
