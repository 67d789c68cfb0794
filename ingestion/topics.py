"""Make topics and streams; say how those that are there differ from what is asked."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from ingestion.errors import RetryError, StopError, explained
from ingestion.kinesis import explain_kinesis

if TYPE_CHECKING:
    from concurrent.futures import Future

    from types_boto3_kinesis import KinesisClient

T = TypeVar("T")

_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.5
_POLLS: Final = 600
_REFUSED: Final = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001
    KafkaError._SSL,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
_NEEDED: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "READ and DESCRIBE on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "READ on the group (--group names another)",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "DESCRIBE on the cluster",
}
_TOKEN_SETTINGS: Final = {
    "sasl.oauthbearer.method",
    "enable.sasl.oauthbearer.unsecure.jwt",
}
_MAY_PASS: Final = {
    KafkaError._TRANSPORT,  # noqa: SLF001 - how the library names its own errors
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
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


class KafkaAdmin(AdminClient):
    """A client that remembers why brokers refuse it: its calls only time out then."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Connect to nothing yet."""
        self.refusal: KafkaError | None = None
        more: dict[str, Any] = {**settings, "error_cb": self._note}
        more["allow.auto.create.topics"] = False  # who asks for a topic makes none
        super().__init__(more)

    def _note(self, error: KafkaError) -> None:
        if error.code() in _REFUSED:
            self.refusal = error

    def reason(self, error: KafkaException) -> KafkaException:
        """Return why a call failed, which may be more than it said."""
        self.poll(0)
        return error if self.refusal is None else KafkaException(self.refusal)


def kafka_admin(bootstrap: str, config: Path | None = None) -> KafkaAdmin:
    """Return a client; `config` holds librdkafka's settings, `name=value` a line."""
    settings = kafka_settings(config) if config else {}
    try:
        return KafkaAdmin({**settings, "bootstrap.servers": bootstrap, "log_level": 0})
    except (KafkaException, ValueError) as error:
        raise StopError(
            f"The Kafka client does not take these settings ({error}): correct "
            f"{config or '--bootstrap'}."
        ) from error


def kafka_settings(path: Path) -> dict[str, Any]:
    """Read settings of librdkafka, `name=value` a line.

    OAUTHBEARER that does not say where tokens come from is Amazon MSK's: they are
    signed with the credentials of AWS's chain, and renewed before they expire.
    """
    with explained(f"read {path}"):
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if any("=" not in line for line in wanted):
        raise StopError(f"{path} has a line that is not name=value: correct it.")
    pairs = [line.split("=", 1) for line in wanted]
    settings: dict[str, Any] = {name.strip(): value.strip() for name, value in pairs}
    mechanism = settings.get("sasl.mechanism") or settings.get("sasl.mechanisms")
    if mechanism == "OAUTHBEARER" and not _TOKEN_SETTINGS & settings.keys():
        settings["oauth_cb"] = _msk_tokens()
    return settings


def _msk_tokens() -> Callable[[str], tuple[str, float]]:
    """Return what makes a token and says when it expires, in seconds since the epoch.

    Its source is "Amazon MSK Library in Python for SASL/OAUTHBEARER Auth".
    """
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415
    except ImportError as error:
        raise StopError(
            "OAUTHBEARER for Amazon MSK needs a library: pip install '.[msk]', or name "
            "another way to a token with sasl.oauthbearer.method."
        ) from error
    region = _region()

    def token(_: str) -> tuple[str, float]:
        made, expires_ms = MSKAuthTokenProvider.generate_auth_token(region)
        return made, expires_ms / 1000

    return token


def _region() -> str:
    """Return the region of AWS_REGION, or of the variable or profile botocore knows."""
    try:
        found = os.environ.get("AWS_REGION") or Session().get_config_variable("region")
    except BotoCoreError as error:
        raise StopError(
            f"OAUTHBEARER for Amazon MSK needs a region ({error}): correct AWS_PROFILE "
            "or AWS_CONFIG_FILE."
        ) from error
    if not found:
        raise StopError("OAUTHBEARER for Amazon MSK needs a region: set AWS_REGION.")
    return str(found)


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
            answer_of(future)
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
        config = answer_of(admin.describe_configs([resource])[resource])
    except KafkaException as error:
        raise explain_kafka(error, f"look at the topic {name}") from error
    replication = min((len(p.replicas) for p in partitions.values()), default=0)
    min_isr = int(config["min.insync.replicas"].value or 0)
    return Shape(len(partitions), replication, min_isr)


def answer_of(future: "Future[T]", seconds: float = _SECONDS) -> T:
    """Return an answer of the brokers; none in time is a `KafkaException` too."""
    try:
        return future.result(seconds)
    except TimeoutError as error:
        failed = KafkaError(KafkaError._TIMED_OUT, f"no answer in {seconds:g} s")  # noqa: SLF001
        raise KafkaException(failed) from error


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
    if found.code() in _REFUSED:
        return StopError(
            f"Cannot {doing}: the brokers refuse the connection ({found.str()}). "
            "Correct the user, the password or the certificates in --kafka-config."
        )
    if found.code() in _NEEDED:
        return StopError(
            f"Cannot {doing}: {found.str()} ({found.name()}). Grant "
            f"{_NEEDED[found.code()]}."
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
