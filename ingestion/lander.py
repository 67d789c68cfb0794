"""Land what is in a source's partitions: each record once, in order, whoever lands too.

A lander starts where the chain of a partition ends, buffers what it reads, and commits
it with one conditional create. Refused, it drops its buffer and goes where the link
that was first says. So any number of landers may run, sleep, or be killed at any time.
"""

import json
import uuid
from abc import abstractmethod
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import Final, NamedTuple, Protocol

import orjson

from ingestion.emitters import SOURCE as DIRECT
from ingestion.emitters import Clock, Flush
from ingestion.errors import RetryError, StopError
from ingestion.landing import ACCEPTED, NOT_ACCEPTED, Chain, Landing, Link
from ingestion.records import MAX_RECORD_BYTES
from ingestion.stores import Partition

_READ_SECONDS: Final = 0.25
_NAP_SECONDS: Final = 0.25
_LONGEST_WAIT_SECONDS: Final = 30.0
_KPL: Final = b"\xf3\x89\x9a\xc2"  # "KPL Aggregated Record Format", Magic Number
_WINDOW: Final = 10_000
_WINDOW_MIN: Final = 1_000
_WINDOW_SHARE: Final = 0.01
_ROW: Final = 100
_LETTERS: Final = 100  # of a link: each is a write of its own, and nobody polls
_LETTER_BYTES: Final = 500  # what a dead letter takes beside its key and its value
_CHUNK: Final = 250
_PLAIN_BYTES: Final = 4 << 20


class Record(NamedTuple):
    """One record of a source: `time` in epoch milliseconds, where it is known.

    `sequence` is what the source calls it, where offsets are only counted.
    """

    offset: int
    value: bytes | None
    key: bytes | None = None
    time: int | None = None
    sequence: str | None = None


class Point(NamedTuple):
    """From where to read on: `offset`, right behind the record `sequence`.

    `time` is that of the last record landed before it. Both are None where the chain
    has no link of this source.
    """

    offset: int
    sequence: str | None = None
    time: int | None = None


class Columns(Sequence[Record]):
    """Records that are made only where somebody asks for one."""

    @property
    @abstractmethod
    def offsets(self) -> list[int]:
        """The offsets of all."""

    @property
    @abstractmethod
    def values(self) -> list[bytes | None]:
        """The values of all."""


def columns(records: Sequence[Record]) -> tuple[list[int], list[bytes | None]]:
    """Return offsets and values of records."""
    if isinstance(records, Columns):
        return records.offsets, records.values
    return [record.offset for record in records], [record.value for record in records]


class Bounds(NamedTuple):
    """The first offset that a log still has, and the one its next record will get."""

    low: int
    high: int


class Batch(NamedTuple):
    """What was read of one partition, in order.

    `caught_up`: there was nothing behind it. `broken`: the source failed, and what
    comes next is not known: seek. `end`: the offset that the next record of the source
    will get, as last heard; None where the source does not tell. `ended`: nothing will
    ever come behind it; its reader drops the partition when all is landed. `doubtful`:
    records before it may have expired unread.
    """

    partition: Partition
    records: Sequence[Record] = ()
    caught_up: bool = False
    broken: bool = False
    end: int | None = None
    ended: bool = False
    doubtful: bool = False


class Log(Protocol):
    """One partition, where its records come from."""

    def identity(self) -> str:
        """Tell it from every other, also from one made anew under its name."""

    def bounds(self) -> Bounds:
        """Return what it has now, asked of the source."""

    def seek(self, point: Point) -> None:
        """Read on from `point`."""

    def landed(self, offset: int) -> None:
        """Tell whoever watches the lag that all before `offset` is landed."""


class Reader(Protocol):
    """Reads the partitions of a source."""

    def start(
        self,
        opened: Callable[[Partition, Log], Point],
        dropped: Callable[[Partition], None],
    ) -> None:
        """Begin; `opened` says from where a partition is to be read."""

    def read(self, seconds: float) -> Iterable[Batch]:
        """Return what has arrived, waiting for it no longer than `seconds`."""

    def idle(self) -> None:
        """Stay who shares the partitions while nothing is read; the next is a seek."""


# --- dead letters ------------------------------------------------------------------


class Letter(NamedTuple):
    """A record that cannot be a line: kept with its reason, at its position."""

    position: int
    reason: str
    record: Record

    @property
    def size(self) -> int:
        """The bytes of memory that it takes, about."""
        key, value = self.record.key or b"", self.record.value or b""
        return len(key) + len(value) + _LETTER_BYTES

    def body(self, partition: Partition, source: str) -> bytes:
        """Write it as one line of JSON, its bytes in base64."""
        named = {
            "reason": self.reason,
            "source": source,
            "topic": partition.topic,
            "partition": partition.number,
            "offset": self.record.offset,
            "time": self.record.time,
            "key": _base64(self.record.key),
            "value": _base64(self.record.value),
        }
        return orjson.dumps(named) + b"\n"


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


REASONS: Final = ("null_value", "too_large", "not_utf8", "kpl_aggregate", "newline")
"""Why a record can be no line."""


def line_or_reason(value: bytes | None, max_bytes: int) -> bytes | str:
    """Return the line that a record is, or the reason why it can be none.

    The bytes stay as they are, but for newlines between the tokens of JSON (RFC 8259
    allows none inside a string): each becomes a blank.
    """
    if value is None:
        return "null_value"
    if len(value) > max_bytes:
        return "too_large"
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError:
            return "kpl_aggregate" if value.startswith(_KPL) else "not_utf8"
    if b"\n" not in value:
        return value
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return "newline"
    return value.replace(b"\n", b" ")


def plain_size(values: Sequence[bytes | None], max_bytes: int) -> int | None:
    """Return the bytes of lines and their ends, if every value is a line as it is.

    None says nothing: some may not be lines. UTF-8 is judged of many at once, since no
    character goes on behind a newline.
    """
    try:
        sizes = [*map(len, values)]  # type: ignore[arg-type]
        if max(sizes) > max_bytes or sum(sizes) > _PLAIN_BYTES:
            return None
        if b"\n" in b"".join(values):  # type: ignore[arg-type]
            return None
        b"\n".join([v for v in values if v and not v.isascii()]).decode()
    except (TypeError, UnicodeDecodeError):
        return None
    return sum(sizes) + len(sizes)


class PoisonAlarm:
    """Tells one bad record from a topic that is no place for this lander."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._row = self._good = 0
        self._dead: deque[int] = deque()

    def rings(self, good: int, dead: int) -> bool:
        """Count one more dead letter; `good` and `dead` are all before it."""
        self._row = self._row + 1 if good == self._good else 1
        self._good = good
        read = good + dead + 1
        self._dead.append(read)
        while self._dead[0] <= read - _WINDOW:
            self._dead.popleft()
        many = len(self._dead) > _WINDOW_SHARE * min(read, _WINDOW)
        return self._row >= _ROW or (read >= _WINDOW_MIN and many)


# --- one partition -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """What somebody decided about what a lander would otherwise stop at.

    `start` is the first offset of a chain that has no link of its source yet, or finds
    it when the chain is opened.
    """

    continue_chain: bool = False
    accept_expired: bool = False
    accept_dead_letters: bool = False
    start: int | Callable[[Partition], int] = 0
    max_record_bytes: int = MAX_RECORD_BYTES


@dataclass(slots=True)
class Buffer:
    """What was read behind the chain's end: `next` is one past the last position."""

    next: int
    lines: list[bytes] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    bytes: int = 0
    gaps: int = 0
    before_start: int = 0
    expired: int = 0
    doubtful: bool = False
    first: int | None = None
    last: int | None = None
    sequence: str | None = None
    last_sequence: str | None = None
    first_time: int | None = None
    last_time: int | None = None
    since: float = 0.0

    def __bool__(self) -> bool:
        """Tell whether there is anything that a link may be made for."""
        return bool(self.lines or self.letters)

    def cut(self, start: int) -> None:
        """Keep nothing behind the last good record."""
        if self.last is None:
            self.lines, self.letters = [], []
            return
        self.next, self.sequence = self.last + 1, self.last_sequence
        self.letters = [x for x in self.letters if x.position < self.next]
        known = len(self.lines) + len(self.letters) + self.before_start + self.expired
        self.gaps = self.next - start - known


class Landed(NamedTuple):
    """A link that was committed: of which partition, why now, bytes of its object.

    `lag_records` is what the source has behind it, `lag_seconds` how old its last
    record was when it was committed; None where that is not known. `reasons` counts
    its dead letters.
    """

    partition: Partition
    link: Link
    why: str
    bytes: int
    conflicts: int
    lag_records: int | None = None
    lag_seconds: float | None = None
    reasons: Mapping[str, int] = Counter()


Tell = Callable[[Landed], None]
Refused = Callable[[Partition], None]


@dataclass(slots=True)
class Total:
    """What one run landed of one partition."""

    links: int = 0
    records: int = 0
    dead: int = 0


class PartitionLander:
    """Lands one partition. `offset` is where the source is to be read from.

    A position is where a record stands in the chain; its offset is where it stands in
    the source. They differ by `base` where a chain goes on from another source.
    """

    def __init__(
        self,
        chain: Chain,
        log: Log,
        rules: Rules,
        flush: Flush,
        *,
        clock: Clock,
        tell: Tell,
        refused: Refused = lambda _: None,
        source: str | None = None,
    ) -> None:
        """Stand at the end of a fresh chain; `StopError` where it is another's.

        `source` is what the log was when this run had it before.
        """
        self.conflicts = 0
        self.caught_up = False
        self.end: int | None = None
        self._chain = chain
        self._log = log
        self._rules = rules
        self._flush = flush
        self._clock = clock
        self._tell = tell
        self._refused = refused
        self._writer = uuid.uuid4().hex
        self.source = source or log.identity()
        self._continued = self._other_end() if rules.continue_chain else None
        self.resume()
        self.goal = log.bounds().high

    # --- where to begin ------------------------------------------------------------

    @property
    def offset(self) -> int:
        """The next offset to read."""
        return self._buffer.next - self._base

    @property
    def point(self) -> Point:
        """From where to read on, behind the chain's end."""
        end = self._chain.end
        if end is None or end.source != self.source:
            return Point(self.offset)
        return Point(self.offset, end.next_sequence, end.last_time)

    @property
    def size(self) -> int:
        """The bytes that wait for their link."""
        return self._buffer.bytes

    @property
    def landed(self) -> int:
        """The offset behind the last one that is landed."""
        return self._chain.next - self._base

    @property
    def lag_records(self) -> int | None:
        """What the source has and the landing has not, as last heard."""
        return None if self.end is None else max(self.end - self.landed, 0)

    @property
    def oldest(self) -> int | None:
        """The time (epoch milliseconds) of the oldest record that waits to be landed.

        Where it was not read yet, that of the last landed one; None if none waits.
        """
        if self._buffer.first_time is not None or not self.lag_records:
            return self._buffer.first_time
        end = self._chain.end
        return None if end is None else end.last_time

    @property
    def done(self) -> bool:
        """Whether all is read that was there at the start."""
        return self.caught_up or self.offset >= self.goal

    def _other_end(self) -> int | None:
        """Return where the chain of another source ends, if it is one."""
        end = self._chain.end
        return None if end is None or end.source == self.source else end.next

    def resume(self) -> None:
        """Stand at the chain's end with nothing buffered."""
        self._require_same_source()
        self._base, new = self._find_base()
        start = self._start() if new else 0  # before the bounds: it may be the end
        low, high = self._log.bounds()
        self._buffer = Buffer(self._chain.next)
        self._alarm = PoisonAlarm()
        self._good = self._bad = 0
        self._fresh, self._doubted = True, -1
        begin = self._base + max(low, start)
        if max(begin if new else 0, self._chain.next) > self._base + high:
            raise StopError(
                f"{self._chain.partition} ends at {high}, but its chain goes on at "
                f"{self.offset}: the topic was cut or made anew, or --start lies "
                "behind its end. Restore it, or use another landing."
            )
        if begin > self._chain.next:
            self._miss(begin - self._chain.next, new=new)
            self._buffer.next = begin

    def _start(self) -> int:
        start = self._rules.start
        return start if isinstance(start, int) else start(self._chain.partition)

    def _find_base(self) -> tuple[int, bool]:
        """Return the base, and whether the chain has no link of this source yet."""
        end = self._chain.end
        if end is None:
            return 0, True
        if end.source == self.source:
            return end.base, False
        if end.source == DIRECT:
            raise StopError(
                f"{self._chain.partition} was landed from {DIRECT} by `ingest emit "
                "landing`: a lander cannot share its chain. Use another landing."
            )
        if end.next == self._continued:
            return end.next, True
        raise StopError(
            f"{self._chain.partition} was landed from {end.source}, and this is "
            f"{self.source}: its offsets count something else. Use another landing, "
            "or say --continue-chain to go on behind what is there."
        )

    def _require_same_source(self) -> None:
        now = self._log.identity()
        if now != self.source:
            raise StopError(
                f"{self._chain.partition} was {self.source} and is {now} now: it was "
                "made anew. Use another landing, or say --continue-chain to go on "
                "behind what is there."
            )

    def _miss(self, number: int, *, new: bool) -> None:
        """Account for records that are not there to be read."""
        if new:
            self._buffer.before_start = number
        elif self._rules.accept_expired:
            self._buffer.expired = number
        else:
            raise StopError(
                f"{number} records of {self._chain.partition} from offset {self.offset}"
                " on have expired before they were landed. Say --accept-expired to "
                "count them as lost and go on."
            )

    # --- taking records ------------------------------------------------------------

    def take(self, records: Sequence[Record]) -> bool:
        """Take records over; False where the rest will be read again, from a seek."""
        for start in range(0, len(records), _CHUNK):
            chunk = records[start : start + _CHUNK]
            if not self._take_plain(chunk) and not self._take_each(chunk):
                return False
        return True

    def _take_plain(self, records: Sequence[Record]) -> bool:
        """Take records that are lines as they are, and fit; False where one may not."""
        buffer = self._buffer
        offsets, values = columns(records)
        room = self._flush.max_records - len(buffer.lines)
        rising = all(map(lt, offsets, islice(offsets, 1, None)))
        if self._fresh or offsets[0] < self.offset or not rising or len(values) >= room:
            return False
        size = plain_size(values, self._rules.max_record_bytes)
        if size is None or buffer.bytes + size > self._flush.max_bytes:
            return False
        first, last = records[0], records[-1]
        self._note(self._base + last.offset, last, buffer)
        buffer.gaps -= len(values) - 1
        self._keep(self._base + first.offset, first, buffer)
        self._keep(self._base + last.offset, last, buffer)
        buffer.lines += values  # type: ignore[arg-type]
        buffer.bytes += size
        self._good += len(values)
        return True

    def _take_each(self, records: Sequence[Record]) -> bool:
        for record in records:
            position = self._base + record.offset
            if position < self._buffer.next:
                continue
            if self._fresh and not self._trusted(record):
                return False
            line = line_or_reason(record.value, self._rules.max_record_bytes)
            if isinstance(line, str):
                taken = self._bury(Letter(position, line, record))
            else:
                taken = self._add(position, record, line)
            if not taken:
                return False
        return True

    def _add(self, position: int, record: Record, line: bytes) -> bool:
        if not self._has_room(len(line) + 1):
            return False
        buffer = self._buffer
        self._note(position, record, buffer)
        self._keep(position, record, buffer)
        buffer.lines.append(line)
        buffer.bytes += len(line) + 1
        self._good += 1
        return self._ends_if_full()

    def _trusted(self, record: Record) -> bool:
        """Believe a hole right behind a seek only when a second seek shows it again.

        Else a record that was on its way before the seek would make a hole of all that
        lies before it.
        """
        hole = record.offset > self.offset
        if hole and record.offset != self._doubted:
            self._doubted = record.offset
            self._log.seek(self.point)
            return False
        self._fresh = False
        return True

    def _has_room(self, size: int) -> bool:
        """Make room in the link; False where the source must be read again."""
        full = self._buffer.bytes + size > self._flush.max_bytes
        return not (full and self._buffer) or self.flush("bytes")

    def _ends_if_full(self) -> bool:
        lines, letters = self._buffer.lines, self._buffer.letters
        full = len(lines) >= self._flush.max_records or len(letters) >= _LETTERS
        return not full or self.flush("records")

    def doubt(self) -> None:
        """Have the next link say that records before it may have expired unread."""
        self._buffer.doubtful = True

    def _note(self, position: int, record: Record, buffer: Buffer) -> None:
        if not buffer:
            buffer.since = self._clock.now()
        buffer.gaps += position - buffer.next
        buffer.next, buffer.sequence = position + 1, record.sequence

    def _keep(self, position: int, record: Record, buffer: Buffer) -> None:
        if buffer.first is None:
            buffer.first, buffer.first_time = position, record.time
        buffer.last, buffer.last_time = position, record.time
        buffer.last_sequence = record.sequence

    def _bury(self, letter: Letter) -> bool:
        """Set a record aside; not accepted, it ends no link: the alarm may ring."""
        accepted = self._rules.accept_dead_letters
        if accepted and not self._has_room(letter.size):
            return False
        buffer = self._buffer
        self._note(letter.position, letter.record, buffer)
        buffer.letters.append(letter)
        buffer.bytes += letter.size
        if buffer.last is None:
            buffer.last_time = letter.record.time
        rings = self._alarm.rings(self._good, self._bad)
        self._bad += 1
        if accepted:
            return self._ends_if_full()
        if not rings:
            return True
        buffer.cut(self._chain.next)
        self.flush("poison")
        raise StopError(
            f"Too many records of {self._chain.partition} cannot be landed, the last "
            f"at offset {letter.record.offset}: {letter.reason}. All good ones before "
            "are landed. See whether this is the right topic; --accept-dead-letters "
            "sets them aside and goes on."
        )

    # --- links ---------------------------------------------------------------------

    def flush_if_due(self) -> None:
        """Commit what has waited for long enough."""
        waited = self._clock.now() - self._buffer.since
        if self._buffer and waited >= self._flush.max_seconds:
            self.flush("seconds")

    def flush(self, why: str) -> bool:
        """Commit what is buffered; False where another lander was first.

        Then the buffer is dropped and the source sought to where the chain ends now.
        """
        if not self._buffer:
            return True
        self._require_same_source()
        self._write_letters()
        body = self._chain.landing.encode(self._buffer.lines)
        link = self._link(sha256(body).hexdigest())
        if self._chain.commit(link, body) != link:
            self.conflicts += 1
            self._refused(self._chain.partition)
            self.again()
            return False
        reasons = Counter(letter.reason for letter in self._buffer.letters)
        self._buffer = Buffer(link.next)
        self._log.landed(self.offset)
        self._tell(self._landed(link, why, len(body), reasons))
        return True

    def _landed(
        self, link: Link, why: str, size: int, reasons: Mapping[str, int]
    ) -> Landed:
        age = None
        if link.last_time is not None:
            age = max(self._clock.now() - link.last_time / 1000, 0.0)
        partition, lag = self._chain.partition, self.lag_records
        return Landed(partition, link, why, size, self.conflicts, lag, age, reasons)

    def again(self) -> None:
        """Drop the buffer and read on from where the chain ends."""
        self.caught_up = False
        self.resume()
        self._log.seek(self.point)

    def _judge_doubt(self) -> str | None:
        if not self._buffer.doubtful:
            return None
        return ACCEPTED if self._rules.accept_expired else NOT_ACCEPTED

    def _write_letters(self) -> None:
        """Write the dead letters; one that is there was written by whoever was here."""
        partition = self._chain.partition
        for letter in self._buffer.letters:
            name = partition.object_name(letter.position, ".json")
            body = letter.body(partition, self.source)
            name = name.replace("topics/", "_dead_letter/", 1)
            self._chain.landing.store.create_once(name, body)

    def _link(self, digest: str) -> Link:
        buffer = self._buffer
        return Link(
            start=self._chain.next,
            source=self.source,
            writer=self._writer,
            base=self._base,
            first=buffer.first,
            last=buffer.last,
            next=buffer.next,
            next_sequence=buffer.sequence,
            records=len(buffer.lines),
            dead=len(buffer.letters),
            gaps=buffer.gaps,
            before_start=buffer.before_start,
            expired=buffer.expired,
            maybe_expired=self._judge_doubt(),
            first_time=buffer.first_time,
            last_time=buffer.last_time,
            sha256=digest,
        )


# --- all partitions ----------------------------------------------------------------


@dataclass(slots=True)
class Lander:
    """Lands the partitions of a source side by side, until it is told to end.

    Without `follow` it ends when all that was there at the start is landed. With it,
    what may pass is waited for and told to `waiting`. A refused link is told to
    `refused`; `turned` is when it last read without an error.
    """

    landing: Landing
    reader: Reader
    rules: Rules = field(default_factory=Rules)
    flush: Flush = field(default_factory=Flush)
    clock: Clock = field(default_factory=Clock)
    follow: bool = False
    max_buffer: int = 256 << 20
    tell: Tell = lambda _: None
    refused: Refused = lambda _: None
    waiting: Callable[[str, float], None] = lambda *_: None
    partitions: dict[Partition, PartitionLander] = field(default_factory=dict)
    totals: dict[Partition, Total] = field(default_factory=dict)
    sources: dict[Partition, str] = field(default_factory=dict)
    shaken: bool = False
    turned: float = 0.0

    def run(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Land; what is buffered in the end is landed too."""
        self._patiently(self._start, interrupted)
        while not interrupted():
            if self._done() and self._flush_all("caught up"):
                return
            self._patiently(self.step, interrupted)
        self._flush_all("shutdown")

    def _start(self) -> None:
        self.reader.start(self._open, self._drop)

    def step(self) -> None:
        """Read once, and commit what is due."""
        if self.shaken:
            for lander in self.partitions.values():
                if lander.flush("retry"):
                    lander.again()
            self.shaken = False
        for batch in self.reader.read(_READ_SECONDS):
            if batch.partition in self.partitions:
                self._serve(self.partitions[batch.partition], batch)
        for lander in self.partitions.values():
            lander.flush_if_due()

    def _flush_all(self, why: str) -> bool:
        """Commit all that is buffered; False where some of it must be read again."""
        flushed = [lander.flush(why) for lander in self.partitions.values()]
        return all(flushed)

    def _serve(self, lander: PartitionLander, batch: Batch) -> None:
        lander.end = batch.end
        if batch.broken:
            lander.again()
            return
        self._make_room(batch.records)
        if batch.doubtful:
            lander.doubt()
        if lander.take(batch.records):
            lander.caught_up = lander.caught_up or batch.caught_up
            if batch.ended:
                lander.flush("ended")

    def _make_room(self, records: Sequence[Record]) -> None:
        """Commit what is fullest, until these records can wait too."""
        size = sum(map(len, filter(None, columns(records)[1]))) + len(records)
        while sum(x.size for x in self.partitions.values()) + size > self.max_buffer:
            fullest = max(self.partitions.values(), key=lambda x: x.size)
            if not fullest.size:
                return
            fullest.flush("buffer")

    def _done(self) -> bool:
        if self.follow:
            return False
        return all(lander.done for lander in self.partitions.values())

    def _open(self, partition: Partition, log: Log) -> Point:
        lander = PartitionLander(
            Chain(self.landing, partition),
            log,
            self.rules,
            self.flush,
            clock=self.clock,
            tell=self._count,
            refused=self.refused,
            source=self.sources.get(partition),
        )
        self.sources[partition] = lander.source
        self.partitions[partition] = lander
        return lander.point

    def _count(self, landed: Landed) -> None:
        total = self.totals.setdefault(landed.partition, Total())
        total.links += 1
        total.records += landed.link.records
        total.dead += landed.link.dead
        self.tell(landed)

    def _drop(self, partition: Partition) -> None:
        """Forget a partition; whoever has it next reads again what was buffered."""
        self.partitions.pop(partition, None)

    def _patiently(
        self, act: Callable[[], None], interrupted: Callable[[], bool]
    ) -> None:
        """Act; with `follow`, what may pass is waited out, and all is read again.

        Asked to end while it waits, it returns: what waits too is tried once more.
        """
        wait = 1.0
        while not interrupted():
            try:
                act()
            except RetryError as error:
                if not self.follow or interrupted():
                    raise
                self.shaken = True
                self.waiting(str(error), wait)
                self._sleep(wait, interrupted)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
            else:
                self.turned = self.clock.now()
                return

    def _sleep(self, seconds: float, interrupted: Callable[[], bool]) -> None:
        until = self.clock.now() + seconds
        while self.clock.now() < until and not interrupted():
            self.reader.idle()
            self.clock.sleep(_NAP_SECONDS)
