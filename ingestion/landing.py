"""Landings and their chains: each record once, in order, whoever writes.

The objects of a partition form a chain of links. Each link says where the next one must
start, and the place of a link can be taken only once; so writers that race, sleep, are
killed or lose an answer all end in the same chain. Layout and names are those of the
Kafka Connect S3 sink, so its objects and ours are read by the same models.
"""

import gzip
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import orjson

from ingestion.errors import DamagedError, StopError
from ingestion.stores import SUFFIXES, Metadata, Partition, Store

VERSION: Final = 1
LANDING_FILE: Final = "_ingest/landing.json"
PROBE_FILE: Final = "_ingest/probe"
NOT_ACCEPTED: Final = "yes"
ACCEPTED: Final = "accepted"
_MAX_METADATA_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One object of a chain and what its metadata says: counts, never lists.

    It covers the offsets `start` up to, not including, `next`, and
    next - start = records + dead + gaps + before_start + expired.
    `first`, `last` and the times (epoch milliseconds) are those of its records;
    `last_time` of a link without any is that of its last dead letter. `next_sequence`
    is what Kinesis calls the record at next - 1. `maybe_expired` is `NOT_ACCEPTED`
    where records before it may have expired unread, or `ACCEPTED` by somebody.
    """

    start: int
    source: str
    writer: str
    base: int = 0
    first: int | None = None
    last: int | None = None
    next: int
    next_sequence: str | None = None
    records: int = 0
    dead: int = 0
    gaps: int = 0
    before_start: int = 0
    expired: int = 0
    maybe_expired: str | None = None
    first_time: int | None = None
    last_time: int | None = None
    sha256: str
    cursor: str | None = None

    def metadata(self) -> Metadata:
        """Return it as the text pairs an object store keeps: ASCII, under 1 KB."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        del named["start"]
        named["expired"] = self.expired or None
        pairs = {k: str(v) for k, v in named.items() if v is not None}
        pairs = {"v": str(VERSION), **pairs}
        size = sum(len(k) + len(v) for k, v in pairs.items())
        if size >= _MAX_METADATA_BYTES or not "".join(pairs.values()).isascii():
            raise StopError(f"The metadata of a link is not ASCII under 1 KB: {pairs}")
        return pairs

    @classmethod
    def from_metadata(cls, start: int, metadata: Metadata) -> Self:
        """Read the metadata of the link at `start`.

        Raises `DamagedError` where they are not ours or damaged, and `StopError` where
        a newer version wrote them.
        """
        _refuse_newer(metadata.get("v", "0"), f"The link at {start}")
        values: dict[str, object] = {"start": start}
        try:
            for f in fields(cls)[1:]:
                if f.name in metadata:
                    text = metadata[f.name]
                    values[f.name] = text if "str" in str(f.type) else int(text)
            link = cls(**values)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise _damaged(start, error) from error
        if link.next <= start:
            raise _damaged(start, f"next is {link.next}")
        return link


def _damaged(start: int, why: object) -> DamagedError:
    return DamagedError(
        f"The metadata of the link at {start} are not ours or damaged ({why}): "
        "run `ingest verify`, or use another landing."
    )


def _refuse_newer(version: str, what: str) -> None:
    if not version.isdecimal() or int(version) > VERSION:
        raise StopError(
            f"{what} was written by a newer version of ingest (v {version}): "
            "upgrade before you go on."
        )


class Landing:
    """A place for chains, with one compression for good.

    `landing.json` is created once, by a conditional write, and read by every writer.
    """

    def __init__(self, store: Store, compression: str) -> None:
        """Use a store whose `landing.json` was read; see `open` and `read`."""
        self.store = store
        self.compression = compression
        self.suffix = SUFFIXES[compression]

    @classmethod
    def open(cls, store: Store, compression: str | None = None) -> Self:
        """Open a landing for writing, or create it (compression none if not given).

        Raises `StopError` where something else wrote it, where its compression differs
        from the one asked for, or where its store cannot refuse a second writer.
        """
        used = bool(store.partitions())  # before the read: landing.json comes first
        body = store.read(LANDING_FILE)
        if body is None and used:
            raise _not_ours(store)
        _probe(store)
        if body is None:
            wanted = {"version": VERSION, "compression": compression or "none"}
            store.create_once(LANDING_FILE, orjson.dumps(wanted) + b"\n")
        landing = cls.read(store)
        if compression not in {None, landing.compression}:
            raise StopError(
                f"The landing {store} has compression {landing.compression}, which is "
                "fixed when a landing is created: leave --compression out, or use "
                "another landing."
            )
        store.tidy()
        return landing

    @classmethod
    def read(cls, store: Store) -> Self:
        """Open a landing for reading; `StopError` where there is none of ours."""
        body = store.read(LANDING_FILE)
        if body is None:
            if store.partitions():
                raise _not_ours(store)
            raise StopError(f"There is no landing at {store}: check the path.")
        try:
            settings = orjson.loads(body)
            version, compression = str(settings["version"]), settings["compression"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise StopError(
                f"{store}/{LANDING_FILE} is damaged: restore it."
            ) from error
        _refuse_newer(version, f"The landing {store}")
        if compression not in SUFFIXES:
            raise StopError(f"{store}/{LANDING_FILE} is damaged: restore it.")
        return cls(store, compression)

    def encode(self, records: Sequence[bytes]) -> bytes:
        """Return the body of an object: one record per line; same lines, same bytes."""
        body = b"\n".join([*records, b""])
        return gzip.compress(body, 6, mtime=0) if self.compression == "gzip" else body


def _not_ours(store: Store) -> StopError:
    return StopError(
        f"The landing {store} was written by something else: its objects have no "
        "metadata of ours, so nothing about them can be proved. Use another landing."
    )


def _probe(store: Store) -> None:
    """Refuse a store that would let a second writer overwrite the first."""
    store.create_once(PROBE_FILE, uuid.uuid4().bytes)
    if store.create_once(PROBE_FILE, uuid.uuid4().bytes):
        raise StopError(
            f"The landing {store} does not refuse to create one object twice, so "
            "records could be lost: use another store."
        )


class Chain:
    """The chain of one partition, as one writer sees it.

    `next` is where the next link must start. Several writers may have the same chain
    open, in any processes: only one of them gets each place.
    """

    def __init__(self, landing: Landing, partition: Partition) -> None:
        """Find the chain's end in the store; there are no checkpoints to be stale."""
        self.landing = landing
        self.partition = partition
        start = landing.store.last_start(partition)
        self.end = None if start is None else self.link(start)
        self.next = 0 if self.end is None else self.end.next

    def link(self, start: int) -> Link:
        """Return the link at `start`; `StopError` where there is none of ours."""
        metadata = self.landing.store.metadata(self.partition, start)
        if metadata is None:
            raise StopError(
                f"The landing {self.landing.store} has no link of {self.partition} at "
                f"{start}, though its chain has one: run `ingest verify`."
            )
        return Link.from_metadata(start, metadata)

    def commit(self, link: Link, body: bytes) -> Link:
        """Try to take the chain's next place, and return the link that has it.

        That is equal to `link` when it was committed, also where only the answer was
        lost, and else the link of whoever was first. Either way `end` and `next` move
        behind it, and one of ours there is durable.
        """
        if link.start != self.next:
            raise ValueError(f"link at {link.start}, but the chain ends at {self.next}")
        there = self.landing.store.create_link(
            self.partition, link.start, self.landing.suffix, body, link.metadata()
        )
        taken = link if there is None else Link.from_metadata(link.start, there)
        self.end, self.next = taken, taken.next
        return taken
