"""Emit rows of a source straight into the chains of a landing, each exactly once.

Every link carries a cursor: which sequence of rows it took from, and how far. A rerun
looks the newest one up and goes on behind it, so nothing has to be kept anywhere else.
"""

import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final, Self

import orjson

from ingestion.errors import RetryError, StopError, explained
from ingestion.landing import Chain, Landing, Link
from ingestion.sources import (
    BadLine,
    Check,
    Order,
    Source,
    Table,
    Tick,
)
from ingestion.stores import Files, Partition

SOURCE: Final = "direct"
"""The source identity of chains that an emitter owns."""

_STEP_ROWS: Final = 1_000
_NAP_SECONDS: Final = 0.1
_REJECTS_BUFFER_BYTES: Final = 1 << 20


class Clock:
    """The time, passed in so that tests can set it."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Flush:
    """When a link is written: at the first of these, and at the end."""

    max_bytes: int = 16 << 20
    max_records: int = 10_000
    max_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one sequence of rows is landed, as the metadata of a link keep it.

    `location` is a hash of where the source lies, `fingerprint` the SHA-256 of its
    bytes, `stream` its order with seed and bound, `position` the rows passed. `before`
    is the start of the nearest earlier link of another sequence: a look back jumps from
    sequence to sequence instead of from link to link.
    """

    location: str
    fingerprint: str
    stream: dict[str, object]
    position: int = 0
    before: int | None = None

    def __str__(self) -> str:
        """Write it as one line of JSON."""
        named = {
            "location": self.location,
            "fingerprint": self.fingerprint,
            **self.stream,
            "position": self.position,
            "before": self.before,
        }
        return orjson.dumps(named).decode()

    @classmethod
    def parse(cls, link: Link) -> Self:
        """Read the cursor of a link; `StopError` where it has none."""
        try:
            named = orjson.loads(link.cursor or "")
            stream = {k: named[k] for k in ("order", "seed", "bound") if k in named}
            place = named["location"], named["fingerprint"]
            return cls(*place, stream, int(named["position"]), named["before"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise StopError(
                f"The link at {link.start} has source {link.source}, but no cursor of "
                "an emitter: use another landing or another --user-id."
            ) from error

    def same_rows(self, other: Self) -> bool:
        """Tell whether both count positions in the same sequence of rows."""
        mine = self.fingerprint, self.stream
        return mine == (other.fingerprint, other.stream)

    def same_sequence(self, other: Self) -> bool:
        """Tell whether both are of the same rows from the same place."""
        return self.same_rows(other) and self.location == other.location


class LandingEmitter:
    """Emits one sequence of rows into one chain.

    Everything before `position` is landed durably or was set aside. Any number of
    emitters of different rows may write to one chain at once. Of two that emit the same
    rows, one stops with `RetryError` before anything is landed twice.
    """

    def __init__(
        self,
        chain: Chain,
        origin: Cursor,
        flush: Flush | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Emit the rows that `origin` names, from its position, into a fresh chain."""
        self.position = self._taken = origin.position
        self.records = self.links = 0
        self._chain = chain
        self._origin = origin
        self._writer = uuid.uuid4().hex
        self._flush = flush or Flush()
        self._clock = clock or Clock()
        self._buffer: list[bytes] = []
        self._bytes = 0
        self._first_time = self._last_time = 0.0
        if chain.end is not None:
            self._require_direct(chain.end)

    # --- where to begin ------------------------------------------------------------

    def resume(self) -> int:
        """Go on behind this sequence's newest cursor, and return that position.

        Raises `StopError` where the newest content from the same place was another.
        """
        seen_here, position = False, None
        for cursor in self._cursors():
            if not seen_here and cursor.location == self._origin.location:
                seen_here = True
                self._require_same_content(cursor)
            if position is None and cursor.same_rows(self._origin):
                position = cursor.position
            if seen_here and position is not None:
                break
        self.position = self._taken = position or 0
        return self.position

    def _cursors(self) -> Iterator[Cursor]:
        """Yield the newest cursor of each stretch of one sequence, newest first."""
        link = self._chain.end
        while link is not None:
            cursor = Cursor.parse(link)
            yield cursor
            link = None if cursor.before is None else self._chain.link(cursor.before)

    def _require_same_content(self, cursor: Cursor) -> None:
        if cursor.fingerprint != self._origin.fingerprint:
            raise StopError(
                f"The source of {self._chain.partition} has changed since it was "
                "landed: say --restart to land all of it again (the newer copy of an "
                "event replaces the older), or emit the new records from a folder of "
                "their own."
            )

    def _require_direct(self, link: Link) -> None:
        if link.source != SOURCE:
            raise StopError(
                f"{self._chain.partition} is landed from {link.source}: an emitter "
                "cannot share its chain. Use another --user-id or another landing."
            )

    # --- emitting ------------------------------------------------------------------

    def emit(self, rows: Iterable[bytes | None]) -> int:
        """Take rows over, writing links as they fill; return how many were taken."""
        before = self._taken
        now = self._clock.now()
        for row in rows:
            if row is not None:
                self._add(row, now)
            self._taken += 1
        return self._taken - before

    def _add(self, row: bytes, now: float) -> None:
        size = len(row) + 1
        full = len(self._buffer) >= self._flush.max_records
        if full or (self._buffer and self._bytes + size > self._flush.max_bytes):
            self.flush()
        if not self._buffer:
            self._first_time = now
        self._last_time = now
        self._buffer.append(row)
        self._bytes += size

    def flush(self, *, due: bool = False) -> None:
        """Land what is buffered as one link; with `due`, only if it waited long."""
        waited = self._clock.now() - self._first_time
        if not self._buffer or (due and waited < self._flush.max_seconds):
            return
        body = self._chain.landing.encode(self._buffer)
        digest = sha256(body).hexdigest()
        there = self._chain.commit(self._link(digest), body)
        while there.writer != self._writer:
            self._give_way(there)
            there = self._chain.commit(self._link(digest), body)
        self.position = self._taken
        self.records += len(self._buffer)
        self.links += 1
        self._buffer, self._bytes = [], 0

    def _link(self, digest: str) -> Link:
        start = self._chain.next
        end = start + len(self._buffer)
        return Link(
            start=start,
            source=SOURCE,
            writer=self._writer,
            first=start,
            last=end - 1,
            next=end,
            records=len(self._buffer),
            first_time=int(self._first_time * 1000),
            last_time=int(self._last_time * 1000),
            sha256=digest,
            cursor=str(self._cursor()),
        )

    def _cursor(self) -> Cursor:
        end, before = self._chain.end, None
        if end is not None:
            last = Cursor.parse(end)
            before = last.before if last.same_sequence(self._origin) else end.start
        return replace(self._origin, position=self._taken, before=before)

    def _give_way(self, there: Link) -> None:
        """Keep the records behind a link of another writer, unless it has the same."""
        self._require_direct(there)
        if Cursor.parse(there).same_rows(self._origin):
            raise RetryError(
                f"Another run is landing the same rows into {self._chain.partition}; "
                "this one stopped so that nothing is landed twice. Wait until the "
                "other has ended, then run the same command again."
            )


class Rejects:
    """The lines of a source that cannot be landed, kept in one `rejected.jsonl`.

    It is a function of the source alone: a rerun replaces it by the same bytes, in one
    rename, before anything is landed. So no kill can lose or double an entry. The file
    is readable by its owner only (mode 0600); `line_number` counts from 1.
    """

    def __init__(self, state: Path, files: Files | None = None) -> None:
        """Keep the file below `state`; nothing is written before the first line."""
        self.count = 0
        self.path: Path | None = None
        self._state = state
        self._files = files or Files()
        self._tmp = state / "tmp" / uuid.uuid4().hex
        self._pending: list[bytes] = []
        self._bytes = 0

    def add(self, bad: BadLine) -> None:
        """Take a line over."""
        entry = {
            "file": bad.file,
            "line_number": bad.line_number,
            "reason": bad.reason,
            "bytes": b64encode(bad.body).decode(),
        }
        self._pending.append(orjson.dumps(entry) + b"\n")
        self._bytes += len(self._pending[-1])
        self.count += 1
        if self._bytes >= _REJECTS_BUFFER_BYTES:
            self._spill()

    def _spill(self) -> None:
        with explained(f"set lines aside in {self._state}"):
            self._files.append(self._tmp, b"".join(self._pending), mode=0o600)
        self._pending, self._bytes = [], 0

    def keep(self, fingerprints: Sequence[str]) -> None:
        """Publish the file under the name of the whole source's fingerprint."""
        if not self.count:
            return
        self._spill()
        name = sha256("".join(fingerprints).encode()).hexdigest()[:16]
        self.path = self._state / "set_aside" / name / "rejected.jsonl"
        with explained(f"set lines aside in {self._state}"):
            for folder in (self.path.parent.parent, self.path.parent):
                self._files.make_folder(folder)
                self._files.sync_folder(folder.parent)
            self._files.replace(self._tmp, self.path)
            self._files.sync_folder(self.path.parent)


@dataclass(slots=True)
class Lane:
    """One table on its way into one topic."""

    topic: str
    check: Check
    emitter: LandingEmitter
    rows: Iterator[bytes | None]
    already: int
    total: int | None
    elsewhere: int = 0
    """Records that the topic held before the first of these rows."""

    @property
    def left(self) -> int | None:
        """The rows still to pass at the start; None is without end."""
        return None if self.total is None else max(self.total - self.already, 0)


@dataclass(frozen=True, slots=True)
class Emission:
    """One run of `ingest emit`: from a source into the topics of one user."""

    source: Source
    landing: Landing
    user_id: str
    order: Order = field(default_factory=Order)
    flush: Flush = field(default_factory=Flush)
    clock: Clock = field(default_factory=Clock)

    def prepare(
        self, tick: Tick, *, restart: bool = False, rejects: Rejects | None = None
    ) -> list[Lane]:
        """Check all tables and look up where each stands, before anything is landed.

        Without `rejects` every line must be readable. Raises `StopError` for a line, a
        changed source, a draw beyond the rows, or a topic that is not an emitter's.
        """
        checks = [
            (table, table.check(self.order, rejects.add if rejects else None, tick))
            for table in self.source.tables.values()
        ]
        for table, check in checks:
            self.order.require_rows(check.rows, table.name)
        if rejects is not None:
            rejects.keep([check.fingerprint for _, check in checks])
        return [self._lane(table, check, restart=restart) for table, check in checks]

    def _lane(self, table: Table, check: Check, *, restart: bool) -> Lane:
        partition = Partition(f"{self.user_id}.{table.record_type}", 0)
        origin = Cursor(table.location, check.fingerprint, self.order.stream())
        chain = Chain(self.landing, partition)
        emitter = LandingEmitter(chain, origin, self.flush, self.clock)
        already = 0 if restart else emitter.resume()
        rows = table.rows(self.order, check, already)
        total = self.order.total(check.rows)
        elsewhere = 0 if restart or already else chain.next
        return Lane(partition.topic, check, emitter, rows, already, total, elsewhere)

    def run(
        self,
        lanes: Sequence[Lane],
        tick: Tick,
        *,
        rate: float | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        """Emit the lanes side by side, at most `rate` rows a second of each.

        When `interrupted` says so, what was taken is landed and the run ends.
        """
        started, passed, live = self.clock.now(), 0, list(lanes)
        while live and not interrupted():
            step = _STEP_ROWS
            if rate is not None:
                due = int((self.clock.now() - started) * rate) + 1 - passed
                step = min(due, _STEP_ROWS)
            live = [lane for lane in live if self._advance(lane, step, tick)]
            passed += step
            if live and rate is not None:
                self._wait(started + passed / rate)
        for lane in lanes:
            lane.emitter.flush()

    def _advance(self, lane: Lane, step: int, tick: Tick) -> bool:
        taken = lane.emitter.emit(islice(lane.rows, step))
        lane.emitter.flush(due=taken == step)
        tick(taken)
        return taken == step

    def _wait(self, until: float) -> None:
        seconds = until - self.clock.now()
        if seconds > 0:
            self.clock.sleep(min(seconds, _NAP_SECONDS))
