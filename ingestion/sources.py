"""Where records come from: what a source is, and folders of JSON Lines files."""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import BinaryIO, Final, Protocol, Self

from ingestion.errors import SetAsideError, StopError, explained
from ingestion.records import (
    KEY_FIELDS,
    MAX_RECORD_BYTES,
    event_number,
    landable,
    leading_number,
)

_BLOCK_BYTES: Final = 1 << 20
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

Tick = Callable[[int], None]
"""Called with the bytes or rows passed since the last call; may raise to interrupt."""

Reject = Callable[["BadLine"], None]
"""Called with each line that cannot be landed."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot go on, where it stands, and why."""

    file: str
    line_number: int
    reason: str
    message: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """In which order, and how far, rows are emitted.

    `table` is the order of the file. `emulator` draws rows with replacement for ever,
    as the original's `user_posting_emulation.py` does: per event `randrange(0, 2)`, its
    pause, then `randint(0, bound)`, after `random.seed(seed)`; draw n is the n-th row
    in key order. `limit` is where to end, counted in rows or draws from the beginning.
    """

    name: str = "table"
    seed: int = 100
    bound: int = 11_000
    limit: int | None = None

    def draws(self) -> Iterator[int]:
        """Draw row numbers as the original emulator does, up to the limit."""
        random = Random(self.seed)  # noqa: S311 - the original's draws, not a secret
        for _ in count() if self.limit is None else range(self.limit):
            random.randrange(0, 2)
            yield random.randint(0, self.bound)

    def total(self, rows: int) -> int | None:
        """Return where the sequence ends over so many rows; None is never."""
        if self.name == "emulator":
            return self.limit
        return rows if self.limit is None else min(rows, self.limit)

    def require_rows(self, rows: int, name: str) -> None:
        """Raise `StopError` where a draw would be beyond the rows of a source."""
        if self.name == "table" or self.bound < rows:
            return
        if self.limit is None or max(self.draws(), default=-1) >= rows:
            raise StopError(
                f"{name} has {rows:,} rows, but draws go up to row {self.bound:,} "
                f"(counted from 0): say --bound {max(rows - 1, 0)}."
            )

    def stream(self) -> dict[str, object]:
        """Return what tells one sequence of rows of a source from another."""
        if self.name == "table":
            return {"order": self.name}
        return {"order": self.name, "seed": self.seed, "bound": self.bound}


@dataclass(slots=True)
class Check:
    """What one pass over a file found: its fingerprint, rows, and where they stand.

    With `leading`, the number of every row is its `leading_number`.
    """

    fingerprint: str = ""
    rows: int = 0
    bad_lines: int = 0
    leading: bool = False
    keys: "array[int]" = field(default_factory=lambda: array("q"))
    offsets: "array[int]" = field(default_factory=lambda: array("q"))


class Table(Protocol):
    """The rows of one record type in a source, in an order that never changes."""

    @property
    def name(self) -> str:
        """What a message calls it."""

    @property
    def record_type(self) -> str:
        """One of `pin`, `geo` and `user`."""

    @property
    def location(self) -> str:
        """A hash of where it lies: equal for the same place, however it is reached."""

    def check(self, order: Order, reject: Reject | None, tick: Tick) -> Check:
        """Read all rows once, before anything of them is emitted.

        Without `reject`, the first row that is not a JSON object with an event number
        raises `StopError`. With it, rows that cannot be landed are handed over, and all
        others pass.
        """

    def rows(self, order: Order, check: Check, position: int) -> Iterator[bytes | None]:
        """Yield the rows from `position` on; None stands for one that was set aside.

        Raises `StopError` where the rows are no longer those of the check.
        """


class Source(Protocol):
    """One table for each of the record types that a source has."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Record type to table."""

    @property
    def size(self) -> int:
        """What a check of all tables will have passed to its tick, in `unit`."""

    @property
    def unit(self) -> str:
        """The plural of what is counted: bytes or rows."""

    def close(self) -> None:
        """Let go of files and connections."""


class JsonLinesFile:
    """One file of rows, a JSON object each; blank lines are nothing.

    A byte order mark at the start and a carriage return before a newline belong to the
    file, not to a row. The file must not change while it is read: that is a
    `StopError`, as is anything the operating system refuses.
    """

    def __init__(self, path: Path, record_type: str, location: str) -> None:
        """Open the file; `location` names it for good, however it is reached."""
        self.path = path
        self.name = str(path)
        self.record_type = record_type
        self.location = location
        with explained(f"read {path}"):
            if path.exists() and not path.is_file():
                raise StopError(f"{path} is no file: check the path.")
            self._file: BinaryIO = path.open("rb")
            self._state = self._now()
        self.bytes = self._state[0]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def check(self, order: Order, reject: Reject | None, tick: Tick) -> Check:
        """Read the whole file once; see `Table`.

        Positions of rows are kept for the emulator's order only.
        """
        check, digest = Check(), sha256()
        indexed = order.name == "emulator"
        check.leading = reject is None or indexed
        number = 0
        for offset, lines in self._blocks(digest.update, endless=reject is not None):
            begin = offset
            for line in lines:
                number += 1
                if line and not line.isspace():
                    key = self._judge(line, number, check, reject, keyed=indexed)
                    check.rows += 1
                    if indexed:
                        check.keys.append(key)
                        check.offsets.append(offset)
                offset += len(line) + 1  # noqa: PLW2901 - walks through the block
            tick(offset - begin)
        check.fingerprint = digest.hexdigest()
        return check

    def _judge(
        self,
        line: bytes,
        number: int,
        check: Check,
        reject: Reject | None,
        *,
        keyed: bool,
    ) -> int:
        """Return the row's key; the greatest for a row that has none."""
        try:
            if reject is None or keyed:
                key = event_number(self.record_type, line)
                if check.leading and leading_number(self.record_type, line) != key:
                    check.leading = False
                return key
            landable(line)
        except SetAsideError as error:
            bad = BadLine(self.path.name, number, error.reason, str(error), line)
            if reject is None:
                raise self._unreadable(bad) from error
            check.leading = False
            if bad.reason in {"not_utf8", "too_large", "newline"}:
                check.bad_lines += 1
                reject(bad)
        return (1 << 63) - 1

    def _unreadable(self, bad: BadLine) -> StopError:
        return StopError(
            f"{self.path} line {bad.line_number} {bad.message}: nothing is emitted. "
            "Correct the line, or say --bad-lines land to let such lines pass as they "
            "are (the models count them as rejected)."
        )

    def rows(self, order: Order, check: Check, position: int) -> Iterator[bytes | None]:
        """Yield the rows from `position` on; None stands for one that was set aside."""
        if order.name == "emulator":
            return self._drawn(order, check, position)
        return islice(self._in_file_order(), position, order.limit)

    def _in_file_order(self) -> Iterator[bytes | None]:
        for _, lines in self._blocks():
            for line in lines:
                if line and not line.isspace():
                    yield _row(line)

    def _drawn(
        self, order: Order, check: Check, position: int
    ) -> Iterator[bytes | None]:
        in_key_order = sorted(range(check.rows), key=check.keys.__getitem__)
        for draw in islice(order.draws(), position, None):
            with explained(f"read {self.path}"):
                self._file.seek(check.offsets[in_key_order[draw]])
                line = self._file.readline()
            self._require_unchanged()
            yield _row(line.removesuffix(b"\n"))

    def _blocks(
        self, seen: Callable[[bytes], None] | None = None, *, endless: bool = True
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Yield offset and lines of block after block; one line is never split.

        Unless `endless`, a line over the limit ends with its block, so that a file
        without newlines is not read into memory only to be refused.
        """
        offset, tail = 0, b""
        self._file.seek(0)
        while block := self._read_block():
            if seen is not None:
                seen(block)
            if offset == 0 and not tail and block.startswith(_BYTE_ORDER_MARK):
                offset, block = len(_BYTE_ORDER_MARK), block[len(_BYTE_ORDER_MARK) :]
            lines = (tail + block).split(b"\n")
            tail = lines.pop()
            if len(tail) > MAX_RECORD_BYTES + 1 and not endless:
                lines.append(tail)
            yield offset, lines
            offset += sum(map(len, lines)) + len(lines)
        if tail:
            yield offset, [tail]

    def _read_block(self) -> bytes:
        with explained(f"read {self.path}"):
            block = self._file.read(_BLOCK_BYTES)
        self._require_unchanged()
        return block

    def _require_unchanged(self) -> None:
        if self._now() != self._state:
            raise StopError(
                f"{self.path} changed while it was read: wait until it is complete, "
                "then run the same command with --restart."
            )

    def _now(self) -> tuple[int, int]:
        state = os.fstat(self._file.fileno())
        return state.st_size, state.st_mtime_ns


def _row(line: bytes) -> bytes | None:
    try:
        return landable(line)
    except SetAsideError:
        return None


@dataclass(frozen=True, slots=True)
class JsonLinesFolder:
    """A folder with one or more of `pin.jsonl`, `geo.jsonl` and `user.jsonl`."""

    tables: Mapping[str, JsonLinesFile]
    unit: str = "bytes"

    @classmethod
    def open(cls, folder: Path, location: str | None = None) -> Self:
        """Open the files that are there; `StopError` where there are none.

        `location` tells this source from others; the folder's real path if not given.
        """
        with explained(f"read {folder}"):
            if not folder.is_dir():
                raise StopError(
                    f"There is no folder {folder}: --source takes a folder with "
                    "pin.jsonl, geo.jsonl and user.jsonl, or the word sample."
                )
            place = location or str(folder.resolve())
            there = [t for t in KEY_FIELDS if (folder / f"{t}.jsonl").exists()]
        files = {t: cls._file(folder / f"{t}.jsonl", t, place) for t in there}
        if not files:
            raise StopError(
                f"{folder} has none of pin.jsonl, geo.jsonl and user.jsonl: check the "
                "path, or make a sample with `ingest sample`."
            )
        return cls(files)

    @staticmethod
    def _file(path: Path, record_type: str, place: str) -> JsonLinesFile:
        name = f"{place}/{path.name}".encode(errors="surrogateescape")
        return JsonLinesFile(path, record_type, sha256(name).hexdigest()[:16])

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.bytes for file in self.tables.values())

    def close(self) -> None:
        """Close the files."""
        for file in self.tables.values():
            file.close()
