"""The courier: what it sends again, alone, never, and how long it waits."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from threading import Event

import pytest

from ingestion.delivery import (
    Acknowledged,
    Again,
    Courier,
    Limits,
    Message,
    Outcome,
    Patience,
    Refused,
    Stop,
    Unclear,
)
from ingestion.errors import RetryError, SetAsideError, StopError

Answer = Callable[[Message], Outcome]
LIMITS = Limits(4, 1000)


def stored(message: Message) -> Outcome:
    return Acknowledged("0", str(message.position))


class FakePace:
    def __init__(self) -> None:
        self.time = 0.0
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.sleeps.append(seconds)


class Longest(Random):
    """Draws the upper end, so that waits are what the formula says at most."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class FakeTransport:
    """Answers one request after another as it was told, and then stores."""

    def __init__(self, *answers: Answer, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.sent: list[list[int]] = []
        self.checks: list[Again | None] = []
        self._answers = list(answers)

    def check(self) -> Again | None:
        return self.checks.pop(0) if self.checks else None

    def measure(self, message: Message) -> int:
        if len(message.value) > 100:
            raise SetAsideError("too_large", "is over 100 bytes")
        return len(message.value)

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        self.sent.append([message.position for message in batch])
        answer = self._answers.pop(0) if self._answers else stored
        return [answer(message) for message in batch]

    def close(self) -> None:
        pass


class FakeSettled:
    def __init__(self) -> None:
        self.positions: list[int] = []
        self.aside: list[tuple[int, str]] = []
        self.last_was_now = False

    def set_aside(self, message: Message, reason: str) -> None:
        self.aside.append((message.position, reason))

    def save(self, position: int, *, now: bool = False) -> None:
        self.positions.append(position)
        self.last_was_now = now


class Bench:
    """A courier with everything around it."""

    def __init__(self, *answers: Answer, limits: Limits = LIMITS) -> None:
        self.transport = FakeTransport(*answers, limits=limits)
        self.settled, self.pace = FakeSettled(), FakePace()
        self.stop_after: int | None = None

    def stopping(self) -> bool:
        return self.stop_after is not None and (
            len(self.transport.sent) >= self.stop_after
        )

    def deliver(
        self,
        *messages: Message,
        rows: Iterator[Message] | None = None,
        patience: Patience | None = None,
    ) -> Courier:
        courier = Courier(
            "u.pin",
            self.transport,
            self.settled,
            self.pace,
            patience=patience,
            random=Longest(),
            stopping=self.stopping,
        )
        self.courier = courier
        courier.deliver(rows or iter(messages))
        return courier


def messages(count: int) -> list[Message]:
    return [Message(n, n, b'{"index":%d}' % n) for n in range(count)]


def only(positions: set[int], outcome: Outcome) -> Answer:
    return lambda m: outcome if m.position in positions else stored(m)


def always(outcome: Outcome) -> Answer:
    return lambda _: outcome


def test_records_go_in_batches_of_the_limit() -> None:
    bench = Bench()
    bench.deliver(*messages(10))
    assert bench.transport.sent == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert bench.settled.last_was_now
    assert bench.settled.positions[-1] == 10


def test_only_what_failed_is_sent_again_before_the_next_batch() -> None:
    bench = Bench(only({1, 3}, Again("busy")))
    bench.deliver(*messages(6))
    assert bench.transport.sent == [[0, 1, 2, 3], [1, 3], [4, 5]]


def test_a_batch_never_holds_two_values_of_one_key() -> None:
    rows = [
        Message(0, 7, b"{}"),
        Message(1, 7, b"{}"),
        Message(2, 7, b"[{}]"),
        Message(3, None, b"{}"),
    ]
    bench = Bench()
    bench.deliver(*rows)
    assert bench.transport.sent == [[0, 1], [2, 3]]


def test_a_batch_ends_at_the_byte_limit_and_a_large_record_goes_alone() -> None:
    rows = [Message(n, n, b"x" * size) for n, size in enumerate((5, 5, 60, 5))]
    bench = Bench(limits=Limits(4, 11))
    bench.deliver(*rows)
    assert bench.transport.sent == [[0, 1], [2], [3]]


def test_a_refused_batch_is_bisected_down_to_the_record() -> None:
    refuse: Answer = always(Refused("413"))
    bench = Bench(refuse, refuse, refuse, stored)
    bench.deliver(*messages(4))
    assert bench.transport.sent == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3]]
    assert bench.settled.aside == [(0, "refused: 413")]
    assert bench.settled.positions[-1] == 4


def test_an_unclear_record_goes_alone_three_times_and_is_then_set_aside() -> None:
    unclear = only({1}, Unclear("500"))
    bench = Bench(unclear, unclear, unclear, unclear)
    courier = bench.deliver(*messages(6))
    assert bench.transport.sent == [[0, 1, 2, 3], [1], [1], [1], [4, 5]]
    assert bench.settled.aside == [(1, "unclear: 500")]
    assert courier.tally.set_aside == 1
    assert courier.tally.acknowledged == 5


def test_ten_unclear_records_in_a_row_stop_and_none_is_set_aside() -> None:
    bench = Bench(*[always(Unclear("broker down"))] * 100)
    with pytest.raises(
        RetryError, match=r"10 records failed .*broker down.*before row 0"
    ):
        bench.deliver(*messages(40), patience=Patience(give_up_after=10_000))
    assert bench.settled.aside == []
    assert bench.settled.positions[-1] == 0


def test_a_hundred_refused_records_in_a_row_stop_and_none_is_set_aside() -> None:
    bench = Bench(*[always(Refused("HTTP 400"))] * 1000)
    with pytest.raises(StopError, match=r"100 records failed alone.*HTTP 400"):
        bench.deliver(*messages(150))
    assert bench.settled.aside == []
    assert bench.settled.positions[-1] == 0


def test_suspects_at_the_end_of_the_source_are_set_aside_if_any_was_stored() -> None:
    bench = Bench(stored, *[always(Refused("413"))] * 3)
    bench.deliver(*messages(6))
    assert bench.settled.aside == [(4, "refused: 413"), (5, "refused: 413")]
    assert bench.settled.positions[-1] == 6


@pytest.mark.parametrize(
    ("outcome", "kind"), [(Refused("HTTP 400"), StopError), (Unclear("1"), RetryError)]
)
def test_a_run_in_which_nothing_is_stored_sets_nothing_aside(
    outcome: Outcome, kind: type[Exception]
) -> None:
    bench = Bench(*[always(outcome)] * 100)
    with pytest.raises(kind, match="all that this run had to send"):
        bench.deliver(*messages(9))
    assert bench.settled.aside == []
    assert bench.settled.positions[-1] == 0


def test_bad_records_in_a_request_with_good_ones_do_not_stop_the_run() -> None:
    """As many as there may be: what was stored beside them shows who is at fault."""
    bad = set(range(0, 500, 25))
    unclear = only(bad, Unclear("too large"))
    bench = Bench(*[unclear] * 100, limits=Limits(500, 10_000))
    courier = bench.deliver(*messages(501))
    assert {position for position, _ in bench.settled.aside} == bad
    assert courier.tally.acknowledged == 501 - len(bad)
    assert len(bench.transport.sent) == 1 + 3 * len(bad) + 1
    assert bench.pace.time < 600


def test_ten_that_fail_after_a_good_request_still_stop_the_run() -> None:
    down = always(Unclear("down"))
    bench = Bench(only({2, 3}, Unclear("down")), *[down] * 100, limits=Limits(20, 1000))
    with pytest.raises(RetryError, match=r"10 records failed .*before row 2 "):
        bench.deliver(*messages(60), patience=Patience(give_up_after=10_000))
    assert bench.settled.aside == []
    assert bench.settled.positions[-1] == 2


def test_a_record_that_cannot_be_sent_is_set_aside_without_a_request() -> None:
    bench = Bench()
    bench.deliver(Message(0, 1, b"x" * 101), Message(1, 2, b"{}"))
    assert bench.settled.aside == [(0, "too_large: the record is over 100 bytes")]
    assert bench.transport.sent == [[1]]


def test_waits_double_up_to_30_seconds_and_the_run_gives_up() -> None:
    bench = Bench(*[always(Again("503"))] * 1000)
    with pytest.raises(RetryError, match=r"gave up after 100 s .* reason: 503\. 0 rec"):
        bench.deliver(*messages(1), patience=Patience(give_up_after=100))
    assert bench.pace.time == pytest.approx(100)
    # 0.2 + 0.4 + … + 25.6 = 51, then 30, then the 19 s that are left.
    assert len(bench.transport.sent) == 11


def test_retry_after_is_waited_for_at_least_but_not_beyond_giving_up() -> None:
    bench = Bench(always(Again("429", retry_after=60)))
    bench.deliver(*messages(1))
    assert 60 <= bench.pace.time < 61
    bench = Bench(*[always(Again("429", retry_after=3600))] * 2)
    with pytest.raises(RetryError):
        bench.deliver(*messages(1), patience=Patience(give_up_after=100))
    assert bench.pace.time == pytest.approx(100)


def test_two_ambiguous_answers_halve_and_ten_good_ones_double() -> None:
    slow = always(Again("504", ambiguous=True))
    bench = Bench(slow, slow)
    bench.deliver(*messages(4 + 18 + 4))
    sizes = [len(sent) for sent in bench.transport.sent]
    assert sizes == [4, 4, *[2] * 10, 4, 2]


def test_a_request_that_bytes_cut_short_is_halved_from_what_was_sent() -> None:
    """A gateway that answers in time for one record only, 29 s too late for more."""

    class SlowTransport(FakeTransport):
        def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
            outcomes = super().send(batch)
            bench.pace.time += 29.0
            slow = Again("504", ambiguous=True)
            return [slow] * len(batch) if len(batch) > 1 else outcomes

    rows = [Message(n, n, b"x" * 100) for n in range(18)]
    bench = Bench()
    bench.transport = SlowTransport(limits=Limits(500, 900))
    courier = bench.deliver(*rows)
    assert courier.tally.acknowledged == 18
    sizes = [len(sent) for sent in bench.transport.sent]
    assert sizes[:7] == [9, 9, 4, 4, 2, 2, 1]


def test_one_record_that_times_out_does_not_make_later_requests_smaller() -> None:
    slow = always(Again("504", ambiguous=True))
    bench = Bench(only({0}, Again("busy")), slow, slow)
    bench.deliver(*messages(8))
    assert [len(sent) for sent in bench.transport.sent] == [4, 1, 1, 1, 4]


def test_answers_that_are_not_ambiguous_do_not_halve() -> None:
    bench = Bench(*[always(Again("429"))] * 4)
    bench.deliver(*messages(4))
    assert [len(sent) for sent in bench.transport.sent] == [4] * 5


def test_a_stop_keeps_what_the_same_answer_acknowledged() -> None:
    bench = Bench(only({2, 3}, Stop("u.pin is forbidden: grant it.")))
    with pytest.raises(StopError, match="grant it"):
        bench.deliver(*messages(8))
    assert bench.settled.positions[-1] == 2
    assert bench.courier.tally.acknowledged == 2


def test_an_interrupt_ends_after_the_open_request() -> None:
    bench = Bench(only({1}, Again("busy")))
    bench.stop_after = 1
    bench.deliver(*messages(8))
    assert bench.transport.sent == [[0, 1, 2, 3]]
    assert bench.settled.positions[-1] == 1


def test_the_next_batch_is_cut_while_a_request_is_open_and_not_yet_settled() -> None:
    bench, cut = Bench(), Event()

    def rows() -> Iterator[Message]:
        yield from messages(5)
        yield Message(5, 5, b"x" * 101)
        cut.set()
        yield from messages(9)[6:]

    class WaitingTransport(FakeTransport):
        def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
            assert cut.wait(30), "nobody reads on while a request is open"
            bench.stop_after = 1
            return super().send(batch)

    bench.transport = WaitingTransport()
    bench.deliver(rows=rows())
    assert bench.transport.sent == [[0, 1, 2, 3]]
    assert bench.settled.positions[-1] == 4
    assert bench.settled.aside == []


def test_the_topic_is_checked_until_it_answers() -> None:
    bench = Bench()
    bench.transport.checks = [Again("no connection"), Again("no connection"), None]
    bench.deliver(*messages(1))
    assert bench.transport.sent == [[0]]
    assert bench.pace.time == pytest.approx(0.2 + 0.4)


def test_a_rate_spreads_the_records() -> None:
    bench = Bench()
    bench.deliver(*messages(11), patience=Patience(rate=5))
    assert bench.pace.time == pytest.approx(2, abs=0.3)


def test_after_an_outage_a_rate_makes_up_for_one_second_only() -> None:
    bench = Bench(always(Again("down", retry_after=100)), limits=Limits(50, 10_000))
    bench.deliver(*messages(41), patience=Patience(rate=10))
    assert bench.pace.time == pytest.approx(100 + 0.2 + 3, abs=0.5)
