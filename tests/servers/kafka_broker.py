"""A real Kafka broker in KRaft mode, in a folder of its own."""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from processes import SERVERS, Process, free_port

JARS = SERVERS / "kafka"
_READ_SECONDS = 30.0
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "num.partitions": "1",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed is let in again after two seconds, not nine.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}


def missing() -> str | None:
    """Say what is missing and how to get it."""
    if shutil.which("java") is None:
        return "Java is not installed: apt-get install openjdk-17-jre-headless"
    if not any(JARS.glob("kafka_*.jar")):
        return "The Kafka broker is not there: install Maven, then make servers"
    return None


class Stored(NamedTuple):
    """One record as an independent client reads it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class Broker:
    """One broker that is its own controller.

    `settings` are added to the server's. `listeners` are more than the plain one: name
    to protocol, such as `SCRAM` to `SASL_SSL`; `at` says where each is.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
    ) -> None:
        """Format an empty log and start."""
        self.port = free_port()
        self._protocols = listeners or {}
        self.at = {name: f"127.0.0.1:{free_port()}" for name in self._protocols}
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._properties = folder / "server.properties"
        self._write_properties(settings or {})
        self._format()
        self.start()

    def _format(self) -> None:
        # The first bits are 0: an id that begins with - would look like an option.
        number = uuid.uuid4().int >> 4
        cluster = base64.urlsafe_b64encode(number.to_bytes(16)).decode().rstrip("=")
        config = str(self._properties)
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", config)
        subprocess.run(self._java(*tool), check=True, capture_output=True)

    def _write_properties(self, settings: Mapping[str, str]) -> None:
        controller = f"127.0.0.1:{free_port()}"
        places = {"PLAINTEXT": self.bootstrap, **self.at}
        clients = ",".join(f"{name}://{at}" for name, at in places.items())
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        named = {
            **_SETTINGS,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"{clients},CONTROLLER://{controller}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": ",".join(
                f"{name}:{value}"
                for name, value in {**protocols, **self._protocols}.items()
            ),
            "log.dirs": str(self._folder / "data"),
            **settings,
        }
        lines = (f"{name}={value}\n" for name, value in named.items())
        self._properties.write_text("".join(lines))

    @staticmethod
    def _java(*arguments: str) -> list[str]:
        return ["java", "-Xms256m", "-Xmx512m", "-cp", f"{JARS}/*", *arguments]

    def start(self) -> None:
        """Start on the log that is there; return when clients are served."""
        command = self._java("kafka.Kafka", str(self._properties))
        self._process = Process(command, self._folder / "log")
        self._process.wait_for(self.port)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wipe(self) -> None:
        """End it, and start it at the same place on an empty log."""
        self.kill()
        shutil.rmtree(self._folder / "data")
        self._format()
        self.start()

    def stop(self) -> None:
        """Let it shut down."""
        self._process.stop()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it keep its connections and answer nothing inside the block."""
        with self._process.frozen():
            yield

    def __enter__(self) -> Self:
        """Return the broker."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it; nobody needs the log."""
        self._process.kill()

    # --- topics and records --------------------------------------------------------

    def create_topics(
        self, *names: str, partitions: int = 1, **config: str | int
    ) -> None:
        """Create topics; `max_message_bytes` stands for `max.message.bytes`."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        named = {name.replace("_", "."): str(value) for name, value in config.items()}
        topics = [NewTopic(name, partitions, 1, config=named) for name in names]
        for future in admin.create_topics(topics).values():
            future.result(_READ_SECONDS)

    def delete_topics(self, *names: str) -> None:
        """Delete topics."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.delete_topics(list(names)).values():
            future.result(_READ_SECONDS)

    @contextmanager
    def consumer(self, **settings: str) -> Iterator[Consumer]:
        """Yield a consumer that belongs to no group and commits nothing."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"reader-{uuid.uuid4().hex}",
                "enable.auto.commit": "false",
                **settings,
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()

    def read(self, topic: str) -> list[Stored]:
        """Read all that a topic holds now, partition by partition, by offset."""
        with self.consumer() as consumer:
            found = consumer.list_topics(topic, timeout=_READ_SECONDS).topics[topic]
            return [
                record
                for partition in sorted(found.partitions)
                for record in _read(consumer, TopicPartition(topic, partition))
            ]


def _read(consumer: Consumer, place: TopicPartition) -> Iterator[Stored]:
    low, high = consumer.get_watermark_offsets(place, timeout=_READ_SECONDS)
    consumer.assign([TopicPartition(place.topic, place.partition, low)])
    position = low
    while position < high:
        message = consumer.poll(_READ_SECONDS)
        if message is None:
            pytest.fail(f"{place} ends at {position}, before {high}")
        yield _stored(message)
        position = (message.offset() or 0) + 1


def _stored(message: Message) -> Stored:
    if message.error() is not None:
        pytest.fail(str(message.error()))
    return Stored(
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        message.timestamp()[1],
    )
