"""What commands share: exit codes, signals, errors in one sentence, tables."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import functools
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ingestion.errors import INTERRUPTED, IngestError, InterruptError, StopError

if TYPE_CHECKING:
    from ingestion.sources import Source
    from ingestion.stores import Store

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
_NAP_SECONDS = 0.2


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
        except RuntimeError as error:
            if INTERRUPTED not in str(error):
                raise
            raise Failure(InterruptError(signal.SIGINT)) from error

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands alone: the usage names the options, to fit a screen."""
        self.format_commands(ctx, formatter)


class Interrupts:
    """Remembers the first SIGINT or SIGTERM; a second Ctrl-C ends the run at once."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.signum: int | None = None
        self._since = 0.0

    def __bool__(self) -> bool:
        """Tell whether the run was asked to end."""
        return self.signum is not None

    def check(self, grace: float = 0.0) -> None:
        """Raise `InterruptError` if the run was asked to end so many seconds ago."""
        if self.signum is not None and time.monotonic() - self._since >= grace:
            raise InterruptError(self.signum)

    def sleep(self, seconds: float, grace: float = 0.0) -> None:
        """Sleep; raise `InterruptError` soon after the run was asked to end.

        With `grace` so many seconds later, for what is to be brought to its end.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check(grace)
            time.sleep(min(left, _NAP_SECONDS))
        self.check(grace)

    def _remember(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum, self._since = signum, time.monotonic()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    @classmethod
    @contextmanager
    def caught(cls) -> Iterator["Interrupts"]:
        """Catch the signals inside the block."""
        interrupts = cls()
        with interrupts.catching():
            yield interrupts

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Catch the signals inside the block."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(n, self._remember) for n in numbers]
        try:
            yield
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


@dataclass(frozen=True, slots=True)
class S3Options:
    """What the command line says about a landing in S3."""

    endpoint: str | None = None
    owner: str | None = None
    kms_key: str | None = None


kafka_config_option = click.option(
    "--kafka-config",
    type=click.Path(path_type=Path),
    help="A file with settings of librdkafka, name=value a line, such as for SASL.",
)


def s3_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a landing in S3, passed on as `s3`."""

    @functools.wraps(command)
    def with_options(
        *args: object,
        s3_endpoint: str | None,
        s3_bucket_owner: str | None,
        s3_kms_key: str | None,
        **options: object,
    ) -> None:
        s3 = S3Options(s3_endpoint, s3_bucket_owner, s3_kms_key)
        command(*args, s3=s3, **options)

    names = {
        "--s3-endpoint": "Of a store that is not AWS's, or $AWS_ENDPOINT_URL.",
        "--s3-bucket-owner": "The account that must own the bucket.",
        "--s3-kms-key": "Encrypt objects with this key (SSE-KMS).",
    }
    decorated: Callable[..., None] = with_options
    for name, text in reversed(names.items()):
        decorated = click.option(name, help=text)(decorated)
    return decorated


@dataclass(frozen=True, slots=True)
class LandAsked:
    """The values of `land_options`."""

    landing: str
    s3: S3Options
    compression: str | None
    follow: bool
    flush_bytes: int
    flush_records: int
    flush_seconds: float
    max_buffer: int
    max_record_bytes: int
    continue_chain: bool
    accept_expired: bool
    accept_dead_letters: bool
    metrics_port: int | None
    metrics_host: str


def landing_options(age: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of whoever writes a landing; `age` says when it is old enough."""
    options: list[Callable[[Callable[..., None]], Callable[..., None]]] = [
        click.option(
            "--landing",
            type=click.Path(readable=False),
            required=True,
            help="A folder, or s3://bucket/prefix; credentials come from AWS's chain.",
        ),
        s3_options,
        click.option(
            "--compression",
            type=click.Choice(["none", "gzip"]),
            help="Of a new landing, for good; none if not given.",
        ),
        click.option(
            "--flush-bytes",
            type=click.IntRange(min=1),
            default=16 << 20,
            show_default=True,
            help="Land an object at this size before compression, or",
        ),
        click.option(
            "--flush-records",
            type=click.IntRange(min=1),
            default=10_000,
            show_default=True,
            help="at this number of records, or",
        ),
        click.option(
            "--flush-seconds",
            type=click.FloatRange(min=0),
            default=300.0,
            show_default=True,
            help=f"{age}. Small objects make later queries slower.",
        ),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def land_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every source of `land` shares: where, when, what to bear."""
    options: list[Callable[[Callable[..., None]], Callable[..., None]]] = [
        landing_options("at this age, or when caught up"),
        click.option("--follow", is_flag=True, help="Go on until stopped."),
        click.option(
            "--max-buffer",
            type=click.IntRange(min=1),
            default=256 << 20,
            show_default=True,
            help="Bytes of all partitions that may wait for their objects.",
        ),
        click.option(
            "--max-record-bytes",
            type=click.IntRange(min=1),
            default=1 << 20,
            show_default=True,
            help="A larger record is a dead letter.",
        ),
        click.option(
            "--continue-chain",
            is_flag=True,
            help="Land a topic or stream that was made anew behind what its name "
            "has in the landing.",
        ),
        click.option(
            "--accept-expired",
            is_flag=True,
            help="Count records that expired before they were landed as lost, and "
            "go on.",
        ),
        click.option(
            "--accept-dead-letters",
            is_flag=True,
            help="Go on however many records cannot be landed.",
        ),
        click.option(
            "--metrics-port",
            type=click.IntRange(0, 65_535),
            help="Answer /metrics (Prometheus) and /healthz here; 0 is any free port.",
        ),
        click.option(
            "--metrics-host",
            default="127.0.0.1",
            show_default=True,
            help="The address for --metrics-port: nobody else's machine, if not given.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def store_at(
    landing: str,
    s3: S3Options,
    sleep: Callable[[float], None] = time.sleep,
    give_up_after: float = math.inf,
) -> "Store":
    """Return the store of a landing in a folder or at `s3://bucket/prefix`.

    While S3 fails it is asked again for `give_up_after` seconds, and stderr says so.
    """
    from ingestion.stores import DirectoryStore

    if "://" not in landing:
        return DirectoryStore(Path(landing))
    from ingestion.s3_calls import Patience, Place, S3Calls, make_client
    from ingestion.s3_store import S3Store

    place = Place.parse(landing, s3.owner, s3.kms_key)
    patience = Patience(give_up_after, functools.partial(click.echo, err=True), sleep)
    return S3Store(S3Calls(make_client(s3.endpoint), place, patience))


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


@contextmanager
def opened_source(source: str, events: int, seed: int) -> Iterator["Source"]:
    """Open a source; a sample is written to a temporary folder first."""
    import os
    from contextlib import closing
    from tempfile import TemporaryDirectory

    from ingestion.errors import explained
    from ingestion.sources import JsonLinesFolder

    if source == "sql" or "://" in source:
        from ingestion.sql_source import SqlDatabase, url_of

        with closing(SqlDatabase.open(url_of(source, os.environ))) as database:
            yield database
        return
    if source != "sample":
        with closing(JsonLinesFolder.open(Path(source))) as folder:
            yield folder
        return
    with explained("make a temporary folder, set TMPDIR to another"):
        temporary = TemporaryDirectory()
    with temporary as out:
        write_sample_or_stop(Path(out), events, seed)
        location = f"sample:{events}:{seed}"
        with closing(JsonLinesFolder.open(Path(out), location)) as folder:
            yield folder


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every destination of `emit` shares."""
    for option in reversed(
        [
            click.option(
                "--source",
                required=True,
                help="A folder with pin.jsonl, geo.jsonl and user.jsonl (one or more "
                "of them), the word sample, the URL of a database without a password, "
                "or the word sql: the URL is in $SOURCE_URL, or in the file "
                "$SOURCE_URL_FILE.",
            ),
            click.option(
                "--user-id",
                required=True,
                help="Topics are <user-id>.pin, <user-id>.geo and <user-id>.user.",
            ),
            click.option(
                "--order",
                type=click.Choice(["table", "emulator"]),
                default="table",
                show_default=True,
                help="As in the files, or drawn with replacement as the original did.",
            ),
            click.option(
                "--seed",
                type=int,
                default=100,
                show_default=True,
                help="Of the emulator's draws.",
            ),
            click.option(
                "--bound",
                type=click.IntRange(min=0),
                default=11_000,
                show_default=True,
                help="The greatest row, counted from 0, that the emulator draws.",
            ),
            click.option(
                "--limit",
                type=click.IntRange(min=0),
                help="End at this row or draw, counted from the source's beginning.",
            ),
            click.option(
                "--rate",
                type=click.FloatRange(min=0, min_open=True),
                help="At most so many events a second.",
            ),
            click.option(
                "--restart",
                is_flag=True,
                help="Emit all of it again, also if it was emitted or has changed.",
            ),
            click.option(
                "--bad-lines",
                type=click.Choice(["refuse", "land"]),
                default="refuse",
                show_default=True,
                help="What to do about lines that are no object with an event number: "
                "stop before anything is emitted, or land each as it is.",
            ),
            click.option(
                "--events",
                type=click.IntRange(min=0),
                default=10_000,
                show_default=True,
                help="Of --source sample.",
            ),
            click.option(
                "--sample-seed",
                type=int,
                default=1,
                show_default=True,
                help="Of --source sample.",
            ),
            click.option(
                "--json", is_flag=True, help="Write JSON lines, for machines."
            ),
        ]
    ):
        command = option(command)
    return command
