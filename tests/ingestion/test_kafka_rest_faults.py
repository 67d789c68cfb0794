"""Whatever goes wrong in whatever order: nothing lost, nothing out of order."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NoReturn

import orjson
from dialects import DIALECTS, Fault
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from memory_front import MemoryProxy

from ingestion.cursors import Cursor, Route, State
from ingestion.delivery import Acknowledged, Again, Courier, Limits, Message, Outcome
from ingestion.endpoints import Endpoint, Place
from ingestion.errors import RetryError, StopError
from ingestion.kafka_rest import KafkaRestTransport
from ingestion.stores import Files

TOPIC = "u.pin"
REQUEST_SECONDS = 0.4
ROUTE = Route("place", "content", {"order": "table"}, "kafka-rest x", TOPIC)


class UnsyncedFiles(Files):
    def sync(self, descriptor: int) -> None:
        pass


class KilledError(BaseException):
    """The process is gone."""


class FakePace:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class MortalCursor(Cursor):
    """Writes nothing any more once the process is gone."""

    alive = True
    saved = 0

    @property
    def saved_at(self) -> float:
        return self._saved_at

    def save(self, position: int, *, now: bool = False) -> None:
        before = self.saved_at
        if self.alive:
            super().save(position, now=now)
        if self.alive and (now or self.saved_at != before):
            self.saved = position


class WatchedTransport(KafkaRestTransport):
    """Checks each acknowledgement when it comes, and dies before or after a request."""

    def watch(self, world: "World", kill_at: int | None, *, after: bool) -> None:
        self._world, self._kill_at, self._after = world, kill_at, after
        self._requests = 0

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        keys = [message.key for message in batch]
        assert len(set(keys)) == len(keys)
        self._world.pace.time += REQUEST_SECONDS
        self._requests += 1
        if self._requests == self._kill_at and not self._after:
            self._world.die()
        outcomes = super().send(batch)
        if self._requests == self._kill_at:
            self._world.die()
        stored = self._world.stored()
        for message, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Acknowledged):
                assert message.value in stored
                self._world.acknowledged[message.position] = self._world.pace.time
        return outcomes


class World:
    """A proxy that lives on, and processes that come and go."""

    transport = WatchedTransport

    def __init__(self, dialect: str, root: Path, rows: list[Message]) -> None:
        self.rows = rows
        self.pace = FakePace()
        self.proxy = MemoryProxy(dialect, TOPIC, wait=self.pace.sleep)
        self.acknowledged: dict[int, float] = {}
        self.state = State(root, UnsyncedFiles())

    @property
    def storable(self) -> bool:
        return any(b"unstorable" not in row.value for row in self.rows)

    def stored(self) -> list[bytes]:
        return [value for _, value in self.proxy.log.topics[TOPIC]]

    def aside(self) -> set[int]:
        if not self.state.rejected.exists():
            return set()
        lines = self.state.rejected.read_bytes().splitlines()
        return {orjson.loads(line)["position"] for line in lines}

    def run(
        self,
        kill_at: int | None = None,
        *,
        after: bool = False,
        restart: bool = False,
    ) -> None:
        """Run one process, to its end or to its death."""
        cursor = self._cursor = MortalCursor(self.state, ROUTE, self.pace)
        make_session = self.proxy.make_session
        endpoint = Endpoint(Place.parse("http://proxy"), make_session=make_session)
        transport = self.transport(TOPIC, endpoint, Limits(4, 10_000))
        transport.watch(self, kill_at, after=after)
        with cursor.locked():
            position = cursor.resume(restart=restart)
            self.check_below(position)
            random = Random(1)  # noqa: S311 - spreads retries
            courier = Courier(TOPIC, transport, cursor, self.pace, random=random)
            try:
                courier.deliver(self._from(position), position)
            except KilledError:
                self.check_twice(cursor, courier.settled_below)
        self.check_below(Cursor(self.state, ROUTE, self.pace).resume())

    def die(self) -> NoReturn:
        """Write nothing any more, not on the way out either."""
        self._cursor.alive = False
        raise KilledError

    def run_or_stop(self, kill_at: int | None = None, *, after: bool = False) -> bool:
        """Run one process; False where it stopped for what all its records met.

        It may also stop for two answers without offsets, or give up after ten minutes;
        somebody sees to that, and it is run again.
        """
        try:
            self.run(kill_at, after=after)
        except (StopError, RetryError) as error:
            if "all that this run had to send" in str(error):
                return False
            if "with acks=0" not in str(error) and "gave up after" not in str(error):
                raise
            return self.run_or_stop(kill_at, after=after)
        return True

    def run_to_the_end(self) -> None:
        """Run as a person would where all that is left is unstorable: from the start.

        Where no record at all can be stored, none is set aside.
        """
        if not self.run_or_stop():
            left = self.rows[Cursor(self.state, ROUTE, self.pace).resume() :]
            assert all(b"unstorable" in row.value for row in left)
            if self.storable:
                self.run(restart=True)

    def _from(self, position: int) -> Iterator[Message]:
        for message in self.rows[position:]:
            if self.pace.time > 100_000:
                raise AssertionError("it never ends")
            yield message

    def check_twice(self, cursor: MortalCursor, settled_below: int) -> None:
        """What was settled and will be sent again is of the second since the save."""
        for position in range(cursor.saved, settled_below):
            if (at := self.acknowledged.get(position)) is not None:
                assert at - cursor.saved_at < 1

    def check_below(self, position: int) -> None:
        """Everything below a position that was saved is stored or set aside."""
        stored, aside = set(self.stored()), self.aside()
        for message in self.rows[:position]:
            assert message.value in stored or message.position in aside


def messages(keys: Sequence[tuple[int, bool]]) -> list[Message]:
    rows = []
    for position, (key, storable) in enumerate(keys):
        value = {"index": key, "n": position}
        if not storable:
            value["unstorable"] = 1
        rows.append(Message(position, key, orjson.dumps(value)))
    return rows


class LateTransport(WatchedTransport):
    """The first request times out, and is stored behind the third."""

    late: Sequence[Message] = ()

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        if not self.late:
            self.late = batch
            return [Again("no answer in time", ambiguous=True)] * len(batch)
        outcomes = super().send(batch)
        if batch[0] != self.late[0]:
            KafkaRestTransport.send(self, self.late)
        return outcomes


def test_a_request_that_timed_out_may_be_stored_behind_a_newer_value_of_its_key(
    tmp_path: Path,
) -> None:
    """The exception to order that the documentation names; nothing is lost by it."""
    world = World("strimzi", tmp_path, messages([(7, True), (7, True), (8, True)]))
    world.transport = LateTransport
    world.run()
    older, newer, other = (row.value for row in world.rows)
    assert world.stored() == [older, newer, other, older]
    assert world.aside() == set()


ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9).map(lambda n: n > 0)), max_size=40
).map(messages)


def faults(names: Sequence[str], *over: int) -> st.SearchStrategy[Fault]:
    return st.tuples(st.sampled_from(names), st.sampled_from(over)).map(
        lambda drawn: Fault(*drawn)
    )


SLOW = st.tuples(st.integers(0, 3), st.sampled_from([1.0, 69.0, 71.0, 300.0]))
FAULTS = st.lists(
    st.one_of(
        faults(["drop", "reset", "429", "503", "500", "502", "504"], 0, 1, 2, 3),
        faults(["html", "short", "minus"], 0),
        faults(["partial", "unclear"], 0, 1, 2, 3),
        faults(["413", "422"], 1, 2, 3),
        SLOW.map(lambda drawn: Fault("slow", *drawn)),
    ),
    max_size=12,
)
LASTING = st.lists(
    st.integers(1, 3).map(lambda over: Fault("504", over, lasting=True)), max_size=1
)
KILLS = st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=3)


@example("strimzi", messages([(1, True)] * 3), [Fault("slow", 0, 71.0)] * 12, [], [])
@settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.sampled_from(sorted(DIALECTS)), ROWS, FAULTS, LASTING, KILLS)
def test_no_order_of_faults_and_kills_loses_a_record_or_an_order(
    dialect: str,
    rows: list[Message],
    once: list[Fault],
    lasting: list[Fault],
    kills: list[tuple[int, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as root:
        world = World(dialect, Path(root), rows)
        world.proxy.front.faults = once + lasting
        for kill_at, after in kills:
            world.run_or_stop(kill_at, after=after)
        world.run_to_the_end()
        stored, aside = world.stored(), world.aside()
        unstorable = {m.position for m in rows if b"unstorable" in m.value}
        assert aside == (unstorable if world.storable else set())
        good = [m for m in rows if m.position not in unstorable]
        assert set(stored) == {m.value for m in good}
        last = {m.key: m.value for m in good}
        for value in last.values():
            key = orjson.loads(value)["index"]
            (final,) = [v for v in stored if orjson.loads(v)["index"] == key][-1:]
            assert final == value
        assert world.proxy.misused == []
