"""One suite for every store: a landing in a folder and in S3 keep the same promises."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ingestion.errors import StopError
from ingestion.landing import Chain, Landing, Link
from ingestion.stores import Partition
from ingestion.verify import Ledger, verify

if TYPE_CHECKING:
    from landing_sites import Site

pytest_plugins = ["landing_sites"]

PIN = Partition("u.pin", 0)


def link(start: int, lines: Sequence[bytes], writer: str = "w") -> tuple[Link, bytes]:
    body = b"".join(line + b"\n" for line in lines)
    end = start + len(lines)
    made = Link(
        start=start,
        source="direct",
        writer=writer,
        first=start,
        last=end - 1,
        next=end,
        records=len(lines),
        sha256=sha256(body).hexdigest(),
    )
    return made, body


def landed(site: "Site", *bodies: Sequence[bytes]) -> Chain:
    chain = Chain(Landing.open(site.store()), PIN)
    for lines in bodies:
        chain.commit(*link(chain.next, lines))
    return chain


def ledger_of(site: "Site") -> Ledger:
    (ledger,) = verify(Landing.read(site.store()))
    return ledger


def test_the_first_to_create_a_link_wins_and_the_second_is_told_whose_it_is(
    site: "Site",
) -> None:
    first, second = landed(site), landed(site)
    mine, body = link(0, [b"1"], "first")
    assert first.commit(mine, body) == mine
    assert second.commit(*link(0, [b"2", b"3"], "second")) == mine
    assert second.next == 1
    assert site.body(PIN.object_name(0, ".json")) == b"1\n"
    assert ledger_of(site).clean


def test_metadata_come_back_as_they_were_written(site: "Site") -> None:
    made, body = link(0, [b"1"])
    full = replace(
        made,
        base=3,
        next=9,
        next_sequence="4" * 56,
        dead=1,
        gaps=2,
        before_start=3,
        expired=2,
        first_time=1_700_000_000_000,
        last_time=1_700_000_000_001,
        cursor='{"location":"a","before":null,"position":7}',
    )
    landed(site).commit(full, body)
    assert landed(site).end == full


def test_a_small_object_is_created_once_and_never_overwritten(site: "Site") -> None:
    store = site.store()
    assert store.read("_ingest/x.json") is None
    assert store.create_once("_ingest/x.json", b"1")
    assert not store.create_once("_ingest/x.json", b"2")
    assert store.read("_ingest/x.json") == b"1"


def test_where_nothing_is_nothing_is_found(site: "Site") -> None:
    store = site.store()
    assert store.partitions() == []
    assert store.last_start(PIN) is None
    assert store.metadata(PIN, 0) is None
    with pytest.raises(StopError, match=r"There is no landing at .*: check the path"):
        Landing.read(store)


def test_offsets_are_compared_as_numbers(site: "Site") -> None:
    store = site.store()
    for start in (10_000_000_000, 9_999_999_999):
        made, body = link(start, [b"1"])
        assert store.create_link(PIN, start, ".json", body, made.metadata()) is None
    assert store.last_start(PIN) == 10_000_000_000
    assert store.listing(PIN).starts == [9_999_999_999, 10_000_000_000]


def test_topics_and_partitions_are_all_found_dead_letters_too(site: "Site") -> None:
    landing = Landing.open(site.store())
    several = [Partition("u.geo", 2), Partition("u.pin", 0), Partition("u.pin", 10)]
    for each in several:
        Chain(landing, each).commit(*link(0, [b"1"]))
    lost = Partition("u.user", 1)
    landing.store.create_once(f"{lost.dead_letters}/u.user+1+0000000007.json", b"{}")
    assert site.store().partitions() == [*several, lost]
    assert site.store().listing(lost).dead_letters == [7]


@pytest.mark.parametrize("name", ["u.pin+0+0000000005.json", "part-0.avro"])
def test_an_object_without_metadata_of_ours_stops_the_run_and_is_found_by_verify(
    site: "Site", name: str
) -> None:
    landed(site, [b"1"])
    site.put(f"{PIN.folder}/{name}", b"1\n")
    with pytest.raises(StopError, match="use another landing"):
        landed(site)
    assert not ledger_of(site).clean


def test_a_landing_that_another_program_wrote_is_refused(site: "Site") -> None:
    site.put(PIN.object_name(0, ".json"), b"{}\n")
    for use in (Landing.open, Landing.read):
        with pytest.raises(StopError, match="written by something else"):
            use(site.store())


def test_hidden_files_of_systems_are_no_objects(site: "Site") -> None:
    landed(site, [b"1"])
    site.put(f"{PIN.folder}/.DS_Store", b"")
    assert landed(site).next == 1
    assert ledger_of(site).clean


def change(site: "Site", name: str) -> None:
    site.put(name, site.body(name)[::-1])


def remove(site: "Site", name: str) -> None:
    site.remove(name)


def double(site: "Site", name: str) -> None:
    site.put(name.replace(".json", ".json.gz"), b"")


@pytest.mark.parametrize("harm", [change, remove, double])
def test_verify_finds_what_was_changed_deleted_or_doubled(
    site: "Site", harm: "Callable[[Site, str], None]"
) -> None:
    landed(site, [b"1"], [b"2", b"3"], [b"4"])
    assert ledger_of(site).clean
    assert ledger_of(site).records == 4
    harm(site, PIN.object_name(1, ".json"))
    assert not ledger_of(site).clean


def test_writers_that_race_end_in_one_chain_with_every_record_once(
    site: "Site",
) -> None:
    Landing.open(site.store())

    def write(writer: int) -> None:
        chain = landed(site)
        for number in range(8):
            lines = [b"%d-%d" % (writer, number)]
            made, body = link(chain.next, lines, f"w{writer}")
            while chain.commit(made, body) != made:
                made, body = link(chain.next, lines, f"w{writer}")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    ledger = ledger_of(site)
    assert (ledger.problems, ledger.links) == ([], 24)
    names = [PIN.object_name(start, ".json") for start in range(24)]
    lines = sorted(site.body(name) for name in names)
    assert lines == sorted(b"%d-%d\n" % (w, n) for w in range(3) for n in range(8))
