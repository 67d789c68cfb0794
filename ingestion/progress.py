"""Tell a person or a machine how far a run is."""

import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol, Self

import click
import orjson

if TYPE_CHECKING:
    from rich.progress import TaskID

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


def choose_progress(*, json: bool) -> Progress:
    """Return JSON lines if asked for, a bar on a terminal, and else plain lines."""
    if not json and sys.stderr.isatty():
        return Bar()
    return Lines(json=json)


def write_json(event: str, **named: object) -> None:
    """Write one line of JSON to standard output, at once."""
    click.echo(orjson.dumps({"event": event, **named}))
    sys.stdout.flush()
