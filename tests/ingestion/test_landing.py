"""Landings, links and chains."""

import gzip
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from ingestion.errors import DamagedError, StopError
from ingestion.landing import Chain, Landing, Link
from ingestion.stores import DirectoryStore, Partition

PIN = Partition("u.pin", 0)
FULL = Link(
    start=5,
    source="kafka:" + "c" * 22 + ":" + "t" * 22,
    writer="w" * 32,
    base=1,
    first=6,
    last=10**15,
    next=10**15 + 2,
    next_sequence="4" * 56,
    records=10_000,
    dead=1,
    gaps=2,
    before_start=3,
    expired=4,
    first_time=1_700_000_000_000,
    last_time=1_700_000_000_001,
    sha256="f" * 64,
    cursor="{" + "x" * 300 + "}",
)


def link(start: int, lines: int = 1, writer: str = "w") -> Link:
    return Link(
        start=start,
        source="direct",
        writer=writer,
        first=start,
        last=start + lines - 1,
        next=start + lines,
        records=lines,
        sha256=sha256(b"{}\n" * lines).hexdigest(),
    )


def test_metadata_are_ascii_text_pairs_under_1_kb_and_read_back_the_same() -> None:
    pairs = FULL.metadata()
    assert sum(len(k) + len(v) for k, v in pairs.items()) < 1024
    assert Link.from_metadata(5, pairs) == FULL
    assert Link.from_metadata(0, link(0).metadata()) == link(0)


def test_metadata_have_the_documented_names() -> None:
    assert list(FULL.metadata()) == [
        "v",
        "source",
        "writer",
        "base",
        "first",
        "last",
        "next",
        "next_sequence",
        "records",
        "dead",
        "gaps",
        "before_start",
        "expired",
        "first_time",
        "last_time",
        "sha256",
        "cursor",
    ]
    assert "expired" not in link(0).metadata()


@pytest.mark.parametrize("cursor", ["ž", "x" * 1024])
def test_metadata_an_object_store_would_refuse_are_refused(cursor: str) -> None:
    bad = Link(start=0, source="s", writer="w", next=1, sha256="", cursor=cursor)
    with pytest.raises(StopError, match="ASCII under 1 KB"):
        bad.metadata()


def test_metadata_of_a_newer_version_are_refused() -> None:
    with pytest.raises(StopError, match=r"newer version of ingest .v 2.: upgrade"):
        Link.from_metadata(0, {**FULL.metadata(), "v": "2"})


@pytest.mark.parametrize("pairs", [{}, {"v": "1"}, {**FULL.metadata(), "next": "x"}])
def test_metadata_that_are_not_ours_are_damaged(pairs: dict[str, str]) -> None:
    with pytest.raises(DamagedError, match="not ours or damaged"):
        Link.from_metadata(0, pairs)


def test_a_landing_keeps_the_compression_it_was_created_with(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    assert Landing.open(store, "gzip").suffix == ".json.gz"
    assert Landing.open(store).compression == "gzip"
    assert Landing.open(store, "gzip").compression == "gzip"
    with pytest.raises(StopError, match=r"has compression gzip.*leave --compression"):
        Landing.open(store, "none")


def test_a_body_is_a_record_per_line_and_always_the_same_bytes(tmp_path: Path) -> None:
    landing = Landing.open(DirectoryStore(tmp_path), "gzip")
    body = landing.encode([b"1", b"2"])
    assert gzip.decompress(body) == b"1\n2\n"
    assert body == landing.encode([b"1", b"2"])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"version": 1, "compression": "zip"}', "is damaged"),
        (b'{"version": 2, "compression": "none"}', "newer version"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(
    tmp_path: Path, body: bytes, sentence: str
) -> None:
    Landing.open(DirectoryStore(tmp_path))
    (tmp_path / "_ingest/landing.json").write_bytes(body)
    for use in (Landing.open, Landing.read):
        with pytest.raises(StopError, match=sentence):
            use(DirectoryStore(tmp_path))


@pytest.mark.parametrize("use", [Landing.open, Landing.read])
def test_a_landing_that_something_else_wrote_is_refused(
    tmp_path: Path, use: Callable[[DirectoryStore], Landing]
) -> None:
    folder = tmp_path / "topics/u.pin/partition=0"
    folder.mkdir(parents=True)
    (folder / "u.pin+0+0000000000.json").write_bytes(b"{}\n")
    with pytest.raises(StopError, match=r"written by something else.*another landing"):
        use(DirectoryStore(tmp_path))
    assert not (tmp_path / "_ingest").exists()


def test_where_no_landing_is_none_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(StopError, match="There is no landing"):
        Landing.read(DirectoryStore(tmp_path / "nowhere"))


class OverwritingStore(DirectoryStore):
    """An object store that does not know If-None-Match."""

    def create_once(self, name: str, body: bytes) -> bool:
        return super().create_once(name, body) or True


def test_a_store_that_would_overwrite_is_found_out_by_the_probe(
    tmp_path: Path,
) -> None:
    with pytest.raises(StopError, match="does not refuse to create one object twice"):
        Landing.open(OverwritingStore(tmp_path))


def test_a_chain_goes_on_where_its_last_link_says(tmp_path: Path) -> None:
    landing = Landing.open(DirectoryStore(tmp_path))
    chain = Chain(landing, PIN)
    assert (chain.end, chain.next) == (None, 0)
    chain.commit(link(0, 2), b"{}\n" * 2)
    assert Chain(landing, PIN).end == link(0, 2)
    assert Chain(landing, PIN).next == chain.next == 2


def test_a_refused_writer_stands_behind_the_link_that_was_first(tmp_path: Path) -> None:
    landing = Landing.open(DirectoryStore(tmp_path))
    first, second = Chain(landing, PIN), Chain(landing, PIN)
    first.commit(link(0, 3, "first"), b"{}\n" * 3)
    there = second.commit(link(0, 1, "second"), b"{}\n")
    assert there == link(0, 3, "first")
    assert second.next == 3


def test_the_same_bytes_with_another_next_do_not_count_as_committed(
    tmp_path: Path,
) -> None:
    landing = Landing.open(DirectoryStore(tmp_path))
    first, second = Chain(landing, PIN), Chain(landing, PIN)
    one = link(0)
    first.commit(one, b"{}\n")
    longer = Link(
        start=0,
        source="direct",
        writer="x",
        next=9,
        gaps=8,
        records=1,
        sha256=one.sha256,
    )
    assert second.commit(longer, b"{}\n") == one
    assert second.next == 1


def test_a_link_is_only_ever_put_at_the_end_of_its_chain(tmp_path: Path) -> None:
    chain = Chain(Landing.open(DirectoryStore(tmp_path)), PIN)
    with pytest.raises(ValueError, match="chain ends at 0"):
        chain.commit(link(1), b"{}\n")


def test_a_damaged_end_of_a_chain_stops_the_run(tmp_path: Path) -> None:
    landing = Landing.open(DirectoryStore(tmp_path))
    Chain(landing, PIN).commit(link(0), b"{}\n")
    claim = tmp_path / "_ingest/links/u.pin/0/0000000000.json"
    whole = orjson.loads(claim.read_bytes())
    for body in (b"{", orjson.dumps({**whole, "next": "0"}), orjson.dumps({"v": "1"})):
        claim.write_bytes(body)
        with pytest.raises(StopError):
            Chain(landing, PIN)
