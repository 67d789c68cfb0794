"""Tell a person or a machine how far a run is."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import click
import orjson

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table

_SECONDS_BETWEEN_LINES: Final = 5.0


class Progress(AbstractContextManager["Progress"], Protocol):
    """Shows one phase at a time, and cleans up behind itself."""

    def phase(self, name: str, total: int | None) -> None:
        """Begin a phase of so many steps; None where nobody knows."""

    def advance(self, steps: int) -> None:
        """Add steps to the phase."""


class Bar(Progress):
    """A bar on a terminal, by rich, on standard error."""

    def __init__(self) -> None:
        """Build the bar; rich takes a while to import, so only a bar does it."""
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415

        self._bar = RichProgress(console=Console(stderr=True), transient=True)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def phase(self, name: str, total: int | None) -> None:
        """Show a bar for this phase instead of the last one's."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total)

    def advance(self, steps: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.advance(self._task, steps)


class Lines(Progress):
    """A line every few seconds: text on standard error, or JSON on standard output."""

    def __init__(self, *, json: bool, every: float = _SECONDS_BETWEEN_LINES) -> None:
        """Begin the clock: a run that ends within `every` seconds writes no line."""
        self._json = json
        self._every = every
        self._name, self._done = "", 0
        self._total: int | None = None
        self._told = time.monotonic()

    def __exit__(self, *_: object) -> None:
        """End; there is nothing to clean up."""

    def phase(self, name: str, total: int | None) -> None:
        """Begin to count anew."""
        self._name, self._total, self._done = name, total, 0

    def advance(self, steps: int) -> None:
        """Count, and write a line when the last one is some seconds old."""
        self._done += steps
        if time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            self._tell()

    def _tell(self) -> None:
        if self._json:
            write_json("progress", phase=self._name, done=self._done, total=self._total)
        else:
            of = "" if self._total is None else f" of {self._total:,}"
            click.echo(f"{self._name}: {self._done:,}{of}", err=True)


Rows = Callable[[], Sequence[dict[str, Any]]]
"""Tells the state of every topic, when it is asked."""


class Board(AbstractContextManager["Board"], Protocol):
    """Shows the state of topics that go on side by side."""

    def show(self, rows: Rows) -> None:
        """Show the rows now, if it is time."""


class LiveBoard(Board):
    """A table that changes in place, by rich, on standard error."""

    def __init__(self) -> None:
        """Build the table; rich takes a while to import."""
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        self._live = Live(console=Console(stderr=True), transient=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the table away."""
        self._live.stop()

    def show(self, rows: Rows) -> None:
        """Change the table."""
        self._live.update(self.table(rows()))

    @staticmethod
    def table(rows: Sequence[dict[str, Any]]) -> "Table":
        """Lay the rows out."""
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table()
        for name in rows[0]:
            table.add_column(name.replace("_", " "), justify="right", max_width=48)
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row.values()))
        return table


class BoardLines(Board):
    """Lines every few seconds: one a topic, or one of JSON for all."""

    def __init__(self, *, json: bool, every: float = _SECONDS_BETWEEN_LINES) -> None:
        """Begin the clock: a run that ends within `every` seconds writes nothing."""
        self._json = json
        self._every = every
        self._told = time.monotonic()

    def __exit__(self, *_: object) -> None:
        """End; there is nothing to clean up."""

    def show(self, rows: Rows) -> None:
        """Write the rows when the last time is some seconds ago."""
        if time.monotonic() - self._told < self._every:
            return
        self._told = time.monotonic()
        if self._json:
            write_json("progress", topics=rows())
            return
        for row in rows():
            said = (f"{name.replace('_', ' ')} {_cell(v)}" for name, v in row.items())
            click.echo(", ".join(said), err=True)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def choose_board(*, json: bool) -> Board:
    """Return JSON lines if asked for, a table on a terminal, and else plain lines."""
    if not json and sys.stderr.isatty():
        return LiveBoard()
    return BoardLines(json=json)


def choose_progress(*, json: bool) -> Progress:
    """Return JSON lines if asked for, a bar on a terminal, and else plain lines."""
    if not json and sys.stderr.isatty():
        return Bar()
    return Lines(json=json)


def write_json(event: str, **named: object) -> None:
    """Write one line of JSON to standard output, at once."""
    click.echo(orjson.dumps({"event": event, **named}))
    sys.stdout.flush()
