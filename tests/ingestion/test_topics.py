"""Making topics and streams: what is made, what is said, which errors may pass."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from confluent_kafka import KafkaError, KafkaException

from ingestion.errors import IngestError, RetryError, StopError
from ingestion.topics import Made, Shape, create_streams, create_topics

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient
    from types_boto3_kinesis import KinesisClient

SHAPE = Shape(partitions=2, replication=1, min_isr=1)


def done(result: object) -> "Future[Any]":
    future: Future[Any] = Future()
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


class FakeAdmin:
    """A cluster in memory; `refusal` is what it says to a new topic."""

    def __init__(self, *there: str, refusal: Exception | None = None) -> None:
        self.topics = dict.fromkeys(there, 2)
        self.refusal = refusal

    def list_topics(self, _: str = "", **__: object) -> object:
        partition = SimpleNamespace(replicas=[1])
        described = {
            name: SimpleNamespace(partitions=dict.fromkeys(range(count), partition))
            for name, count in self.topics.items()
        }
        return SimpleNamespace(topics=described)

    def create_topics(self, new: list[Any], **_: object) -> dict[str, "Future[Any]"]:
        self.topics |= {topic.topic: topic.num_partitions for topic in new}
        return {topic.topic: done(self.refusal) for topic in new}

    def describe_configs(self, resources: list[Any]) -> dict[Any, "Future[Any]"]:
        config = {"min.insync.replicas": SimpleNamespace(value="1")}
        return {resource: done(config) for resource in resources}


def created(admin: FakeAdmin, shape: Shape = SHAPE) -> list[Made]:
    return create_topics(cast("AdminClient", admin), ["u.pin", "u.geo"], shape)


def test_only_topics_that_are_missing_are_made() -> None:
    assert created(FakeAdmin("u.geo")) == [Made("u.pin", True), Made("u.geo", False)]


def test_a_topic_that_differs_is_named_and_left_alone() -> None:
    admin = FakeAdmin("u.pin", "u.geo")
    made = created(admin, Shape(partitions=5, replication=3, min_isr=2))
    assert made[0].differences == (
        "partitions 2 instead of 5",
        "replication 1 instead of 3",
        "min-ISR 1 instead of 2",
    )
    assert admin.topics == {"u.pin": 2, "u.geo": 2}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, StopError),
        (KafkaError.INVALID_REPLICATION_FACTOR, StopError),
        (KafkaError.REQUEST_TIMED_OUT, RetryError),
        (KafkaError._TRANSPORT, RetryError),  # noqa: SLF001
    ],
)
def test_an_error_of_the_cluster_stops_or_may_pass(
    code: int, error: type[IngestError]
) -> None:
    refusal = KafkaException(KafkaError(code, "said"))
    with pytest.raises(error, match=r"Cannot create the topic u.pin: said"):
        created(FakeAdmin(refusal=refusal))


def test_a_topic_that_somebody_else_makes_meanwhile_is_there() -> None:
    refusal = KafkaException(KafkaError(KafkaError.TOPIC_ALREADY_EXISTS, "said"))
    made = created(FakeAdmin(refusal=refusal))
    assert made == [Made("u.pin", False), Made("u.geo", False)]


class FakeKinesis:
    """One stream that says what it is told, one status a look."""

    def __init__(self, *states: str, refusal: Exception | None = None) -> None:
        self.states = list(states)
        self.refusal = refusal

    def create_stream(self, **_: object) -> None:
        if self.refusal is not None:
            raise self.refusal

    def describe_stream_summary(self, **_: object) -> object:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        summary = {"StreamStatus": state, "OpenShardCount": 2}
        return {"StreamDescriptionSummary": summary}


def made_stream(fake: FakeKinesis, shards: int = 2) -> tuple[list[Made], list[float]]:
    waits: list[float] = []
    client = cast("KinesisClient", fake)
    return create_streams(client, ["s"], shards, waits.append), waits


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "said"}}, "CreateStream")


def test_a_stream_is_waited_for_until_it_is_active() -> None:
    made, waits = made_stream(FakeKinesis("CREATING", "CREATING", "ACTIVE"))
    assert made == [Made("s", True)]
    assert len(waits) == 2


def test_a_stream_that_is_there_is_left_alone_and_its_shards_are_named() -> None:
    fake = FakeKinesis("ACTIVE", refusal=refusal("ResourceInUseException"))
    assert made_stream(fake)[0] == [Made("s", False)]
    assert made_stream(fake, 3)[0] == [Made("s", False, ("shards 2 instead of 3",))]


@pytest.mark.parametrize("state", ["CREATING", "DELETING"])
def test_a_stream_that_does_not_become_active_may_pass(state: str) -> None:
    with pytest.raises(RetryError, match=r"run\s+the same command again"):
        made_stream(FakeKinesis(state))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (refusal("AccessDeniedException"), StopError, "AccessDeniedException"),
        (refusal("LimitExceededException"), RetryError, "LimitExceededException"),
        (EndpointConnectionError(endpoint_url="u"), RetryError, "does not answer"),
    ],
)
def test_an_error_of_kinesis_stops_or_may_pass(
    error: Exception, kind: type[IngestError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        made_stream(FakeKinesis("ACTIVE", refusal=error))
