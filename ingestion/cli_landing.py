"""The commands about what is in a landing: `dead-letters`, `replay`, `redact`."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingestion.cli_shared import (
    EXIT_CODES,
    Interrupts,
    S3Options,
    kafka_config_option,
    s3_options,
    store_at,
    table,
    told,
)

if TYPE_CHECKING:
    from ingestion.dead_letters import DeadLetter, Replayed, Return

_S3_SECONDS = 120.0


def _letter_options(command: Callable[..., None]) -> Callable[..., None]:
    json = click.option("--json", is_flag=True, help="Write JSON lines, for machines.")
    reason = click.option("--reason", help="Only those with this reason.")
    topic = click.option("--topic", help="Only those of this topic.")
    command = topic(reason(s3_options(json(command))))
    return click.argument("landing", type=click.Path(readable=False))(command)


@click.command("dead-letters", epilog=EXIT_CODES)
@_letter_options
def dead_letters(
    landing: str, topic: str | None, reason: str | None, s3: S3Options, json: bool
) -> None:
    """List the records in LANDING that could not be lines.

    LANDING is a folder or s3://bucket/prefix. What was replayed is not listed again.
    Contents are not shown: they are in the files below _dead_letter/, in base64.

    \b
    Examples:
      ingest dead-letters data/landing
      ingest dead-letters s3://bucket/landing --reason too_large --json
    """  # noqa: D301
    from ingestion.dead_letters import dead_letters as letters_of
    from ingestion.landing import Landing
    from ingestion.progress import write_json

    with told(json=json):
        store = store_at(landing, s3, give_up_after=_S3_SECONDS)
        found = letters_of(Landing.read(store), topic, reason)
        if json:
            for letter in found:
                write_json("dead_letter", **_row(letter), file=letter.name)
            return
        rows = [_row(letter) for letter in found]
    click.echo(table(rows) if rows else f"{landing} has no such dead letters.")


def _row(letter: "DeadLetter") -> dict[str, Any]:
    time = letter.time
    at = None if time is None else datetime.fromtimestamp(time / 1000, UTC)
    return {
        "topic": letter.partition.topic,
        "partition": letter.partition.number,
        "offset": letter.offset,
        "reason": letter.reason,
        "time": "-" if at is None else at.isoformat(timespec="milliseconds"),
        "size": letter.size,
    }


@click.command(epilog=EXIT_CODES)
@_letter_options
@click.option("--bootstrap", help="Brokers that they came from; Kinesis if not given.")
@kafka_config_option
@click.option("--region", help="Of Kinesis; $AWS_DEFAULT_REGION if not given.")
@click.option(
    "--max-record-bytes",
    type=click.IntRange(min=1),
    default=1 << 20,
    show_default=True,
    help="Send back what is no larger; the lander must be told the same.",
)
def replay(  # noqa: PLR0917 - click passes options by name
    landing: str,
    topic: str | None,
    reason: str | None,
    bootstrap: str | None,
    kafka_config: Path | None,
    region: str | None,
    max_record_bytes: int,
    s3: S3Options,
    json: bool,
) -> None:
    """Send dead letters that today's rules accept back.

    Each goes back with its key, byte for byte, to the partition or the stream that it
    came from, and the lander lands it as any other record. It is marked when it is
    stored there, and never listed again. At least once: after a kill, one may be sent
    a second time.

    \b
    Example:
      ingest replay data/landing --bootstrap localhost:9092 --reason too_large \\
          --max-record-bytes 4194304
    """  # noqa: D301
    from ingestion.dead_letters import replay as replay_letters
    from ingestion.landing import Landing

    with told(json=json), Interrupts.caught() as interrupts:
        store = store_at(landing, s3, interrupts.sleep, _S3_SECONDS)
        done = replay_letters(
            Landing.read(store),
            _way_back(bootstrap, kafka_config, region, max_record_bytes),
            topic=topic,
            reason=reason,
            max_record_bytes=max_record_bytes,
            interrupted=interrupts.__bool__,
        )
        _summarise(landing, done, json=json)
        interrupts.check()


def _way_back(
    bootstrap: str | None, config: Path | None, region: str | None, max_bytes: int
) -> "Return":
    if bootstrap is None:
        from ingestion.kinesis import make_client
        from ingestion.kinesis_return import KinesisReturn

        return KinesisReturn(lambda: make_client(region))
    from ingestion.kafka_return import KafkaReturn, kafka_producer
    from ingestion.topics import kafka_admin, kafka_settings

    settings = kafka_settings(config) if config else {}
    producer = kafka_producer(bootstrap, settings, max_bytes)
    return KafkaReturn(producer, kafka_admin(bootstrap, config))


def _summarise(landing: str, done: "Replayed", *, json: bool) -> None:
    from ingestion.progress import write_json

    if json:
        write_json("summary", landing=landing, sent=done.sent, left=done.left)
        return
    click.echo(
        f"{done.sent:,} dead letters sent back, {done.left:,} left: they can still be "
        "no lines."
    )


@click.command(epilog=EXIT_CODES)
@click.argument("landing", type=click.Path(readable=False))
@click.argument("file")
@click.option(
    "--line",
    "lines",
    type=click.IntRange(min=1),
    multiple=True,
    required=True,
    help="As `ingest trace` prints it, from 1; may be said more than once.",
)
@click.option("--by", required=True, help="Who does it.")
@click.option("--reason", required=True, help="Why, without a name: it stays.")
@s3_options
@click.option("--json", is_flag=True, help="Write JSON lines, for machines.")
def redact(  # noqa: PLR0917 - click passes options by name
    landing: str,
    file: str,
    lines: tuple[int, ...],
    by: str,
    reason: str,
    s3: S3Options,
    json: bool,
) -> None:
    """Make lines of one landed FILE blank, for a person's erasure.

    FILE is the path below LANDING; a dead letter, as `ingest dead-letters --json` names
    it, has one line. The bytes are gone for good; which lines, who, why,
    when, and the SHA-256 before and after are kept below _ingest/redactions/, so that
    `ingest verify` stays clean. What the models made of the lines goes with a full
    refresh: docs/operating.md has all the steps.

    \b
    Example:
      ingest redact data/landing topics/u.user/partition=0/u.user+0+0000000000.json \\
          --line 17 --by "data protection" --reason "request 2026-114"
    """  # noqa: D301
    from dataclasses import asdict

    from ingestion.landing import Landing
    from ingestion.progress import write_json
    from ingestion.redactions import redact as redact_lines

    with told(json=json):
        store = store_at(landing, s3, give_up_after=_S3_SECONDS)
        done = redact_lines(Landing.read(store), file, lines, by, reason)
    for record in done:
        if json:
            write_json("redaction", **asdict(record), file=record.name)
        else:
            numbers = ", ".join(map(str, record.lines))
            click.echo(f"{record.at} line {numbers} by {record.by}: {record.name}")
    if "://" in landing and not json:
        click.echo(f"A bucket with versions keeps the old {file}: delete that version.")
