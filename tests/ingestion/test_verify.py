"""Verification finds each kind of damage, and nothing where there is none."""

import gzip
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from ingestion.errors import StopError
from ingestion.lander import Letter, Record
from ingestion.landing import Chain, Landing, Link
from ingestion.stores import DirectoryStore, Partition
from ingestion.verify import Ledger, verify

PIN = Partition("u.pin", 0)


def landing_with_three_links(root: Path, compression: str = "none") -> Path:
    landing = Landing.open(DirectoryStore(root), compression)
    chain = Chain(landing, PIN)
    for _ in range(3):
        body = landing.encode([b'{"index": 1}', b'{"index": 2}'])
        link = Link(
            start=chain.next,
            source="direct",
            writer="w",
            first=chain.next,
            last=chain.next + 1,
            next=chain.next + 2,
            records=2,
            sha256=sha256(body).hexdigest(),
        )
        chain.commit(link, body)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return landing_with_three_links(tmp_path)


def ledger_of(root: Path) -> Ledger:
    (ledger,) = verify(Landing.read(DirectoryStore(root)))
    assert ledger.clean == (not ledger.problems and not ledger.expired)
    return ledger


def object_at(root: Path, start: int, suffix: str = ".json") -> Path:
    return root / f"topics/u.pin/partition=0/u.pin+0+{start:010d}{suffix}"


def claim_at(root: Path, start: int) -> Path:
    return root / f"_ingest/links/u.pin/0/{start:010d}.json"


def change_claim(root: Path, start: int, **changes: str) -> None:
    claim = orjson.loads(claim_at(root, start).read_bytes())
    claim_at(root, start).write_bytes(orjson.dumps({**claim, **changes}))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_whole_landing_is_clean(tmp_path: Path, compression: str) -> None:
    ledger = ledger_of(landing_with_three_links(tmp_path, compression))
    assert ledger == Ledger("u.pin", 0, links=3, records=6)
    assert ledger.clean


def test_a_missing_link_is_a_break(root: Path) -> None:
    claim_at(root, 2).unlink()
    object_at(root, 2).unlink()
    ledger = ledger_of(root)
    assert ledger.breaks == 1
    assert ledger.problems == ["no link covers offsets 2 to 3"]


def test_a_missing_first_link_is_a_break(root: Path) -> None:
    claim_at(root, 0).unlink()
    object_at(root, 0).unlink()
    assert ledger_of(root).problems == ["no link covers offsets 0 to 1"]


def test_a_missing_object_is_unwritten(root: Path) -> None:
    object_at(root, 2).unlink()
    assert ledger_of(root).unwritten == 1


def test_an_object_without_a_link_is_unlinked(root: Path) -> None:
    shutil.copy(object_at(root, 0), object_at(root, 6))
    shutil.copy(object_at(root, 0), object_at(root, 0).with_name("part-0.json"))
    assert ledger_of(root).unlinked == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-1],
        lambda body: body[:12] + bytes([body[12] ^ 1]) + body[13:],
        lambda body: body + body,
        lambda _: b"",
    ],
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_changed_object_is_a_checksum_failure(
    tmp_path: Path, compression: str, damage: Callable[[bytes], bytes]
) -> None:
    root = landing_with_three_links(tmp_path, compression)
    path = object_at(root, 2, ".json.gz" if compression == "gzip" else ".json")
    changed = damage(path.read_bytes())
    path.unlink()
    path.write_bytes(changed)
    assert ledger_of(root).checksum_failures == 1


def test_an_object_with_other_lines_than_its_link_counts_is_found(root: Path) -> None:
    body = b"{}\n"
    object_at(root, 2).unlink()
    object_at(root, 2).write_bytes(body)
    change_claim(root, 2, sha256=sha256(body).hexdigest())
    assert "1 lines of 2" in ledger_of(root).problems[0]


def test_a_gzip_object_that_cannot_be_read_is_a_checksum_failure(
    tmp_path: Path,
) -> None:
    root = landing_with_three_links(tmp_path, "gzip")
    path = object_at(root, 0, ".json.gz")
    path.unlink()
    path.write_bytes(b"not gzip")
    assert ledger_of(root).checksum_failures == 1


def test_two_suffixes_at_one_start_overlap(root: Path) -> None:
    packed = gzip.compress(object_at(root, 2).read_bytes())
    object_at(root, 2, ".json.gz").write_bytes(packed)
    assert ledger_of(root).overlaps == 1


def test_links_that_cover_an_offset_twice_overlap(root: Path) -> None:
    change_claim(root, 0, next="3", last="2", records="3")
    ledger = ledger_of(root)
    assert (ledger.overlaps, ledger.checksum_failures) == (1, 1)


def test_every_link_inside_a_longer_one_overlaps(root: Path) -> None:
    change_claim(root, 0, next="6", last="5", records="6")
    assert ledger_of(root).overlaps == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"records": "1"},
        {"dead": "1"},
        {"gaps": "1"},
        {"last": "9"},
        {"first": "1"},
    ],
)
def test_a_link_whose_counts_do_not_add_up_is_a_break(
    root: Path, changes: dict[str, str]
) -> None:
    change_claim(root, 2, **changes)
    assert ledger_of(root).breaks == 1


def test_damaged_metadata_are_a_break(root: Path) -> None:
    claim_at(root, 2).write_bytes(b"{")
    ledger = ledger_of(root)
    assert "is damaged" in ledger.problems[0]
    assert not ledger.clean


def test_metadata_of_a_newer_version_stop_the_verification(root: Path) -> None:
    change_claim(root, 2, v="2")
    with pytest.raises(StopError, match="newer version"):
        ledger_of(root)


def test_dead_letters_are_those_that_links_count(root: Path) -> None:
    folder = root / "_dead_letter/u.pin/partition=0"
    folder.mkdir(parents=True)
    letter = Letter(3, "not_utf8", Record(3, b"\xff")).body(PIN, "direct")
    (folder / "u.pin+0+0000000003.json").write_bytes(letter)
    assert ledger_of(root).uncounted == 1
    change_claim(root, 2, dead="1", records="1", last="2")
    object_at(root, 2).unlink()
    object_at(root, 2).write_bytes(b"{}\n")
    change_claim(root, 2, sha256=sha256(b"{}\n").hexdigest())
    assert ledger_of(root).clean
    (folder / "u.pin+0+0000000099.json").write_bytes(letter)
    assert ledger_of(root).problems == ["1 dead letters lie where no link is"]


def test_a_counted_dead_letter_that_is_gone_is_found(root: Path) -> None:
    change_claim(root, 2, dead="2", records="0")
    claim = orjson.loads(claim_at(root, 2).read_bytes())
    del claim["first"], claim["last"]
    claim_at(root, 2).write_bytes(orjson.dumps(claim))
    assert ledger_of(root).uncounted == 2


def test_records_that_expired_at_the_source_are_not_clean(root: Path) -> None:
    change_claim(root, 4, expired="3", next="9")
    ledger = ledger_of(root)
    assert (ledger.expired, ledger.problems) == (3, [])
    assert not ledger.clean


def test_what_expired_may_be_accepted(root: Path) -> None:
    change_claim(root, 4, expired="3", next="9", maybe_expired="yes")
    (ledger,) = verify(Landing.read(DirectoryStore(root)), accept_expired=True)
    assert (ledger.expired, ledger.maybe_expired, ledger.clean) == (3, 1, True)


def test_what_may_have_expired_is_not_clean_until_it_is_accepted(root: Path) -> None:
    change_claim(root, 2, maybe_expired="accepted")
    assert ledger_of(root).maybe_expired == 1
    assert ledger_of(root).clean
    change_claim(root, 4, maybe_expired="yes")
    assert ledger_of(root).maybe_expired == 2
    assert "before offset 4 may have expired" in ledger_of(root).problems[0]


def test_links_of_a_shard_say_where_they_end_one_behind_another(root: Path) -> None:
    for start, end in ((0, "9"), (2, "10"), (4, "11")):
        change_claim(root, start, source="kinesis:s", next_sequence=end)
    assert ledger_of(root).clean
    change_claim(root, 2, next_sequence="12")
    assert "the link at 4 ends before" in ledger_of(root).problems[0]
    change_claim(root, 4, source="kinesis:made anew", next_sequence="1")
    assert ledger_of(root).clean
    change_claim(root, 0, source="kinesis:another")
    claim = orjson.loads(claim_at(root, 2).read_bytes())
    del claim["next_sequence"]
    claim_at(root, 2).write_bytes(orjson.dumps(claim))
    assert "does not say behind which record" in ledger_of(root).problems[0]


def test_a_landing_something_else_wrote_is_one_clear_sentence(tmp_path: Path) -> None:
    object_at(tmp_path, 0).parent.mkdir(parents=True)
    object_at(tmp_path, 0).write_bytes(b"{}\n")
    with pytest.raises(StopError, match="written by something else"):
        ledger_of(tmp_path)


def test_a_folder_that_is_no_partition_is_refused(root: Path) -> None:
    (root / "topics/u.pin/year=2022").mkdir()
    with pytest.raises(StopError, match=r"what ingest did not write.*year=2022"):
        ledger_of(root)
