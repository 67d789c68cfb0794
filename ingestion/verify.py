"""Prove a landing: every link of every chain, its object, and its ledger."""

import zlib
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import BinaryIO, Final

from ingestion.dead_letters import read_letter, superseded
from ingestion.errors import DamagedError, explained
from ingestion.landing import ACCEPTED, Landing, Link
from ingestion.redactions import (
    Redaction,
    content_of,
    in_order,
    redacted_lines,
    redactions,
)
from ingestion.stores import Listing, Partition

_BLOCK_BYTES: Final = 1 << 20
_GZIP: Final = 31  # zlib's "window bits" for a gzip stream


@dataclass(slots=True)
class Ledger:
    """The counts of one partition, and a sentence for each thing that is wrong.

    `breaks` are holes between links and links whose own counts do not add up,
    `overlaps` places that are taken twice, `checksum_failures` objects whose bytes or
    lines are not those that were written. `unlinked` are objects without a link,
    `unwritten` links without an object, `uncounted` dead letters that no
    link counts, or the other way round. `superseded` ones are none: a link has their
    records as lines, by a lander with another limit. `redacted` lines were made blank,
    with a record that says so, or dead letters. `expired` records were lost at the
    source; before `maybe_expired` links some may have been, unread. With `accepted`
    neither makes the partition not clean.
    """

    topic: str
    partition: int
    links: int = 0
    records: int = 0
    dead: int = 0
    gaps: int = 0
    before_start: int = 0
    expired: int = 0
    maybe_expired: int = 0
    breaks: int = 0
    overlaps: int = 0
    checksum_failures: int = 0
    unlinked: int = 0
    unwritten: int = 0
    uncounted: int = 0
    superseded: int = 0
    redacted: int = 0
    problems: list[str] = field(default_factory=list)
    accepted: bool = False

    def counts(self) -> dict[str, object]:
        """Return topic, partition and every count by its name."""
        named = asdict(self)
        del named["problems"], named["accepted"]
        return named

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, doubled or broken."""
        return not self.problems and (self.accepted or not self.expired)

    def found(self, count: str, problem: str, number: int = 1) -> None:
        """Count something that is wrong, and say it."""
        setattr(self, count, getattr(self, count) + number)
        self.problems.append(problem)


def verify(landing: Landing, *, accept_expired: bool = False) -> Iterator[Ledger]:
    """Yield the ledger of each partition, sorted; every object is read in full.

    With `accept_expired` somebody knows of what expired at the source.

    Raises `StopError` where a newer version wrote, or something cannot be read.
    """
    for partition in landing.store.partitions():
        ledger = Ledger(partition.topic, partition.number, accepted=accept_expired)
        yield _Verification(landing, partition, ledger).run()


class _Verification:
    """The proof of one partition."""

    def __init__(self, landing: Landing, partition: Partition, ledger: Ledger) -> None:
        self._landing = landing
        self._partition = partition
        self._ledger = ledger

    def run(self) -> Ledger:
        self._redactions = redactions(self._landing, self._partition)
        listing = self._landing.store.listing(self._partition)
        links = list(self._links(listing.starts))
        self._chain(links)
        self._objects(listing, links)
        self._dead_letters(listing, links)
        return self._ledger

    def _links(self, starts: list[int]) -> Iterator[Link]:
        for start in starts:
            try:
                metadata = self._landing.store.metadata(self._partition, start)
                yield Link.from_metadata(start, metadata or {})
            except DamagedError as error:
                self._ledger.found("breaks", str(error))

    def _chain(self, links: list[Link]) -> None:
        expected = 0
        before: Link | None = None
        for link in links:
            self._sequence(link, before)
            before = link
            if link.start > expected:
                self._ledger.found(
                    "breaks", f"no link covers offsets {expected} to {link.start - 1}"
                )
            elif link.start < expected:
                self._ledger.found("overlaps", f"two links cover offset {link.start}")
            self._count(link)
            expected = max(expected, link.next)

    def _sequence(self, link: Link, before: Link | None) -> None:
        """Require that the links of a shard say where they end, one behind another."""
        if not link.source.startswith("kinesis:"):
            return
        same = before is not None and before.source == link.source
        last = _number(before.next_sequence) if before is not None and same else None
        number = _number(link.next_sequence)
        if number is None:
            problem = f"the link at {link.start} does not say behind which record"
            self._ledger.found("breaks", f"{problem} of its shard it ends")
        elif last is not None and number <= last:
            problem = f"the link at {link.start} ends before the one before it does"
            self._ledger.found("breaks", problem)

    def _count(self, link: Link) -> None:
        ledger = self._ledger
        ledger.links += 1
        for name in ("records", "dead", "gaps", "before_start", "expired"):
            setattr(ledger, name, getattr(ledger, name) + getattr(link, name))
        if link.maybe_expired is not None:
            self._doubt(link)
        covered = link.records + link.dead + link.gaps + link.before_start
        if link.next - link.start != covered + link.expired or not _within(link):
            ledger.found(
                "breaks", f"the counts of the link at {link.start} do not add up"
            )

    def _doubt(self, link: Link) -> None:
        self._ledger.maybe_expired += 1
        if link.maybe_expired != ACCEPTED and not self._ledger.accepted:
            self._ledger.problems.append(
                f"records before offset {link.start} may have expired unread: nothing "
                "tells that they had all been landed"
            )

    def _objects(self, listing: Listing, links: list[Link]) -> None:
        """Match objects with links: one each, with the bytes that were written."""
        wanted = {link.start: link for link in links}
        claimed, seen = set(listing.starts), set[int]()
        for start, name in listing.objects:
            if start in seen:
                self._ledger.found(
                    "overlaps", f"{name} is a second object at its start"
                )
            elif start not in claimed:
                self._ledger.found("unlinked", f"{name} has no link")
            elif start in wanted:
                self._content(name, wanted[start])
            seen.add(start)
        for name in listing.foreign:
            self._ledger.found("unlinked", f"{name} is no object of a chain")
        for start in sorted(claimed - seen):
            self._ledger.found("unwritten", f"the link at {start} has no object")

    def _content(self, name: str, link: Link) -> None:
        with explained(f"read {name}"), self._landing.store.open(name) as file:
            digest, lines = _digest_and_lines(file, packed=name.endswith(".gz"))
        records = self._redactions.get(link.start, [])
        wanted = content_of(records, link)
        self._ledger.redacted += len(redacted_lines(records, link))
        if (digest, lines) == (wanted.sha256, link.records):
            return
        before = {record.old_sha256 for record in in_order(records, link.sha256)}
        if digest in before:
            problem = f"the redaction of {name} is not finished: run it again"
        else:
            problem = (
                f"{name} is not what was written: {lines} lines of {link.records}, "
                f"SHA-256 {digest[:12]}… for {wanted.sha256[:12]}…"
            )
        self._ledger.found("checksum_failures", problem)

    def _dead_letters(self, listing: Listing, links: list[Link]) -> None:
        offsets = listing.dead_letters
        uncounted = len(offsets)
        written = {start for start, _ in listing.objects}
        for link in links:
            begin, end = (bisect_left(offsets, n) for n in (link.start, link.next))
            inside = offsets[begin:end]
            uncounted -= len(inside)
            found = len(inside) - self._superseded(link, inside, written)
            if found != link.dead:
                self._ledger.found(
                    "uncounted",
                    f"the link at {link.start} counts {link.dead} dead letters, "
                    f"{found} are there",
                    abs(found - link.dead),
                )
        if uncounted > 0:
            problem = f"{uncounted} dead letters lie where no link is"
            self._ledger.found("uncounted", problem, uncounted)
        redacted = redactions(self._landing, self._partition, dead_letters=True)
        for offset in offsets:
            self._letter(offset, redacted.get(offset, []))

    def _superseded(self, link: Link, inside: list[int], written: set[int]) -> int:
        number = 0
        if link.start in written:
            with suppress(DamagedError):  # each is read below, and what is wrong told
                found = superseded(self._landing, self._partition, link, inside)
                number = len(found)
        self._ledger.superseded += number
        return number

    def _letter(self, offset: int, records: list[Redaction]) -> None:
        """Require that a dead letter can be read, and is redacted if a record says."""
        try:
            letter = read_letter(self._landing, self._partition, offset)
        except DamagedError as error:
            self._ledger.found("checksum_failures", str(error))
            return
        self._ledger.redacted += letter.redacted
        if letter.redacted and not self._recorded(letter.name, records):
            problem = f"no record tells of the redaction of {letter.name}"
            self._ledger.found("checksum_failures", problem)
        if records and not letter.redacted:
            problem = f"the redaction of {letter.name} is not finished: run it again"
            self._ledger.found("checksum_failures", problem)

    def _recorded(self, name: str, records: list[Redaction]) -> bool:
        digest = sha256(self._landing.store.read(name) or b"").hexdigest()
        return any(record.new_sha256 == digest for record in records)


def _number(sequence: str | None) -> int | None:
    return int(sequence) if sequence is not None and sequence.isdecimal() else None


def _within(link: Link) -> bool:
    if link.first is None or link.last is None:
        return link.records == 0
    inside = link.start <= link.first <= link.last < link.next
    return inside and 0 < link.records <= link.last - link.first + 1


def _digest_and_lines(file: BinaryIO, *, packed: bool) -> tuple[str, int]:
    """Return the SHA-256 of the bytes and the number of lines; -1 if not readable."""
    digest, lines = sha256(), 0
    unpack = zlib.decompressobj(_GZIP)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        if lines >= 0:
            lines = (
                _add_lines(lines, unpack, block) if packed else lines + _lines(block)
            )
    return digest.hexdigest(), lines


def _add_lines(lines: int, unpack: "zlib._Decompress", block: bytes) -> int:
    try:
        return lines + _lines(unpack.decompress(block))
    except zlib.error:
        return -1


def _lines(text: bytes) -> int:
    return text.count(b"\n")
