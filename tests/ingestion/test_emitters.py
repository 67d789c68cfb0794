"""Emitting into a landing: each record once, whatever is killed, fails or races."""

import errno
import gzip
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.emitters import Clock, Emission, Flush, Lane, Rejects
from ingestion.errors import IngestError, RetryError, StopError
from ingestion.landing import Chain, Landing
from ingestion.sources import JsonLinesFolder, Order
from ingestion.stores import DirectoryStore, Files, Metadata, Partition
from ingestion.verify import verify

TYPES = {"pin": "index", "geo": "ind", "user": "ind"}
SMALL = Flush(max_records=2)


class UnsyncedFiles(Files):
    """File calls without fsync: a killed process needs none, and tests are fast."""

    def sync(self, descriptor: int) -> None:
        pass


class FaultyFiles(UnsyncedFiles):
    """Does something at a given call: before it, after it, or halfway a write."""

    def __init__(self, at: int, when: str, fault: Callable[[], object]) -> None:
        self.calls = 0
        self._at, self._when, self._fault = at, when, fault

    @contextmanager
    def _call(self, *, writes: bool = False) -> Iterator[bool]:
        if self._when == "halfway" and not writes:
            yield False
            return
        here = self.calls == self._at
        self.calls += 1
        if here and self._when == "before":
            self._fault()
        try:
            yield here and self._when == "halfway"
        finally:
            if here and self._when != "before":
                self._fault()

    def append(
        self, path: Path, body: bytes, flags: int = os.O_APPEND, mode: int = 0o666
    ) -> None:
        with self._call(writes=True) as halfway:
            part = body[: len(body) // 2] if halfway else body
            super().append(path, part, flags, mode)

    def link(self, source: Path, target: Path) -> None:
        with self._call():
            super().link(source, target)

    def unlink(self, path: Path) -> None:
        with self._call():
            super().unlink(path)

    def replace(self, source: Path, target: Path) -> None:
        with self._call():
            super().replace(source, target)

    def make_folder(self, path: Path) -> None:
        with self._call():
            super().make_folder(path)

    def sync_folder(self, path: Path) -> None:
        with self._call():
            super().sync_folder(path)


def write_source(
    folder: Path, rows: int = 5, first: int = 0, bad: bool = False
) -> Path:
    folder.mkdir(parents=True)
    for record_type, key in TYPES.items():
        lines = [
            orjson.dumps({key: n, "of": folder.name})
            for n in range(first, first + rows)
        ]
        if bad:
            lines[1:1] = [b"\xff\xfe", b"not json", b""]
        (folder / f"{record_type}.jsonl").write_bytes(b"\n".join([*lines, b""]))
    return folder


def source_lines(*folders: Path) -> dict[str, list[bytes]]:
    return {
        f"u.{record_type}": sorted(
            line
            for folder in folders
            for line in (folder / f"{record_type}.jsonl").read_bytes().splitlines()
            if line and line != b"\xff\xfe"
        )
        for record_type in TYPES
    }


def landed_lines(root: Path) -> dict[str, list[bytes]]:
    """Every landed line by topic, read as the models read them: by name alone."""
    landing = Landing.read(DirectoryStore(root))
    lines: dict[str, list[bytes]] = {}
    for path in sorted(root.glob("topics/*/partition=0/*.json*")):
        body = path.read_bytes()
        if landing.compression == "gzip":
            body = gzip.decompress(body)
        lines.setdefault(path.parent.parent.name, []).extend(body.splitlines())
    return {topic: sorted(found) for topic, found in lines.items()}


def prepared(
    folder: JsonLinesFolder,
    root: Path,
    files: Files | None = None,
    *,
    order: Order | None = None,
    compression: str | None = None,
    restart: bool = False,
    bad: bool = False,
    flush: Flush = SMALL,
    clock: Clock | None = None,
) -> tuple[Emission, list[Lane]]:
    files = files or UnsyncedFiles()
    landing = Landing.open(DirectoryStore(root, files), compression)
    rejects = Rejects(root / "_ingest", files) if bad else None
    emission = Emission(folder, landing, "u", order or Order(), flush, clock or Clock())
    return emission, emission.prepare(lambda _: None, restart=restart, rejects=rejects)


def emit(
    source: Path,
    root: Path,
    files: Files | None = None,
    *,
    order: Order | None = None,
    compression: str | None = None,
    restart: bool = False,
    bad: bool = False,
) -> list[Lane]:
    with closing(JsonLinesFolder.open(source)) as folder:
        emission, lanes = prepared(
            folder,
            root,
            files,
            order=order,
            compression=compression,
            restart=restart,
            bad=bad,
        )
        emission.run(lanes, lambda _: None)
        return lanes


def assert_landed_once(root: Path, *sources: Path) -> None:
    problems = [
        p
        for ledger in verify(Landing.read(DirectoryStore(root)))
        for p in ledger.problems
    ]
    assert problems == []
    assert landed_lines(root) == source_lines(*sources)


def in_child(work: Callable[[], object]) -> int:
    """Fork, run, and return the child's process id; an IngestError is exit code 1."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        work()
        code = 0
    except IngestError as error:
        code = error.exit_code
    finally:
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("when", "compression"),
    [("before", "none"), ("halfway", "none"), ("after", "none"), ("after", "gzip")],
)
def test_killed_at_every_write_and_run_again_each_record_is_landed_once(
    tmp_path: Path, when: str, compression: str
) -> None:
    source = write_source(tmp_path / "source", rows=3, bad=True)
    for at in count():
        root = tmp_path / f"landing{at}"
        code = ended(killed_run(source, root, at, when, compression))
        emit(source, root, compression=compression, bad=True)
        assert_landed_once(root, source)
        assert_set_aside_once(root)
        shutil.rmtree(root)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert at > (10 if when == "halfway" else 80)


def killed_run(source: Path, root: Path, at: int, when: str, compression: str) -> int:
    files = FaultyFiles(at, when, kill_this_process)
    return in_child(
        lambda: emit(source, root, files, compression=compression, bad=True)
    )


def assert_set_aside_once(root: Path) -> None:
    (path,) = root.glob("_ingest/set_aside/*/rejected.jsonl")
    entries = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [(e["file"], e["line_number"], e["bytes"]) for e in entries] == [
        (f"{record_type}.jsonl", 2, "//4=") for record_type in TYPES
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_emitters_killed_at_random_moments_end_with_one_clean_chain(
    tmp_path: Path,
) -> None:
    chance = random.Random(1)  # noqa: S311
    one = write_source(tmp_path / "one", rows=9)
    two = write_source(tmp_path / "two", rows=7, first=100)
    for round_ in range(25):
        root = tmp_path / f"landing{round_}"
        left = [one, two]
        while left:
            children = [killed_somewhere(source, root, chance) for source in left]
            codes = [ended(child) for child in children]
            assert set(codes) <= {0, -signal.SIGKILL}
            left = [s for s, code in zip(left, codes, strict=True) if code]
        assert_landed_once(root, one, two)
        shutil.rmtree(root)


def killed_somewhere(source: Path, root: Path, chance: random.Random) -> int:
    files = FaultyFiles(chance.randrange(250), "after", kill_this_process)
    return in_child(lambda: emit(source, root, files))


class CrashError(BaseException):
    """The process ends here, as far as the code under test can tell."""


def crash() -> None:
    raise CrashError


def input_output_error() -> None:
    raise OSError(errno.EIO, "made up by a test")


FAULTS: dict[str, Callable[[], object]] = {
    "crash": crash,
    "error": input_output_error,
}


@settings(max_examples=80, deadline=None)
@given(
    faults=st.lists(
        st.tuples(
            st.integers(0, 170),
            st.sampled_from(["before", "after", "halfway"]),
            st.sampled_from(["crash", "error", "other writer"]),
        ),
        max_size=5,
    ),
    compression=st.sampled_from(["none", "gzip"]),
)
def test_any_schedule_of_crashes_errors_and_other_writers_lands_each_record_once(
    faults: list[tuple[int, str, str]], compression: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "landing"
        sources = [write_source(Path(folder) / "source", rows=5)]
        for number, (at, when, kind) in enumerate(faults):
            fault = FAULTS.get(kind)
            if fault is None:
                first = 10 * number + 10
                other = write_source(Path(folder) / f"other{number}", 3, first)
                sources.append(other)
                fault = partial(emit, other, root, compression=compression)
            files = FaultyFiles(at, when, fault)
            with suppress(CrashError, StopError):
                emit(sources[0], root, files, compression=compression)
        for source in sources:
            emit(source, root, compression=compression)
        assert_landed_once(root, *sources)


def empty(path: Path) -> None:
    if path.exists():
        os.truncate(path, 0)


class PowerCutFiles(UnsyncedFiles):
    """Can undo what no fsync made durable: bytes of files, and names in folders."""

    def __init__(self, backup: Path) -> None:
        self._backup = backup
        self._undo: list[tuple[Path, Callable[[], object]]] = []
        self._synced = False
        backup.mkdir(exist_ok=True)

    def _later(self, durable_with: Path, undo: Callable[[], object]) -> None:
        self._undo.append((durable_with, undo))

    def cut(self, chance: random.Random) -> None:
        for _, undo in reversed(self._undo):
            if chance.random() < 0.5:
                undo()

    def append(
        self, path: Path, body: bytes, flags: int = os.O_APPEND, mode: int = 0o666
    ) -> None:
        self._synced = False
        super().append(path, body, flags, mode)
        if not self._synced:
            self._later(path, lambda: empty(path))
        self._later(path.parent, lambda: path.unlink(missing_ok=True))

    def sync(self, descriptor: int) -> None:  # noqa: ARG002
        self._synced = True

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._later(target.parent, lambda: target.unlink(missing_ok=True))

    def unlink(self, path: Path) -> None:
        self._keep(path)
        super().unlink(path)

    def replace(self, source: Path, target: Path) -> None:
        self._keep(source)
        super().replace(source, target)
        self._later(target.parent, lambda: target.unlink(missing_ok=True))

    def _keep(self, path: Path) -> None:
        if path.exists():
            copy = self._backup / os.urandom(8).hex()
            os.link(path, copy)
            self._later(path.parent, lambda: self._restore(copy, path))

    def _restore(self, copy: Path, path: Path) -> None:
        if path.parent.is_dir() and not path.exists():
            os.link(copy, path)

    def make_folder(self, path: Path) -> None:
        if not path.exists():
            self._later(path.parent, lambda: shutil.rmtree(path, ignore_errors=True))
        super().make_folder(path)

    def sync_folder(self, path: Path) -> None:
        self._undo = [(folder, undo) for folder, undo in self._undo if folder != path]


class FaultyDisk(FaultyFiles, PowerCutFiles):
    """Crashes at a given call; then the power is cut."""

    def __init__(self, at: int, when: str, backup: Path) -> None:
        FaultyFiles.__init__(self, at, when, crash)
        PowerCutFiles.__init__(self, backup)


@settings(max_examples=120, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(
            st.integers(0, 170) | st.just(10_000),
            st.sampled_from(["before", "after"]),
        ),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 1000),
)
def test_a_power_cut_at_any_moment_loses_and_doubles_nothing(
    cuts: list[tuple[int, str]], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "new" / "landing"
        source = write_source(folder / "source", rows=5)
        for at, when in cuts:
            disk = FaultyDisk(at, when, folder / "backup")
            done = False
            with suppress(CrashError):
                emit(source, root, disk)
                done = True
            disk.cut(chance)
            if done:
                assert_landed_once(root, source)
        emit(source, root)
        assert_landed_once(root, source)


# --- one emitter at a time ---------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


def landed_now(lanes: list[Lane]) -> int:
    return sum(lane.emitter.records for lane in lanes)


def test_a_second_run_lands_nothing_new(source: Path, root: Path) -> None:
    assert landed_now(emit(source, root)) == 15
    assert landed_now(emit(source, root)) == 0
    assert_landed_once(root, source)


def test_restart_lands_everything_again_as_replays(source: Path, root: Path) -> None:
    emit(source, root)
    assert landed_now(emit(source, root, restart=True)) == 15
    assert_landed_once(root, source, source)
    assert landed_now(emit(source, root)) == 0


def test_a_killed_restart_goes_on_from_its_own_cursor(source: Path, root: Path) -> None:
    emit(source, root)
    emit(source, root, restart=True, order=Order(limit=2))
    emit(source, root)
    assert_landed_once(root, source, source)


def test_changed_content_is_refused_until_restart(source: Path, root: Path) -> None:
    emit(source, root)
    with (source / "geo.jsonl").open("ab") as file:
        file.write(b'{"ind": 99}\n')
    with pytest.raises(StopError, match=r"u.geo partition 0 has changed.*--restart"):
        emit(source, root)
    assert landed_now(emit(source, root, restart=True)) == 16
    assert landed_now(emit(source, root)) == 0


def test_changed_content_is_refused_though_a_copy_of_it_was_landed(
    source: Path, root: Path, tmp_path: Path
) -> None:
    other = write_source(tmp_path / "other", first=50)
    emit(source, root)
    emit(other, root)
    for path in other.iterdir():
        shutil.copy(path, source)
    with pytest.raises(StopError, match="has changed"):
        emit(source, root)


def test_the_same_content_in_another_folder_is_the_same_source(
    source: Path, root: Path, tmp_path: Path
) -> None:
    emit(source, root, order=Order(limit=3))
    moved = source.rename(tmp_path / "moved")
    assert landed_now(emit(moved, root)) == 6
    assert_landed_once(root, moved)


def test_another_source_goes_into_the_same_chains(
    source: Path, root: Path, tmp_path: Path
) -> None:
    other = write_source(tmp_path / "other", first=50)
    emit(source, root, order=Order(limit=3))
    emit(other, root)
    emit(source, root)
    assert_landed_once(root, source, other)


def test_parts_of_a_source_may_come_later(source: Path, root: Path) -> None:
    later = (source / "geo.jsonl").rename(source / "later")
    emit(source, root)
    later.rename(source / "geo.jsonl")
    assert landed_now(emit(source, root)) == 5
    assert_landed_once(root, source)


def test_a_limit_counts_from_the_beginning(source: Path, root: Path) -> None:
    assert landed_now(emit(source, root, order=Order(limit=2))) == 6
    assert landed_now(emit(source, root, order=Order(limit=2))) == 0
    assert landed_now(emit(source, root, order=Order(limit=4))) == 6


def test_emulator_order_lands_the_draws_and_resumes_by_redrawing(
    source: Path, root: Path
) -> None:
    def order(limit: int) -> Order:
        return Order("emulator", bound=4, limit=limit)

    emit(source, root, order=order(7))
    emit(source, root, order=order(20))
    rows = (source / "pin.jsonl").read_bytes().splitlines()
    expected = sorted(rows[draw] for draw in order(20).draws())
    assert landed_lines(root)["u.pin"] == expected


def test_links_have_at_most_the_records_and_bytes_asked_for(
    source: Path, root: Path
) -> None:
    with closing(JsonLinesFolder.open(source)) as folder:
        row = len((source / "pin.jsonl").read_bytes()) // 5
        emission, lanes = prepared(folder, root, flush=Flush(max_bytes=3 * row))
        emission.run(lanes, lambda _: None)
    chain = Chain(emission.landing, Partition("u.pin", 0))
    assert [chain.link(start).records for start in (0, 3)] == [3, 2]


class TickingClock(Clock):
    """A clock that only goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_rate_is_kept_and_old_records_do_not_wait_for_a_full_link(
    source: Path, root: Path
) -> None:
    clock = TickingClock()
    with closing(JsonLinesFolder.open(source)) as folder:
        flush = Flush(max_seconds=3.0)
        emission, lanes = prepared(folder, root, clock=clock, flush=flush)
        emission.run(lanes, lambda _: None, rate=0.5)
    assert 8.0 <= clock.seconds - 1000 <= 11.0
    assert [lane.emitter.links for lane in lanes] == [3, 3, 3]
    assert_landed_once(root, source)


def test_an_interrupted_run_lands_what_it_took(source: Path, root: Path) -> None:
    clock = TickingClock()
    with closing(JsonLinesFolder.open(source)) as folder:
        emission, lanes = prepared(folder, root, clock=clock, flush=Flush())
        late = lambda: clock.seconds > 1003  # noqa: E731
        emission.run(lanes, lambda _: None, rate=1, interrupted=late)
    assert {lane.emitter.position for lane in lanes} == {4}
    assert landed_now(lanes) == 12
    emit(source, root)
    assert_landed_once(root, source)


def test_of_two_runs_of_the_same_rows_one_stops_and_nothing_is_doubled(
    source: Path, root: Path
) -> None:
    with closing(JsonLinesFolder.open(source)) as folder:
        emission, lanes = prepared(folder, root)
        emit(source, root, order=Order(limit=2))
        with pytest.raises(RetryError, match="Another run is landing the same rows"):
            emission.run(lanes, lambda _: None)
    emit(source, root)
    assert_landed_once(root, source)


def test_refused_by_another_writer_the_records_are_kept_and_renumbered(
    source: Path, root: Path, tmp_path: Path
) -> None:
    other = write_source(tmp_path / "other", rows=3, first=50)
    with closing(JsonLinesFolder.open(source)) as folder:
        emission, lanes = prepared(folder, root)
        emit(other, root)
        emission.run(lanes, lambda _: None)
    assert [lane.emitter.links for lane in lanes] == [3, 3, 3]
    assert_landed_once(root, source, other)


def test_a_chain_that_a_lander_owns_is_refused(source: Path, root: Path) -> None:
    emit(source, root)
    claim = root / "_ingest/links/u.pin/0/0000000004.json"
    claim.write_bytes(claim.read_bytes().replace(b'"direct"', b'"kafka:c1:t1"'))
    with pytest.raises(
        StopError, match=r"u.pin partition 0 is landed from kafka:c1:t1"
    ):
        emit(source, root)


def test_a_look_back_jumps_over_the_links_of_other_sources(
    source: Path, root: Path, tmp_path: Path
) -> None:
    class CountingStore(DirectoryStore):
        reads = 0

        def metadata(self, partition: Partition, start: int) -> Metadata | None:
            CountingStore.reads += 1
            return super().metadata(partition, start)

    emit(source, root)
    emit(write_source(tmp_path / "other", rows=200, first=50), root)
    with closing(JsonLinesFolder.open(source)) as folder:
        emission = Emission(folder, Landing.open(CountingStore(root)), "u")
        lanes = emission.prepare(lambda _: None)
    assert {lane.already for lane in lanes} == {5}
    assert CountingStore.reads == 3 * 2


def test_a_draw_beyond_the_rows_is_refused_and_nothing_is_landed(
    source: Path, root: Path
) -> None:
    with pytest.raises(StopError, match=r"pin.jsonl has 5 rows.*--bound 4"):
        emit(source, root, order=Order("emulator", bound=5))
    assert landed_lines(root) == {}


def test_no_path_of_the_user_is_kept_in_metadata(source: Path, root: Path) -> None:
    emit(source, root)
    claims = b"".join(path.read_bytes() for path in root.glob("_ingest/links/*/0/*"))
    assert str(source.parent).encode() not in claims
