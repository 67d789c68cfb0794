"""The directory store: one winner per place, and honest about the file system."""

import errno
import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from ingestion.errors import StopError
from ingestion.stores import DirectoryStore, Files, Metadata, Partition

PIN = Partition("u.pin", 0)


def create(
    store: DirectoryStore, start: int, body: bytes, writer: str = "w"
) -> Metadata | None:
    meta = {"writer": writer, "sha256": sha256(body).hexdigest()}
    return store.create_link(PIN, start, ".json", body, meta)


def object_at(root: Path, start: int) -> Path:
    return root / f"topics/u.pin/partition=0/u.pin+0+{start:010d}.json"


def test_the_first_to_create_a_link_is_committed_and_the_second_is_told_whose_it_is(
    tmp_path: Path,
) -> None:
    store = DirectoryStore(tmp_path)
    assert create(store, 0, b"1\n", "first") is None
    there = create(store, 0, b"2\n", "second")
    assert there is not None
    assert there["writer"] == "first"
    assert object_at(tmp_path, 0).read_bytes() == b"1\n"
    assert list((tmp_path / "_ingest/tmp").iterdir()) == []


def test_names_are_those_of_the_kafka_connect_s3_sink() -> None:
    name = PIN.object_name(12_345_678_901, ".json.gz")
    assert name == "topics/u.pin/partition=0/u.pin+0+12345678901.json.gz"
    assert PIN.object_name(7, ".json").endswith("/u.pin+0+0000000007.json")


@pytest.mark.parametrize("topic", ["", ".", "..", "a/b", "a+b", "a b", "ä", "x" * 250])
def test_a_name_that_can_be_no_topic_is_refused(topic: str) -> None:
    with pytest.raises(StopError, match="is no topic name"):
        Partition(topic, 0)


@pytest.mark.parametrize("topic", ["_schemas", ".pin", "__consumer_offsets"])
def test_a_topic_whose_folder_would_be_hidden_is_refused(topic: str) -> None:
    with pytest.raises(StopError, match=f"{topic} cannot be landed"):
        Partition(topic, 0)


def test_a_negative_partition_is_refused() -> None:
    with pytest.raises(StopError, match="0 or more"):
        Partition("u.pin", -1)


class LyingFiles(Files):
    """Links, and then says that it could not."""

    def __init__(self, number: int) -> None:
        self._number = number

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        raise OSError(self._number, os.strerror(self._number), str(target))


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EIO, errno.ENOENT])
def test_an_error_after_a_successful_link_is_a_success(
    tmp_path: Path, number: int
) -> None:
    store = DirectoryStore(tmp_path, LyingFiles(number))
    assert store.create_once("_ingest/landing.json", b"{}")
    assert create(store, 0, b"1\n") is None
    assert object_at(tmp_path, 0).read_bytes() == b"1\n"


class NoLinkFiles(Files):
    """A file system without hard links."""

    def link(self, source: Path, target: Path) -> None:  # noqa: ARG002
        raise OSError(errno.EOPNOTSUPP, "Operation not supported", str(source))


def test_a_file_system_without_hard_links_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StopError, match=r"no hard links.*use a folder on another"):
        DirectoryStore(tmp_path, NoLinkFiles()).create_once("_ingest/probe", b"")


class StoppingFiles(Files):
    """Stops after so many links, as a killed writer would."""

    def __init__(self, links: int) -> None:
        self._left = links

    def link(self, source: Path, target: Path) -> None:
        if self._left == 0:
            raise InterruptedError(errno.EINTR, "killed by a test")
        self._left -= 1
        super().link(source, target)


def claimed_only(root: Path) -> None:
    with pytest.raises(StopError):
        create(DirectoryStore(root, StoppingFiles(1)), 0, b"1\n", "killed")
    assert not object_at(root, 0).exists()


def test_a_claim_without_its_object_is_completed_at_start(tmp_path: Path) -> None:
    claimed_only(tmp_path)
    assert DirectoryStore(tmp_path).last_start(PIN) == 0
    assert object_at(tmp_path, 0).read_bytes() == b"1\n"


def test_a_claim_without_its_object_is_completed_by_who_is_refused(
    tmp_path: Path,
) -> None:
    claimed_only(tmp_path)
    there = create(DirectoryStore(tmp_path), 0, b"2\n", "second")
    assert there is not None
    assert there["writer"] == "killed"
    assert object_at(tmp_path, 0).read_bytes() == b"1\n"


def test_a_claim_whose_bytes_are_gone_stops_the_run(tmp_path: Path) -> None:
    create(DirectoryStore(tmp_path), 0, b"1\n")
    object_at(tmp_path, 0).unlink()
    with pytest.raises(StopError, match=r"bytes of .* are gone.*ingest verify"):
        DirectoryStore(tmp_path).last_start(PIN)


@pytest.mark.parametrize("name", ["u.pin+0+0000000000.json", "part-0.avro"])
def test_an_object_without_metadata_of_ours_stops_the_run(
    tmp_path: Path, name: str
) -> None:
    path = object_at(tmp_path, 0).with_name(name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1\n")
    with pytest.raises(StopError, match=r"what ingest did not write.*another landing"):
        DirectoryStore(tmp_path).last_start(PIN)


class RacingFiles(Files):
    """Another program writes the object's name first."""

    def link(self, source: Path, target: Path) -> None:
        if "topics" in target.parts:
            target.write_bytes(b"foreign\n")
        super().link(source, target)


def test_another_object_in_the_place_of_ours_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(StopError, match="did not write"):
        create(DirectoryStore(tmp_path, RacingFiles()), 0, b"1\n")


def make_old(path: Path) -> None:
    two_days_ago = time.time() - 2 * 86_400
    os.utime(path, (two_days_ago, two_days_ago))


def test_old_temporaries_are_removed_but_for_what_a_claim_still_needs(
    tmp_path: Path,
) -> None:
    claimed_only(tmp_path)
    tmps = list((tmp_path / "_ingest/tmp").iterdir())
    (needed,) = (path for path in tmps if path.read_bytes() == b"1\n")
    for path in tmps:
        make_old(path)
    for name in ("old", "young"):
        (tmp_path / "_ingest/tmp" / name).touch()
    make_old(tmp_path / "_ingest/tmp/old")
    DirectoryStore(tmp_path).tidy()
    left = {path.name for path in (tmp_path / "_ingest/tmp").iterdir()}
    assert left == {needed.name, "young"}


class SleepingFiles(Files):
    """Sleeps before it claims for so long that its temporary is tidied away."""

    def link(self, source: Path, target: Path) -> None:
        if "links" in target.parts:
            for path in source.parent.iterdir():
                if path != source:
                    path.unlink()
        super().link(source, target)


def test_a_writer_whose_temporary_was_tidied_away_writes_it_again(
    tmp_path: Path,
) -> None:
    assert create(DirectoryStore(tmp_path, SleepingFiles()), 0, b"1\n") is None
    assert object_at(tmp_path, 0).read_bytes() == b"1\n"


def test_hidden_files_of_the_system_are_no_objects(tmp_path: Path) -> None:
    create(DirectoryStore(tmp_path), 0, b"1\n")
    object_at(tmp_path, 0).with_name(".DS_Store").touch()
    (tmp_path / "topics/.DS_Store").touch()
    assert DirectoryStore(tmp_path).last_start(PIN) == 0
    assert DirectoryStore(tmp_path).partitions() == [PIN]


def test_offsets_are_compared_as_numbers(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for start in (9_999_999_999, 10_000_000_000):
        create(store, start, b"1\n")
    assert store.last_start(PIN) == 10_000_000_000
