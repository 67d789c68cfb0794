"""Dispatch the tables of a source to their topics, side by side."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from threading import Event, Thread
from time import monotonic, sleep
from typing import Final, Protocol, Self

from ingestion.cursors import Cursor, Route, State
from ingestion.delivery import Courier, Message, Pace, Patience, Transport
from ingestion.emitters import Rejects
from ingestion.errors import SetAsideError
from ingestion.records import event_number, leading_number
from ingestion.sources import Check, Order, Source, Table, Tick

_WATCH_SECONDS: Final = 0.1
_SWITCH_SECONDS: Final = 0.0002


class MonotonicPace:
    """The system's time, which no correction of the clock turns back."""

    def now(self) -> float:
        """Return seconds since some moment."""
        return monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        sleep(seconds)


class Destination(Protocol):
    """A cluster, gateway or region: where topics or streams are."""

    @property
    def name(self) -> str:
        """Tell it from others, for good and without secrets: kind and address."""

    def topic(self, user_id: str, record_type: str) -> str:
        """Name the topic or stream of a record type."""

    def identity(self, topic: str) -> str:
        """Tell a topic from all others, if possible from one made anew in its place.

        Positions belong to it. The name, where nothing more can be known.
        """

    def transport(self, topic: str) -> Transport:
        """Make a way to one topic, for one thread."""


@dataclass(slots=True)
class Lane:
    """One table on its way into one topic."""

    table: Table
    check: Check
    cursor: Cursor
    courier: Courier
    already: int
    total: int | None
    error: BaseException | None = None

    @property
    def topic(self) -> str:
        """The topic's or stream's name."""
        return self.courier.topic

    @property
    def left(self) -> int | None:
        """The rows still to pass at the start; None is without end."""
        return None if self.total is None else max(self.total - self.already, 0)


class Dispatch:
    """One run: the tables of a source to the topics of one user.

    A context: inside it, nobody else can emit the same rows to the same topics.
    """

    def __init__(
        self,
        source: Source,
        destination: Destination,
        state: State,
        user_id: str,
        *,
        order: Order | None = None,
        patience: Patience | None = None,
        pace: Pace | None = None,
        random: Callable[[], Random] = Random,
    ) -> None:
        """Take what is needed; nothing is read, locked or sent yet."""
        self.source = source
        self.destination = destination
        self.state = state
        self._user_id = user_id
        self._order = order or Order()
        self._patience = patience or Patience()
        self._pace = pace or MonotonicPace()
        self._random = random
        self._stopping = Event()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of locks and connections."""
        self._open.close()

    def prepare(
        self, tick: Tick, *, restart: bool = False, rejects: Rejects | None = None
    ) -> list[Lane]:
        """Check all tables and look up where each stands, before anything is sent.

        Without `rejects` every line must be readable. Raises `StopError` for a line, a
        changed source or a draw beyond the rows, `RetryError` for a run beside this.
        """
        add = rejects.add if rejects else None
        tables = self.source.tables.values()
        checks = [(table, table.check(self._order, add, tick)) for table in tables]
        for table, check in checks:
            self._order.require_rows(check.rows, table.name)
        if rejects is not None:
            rejects.keep([check.fingerprint for _, check in checks])
        return [self._lane(table, check, restart=restart) for table, check in checks]

    def _lane(self, table: Table, check: Check, *, restart: bool) -> Lane:
        topic = self.destination.topic(self._user_id, table.record_type)
        place = table.location, check.fingerprint, self._order.stream()
        route = Route(*place, self.destination.identity(topic), topic)
        cursor = Cursor(self.state, route, self._pace)
        self._open.enter_context(cursor.locked())
        already = cursor.resume(restart=restart)
        transport = self.destination.transport(topic)
        self._open.callback(transport.close)
        courier = Courier(
            topic,
            transport,
            cursor,
            self._pace,
            patience=self._patience,
            random=self._random(),
            stopping=self._stopping.is_set,
        )
        total = self._order.total(check.rows)
        return Lane(table, check, cursor, courier, already, total)

    def run(
        self,
        lanes: Sequence[Lane],
        watch: Callable[[], None] = lambda: None,
        *,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        """Deliver the lanes side by side, a thread each, and call `watch` now and then.

        When `interrupted` says so, or a lane fails, the open requests are finished and
        all positions saved. The error of the first lane that failed is raised.
        """
        threads = [
            Thread(target=self._deliver, args=(lane,), name=lane.topic, daemon=True)
            for lane in lanes
        ]
        with _requests_first():
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_WATCH_SECONDS)
                    watch()
                    if interrupted():
                        self._stopping.set()
        for lane in lanes:
            if lane.error is not None:
                raise lane.error

    def _deliver(self, lane: Lane) -> None:
        rows = lane.table.rows(self._order, lane.check, lane.already)
        number = _leading_key if lane.check.leading else _key
        messages = _messages(
            partial(number, lane.table.record_type), rows, lane.already
        )
        try:
            lane.courier.deliver(messages, lane.already)
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            lane.error = error
            self._stopping.set()


@contextmanager
def _requests_first() -> Iterator[None]:
    """Let no thread that reads or cuts keep the interpreter from one that sends.

    By Python's default it may for 5 ms at a time, at each step of a request.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _messages(
    key: Callable[[bytes], int | None], rows: Iterator[bytes | None], position: int
) -> Iterator[Message]:
    """Give each row its number and key; what was set aside is passed over."""
    for number, row in enumerate(rows, position):
        if row is not None:
            yield Message(number, key(row), row)


def _leading_key(record_type: str, row: bytes) -> int | None:
    number = leading_number(record_type, row)
    return _key(record_type, row) if number is None else number


def _key(record_type: str, row: bytes) -> int | None:
    try:
        return event_number(record_type, row)
    except SetAsideError:
        return None
