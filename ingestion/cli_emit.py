"""The commands `ingest emit …`. They import what they need when they run."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingestion.cli_deliver import Asked, deliver, delivery_options, gateway_options
from ingestion.cli_shared import (
    EXIT_CODES,
    SET_ASIDE_EXIT_CODE,
    Interrupts,
    S3Options,
    landing_options,
    opened_source,
    source_options,
    store_at,
    table,
    told,
)
from ingestion.errors import StopError

if TYPE_CHECKING:
    from ingestion.emitters import Emission, Lane, Rejects


@click.group()
def emit() -> None:
    """Emit the records of a source."""


@emit.command("landing", epilog=EXIT_CODES)
@landing_options("at this age")
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
    s3: S3Options,
) -> None:
    """Emit straight into a landing, each record exactly once.

    Run again after anything, a kill or a power cut too, it goes on where it stood; run
    again after the end it lands nothing new. What --bad-lines land sets aside of a
    landing in S3 is below data/emit.

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
    interrupts = Interrupts()
    with told(json=json), opened_source(source, events, sample_seed) as folder:
        store = store_at(landing, s3, interrupts.sleep)
        opened = Landing.open(store, compression)
        aside = Path("data/emit") if "://" in landing else Path(landing) / "_ingest"
        rejects = Rejects(aside) if bad_lines == "land" else None
        emission = Emission(folder, opened, user_id, place, flush)
        _emit(emission, rejects, interrupts, rate=rate, restart=restart, json=json)


def _emit(
    emission: "Emission",
    rejects: "Rejects | None",
    interrupts: Interrupts,
    *,
    rate: float | None,
    restart: bool,
    json: bool,
) -> None:
    from ingestion.progress import choose_progress

    started = time.monotonic()
    with interrupts.catching():
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
    from ingestion.records import KEY_FIELDS

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
    click.echo(table(rows))
    total = sum(lane.emitter.records for lane in lanes)
    if total:
        click.echo(f"{total:,} records landed in {place} in {seconds:.1f} s.")
    else:
        click.echo(f"Nothing new: {place} has it already (--restart lands it again).")
    elsewhere = sum(lane.elsewhere for lane in lanes)
    if elsewhere:
        click.echo(
            f"These topics held {elsewhere:,} records from elsewhere: where both have "
            "an event number, the newer copy counts."
        )
    absent = [name for name in KEY_FIELDS if name not in emission.source.tables]
    if absent:
        click.echo(f"The source has no {' and no '.join(absent)} records.")
    if path:
        click.echo(f"Lines that could not be landed are in {path}.")


# --- kafka-rest --------------------------------------------------------------------


@emit.command("kafka-rest", epilog=EXIT_CODES)
@click.option(
    "--url",
    required=True,
    help="Of the proxy or gateway, with the stage, without /topics.",
)
@gateway_options
@delivery_options
def emit_kafka_rest(
    url: str,
    auth: str,
    region: str | None,
    gateway: bool,
    **asked: Any,  # noqa: ANN401 - the fields of Asked, checked by click
) -> None:
    """Emit to a Kafka REST proxy, each record at least once.

    Every record is acknowledged by its own offset, or sent again, or set aside in
    rejected.jsonl. Run again after anything, it goes on where it stood. The topics are
    <user-id>.pin, <user-id>.geo and <user-id>.user; they must exist.

    \b
    Examples:
      ingest emit kafka-rest --source sample --url http://127.0.0.1:8082 \\
          --user-id 12a740a19697
      ingest emit kafka-rest --source my/records --auth sigv4 --user-id 12a740a19697 \\
          --url https://abc.execute-api.eu-west-1.amazonaws.com/prod
    """  # noqa: D301
    from ingestion.authentication import choose_authentication
    from ingestion.endpoints import Place
    from ingestion.kafka_rest import KafkaRest

    def destination() -> KafkaRest:
        place = Place.parse(url, gateway=gateway)
        found = choose_authentication(auth, region or place.region)
        place.require_safe(found)
        return KafkaRest(place, found)

    deliver(destination, Asked(**asked))


# --- kinesis -----------------------------------------------------------------------


@emit.command("kinesis", epilog=EXIT_CODES)
@click.option(
    "--url",
    help="Of an API gateway before Kinesis, with the stage, without /streams; Kinesis "
    "itself if not given.",
)
@click.option(
    "--many",
    is_flag=True,
    help="Through the gateway's /records, up to 500 a request; /record, one a request, "
    "if not given.",
)
@gateway_options
@delivery_options
def emit_kinesis(
    url: str | None,
    many: bool,
    auth: str,
    region: str | None,
    gateway: bool,  # noqa: ARG001 - there is always one with --url
    **asked: Any,  # noqa: ANN401 - the fields of Asked, checked by click
) -> None:
    """Emit to Kinesis, each record at least once.

    Every record is acknowledged by its own sequence number, or sent again, or set aside
    in rejected.jsonl. Run again after anything, it goes on where it stood. The streams
    are streaming-<user_id>-pin, -geo and -user; they must exist.

    \b
    Examples:
      ingest emit kinesis --source sample --region eu-west-1 --user-id 12a740a19697
      ingest emit kinesis --source my/records --auth sigv4 --user-id 12a740a19697 \\
          --url https://abc.execute-api.eu-west-1.amazonaws.com/prod
    """  # noqa: D301
    from ingestion.authentication import choose_authentication
    from ingestion.endpoints import Place
    from ingestion.kinesis import Kinesis, KinesisGateway, make_client

    def destination() -> Kinesis | KinesisGateway:
        if url is None and (many or auth != "none"):
            raise StopError("--many and --auth are for a gateway: say its --url.")
        if url is None:
            return Kinesis.of(lambda: make_client(region))
        place = Place.parse(url, gateway=True)
        found = choose_authentication(auth, region or place.region)
        place.require_safe(found)
        return KinesisGateway(place, found, many)

    deliver(destination, Asked(**asked))
