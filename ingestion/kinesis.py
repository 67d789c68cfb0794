"""Kinesis Data Streams: by its own API, or through an API gateway.

The source of the formats is the "Amazon Kinesis Data Streams API Reference", PutRecords
and PutRecord, and for the gateway the "Amazon API Gateway Developer Guide", tutorial
"Create a REST API as an Amazon Kinesis proxy".
"""

import functools
import re
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

import orjson
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError
from botocore.session import Session

from ingestion.authentication import RENEW, Authentication, credentials_renewed
from ingestion.delivery import (
    Acknowledged,
    Again,
    Limits,
    Message,
    Outcome,
    Refused,
    Stop,
    Transport,
    Unclear,
    passing,
)
from ingestion.endpoints import (
    CERTIFICATE_FAILED,
    CONNECT_SECONDS,
    DIRECT_READ_SECONDS,
    Answer,
    Endpoint,
    Place,
    clock_skew,
    short,
)
from ingestion.errors import IngestError, RetryError, SetAsideError, StopError
from ingestion.records import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from types_boto3_kinesis import KinesisClient

MakeClient = Callable[[], "KinesisClient"]

_LIMITS: Final = Limits(records=500, bytes=5 << 20)
_ONE: Final = Limits(records=1, bytes=5 << 20)
_ENVELOPE_BYTES: Final = len(b'{"data":,"partition-key":""},')
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}
_STREAM_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_NO_KEY: Final = b"no-key"
_BEFORE_CALL: Final = "before-call.kinesis.PutRecords"
_BEFORE_PARSE: Final = "before-parse.kinesis.PutRecords"

_FAILURES: Final = (aws.BotoCoreError, aws.ClientError, ResponseParserError)
_NOT_CONNECTED: Final = (
    *(aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError),
)
_BROKEN: Final = (aws.HTTPClientError, aws.ConnectionError, ResponseParserError)

_CERTIFICATE: Final = (
    "The certificate of Kinesis is not trusted: correct it, or name its authority in "
    "$AWS_CA_BUNDLE."
)

_THROTTLED: Final = {
    *("ProvisionedThroughputExceededException", "KMSThrottlingException"),
    *("LimitExceededException", "RequestLimitExceeded", "ResourceInUseException"),
    *("Throttling", "ThrottlingException", "ThrottledException", "SlowDown"),
    *("RequestThrottled", "RequestThrottledException", "TooManyRequestsException"),
}
_FAILED_INSIDE: Final = {
    *("InternalFailure", "InternalFailureException", "InternalServerError"),
    *("InternalServerException", "ServiceUnavailable", "RequestTimeout"),
    *("ServiceUnavailableException", "RequestTimeoutException", "InternalError"),
}
_REFUSED: Final = {
    *("InvalidArgumentException", "ValidationException", "SerializationException"),
}
EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException"}
_EXPIRED_NOW: Final = f"the AWS credentials have expired: {RENEW}"
_SKEWED: Final = {
    *("InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired"),
    *("RequestTimeTooSkewed", "AuthFailure"),
}
_MAY_NOT_LOOK: Final = {"AccessDeniedException", "AccessDenied"}
_DENIED: Final = {
    *("AccessDeniedException", "AccessDenied", "UnrecognizedClientException"),
    *("InvalidClientTokenId", "MissingAuthenticationToken", "OptInRequired"),
    *("MissingAuthenticationTokenException", "IncompleteSignatureException"),
    *("IncompleteSignature", "NotAuthorized", "UnauthorizedOperation"),
    *("KMSAccessDeniedException", "KMSDisabledException", "KMSNotFoundException"),
    *("KMSInvalidStateException", "KMSOptInRequired"),
}


def stream_name(user_id: str, record_type: str) -> str:
    """Return `streaming-<user_id>-<record_type>`; `StopError` where it is no name."""
    name = f"streaming-{user_id}-{record_type}"
    if not _STREAM_NAME.fullmatch(name):
        raise StopError(
            f"{name!r} is no name for a stream: --user-id takes letters, digits, dots, "
            "dashes and underscores, 128 with the rest."
        )
    return name


def make_client(
    region: str | None = None, read_seconds: float = DIRECT_READ_SECONDS
) -> "KinesisClient":
    """Return a client with fresh credentials of AWS's chain, and no retries.

    Of the endpoint the usual variables decide, such as AWS_ENDPOINT_URL_KINESIS.
    """
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"total_max_attempts": 1},
        parameter_validation=False,
    )
    try:
        session = Session()
        session.register_component("data_loader", _models())
        client = session.create_client("kinesis", region_name=region, config=config)
        return cast("KinesisClient", client)
    except (aws.BotoCoreError, ValueError) as error:
        raise StopError(_client_says(error)) from error


@functools.cache
def _models() -> object:
    """Read the descriptions of the API once, not for every client."""
    return Session().get_component("data_loader")


def _client_says(error: Exception) -> str:
    """Say in a sentence what keeps the client from asking at all."""
    if isinstance(error, aws.NoRegionError):
        return "No region is known: say --region, or set AWS_DEFAULT_REGION."
    if isinstance(error, aws.NoCredentialsError):
        return (
            "There are no AWS credentials: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, then run it again."
        )
    return (
        f"Kinesis cannot be asked ({type(error).__name__}: {short(error)}): correct "
        "the credentials, profile or endpoint, then run it again."
    )


def _untrusted(error: Exception) -> bool:
    """Tell a certificate that is wrong from TLS that broke, which may pass."""
    return isinstance(error, aws.SSLError) and CERTIFICATE_FAILED in str(error)


@contextmanager
def explain_kinesis(doing: str) -> Iterator[None]:
    """Turn an error of the client inside the block into one sentence."""
    try:
        with credentials_renewed():
            yield
    except _FAILURES as error:
        raise _explanation(error, doing) from error


def _explanation(error: Exception, doing: str) -> IngestError:
    code = error_code(error)
    if _untrusted(error):
        return StopError(f"Cannot {doing}. {_CERTIFICATE}")
    if isinstance(error, _NOT_CONNECTED + _BROKEN):
        return RetryError(
            f"Cannot {doing} ({code}): Kinesis does not answer. See that it is "
            "reachable, then run the same command again."
        )
    if not isinstance(error, aws.ClientError):
        return StopError(_client_says(error))
    return _refused(error, code, doing)


def _refused(error: aws.ClientError, code: str, doing: str) -> IngestError:
    said = error.response.get("ResponseMetadata", {})
    if code in _THROTTLED or said.get("HTTPStatusCode", 0) >= 500:  # noqa: PLR2004
        return RetryError(
            f"Cannot {doing} ({code}): Kinesis is busy or failed. Run the same command "
            "again."
        )
    if code == "ResourceNotFoundException":
        return StopError(
            f"Cannot {doing}, there is none: make it, such as with `ingest streams "
            "create`, or correct --user-id and the region."
        )
    if code in EXPIRED:
        return StopError(f"Cannot {doing}: {_EXPIRED_NOW}")
    if code in _SKEWED:
        skew = clock_skew(said.get("HTTPHeaders", {}).get("date", ""), time.time())
        return StopError(f"Cannot {doing} ({code}): {skew or 'check the secret key.'}")
    message = short(error.response["Error"].get("Message", ""))
    return StopError(f"Cannot {doing} ({code}): {message}")


# --- direct ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kinesis:
    """The streams of one account in one region."""

    make_client: MakeClient
    address: str

    @classmethod
    def of(cls, make_client: MakeClient) -> "Kinesis":
        """Ask the client where it would go to."""
        meta = make_client().meta
        return cls(make_client, f"{meta.region_name} {meta.endpoint_url}")

    @property
    def name(self) -> str:
        """Kind, region and address."""
        return f"kinesis {self.address}"

    def topic(self, user_id: str, record_type: str) -> str:
        """Return the stream's name."""
        return stream_name(user_id, record_type)

    def identity(self, topic: str) -> str:
        """Return ARN and creation time, so that one made anew is another stream.

        The name for who may only put. Raises `StopError` where there is no stream.
        """
        client = self.make_client()
        try:
            with explain_kinesis(f"look at the stream {topic}"):
                said = client.describe_stream_summary(StreamName=topic)
        except StopError as error:
            cause = error.__cause__
            if cause is not None and error_code(cause) in _MAY_NOT_LOOK:
                return self.name
            raise
        finally:
            client.close()
        summary = said["StreamDescriptionSummary"]
        created = summary["StreamCreationTimestamp"].timestamp()
        return f"kinesis {summary['StreamARN']} {created:.0f}"

    def transport(self, topic: str) -> Transport:
        """Make a way to one stream, with a client of its own."""
        return KinesisTransport(topic, self.make_client)


class KinesisTransport:
    """Puts records to one stream; each entry's SequenceNumber acknowledges its record.

    PutRecords keeps no order, and answers 200 also where some or all entries failed.
    The client signs and sends; entries are written and read here, which takes it longer
    than all else that is done for a record.
    """

    limits = _LIMITS

    def __init__(
        self, stream: str, make_client: MakeClient, now: Callable[[], float] = time.time
    ) -> None:
        """Put to `stream`; nothing is sent yet."""
        self.stream = stream
        self._make_client = make_client
        self._client: KinesisClient | None = None
        self._entries = b""
        self._now = now
        self._renewed = False

    def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            self._client.meta.events.unregister(_BEFORE_CALL, self._write_entries)
            self._client.meta.events.unregister(_BEFORE_PARSE, _read_entries)
            self._client.close()
            self._client = None

    def _connected(self) -> "KinesisClient":
        if self._client is None:
            self._client = self._make_client()
            events = self._client.meta.events
            events.register_first(_BEFORE_CALL, self._write_entries)
            events.register_first(_BEFORE_PARSE, _read_entries)
        return self._client

    def _write_entries(self, params: dict[str, Any], **_: object) -> None:
        """Put the entries where the client has written an empty list."""
        before, empty, after = params["body"].partition(b'"Records": []')
        if not empty:
            raise AssertionError("the client does not write requests as expected")
        params["body"] = b'%b"Records":[%b]%b' % (before, self._entries, after)

    def check(self) -> Again | None:
        """Ask for the stream. Who may only put is believed that it is there."""
        try:
            with credentials_renewed():
                client = self._connected()
                said = client.describe_stream_summary(StreamName=self.stream)
        except _FAILURES as error:
            return self._unseen(error)
        return self._judge(str(said["StreamDescriptionSummary"]["StreamStatus"]))

    def _unseen(self, error: Exception) -> Again | None:
        if error_code(error) in _MAY_NOT_LOOK:
            return None
        return passing(
            self._failure(error),
            f"Kinesis cannot say whether there is a stream {self.stream} "
            f"({error_code(error)}): check the stream's name and the endpoint.",
        )

    def _judge(self, status: str) -> Again | None:
        if status == "DELETING":
            raise StopError(
                f"The stream {self.stream} is being deleted: make it anew, such as "
                "with `ingest streams create`, or correct --user-id."
            )
        if status == "CREATING":
            return Again(f"the stream {self.stream} is still being created")
        return None

    def measure(self, message: Message) -> int:
        """Return the bytes that count for Kinesis: the data and its partition key."""
        return _measured(len(message.value) + len(_partition_key(message)))

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        """Put the batch."""
        self._entries = b",".join(map(_entry, batch))
        try:
            with credentials_renewed():
                client = self._connected()
                answer = client.put_records(StreamName=self.stream, Records=[])
        except _FAILURES as error:
            return _for_each(self._failure(error), batch)
        self._renewed = False
        outcomes = _outcomes(answer.get("Records"), len(batch), self.stream)
        ambiguous = Again("an answer of Kinesis has not one entry a record", True)
        return outcomes or [ambiguous] * len(batch)

    def _failure(self, error: Exception) -> Outcome:
        """Say what a request that failed as a whole means."""
        if isinstance(error, aws.ClientError):
            return self._refusal(error)
        kind = type(error).__name__
        if _untrusted(error):
            return Stop(_CERTIFICATE)
        if isinstance(error, _NOT_CONNECTED):
            return Again(f"cannot connect to Kinesis ({short(error)})")
        if isinstance(error, _BROKEN):
            return Again(f"the connection to Kinesis broke ({kind})", ambiguous=True)
        return Stop(_client_says(error))

    def _refusal(self, error: aws.ClientError) -> Outcome:
        code = error_code(error)
        said = error.response.get("ResponseMetadata", {})
        headers = said.get("HTTPHeaders", {})
        if code in EXPIRED and not self._renewed:
            self._renewed = True
            self.close()
            return Again("the credentials have expired")
        if code in EXPIRED:
            return Stop(f"The AWS credentials have expired: {RENEW}")
        if code in _SKEWED:
            skew = clock_skew(headers.get("date", ""), self._now())
            how = skew or "check the secret key."
            return Stop(f"Kinesis does not accept the signature ({code}): {how}")
        if said.get("HTTPStatusCode", 0) >= 500:  # noqa: PLR2004 - HTTP's class
            return Again(f"Kinesis says {code}", ambiguous=True)
        message = error.response["Error"].get("Message", "")
        return outcome_of(code, message, self.stream)


def _read_entries(
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    """Read what is a success, and leave all else to the client."""
    if response_dict["status_code"] != 200:  # noqa: PLR2004
        return
    with suppress(orjson.JSONDecodeError):
        said = orjson.loads(response_dict["body"])
        entries = said.get("Records") if isinstance(said, dict) else None
        response_dict["body"] = b"{}"
        customized_response_dict["Records"] = entries


# --- through a gateway -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KinesisGateway:
    """The streams behind one stage of an API gateway.

    With `many`, records go to `/records` in batches; else one by one to `/record`.
    """

    place: Place
    authentication: Authentication
    many: bool = False

    @property
    def name(self) -> str:
        """Kind and address."""
        return f"kinesis-gateway {self.place.url}"

    def topic(self, user_id: str, record_type: str) -> str:
        """Return the stream's name."""
        return stream_name(user_id, record_type)

    def identity(self, topic: str) -> str:  # noqa: ARG002 - not every gateway can say
        """Return the name: a stream that was made anew is not noticed."""
        return self.name

    def transport(self, topic: str) -> Transport:
        """Make a way to one stream, with a connection of its own."""
        endpoint = Endpoint(self.place, self.authentication)
        return KinesisGatewayTransport(topic, endpoint, many=self.many)


class KinesisGatewayTransport:
    """Puts records through a gateway; what Kinesis answers to it comes back.

    A gateway may give an error of Kinesis, or a page of its own, the status 200.
    """

    def __init__(self, stream: str, endpoint: Endpoint, *, many: bool) -> None:
        """Put to `stream`; nothing is sent yet."""
        self.stream = stream
        self.limits = _LIMITS if many else _ONE
        self._endpoint = endpoint
        self._many = many
        resource = "records" if many else "record"
        self._path = f"/streams/{quote(stream, safe='')}/{resource}"

    def close(self) -> None:
        """Drop the connection."""
        self._endpoint.close()

    def check(self) -> Again | None:
        """Ask nothing: not every gateway can say, and a put is answered at once."""
        return None

    def measure(self, message: Message) -> int:
        """Return the bytes in a request; only JSON can stand in one."""
        if message.key is None:
            _require_json(message)
        size = _measured(len(message.value) + len(_partition_key(message)))
        return size + _ENVELOPE_BYTES

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        """Put the batch, or its one record."""
        body = _records(batch) if self._many else _record(self.stream, batch[0])
        answer = self._endpoint.request("PUT", self._path, body, _HEADERS)
        if isinstance(answer, Again):
            return [answer] * len(batch)
        outcomes = self._outcomes(answer, len(batch))
        if outcomes is None:
            self._endpoint.close()
            return _for_each(self.judge(answer), batch)
        return outcomes

    def _outcomes(self, answer: Answer, count: int) -> list[Outcome] | None:
        named = answer.json()
        if answer.status != 200 or not isinstance(named, dict):  # noqa: PLR2004
            return None
        entries = named.get("Records") if self._many else [named]
        if not self._many and "SequenceNumber" not in named:
            return None
        return _outcomes(entries, count, self.stream)

    def judge(self, answer: Answer) -> Outcome:
        """Say what an answer means that acknowledges nothing."""
        named = answer.json()
        kind = named.get("__type") if isinstance(named, dict) else None
        if answer.status in {401, 403} or not isinstance(kind, str):
            return self._endpoint.judge(answer)
        code = kind.rpartition("#")[2]
        if code in EXPIRED | _SKEWED | _DENIED:
            return Stop(
                f"Kinesis does not let {self._endpoint.place.url} in ({code}): correct "
                "the role that the gateway takes."
            )
        return outcome_of(code, "", self.stream)


# --- what both say -----------------------------------------------------------------


def outcome_of(
    code: str, message: object, stream: str, *, ambiguous: bool = True
) -> Outcome:
    """Say what an error code of Kinesis means for a record.

    A call that failed inside is ambiguous. An entry that failed inside was not stored,
    and says nothing about the size of the call.
    """
    reason = f"Kinesis says {code}"
    if code in _THROTTLED:
        return Again(reason)
    if code in _FAILED_INSIDE:
        return Again(reason, ambiguous)
    if code == "ResourceNotFoundException":
        return Stop(
            f"Kinesis knows no stream {stream}: make it, such as with `ingest streams "
            "create`, or correct --user-id and the region."
        )
    if code in _DENIED:
        return Stop(
            f"Kinesis denies access to {stream} ({code}): check the credentials, and "
            "grant kinesis:PutRecords and kinesis:DescribeStreamSummary."
        )
    if code in _REFUSED:
        return Refused(f"{code}: {short(message)}")
    return Unclear(reason)


def _for_each(outcome: Outcome, batch: Sequence[Message]) -> list[Outcome]:
    """Give each record the outcome of its request.

    Sizes are checked before, so a refused request is looked at with care: bisected, but
    what is refused alone is unclear. A stream or gateway that refuses everything must
    not have everything set aside.
    """
    if isinstance(outcome, Refused) and len(batch) == 1:
        return [Unclear(outcome.reason)]
    return [outcome] * len(batch)


def error_code(error: BaseException) -> str:
    """Return what AWS calls the error, or the name of its class."""
    if isinstance(error, aws.ClientError):
        return str(error.response["Error"].get("Code", ""))
    return type(error).__name__


def _outcomes(entries: object, count: int, stream: str) -> list[Outcome] | None:
    """Return one outcome for each entry; None where there is not one for each."""
    if not isinstance(entries, list) or len(entries) != count:
        return None
    return [_outcome(entry, stream) for entry in entries]


def _outcome(entry: object, stream: str) -> Outcome:
    if not isinstance(entry, dict):
        return Again("an entry of an answer is no object", ambiguous=True)
    number, code = entry.get("SequenceNumber"), entry.get("ErrorCode")
    if isinstance(number, str) and number and not code:
        return Acknowledged(str(entry.get("ShardId")), number)
    if not code:
        return Again("an entry has no sequence number", ambiguous=True)
    said = entry.get("ErrorMessage")
    return outcome_of(str(code), said, stream, ambiguous=False)


def _entry(message: Message) -> bytes:
    data = b2a_base64(message.value, newline=False)
    return b'{"Data":"%b","PartitionKey":"%b"}' % (data, _partition_key(message))


def _partition_key(message: Message) -> bytes:
    """Return the event's number, so that its three records keep their order."""
    return _NO_KEY if message.key is None else b"%d" % message.key


def _measured(size: int) -> int:
    if size > MAX_RECORD_BYTES:
        raise SetAsideError("too_large", "is over 1 MiB with its key")
    return size


def _require_json(message: Message) -> None:
    with suppress(orjson.JSONDecodeError):
        orjson.loads(message.value)
        return
    reason = "is not JSON, and the gateway takes nothing else"
    raise SetAsideError("not_json", reason)


def _record(stream: str, message: Message) -> bytes:
    named = stream.encode(), message.value, _partition_key(message)
    return b'{"StreamName":"%b","Data":%b,"PartitionKey":"%b"}' % named


def _records(batch: Sequence[Message]) -> bytes:
    records = [
        b'{"data":%b,"partition-key":"%b"}' % (message.value, _partition_key(message))
        for message in batch
    ]
    return b'{"records":[' + b",".join(records) + b"]}"
