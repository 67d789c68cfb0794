"""PutRecords that fails as told, by botocore's hooks, over a server or over memory."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from ingestion.delivery import Acknowledged, Again, Message, Outcome
from ingestion.kinesis import KinesisTransport

if TYPE_CHECKING:
    from types_boto3_kinesis import KinesisClient

Put = tuple[str, bytes]
"""Partition key and data of a record that is stored."""


class Fault(Enum):
    """What happens to one call."""

    NONE = "nothing"
    SOME = "1 to all but one entries are not stored, throttled or failed inside"
    THROTTLED = "the whole call is refused"
    UNREACHABLE = "no connection"
    LOST = "stored, but the answer never comes"
    INSIDE = "stored, but the answer is a 500"
    PAGE = "stored, but the answer is a page"
    EXPIRED = "refused until the client has new credentials"


class MemoryKinesis:
    """Two shards in memory; it keeps the order in which calls come."""

    def __init__(self) -> None:
        self.shards: dict[str, list[Put]] = {"0": [], "1": []}

    def put(self, body: bytes) -> dict[str, Any]:
        entries = []
        for record in json.loads(body)["Records"]:
            shard = str(int(record["PartitionKey"][-1]) % 2)
            data = base64.b64decode(record["Data"])
            self.shards[shard].append((record["PartitionKey"], data))
            number = str(len(self.shards[shard]) - 1)
            entries.append({"ShardId": shard, "SequenceNumber": number})
        return {"FailedRecordCount": 0, "Records": entries}

    def at(self, shard: str, number: str) -> Put:
        return self.shards[shard][int(number)]


class FaultyKinesis:
    """Makes the client of a transport; one for each call of `fault`.

    `failed` has how many entries of how many failed, for each call where some did.
    """

    def __init__(
        self,
        client: "KinesisClient",
        faults: Callable[[], Fault],
        random: Random,
        memory: MemoryKinesis | None = None,
    ) -> None:
        self._client, self._faults, self._random = client, faults, random
        self._memory = memory
        self._fault = Fault.NONE
        self._failed: set[int] = set()
        self._expired = False
        self.renewals = -1
        self.happened: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self.failed: list[tuple[int, int]] = []
        events = client.meta.events
        name = "kinesis.PutRecords"
        events.register(f"before-call.{name}", self._before, "before")
        events.register(f"after-call.{name}", self._after, "after")
        if memory is not None:
            events.register("before-call.kinesis.DescribeStreamSummary", _active, "d")

    def close(self) -> None:
        events, name = self._client.meta.events, "kinesis.PutRecords"
        events.unregister(f"before-call.{name}", unique_id="before")
        events.unregister(f"after-call.{name}", unique_id="after")

    def make_client(self) -> "KinesisClient":
        """Return the client, with credentials that have not expired."""
        self._expired = False
        self.renewals += 1
        return self._client

    def _choose(self, params: dict[str, Any]) -> None:
        put = json.loads(params["body"])
        records = put["Records"]
        self._fault, self._failed = self._faults(), set()
        if self._fault is Fault.SOME and len(records) > 1:
            count = self._random.randint(1, len(records) - 1)
            self._failed = set(self._random.sample(range(len(records)), count))
            self.failed.append((count, len(records)))
            kept = [r for n, r in enumerate(records) if n not in self._failed]
            params["body"] = json.dumps({**put, "Records": kept}).encode()
        if self._fault is Fault.EXPIRED:
            self._expired = True
        self.happened[self._fault] += 1

    def _before(self, params: dict[str, Any], **_: object) -> Any:  # noqa: ANN401
        self._choose(params)
        if self._expired:
            return _refused("ExpiredTokenException")
        if self._fault is Fault.THROTTLED:
            return _refused("ProvisionedThroughputExceededException")
        if self._fault is Fault.UNREACHABLE:
            raise EndpointConnectionError(endpoint_url="a test")
        if self._memory is None:
            return None
        return SimpleNamespace(status_code=200), self._memory.put(params["body"])

    def _after(self, http_response: Any, parsed: dict[str, Any], **_: object) -> None:  # noqa: ANN401
        if self._fault is Fault.LOST:
            raise ReadTimeoutError(endpoint_url="a test")
        if self._fault is Fault.INSIDE:
            http_response.status_code = 500
            parsed["Error"] = {"Code": "InternalFailure", "Message": ""}
        if self._fault is Fault.PAGE:
            parsed.clear()
            parsed["message"] = "<html>"
        for number in sorted(self._failed):
            entry = {"ErrorCode": self._random.choice(_CODES), "ErrorMessage": "said"}
            parsed["Records"].insert(number, entry)
        if self._failed:
            parsed["FailedRecordCount"] = len(self._failed)


_CODES = ["ProvisionedThroughputExceededException", "InternalFailure"]


def _refused(code: str) -> object:
    said = {"HTTPStatusCode": 400, "HTTPHeaders": {}}
    error = {"Code": code, "Message": "said"}
    return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": said}


def _active(**_: object) -> Any:  # noqa: ANN401
    summary = {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE"}}
    return SimpleNamespace(status_code=200), summary


def client(url: str = "http://127.0.0.1:9") -> "KinesisClient":
    """Return a client as the production code makes it, for any endpoint."""
    return boto3.client(
        "kinesis",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="made-up",
        aws_secret_access_key="for tests",  # noqa: S106
        config=Config(
            retries={"total_max_attempts": 1},
            parameter_validation=False,
            connect_timeout=5,
            read_timeout=10,
        ),
    )


class WatchedTransport(KinesisTransport):
    """Keeps what was acknowledged: shard, sequence number and message."""

    def __init__(self, stream: str, faulty: FaultyKinesis) -> None:
        super().__init__(stream, faulty.make_client)
        self.acknowledged: list[tuple[Acknowledged, Message]] = []

    def check(self) -> Again | None:
        return super().check()

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        outcomes = super().send(batch)
        self.acknowledged += [
            (outcome, message)
            for outcome, message in zip(outcomes, batch, strict=True)
            if isinstance(outcome, Acknowledged)
        ]
        return outcomes


class FakeSettled:
    """Keeps a position that never goes back; nothing may be set aside."""

    position = 0

    def set_aside(self, message: Message, reason: str) -> None:
        raise AssertionError((message, reason))

    def save(self, position: int, *, now: bool = False) -> None:
        assert now or position >= self.position
        self.position = position


def messages(keys: Sequence[int]) -> Iterator[Message]:
    """Yield a message a key, each with a value of its own."""
    for position, key in enumerate(keys):
        yield Message(position, key, b'{"index":%d,"n":%d}' % (key, position))
