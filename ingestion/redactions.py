"""Redact lines of landed objects, so that everybody can see what was done.

An object is written once; only a person's right to erasure comes before that. The lines
become blank, which the models pass over, so all others keep their numbers. A record
of it says which lines, by whom, why, when, and the SHA-256 of the object before and
after: the records of an object lead from what its link says to what it is now.
"""

import gzip
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import orjson

from ingestion.errors import DamagedError, RetryError, StopError, explained
from ingestion.landing import Landing, Link
from ingestion.stores import Partition, object_start, partition_of

_RECORD: Final = ".json"
_DIGEST_LETTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Redaction:
    """One redaction of one object. Lines count from 1; the time is UTC."""

    topic: str
    partition: int
    start: int
    lines: list[int]
    by: str
    reason: str
    at: str
    old_sha256: str
    new_sha256: str

    @property
    def name(self) -> str:
        """The name of its record: one content has one successor, whoever redacts."""
        place = Partition(self.topic, self.partition)
        file = f"{self.topic}+{self.partition}+{self.start:010d}"
        return f"{_folder(place)}/{file}+{self.old_sha256[:_DIGEST_LETTERS]}{_RECORD}"

    def body(self) -> bytes:
        """Write it as one line of JSON."""
        return orjson.dumps({"version": 1, **asdict(self)}) + b"\n"


_VERSIONS: Final = {1: Redaction}


def _folder(partition: Partition) -> str:
    place = f"{partition.topic}/partition={partition.number}"
    return f"_ingest/redactions/{place}"


def redactions(
    landing: Landing, partition: Partition, starts: Collection[int] | None = None
) -> dict[int, list[Redaction]]:
    """Return the redactions of a partition's objects, by start, unsorted.

    Raises `DamagedError` for a record that cannot be read.
    """
    found: dict[int, list[Redaction]] = {}
    for name in landing.store.names(_folder(partition)):
        record = _read(landing, f"{_folder(partition)}/{name}")
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

    The record is durable before the object is changed. Killed between, `ingest verify`
    says so, and the same call ends it. Raises `StopError` where the object is not what
    its link and its redactions say, or has no such line.
    """
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
        now = datetime.now(UTC).isoformat(timespec="seconds")
        digests = sha256(body).hexdigest(), sha256(new).hexdigest()
        place = partition.topic, partition.number, start
        record = Redaction(*place, wanted, by, reason, now, *digests)
        if not landing.store.create_once(record.name, record.body()):
            raise RetryError(f"{name} is being redacted by somebody else: try again.")
        _finish(landing, name, link, partition)
    found = redactions(landing, partition, {start}).get(start, [])
    return list(in_order(found, link.sha256))


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
