"""The commands `ingest land …`."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingestion.cli_shared import (
    EXIT_CODES,
    SET_ASIDE_EXIT_CODE,
    Interrupts,
    LandAsked,
    kafka_config_option,
    land_options,
    store_at,
    told,
)
from ingestion.errors import RetryError, StopError

if TYPE_CHECKING:
    from datetime import datetime

    from ingestion.kinesis_source import KinesisReader, Share
    from ingestion.lander import Landed, Lander
    from ingestion.landing import Landing
    from ingestion.metrics import WatchedReader
    from ingestion.stores import Partition
    from ingestion.topics import KafkaAdmin

_S3_SECONDS = 20.0
_S3_FOLLOW_SECONDS = 2.0  # then the lander waits itself, and takes part in its group
_KAFKA_FOLLOW_SECONDS = 10.0  # twice, with leaving the group, are within 25 too
_GRACE_SECONDS = 3.0  # with one time-out of S3, an end within 25 seconds


@click.group()
def land() -> None:
    """Land topics or streams, each record exactly once."""


# --- kafka -------------------------------------------------------------------------


@land.command("kafka", epilog=EXIT_CODES)
@click.option("--bootstrap", required=True, help="Brokers, such as localhost:9092.")
@kafka_config_option
@click.option("--user-id", help="Land <user-id>.pin, <user-id>.geo and <user-id>.user,")
@click.option("--topics", help="or these, separated by commas.")
@land_options
@click.option(
    "--group", help="The consumer group of --follow; one of the landing's own if not."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to wait for an answer of the brokers; with --follow 10 at most, and "
    "then again.",
)
@click.option(
    "--start",
    default="earliest",
    show_default=True,
    callback=lambda _context, _option, text: _start(text),
    help="Where partitions begin that are not in the landing yet: earliest, an offset, "
    "or a time with its offset from UTC, such as 2026-11-22T18:00Z.",
)
def land_kafka(  # noqa: PLR0917 - click passes options by name
    bootstrap: str,
    kafka_config: Path | None,
    user_id: str | None,
    topics: str | None,
    group: str | None,
    timeout: float,
    start: "int | datetime",
    **options: Any,  # noqa: ANN401 - the fields of LandAsked, checked by click
) -> None:
    """Land topics of Kafka in a folder or in S3, each record exactly once.

    It ends when all that was there at the start is landed; with --follow it goes on
    until it is stopped, which is exit code 0. Run again after anything, a kill or a
    power cut too, it goes on where the landing ends. Any number may run side by side;
    with --follow they share partitions. Every object is one JSON line on standard
    output.

    \b
    Examples:
      ingest land kafka --bootstrap localhost:9092 --user-id 12a740a19697 \\
          --landing data/landing
      ingest land kafka --bootstrap localhost:9092 --topics u.pin,u.geo \\
          --landing data/landing --follow
    """  # noqa: D301
    from ingestion.kafka_rest import topic_name

    names = _names("--topics", topics, user_id, topic_name)
    asked = LandAsked(**options)
    if asked.follow:
        timeout = min(timeout, _KAFKA_FOLLOW_SECONDS)

    @cache
    def opened_admin() -> "KafkaAdmin":
        from ingestion.topics import kafka_admin

        return kafka_admin(bootstrap, kafka_config)

    def begin(partition: "Partition") -> int:
        from ingestion.kafka_source import offset_at

        if isinstance(start, int):
            return start
        return offset_at(opened_admin(), start, partition, timeout)

    @contextmanager
    def reader(landing: "Landing") -> "Iterator[WatchedReader]":
        from contextlib import closing

        from ingestion.kafka_source import KafkaReader, kafka_consumer
        from ingestion.topics import kafka_settings

        admin = opened_admin()
        settings = kafka_settings(kafka_config) if kafka_config else {}
        consumer = kafka_consumer(bootstrap, group or _group(landing), settings)
        with closing(
            KafkaReader(consumer, admin, names, asked.follow, timeout)
        ) as found:
            yield found

    _land(asked, reader, begin)


def _start(text: str) -> "int | datetime":
    from datetime import datetime

    if text == "earliest":
        return 0
    if text.isdecimal():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise click.BadParameter(
            "say earliest, an offset, or a time such as 2026-11-22T18:00Z."
        )
    return time


def _names(
    option: str,
    names: str | None,
    user_id: str | None,
    name: Callable[[str, str], str],
) -> list[str]:
    from ingestion.records import KEY_FIELDS

    if (names is None) == (user_id is None):
        raise click.UsageError(f"Say either --user-id or {option}.")
    if user_id is not None:
        return [name(user_id, record_type) for record_type in KEY_FIELDS]
    said = [each.strip() for each in (names or "").split(",")]
    return list(dict.fromkeys(each for each in said if each))


def _group(landing: "Landing") -> str:
    """Name the group of this landing: two landings must not share partitions out."""
    from ingestion.landing import PROBE_FILE

    probe = landing.store.read(PROBE_FILE)
    if not probe:
        raise StopError(f"{landing.store}/{PROBE_FILE} is gone: say --group.")
    return f"ingest-{probe.hex()}"


# --- kinesis -----------------------------------------------------------------------


@land.command("kinesis", epilog=EXIT_CODES)
@click.option("--region", help="$AWS_DEFAULT_REGION or the profile's if not given.")
@click.option(
    "--user-id",
    help="Land streaming-<user-id>-pin, streaming-<user-id>-geo and "
    "streaming-<user-id>-user,",
)
@click.option("--streams", help="or these, separated by commas.")
@land_options
@click.option(
    "--shards",
    metavar="K/N",
    default="1/1",
    show_default=True,
    help="Only the K-th share of all shards, for N landers side by side.",
)
def land_kinesis(
    region: str | None,
    user_id: str | None,
    streams: str | None,
    shards: str,
    **options: Any,  # noqa: ANN401 - the fields of LandAsked, checked by click
) -> None:
    """Land streams of Kinesis in a folder or in S3, each record exactly once.

    It ends when all that was there at the start is landed; with --follow it goes on
    until it is stopped, which is exit code 0. Run again after anything, a kill or a
    power cut too, it goes on where the landing ends. Shards are split and merged under
    it: a child is landed when its parents are. Every object is one JSON line on
    standard output. Credentials come from AWS's chain only.

    \b
    Examples:
      ingest land kinesis --region eu-west-1 --user-id 12a740a19697 \\
          --landing data/landing
      ingest land kinesis --streams a-pin,a-geo --landing s3://bucket/raw \\
          --follow --shards 1/2
    """  # noqa: D301
    from ingestion.kinesis import stream_name

    names = _names("--streams", streams, user_id, stream_name)
    share = _share(shards)
    asked = LandAsked(**options)

    @contextmanager
    def reader(landing: "Landing") -> "Iterator[KinesisReader]":
        from concurrent.futures import ThreadPoolExecutor
        from contextlib import closing

        from ingestion import kinesis_source as source
        from ingestion.kinesis import make_client

        calls = source.KinesisCalls(lambda: make_client(region, source.READ_SECONDS))
        pool = ThreadPoolExecutor(source.WORKERS)
        with closing(source.KinesisReader(calls, pool, landing, names, share)) as found:
            yield found
            if not asked.follow:
                found.require_complete()

    _land(asked, reader)


def _share(text: str) -> "Share":
    from ingestion.kinesis_source import Share

    said = re.fullmatch(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})", text)
    if said is None or int(said[1]) > int(said[2]):
        raise click.UsageError("--shards takes K/N, such as 1/3, 2/3 and 3/3.")
    return Share(int(said[1]), int(said[2]))


# --- both --------------------------------------------------------------------------


def _land(
    asked: LandAsked,
    reader: "Callable[[Landing], AbstractContextManager[WatchedReader]]",
    start: "int | Callable[[Partition], int]" = 0,
) -> None:
    """Land what a reader reads, and say how it went.

    The reader is made inside, so that its errors are told as all others are.
    """
    from ingestion.emitters import Flush
    from ingestion.lander import Lander, Rules
    from ingestion.landing import Landing

    flush = Flush(asked.flush_bytes, asked.flush_records, asked.flush_seconds)
    accepted = asked.continue_chain, asked.accept_expired, asked.accept_dead_letters
    rules = Rules(*accepted, start, asked.max_record_bytes)
    interrupts = Interrupts()
    sleep = partial(interrupts.sleep, grace=_GRACE_SECONDS)
    with told(json=True):
        patient = _S3_FOLLOW_SECONDS if asked.follow else _S3_SECONDS
        store = store_at(asked.landing, asked.s3, sleep, patient)
        landing = Landing.open(store, asked.compression)
        with reader(landing) as found:
            lander = Lander(
                landing,
                found,
                rules,
                flush,
                follow=asked.follow,
                max_buffer=asked.max_buffer,
                tell=_tell,
                waiting=_tell_waiting,
            )
            with _watched(lander, found, asked):
                _run(lander, interrupts)
    if not asked.follow and any(total.dead for total in lander.totals.values()):
        click.get_current_context().exit(SET_ASIDE_EXIT_CODE)


@contextmanager
def _watched(
    lander: "Lander", reader: "WatchedReader", asked: LandAsked
) -> "Iterator[None]":
    """Answer who watches, if --metrics-port says where, and say on which port."""
    if asked.metrics_port is None:
        yield
        return
    from ingestion.metrics import Metrics, served
    from ingestion.progress import write_json

    metrics = Metrics(reader, lander)
    with served(metrics, asked.metrics_host, asked.metrics_port) as port:
        write_json("metrics", host=asked.metrics_host, port=port)
        yield


def _run(lander: "Lander", interrupts: Interrupts) -> None:
    with interrupts.catching():
        started = time.monotonic()
        try:
            lander.run(interrupts.__bool__)
        except RetryError:
            interrupts.check()
            raise
        _summarise(lander, time.monotonic() - started)
        if not lander.follow:
            interrupts.check()


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
        maybe_expired=link.maybe_expired is not None,
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
