"""What `KafkaReader` makes of the library's messages, errors and callbacks."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import KafkaError, KafkaException, TopicPartition, Uuid
from processes import free_port

from ingestion.cli import main
from ingestion.errors import RetryError, StopError
from ingestion.kafka_source import KafkaLog, KafkaReader, kafka_consumer
from ingestion.lander import Batch, Bounds, Log, Point, Record
from ingestion.stores import Partition

PIN = Partition("u.pin", 0)


@dataclass
class FakeMessage:
    at: int
    failed: int | None = None
    kind: int = 1
    number: int = 0

    def topic(self) -> str:
        return "u.pin"

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at

    def error(self) -> KafkaError | None:
        return None if self.failed is None else KafkaError(self.failed)

    def value(self) -> bytes:
        return b"v"

    def key(self) -> None:
        """Give none."""

    def timestamp(self) -> tuple[int, int]:
        return self.kind, 7


@dataclass
class FakeKafka:
    """Consumer and admin client in one; `fail` is what every question ends with."""

    messages: list[FakeMessage] = field(default_factory=list)
    fail: int | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)
    callbacks: dict[str, Callable[..., None]] = field(default_factory=dict)
    heard: tuple[int, int] = (-1001, -1001)
    topic_id: object = "T"

    def _answer(self, answer: Any) -> Any:  # noqa: ANN401 - as many as there are calls
        if self.fail is not None:
            raise KafkaException(KafkaError(self.fail))
        return answer

    def _future(self, answer: object) -> "Future[object]":
        future: Future[object] = Future()
        if self.fail is None:
            future.set_result(answer)
        else:
            future.set_exception(KafkaException(KafkaError(self.fail)))
        return future

    def reason(self, error: KafkaException) -> KafkaException:
        return error

    def list_topics(self, topic: str, timeout: float) -> Any:  # noqa: ANN401
        assert timeout == 30.0
        found = SimpleNamespace(error=None, partitions={1: None, 0: None})
        return self._answer(SimpleNamespace(topics={topic: found}, cluster_id="C"))

    def describe_topics(
        self, topics: object, request_timeout: float
    ) -> dict[str, "Future[object]"]:
        assert (topics, request_timeout) != (None, 0)
        return {"u.pin": self._future(SimpleNamespace(topic_id=self.topic_id))}

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float = 30.0, cached: bool = False
    ) -> tuple[int, int]:
        assert (place.topic, timeout) == ("u.pin", 30.0)
        if cached:
            return self.heard
        found: tuple[int, int] = self._answer((3, 9))
        return found

    def seek(self, place: TopicPartition) -> None:
        self._answer(None)
        self.calls.append(("seek", place.partition, place.offset))

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        self._answer(None)
        self.calls.append(("commit", offsets[0].offset))

    def assign(self, places: list[TopicPartition]) -> None:
        self.calls += [("assign", p.partition, p.offset) for p in places] or [
            ("assign",)
        ]

    def subscribe(self, topics: list[str], **callbacks: Callable[..., None]) -> None:
        self.calls.append(("subscribe", *topics))
        self.callbacks = callbacks

    def unsubscribe(self) -> None:
        self.calls.append(("unsubscribe",))

    def consume(self, number: int, seconds: float) -> list[FakeMessage]:
        assert number > 0 < seconds
        found: list[FakeMessage] = self._answer(self.messages)
        return found


def reader(kafka: FakeKafka, shared: bool = False) -> KafkaReader:
    return KafkaReader(kafka, kafka, ["u.pin"], shared)  # type: ignore[arg-type]


def opened(partition: Partition, _: Log) -> Point:
    return Point(40 + partition.number)


def ignore(_: Partition) -> None:
    """Nothing is kept here."""


def test_every_partition_is_read_from_where_its_chain_ends() -> None:
    kafka = FakeKafka()
    reader(kafka).start(opened, ignore)
    assert kafka.calls == [("assign", 0, 40), ("assign", 1, 41)]


def test_messages_are_batched_by_partition_and_ends_are_told() -> None:
    kafka = FakeKafka()
    found = reader(kafka)
    found.start(opened, ignore)
    end = KafkaError._PARTITION_EOF  # noqa: SLF001
    kafka.messages = [
        FakeMessage(40),
        FakeMessage(41, number=1, kind=0),
        FakeMessage(41),
        FakeMessage(42, end),
        FakeMessage(7, number=5),
    ]
    first = [Record(40, b"v", None, 7), Record(41, b"v", None, 7)]
    batches = [batch._replace(records=[*batch.records]) for batch in found.read(0.1)]
    assert batches == [
        Batch(PIN, first, caught_up=True),
        Batch(Partition("u.pin", 1), [Record(41, b"v", None, None)]),
    ]


def test_a_batch_says_where_its_partition_ends_if_the_brokers_said_so() -> None:
    kafka = FakeKafka()
    reading = reader(kafka)
    reading.start(opened, ignore)
    kafka.messages = [FakeMessage(40)]
    (batch,) = reading.read(0.1)
    assert batch.end is None
    kafka.heard = (0, 99)
    (batch,) = reading.read(0.1)
    assert batch.end == 99


def test_an_error_that_a_seek_may_mend_breaks_the_batch() -> None:
    kafka = FakeKafka()
    found = reader(kafka)
    found.start(opened, ignore)
    code = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001
    kafka.messages = [FakeMessage(40), FakeMessage(41, code)]
    (batch,) = found.read(0.1)
    assert batch.broken


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ],
)
def test_an_error_that_no_seek_mends_stops(code: int) -> None:
    kafka = FakeKafka([FakeMessage(0, code)])
    with pytest.raises(StopError, match=r"Cannot read u\.pin"):
        list(reader(kafka, shared=True).read(0.1))


def test_without_follow_the_group_needs_no_permission() -> None:
    kafka = FakeKafka([FakeMessage(0, KafkaError.GROUP_AUTHORIZATION_FAILED)])
    assert list(reader(kafka).read(0.1)) == []


def test_a_group_gives_partitions_and_takes_them_away() -> None:
    kafka, dropped = FakeKafka(), list[Partition]()
    found = reader(kafka, shared=True)
    found.start(opened, dropped.append)
    kafka.callbacks["on_assign"](kafka, [TopicPartition("u.pin", 1)])
    assert kafka.calls == [("subscribe", "u.pin"), ("assign", 1, 41)]
    kafka.callbacks["on_lost"](kafka, [TopicPartition("u.pin", 1)])
    assert dropped == [Partition("u.pin", 1)]
    kafka.messages = [FakeMessage(41, number=1)]
    assert list(found.read(0.1)) == []


def test_what_fails_in_a_callback_is_raised_by_the_next_read_and_asked_again() -> None:
    kafka = FakeKafka()
    found = reader(kafka, shared=True)

    def busy(_partition: Partition, _log: Log) -> Point:
        raise RetryError("Busy.")

    found.start(busy, ignore)
    kafka.callbacks["on_assign"](kafka, [TopicPartition("u.pin", 1)])
    with pytest.raises(RetryError, match="Busy"):
        list(found.read(0.1))
    assert kafka.calls[1:] == [("assign",)]
    assert list(found.read(0.1)) == []
    assert kafka.calls[2:] == [("unsubscribe",), ("subscribe", "u.pin")]


def test_a_partition_is_known_by_its_cluster_and_topic_id() -> None:
    kafka = FakeKafka()
    log = KafkaLog(reader(kafka, shared=True), PIN)
    assert log.identity() == "kafka:C:T"
    assert log.bounds() == Bounds(3, 9)
    log.seek(Point(5))
    log.landed(6)
    KafkaLog(reader(kafka), PIN).landed(7)
    assert kafka.calls == [("seek", 0, 5), ("commit", 6)]


@pytest.mark.parametrize("topic_id", [Uuid(0, 0), None])
def test_a_topic_without_an_id_is_not_landed(topic_id: Uuid | None) -> None:
    """Brokers older than 2.8 answer with zeros: any topic of the name would do."""
    log = KafkaLog(reader(FakeKafka(topic_id=topic_id)), PIN)
    with pytest.raises(StopError, match=r"give the topic u\.pin no id"):
        log.identity()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (KafkaError._TIMED_OUT, RetryError),  # noqa: SLF001
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, StopError),
    ],
)
def test_every_question_that_fails_is_one_sentence(
    code: int, error: type[Exception]
) -> None:
    found = reader(FakeKafka(fail=code), shared=True)
    log = KafkaLog(found, PIN)
    questions: list[Callable[[], object]] = [
        log.identity,
        log.bounds,
        lambda: log.seek(Point(1)),
        lambda: log.landed(1),
        lambda: list(found.read(0.1)),
        lambda: found.numbers("u.pin"),
    ]
    for question in questions:
        with pytest.raises(error, match="Cannot "):
            question()


def test_settings_of_the_client_that_are_wrong_are_one_sentence() -> None:
    with pytest.raises(StopError, match="does not take these settings"):
        kafka_consumer("localhost:1", "g", {"no.such": "1"})


def test_which_topics_must_be_said_once() -> None:
    words = ["land", "kafka", "--bootstrap", "localhost:1", "--landing", "x"]
    for more in ([], ["--topics", "a", "--user-id", "u"]):
        result = CliRunner().invoke(main, [*words, *more])
        assert result.exit_code == 2
        assert "either --user-id or --topics" in result.stderr


def test_brokers_that_do_not_answer_may_pass(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    options = ("--topics", "a.pin", "--landing", str(tmp_path), "--timeout", "1")
    result = CliRunner().invoke(
        main, ["land", "kafka", "--bootstrap", nowhere, *options]
    )
    assert result.exit_code == 4
    assert "See that the brokers run and --bootstrap is right" in result.stderr
