"""The command line, `ingest`. Commands import what they need when they run."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingestion.cli_completion import completion
from ingestion.cli_doctor import doctor
from ingestion.cli_emit import emit
from ingestion.cli_follow import follow
from ingestion.cli_land import land
from ingestion.cli_landing import dead_letters, redact, replay
from ingestion.cli_shared import (
    EXIT_CODES,
    Commands,
    S3Options,
    kafka_config_option,
    s3_options,
    store_at,
    table,
    told,
    write_sample_or_stop,
)
from ingestion.cli_topics import streams, topics
from ingestion.errors import StopError

if TYPE_CHECKING:
    from ingestion.against import Held, Original
    from ingestion.verify import Ledger


@click.group(cls=Commands, options_metavar="[--version] [--help]")
@click.version_option(package_name="pinterest-data-pipeline")
def main() -> None:
    """Emit events, land them as raw JSON exactly once, and prove it."""


main.add_command(completion)
main.add_command(dead_letters)
main.add_command(doctor)
main.add_command(emit)
main.add_command(follow)
main.add_command(land)
main.add_command(redact)
main.add_command(replay)
main.add_command(streams)
main.add_command(topics)


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
    write_sample_or_stop(out, events, seed, dirt=dirt)


# --- verify ------------------------------------------------------------------------

_SHOWN_PROBLEMS = 20
_VERIFY_SECONDS = 120.0


@main.command(epilog=EXIT_CODES)
@click.argument("landing", type=click.Path(readable=False))
@click.option(
    "--against",
    type=click.Choice(["kafka", "kinesis"]),
    help="Also say what this source has and LANDING has not,",
)
@click.option(
    "--records",
    is_flag=True,
    help="and compare everything that it still has, record by record.",
)
@click.option("--bootstrap", help="Of --against kafka, such as localhost:9092.")
@kafka_config_option
@click.option("--region", help="Of --against kinesis.")
@click.option(
    "--accept-expired",
    is_flag=True,
    help="Do not fail for what expired, or may have, before it was landed.",
)
@s3_options
@click.option("--json", is_flag=True, help="Write JSON lines, for machines.")
def verify(  # noqa: PLR0917 - click passes options by name
    landing: str,
    against: str | None,
    records: bool,
    bootstrap: str | None,
    kafka_config: Path | None,
    region: str | None,
    accept_expired: bool,
    json: bool,
    s3: S3Options,
) -> None:
    """Prove that nothing in LANDING is lost, doubled or broken.

    LANDING is a folder or s3://bucket/prefix. Reads every object in full and prints a
    ledger per topic and partition. Not clean is exit code 1. While something is
    emitting, its newest link may look unwritten; while something is landing, what
    waits for its link is missing.

    \b
    Example:
      ingest verify data/landing
      ingest verify s3://bucket/landing
      ingest verify data/landing --against kafka --bootstrap localhost:9092 --records
    """  # noqa: D301
    from ingestion.against import hold_against
    from ingestion.landing import Landing
    from ingestion.verify import verify as ledgers_of

    if (against == "kafka") != (bootstrap is not None):
        raise click.UsageError("--against kafka and --bootstrap go together.")
    if records and against is None:
        raise click.UsageError("--records needs --against.")
    with told(json=json):
        store = store_at(landing, s3, give_up_after=_VERIFY_SECONDS)
        opened = Landing.read(store)
        ledgers: list[Ledger | Held] = [
            *ledgers_of(opened, accept_expired=accept_expired)
        ]
        partitions = len(ledgers)
        (_tell_json if json else _tell)(landing, "ledger", ledgers)
        if against is not None:
            with _original(bootstrap, kafka_config, region) as original:
                held: list[Ledger | Held]
                held = list(hold_against(opened, original, whole=records))
            (_tell_json if json else _tell)(landing, f"against_{against}", held)
            ledgers += held
    clean = all(ledger.clean for ledger in ledgers)
    if json:
        _tell_verified(landing, partitions, clean=clean)
    elif ledgers:
        said = "Clean: nothing is lost, doubled or broken." if clean else "NOT CLEAN."
        click.echo(said)
    if not clean:
        click.get_current_context().exit(1)


@contextmanager
def _original(
    bootstrap: str | None, config: Path | None, region: str | None
) -> "Iterator[Original]":
    """Open Kafka, or Kinesis without `bootstrap`."""
    from contextlib import closing

    if bootstrap is None:
        from ingestion.kinesis import make_client
        from ingestion.kinesis_source import KinesisCalls, KinesisOriginal

        with closing(KinesisCalls(lambda: make_client(region))) as calls:
            yield KinesisOriginal(calls)
        return
    from ingestion.kafka_source import KafkaOriginal, KafkaReader, kafka_consumer
    from ingestion.topics import kafka_admin, kafka_settings

    settings = kafka_settings(config) if config else {}
    consumer = kafka_consumer(bootstrap, "ingest-verify", settings)
    admin = kafka_admin(bootstrap, config)
    with closing(KafkaReader(consumer, admin, ())) as reader:
        yield KafkaOriginal(reader)


def _tell_json(_: str, event: str, ledgers: "Sequence[Ledger | Held]") -> None:
    from dataclasses import asdict

    from ingestion.progress import write_json

    for ledger in ledgers:
        write_json(event, **asdict(ledger), clean=ledger.clean)


def _tell_verified(landing: str, partitions: int, *, clean: bool) -> None:
    from ingestion.progress import write_json

    write_json("verified", landing=landing, partitions=partitions, clean=clean)


def _tell(landing: str, event: str, ledgers: "Sequence[Ledger | Held]") -> None:
    if not ledgers:
        click.echo(f"{landing} is a landing with nothing in it yet.")
        return
    if event != "ledger":
        click.echo(event.replace("_", " ").capitalize())
    counts = [ledger.counts() for ledger in ledgers]
    none_of = [
        name
        for name in counts[0]
        if name not in {"topic", "partition"} and not any(row[name] for row in counts)
    ]
    rows = [{n: v for n, v in row.items() if n not in none_of} for row in counts]
    click.echo(table(rows))
    if none_of:
        click.echo(f"None of these: {', '.join(none_of).replace('_', ' ')}.")
    for ledger in ledgers:
        where = f"{ledger.topic} partition {ledger.partition}"
        for problem in ledger.problems[:_SHOWN_PROBLEMS]:
            click.echo(f"{where}: {problem}", err=True)
        more = len(ledger.problems) - _SHOWN_PROBLEMS
        if more > 0:
            click.echo(f"{where}: and {more:,} more (--json has all)", err=True)


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
    """Copy marts and reports of a green build for readers.

    A build keeps readers out of its own file; the one they open changes by a rename.

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
    """Print all reports, or the published tables named.

    \b
    Examples:
      ingest answers --limit 5
      ingest answers rpt_median_followers_by_age_group
      ingest answers rejected_records --limit 20
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
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="DASHBOARD_PATH",
    default="data/dashboard.html",
    show_default=True,
    help="The page, one file ($DASHBOARD_PATH).",
)
@click.option("--target", help="Of profiles.yml, where dbt's own choice will not do.")
@click.option(
    "--target-path",
    type=click.Path(path_type=Path),
    envvar="DBT_TARGET_PATH",
    default="target",
    show_default=True,
    help="Keeps the charts' JavaScript for the next page ($DBT_TARGET_PATH).",
)
def dashboard(out: Path, target: str | None, target_path: Path) -> None:
    """Write the reports as charts, one page in one file.

    Reads what dbt built, through dbt's connection: DuckDB, Spark or Databricks. The
    page needs no network.

    \b
    Example:
      dbt build && ingest dashboard
    """  # noqa: D301
    import gc

    from ingestion.dashboard import write_dashboard

    gc.disable()  # what dbt makes stays until this ends: do not look for garbage
    click.echo(f"Open {write_dashboard(out, target, target_path)}")


@main.command()
@click.argument("event", type=click.IntRange(min=0))
@database_option
def trace(event: int, database: Path) -> None:
    """Show where an answer about EVENT comes from.

    All its landed copies, its post, and the user of the post.

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
