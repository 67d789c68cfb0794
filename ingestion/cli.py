"""The command line, `ingest`. Commands import what they need when they run."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ingestion.errors import IngestError, InterruptError, StopError

if TYPE_CHECKING:
    from ingestion.emitters import Emission, Lane, Rejects
    from ingestion.sources import JsonLinesFolder
    from ingestion.stores import DirectoryStore
    from ingestion.verify import Ledger

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


@click.group(cls=Commands, epilog=EXIT_CODES)
@click.version_option(package_name="pinterest-data-pipeline")
def main() -> None:
    """Emit events, land them as raw JSON exactly once, and prove it."""


# --- sample ------------------------------------------------------------------------


@main.command()
@click.option("--events", type=click.IntRange(min=0), default=10_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    help="A folder.",
)
@click.option("--dirt", is_flag=True, help="Add every kind of record that is no use.")
def sample(events: int, seed: int, out: Path, dirt: bool) -> None:
    """Write made-up events as pin.jsonl, geo.jsonl and user.jsonl.

    The same seed gives the same bytes.

    \b
    Example:
      ingest sample --events 10000 --seed 1 --out data/sample
    """  # noqa: D301 - click keeps the lines of a paragraph behind a backspace
    _write_sample(out, events, seed, dirt=dirt)


def _write_sample(out: Path, events: int, seed: int, *, dirt: bool = False) -> None:
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


# --- emit --------------------------------------------------------------------------


@main.group()
def emit() -> None:
    """Emit the records of a source."""


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every destination of `emit` shares."""
    for option in reversed(
        [
            click.option(
                "--source",
                required=True,
                help="A folder with pin.jsonl, geo.jsonl and user.jsonl (one or more "
                "of them), or the word sample.",
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


@emit.command("landing", epilog=EXIT_CODES)
@click.option(
    "--landing", type=click.Path(readable=False), required=True, help="A folder."
)
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip"]),
    help="Of a new landing, for good; none if not given.",
)
@click.option(
    "--flush-bytes",
    type=click.IntRange(min=1),
    default=16 << 20,
    show_default=True,
    help="Land an object at this size before compression, or",
)
@click.option(
    "--flush-records",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="at this number of records, or",
)
@click.option(
    "--flush-seconds",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="at this age. Small objects make every later query slower.",
)
@source_options
def emit_landing(  # noqa: PLR0917 - click passes options by name
    source: str,
    landing: str,
    user_id: str,
    order: str,
    seed: int,
    bound: int,
    limit: int | None,
    rate: float | None,
    restart: bool,
    bad_lines: str,
    events: int,
    sample_seed: int,
    json: bool,
    compression: str | None,
    flush_bytes: int,
    flush_records: int,
    flush_seconds: float,
) -> None:
    """Emit straight into a landing, each record exactly once.

    Run again after anything, a kill or a power cut too, it goes on where it stood; run
    again after the end it lands nothing new.

    \b
    Examples:
      ingest emit landing --source sample --landing data/landing --user-id 12a740a19697
      ingest emit landing --source my/records --landing data/landing \\
          --user-id 12a740a19697 --order emulator --bound 493 --limit 500
    """  # noqa: D301
    from ingestion.emitters import Emission, Flush, Rejects
    from ingestion.landing import Landing
    from ingestion.sources import Order

    place = Order(order, seed, bound, limit)
    flush = Flush(flush_bytes, flush_records, flush_seconds)
    with _told(json=json), _source(source, events, sample_seed) as folder:
        store = _directory(landing)
        opened = Landing.open(store, compression)
        rejects = Rejects(Path(landing) / "_ingest") if bad_lines == "land" else None
        emission = Emission(folder, opened, user_id, place, flush)
        _emit(emission, rejects, rate=rate, restart=restart, json=json)


@contextmanager
def _told(*, json: bool) -> Iterator[None]:
    """Write an error as JSON too, if JSON is asked for."""
    from ingestion.progress import write_json

    try:
        yield
    except IngestError as error:
        if json:
            kind = type(error).__name__
            write_json("error", error=kind, message=str(error))
        raise


@contextmanager
def _source(source: str, events: int, seed: int) -> Iterator["JsonLinesFolder"]:
    """Open the folder of a source; a sample is written to a temporary one first."""
    from contextlib import closing
    from tempfile import TemporaryDirectory

    from ingestion.errors import explained
    from ingestion.sources import JsonLinesFolder

    if source != "sample":
        with closing(JsonLinesFolder.open(Path(source))) as folder:
            yield folder
        return
    with explained("make a temporary folder, set TMPDIR to another"):
        temporary = TemporaryDirectory()
    with temporary as out:
        _write_sample(Path(out), events, seed)
        location = f"sample:{events}:{seed}"
        with closing(JsonLinesFolder.open(Path(out), location)) as folder:
            yield folder


def _directory(landing: str) -> "DirectoryStore":
    from ingestion.stores import DirectoryStore

    if "://" in landing:
        raise StopError(f"{landing} is a URL: --landing takes a folder.")
    return DirectoryStore(Path(landing))


def _emit(
    emission: "Emission",
    rejects: "Rejects | None",
    *,
    rate: float | None,
    restart: bool,
    json: bool,
) -> None:
    from ingestion.progress import choose_progress

    started = time.monotonic()
    with Interrupts.caught() as interrupts:
        with choose_progress(json=json) as progress:

            def tick(steps: int) -> None:
                interrupts.check()
                progress.advance(steps)

            source = emission.source
            progress.phase(f"checking, {source.unit}", source.size)
            lanes = emission.prepare(tick, restart=restart, rejects=rejects)
            progress.phase("landing, records", _left(lanes))
            emission.run(
                lanes, progress.advance, rate=rate, interrupted=interrupts.__bool__
            )
        seconds = time.monotonic() - started
        _summarise(emission, lanes, rejects, seconds, json=json)
        interrupts.check()
    if rejects is not None and rejects.count:
        click.get_current_context().exit(SET_ASIDE_EXIT_CODE)


def _left(lanes: Sequence["Lane"]) -> int | None:
    left = [lane.left for lane in lanes if lane.left is not None]
    return sum(left) if len(left) == len(lanes) else None


def _summarise(
    emission: "Emission",
    lanes: Sequence["Lane"],
    rejects: "Rejects | None",
    seconds: float,
    *,
    json: bool,
) -> None:
    from ingestion.progress import write_json

    rows = [
        {
            "topic": lane.topic,
            "landed": lane.emitter.records,
            "links": lane.emitter.links,
            "landed_before": lane.already,
            "set_aside": lane.check.bad_lines,
        }
        for lane in lanes
    ]
    place = str(emission.landing.store)
    path = rejects and rejects.path and str(rejects.path)
    if json:
        write_json(
            "summary", landing=place, topics=rows, rejected=path, seconds=seconds
        )
        return
    click.echo(_table(rows))
    total = sum(lane.emitter.records for lane in lanes)
    if total:
        click.echo(f"{total:,} records landed in {place} in {seconds:.1f} s.")
    else:
        click.echo(f"Nothing new: {place} has it already (--restart lands it again).")
    if path:
        click.echo(f"Lines that could not be landed are in {path}.")


def _table(rows: Sequence[dict[str, Any]]) -> str:
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


# --- verify ------------------------------------------------------------------------

_SHOWN_PROBLEMS = 20


@main.command(epilog=EXIT_CODES)
@click.argument("landing", type=click.Path(readable=False))
@click.option("--json", is_flag=True, help="Write JSON lines, for machines.")
def verify(landing: str, json: bool) -> None:
    """Prove that nothing in LANDING is lost, doubled or broken.

    Reads every object in full and prints a ledger per topic and partition. Not clean
    is exit code 1. While something is emitting, its newest link may look unwritten.

    \b
    Example:
      ingest verify data/landing
    """  # noqa: D301
    from ingestion.landing import Landing
    from ingestion.verify import verify as ledgers_of

    with _told(json=json):
        ledgers = list(ledgers_of(Landing.read(_directory(landing))))
    (_tell_json if json else _tell)(landing, ledgers)
    if not all(ledger.clean for ledger in ledgers):
        click.get_current_context().exit(1)


def _tell_json(landing: str, ledgers: Sequence["Ledger"]) -> None:
    from dataclasses import asdict

    from ingestion.progress import write_json

    for ledger in ledgers:
        write_json("ledger", **asdict(ledger), clean=ledger.clean)
    clean = all(ledger.clean for ledger in ledgers)
    write_json("verified", landing=landing, partitions=len(ledgers), clean=clean)


def _tell(landing: str, ledgers: Sequence["Ledger"]) -> None:
    if not ledgers:
        click.echo(f"{landing} is a landing with nothing in it yet.")
        return
    click.echo(_table([ledger.counts() for ledger in ledgers]))
    for ledger in ledgers:
        where = f"{ledger.topic} partition {ledger.partition}"
        for problem in ledger.problems[:_SHOWN_PROBLEMS]:
            click.echo(f"{where}: {problem}", err=True)
        more = len(ledger.problems) - _SHOWN_PROBLEMS
        if more > 0:
            click.echo(f"{where}: and {more:,} more (--json has all)", err=True)
    clean = all(ledger.clean for ledger in ledgers)
    click.echo("Clean: nothing is lost, doubled or broken." if clean else "NOT CLEAN.")


# --- answers -----------------------------------------------------------------------


def database_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option that names dbt's DuckDB file."""
    return click.option(
        "--database",
        type=click.Path(path_type=Path),
        envvar="DUCKDB_PATH",
        default="data/pinterest.duckdb",
        show_default=True,
        help="What dbt builds ($DUCKDB_PATH).",
    )(command)


def published_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option that names the published file."""
    return click.option(
        "--published",
        type=click.Path(path_type=Path),
        envvar="ANSWERS_PATH",
        default="data/answers.duckdb",
        show_default=True,
        help="What readers open ($ANSWERS_PATH).",
    )(command)


@main.command()
@database_option
@published_option
@click.option(
    "--target-path",
    type=click.Path(path_type=Path),
    envvar="DBT_TARGET_PATH",
    default="target",
    show_default=True,
    help="Where dbt left the manifest, for descriptions ($DBT_TARGET_PATH).",
)
def publish(database: Path, published: Path, target_path: Path) -> None:
    """Copy marts and reports of a green build to the file that readers open.

    A build keeps readers out of its own file; this one changes by a rename.

    \b
    Example:
      dbt build && ingest publish
    """  # noqa: D301
    from ingestion.answers import publish as publish_tables

    tables = publish_tables(database, published, target_path / "manifest.json")
    click.echo(f"{tables} tables published in {published}.")


@main.command()
@click.argument("report", nargs=-1)
@published_option
@click.option("--limit", type=click.IntRange(min=1), help="Rows of each report.")
@click.option("--json", is_flag=True, help="Write JSON lines, for machines.")
def answers(report: Sequence[str], published: Path, limit: int, json: bool) -> None:
    """Print the reports, or those named, as tables.

    \b
    Examples:
      ingest answers --limit 5
      ingest answers rpt_median_followers_by_age_group
    """  # noqa: D301
    from ingestion.answers import reports
    from ingestion.progress import write_json
    from ingestion.tables import print_report

    for found in reports(published, report, limit):
        if json:
            for row in found.rows:
                write_json(found.name, **dict(zip(found.columns, row, strict=True)))
        else:
            print_report(found)


@main.command()
@click.argument("event", type=click.IntRange(min=0))
@database_option
def trace(event: int, database: Path) -> None:
    """Show where an answer comes from: all copies of EVENT, its post and its user.

    \b
    Example:
      ingest trace 7528
    """  # noqa: D301
    from ingestion.answers import trace as trace_event
    from ingestion.tables import print_trace

    found = trace_event(database, event)
    if not found.copies:
        raise StopError(f"No landed record has the event number {event}.")
    print_trace(event, found)
