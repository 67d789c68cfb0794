"""The commands `ingest land …`."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingestion.cli_shared import (
    EXIT_CODES,
    SET_ASIDE_EXIT_CODE,
    Interrupts,
    S3Options,
    s3_options,
    store_at,
    told,
)
from ingestion.errors import StopError

if TYPE_CHECKING:
    from ingestion.emitters import Flush
    from ingestion.lander import Landed, Lander, Rules
    from ingestion.landing import Landing

_S3_SECONDS = 20.0  # then the lander waits itself, and hears when it is asked to end


@click.group()
def land() -> None:
    """Land topics as raw JSON, each record exactly once."""


@land.command("kafka", epilog=EXIT_CODES)
@click.option("--bootstrap", required=True, help="Brokers, such as localhost:9092.")
@click.option(
    "--kafka-config",
    type=click.Path(path_type=Path),
    help="A file with settings of librdkafka, name=value a line, such as for SASL.",
)
@click.option("--user-id", help="Land <user-id>.pin, <user-id>.geo and <user-id>.user,")
@click.option("--topics", help="or these, separated by commas.")
@click.option(
    "--landing",
    type=click.Path(readable=False),
    required=True,
    help="A folder, or s3://bucket/prefix; credentials come from AWS's chain.",
)
@s3_options
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip"]),
    help="Of a new landing, for good; none if not given.",
)
@click.option("--follow", is_flag=True, help="Go on until stopped, sharing partitions.")
@click.option(
    "--group", help="The consumer group of --follow; one of the landing's own if not."
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
    help="at this age, or when caught up. Small objects make later queries slower.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to wait for an answer of the brokers.",
)
@click.option(
    "--max-buffer",
    type=click.IntRange(min=1),
    default=256 << 20,
    show_default=True,
    help="Bytes of all partitions that may wait for their objects.",
)
@click.option(
    "--start",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="First offset of partitions that are not in the landing yet.",
)
@click.option(
    "--continue-chain",
    is_flag=True,
    help="Land a topic that was made anew behind what its name has in the landing.",
)
@click.option(
    "--accept-expired",
    is_flag=True,
    help="Count records that expired before they were landed as lost, and go on.",
)
@click.option(
    "--accept-dead-letters",
    is_flag=True,
    help="Go on however many records cannot be landed.",
)
def land_kafka(  # noqa: PLR0917 - click passes options by name
    bootstrap: str,
    kafka_config: Path | None,
    user_id: str | None,
    topics: str | None,
    landing: str,
    compression: str | None,
    follow: bool,
    group: str | None,
    flush_bytes: int,
    flush_records: int,
    flush_seconds: float,
    timeout: float,
    max_buffer: int,
    start: int,
    continue_chain: bool,
    accept_expired: bool,
    accept_dead_letters: bool,
    s3: S3Options,
) -> None:
    """Land topics of Kafka in a folder or in S3, each record exactly once.

    It ends when all that was there at the start is landed; with --follow it goes on
    until it is stopped, which is exit code 0. Run again after anything, a kill or a
    power cut too, it goes on where the landing ends. Any number may run side by side.
    Every object is one JSON line on standard output.

    \b
    Examples:
      ingest land kafka --bootstrap localhost:9092 --user-id 12a740a19697 \\
          --landing data/landing
      ingest land kafka --bootstrap localhost:9092 --topics u.pin,u.geo \\
          --landing data/landing --follow
    """  # noqa: D301
    from ingestion.emitters import Flush
    from ingestion.lander import Rules
    from ingestion.landing import Landing

    flush = Flush(flush_bytes, flush_records, flush_seconds)
    rules = Rules(continue_chain, accept_expired, accept_dead_letters, start)
    names = _names(topics, user_id)
    with told(json=True):
        store = store_at(landing, s3, give_up_after=_S3_SECONDS)
        opened = Landing.open(store, compression)
        group = group or _group(opened)
        place = bootstrap, kafka_config, group, timeout
        _land(opened, names, place, rules, flush, max_buffer=max_buffer, follow=follow)


def _names(topics: str | None, user_id: str | None) -> list[str]:
    from ingestion.kafka_rest import topic_name
    from ingestion.records import KEY_FIELDS

    if (topics is None) == (user_id is None):
        raise click.UsageError("Say either --user-id or --topics.")
    if user_id is not None:
        return [topic_name(user_id, record_type) for record_type in KEY_FIELDS]
    names = [name.strip() for name in (topics or "").split(",")]
    return list(dict.fromkeys(name for name in names if name))


def _group(landing: "Landing") -> str:
    """Name the group of this landing: two landings must not share partitions out."""
    from ingestion.landing import PROBE_FILE

    probe = landing.store.read(PROBE_FILE)
    if not probe:
        raise StopError(f"{landing.store}/{PROBE_FILE} is gone: say --group.")
    return f"ingest-{probe.hex()}"


def _land(
    landing: "Landing",
    names: list[str],
    place: tuple[str, Path | None, str, float],
    rules: "Rules",
    flush: "Flush",
    *,
    max_buffer: int,
    follow: bool,
) -> None:
    from contextlib import closing

    from ingestion.kafka_source import KafkaReader, kafka_consumer
    from ingestion.lander import Lander
    from ingestion.topics import kafka_admin, kafka_settings

    bootstrap, config, group, timeout = place
    admin = kafka_admin(bootstrap, config)
    settings = kafka_settings(config) if config else {}
    consumer = kafka_consumer(bootstrap, group, settings)
    with closing(KafkaReader(consumer, admin, names, follow, timeout)) as reader:
        lander = Lander(
            landing,
            reader,
            rules,
            flush,
            follow=follow,
            max_buffer=max_buffer,
            tell=_tell,
            waiting=_tell_waiting,
        )
        with Interrupts.caught() as interrupts:
            started = time.monotonic()
            lander.run(interrupts.__bool__)
            _summarise(lander, time.monotonic() - started)
            if not follow:
                interrupts.check()
    if not follow and any(found.dead for found in lander.totals.values()):
        click.get_current_context().exit(SET_ASIDE_EXIT_CODE)


def _tell(landed: "Landed") -> None:
    from ingestion.progress import write_json

    link = landed.link
    write_json(
        "link",
        topic=landed.partition.topic,
        partition=landed.partition.number,
        start=link.start,
        next=link.next,
        records=link.records,
        dead=link.dead,
        gaps=link.gaps,
        before_start=link.before_start,
        expired=link.expired,
        bytes=landed.bytes,
        why=landed.why,
        conflicts=landed.conflicts,
        first_time=link.first_time,
        last_time=link.last_time,
        lag_records=landed.lag_records,
        lag_seconds=landed.lag_seconds,
    )


def _tell_waiting(message: str, seconds: float) -> None:
    from ingestion.progress import write_json

    write_json("waiting", message=message, seconds=seconds)


def _summarise(lander: "Lander", seconds: float) -> None:
    from dataclasses import asdict

    from ingestion.progress import write_json

    topics = {
        f"{partition.topic}/{partition.number}": asdict(total)
        for partition, total in sorted(lander.totals.items())
    }
    place = str(lander.landing.store)
    write_json("summary", landing=place, partitions=topics, seconds=seconds)
