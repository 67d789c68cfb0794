"""A Kinesis in memory, with the calls that a lander makes of its client."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

_FIRST = 10**55
DAY = 24 * 3600.0


def refusal(code: str, status: int = 400) -> ClientError:
    """Return what botocore raises for an error code."""
    said = {"HTTPStatusCode": status, "HTTPHeaders": {}}
    error = {"Code": code, "Message": "said"}
    return ClientError({"Error": error, "ResponseMetadata": said}, "Call")  # type: ignore[typeddict-item]


class Inline(Executor):
    """Runs what it is given at once; `KilledError` and the like pass through."""

    def submit(  # type: ignore[override]
        self, work: Callable[..., object], *args: object, **named: object
    ) -> "Future[object]":
        future: Future[object] = Future()
        try:
            future.set_result(work(*args, **named))
        except Exception as error:  # noqa: BLE001 - kept for whoever asks
            future.set_exception(error)
        return future


@dataclass
class Put:
    """One stored record."""

    sequence: int
    data: bytes
    time: float


@dataclass
class MemoryShard:
    """One shard; the first `trimmed` of its records have expired."""

    parents: tuple[int, ...] = ()
    puts: list[Put] = field(default_factory=list)
    closed: bool = False
    trimmed: int = 0

    @property
    def values(self) -> list[bytes]:
        """Everything that was ever put to it."""
        return [put.data for put in self.puts]


@dataclass
class MemoryStream:
    """One stream, and the client that reads it.

    `before` and `after` are called around each call, with its name. `limit` is how many
    records an answer has at most; `pause` makes one empty though there is more. Behind
    the last record of a closed shard, `dry` answers are empty before its end.
    """

    name: str = "u-pin"
    created: int = 1_700_000_000
    now: Callable[[], float] = lambda: 1_800_000_000.0
    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    pause: Callable[[], bool] = lambda: False
    dry: int = 0
    limit: int = 10_000
    page: int = 1_000
    hours: int = 24
    shards: dict[int, MemoryShard] = field(default_factory=dict)
    unlisted: set[int] = field(default_factory=set)
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    meta: SimpleNamespace = field(default_factory=SimpleNamespace)
    _sequence: int = _FIRST
    _lives: int = 0

    # --- what others do ------------------------------------------------------------

    def put(self, shard: int, *values: bytes) -> None:
        """Store values in a shard."""
        assert not self.shards[shard].closed
        for value in values:
            self._sequence += 1
            self.shards[shard].puts.append(Put(self._sequence, value, self.now()))

    def open(self, *parents: int) -> int:
        """Close shards and make a child of them; return its number."""
        for parent in parents:
            self.shards[parent].closed = True
        number = len(self.shards)
        self.shards[number] = MemoryShard(parents)
        return number

    def split(self, shard: int) -> tuple[int, int]:
        """Close a shard and make two of it."""
        return self.open(shard), self.open(shard)

    def trim(self) -> None:
        """Let expire what is older than the retention."""
        oldest = self.now() - self.hours * 3600
        for shard in self.shards.values():
            shard.trimmed = sum(put.time < oldest for put in shard.puts)

    def expire_iterators(self) -> None:
        """Make every iterator expire."""
        self._lives += 1

    # --- the client ----------------------------------------------------------------

    def close(self) -> None:
        """Keep no connection."""

    def describe_stream_summary(self, **asked: str) -> Any:  # noqa: ANN401
        return self._answer("describe", asked, self._describe)

    def list_shards(self, **asked: str) -> Any:  # noqa: ANN401
        return self._answer("list", asked, self._list)

    def get_shard_iterator(self, **asked: str) -> Any:  # noqa: ANN401
        return self._answer("iterator", asked, self._iterator)

    def get_records(self, **asked: Any) -> Any:  # noqa: ANN401
        return self._answer("records", asked, self._records)

    def _answer(
        self,
        name: str,
        asked: Mapping[str, Any],
        call: Callable[[Mapping[str, Any]], object],
    ) -> object:
        self.calls.append((name, asked))
        self.before(name)
        if asked.get("StreamName", self.name) != self.name:
            raise refusal("ResourceNotFoundException")
        answer = call(asked)
        self.after(name)
        return answer

    def _describe(self, _: Mapping[str, Any]) -> object:
        summary = {
            "StreamARN": f"arn:aws:kinesis:eu-west-1:0:stream/{self.name}",
            "StreamCreationTimestamp": datetime.fromtimestamp(self.created, UTC),
            "RetentionPeriodHours": self.hours,
        }
        return {"StreamDescriptionSummary": summary}

    def _list(self, asked: Mapping[str, Any]) -> object:
        assert len(asked) == 1, "a token goes alone"
        begin = int(asked.get("NextToken", 0))
        listed = [n for n in self.shards if n not in self.unlisted]
        end = begin + self.page
        answer: dict[str, Any] = {"Shards": [self._shard(n) for n in listed[begin:end]]}
        if end < len(listed):
            answer["NextToken"] = str(end)
        return answer

    def _shard(self, number: int) -> object:
        shard = self.shards[number]
        said: dict[str, Any] = {"ShardId": f"shardId-{number:012d}"}
        names = ("ParentShardId", "AdjacentParentShardId")
        for name, parent in zip(names, shard.parents, strict=False):
            said[name] = f"shardId-{parent:012d}"
        numbers = {"StartingSequenceNumber": "1"}
        if shard.closed:
            numbers["EndingSequenceNumber"] = "2"
        return {**said, "SequenceNumberRange": numbers}

    def _iterator(self, asked: Mapping[str, Any]) -> object:
        number = int(asked["ShardId"].removeprefix("shardId-"))
        shard, after = self.shards[number], asked.get("StartingSequenceNumber")
        at = 0
        if asked["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            known = [str(put.sequence) for put in shard.puts]
            if after not in known:
                raise refusal("InvalidArgumentException")
            at = known.index(after) + 1
        else:
            assert asked["ShardIteratorType"] == "TRIM_HORIZON"
            assert after is None
        return {"ShardIterator": f"{self.created} {self._lives} {number} {at}"}

    def _records(self, asked: Mapping[str, Any]) -> object:
        created, life, number, at = map(int, asked["ShardIterator"].split())
        if created != self.created:
            raise refusal("ResourceNotFoundException")
        if life != self._lives:
            raise refusal("ExpiredIteratorException")
        shard = self.shards[number]
        at = max(at, shard.trimmed)
        end = at if self.pause() else min(at + self.limit, len(shard.puts))
        if shard.closed and at >= len(shard.puts):
            end = at + 1
        left = shard.puts[end:]
        behind = max(self.now() - left[0].time, 0.001) if left else 0.0
        ended = shard.closed and end >= len(shard.puts) + self.dry
        return {
            "Records": [self._record(put) for put in shard.puts[at:end]],
            "NextShardIterator": None if ended else f"{created} {life} {number} {end}",
            "MillisBehindLatest": round(behind * 1000),
        }

    def _record(self, put: Put) -> object:
        return {
            "SequenceNumber": str(put.sequence),
            "ApproximateArrivalTimestamp": datetime.fromtimestamp(put.time, UTC),
            "Data": put.data,
            "PartitionKey": "k",
        }
