"""What `KinesisReader` makes of shards, errors and silence: a Kinesis in memory."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from memory_streams import Inline, MemoryStream, refusal

from ingestion.cli import main
from ingestion.emitters import Clock, Flush
from ingestion.errors import RetryError, StopError
from ingestion.kinesis_source import KinesisCalls, KinesisReader, Share
from ingestion.lander import Lander, Rules
from ingestion.landing import Chain, Landing, Link
from ingestion.metrics import Metrics
from ingestion.stores import DirectoryStore, Files, Partition
from ingestion.verify import verify

HOUR = 3600.0


class SteppingClock(Clock):
    """A clock that a test moves; it moves by itself where somebody sleeps."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class UnsyncedFiles(Files):
    """File calls without fsync: no test here cuts the power."""

    def sync(self, descriptor: int) -> None:
        pass


class Scene:
    """One stream, one landing, one clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SteppingClock()
        self.stream = MemoryStream(now=self.clock.now)
        self.landing = Landing.open(DirectoryStore(root, UnsyncedFiles()))
        self.clients = 0

    def client(self) -> Any:  # noqa: ANN401 - what a lander calls of KinesisClient
        self.clients += 1
        return self.stream

    def reader(self, share: Share | None = None) -> KinesisReader:
        calls, names = KinesisCalls(self.client), [self.stream.name]
        share = share or Share()
        return KinesisReader(calls, Inline(), self.landing, names, share, self.clock)

    def lander(self, rules: Rules | None = None, **more: Any) -> Lander:  # noqa: ANN401
        rules, reader = rules or Rules(), self.reader(more.pop("share", None))
        flush = more.pop("flush", Flush())
        return Lander(self.landing, reader, rules, flush, self.clock, **more)

    def land(self, rules: Rules | None = None, **more: Any) -> None:  # noqa: ANN401
        self.lander(rules, **more).run()

    def links(self, shard: int = 0) -> list[Link]:
        partition = Partition(self.stream.name, shard)
        chain = Chain(self.landing, partition)
        starts = self.landing.store.listing(partition).starts
        return [chain.link(start) for start in starts]

    def lines(self, shard: int = 0) -> list[bytes]:
        partition = Partition(self.stream.name, shard)
        names = [name for _, name in self.landing.store.listing(partition).objects]
        bodies = [(self.root / name).read_bytes() for name in names]
        return b"".join(bodies).split(b"\n")[:-1]

    def require_landed(self) -> None:
        for number, shard in self.stream.shards.items():
            assert self.lines(number) == shard.values
        for ledger in verify(self.landing):
            assert ledger.problems == []


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.stream.open()
    return made


# --- reading -----------------------------------------------------------------------


def test_every_link_keeps_the_sequence_number_it_ends_behind(scene: Scene) -> None:
    scene.stream.put(0, b"1", b"2", b"3")
    scene.land(flush=Flush(max_records=2))
    numbers = [str(put.sequence) for put in scene.stream.shards[0].puts]
    assert [link.next_sequence for link in scene.links()] == [numbers[1], numbers[2]]
    scene.stream.put(0, b"4")
    scene.stream.calls.clear()
    scene.land()
    asked = [asked for name, asked in scene.stream.calls if name == "iterator"]
    assert [x["StartingSequenceNumber"] for x in asked] == [numbers[2]]
    scene.require_landed()


def test_an_iterator_that_expired_is_made_anew_behind_the_last_record(
    scene: Scene,
) -> None:
    scene.stream.put(0, *(b"%d" % n for n in range(20)))
    scene.stream.limit = 3
    lives = iter([True, False] * 1000)
    scene.stream.after = lambda name: (
        scene.stream.expire_iterators() if name == "records" and next(lives) else None
    )
    scene.land()
    scene.require_landed()


def test_a_shard_is_read_five_times_and_2_mib_a_second_at_most(scene: Scene) -> None:
    times: list[float] = []
    scene.stream.before = lambda name: (
        times.append(scene.clock.now()) if name == "records" else None
    )
    scene.stream.put(0, *[b"x"] * 9)
    scene.stream.limit = 3
    scene.land()
    pauses = [b - a for a, b in pairwise(times)]
    assert len(pauses) == 2
    assert min(pauses) >= 0.19
    scene.stream.put(0, *[b"x" * (1 << 20)] * 9)
    times.clear()
    scene.land()
    pauses = [b - a for a, b in pairwise(times)]
    assert min(pauses) >= 1.49


def test_a_run_ends_though_records_never_stop_to_come(scene: Scene) -> None:
    scene.stream.put(0, *(b"%d" % n for n in range(10)))
    scene.stream.limit = 3
    scene.stream.before = lambda _: scene.stream.put(0, b"more")
    scene.land()
    assert scene.lines()[:10] == [b"%d" % n for n in range(10)]
    assert len(scene.lines()) < 60


def test_throttling_is_waited_out_but_not_for_ever(scene: Scene) -> None:
    failures = iter([True, True, True, False, True])
    scene.stream.put(0, b"1", b"2")
    scene.stream.limit = 1

    def throttle(name: str) -> None:
        if name == "records" and next(failures, False):
            raise refusal("ProvisionedThroughputExceededException")

    scene.stream.before = throttle
    scene.land()
    scene.require_landed()
    failures = iter([True] * 99)
    with pytest.raises(RetryError, match="busy or failed"):
        scene.land()
    assert len(list(failures)) == 91


def gauges(metrics: Metrics) -> dict[str, float]:
    return {
        sample.name.removeprefix("ingest_"): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_who_watches_sees_the_age_of_what_waits_and_what_the_retention_leaves(
    scene: Scene,
) -> None:
    running = scene.lander(follow=True)
    metrics = Metrics(running.reader, running)  # type: ignore[arg-type]
    scene.stream.put(0, b"1")
    put = scene.clock.now()
    running._start()  # noqa: SLF001 - a run, step by step
    running.step()
    scene.clock.time = put + 100
    found = gauges(metrics)
    assert found["lag_seconds"] == pytest.approx(100, abs=1)
    headroom = found["retention_headroom_seconds"]
    assert (
        headroom + found["lag_seconds"]
        == running.reader.stream(  # type: ignore[attr-defined]
            scene.stream.name
        ).retention
    )
    assert "lag_records" not in found
    running._flush_all("seconds")  # noqa: SLF001
    running.step()
    assert gauges(metrics)["lag_seconds"] < 5


# --- which shards ------------------------------------------------------------------


def test_all_pages_of_shards_are_listed(scene: Scene) -> None:
    scene.stream.page = 2
    for n in range(1, 5):
        scene.stream.put(scene.stream.open(), b"%d" % n)
    scene.land()
    scene.require_landed()


def test_children_are_landed_in_the_same_run_though_their_parents_were_caught_up(
    scene: Scene,
) -> None:
    scene.stream.put(0, b"1")
    left, right = scene.stream.split(0)
    scene.stream.put(left, b"2")
    scene.stream.put(right, b"3")
    merged = scene.stream.open(left, right)
    scene.stream.put(merged, b"4")
    scene.land()
    scene.require_landed()


def test_a_parent_that_is_no_longer_listed_holds_no_child_up(scene: Scene) -> None:
    (child,) = {scene.stream.open(0)}
    scene.stream.unlisted = {0}
    scene.stream.put(child, b"1")
    scene.land()
    assert scene.lines(child) == [b"1"]


def test_with_follow_a_child_is_found_when_its_parent_ends(scene: Scene) -> None:
    scene.stream.put(0, b"1")
    running = scene.lander(follow=True)
    running._start()  # noqa: SLF001 - a run, step by step
    running.step()
    child = scene.stream.open(0)
    scene.stream.put(child, b"2")
    for _ in range(9):
        running.step()
    running._flush_all("shutdown")  # noqa: SLF001
    scene.require_landed()


def test_a_child_waits_until_the_other_lander_has_landed_its_parent(
    scene: Scene,
) -> None:
    scene.stream.put(0, b"1")
    child = scene.stream.open(0)
    scene.stream.put(child, b"2")
    waiting = scene.lander(share=Share(2, 2))
    waiting.run()
    with pytest.raises(RetryError, match="partition 1 was not landed"):
        waiting.reader.require_complete()  # type: ignore[attr-defined]
    assert scene.lines(child) == []
    scene.land(share=Share(1, 2))
    scene.land(share=Share(2, 2))
    scene.require_landed()


def test_a_parent_that_answers_with_nothing_for_long_ends_for_the_other_lander_too(
    scene: Scene,
) -> None:
    """GetRecords may return nothing many times before it says that it was all."""
    scene.stream.put(0, b"1")
    child = scene.stream.open(0)
    scene.stream.put(child, b"2")
    scene.land(share=Share(1, 2))
    scene.stream.dry = 20
    running = scene.lander(share=Share(2, 2), follow=True)
    running._start()  # noqa: SLF001 - a run, step by step
    for _ in range(400):
        running.step()
    running._flush_all("shutdown")  # noqa: SLF001
    scene.require_landed()


# --- what stops --------------------------------------------------------------------


def test_a_sequence_number_that_the_shard_does_not_know_stops(scene: Scene) -> None:
    scene.stream.put(0, b"1", b"2")
    scene.land()
    scene.stream.shards[0].puts.clear()
    scene.stream.put(0, b"3")
    scene.stream.calls.clear()
    with pytest.raises(StopError, match=r"knows no record 1000.*Nothing was read"):
        scene.land()
    kinds = [asked.get("ShardIteratorType") for _, asked in scene.stream.calls]
    assert "TRIM_HORIZON" not in kinds
    assert scene.lines() == [b"1", b"2"]


def test_a_chain_that_does_not_say_where_it_ends_stops(scene: Scene) -> None:
    source = scene.reader().calls.stream(scene.stream.name).identity
    link = Link(start=0, source=source, writer="w", next=1, gaps=1, sha256="0")
    Chain(scene.landing, Partition(scene.stream.name, 0)).commit(link, b"")
    with pytest.raises(StopError, match="does not say which was the last"):
        scene.land()


def test_a_stream_made_anew_while_it_is_landed_stops_before_the_next_link(
    scene: Scene,
) -> None:
    scene.stream.put(0, b"1")
    running = scene.lander(Rules(continue_chain=True), follow=True)
    running._start()  # noqa: SLF001
    running.step()
    scene.stream.created += 1
    with pytest.raises(
        StopError, match=r"was kinesis:\S+000 and is kinesis:\S+001\.000 now"
    ):
        running.partitions[Partition(scene.stream.name, 0)].flush("seconds")
    scene.clock.time += 61
    with pytest.raises(StopError, match="it was made anew"):
        running.step()
    assert scene.lines() == []


@pytest.mark.parametrize("name", ["describe", "list", "iterator", "records"])
@pytest.mark.parametrize(
    ("code", "status", "error", "sentence"),
    [
        ("AccessDeniedException", 400, StopError, r"\(AccessDeniedException\): said"),
        ("ExpiredTokenException", 400, StopError, "credentials have expired: renew"),
        ("ResourceNotFoundException", 400, StopError, "there is none: make it"),
        ("LimitExceededException", 400, RetryError, "busy or failed"),
        ("InternalFailure", 500, RetryError, "busy or failed"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_the_next_run_lands_all(  # noqa: PLR0917
    scene: Scene,
    name: str,
    code: str,
    status: int,
    error: type[Exception],
    sentence: str,
) -> None:
    scene.stream.put(0, b"1", b"2")

    def fail(called: str) -> None:
        if called == name:
            raise refusal(code, status)

    scene.stream.before = fail
    with pytest.raises(error, match=f"Cannot .*{sentence}"):
        scene.land()
    scene.stream.before = lambda _: None
    scene.land()
    scene.require_landed()


def test_credentials_that_expire_are_renewed_once_and_nothing_is_read_twice(
    scene: Scene,
) -> None:
    scene.stream.put(0, b"1", b"2", b"3")
    scene.stream.limit = 1
    old = iter([False, True, False, True, False])

    def expire(name: str) -> None:
        if name == "records" and next(old, False):
            raise refusal("ExpiredTokenException")

    scene.stream.before = expire
    scene.land()
    assert scene.clients == 3
    scene.require_landed()


# --- what expires ------------------------------------------------------------------


def test_a_lander_that_was_away_for_longer_than_the_retention_says_so(
    scene: Scene,
) -> None:
    scene.stream.put(0, b"1")
    scene.land()
    scene.stream.put(0, b"lost")
    scene.clock.time += 25 * HOUR
    scene.stream.trim()
    scene.stream.put(0, b"2")
    scene.land()
    assert scene.lines() == [b"1", b"2"]
    assert [link.maybe_expired for link in scene.links()] == [None, "yes"]
    (ledger,) = verify(scene.landing)
    assert (ledger.clean, ledger.maybe_expired) == (False, 1)
    scene.clock.time += 25 * HOUR
    scene.stream.put(0, b"3")
    scene.land(Rules(accept_expired=True))
    assert [link.maybe_expired for link in scene.links()] == [None, "yes", "accepted"]
    (ledger,) = verify(scene.landing)
    assert len(ledger.problems) == 1


def test_a_quiet_shard_that_was_looked_at_in_time_says_nothing(scene: Scene) -> None:
    scene.stream.put(0, b"1")
    for _ in range(5):
        scene.land()
        scene.clock.time += 10 * HOUR
    scene.stream.put(0, b"2")
    scene.land()
    assert [link.maybe_expired for link in scene.links()] == [None, None]


def test_what_was_seen_of_another_stream_of_the_name_counts_for_nothing(
    scene: Scene,
) -> None:
    scene.stream.put(0, b"1")
    scene.land()
    seen = scene.reader()
    seen.landing.store.replace(
        "_ingest/seen/u-pin/0.json", b'{"source":"another","seen":9e9}'
    )
    scene.clock.time += 25 * HOUR
    scene.stream.put(0, b"2")
    scene.land()
    assert scene.links()[-1].maybe_expired == "yes"


def test_what_waits_for_its_link_was_not_seen_yet(scene: Scene) -> None:
    """Killed now, it would be read again; after the retention it would be gone."""
    scene.stream.put(0, b"1")
    running = scene.lander(follow=True, flush=Flush(max_seconds=9 * HOUR))
    running._start()  # noqa: SLF001
    for _ in range(9):
        running.step()
        scene.clock.time += HOUR / 2
    assert scene.landing.store.read("_ingest/seen/u-pin/0.json") is None
    running._flush_all("shutdown")  # noqa: SLF001
    running.step()
    running.step()
    assert scene.landing.store.read("_ingest/seen/u-pin/0.json") is not None


def test_a_child_is_as_old_as_its_parents_where_it_has_no_link(scene: Scene) -> None:
    scene.stream.put(0, b"1")
    scene.land()
    child = scene.stream.open(0)
    scene.stream.put(child, b"lost")
    scene.clock.time += 25 * HOUR
    scene.stream.trim()
    scene.stream.put(child, b"2")
    scene.land()
    assert [link.maybe_expired for link in scene.links(child)] == ["yes"]


@pytest.mark.parametrize("unlisted", [{0, 1}, {0}, set()])
def test_a_shard_is_as_old_as_what_came_before_its_parents(
    scene: Scene, unlisted: set[int]
) -> None:
    """The shard between was never landed, and is empty or forgotten by now."""
    scene.stream.put(0, b"1")
    scene.land()
    middle = scene.stream.open(0)
    scene.stream.put(middle, b"lost")
    child = scene.stream.open(middle)
    scene.clock.time += 25 * HOUR
    scene.stream.trim()
    scene.stream.unlisted = unlisted
    scene.stream.put(child, b"2")
    scene.land()
    assert scene.links(middle) == []
    assert [link.maybe_expired for link in scene.links(child)] == ["yes"]


def test_a_merged_shard_is_as_old_as_the_older_of_its_parents(scene: Scene) -> None:
    other = scene.stream.open()
    scene.stream.put(other, b"1")
    scene.land()
    scene.stream.put(other, b"lost")
    scene.clock.time += 20 * HOUR
    scene.land(share=Share(1, 2))
    merged = scene.stream.open(0, other)
    scene.clock.time += 10 * HOUR
    scene.stream.trim()
    scene.stream.put(merged, b"2")
    scene.land()
    assert scene.lines(other) == [b"1"]
    assert [link.maybe_expired for link in scene.links(merged)] == ["yes"]


def test_a_parent_that_is_read_after_its_end_says_nothing_of_its_child(
    scene: Scene,
) -> None:
    scene.stream.put(0, b"1")
    scene.land()
    child = scene.stream.open(0)
    scene.stream.put(child, b"lost")
    scene.clock.time += 20 * HOUR
    scene.land(share=Share(1, 2))
    scene.clock.time += 10 * HOUR
    scene.stream.trim()
    scene.stream.put(child, b"2")
    scene.land(share=Share(2, 2))
    assert [link.maybe_expired for link in scene.links(child)] == ["yes"]


@pytest.mark.parametrize("forget", [False, True])
def test_a_shard_that_was_never_landed_is_as_old_as_the_landing(
    scene: Scene, forget: bool
) -> None:
    other = scene.stream.open()
    scene.stream.put(0, b"1")
    scene.land(share=Share(1, 2))
    scene.stream.put(other, b"lost")
    scene.clock.time += 25 * HOUR
    scene.stream.trim()
    scene.stream.put(other, b"2")
    if forget:
        for note in (scene.root / "_ingest/seen").glob("*/*.json"):
            note.unlink()
    scene.land()
    assert [link.maybe_expired for link in scene.links(other)] == ["yes"]


def test_what_the_first_run_did_not_reach_is_no_older_than_that_run(
    scene: Scene,
) -> None:
    """Its records are older than the landing, which began 5 hours ago."""
    other = scene.stream.open()
    scene.stream.put(0, b"1")
    scene.stream.put(other, b"2")
    scene.clock.time += 23 * HOUR
    scene.land(share=Share(1, 2))
    scene.clock.time += 0.5 * HOUR
    scene.land()
    scene.require_landed()


def test_a_retention_that_was_raised_brings_nothing_back(scene: Scene) -> None:
    scene.stream.put(0, b"1")
    scene.land()
    scene.stream.put(0, b"lost")
    scene.clock.time += 30 * HOUR
    scene.stream.trim()
    scene.stream.hours = 168
    scene.stream.put(0, b"2")
    scene.land()
    assert [link.maybe_expired for link in scene.links()] == [None, "yes"]
    scene.clock.time += 100 * HOUR
    scene.stream.put(0, b"3")
    scene.land()
    assert [link.maybe_expired for link in scene.links()] == [None, "yes", None]


def test_a_retention_that_was_lowered_counts_at_once(scene: Scene) -> None:
    scene.stream.hours = 168
    scene.stream.put(0, b"1")
    scene.land()
    scene.clock.time += 30 * HOUR
    scene.stream.hours = 24
    scene.stream.put(0, b"2")
    scene.land()
    assert [link.maybe_expired for link in scene.links()] == [None, "yes"]


def test_a_link_of_dead_letters_only_tells_the_time_too(scene: Scene) -> None:
    scene.stream.put(0, b"\xff")
    scene.land()
    assert scene.links()[0].last_time == int(scene.clock.time) * 1000
    scene.clock.time += 25 * HOUR
    scene.stream.put(0, b"1")
    scene.land()
    assert scene.links()[-1].maybe_expired == "yes"


# --- the command line --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--streams", "a", "--user-id", "u"], "either --user-id or --streams"),
        ([], "either --user-id or --streams"),
        (["--streams", "a", "--shards", "3/2"], "--shards takes K/N"),
        (["--streams", "a", "--shards", "0/2"], "--shards takes K/N"),
    ],
)
def test_what_is_asked_for_must_make_sense(
    tmp_path: Path, options: list[str], sentence: str
) -> None:
    words = ["land", "kinesis", "--landing", str(tmp_path), *options]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_shares_are_all_shards_and_no_shard_twice() -> None:
    shares = [Share(k, 3) for k in (1, 2, 3)]
    assert all(sum(n in share for share in shares) == 1 for n in range(20))
