"""A landing held against its source: every record of it is found, or named."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from ingestion.against import Held, Stretch, hold_against
from ingestion.lander import Letter, Record
from ingestion.landing import Chain, Landing, Link
from ingestion.redactions import redact
from ingestion.stores import DirectoryStore, Partition

PIN = Partition("u.pin", 0)


@dataclass
class Source:
    """Offsets and values of one partition; `low` is where its log begins."""

    values: dict[int, bytes | None]
    name: str = "kafka:c:t"
    low: int = 0
    partitions: list[int] = field(default_factory=lambda: [0])
    tells_offsets: bool = True
    time: int | None = None

    def numbers(self, topic: str) -> list[int]:
        assert topic == "u.pin"
        return self.partitions

    def identity(self, topic: str) -> str:
        assert topic == "u.pin"
        return self.name

    def end(self, link: Link) -> int:
        return link.next - link.base

    def offset(self, record: Record) -> int | None:
        return record.offset if self.tells_offsets else None

    def read(self, partition: Partition, end: Link | None, *, whole: bool) -> Stretch:
        landed = 0 if end is None else self.end(end)
        start = self.low if whole else max(self.low, landed)
        there = self.values if partition == PIN else {0: b"other"}
        found = [
            (n, Record(n, there[n], None, self.time))
            for n in sorted(there)
            if n >= start
        ]
        return Stretch(iter(found), max(self.low - landed, 0))


def landed(
    root: Path,
    *pieces: Sequence[bytes | None],
    compression: str = "none",
    source: str = "kafka:c:t",
) -> Landing:
    """Land pieces, a link each; None is a dead letter."""
    landing = Landing.open(DirectoryStore(root), compression)
    chain = Chain(landing, PIN)
    base = 0 if chain.end is None or chain.end.source == source else chain.next
    for piece in pieces:
        lines = [line for line in piece if line is not None]
        body = landing.encode(lines)
        for n, line in enumerate(piece, chain.next):
            if line is None:
                letter = Letter(n, "null_value", Record(n, None))
                name = f"{PIN.dead_letters}/u.pin+0+{n:010d}.json"
                landing.store.create_once(name, letter.body(PIN, source))
        link = Link(
            start=chain.next,
            source=source,
            writer="w",
            base=base,
            next=chain.next + len(piece),
            records=len(lines),
            dead=len(piece) - len(lines),
            sha256=sha256(body).hexdigest(),
        )
        chain.commit(link, body)
    return landing


def held(landing: Landing, source: Source, *, whole: bool = True) -> Held:
    (found,) = hold_against(landing, source, whole=whole)
    return found


def numbered(*offsets: int) -> dict[int, bytes | None]:
    return {n: b"%d" % n for n in offsets}


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_every_record_is_found_in_its_link(tmp_path: Path, compression: str) -> None:
    landing = landed(tmp_path, [b"0", b"1"], [b"2", None], compression=compression)
    found = held(landing, Source({**numbered(0, 1, 2), 3: None}))
    assert found == Held("u.pin", 0, compared=4)
    assert found.clean
    assert held(landing, Source(numbered(0)), whole=False).compared == 0


def test_what_came_after_the_chain_is_missing(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"0", b"1"])
    for whole in (True, False):
        found = held(landing, Source(numbered(0, 1, 2, 3)), whole=whole)
        assert (found.missing, found.clean) == (2, False)
        assert "the first at 2" in found.problems[0]


@pytest.mark.parametrize(
    ("pieces", "first"),
    [
        ([[b"0", b"x", b"2"], [b"3"]], 1),
        ([[b"1", b"0", b"2"], [b"3"]], 1),
        ([[b"0", b"1", None], [b"3"]], 2),
        ([[b"0", b"2", b"-"], [b"3"]], 1),
        ([[b"0", b"1", b"2"], [b""]], 3),
    ],
)
def test_a_record_without_its_line_is_named(
    tmp_path: Path, pieces: list[list[bytes | None]], first: int
) -> None:
    found = held(landed(tmp_path, *pieces), Source(numbered(0, 1, 2, 3)))
    assert (found.compared, found.missing) == (3, 1)
    assert f"the first at {first}" in found.problems[0]


def test_a_line_of_one_link_does_not_stand_for_a_record_of_another(
    tmp_path: Path,
) -> None:
    landing = landed(tmp_path, [b"a", b"a"], [b"b", b"c"])
    found = held(landing, Source({0: b"a", 1: b"a", 2: b"a", 3: b"c"}))
    assert (found.compared, found.missing) == (3, 1)


def test_a_line_stands_for_one_record_only(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"a", b"b", b"c"])
    found = held(landing, Source({0: b"a", 1: b"a", 2: b"c"}))
    assert (found.compared, found.missing) == (2, 1)


@pytest.mark.parametrize("tells_offsets", [True, False])
def test_a_dead_letter_stands_for_one_record_only(
    tmp_path: Path, tells_offsets: bool
) -> None:
    landing = landed(tmp_path, [b"0", b"1", None])
    source = Source({0: b"0", 1: None, 2: None}, tells_offsets=tells_offsets)
    found = held(landing, source)
    assert (found.compared, found.missing) == (2, 1)
    first = 1 if tells_offsets else 2
    assert f"the first at {first}" in found.problems[0]


def test_a_dead_letter_stands_for_no_record_of_another_time(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"0", None])
    source = Source({0: b"0", 1: None}, tells_offsets=False, time=7)
    found = held(landing, source)
    assert (found.compared, found.missing) == (1, 1)


def test_what_was_compacted_or_expired_since_is_no_fault(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"0", b"1", b"2"], [b"3", b"4", b"5"])
    found = held(landing, Source(numbered(2, 5), low=2))
    assert (found.compared, found.clean) == (2, True)


def test_what_expired_before_it_was_landed_is_said(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"0", b"1"])
    found = held(landing, Source(numbered(5), low=5), whole=False)
    assert (found.expired, found.missing) == (3, 1)
    assert "3 offsets behind the end of the chain are gone" in found.problems[1]


def test_a_partition_that_was_never_landed_is_missing(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"0"])
    source = Source(numbered(0), partitions=[0, 1])
    first, second = hold_against(landing, source)
    assert first.clean
    assert (second.partition, second.missing) == (1, 1)


def test_another_source_cannot_be_compared(tmp_path: Path) -> None:
    found = held(landed(tmp_path, [b"0"]), Source(numbered(0), name="kafka:c:other"))
    assert found.problems == ["it was landed from kafka:c:t, and this is kafka:c:other"]


def test_a_redacted_line_may_have_been_any_record(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"0", b"1", b"2"])
    redact(landing, PIN.object_name(0, ".json"), [2], "somebody", "a request")
    found = held(landing, Source(numbered(0, 1, 2)))
    assert (found.compared, found.missing) == (3, 0)
    found = held(landing, Source({0: b"0", 1: b"x", 2: b"y"}))
    assert (found.compared, found.missing) == (2, 1)


def test_a_redacted_dead_letter_may_have_been_any_one_record(tmp_path: Path) -> None:
    landing = landed(tmp_path, [b"0", None, b"2"])
    name = f"{PIN.dead_letters}/u.pin+0+0000000001.json"
    redact(landing, name, [1], "somebody", "a request")
    found = held(landing, Source({0: b"0", 1: b"\xff", 2: b"2"}))
    assert (found.compared, found.missing) == (3, 0)
    found = held(landing, Source({0: b"0", 1: b"\xff", 2: b"x"}))
    assert (found.compared, found.missing) == (2, 1)


def test_of_a_continued_chain_the_links_of_this_source_are_compared(
    tmp_path: Path,
) -> None:
    landed(tmp_path, [b"0", b"1", b"2"])
    landing = landed(tmp_path, [b"n0", b"n1"], source="kafka:c:new")
    found = held(landing, Source({0: b"n0", 1: b"n1"}, name="kafka:c:new"))
    assert found == Held("u.pin", 0, compared=2)
