"""Make topics and streams; say how those that are there differ from what is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from ingestion.errors import RetryError, StopError, explained
from ingestion.kinesis import explain_kinesis

if TYPE_CHECKING:
    from concurrent.futures import Future

    from types_boto3_kinesis import KinesisClient

_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.5
_POLLS: Final = 600
_MAY_PASS: Final = {
    KafkaError._TRANSPORT,  # noqa: SLF001 - how the library names its own errors
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


class Made(NamedTuple):
    """A topic or stream: made now or there before, and how it differs if it does."""

    name: str
    created: bool
    differences: tuple[str, ...] = ()


# --- Kafka -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked of a topic. A record is safe on `min_isr` of `replication` disks.

    `min_isr` counts only for writers with acks=all; a REST proxy needs telling.
    """

    partitions: int
    replication: int
    min_isr: int

    def differences(self, there: "Shape") -> tuple[str, ...]:
        """Name what is other there."""
        pairs = (
            ("partitions", there.partitions, self.partitions),
            ("replication", there.replication, self.replication),
            ("min-ISR", there.min_isr, self.min_isr),
        )
        return tuple(
            f"{what} {have} instead of {want}"
            for what, have, want in pairs
            if have != want
        )


def kafka_admin(bootstrap: str, config: Path | None = None) -> AdminClient:
    """Return a client; `config` holds librdkafka's settings, `name=value` a line."""
    settings = kafka_settings(config) if config else {}
    try:
        return AdminClient({**settings, "bootstrap.servers": bootstrap, "log_level": 0})
    except (KafkaException, ValueError) as error:
        raise StopError(
            f"The Kafka client does not take these settings ({error}): correct "
            f"{config or '--bootstrap'}."
        ) from error


def kafka_settings(path: Path) -> dict[str, str]:
    """Read settings of librdkafka, `name=value` a line."""
    with explained(f"read {path}"):
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if any("=" not in line for line in wanted):
        raise StopError(f"{path} has a line that is not name=value: correct it.")
    pairs = [line.split("=", 1) for line in wanted]
    return {name.strip(): value.strip() for name, value in pairs}


def create_topics(
    admin: AdminClient, names: Sequence[str], shape: Shape, timeout: float = _SECONDS
) -> list[Made]:
    """Create the topics that are not there; none that is there is changed."""
    if shape.min_isr > shape.replication:
        raise StopError(
            f"A min-ISR of {shape.min_isr} with a replication of {shape.replication} "
            "lets nobody write: ask for a smaller one."
        )
    there = _present(admin, timeout)
    new = [name for name in names if name not in there]
    created = _created(admin, new, shape) if new else set()
    return [
        Made(name, name in created, shape.differences(_shape(admin, name)))
        for name in names
    ]


def _created(admin: AdminClient, names: Sequence[str], shape: Shape) -> set[str]:
    config = {"min.insync.replicas": str(shape.min_isr)}
    size = shape.partitions, shape.replication
    topics = [NewTopic(name, *size, config=config) for name in names]
    futures: Mapping[str, Future[None]]
    futures = admin.create_topics(topics, request_timeout=_SECONDS)
    created = set()
    for name, future in futures.items():
        try:
            future.result(_SECONDS)
            created.add(name)
        except KafkaException as error:
            if _error(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise explain_kafka(error, f"create the topic {name}") from error
    return created


def _present(admin: AdminClient, timeout: float) -> set[str]:
    try:
        return set(admin.list_topics(timeout=timeout).topics)
    except KafkaException as error:
        raise explain_kafka(error, "ask Kafka for its topics") from error


def _shape(admin: AdminClient, name: str) -> Shape:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    try:
        partitions = admin.list_topics(name, timeout=_SECONDS).topics[name].partitions
        config = admin.describe_configs([resource])[resource].result(_SECONDS)
    except KafkaException as error:
        raise explain_kafka(error, f"look at the topic {name}") from error
    replication = min((len(p.replicas) for p in partitions.values()), default=0)
    min_isr = int(config["min.insync.replicas"].value or 0)
    return Shape(len(partitions), replication, min_isr)


def _error(error: KafkaException) -> KafkaError:
    found: KafkaError = error.args[0]
    return found


def explain_kafka(error: KafkaException, doing: str) -> RetryError | StopError:
    """Say what a failure means; `doing` completes "Cannot …"."""
    found = _error(error)
    if found.code() in _MAY_PASS:
        return RetryError(
            f"Cannot {doing}: {found.str()}. See that the brokers run and --bootstrap "
            "is right, then run the same command again."
        )
    return StopError(f"Cannot {doing}: {found.str()} ({found.name()}).")


# --- Kinesis -----------------------------------------------------------------------


class Pause(Protocol):
    """Waits; passed in so that tests need not."""

    def __call__(self, seconds: float, /) -> None:
        """Wait so many seconds."""


def create_streams(
    client: "KinesisClient", names: Sequence[str], shards: int, pause: Pause
) -> list[Made]:
    """Create the streams that are not there, and wait until all are active."""
    created = {name for name in names if _create(client, name, shards)}
    made = []
    for name in names:
        open_shards = _active(client, name, pause)
        differs = f"shards {open_shards} instead of {shards}"
        differences = () if open_shards == shards else (differs,)
        made.append(Made(name, name in created, differences))
    return made


def _create(client: "KinesisClient", name: str, shards: int) -> bool:
    with explain_kinesis(f"create the stream {name}"):
        try:
            client.create_stream(StreamName=name, ShardCount=shards)
        except ClientError as error:
            if error.response["Error"].get("Code") != "ResourceInUseException":
                raise
            return False
    return True


def _active(client: "KinesisClient", name: str, pause: Pause) -> int:
    """Return the number of open shards, once the stream is active."""
    status = ""
    for _ in range(_POLLS):
        with explain_kinesis(f"look at the stream {name}"):
            said = client.describe_stream_summary(StreamName=name)
        summary = said["StreamDescriptionSummary"]
        status = summary["StreamStatus"]
        if status == "ACTIVE":
            return int(summary["OpenShardCount"])
        if status == "DELETING":
            raise RetryError(
                f"The stream {name} is being deleted: wait until it is gone, then run "
                "the same command again."
            )
        pause(_POLL_SECONDS)
    raise RetryError(
        f"The stream {name} is still {status} after {_POLLS * _POLL_SECONDS:.0f} s: "
        "run the same command again."
    )
