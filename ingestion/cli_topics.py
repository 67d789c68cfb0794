"""The commands `ingest topics …` and `ingest streams …`."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingestion.cli_shared import EXIT_CODES, kafka_config_option, table, told

if TYPE_CHECKING:
    from ingestion.topics import Made


@click.group()
def topics() -> None:
    """Make Kafka topics."""


@click.group()
def streams() -> None:
    """Make Kinesis streams."""


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option(
        "--json", is_flag=True, help="Write JSON lines, for machines."
    )(command)
    return click.option(
        "--user-id", required=True, help="It is a part of the three names."
    )(command)


@topics.command("create", epilog=EXIT_CODES)
@_shared
@click.option("--bootstrap", required=True, help="Brokers, such as localhost:9092.")
@kafka_config_option
@click.option("--partitions", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--replication", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--min-isr",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Copies that a write with acks=all waits for.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to wait for the brokers.",
)
def create_topics(  # noqa: PLR0917 - click passes options by name
    user_id: str,
    json: bool,
    bootstrap: str,
    kafka_config: Path | None,
    partitions: int,
    replication: int,
    min_isr: int,
    timeout: float,
) -> None:
    """Make the three topics of a user; run again, it makes what is missing.

    A topic that is there is never changed. Where it differs from what is asked, that is
    said, and the exit code is 1.

    \b
    Example:
      ingest topics create --bootstrap localhost:9092 --user-id 12a740a19697 \\
          --partitions 1 --replication 1 --min-isr 1
    """  # noqa: D301
    from ingestion.kafka_rest import topic_name
    from ingestion.records import KEY_FIELDS
    from ingestion.topics import Shape, kafka_admin
    from ingestion.topics import create_topics as create

    with told(json=json):
        names = [topic_name(user_id, record_type) for record_type in KEY_FIELDS]
        shape = Shape(partitions, replication, min_isr)
        admin = kafka_admin(bootstrap, kafka_config)
        _tell(create(admin, names, shape, timeout), json=json)


@streams.command("create", epilog=EXIT_CODES)
@_shared
@click.option("--region", help="$AWS_DEFAULT_REGION or the profile's if not given.")
@click.option("--shards", type=click.IntRange(min=1), default=1, show_default=True)
def create_streams(user_id: str, json: bool, region: str | None, shards: int) -> None:
    """Make the three streams of a user, and wait until they are active.

    A stream that is there is never changed. Where its number of shards differs from
    what is asked, that is said, and the exit code is 1.

    \b
    Example:
      ingest streams create --region eu-west-1 --user-id 12a740a19697 --shards 2
    """  # noqa: D301
    from ingestion.kinesis import make_client, stream_name
    from ingestion.records import KEY_FIELDS
    from ingestion.topics import create_streams as create

    with told(json=json):
        names = [stream_name(user_id, record_type) for record_type in KEY_FIELDS]
        _tell(create(make_client(region), names, shards, time.sleep), json=json)


def _tell(made: "Sequence[Made]", *, json: bool) -> None:
    from ingestion.progress import write_json

    if json:
        for one in made:
            write_json("made", **one._asdict())
    else:
        click.echo(
            table(
                [
                    {
                        "name": one.name,
                        "state": "created" if one.created else "there",
                        "differs": ", ".join(one.differences) or "no",
                    }
                    for one in made
                ]
            )
        )
    if any(one.differences for one in made):
        click.get_current_context().exit(1)
