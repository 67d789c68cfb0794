"""What commands share: exit codes, signals, errors in one sentence, tables."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ingestion.errors import IngestError, InterruptError, StopError

if TYPE_CHECKING:
    from ingestion.stores import DirectoryStore

EXIT_CODES = """\b
Exit codes:
  0  done
  1  stopped: the message says what to change
  2  a wrong option
  3  done, but some lines could not be landed and were set aside
  4  stopped by what may pass: run the same command again
  130, 143  interrupted (Ctrl-C, SIGTERM): run it again to continue
"""

SET_ASIDE_EXIT_CODE = 3


class Failure(click.ClickException):
    """An `IngestError` on its way to the terminal: one sentence, no traceback."""

    def __init__(self, error: IngestError) -> None:
        """Keep the exit code that says what the caller should do."""
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]


class Commands(click.Group):
    """A group whose commands raise `IngestError` and need not care how it is shown."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run the command; errors become one sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except IngestError as error:
            raise Failure(error) from error
        except KeyboardInterrupt as error:
            raise Failure(InterruptError(signal.SIGINT)) from error


class Interrupts:
    """Remembers the first SIGINT or SIGTERM; a second Ctrl-C ends the run at once."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.signum: int | None = None

    def __bool__(self) -> bool:
        """Tell whether the run was asked to end."""
        return self.signum is not None

    def check(self) -> None:
        """Raise `InterruptError` if the run was asked to end."""
        if self.signum is not None:
            raise InterruptError(self.signum)

    def _remember(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = signum
        signal.signal(signal.SIGINT, signal.default_int_handler)

    @classmethod
    @contextmanager
    def caught(cls) -> Iterator["Interrupts"]:
        """Catch the signals inside the block."""
        interrupts = cls()
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(n, interrupts._remember) for n in numbers]
        try:
            yield interrupts
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


@contextmanager
def told(*, json: bool) -> Iterator[None]:
    """Write an error as JSON too, if JSON is asked for."""
    from ingestion.progress import write_json

    try:
        yield
    except IngestError as error:
        if json:
            kind = type(error).__name__
            write_json("error", error=kind, message=str(error))
        raise


def directory(landing: str) -> "DirectoryStore":
    """Return the store of a landing in a folder."""
    from ingestion.stores import DirectoryStore

    if "://" in landing:
        raise StopError(f"{landing} is a URL: --landing takes a folder.")
    return DirectoryStore(Path(landing))


def write_sample_or_stop(
    out: Path, events: int, seed: int, *, dirt: bool = False
) -> None:
    """Write a sample; what DuckDB says becomes one sentence."""
    import duckdb

    from ingestion.errors import explained
    from ingestion.sample import write_sample

    try:
        with explained(f"write the sample to {out}"):
            write_sample(out, events, seed, dirt=dirt)
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise StopError(
            f"Cannot write the sample to {out}: {reason}. Check its room and its "
            "permissions, then run the same command again."
        ) from error


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Lay rows out in columns: text to the left, numbers to the right."""
    lines = [[name.replace("_", " ") for name in rows[0]]]
    lines += [
        [f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
