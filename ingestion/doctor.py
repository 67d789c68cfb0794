"""Look at everything that a run would need, and say what is to be corrected."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from ingestion.delivery import Again, Stop
from ingestion.dispatch import Destination
from ingestion.endpoints import Endpoint, clock_skew
from ingestion.errors import IngestError, RetryError, StopError
from ingestion.records import KEY_FIELDS
from ingestion.sources import Source

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient
    from types_boto3_kinesis import KinesisClient

    from ingestion.s3_store import S3Store
    from ingestion.stores import Store

_BROKER_SECONDS: Final = 10.0


_NOT_FOUND: Final = 404
_NO_SUCH_PATH: Final = "Missing Authentication Token"


class UndecidedError(IngestError):
    """It cannot be seen without a write whether something is well."""


class Finding(NamedTuple):
    """One thing that was looked at: well or not, and what to know or do about it.

    `ok` is None where that cannot be seen.
    """

    checked: str
    ok: bool | None
    says: str


def look(checked: str, at: Callable[[], str]) -> Finding:
    """Return what a look says; an error of ours is what is to be corrected."""
    try:
        return Finding(checked, True, at())
    except UndecidedError as error:
        return Finding(checked, None, str(error))
    except IngestError as error:
        return Finding(checked, False, str(error))


def look_at_source(source: Source) -> Iterator[Finding]:
    """Say which record types the source has. Its rows are not read."""
    for record_type in KEY_FIELDS:
        table = source.tables.get(record_type)
        says = table.name if table else "not there: none will be emitted"
        yield Finding(f"source, {record_type}", True, says)


def look_at_topics(destination: Destination, user_id: str) -> Iterator[Finding]:
    """Ask for each topic or stream as a run does before its first record."""
    for record_type in KEY_FIELDS:
        yield look(
            f"{destination.name.partition(' ')[0]}, {record_type}",
            lambda t=record_type: _topic(destination, user_id, t),  # type: ignore[misc]
        )


def _topic(destination: Destination, user_id: str, record_type: str) -> str:
    topic = destination.topic(user_id, record_type)
    transport = destination.transport(topic)
    try:
        again = transport.check()
    finally:
        transport.close()
    if again is not None:
        raise RetryError(f"{topic}: {again.reason}. It may pass; if not, correct that.")
    return f"{topic} is there"


def look_at_brokers(admin: "AdminClient", user_id: str) -> Iterator[Finding]:
    """Ask brokers for each topic as a lander does before it reads."""
    from ingestion.kafka_rest import topic_name  # noqa: PLC0415 - most do not ask
    from ingestion.kafka_source import topic_identity  # noqa: PLC0415 - the same

    for record_type in KEY_FIELDS:
        topic = topic_name(user_id, record_type)
        finding = look(
            f"brokers, {record_type}",
            lambda t=topic: topic_identity(admin, t, _BROKER_SECONDS),  # type: ignore[misc]
        )
        if not finding.ok:
            yield finding
            continue
        yield finding._replace(says=f"{topic} is there")
        yield look(
            f"brokers, {record_type}, retention",
            lambda t=topic: _retention(admin, t),  # type: ignore[misc]
        )


def _retention(admin: "AdminClient", topic: str) -> str:
    from ingestion.kafka_source import topic_retention  # noqa: PLC0415 - most do not ask

    kept = topic_retention(admin, topic, _BROKER_SECONDS)
    return "for ever" if kept is None else f"{kept / 3600:,.0f} hours"


def look_at_dbt(target: str) -> Finding:
    """Connect to a target of `profiles.yml` as dbt does, in the project's folder."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - takes a second

    def connect() -> str:
        options = ["--log-level", "none", "--log-level-file", "none"]
        done = dbtRunner().invoke([*options, "debug", "--target", target])
        if not (done.success and done.result):
            raise StopError(
                f"dbt cannot use the target {target}: `dbt debug --target {target}` "
                "says why."
            )
        return f"dbt connects to {target}"

    return look("dbt", connect)


def look_at_landing(store: "Store") -> Iterator[Finding]:
    """Ask a landing for what a lander asks of it; nothing in it changes.

    Whether writes are conditional is asked with the bytes that are there already.
    """
    from ingestion.landing import LANDING_FILE, Landing  # noqa: PLC0415 - most do not ask
    from ingestion.s3_store import S3Store  # noqa: PLC0415 - with botocore

    def settings() -> str:
        if store.read(LANDING_FILE) is None and not store.partitions():
            return f"none at {store} yet: the first run makes it"
        return f"{store}, compression {Landing.read(store).compression}"

    def listed() -> str:
        return f"{len(store.partitions())} partitions of topics"

    yield look("landing", settings)
    yield look("landing, to list", listed)
    if isinstance(store, S3Store):
        yield look("landing, conditional writes", lambda: _conditional(store))


def _conditional(store: "S3Store") -> str:
    from ingestion.landing import PROBE_FILE  # noqa: PLC0415 - most do not ask

    refused = store.refuses_again(PROBE_FILE)
    if refused is None:
        return "the first run asks for them"
    if not refused:
        raise StopError(
            f"{store} lets one object be created twice, so two writers could "
            "overwrite each other: use another store."
        )
    return "the second of two is refused"


def look_at_gateway(endpoint: Endpoint, user_id: str) -> Iterator[Finding]:
    """Ask a gateway for each stream, as `GET /streams/{stream}`; nothing is written.

    The source is the tutorial of `kinesis.py`, where that describes the stream. Not
    every gateway has it, so its absence decides nothing.
    """
    from ingestion.kinesis import stream_name  # noqa: PLC0415 - with botocore

    for record_type in KEY_FIELDS:
        yield look(
            f"gateway, {record_type}",
            lambda t=record_type: _stream(endpoint, stream_name(user_id, t)),  # type: ignore[misc]
        )
        endpoint.close()


def _stream(endpoint: Endpoint, stream: str) -> str:
    from ingestion.kinesis import KinesisGatewayTransport  # noqa: PLC0415 - the same

    answer = endpoint.request("GET", f"/streams/{stream}", None, {})
    if isinstance(answer, Again):
        raise RetryError(f"{answer.reason}: check the URL and the network.")
    named = answer.json()
    if isinstance(named, dict) and "StreamDescription" in named:
        return f"{stream} is there"
    outcome = KinesisGatewayTransport(stream, endpoint, many=False).judge(answer)
    unknown = answer.status == _NOT_FOUND or answer.mentions(_NO_SUCH_PATH)
    if isinstance(outcome, Stop) and not unknown:
        raise StopError(outcome.message)
    if isinstance(outcome, Again) and not isinstance(named, dict):
        raise RetryError(f"{outcome.reason}: check the URL, with its path or stage.")
    raise UndecidedError(
        f"{endpoint.place.url} answers {answer} when asked for {stream}: it may not "
        "show streams, or its stage is wrong. Only a record tells: emit one with "
        "--limit 1."
    )


def look_at_clock(date: Callable[[], str], now: Callable[[], float]) -> Finding:
    """Compare this clock with the `Date` of an answer."""

    def at() -> str:
        there = date()
        if skew := clock_skew(there, now()):
            raise StopError(skew[0].upper() + skew[1:])
        return "agrees with the server's" if there else "the server tells no time"

    return look("clock", at)


def date_of_endpoint(endpoint: Endpoint) -> str:
    """Return the `Date` of any answer; empty where there is none."""
    answer = endpoint.request("GET", "/", None, {})
    endpoint.close()
    if isinstance(answer, Again):
        raise RetryError(f"{answer.reason}: check the URL and the network.")
    return answer.headers.get("Date", "")


def date_of_kinesis(client: "KinesisClient") -> str:
    """Return the `Date` of any answer, of an error too."""
    from ingestion.kinesis import explain_kinesis  # noqa: PLC0415 - with botocore

    dates = [""]

    def keep(http_response: "object", **_: object) -> None:
        headers = getattr(http_response, "headers", {})
        dates.append(headers.get("date", ""))

    client.meta.events.register("after-call.kinesis.ListStreams", keep)
    try:
        with explain_kinesis("ask Kinesis for its streams"):
            client.list_streams(Limit=1)
    except StopError:  # denied, such as for who may only put: the date is there
        if not dates[-1]:
            raise
    return dates[-1]
