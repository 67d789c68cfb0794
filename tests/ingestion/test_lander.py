"""Landers on a log and a store in memory, under any order of faults."""

import base64
import io
import json
import os
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_streams import Inline, MemoryStream, refusal
from memory_topic import PIN, MemoryReader, Topic

from ingestion.dead_letters import dead_letters
from ingestion.emitters import Clock, Flush
from ingestion.errors import RetryError, StopError
from ingestion.kinesis_source import KinesisCalls, KinesisReader, Share
from ingestion.lander import (
    Landed,
    Lander,
    PoisonAlarm,
    Rules,
    line_or_reason,
    plain_size,
)
from ingestion.landing import Chain, Landing, Link
from ingestion.stores import Listing, Metadata, Partition, partition_of
from ingestion.verify import Ledger, verify

LARGE = b"0" * 200
SCHEDULES = int(os.environ.get("SCHEDULES", "2000"))


class KilledError(BaseException):
    """The process ended here."""


@dataclass
class MemoryStore:
    """An object store; `before` and `after` are called around each of its calls."""

    small: dict[str, bytes] = field(default_factory=dict)
    chains: dict[Partition, dict[int, tuple[Metadata, bytes]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None

    def __str__(self) -> str:
        return "memory"

    @property
    def links(self) -> dict[int, tuple[Metadata, bytes]]:
        return self.chains[PIN]

    def tidy(self) -> None:
        """Nothing is left behind."""

    def read(self, name: str) -> bytes | None:
        return self.small.get(name)

    def rewrite(self, name: str, digest: str, body: bytes) -> bool:
        raise NotImplementedError

    def names(self, folder: str) -> list[str]:
        found = (name.rpartition("/") for name in sorted(self.small))
        return [name for above, _, name in found if above == folder]

    def create_once(self, name: str, body: bytes) -> bool:
        self.before()
        created = self.small.setdefault(name, body) is body
        self.after()
        return created

    def replace(self, name: str, body: bytes) -> None:
        self.before()
        self.small[name] = body
        self.after()

    def create_link(
        self, partition: Partition, start: int, suffix: str, body: bytes, meta: Metadata
    ) -> Metadata | None:
        assert suffix == ".json"
        self.before()
        there = self.chains[partition].setdefault(start, (meta, body))[0]
        self.after()
        return None if there is meta else there

    def last_start(self, partition: Partition) -> int | None:
        self.before()
        return max(self.chains[partition], default=None)

    def metadata(self, partition: Partition, start: int) -> Metadata | None:
        chain = self.chains[partition]
        return chain[start][0] if start in chain else None

    def partitions(self) -> list[Partition]:
        return sorted(partition for partition, chain in self.chains.items() if chain)

    def listing(self, partition: Partition) -> Listing:
        starts = sorted(self.chains[partition])
        objects = [(start, partition.object_name(start, ".json")) for start in starts]
        return Listing(starts, objects, [], sorted(self.letters(partition)))

    def letters(self, partition: Partition = PIN) -> dict[int, bytes]:
        """Return dead letters by offset."""
        folder = f"{partition.dead_letters}/"
        names = [name for name in self.small if name.startswith(folder)]
        return {int(name[-15:-5]): self.small[name] for name in names}

    def open(self, name: str) -> BinaryIO:
        partition = partition_of(name.rpartition("/")[0])
        assert partition is not None
        return io.BytesIO(self.chains[partition][int(name[-15:-5])][1])

    def lines(self, partition: Partition = PIN) -> list[bytes]:
        chain = self.chains[partition]
        bodies = [chain[start][1] for start in sorted(chain)]
        return b"".join(bodies).split(b"\n")[:-1]


@dataclass
class SteppingClock(Clock):
    """A clock that a test moves; it moves by itself where somebody sleeps."""

    time: float = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def lander(
    store: MemoryStore,
    topic: Topic,
    rules: Rules | None = None,
    flush: Flush | None = None,
    **more: object,
) -> Lander:
    landing = Landing(store, "none")
    reader = more.pop("reader", None) or MemoryReader(topic)
    return Lander(landing, reader, rules or Rules(), flush or Flush(), **more)  # type: ignore[arg-type]


def land(
    store: MemoryStore, topic: Topic, rules: Rules | None = None, **more: object
) -> None:
    lander(store, topic, rules, **more).run()  # type: ignore[arg-type]


def ledger(store: MemoryStore) -> Ledger:
    (found,) = verify(Landing(store, "none"))
    assert found.problems == []
    return found


def links(store: MemoryStore) -> list[Link]:
    return [Link.from_metadata(n, store.links[n][0]) for n in sorted(store.links)]


def numbered(*offsets: int) -> dict[int, bytes | None]:
    return {n: b'{"n": %d}' % n for n in offsets}


# --- lines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b'{"a": 1}', b'{"a": 1}'),
        (b"not json", b"not json"),
        (b"", b""),
        (
            b'{"a":\n 1.50,\n"a": 12345678901234567890}\n',
            b'{"a":  1.50, "a": 12345678901234567890} ',
        ),
        (b'"\\n"', b'"\\n"'),
        ("č\r".encode(), "č\r".encode()),
    ],
)
def test_what_can_be_a_line_stays_as_it_is_but_for_newlines_between_tokens(
    value: bytes, line: bytes
) -> None:
    assert line_or_reason(value, 100) == line


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        (b"x" * 101, "too_large"),
        (b"\xff", "not_utf8"),
        (b'{"a": "x\ny"}', "newline"),
        (b"a\nb", "newline"),
        (b"[" * 50 + b"\n", "newline"),
    ],
)
def test_what_cannot_be_a_line_has_a_reason(value: bytes | None, reason: str) -> None:
    assert line_or_reason(value, 100) == reason


VALUES = st.none() | st.binary(max_size=12) | st.text("aé🎈\n").map(str.encode)


@given(st.lists(VALUES, min_size=1))
@example([b"a\nb"])
def test_lines_judged_at_once_are_those_that_each_would_be(
    values: list[bytes | None],
) -> None:
    each = [line_or_reason(value, 10) for value in values]
    size = plain_size(values, 10)
    if size is None:
        assert each != values
    else:
        assert each == values
        assert size == sum(len(value or b"") + 1 for value in values)


# --- ledgers -----------------------------------------------------------------------


def test_holes_and_a_missing_head_are_counted() -> None:
    store, topic = MemoryStore(), Topic(numbered(5, 6, 9, 12), high=15, low=4)
    land(store, topic)
    assert store.lines() == list(numbered(5, 6, 9, 12).values())
    (link,) = links(store)
    assert (link.start, link.first, link.last, link.next) == (0, 5, 12, 13)
    assert (link.before_start, link.gaps, link.records) == (4, 5, 4)
    assert (link.first_time, link.last_time) == (50, 120)
    ledger(store)


def test_a_dead_letter_keeps_its_bytes_and_lies_below_its_link() -> None:
    store, topic = MemoryStore(), Topic({0: b"a", 1: b"\xff\x00", 2: None, 3: b"b"})
    land(store, topic)
    assert store.lines() == [b"a", b"b"]
    assert ledger(store).dead == 2
    letters = {n: json.loads(body) for n, body in store.letters().items()}
    assert base64.b64decode(letters[1].pop("value")) == b"\xff\x00"
    assert letters[1] == {
        "reason": "not_utf8",
        "source": "kafka:c:t",
        "topic": "u.pin",
        "partition": 0,
        "offset": 1,
        "time": 10,
        "key": base64.b64encode(b"k").decode(),
    }
    assert (letters[2]["reason"], letters[2]["value"]) == ("null_value", None)


def test_a_link_of_dead_letters_only_is_empty_and_holes_alone_make_none() -> None:
    store = MemoryStore()
    land(store, Topic({}, high=9))
    assert store.links == {}
    land(store, Topic({3: None}, high=9))
    (link,) = links(store)
    assert (link.records, link.dead, link.gaps, link.next) == (0, 1, 3, 4)
    ledger(store)


def test_links_are_cut_at_records_and_at_bytes() -> None:
    store = MemoryStore()
    land(store, Topic(numbered(*range(10))), flush=Flush(max_records=4))
    assert [link.records for link in links(store)] == [4, 4, 2]
    store = MemoryStore()
    land(store, Topic(numbered(*range(10))), flush=Flush(max_bytes=30))
    assert [len(body) for _, body in store.links.values()] == [27, 27, 27, 9]


def test_with_follow_a_link_is_made_at_its_age_and_not_when_caught_up() -> None:
    store, topic, clock = MemoryStore(), Topic(numbered(0)), SteppingClock()
    running = lander(store, topic, follow=True, clock=clock, flush=Flush(max_seconds=5))
    running._start()  # noqa: SLF001 - a run, step by step
    running.step()
    clock.time = 4.9
    running.step()
    assert store.links == {}
    clock.time = 5.0
    running.step()
    assert store.lines() == [b'{"n": 0}']


def test_a_link_is_told_with_its_lag_and_the_reasons_of_its_dead_letters() -> None:
    told: list[Landed] = []
    topic = Topic({0: b"a", 1: None, 2: b"\xff", 3: None, 4: b"b", 5: b"c"}, high=7)
    clock = SteppingClock(100.0)
    flush = Flush(max_records=2)
    land(MemoryStore(), topic, tell=told.append, flush=flush, clock=clock)
    assert [x.lag_records for x in told] == [2, 1]
    assert [x.lag_seconds for x in told] == [100.0 - 0.04, 100.0 - 0.05]
    assert [x.reasons for x in told] == [{"null_value": 2, "not_utf8": 1}, {}]


def test_the_oldest_record_that_waits_is_known_read_or_not() -> None:
    store, topic, clock = MemoryStore(), Topic(numbered(3, 4)), SteppingClock()
    running = lander(store, topic, follow=True, clock=clock, flush=Flush(max_seconds=5))
    running._start()  # noqa: SLF001 - a run, step by step
    running.step()
    running.step()  # a hole behind a seek is believed at the second time
    assert running.partitions[PIN].oldest == 30
    clock.time = 5.0
    running.step()
    assert running.partitions[PIN].oldest is None
    topic.high = 9
    running.step()
    assert running.partitions[PIN].lag_records == 4
    assert running.partitions[PIN].oldest == 40


def test_what_waits_is_landed_at_the_end_of_a_run() -> None:
    store, topic = MemoryStore(), Topic(numbered(0, 1))
    told: list[Landed] = []
    running = lander(store, topic, follow=True, tell=told.append)
    running.run(lambda: bool(running.partitions and running.partitions[PIN].size))
    assert [x.why for x in told] == ["shutdown"]
    assert store.lines() == list(topic.records.values())


def test_the_fullest_partition_is_landed_when_too_much_waits() -> None:
    store, topic = MemoryStore(), Topic(numbered(*range(100)))
    told: list[Landed] = []
    reader = MemoryReader(topic, size=10)
    land(store, topic, reader=reader, max_buffer=150, tell=told.append)
    assert [x.why for x in told] == ["buffer"] * 9 + ["caught up"]
    assert max(x.bytes for x in told) <= 150
    assert store.lines() == list(topic.records.values())


# --- what stops a lander -----------------------------------------------------------


def test_a_topic_made_anew_stops_and_may_be_continued_behind_the_chain() -> None:
    store = MemoryStore()
    land(store, Topic(numbered(0, 1)))
    anew = Topic({2: b"x"}, low=1, name="kafka:c:other")
    with pytest.raises(StopError, match=r"from kafka:c:t, and this is kafka:c:other"):
        land(store, anew)
    land(store, anew, Rules(continue_chain=True))
    land(store, anew)
    assert store.lines()[2:] == [b"x"]
    last = links(store)[-1]
    assert (last.start, last.base, last.first, last.next) == (2, 2, 4, 5)
    assert (last.before_start, last.gaps, last.source) == (1, 1, "kafka:c:other")
    anew.records[3], anew.high = b"y", 4
    land(store, anew)
    assert (links(store)[-1].base, store.lines()[-1]) == (2, b"y")
    ledger(store)


def test_a_topic_made_anew_while_it_is_landed_stops_before_the_next_link() -> None:
    store, topic = MemoryStore(), Topic(numbered(0, 1))
    running = lander(store, topic, Rules(continue_chain=True), follow=True)
    running._start()  # noqa: SLF001
    running.step()
    topic.name = "kafka:c:other"
    with pytest.raises(StopError, match="is kafka:c:other now"):
        running.partitions[PIN].flush("seconds")
    assert store.links == {}


def test_a_topic_made_anew_stops_when_its_partition_is_given_again() -> None:
    """Continuing a chain was allowed for the topic that was there at the start."""
    store, topic = MemoryStore(), Topic(numbered(0, 1))
    running = lander(store, topic, Rules(continue_chain=True), follow=True)
    running._start()  # noqa: SLF001
    running.step()
    running._flush_all("shutdown")  # noqa: SLF001
    topic.name = "kafka:c:other"
    with pytest.raises(StopError, match="is kafka:c:other now"):
        running._start()  # noqa: SLF001


def test_a_chain_of_an_emitter_is_never_continued() -> None:
    store = MemoryStore()
    one = Link(start=0, source="direct", writer="w", next=1, gaps=1, sha256="")
    store.links[0] = one.metadata(), b""
    with pytest.raises(StopError, match="was landed from direct"):
        land(store, Topic({0: b"x"}), Rules(continue_chain=True))


def test_expired_records_stop_or_are_counted() -> None:
    store = MemoryStore()
    land(store, Topic(numbered(0, 1)))
    later = Topic(numbered(6, 7), low=6)
    with pytest.raises(StopError, match=r"4 records .* offset 2 on have expired"):
        land(store, later)
    land(store, later, Rules(accept_expired=True))
    assert (ledger(store).expired, links(store)[-1].start) == (4, 2)
    assert not ledger(store).clean


def test_a_chain_above_the_high_watermark_stops() -> None:
    store = MemoryStore()
    land(store, Topic(numbered(0, 1, 2)))
    with pytest.raises(StopError, match=r"ends at 2, but its chain goes on at 3"):
        land(store, Topic(numbered(0, 1)))


def test_start_passes_over_the_head_of_a_new_chain_only() -> None:
    store, topic = MemoryStore(), Topic(numbered(*range(6)))
    land(store, topic, Rules(start=4))
    assert store.lines() == list(numbered(4, 5).values())
    assert ledger(store).before_start == 4
    topic.records[6], topic.high = b"six", 7
    land(store, topic, Rules(start=7))
    assert store.lines()[-1] == b"six"
    with pytest.raises(StopError, match="--start lies"):
        land(MemoryStore(), topic, Rules(start=8))


def test_100_dead_letters_in_a_row_stop_behind_the_last_good_record() -> None:
    records = {0: b"a", 1: None, 3: b"b", **dict.fromkeys(range(4, 200), b"\xff")}
    store, topic = MemoryStore(), Topic(records)
    with pytest.raises(StopError, match=r"offset 103: not_utf8.*--accept-dead-letters"):
        land(store, topic)
    assert store.lines() == [b"a", b"b"]
    assert sorted(store.letters()) == [1]
    (link,) = links(store)
    assert (link.next, link.dead, link.gaps) == (4, 1, 1)
    land(store, topic, Rules(accept_dead_letters=True))
    assert ledger(store).dead == 197


def test_accepted_dead_letters_end_a_link_at_100_and_at_its_bytes() -> None:
    store, rules = MemoryStore(), Rules(accept_dead_letters=True)
    land(store, Topic(dict.fromkeys(range(250))), rules)
    assert [link.dead for link in links(store)] == [100, 100, 50]
    store = MemoryStore()
    big = Topic(dict.fromkeys(range(10), b"\xff" * 1000))
    land(store, big, rules, flush=Flush(max_bytes=5_000))
    assert [link.dead for link in links(store)] == [3, 3, 3, 1]
    ledger(store)


def test_dead_letters_that_nobody_accepted_end_a_link_at_the_next_line() -> None:
    """So those in a row are still a sample, and not landed, when the alarm rings."""
    dead = dict.fromkeys([*range(1, 60), *range(61, 120)])
    store = MemoryStore()
    land(store, Topic({0: b"a", 60: b"b", **dead, 120: b"c", 121: b"d"}))
    assert [(link.records, link.dead) for link in links(store)] == [(3, 118), (1, 0)]
    ledger(store)


@pytest.mark.parametrize(("every", "stops"), [(99, True), (101, False)])
def test_more_than_1_percent_dead_letters_stop(every: int, stops: bool) -> None:
    alarm, rang = PoisonAlarm(), False
    for n in range(1, 3_000):
        if n % every == 0:
            dead = n // every - 1
            rang = rang or alarm.rings(n - 1 - dead, dead)
            assert n >= 1_000 or not rang
    assert rang == stops


# --- faults ------------------------------------------------------------------------


def test_a_refused_lander_drops_its_buffer_and_seeks_to_the_other_ones_next() -> None:
    store, topic = MemoryStore(), Topic(numbered(*range(10)))
    slow = lander(store, topic, follow=True)
    slow._start()  # noqa: SLF001
    slow.step()
    land(store, Topic(numbered(0, 1, 2)))
    assert not slow.partitions[PIN].flush("seconds")
    reader = slow.reader
    assert isinstance(reader, MemoryReader)
    assert reader.seeks == [3]
    slow.step()
    assert slow.partitions[PIN].flush("seconds")
    assert store.lines() == list(topic.records.values())


def test_the_same_bytes_with_another_next_are_not_taken_for_ones_own_link() -> None:
    """The other lander had not read the dead letter yet, which leaves no line."""
    store, topic = MemoryStore(), Topic({0: b"a", 1: None, 2: b"c"})
    slow = lander(store, topic, follow=True, reader=MemoryReader(topic, size=2))
    slow._start()  # noqa: SLF001
    slow.step()
    land(store, Topic({0: b"a"}))
    slow.partitions[PIN].flush("seconds")
    for _ in range(3):
        slow.step()
    slow.partitions[PIN].flush("seconds")
    assert store.lines() == [b"a", b"c"]
    assert ledger(store).dead == 1


def test_a_link_whose_answer_was_lost_is_told_and_is_no_conflict() -> None:
    store, topic, told = MemoryStore(), Topic({0: b"a", 1: None}), list[Landed]()
    running = lander(store, topic, follow=True, tell=told.append)
    running._start()  # noqa: SLF001
    running.step()
    losing = iter([False, True])  # the letter's answer comes, the link's does not

    def lose() -> None:
        if next(losing, False):
            raise RetryError("The answer was lost.")

    store.after = lose
    with pytest.raises(RetryError):
        running._flush_all("seconds")  # noqa: SLF001
    assert store.lines() == [b"a"]
    running.shaken = True
    running.step()
    assert [(x.why, x.link.next, x.conflicts) for x in told] == [("retry", 2, 0)]
    assert [x.reasons for x in told] == [{"null_value": 1}]
    assert (running.totals[PIN].records, running.totals[PIN].dead) == (1, 1)


def test_a_letter_whose_record_a_lander_with_a_larger_limit_landed_is_none() -> None:
    """The first one dies between its letter and its link."""
    values = {0: b"a", 1: b"x" * 200, 2: None, 3: b"b"}
    store, topic = MemoryStore(), Topic({**values})
    dying = iter([False, False, True])

    def die() -> None:
        if next(dying, False):
            raise KilledError

    store.before = die
    with pytest.raises(KilledError):
        land(store, topic, Rules(max_record_bytes=100))
    assert (sorted(store.letters()), store.lines()) == ([1], [])
    store.before = lambda: None
    land(store, topic, Rules(max_record_bytes=1_000))
    assert store.lines() == [b"a", b"x" * 200, b"b"]
    assert sorted(store.letters()) == [1, 2]
    found = ledger(store)
    assert (found.dead, found.superseded, found.clean) == (1, 1, True)
    left = dead_letters(Landing(store, "none"))
    assert [letter.position for letter in left] == [2]
    (start,) = store.links
    store.links[start] = store.links[start][0], b"a\nx\nb\n"  # it proves nothing now
    (broken,) = verify(Landing(store, "none"))
    assert (broken.superseded, broken.uncounted) == (0, 1)


def test_a_record_that_was_on_its_way_before_a_seek_makes_no_hole() -> None:
    store, topic = MemoryStore(), Topic(numbered(*range(10)))
    reader = MemoryReader(topic, size=4)
    running = lander(store, topic, follow=True, reader=reader)
    running._start()  # noqa: SLF001
    running.step()
    reader.stale = lambda: True
    running.partitions[PIN].again()
    reader.stale = lambda: False
    for _ in range(6):
        running.step()
    running.partitions[PIN].flush("seconds")
    assert store.lines() == list(topic.records.values())


def test_what_may_pass_is_waited_out_with_follow_and_ends_a_run_without() -> None:
    store, topic, clock = MemoryStore(), Topic(numbered(*range(5))), SteppingClock()
    failures = iter([True, False, True])

    def fail() -> None:
        if next(failures, False):
            raise RetryError("Busy.")

    store.before = fail
    waits: list[tuple[str, float]] = []
    running = lander(
        store,
        topic,
        flush=Flush(max_records=2),
        clock=clock,
        follow=True,
        waiting=lambda message, seconds: waits.append((message, seconds)),
    )
    running.run(lambda: len(store.lines()) == 4)
    assert store.lines() == list(topic.records.values())
    assert waits == [("Busy.", 1.0)] * 2
    failures = iter([True])
    with pytest.raises(RetryError):
        land(MemoryStore(before=fail), topic)


@pytest.mark.parametrize("answers_again", [True, False])
def test_asked_to_end_while_it_waits_it_tries_once_more(answers_again: bool) -> None:
    store, topic, clock = MemoryStore(), Topic(numbered(*range(5))), SteppingClock()
    flush = Flush(max_records=5)
    running = lander(store, topic, flush=flush, clock=clock, follow=True)
    failing = [True]

    def fail() -> None:
        if failing and running.partitions and running.partitions[PIN].size:
            raise RetryError("Busy.")

    def interrupted() -> bool:
        return clock.time > 10

    def waiting(_: str, seconds: float) -> None:
        assert not interrupted()
        if clock.time + seconds > 10 and answers_again:
            failing.clear()

    store.before, running.waiting = fail, waiting
    with nullcontext() if answers_again else pytest.raises(RetryError):
        running.run(interrupted)
    assert store.lines() == list(topic.records.values()) * answers_again


def test_an_offset_is_acknowledged_when_its_link_is_there_and_not_before() -> None:
    store, topic = MemoryStore(), Topic(numbered(*range(5)))

    class Acknowledged(MemoryReader):
        def landed(self, offset: int) -> None:
            assert offset == Chain(Landing(store, "none"), PIN).next

    land(store, topic, reader=Acknowledged(topic), flush=Flush(max_records=2))
    assert store.lines() == list(topic.records.values())


class Schedule:
    """Up to three landers of a topic, each of whose calls may go wrong."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.depth = self.at = 0
        offsets = [n for n in range(random.randrange(60)) if random.random() < 0.9]
        good = {n: b"%d" % n for n in offsets}
        poison = [None, b"\xff", b"a\nb", LARGE]
        bad = {n: random.choice(poison) for n in offsets if random.random() < 0.1}
        bad = {n: b"%0200d" % n if v is LARGE else v for n, v in bad.items()}
        low = random.choice([0, 0, random.randrange(9)])
        self.topic = Topic({**good, **bad}, low=low)
        self.topic.high += random.randrange(3)
        live = {n: v for n, v in self.topic.records.items() if n >= low}
        self.topic.records = live
        self.store = MemoryStore()
        self.landers: list[Lander | None] = [None] * random.randint(1, 3)

    def rarely(self) -> bool:
        return self.random.random() < 0.06

    def rules(self) -> Rules:
        """Draw the limit: each lander may have another one."""
        limit = self.random.choice([100, 300])
        return Rules(accept_dead_letters=True, max_record_bytes=limit)

    def before(self) -> None:
        if self.rarely():
            raise KilledError
        if self.rarely():
            raise RetryError("Busy.")
        if self.depth < 3 and self.random.random() < 0.3:
            self.step()

    def after(self) -> None:
        if self.rarely():
            raise KilledError
        if self.rarely():
            raise RetryError("The answer was lost.")
        if self.depth < 3 and self.random.random() < 0.1:
            self.step()

    def new(self) -> Lander:
        random = self.random
        reader = MemoryReader(
            self.topic, random.randint(1, 20), stale=self.rarely, broken=self.rarely
        )
        flush = Flush(random.choice([20, 1000]), random.randint(1, 12), 0.0)
        if random.random() < 0.5:
            flush = Flush(flush.max_bytes, flush.max_records)
        return lander(
            self.store, self.topic, self.rules(), flush, reader=reader, follow=True
        )

    def step(self) -> None:
        """Let one lander do one thing, but none that is in the middle of one."""
        self.at = at = self.random.randrange(len(self.landers))
        running = self.landers[at]
        self.landers[at] = None
        self.depth += 1
        try:
            if running is None:
                running = self.new()
                running._start()  # noqa: SLF001
            elif self.random.random() < 0.2:
                running._flush_all("shutdown")  # noqa: SLF001
            else:
                running.step()
        except KilledError:
            running = None
        except RetryError:
            assert running is not None
            running.shaken = True
            if not running.partitions:
                running = None
        finally:
            self.depth -= 1
        self.landers[at] = running

    def run(self) -> None:
        self.store.before, self.store.after = self.before, self.after
        for _ in range(self.random.randrange(60)):
            self.step()
        self.store.before = self.store.after = lambda: None
        self.finish()

    def finish(self) -> None:
        """Land all that is left."""
        land(self.store, self.topic, self.rules())


@settings(max_examples=SCHEDULES, deadline=None)
@given(st.integers(0, 1 << 32))
def test_whatever_goes_wrong_each_record_is_landed_once_in_order(seed: int) -> None:
    schedule = Schedule(Random(seed))  # noqa: S311 - a schedule is no secret
    schedule.run()
    store, records = schedule.store, schedule.topic.records
    superseded = require_each_once(store, PIN, records)
    if store.links:
        found = ledger(store)
        last = Chain(Landing(store, "none"), PIN).next
        assert found.gaps + found.before_start == last - len(records)
        assert (found.superseded, found.expired) == (superseded, 0)


def require_each_once(
    store: MemoryStore, place: Partition, records: Mapping[int, bytes | None]
) -> int:
    """Require that each record is the next line or, if it is none, a dead letter.

    A large one may be either, as its lander's limit says: return of how many landed
    ones there is a letter too.
    """
    lines, letters, superseded = deque(store.lines(place)), store.letters(place), 0
    for n, value in records.items():
        landed = bool(lines) and lines[0] == value
        large = value is not None and value.isdigit() and len(value) == len(LARGE)
        assert landed or n in letters
        assert large or landed == (value is not None and value.isdigit())
        if landed:
            lines.popleft()
            superseded += n in letters
            assert large or n not in letters
    assert not lines
    assert letters.keys() <= records.keys()
    return superseded


@dataclass
class FamilyStore(MemoryStore):
    """Refuses a link of a shard before all of its parents is there."""

    stream: MemoryStream = field(default_factory=MemoryStream)

    def create_link(
        self, partition: Partition, start: int, suffix: str, body: bytes, meta: Metadata
    ) -> Metadata | None:
        for number in self.stream.shards[partition.number].parents:
            parent = Partition(partition.topic, number)
            ends = [int(there["next"]) for there, _ in self.chains[parent].values()]
            assert max(ends, default=0) == len(self.stream.shards[number].puts)
        return super().create_link(partition, start, suffix, body, meta)


class ShardSchedule(Schedule):
    """Up to three landers of a stream, whose shards are split and merged meanwhile."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.clock = SteppingClock(1_800_000_000.0)
        self.values = 0
        self.stream = MemoryStream(now=self.clock.now, pause=self.rarely)
        self.store = FamilyStore(stream=self.stream)
        self.shared = random.random() < 0.5
        for _ in range(random.randint(1, 3)):
            self.stream.open()
        self.fill()

    def fill(self) -> None:
        """Put some records; some are none that can be landed."""
        open_shards = [n for n, s in self.stream.shards.items() if not s.closed]
        for _ in range(self.random.randrange(8)):
            self.values += 1
            value = b"%d" % self.values
            if self.rarely():
                large = b"%0200d" % self.values
                value = self.random.choice([b"\xff", b"a\nb", large])
            self.stream.put(self.random.choice(open_shards), value)

    def reshard(self) -> None:
        open_shards = [n for n, s in self.stream.shards.items() if not s.closed]
        if len(open_shards) > 1 and self.random.random() < 0.5:
            self.stream.open(*self.random.sample(open_shards, 2))
        elif len(open_shards) < 4:
            self.stream.split(self.random.choice(open_shards))

    def before_call(self, _: str) -> None:
        if self.rarely():
            raise KilledError
        if self.rarely():
            raise refusal("ProvisionedThroughputExceededException")
        if self.rarely():
            self.stream.expire_iterators()

    def after_call(self, _: str) -> None:
        if self.rarely():
            raise KilledError
        if self.rarely():
            raise refusal("InternalFailure", 500)

    def reader(self, landing: Landing, share: Share) -> KinesisReader:
        calls = KinesisCalls(lambda: self.stream)  # type: ignore[arg-type, return-value]
        streams = [self.stream.name]
        return KinesisReader(calls, Inline(), landing, streams, share, self.clock)

    def new(self) -> Lander:
        self.stream.limit = self.random.randint(1, 20)
        share = Share(self.at + 1, len(self.landers)) if self.shared else Share()
        flush = Flush(
            self.random.choice([20, 1000]),
            self.random.randint(1, 12),
            self.random.choice([0.0, 3.0, 300.0]),
        )
        landing = Landing(self.store, "none")
        reader = self.reader(landing, share)
        return Lander(landing, reader, self.rules(), flush, self.clock, follow=True)

    def step(self) -> None:
        if self.random.random() < 0.2:
            self.fill()
        if self.random.random() < 0.1:
            self.reshard()
        self.clock.time += self.random.choice([0.0, 0.2, 0.2, 5.0, 61.0])
        super().step()

    def run(self) -> None:
        self.stream.before, self.stream.after = self.before_call, self.after_call
        super().run()

    def finish(self) -> None:
        self.stream.before = self.stream.after = lambda _: None
        self.stream.pause = lambda: False
        landing = Landing(self.store, "none")
        reader = self.reader(landing, Share())
        Lander(landing, reader, self.rules(), Flush(), self.clock).run()


@settings(max_examples=SCHEDULES // 4, deadline=None)
@given(st.integers(0, 1 << 32))
def test_whatever_goes_wrong_each_record_of_a_shard_is_landed_once_after_its_parents(
    seed: int,
) -> None:
    schedule = ShardSchedule(Random(seed))  # noqa: S311 - a schedule is no secret
    schedule.run()
    for number, shard in schedule.stream.shards.items():
        partition = Partition(schedule.stream.name, number)
        require_each_once(schedule.store, partition, dict(enumerate(shard.values)))
    for found in verify(Landing(schedule.store, "none")):
        assert found.problems == []
        assert found.gaps + found.before_start == 0
