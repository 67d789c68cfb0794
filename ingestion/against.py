"""Hold a landing against the source it came from, record by record."""

import gzip
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, Protocol

from ingestion.dead_letters import DeadLetter, read_letter
from ingestion.errors import explained
from ingestion.lander import Record, line_or_reason
from ingestion.landing import Chain, Landing, Link
from ingestion.records import MAX_RECORD_BYTES
from ingestion.redactions import redacted_lines, redactions
from ingestion.stores import Listing, Partition


class Stretch(NamedTuple):
    """What a source has of one partition, in order, each record with its place.

    `expired` says what is gone from it that was never landed, if the source tells.
    """

    records: Iterator[tuple[int, Record]]
    expired: int = 0


class Original(Protocol):
    """A source: places are numbers that rise along a partition."""

    def numbers(self, topic: str) -> list[int]:
        """Return the numbers of a topic's partitions or a stream's shards."""

    def identity(self, topic: str) -> str:
        """Tell the topic from every other, also from one made anew in its place."""

    def end(self, link: Link) -> int:
        """Return the first place behind a link."""

    def offset(self, record: Record) -> int | None:
        """Return the offset of a record that was read; None where landers count it."""

    def read(self, partition: Partition, end: Link | None, *, whole: bool) -> Stretch:
        """Read behind a link up to what is there at the call; or `whole`, all of it."""


@dataclass(slots=True)
class Held:
    """One partition held against its source.

    `compared` records are in both, byte for byte. `missing` ones are in the source and
    not in the landing, `expired` ones were never landed and are gone.
    """

    topic: str
    partition: int
    compared: int = 0
    missing: int = 0
    expired: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether the landing has all that the source has."""
        return not self.problems

    def counts(self) -> dict[str, object]:
        """Return topic, partition and every count by its name."""
        named = asdict(self)
        del named["problems"]
        return named


def hold_against(
    landing: Landing, original: Original, *, whole: bool = False
) -> Iterator[Held]:
    """Yield each partition of the landing's topics, sorted, as the source has it.

    What came after the chain's end is always read; with `whole` everything that the
    source still has is compared with what was landed of it.
    """
    for topic in sorted({found.topic for found in landing.store.partitions()}):
        identity = original.identity(topic)
        for number in original.numbers(topic):
            partition = Partition(topic, number)
            yield _Comparison(landing, original, partition, identity).run(whole=whole)


class _Comparison:
    """One partition: its source's records, in order, against its links, in order."""

    def __init__(
        self, landing: Landing, original: Original, partition: Partition, identity: str
    ) -> None:
        self._landing = landing
        self._original = original
        self._partition = partition
        self._identity = identity
        self._held = Held(partition.topic, partition.number)

    def run(self, *, whole: bool) -> Held:
        end = Chain(self._landing, self._partition).end
        if end is not None and end.source != self._identity:
            self._held.problems.append(
                f"it was landed from {end.source}, and this is {self._identity}"
            )
            return self._held
        stretch = self._original.read(self._partition, end, whole=whole)
        self._compare(stretch.records, self._pieces() if whole else iter(()))
        self._say(stretch.expired)
        return self._held

    def _pieces(self) -> Iterator["_Piece"]:
        """Yield what each link of this source holds, in order."""
        store = self._landing.store
        listing = store.listing(self._partition)
        names = dict(listing.objects)
        chain = Chain(self._landing, self._partition)
        redacted = redactions(self._landing, self._partition)
        for start in listing.starts:
            link = chain.link(start)
            if link.source == self._identity:
                lines = _lines(self._landing, names.get(start))
                letters = list(self._letters(listing, link))
                blank = redacted_lines(redacted.get(start, []), link)
                at = [n - 1 for n in blank]
                yield _Piece(self._original.end(link), lines, letters, at)

    def _letters(self, listing: Listing, link: Link) -> Iterator[DeadLetter]:
        for position in listing.dead_letters:
            if link.start <= position < link.next:
                yield read_letter(self._landing, self._partition, position)

    def _compare(
        self, records: Iterator[tuple[int, Record]], pieces: Iterator["_Piece"]
    ) -> None:
        piece = next(pieces, None)
        first: int | None = None
        for place, record in records:
            while piece is not None and place >= piece.end:
                piece = next(pieces, None)
            offset = self._original.offset(record)
            if piece is not None and piece.has(record, offset):
                self._held.compared += 1
            else:
                first = place if first is None else first
                self._held.missing += 1
        if first is not None:
            self._held.problems.append(
                f"{self._held.missing:,} records of the source are not landed, the "
                f"first at {first}"
            )

    def _say(self, expired: int) -> None:
        self._held.expired = expired
        if expired:
            self._held.problems.append(
                f"{expired:,} offsets behind the end of the chain are gone from the "
                "source"
            )


@dataclass(slots=True)
class _Piece:
    """What one link holds. Records are looked for in order, each line or letter once.

    A source that was compacted since has fewer records than were landed, never others.
    A line that was redacted since may have been any record, a dead letter any of its
    offset, or where that is counted of its time.
    """

    end: int
    lines: Sequence[bytes]
    letters: list[DeadLetter]
    blank: Collection[int]
    at: int = 0

    def has(self, record: Record, offset: int | None) -> bool:
        """Tell whether the record is the next line, or a later one, or a letter."""
        if self._has_letter(record, offset, redacted=False):
            return True
        line = line_or_reason(record.value, MAX_RECORD_BYTES << 10)
        if not isinstance(line, str) and self._has_line(line):
            return True
        return self._has_letter(record, offset, redacted=True)

    def _has_letter(
        self, record: Record, offset: int | None, *, redacted: bool
    ) -> bool:
        wanted = record.time, None if redacted else record.value
        for letter in self.letters:
            same = letter.redacted == redacted and (letter.time, letter.value) == wanted
            if same and offset in {None, letter.offset}:
                self.letters.remove(letter)
                return True
        return False

    def _has_line(self, line: bytes) -> bool:
        try:
            self.at = self.lines.index(line, self.at) + 1
        except ValueError:
            blank = [n for n in self.blank if n >= self.at]
            self.at = min(blank, default=self.at - 1) + 1
            return bool(blank)
        return True


def _lines(landing: Landing, name: str | None) -> Sequence[bytes]:
    if name is None:
        return ()
    with explained(f"read {name}"), landing.store.open(name) as file:
        body = file.read()
    text = gzip.decompress(body) if name.endswith(".gz") else body
    return text.split(b"\n")[:-1]
