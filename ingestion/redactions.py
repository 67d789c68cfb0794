"""Redact lines of landed objects and dead letters, so that all can see what was done.

An object is written once; only a person's right to erasure comes before that. The lines
become blank, which the models pass over, so all others keep their numbers. A record
of it says which lines, by whom, why, when, and the SHA-256 of the object before and
after: the records of an object lead from what its link says to what it is now. A dead
letter is one line, and keeps its reason and its coordinates.
"""

import gzip
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import orjson

from ingestion.dead_letters import blank_letter, read_letter
from ingestion.errors import DamagedError, RetryError, StopError, explained
from ingestion.landing import Landing, Link
from ingestion.stores import (
    Partition,
    dead_letter_offset,
    object_start,
    partition_of,
)

_RECORD: Final = ".json"
_DIGEST_LETTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Redaction:
    """One redaction of one object, or of the dead letter at `start`.

    Lines count from 1; the time is UTC.
    """

    topic: str
    partition: int
    start: int
    lines: list[int]
    by: str
    reason: str
    at: str
    old_sha256: str
    new_sha256: str
    dead_letter: bool = False

    @property
    def name(self) -> str:
        """The name of its record: one content has one successor, whoever redacts."""
        place = Partition(self.topic, self.partition)
        file = f"{self.topic}+{self.partition}+{self.start:010d}"
        folder = _folder(place, dead_letters=self.dead_letter)
        return f"{folder}/{file}+{self.old_sha256[:_DIGEST_LETTERS]}{_RECORD}"

    def body(self) -> bytes:
        """Write it as one line of JSON."""
        return orjson.dumps({"version": 1, **asdict(self)}) + b"\n"


_VERSIONS: Final = {1: Redaction}


def _folder(partition: Partition, *, dead_letters: bool = False) -> str:
    place = f"{partition.topic}/partition={partition.number}"
    return f"_ingest/redactions/{partition.dead_letters if dead_letters else place}"


def redactions(
    landing: Landing,
    partition: Partition,
    starts: Collection[int] | None = None,
    *,
    dead_letters: bool = False,
) -> dict[int, list[Redaction]]:
    """Return the redactions of a partition's objects, by start, unsorted.

    Or those of its dead letters, by position. Raises `DamagedError` for a record that
    cannot be read.
    """
    found: dict[int, list[Redaction]] = {}
    folder = _folder(partition, dead_letters=dead_letters)
    for name in landing.store.names(folder):
        record = _read(landing, f"{folder}/{name}")
        if starts is None or record.start in starts:
            found.setdefault(record.start, []).append(record)
    return found


def _read(landing: Landing, name: str) -> Redaction:
    try:
        said = orjson.loads(landing.store.read(name) or b"")
        record = _VERSIONS[said.pop("version")](**said)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(
            f"{landing.store}/{name} is no record of a redaction of ours: restore it, "
            "or use a newer version of ingest."
        ) from error
    if record.name != name:
        raise DamagedError(f"{landing.store}/{name} has a name that is not its own.")
    return record


def in_order(records: Sequence[Redaction], first: str) -> Iterator[Redaction]:
    """Yield the redactions that lead on from a content, given by its SHA-256."""
    following = {record.old_sha256: record for record in records}
    digest = first
    while digest in following:
        record = following.pop(digest)
        yield record
        digest = record.new_sha256


def redact(
    landing: Landing, name: str, lines: Collection[int], by: str, reason: str
) -> list[Redaction]:
    """Make lines of one object blank; return all that was ever redacted of it.

    The one line of a dead letter keeps its reason and coordinates. The record is
    durable before the object is changed. Killed between, `ingest verify` says so, and
    the same call ends it. Raises `StopError` where the object is not what its link and
    its redactions say, or has no such line.
    """
    if name.startswith("_dead_letter/"):
        return _redact_letter(landing, name, lines, by, reason)
    partition, start = _place(landing, name)
    link = _link(landing, partition, start)
    _finish(landing, name, link, partition)
    body = _body(landing, name)
    there = _split(name, body)
    if wrong := [n for n in lines if not 1 <= n <= len(there)]:
        raise StopError(f"{name} has {len(there)} lines: there is no line {wrong[0]}.")
    wanted = sorted({n for n in lines if there[n - 1]})
    if wanted:
        new = _blank(landing, there, wanted)
        place = partition.topic, partition.number, start
        record = Redaction(*place, wanted, by, reason, _now(), *_digests(body, new))
        if not landing.store.create_once(record.name, record.body()):
            raise RetryError(f"{name} is being redacted by somebody else: try again.")
        _finish(landing, name, link, partition)
    found = redactions(landing, partition, {start}).get(start, [])
    return list(in_order(found, link.sha256))


def _redact_letter(
    landing: Landing, name: str, lines: Collection[int], by: str, reason: str
) -> list[Redaction]:
    """Make a dead letter blank; one body has one blank, so two at once agree."""
    folder, _, file = name.rpartition("/")
    partition = partition_of(folder)
    position = None if partition is None else dead_letter_offset(partition, file)
    body = landing.store.read(name)
    if partition is None or position is None or body is None:
        raise StopError(
            f"{name} is no dead letter of {landing.store}: say its path below the "
            "landing, as `ingest dead-letters --json` does."
        )
    if wrong := [n for n in lines if n != 1]:
        raise StopError(f"{name} has 1 line: there is no line {wrong[0]}.")
    if not read_letter(landing, partition, position).redacted:
        new = blank_letter(body)
        place = partition.topic, partition.number, position
        digests = _digests(body, new)
        record = Redaction(*place, [1], by, reason, _now(), *digests, dead_letter=True)
        landing.store.create_once(record.name, record.body())
        if not landing.store.rewrite(name, record.old_sha256, new):
            raise RetryError(f"{name} is being redacted by somebody else: try again.")
    done = redactions(landing, partition, {position}, dead_letters=True)
    return done.get(position, [])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _digests(old: bytes, new: bytes) -> tuple[str, str]:
    return sha256(old).hexdigest(), sha256(new).hexdigest()


def _place(landing: Landing, name: str) -> tuple[Partition, int]:
    folder, _, file = name.rpartition("/")
    partition = partition_of(folder)
    start = None if partition is None else object_start(partition, file)
    if partition is None or start is None or not name.startswith("topics/"):
        raise StopError(
            f"{name} is no object of {landing.store}: say its path below the landing, "
            "such as topics/u.user/partition=0/u.user+0+0000000000.json."
        )
    return partition, start


def _link(landing: Landing, partition: Partition, start: int) -> Link:
    metadata = landing.store.metadata(partition, start)
    if metadata is None:
        raise StopError(f"{partition} of {landing.store} has no link at {start}.")
    return Link.from_metadata(start, metadata)


def _finish(landing: Landing, name: str, link: Link, partition: Partition) -> None:
    """Bring the object to what its last record says, if it is not there yet."""
    found = redactions(landing, partition, {link.start}).get(link.start, [])
    known = list(in_order(found, link.sha256))
    body = _body(landing, name)
    digest = sha256(body).hexdigest()
    contents = [link.sha256, *(record.new_sha256 for record in known)]
    if digest == contents[-1]:
        return
    if digest not in contents:
        raise StopError(
            f"{name} is neither what was written nor what was redacted: run `ingest "
            "verify`, and restore it first."
        )
    left = known[contents.index(digest) :]
    lines = sorted({n for record in left for n in record.lines})
    new = _blank(landing, _split(name, body), lines)
    if sha256(new).hexdigest() != contents[-1]:
        raise StopError(
            f"{name} cannot become what {left[-1].name} says: another version of "
            "ingest or zlib began it. Run that one."
        )
    if not landing.store.rewrite(name, digest, new):
        raise RetryError(f"{name} is being redacted by somebody else: try again.")


def _body(landing: Landing, name: str) -> bytes:
    with explained(f"read {name}"), landing.store.open(name) as file:
        return file.read()


def _split(name: str, body: bytes) -> list[bytes]:
    text = gzip.decompress(body) if name.endswith(".gz") else body
    return text.split(b"\n")[:-1]


def _blank(landing: Landing, there: Sequence[bytes], lines: Collection[int]) -> bytes:
    kept = (b"" if n in lines else line for n, line in enumerate(there, 1))
    return landing.encode(list(kept))


def redacted_lines(records: Sequence[Redaction], link: Link) -> set[int]:
    """Return the lines of a link's object that are redacted."""
    known = in_order(records, link.sha256)
    return {n for record in known for n in record.lines}


def content_of(records: Sequence[Redaction], link: Link) -> Link:
    """Return the link with the SHA-256 that its object must have now."""
    *_, last = [link.sha256, *(x.new_sha256 for x in in_order(records, link.sha256))]
    return replace(link, sha256=last)
