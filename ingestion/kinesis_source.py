"""Kinesis as a source of landings: shards read by sequence number, parents first.

The source of the rules is the "Amazon Kinesis Data Streams API Reference": GetRecords,
GetShardIterator, ListShards, and their limits for each shard.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import orjson

from ingestion.against import Stretch
from ingestion.emitters import Clock
from ingestion.errors import RetryError, StopError
from ingestion.kinesis import EXPIRED, MakeClient, error_code, explain_kinesis
from ingestion.lander import Batch, Bounds, Log, Point, Record
from ingestion.landing import Chain, Landing, Link
from ingestion.metrics import Extent
from ingestion.stores import Partition, Store

if TYPE_CHECKING:
    from types_boto3_kinesis import KinesisClient
    from types_boto3_kinesis.type_defs import ListShardsOutputTypeDef, ShardTypeDef

T = TypeVar("T")
Opened = Callable[[Partition, Log], Point]
Dropped = Callable[[Partition], None]

READ_SECONDS: Final = 10.0
WORKERS: Final = 10
"""Shards that are asked at one time; a client keeps as many connections."""

_MOST_RECORDS: Final = 10_000  # of one answer
_BETWEEN_READS_SECONDS: Final = 0.2
_BYTES_A_SECOND: Final = 2 << 20
_LIST_EVERY_SECONDS: Final = 60.0
_LOOK_EVERY_SECONDS: Final = 5.0
_LOOKS: Final = 3
_NOTE_EVERY_SECONDS: Final = 600.0
_MARGIN_SECONDS: Final = 60.0
_ROUNDED_SECONDS: Final = 1.0  # more than `MillisBehindLatest` is rounded by
_FAILURES_IN_A_ROW: Final = 8
_LONGEST_PAUSE_SECONDS: Final = 10.0
_UNCOUNTED: Final = Bounds(0, 1 << 62)
_SHARD: Final = "shardId-"


# --- calls -------------------------------------------------------------------------


class Stream(NamedTuple):
    """A stream's identity, and for how many seconds it keeps a record."""

    identity: str
    retention: float


class Shard(NamedTuple):
    """One shard: its number, its parents' numbers, and whether it takes no more."""

    number: int
    parents: tuple[int, ...]
    closed: bool


class Answer(NamedTuple):
    """Records and the iterator behind them, which is None at a closed shard's end.

    `behind` are the seconds from there to the newest record.
    """

    records: Sequence[Record]
    iterator: str | None
    behind: float


class KinesisCalls:
    """What a lander asks of Kinesis; expired credentials are renewed once a call.

    Raises `RetryError` for what may pass and `StopError` for what does not.
    """

    def __init__(self, make_client: MakeClient) -> None:
        """Ask with clients of `make_client`, which must not retry by themselves."""
        self._make_client = make_client
        self._client = make_client()
        self._lock = Lock()

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def stream(self, name: str) -> Stream:
        """Look at a stream; its identity is `kinesis:<ARN>:<creation time>`."""
        said = self._ask(
            f"look at the stream {name}",
            lambda client: client.describe_stream_summary(StreamName=name),
        )["StreamDescriptionSummary"]
        created = said["StreamCreationTimestamp"].timestamp()
        identity = f"kinesis:{said['StreamARN']}:{created:.3f}"
        return Stream(identity, said["RetentionPeriodHours"] * 3600.0)

    def shards(self, name: str) -> list[Shard]:
        """Return every shard that is listed, closed ones too."""
        said = self._page(name, {"StreamName": name})
        found = [_shard(each) for each in said["Shards"]]
        while token := said.get("NextToken"):
            said = self._page(name, {"NextToken": token})
            found += [_shard(each) for each in said["Shards"]]
        return found

    def _page(self, name: str, asked: dict[str, str]) -> "ListShardsOutputTypeDef":
        return self._ask(
            f"list the shards of {name}",
            lambda client: client.list_shards(**asked),  # type: ignore[arg-type]
        )

    def iterator(self, partition: Partition, after: str | None) -> str:
        """Return where reading begins: behind a sequence number, or at the oldest."""
        asked = {
            "StreamName": partition.topic,
            "ShardId": f"{_SHARD}{partition.number:012d}",
        }
        if after is None:
            asked["ShardIteratorType"] = "TRIM_HORIZON"
        else:
            asked["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
            asked["StartingSequenceNumber"] = after
        try:
            said = self._ask(
                f"read {partition}",
                lambda client: client.get_shard_iterator(**asked),  # type: ignore[arg-type]
            )
        except StopError as error:
            if error_code(error.__cause__ or error) != "InvalidArgumentException":
                raise
            raise StopError(
                f"{partition} knows no record {after}, behind which its chain goes on: "
                "the stream or the landing is not the one it was. Nothing was read. "
                "Run `ingest verify`, then use another landing."
            ) from error
        return said["ShardIterator"]

    def records(self, partition: Partition, iterator: str, offset: int) -> Answer:
        """Return up to 10,000 records, counted from `offset`."""
        said = self._ask(
            f"read {partition}",
            lambda client: client.get_records(
                ShardIterator=iterator, Limit=_MOST_RECORDS
            ),
        )
        records = [
            Record(
                offset + n,
                each["Data"],
                each["PartitionKey"].encode(),
                round(each["ApproximateArrivalTimestamp"].timestamp() * 1000),
                each["SequenceNumber"],
            )
            for n, each in enumerate(said["Records"])
        ]
        behind = said.get("MillisBehindLatest", 0) / 1000
        return Answer(records, said.get("NextShardIterator") or None, behind)

    def _ask(self, doing: str, call: Callable[["KinesisClient"], T]) -> T:
        client = self._client
        try:
            with explain_kinesis(doing):
                return call(client)
        except StopError as error:
            code = error_code(error.__cause__ or error)
            if code == "ExpiredIteratorException":
                raise RetryError(f"Cannot {doing}: an iterator expired.") from error
            if code not in EXPIRED:
                raise
        with explain_kinesis(doing):
            return call(self._renewed(client))

    def _renewed(self, old: "KinesisClient") -> "KinesisClient":
        with self._lock:
            if self._client is old:
                self._client = self._make_client()
            return self._client


def _shard(said: "ShardTypeDef") -> Shard:
    parents = said.get("ParentShardId"), said.get("AdjacentParentShardId")
    numbers = tuple(_number(parent) for parent in parents if parent)
    closed = "EndingSequenceNumber" in said["SequenceNumberRange"]
    return Shard(_number(said["ShardId"]), numbers, closed)


def _number(shard: str) -> int:
    """Return the number in `shardId-000000000003`."""
    number = shard.removeprefix(_SHARD)
    if not number.isdecimal():
        raise StopError(f"Kinesis names a shard {shard!r}, which has no number.")
    return int(number)


# --- what was seen -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """When a shard was last read to its end with all of it landed.

    A shard tells nobody what expired in it. A quiet one has no link that would show
    until when it is landed, so that is kept here; nothing else depends on it.
    """

    store: Store

    def read(self, partition: Partition, identity: str) -> float | None:
        """Return the time in seconds, None where it is not known of this stream."""
        body = self.store.read(_seen_name(partition))
        try:
            said = orjson.loads(body or b"{}")
            return float(said["seen"]) if said["source"] == identity else None
        except (ValueError, TypeError, KeyError):
            return None

    def note(self, partition: Partition, identity: str, time: float) -> None:
        """Keep the time."""
        body = orjson.dumps({"source": identity, "seen": time})
        self.store.replace(_seen_name(partition), body + b"\n")


def _seen_name(partition: Partition) -> str:
    return f"_ingest/seen/{partition.topic}/{partition.number}.json"


class Retention(NamedTuple):
    """How long a stream kept records: when it was asked, and for how many seconds then.

    Only what differs from the one before, the oldest first: that is when this landing
    began with the stream. A change came at some time before it was found.
    """

    found: tuple[tuple[float, float], ...]

    @property
    def begun(self) -> float:
        """When this landing began with the stream."""
        return self.found[0][0]

    def least(self, since: float) -> float:
        """Return the shortest one that may have held at any time after `since`."""
        ends = [time for time, _ in self.found[1:]]
        spans = zip(self.found, [*ends, float("inf")], strict=True)
        return min(kept for (_, kept), end in spans if end > since)


@dataclass(frozen=True, slots=True)
class Retentions:
    """The retention of streams, as landers of this landing have found it."""

    landing: Landing

    def find(self, name: str, stream: Stream, now: float) -> Retention:
        """Return what was found until now, and note it where that is new."""
        path = f"_ingest/seen/{name}/stream.json"
        noted = self._read(path)
        found = noted.get(stream.identity) or []
        if not found or found[-1][1] != stream.retention:
            begun = now if found else self._begun(name, stream.identity, now)
            noted[stream.identity] = found = [*found, (begun, stream.retention)]
            self.landing.store.replace(path, orjson.dumps(noted) + b"\n")
        return Retention(tuple(found))

    def _read(self, path: str) -> dict[str, list[tuple[float, float]]]:
        try:
            said = orjson.loads(self.landing.store.read(path) or b"{}")
            return {
                str(identity): [(float(time), float(kept)) for time, kept in found]
                for identity, found in said.items()
            }
        except (ValueError, TypeError, AttributeError):
            return {}

    def _begun(self, name: str, identity: str, now: float) -> float:
        """Return since when at the latest the stream is landed, where no note tells."""
        places = self.landing.store.partitions()
        times = [
            _last_time(self.landing, p, identity) for p in places if p.topic == name
        ]
        return min((time for time in times if time is not None), default=now)


def _last_time(landing: Landing, partition: Partition, identity: str) -> float | None:
    """Return the time in seconds of the last record that was landed of a shard."""
    end = Chain(landing, partition).end
    if end is None or end.source != identity or end.last_time is None:
        return None
    return end.last_time / 1000


# --- shards ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """Which shards a lander reads: those of `number` when dealt out to `of` landers."""

    number: int = 1
    of: int = 1

    def __contains__(self, shard: object) -> bool:
        """Tell whether a shard, by its number, is one of them."""
        return isinstance(shard, int) and shard % self.of == self.number - 1


class Fetched(NamedTuple):
    """An answer, and when it was asked for."""

    answer: Answer
    sent: float


@dataclass(slots=True)
class Reading:
    """Where one shard is being read: the state of its reader.

    `offset` and `after` are behind what was read, `landed` behind what is landed.
    All that arrived until `known` was read.
    """

    shard: Shard
    offset: int = 0
    landed: int = 0
    after: str | None = None
    known: float = 0.0
    noted: float = 0.0
    iterator: str | None = None
    future: "Future[Fetched] | None" = None
    due: float = 0.0
    failures: int = 0
    exhausted: bool = False
    doubtful: bool = False

    @property
    def settled(self) -> bool:
        """Whether all that was read is landed."""
        return self.landed == self.offset

    def begin(self, point: Point, known: float) -> None:
        """Stand at a point; what is being asked for is not wanted any more."""
        self.offset = self.landed = point.offset
        self.after = point.sequence
        self.known = known
        self.iterator = self.future = None
        self.exhausted = self.doubtful = False

    def take(self, fetched: Fetched, retention: float) -> None:
        """Stand behind an answer; records were kept for `retention` at least."""
        answer, sent = fetched
        if sent - self.known > retention - _MARGIN_SECONDS:
            self.doubtful = True
        self.offset += len(answer.records)
        self.iterator, self.exhausted = answer.iterator, answer.iterator is None
        if answer.records:
            last = answer.records[-1]
            self.after, self.known = last.sequence, (last.time or 0) / 1000
        elif not answer.behind:
            self.known = sent
        size = sum(len(record.value or b"") for record in answer.records)
        self.due = sent + max(_BETWEEN_READS_SECONDS, size / _BYTES_A_SECOND)
        self.failures = 0


@dataclass(frozen=True, slots=True)
class KinesisLog:
    """One shard of a stream; its offsets are counted, so it has no bounds."""

    reader: "KinesisReader"
    partition: Partition

    def identity(self) -> str:
        """Return `kinesis:<ARN>:<creation time>`, not older than what was read."""
        return self.reader.stream(self.partition.topic).identity

    def bounds(self) -> Bounds:
        """Return no bounds: Kinesis tells no offsets."""
        return _UNCOUNTED

    def seek(self, point: Point) -> None:
        """Read on from `point`."""
        self.reader.seek(self.partition, point)

    def landed(self, offset: int) -> None:
        """Note that all before `offset` is landed."""
        self.reader.landed(self.partition, offset)


@dataclass(slots=True)
class KinesisReader:
    """Reads streams, each shard by itself, and a child when its parents have ended.

    A parent has ended when it is no longer listed, or closed and landed to its end:
    that is found out each time, and kept nowhere. Reads of a shard are at least 0.2 s
    apart, as Kinesis allows five a second.
    """

    calls: KinesisCalls
    pool: Executor
    landing: Landing
    streams: Sequence[str]
    share: Share = field(default_factory=Share)
    clock: Clock = field(default_factory=Clock)
    _opened: Opened = lambda *_: Point(0)
    _dropped: Dropped = lambda _: None
    _listed: dict[Partition, Shard] = field(default_factory=dict)
    _readings: dict[Partition, Reading] = field(default_factory=dict)
    _ended: set[Partition] = field(default_factory=set)
    _streams: dict[str, Stream] = field(default_factory=dict)
    _retentions: dict[str, Retention] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)
    _first: dict[str, str] = field(default_factory=dict)
    _looked: dict[Partition, float] = field(default_factory=dict)
    _looks: dict[Partition, tuple[str | None, str | None]] = field(default_factory=dict)
    _wanted: frozenset[Partition] = frozenset()
    _list_at: float = 0.0
    _started: float = 0.0

    def start(self, opened: Opened, dropped: Dropped) -> None:
        """Begin; `StopError` where a stream is not there."""
        self._opened, self._dropped = opened, dropped
        self._readings.clear()
        self._ended.clear()
        self._looked.clear()
        self._looks.clear()
        self._started = self.clock.now()
        self._list()
        self._wanted = frozenset(self._listed)
        self._open_all()

    def close(self) -> None:
        """Drop the connections; what is still asked for is not waited for."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.calls.close()

    def require_complete(self) -> None:
        """Raise `RetryError` where other landers keep a shard of the start waiting."""
        left = [partition for partition in self._waiting() if partition in self._wanted]
        if left:
            raise RetryError(
                f"{left[0]} was not landed, nor were {len(left) - 1} more: the shards "
                "before them are other landers', who have not landed them to their end "
                "yet. Run the same command again when they have."
            )

    def _waiting(self) -> list[Partition]:
        """Return the shards that were not begun, as their parents have not ended."""
        mine = (place for place in self._listed if place.number in self.share)
        begun = self._readings.keys() | self._ended
        return sorted(place for place in mine if place not in begun)

    def extents(self, partitions: Sequence[Partition]) -> dict[Partition, Extent]:
        """Return what was heard last; asks nobody."""
        found = {}
        for partition in partitions:
            stream = self._streams.get(partition.topic)
            reading = self._readings.get(partition)
            if stream is not None and reading is not None:
                kept = stream.retention
                found[partition] = Extent(retention=kept, known=reading.known)
        return found

    # --- what the lander says ------------------------------------------------------

    def stream(self, name: str) -> Stream:
        """Return what a stream is, asked again after everything that was read."""
        was = self._streams.get(name)
        if was is None or name in self._stale:
            now = self.calls.stream(name)
            if now != was:
                found = Retentions(self.landing).find(name, now, self.clock.now())
                self._retentions[name] = found
            self._streams[name] = now
            self._stale.discard(name)
        return self._streams[name]

    def seek(self, partition: Partition, point: Point) -> None:
        """Read on from `point`."""
        reading = self._readings[partition]
        if point.offset and point.sequence is None:
            raise StopError(
                f"The chain of {partition} has {point.offset} records of this stream "
                "but does not say which was the last: run `ingest verify`."
            )
        identity = self.stream(partition.topic).identity
        time = None if point.time is None else point.time / 1000
        reading.begin(point, self._known(partition, identity, time))

    def landed(self, partition: Partition, offset: int) -> None:
        """Note that all before `offset` is landed."""
        reading = self._readings[partition]
        reading.landed, reading.doubtful = offset, False

    def _known(self, partition: Partition, identity: str, last: float | None) -> float:
        """Tell until when all that arrived in a shard was read; `last` is landed.

        Where neither that nor a note says so it is as its parents: its first record
        came when they were closed. Where they are forgotten too, nothing was read since
        this landing began with the stream.
        """
        seen = Seen(self.landing.store).read(partition, identity)
        if told := [time for time in (seen, last) if time is not None]:
            return max(told)
        shard = self._listed.get(partition)
        parents = [] if shard is None else shard.parents
        known = []
        for parent in (Partition(partition.topic, number) for number in parents):
            time = _last_time(self.landing, parent, identity)
            known.append(self._known(parent, identity, time))
        return min(known, default=self._retentions[partition.topic].begun)

    # --- which shards --------------------------------------------------------------

    def _list(self) -> None:
        """List the shards of all streams, and require that they are those they were."""
        for name in self.streams:
            self._stale.add(name)
            now = self.stream(name).identity
            was = self._first.setdefault(name, now)
            if was != now:
                raise StopError(
                    f"The stream {name} was {was} and is {now} now: it was made anew. "
                    "Run the same command again."
                )
            shards = self.calls.shards(name)
            others = {p: s for p, s in self._listed.items() if p.topic != name}
            self._listed = others | {Partition(name, s.number): s for s in shards}
        self._list_at = self.clock.now() + _LIST_EVERY_SECONDS

    def _advance(self) -> None:
        """Drop the shards that have ended, and begin with their children."""
        for partition, reading in list(self._readings.items()):
            if reading.exhausted and reading.settled:
                del self._readings[partition]
                self._ended.add(partition)
                self._dropped(partition)
                self._list_at = 0.0
        if self.clock.now() >= self._list_at:
            self._list()
        self._open_all()

    def _open_all(self) -> None:
        for partition in self._waiting():
            parents = self._listed[partition].parents
            if all(self._has_ended(Partition(partition.topic, n)) for n in parents):
                self._open(partition)

    def _open(self, partition: Partition) -> None:
        point = self._opened(partition, KinesisLog(self, partition))
        self._readings[partition] = Reading(self._listed[partition])
        try:
            self.seek(partition, point)
        except BaseException:
            del self._readings[partition]
            self._dropped(partition)
            raise

    def _has_ended(self, parent: Partition) -> bool:
        if parent in self._readings:
            return False
        if parent in self._ended or parent not in self._listed:
            return True
        if parent.number in self.share or not self._listed[parent].closed:
            return False
        now = self.clock.now()
        if now < self._looked.get(parent, 0.0):
            return False
        self._looked[parent] = now + _LOOK_EVERY_SECONDS
        if self._is_landed(parent):
            self._ended.add(parent)
        return parent in self._ended

    def _is_landed(self, partition: Partition) -> bool:
        """Tell whether another lander landed a closed shard to its end.

        Answers may be empty long before that: the next look goes on behind them.
        """
        end = Chain(self.landing, partition).end
        ours = end is not None and end.source == self.stream(partition.topic).identity
        after = end.next_sequence if end is not None and ours else None
        was, iterator = self._looks.pop(partition, (None, None))
        if iterator is None or was != after:
            iterator = self.calls.iterator(partition, after)
        for _ in range(_LOOKS):
            records, iterator, _ = self.calls.records(partition, iterator, 0)
            if records or iterator is None:
                return not records
        self._looks[partition] = after, iterator
        return False

    # --- reading -------------------------------------------------------------------

    def idle(self) -> None:
        """Do nothing: nobody shares shards out."""

    def read(self, seconds: float) -> Iterator[Batch]:
        """Return what has arrived, a batch for each shard that answered."""
        self._advance()
        self._ask_all()
        self._wait(seconds)
        for partition, reading in list(self._readings.items()):
            if reading.future is not None and reading.future.done():
                yield self._batch(partition, reading)

    def _ask_all(self) -> None:
        now = self.clock.now()
        for partition, reading in self._readings.items():
            if reading.future is None and not reading.exhausted and reading.due <= now:
                place = reading.iterator, reading.after, reading.offset
                reading.future = self.pool.submit(self._fetch, partition, *place)

    def _fetch(
        self, partition: Partition, iterator: str | None, after: str | None, offset: int
    ) -> Fetched:
        sent = self.clock.now()
        iterator = iterator or self.calls.iterator(partition, after)
        return Fetched(self.calls.records(partition, iterator, offset), sent)

    def _wait(self, seconds: float) -> None:
        """Wait until a shard has answered, or may be asked again."""
        now = self.clock.now()
        futures = [r.future for r in self._readings.values() if r.future is not None]
        idle = [
            r.due
            for r in self._readings.values()
            if r.future is None and not r.exhausted
        ]
        left = max(min([seconds, *(due - now for due in idle)]), 0.0)
        if futures:
            wait(futures, left, FIRST_COMPLETED)
        else:
            self.clock.sleep(left)

    def _batch(self, partition: Partition, reading: Reading) -> Batch:
        future, reading.future = reading.future, None
        try:
            fetched = future.result() if future else None
        except RetryError as error:
            self._failed(reading, error)
            fetched = None
        if fetched is None:
            return Batch(partition)
        retention = self._retentions[partition.topic].least(reading.known)
        reading.take(fetched, retention)
        self._stale.add(partition.topic)
        self._note_seen(partition, reading, fetched)
        return Batch(
            partition,
            fetched.answer.records,
            caught_up=self._caught_up(reading, fetched),
            ended=reading.exhausted,
            doubtful=reading.doubtful,
        )

    def _failed(self, reading: Reading, error: RetryError) -> None:
        """Ask again later, from behind the last record; raise after many in a row."""
        reading.iterator = None
        reading.failures += 1
        pause = min(
            _BETWEEN_READS_SECONDS * 2**reading.failures, _LONGEST_PAUSE_SECONDS
        )
        reading.due = self.clock.now() + pause
        if reading.failures >= _FAILURES_IN_A_ROW:
            reading.failures = 0
            raise error

    def _caught_up(self, reading: Reading, fetched: Fetched) -> bool:
        """Tell whether all was read that was there at the start.

        Of a closed shard only its end tells that, as its children come next.
        """
        answer, sent = fetched
        if reading.shard.closed or len(answer.records) >= _MOST_RECORDS:
            return False
        since = sent - self._started - _ROUNDED_SECONDS
        return not answer.behind or answer.behind <= since

    def _note_seen(
        self, partition: Partition, reading: Reading, fetched: Fetched
    ) -> None:
        """Note when an open shard was read to its end; its children have one of theirs.

        A closed one may be read long after its children got their first record.
        """
        answer, sent = fetched
        at_end = not answer.records and not answer.behind and reading.settled
        if not at_end or reading.exhausted or reading.shard.closed:
            return
        if reading.doubtful or sent - reading.noted < _NOTE_EVERY_SECONDS:
            return
        identity = self.stream(partition.topic).identity
        Seen(self.landing.store).note(partition, identity, sent)
        reading.noted = sent


# --- held against a landing --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KinesisOriginal:
    """Kinesis as `ingestion.against` asks it; places are sequence numbers."""

    calls: KinesisCalls
    clock: Clock = field(default_factory=Clock)

    def numbers(self, topic: str) -> list[int]:
        """Return the numbers of the shards that are listed, closed ones too."""
        return sorted(shard.number for shard in self.calls.shards(topic))

    def identity(self, topic: str) -> str:
        """Return `kinesis:<ARN>:<creation time>`."""
        return self.calls.stream(topic).identity

    def end(self, link: Link) -> int:
        """Return what no record of a link reaches."""
        return int(link.next_sequence or 0) + 1

    def offset(self, _: Record) -> None:
        """Return none: landers count offsets."""

    def read(self, partition: Partition, end: Link | None, *, whole: bool) -> Stretch:
        """Read from the chain's end, or the oldest record, to what is newest now."""
        after = end.next_sequence if end is not None and not whole else None
        return Stretch(self._records(partition, after))

    def _records(
        self, partition: Partition, after: str | None
    ) -> Iterator[tuple[int, Record]]:
        started = self.clock.now()
        iterator: str | None = self.calls.iterator(partition, after)
        while iterator is not None:
            sent = self.clock.now()
            records, iterator, behind = self.calls.records(partition, iterator, 0)
            for record in records:
                yield int(record.sequence or 0), record
            if not records and behind <= sent - started:
                return
            self.clock.sleep(_BETWEEN_READS_SECONDS)
