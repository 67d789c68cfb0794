"""The command `ingest doctor`."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingestion.cli_deliver import gateway_options
from ingestion.cli_shared import (
    EXIT_CODES,
    S3Options,
    kafka_config_option,
    opened_source,
    s3_options,
    store_at,
    told,
)
from ingestion.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingestion.doctor import Finding

_S3_SECONDS = 20.0
_MARKS = {True: "ok   ", False: "WRONG", None: "?    "}


@click.command(epilog=EXIT_CODES)
@click.option("--user-id", required=True, help="Whose topics or streams.")
@click.option("--source", help="A folder, sql, or the URL of a database.")
@click.option("--kafka-rest", metavar="URL", help="Of a Kafka REST proxy or gateway.")
@click.option("--kinesis", is_flag=True, help="Kinesis itself.")
@click.option("--kinesis-gateway", metavar="URL", help="Of a gateway before Kinesis.")
@gateway_options
@click.option("--bootstrap", help="Brokers, such as localhost:9092.")
@kafka_config_option
@click.option("--landing", help="A folder, or s3://bucket/prefix.")
@s3_options
@click.option("--dbt-target", help="Of profiles.yml, such as duckdb.")
@click.option("--json", is_flag=True, help="Write JSON lines, for machines.")
def doctor(  # noqa: PLR0917 - click passes options by name
    user_id: str,
    source: str | None,
    kafka_rest: str | None,
    kinesis: bool,
    kinesis_gateway: str | None,
    auth: str,
    region: str | None,
    gateway: bool,
    bootstrap: str | None,
    kafka_config: Path | None,
    landing: str | None,
    s3: S3Options,
    dbt_target: str | None,
    json: bool,
) -> None:
    """Look at what a run would need, and say what to correct.

    Nothing is changed; DuckDB alone makes its file where there is none. A question
    mark is at what cannot be seen so. The exit code is 1 where something is wrong.

    \b
    Examples:
      ingest doctor --user-id 12a740a19697 --kafka-rest http://127.0.0.1:8082
      ingest doctor --user-id 12a740a19697 --source sql --kinesis --region eu-west-1
      ingest doctor --user-id 12a740a19697 --landing s3://BUCKET/raw
      ingest doctor --user-id 12a740a19697 --bootstrap localhost:9092 \\
          --dbt-target duckdb
    """  # noqa: D301
    found: list[Finding] = []
    with told(json=json):
        if source is not None:
            found += _source(source)
        if kafka_rest is not None:
            found += _kafka_rest(kafka_rest, user_id, auth, region, gateway=gateway)
        if kinesis:
            found += _kinesis(user_id, region)
        if kinesis_gateway is not None:
            found += _gateway(kinesis_gateway, user_id, auth, region)
        if bootstrap is not None:
            found += _brokers(bootstrap, kafka_config, user_id)
        if landing is not None:
            found += _landing(landing, s3)
        if dbt_target is not None:
            found += _dbt(dbt_target)
        if not found:
            raise StopError(
                "There is nothing to look at: say --source, --kafka-rest, --kinesis, "
                "--kinesis-gateway, --bootstrap, --landing or --dbt-target."
            )
    _tell(found, json=json)


def _source(source: str) -> "Iterator[Finding]":
    from ingestion.doctor import Finding, look_at_source
    from ingestion.errors import IngestError

    try:
        with opened_source(source, 0, 0) as opened:
            yield from look_at_source(opened)
    except IngestError as error:
        yield Finding("source", False, str(error))


def _landing(landing: str, s3: S3Options) -> "Iterator[Finding]":
    from ingestion.doctor import Finding, look_at_landing

    try:
        store = store_at(landing, s3, give_up_after=_S3_SECONDS)
    except StopError as error:
        yield Finding("landing", False, str(error))
        return
    yield from look_at_landing(store)


def _brokers(bootstrap: str, config: Path | None, user_id: str) -> "Iterator[Finding]":
    from ingestion.doctor import Finding, look_at_brokers
    from ingestion.topics import kafka_admin

    try:
        admin = kafka_admin(bootstrap, config)
    except StopError as error:
        yield Finding("brokers", False, str(error))
        return
    yield from look_at_brokers(admin, user_id)


def _dbt(target: str) -> "Iterator[Finding]":
    from ingestion.doctor import look_at_dbt

    yield look_at_dbt(target)


def _kafka_rest(
    url: str, user_id: str, auth: str, region: str | None, *, gateway: bool
) -> "Iterator[Finding]":
    from ingestion.authentication import choose_authentication
    from ingestion.doctor import date_of_endpoint, look_at_clock, look_at_topics
    from ingestion.endpoints import Endpoint, Place
    from ingestion.kafka_rest import KafkaRest

    place = Place.parse(url, gateway=gateway)
    authentication = choose_authentication(auth, region or place.region)
    place.require_safe(authentication)
    yield from look_at_topics(KafkaRest(place, authentication), user_id)
    endpoint = Endpoint(place, authentication)
    yield look_at_clock(lambda: date_of_endpoint(endpoint), time.time)


def _kinesis(user_id: str, region: str | None) -> "Iterator[Finding]":
    from ingestion.doctor import Finding, date_of_kinesis, look_at_clock, look_at_topics
    from ingestion.kinesis import Kinesis, make_client

    try:
        client = make_client(region)
        kinesis = Kinesis.of(lambda: make_client(region))
    except StopError as error:
        yield Finding("kinesis", False, str(error))
        return
    yield from look_at_topics(kinesis, user_id)
    yield look_at_clock(lambda: date_of_kinesis(client), time.time)


def _gateway(
    url: str, user_id: str, auth: str, region: str | None
) -> "Iterator[Finding]":
    from ingestion.authentication import choose_authentication
    from ingestion.doctor import date_of_endpoint, look_at_clock, look_at_gateway
    from ingestion.endpoints import Endpoint, Place

    place = Place.parse(url, gateway=True)
    authentication = choose_authentication(auth, region or place.region)
    place.require_safe(authentication)
    endpoint = Endpoint(place, authentication)
    yield from look_at_gateway(endpoint, user_id)
    yield look_at_clock(lambda: date_of_endpoint(endpoint), time.time)


def _tell(found: "list[Finding]", *, json: bool) -> None:
    from ingestion.progress import write_json

    wrong = sum(finding.ok is False for finding in found)
    for finding in found:
        if json:
            write_json("finding", **finding._asdict())
        else:
            click.echo(f"{_MARKS[finding.ok]}  {finding.checked}: {finding.says}")
    if not json:
        unseen = sum(finding.ok is None for finding in found)
        well = f"Nothing is wrong, {unseen} not seen." if unseen else "All is well."
        click.echo(f"{wrong} things to correct." if wrong else well)
    if wrong:
        click.get_current_context().exit(1)
