"""Dead letters: what could not be a line, and its way back to where it came from."""

import gzip
import sys
import zlib
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple, Protocol

import orjson

from ingestion.errors import DamagedError, explained
from ingestion.lander import line_or_reason
from ingestion.landing import Landing, Link
from ingestion.records import MAX_RECORD_BYTES
from ingestion.stores import Partition, dead_letter_offset

_REPLAYED: Final = ".replayed.json"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter as it lies in a landing.

    `position` is its place in the chain, `offset` that in the source; `time` is in
    epoch milliseconds. Of a `redacted` one the key and the value are gone.
    """

    name: str
    partition: Partition
    position: int
    reason: str
    source: str
    offset: int
    time: int | None
    key: bytes | None
    value: bytes | None
    redacted: bool = False

    def __str__(self) -> str:
        """Name it by its coordinates: what is in it is nobody's business."""
        return f"the dead letter of {self.partition} at offset {self.offset}"

    @property
    def size(self) -> int:
        """The bytes of its value."""
        return len(self.value or b"")

    @property
    def marker(self) -> str:
        """The name of what says that it was replayed."""
        return self.name.removesuffix(".json") + _REPLAYED


def dead_letters(
    landing: Landing, topic: str | None = None, reason: str | None = None
) -> Iterator[DeadLetter]:
    """Yield those not replayed and not redacted, by topic, partition and offset.

    One whose record was landed after all is none. Raises `DamagedError` for one that
    cannot be read.
    """
    for partition in landing.store.partitions():
        if topic in {None, partition.topic}:
            for letter in _waiting(landing, partition):
                if reason in {None, letter.reason} and not letter.redacted:
                    yield letter


def _waiting(landing: Landing, partition: Partition) -> Iterator[DeadLetter]:
    names = landing.store.names(partition.dead_letters)
    replayed = {name for name in names if name.endswith(_REPLAYED)}
    found = [(dead_letter_offset(partition, name), name) for name in names]
    there = sorted((p, name) for p, name in found if p is not None)
    landed = _landed(landing, partition, [position for position, _ in there])
    for position, name in there:
        done = name.removesuffix(".json") + _REPLAYED in replayed
        if not done and position not in landed:
            yield read_letter(landing, partition, position)


def _landed(
    landing: Landing, partition: Partition, positions: Sequence[int]
) -> set[int]:
    starts, found = landing.store.listing(partition).starts, set[int]()
    for at, group in groupby(positions, lambda n: bisect_right(starts, n)):
        if at:
            there = landing.store.metadata(partition, starts[at - 1])
            link = Link.from_metadata(starts[at - 1], there or {})
            inside = [position for position in group if position < link.next]
            found |= superseded(landing, partition, link, inside)
    return found


def superseded(
    landing: Landing, partition: Partition, link: Link, positions: Sequence[int]
) -> set[int]:
    """Return at which positions in a link its object has the dead letter as a line.

    A lander whose limit was smaller wrote that letter, then died or was refused its
    place. One link is made with one limit: what is a line in it is no letter of it.
    """
    if len(positions) <= link.dead:
        return set()
    name = partition.object_name(link.start, landing.suffix)
    with explained(f"read {name}"), landing.store.open(name) as file:
        body = file.read()
    try:
        text = gzip.decompress(body) if name.endswith(".gz") else body
    except (OSError, EOFError, zlib.error):
        return set()
    lines = set(text.split(b"\n")[:-1])
    values = {n: read_letter(landing, partition, n).value for n in positions}
    return {n for n, v in values.items() if line_or_reason(v, sys.maxsize) in lines}


def read_letter(landing: Landing, partition: Partition, position: int) -> DeadLetter:
    """Read the dead letter at a position; `DamagedError` where it cannot be read."""
    name = partition.object_name(position, ".json")
    name = name.replace("topics/", "_dead_letter/", 1)
    body = landing.store.read(name)
    try:
        said = orjson.loads(body or b"")
        return DeadLetter(
            name,
            partition,
            position,
            str(said["reason"]),
            str(said["source"]),
            int(said["offset"]),
            said["time"],
            _bytes(said["key"]),
            _bytes(said["value"]),
            bool(said.get("redacted")),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(
            f"{landing.store}/{name} is no dead letter of ours: restore it."
        ) from error


def blank_letter(body: bytes) -> bytes:
    """Return the body of a dead letter without its key and its value."""
    said = {**orjson.loads(body), "key": None, "value": None, "redacted": True}
    return orjson.dumps(said) + b"\n"


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)


# --- the way back ------------------------------------------------------------------


class Coordinates(NamedTuple):
    """Where a record was stored: a partition or shard, an offset or number in it."""

    partition: str
    offset: str


class Return(Protocol):
    """The way back to the topics or streams of one cluster or region."""

    def require(self, letter: DeadLetter) -> None:
        """Raise `StopError` where it is not the one that the letter came from."""

    def send(self, letter: DeadLetter) -> Coordinates:
        """Store its key and its bytes, and return where; durable when it returns."""


@dataclass(slots=True)
class Replayed:
    """What one replay did: sent back, and left because the rules still refuse it."""

    sent: int = 0
    left: int = 0


def replay(
    landing: Landing,
    back: Return,
    *,
    topic: str | None = None,
    reason: str | None = None,
    max_record_bytes: int = MAX_RECORD_BYTES,
    interrupted: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Send back what today's rules accept; each is marked when it is stored.

    At least once: killed between the two, the next run sends that one again. Raises
    `StopError` at a letter that came from elsewhere.
    """
    done = Replayed()
    for letter in dead_letters(landing, topic, reason):
        if interrupted():
            break
        if isinstance(line_or_reason(letter.value, max_record_bytes), str):
            done.left += 1
            continue
        back.require(letter)
        _mark(landing, letter, back.send(letter))
        done.sent += 1
    return done


def _mark(landing: Landing, letter: DeadLetter, stored: Coordinates) -> None:
    """Create the marker; one that is there is of a replay beside this one."""
    body = {"topic": letter.partition.topic, **stored._asdict()}
    landing.store.create_once(letter.marker, orjson.dumps(body) + b"\n")
