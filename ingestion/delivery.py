"""Deliver records over a transport: at least once, with honest acknowledgements.

A transport translates the answers of one system into outcomes, one for each record; it
never retries. The courier is the same for all transports: it batches, waits, resends
what failed, isolates what is refused, and knows up to where everything is settled.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from threading import Event
from typing import Final, NamedTuple, Protocol, TypeAlias

from ingestion.errors import RetryError, SetAsideError, StopError

_NAP_SECONDS: Final = 0.1
_HEAD_START_SECONDS: Final = 0.002
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 30.0
_DOUBLINGS: Final = 10
_BURST_SECONDS: Final = 1.0
_AMBIGUOUS_TO_HALVE: Final = 2
_GOOD_TO_DOUBLE: Final = 10
_TRIES_ALONE: Final = 3
_UNCLEAR_IN_A_ROW: Final = 10
_REFUSED_IN_A_ROW: Final = 100


class Message(NamedTuple):
    """One record on its way: `value` is its JSON, sent byte for byte.

    `position` counts the rows of the source from 0. `key` is the event's number; None
    where the record has none, which only `--bad-lines land` lets pass.
    """

    position: int
    key: int | None
    value: bytes


class Acknowledged(NamedTuple):
    """The record is stored: in this partition or shard, at this offset or number."""

    partition: str
    offset: str


class Again(NamedTuple):
    """The record is to be sent again.

    `ambiguous` says that it may have been stored, or be stored yet, such as after a
    time-out. `retry_after` is what the other side asks to wait, in seconds.
    """

    reason: str
    ambiguous: bool = False
    retry_after: float = 0.0


class Refused(NamedTuple):
    """The request is refused for what is in it: bisected, down to the record."""

    reason: str


class Unclear(NamedTuple):
    """The record failed, and nobody can tell whether it ever will not."""

    reason: str


class Stop(NamedTuple):
    """Nothing like it can succeed until somebody acts: `message` says who and how."""

    message: str


Outcome: TypeAlias = Acknowledged | Again | Refused | Unclear | Stop


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold. A record over `bytes` alone goes in one of its own."""

    records: int
    bytes: int


def passing(outcome: Outcome, otherwise: str) -> Again:
    """Return what may pass; a `StopError` where a check heard anything else."""
    if isinstance(outcome, Again):
        return outcome
    raise StopError(outcome.message if isinstance(outcome, Stop) else otherwise)


class Transport(Protocol):
    """A way to one topic or stream, used by one thread at a time; it never retries.

    Only `measure`, which depends on nothing but the message, is called beside a `send`.
    Errors of the libraries behind it are translated: what may pass is `Again`, what
    cannot is `Stop`, or a `StopError` raised where no record of the request was stored.
    """

    @property
    def limits(self) -> Limits:
        """What one request may hold."""

    def check(self) -> Again | None:
        """Look before the first record whether the topic is there, and writable.

        None is yes. Raises `StopError` where the answer is no.
        """

    def measure(self, message: Message) -> int:
        """Return the bytes that the record adds to a request.

        Raises `SetAsideError` where it can never be sent, such as over a size limit.
        """

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        """Send one request and return one outcome for each record, in order."""

    def close(self) -> None:
        """Let go of connections."""


class Settled(Protocol):
    """Keeps up to where everything is settled, and what was set aside."""

    def set_aside(self, message: Message, reason: str) -> None:
        """Keep a record that cannot be delivered."""

    def save(self, position: int, *, now: bool = False) -> None:
        """Keep the position; not more often than it wants to, unless `now`."""


class Pace(Protocol):
    """The time, passed in so that tests can set it."""

    def now(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try and how fast to go.

    `give_up_after` is seconds without any progress; `rate` is records a second.
    """

    give_up_after: float = 600.0
    rate: float | None = None


@dataclass(slots=True)
class Tally:
    """What happened so far in one topic. `waiting_for` is why nothing happens now."""

    acknowledged: int = 0
    resent: int = 0
    set_aside: int = 0
    requests: int = 0
    waiting_for: str = ""


class Batch(NamedTuple):
    """The next records for one request; none of them is the end of the source.

    `unsendable` are those between that can never be sent, with the reason. `end` is the
    position behind all of them.
    """

    messages: list[Message]
    unsendable: list[tuple[Message, str]]
    end: int


class Batches:
    """Cuts messages into batches. It sends, settles and keeps nothing."""

    def __init__(
        self, messages: Iterator[Message], transport: Transport, position: int
    ) -> None:
        """Cut messages from `position` on as the transport's limits want it."""
        self._messages = messages
        self._transport = transport
        self._end = position
        self._held: Message | None = None

    def cut(self, records: int) -> Batch:
        """Take the next records that fit one request, at most so many."""
        batch = Batch([], [], self._end)
        room = self._transport.limits.bytes
        values: dict[int, bytes] = {}
        while len(batch.messages) < records and (message := self._take()) is not None:
            try:
                room -= self._transport.measure(message)
            except SetAsideError as error:
                reason = f"{error.reason}: the record {error}"
                batch.unsendable.append((message, reason))
                self._end = message.position + 1
                continue
            if batch.messages and (room < 0 or _differs(values, message)):
                self._held = message
                break
            if message.key is not None:
                values[message.key] = message.value
            batch.messages.append(message)
            self._end = message.position + 1
        return batch._replace(end=self._end)

    def _take(self) -> Message | None:
        held, self._held = self._held, None
        return held or next(self._messages, None)


class _Suspect(NamedTuple):
    """A record that failed alone, and what it is if the fault is not its own."""

    message: Message
    reason: str
    kind: type[StopError | RetryError]


class Courier:
    """Delivers the messages of one topic in order, a batch at a time.

    While a request is open, a second thread reads and cuts the next batch; it is sent
    when every record of this one is settled. Everything below `settled_below` is
    acknowledged or set aside, at any moment. A batch never holds two different values
    of one key: so per key the last value stored is the last one sent, unless a request
    that timed out is stored late.

    A record that fails unclearly is sent alone three times, a request that is refused
    is bisected; what fails alone becomes a *suspect*. Suspects are set aside when a
    later record is acknowledged, or at the end of the source if any was in this run.
    Ten unclear or a hundred refused ones with no acknowledgement between are a system
    that is ill, not records: the run stops, the position stays before the first, and
    none is set aside. An unclear one counts only if nothing of the request in which it
    failed first was acknowledged: otherwise the system was well.
    """

    def __init__(
        self,
        topic: str,
        transport: Transport,
        settled: Settled,
        pace: Pace,
        *,
        patience: Patience | None = None,
        random: Random | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Deliver to `topic`; `stopping` says when to end after the open request."""
        self.topic = topic
        self.tally = Tally()
        self._next = 0
        self._transport = transport
        self._settled = settled
        self._pace = pace
        self._patience = patience or Patience()
        self._random = random or Random()  # noqa: S311 - spreads retries, no secret
        self._stopping = stopping
        self._width = transport.limits.records
        self._open: set[int] = set()
        self._suspects: list[_Suspect] = []
        self._alone: dict[int, int] = {}
        self._beside_good: set[int] = set()
        self._failures = self._ambiguous = self._good = 0
        self._failing_since: float | None = None
        self._due_at = 0.0

    def deliver(self, messages: Iterator[Message], position: int = 0) -> None:
        """Deliver messages whose positions rise from `position` on.

        Raises `StopError` or `RetryError` where it cannot go on. The position is saved
        in any case; what was not settled is sent again by the next run.
        """
        self._next = position
        try:
            self._check()
            self._deliver(Batches(messages, self._transport, position))
        finally:
            self._settled.save(self.settled_below, now=True)

    def _check(self) -> None:
        while not self._stopping() and (again := self._transport.check()) is not None:
            self._pause(again)

    def _deliver(self, batches: Batches) -> None:
        self._due_at = self._pace.now()
        with ThreadPoolExecutor(1) as beside:
            ahead: Future[Batch] | None = None
            while not self._stopping():
                due = self._due()
                if due < 1:
                    self._pace.sleep(_NAP_SECONDS)
                    continue
                batch = ahead.result() if ahead else batches.cut(due)
                settled = Event()
                if self._patience.rate is None:
                    ahead = beside.submit(_cut_later, batches, due, settled)
                try:
                    if not self._deliver_batch(batch):
                        break
                finally:
                    settled.set()

    def _deliver_batch(self, batch: Batch) -> bool:
        """Settle a batch; False at the end of the source."""
        for message, reason in batch.unsendable:
            self._set_aside(message, reason)
        self._open.update(message.position for message in batch.messages)
        self._next = batch.end
        if not batch.messages:
            self._require_witness()
            self._confirm_suspects()
            return False
        self._spend(len(batch.messages))
        self._settle(batch.messages)
        return True

    def _due(self) -> int:
        most = self._transport.limits.records
        if self._patience.rate is None:
            return most
        due = int((self._pace.now() - self._due_at) * self._patience.rate) + 1
        return min(due, most)

    def _spend(self, records: int) -> None:
        """Move on when the next record is due; at most a second is ever made up for."""
        if self._patience.rate is not None:
            begin = max(self._due_at, self._pace.now() - _BURST_SECONDS)
            self._due_at = begin + records / self._patience.rate

    @property
    def settled_below(self) -> int:
        """The position below which everything is acknowledged or set aside."""
        return min(self._open, default=self._next)

    # --- batches -------------------------------------------------------------------

    def _settle(self, batch: list[Message]) -> None:
        """Send until every record of the batch is settled, or the run is stopping."""
        work = [batch]
        while work and not self._stopping():
            group = work.pop()
            head, tail = group[: self._width], group[self._width :]
            if tail:
                work.append(tail)
            work.extend(reversed(self._attempt(head)))

    def _attempt(self, group: list[Message]) -> list[list[Message]]:
        """Send one request; return what is left of it, in groups to be sent next."""
        outcomes = self._transport.send(group)
        self.tally.requests += 1
        if len(outcomes) != len(group):
            raise AssertionError(f"{len(outcomes)} outcomes of {len(group)} records")
        good = set(map(type, outcomes)) == {Acknowledged}
        self._adapt(outcomes, good=good)
        if good:
            self._acknowledge([message.position for message in group])
            return []
        again, refused, unclear = self._sort(group, outcomes)
        groups = [again] if again else []
        groups += self._bisected(refused, group)
        if any(isinstance(outcome, Acknowledged) for outcome in outcomes):
            self._beside_good.update(message.position for message, _ in unclear)
        groups += self._isolated(unclear, group)
        _require_no_stop(outcomes)
        self._after(outcomes)
        self.tally.resent += sum(map(len, groups))
        return groups

    def _sort(
        self, group: list[Message], outcomes: Sequence[Outcome]
    ) -> tuple[list[Message], list[tuple[Message, str]], list[tuple[Message, str]]]:
        again: list[Message] = []
        refused: list[tuple[Message, str]] = []
        unclear: list[tuple[Message, str]] = []
        acknowledged: list[int] = []
        for message, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Acknowledged):
                acknowledged.append(message.position)
            elif isinstance(outcome, Again):
                again.append(message)
            elif isinstance(outcome, Refused):
                refused.append((message, outcome.reason))
            elif isinstance(outcome, Unclear):
                unclear.append((message, outcome.reason))
        if acknowledged:
            self._acknowledge(acknowledged)
        return again, refused, unclear

    def _acknowledge(self, positions: list[int]) -> None:
        self._open.difference_update(positions)
        self._beside_good.difference_update(positions)
        self.tally.acknowledged += len(positions)
        self._progressed()
        self._confirm_suspects()
        self._settled.save(self.settled_below)

    def _bisected(
        self, refused: list[tuple[Message, str]], group: list[Message]
    ) -> list[list[Message]]:
        if len(group) == 1:
            for message, reason in refused:
                suspect = _Suspect(message, f"refused: {reason}", StopError)
                self._suspects.append(suspect)
                self._require_few(_REFUSED_IN_A_ROW)
            return []
        messages = [message for message, _ in refused]
        middle = (len(messages) + 1) // 2
        return [half for half in (messages[:middle], messages[middle:]) if half]

    def _isolated(
        self, unclear: list[tuple[Message, str]], group: list[Message]
    ) -> list[list[Message]]:
        if len(group) > 1:
            return [[message] for message, _ in unclear]
        groups = []
        for message, reason in unclear:
            tries = self._alone.get(message.position, 0) + 1
            self._alone[message.position] = tries
            if tries < _TRIES_ALONE:
                groups.append([message])
            else:
                suspect = _Suspect(message, f"unclear: {reason}", RetryError)
                self._suspects.append(suspect)
                self._require_few(_UNCLEAR_IN_A_ROW)
                if message.position in self._beside_good:
                    self._progressed()
        return groups

    # --- what cannot be delivered --------------------------------------------------

    def _require_few(self, most: int) -> None:
        """Raise where so many failed that it cannot be for what is in them."""
        positions = {suspect.message.position for suspect in self._suspects}
        count = len(positions - self._beside_good)
        if count >= most:
            raise self._ill(f"{count} records failed alone and none between succeeded")

    def _require_witness(self) -> None:
        """Raise where nothing in this run shows that the system stores anything."""
        if self._suspects and not self.tally.acknowledged:
            count = len(self._suspects)
            raise self._ill(
                f"{count} records failed alone, all that this run had to send",
                " If it can, it is the records: correct them, or say --restart to have "
                "them set aside.",
            )

    def _ill(self, what: str, otherwise: str = "") -> StopError | RetryError:
        _, reason, kind = self._suspects[-1]
        return kind(
            f"{self.topic}: {what} ({reason}), so the fault is hardly theirs: "
            f"{self._standing()} See why the other side cannot store them, then run "
            f"the same command again.{otherwise}"
        )

    def _confirm_suspects(self) -> None:
        for message, reason, _ in self._suspects:
            self._set_aside(message, reason)
        self._suspects.clear()
        self._alone.clear()

    def _set_aside(self, message: Message, reason: str) -> None:
        self._settled.set_aside(message, reason)
        self._open.discard(message.position)
        self._beside_good.discard(message.position)
        self.tally.set_aside += 1

    # --- how fast ------------------------------------------------------------------

    def _adapt(self, outcomes: Sequence[Outcome], *, good: bool) -> None:
        """Halve after two ambiguous answers in a row, double after ten good ones.

        What is halved is what was sent: bytes may have cut it below the width.
        """
        ambiguous = any(isinstance(o, Again) and o.ambiguous for o in outcomes)
        self._ambiguous = self._ambiguous + 1 if ambiguous else 0
        self._good = self._good + 1 if good else 0
        if self._ambiguous == _AMBIGUOUS_TO_HALVE:
            self._ambiguous = 0
            if len(outcomes) > 1:
                self._width = min(self._width, len(outcomes)) // 2
        if self._good == _GOOD_TO_DOUBLE:
            self._width = min(self._width * 2, self._transport.limits.records)
            self._good = 0

    def _after(self, outcomes: Sequence[Outcome]) -> None:
        """Wait as the worst outcome wants it."""
        waits = [outcome for outcome in outcomes if isinstance(outcome, Again)]
        if waits:
            self._pause(max(waits, key=lambda again: again.retry_after))
        elif len(outcomes) == 1 and isinstance(outcomes[0], Unclear):
            self._pause(Again(outcomes[0].reason))

    def _progressed(self) -> None:
        self._failures, self._failing_since = 0, None
        self.tally.waiting_for = ""

    def _pause(self, again: Again) -> None:
        """Wait: full jitter, 0.2 s doubling up to 30 s, or longer if asked to.

        The source of the formula is "Exponential Backoff And Jitter" of the AWS
        Architecture Blog. No wait is longer than what is left before giving up.
        """
        now = self._pace.now()
        if self._failing_since is None:
            self._failing_since = now
        left = self._failing_since + self._patience.give_up_after - now
        if left <= 0:
            raise RetryError(
                f"{self.topic}: gave up after {self._patience.give_up_after:g} s "
                f"without progress, the last reason: {again.reason}. "
                f"{self._standing()} Correct the reason, then run the same command "
                "again to continue."
            )
        longest = _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, _DOUBLINGS)
        pause = self._random.uniform(0, min(longest, _LONGEST_PAUSE_SECONDS))
        self._failures += 1
        self.tally.waiting_for = again.reason
        self._sleep(min(pause + again.retry_after, left))

    def _sleep(self, seconds: float) -> None:
        until = self._pace.now() + seconds
        while not self._stopping() and (left := until - self._pace.now()) > 0:
            self._pace.sleep(min(left, _NAP_SECONDS))

    def _standing(self) -> str:
        return (
            f"{self.tally.acknowledged:,} records are acknowledged, all before row "
            f"{self.settled_below:,} are settled."
        )


def _cut_later(batches: Batches, records: int, settled: Event) -> Batch:
    """Cut when the request before is on its way, or done: it needs the interpreter."""
    settled.wait(_HEAD_START_SECONDS)
    return batches.cut(records)


def _differs(values: dict[int, bytes], message: Message) -> bool:
    """Tell whether another value of the message's key is among the values."""
    if message.key is None:
        return False
    return values.get(message.key, message.value) != message.value


def _require_no_stop(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Stop):
            raise StopError(outcome.message)
