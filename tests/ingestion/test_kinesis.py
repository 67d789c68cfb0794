"""Kinesis: what each answer means, and that nothing is lost under any faults."""

import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import faulty_kinesis
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from faulty_kinesis import (
    FakeSettled,
    Fault,
    FaultyKinesis,
    MemoryKinesis,
    WatchedTransport,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.authentication import Authentication, NoAuth
from ingestion.delivery import (
    Acknowledged,
    Again,
    Courier,
    Message,
    Outcome,
    Refused,
    Stop,
    Unclear,
)
from ingestion.endpoints import Endpoint, Place
from ingestion.errors import RetryError, SetAsideError, StopError
from ingestion.kinesis import (
    Kinesis,
    KinesisGateway,
    KinesisGatewayTransport,
    KinesisTransport,
)

if TYPE_CHECKING:
    import requests
    from types_boto3_kinesis import KinesisClient

UNTRUSTED = SSLError(endpoint_url="u", error=OSError("CERTIFICATE_VERIFY_FAILED"))
STALE = "Credentials were refreshed, but the refreshed credentials are still expired."
ONE = [Message(0, 7528, b'{"index":7528}')]
TWO = [*ONE, Message(1, 2863, b'{"index":2863}')]
DATE = "Sun, 22 Nov 2026 12:00:00 GMT"
AT_DATE = 1795348800.0


class FakeClient:
    """Answers or raises what it is told, once a call."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.puts: list[dict[str, Any]] = []
        self.closed = 0
        self.hooks: dict[str, Callable[..., None]] = {}
        self.meta = SimpleNamespace(events=self)

    def register_first(self, event: str, hook: Callable[..., None]) -> None:
        self.hooks[event] = hook

    def unregister(self, event: str, hook: Callable[..., None]) -> None:
        assert self.hooks.pop(event) == hook

    def put_records(self, **put: object) -> object:
        params = {"body": json.dumps(put).encode()}
        self.hooks["before-call.kinesis.PutRecords"](params=params)
        self.puts.append(json.loads(params["body"]))
        return self.describe_stream_summary()

    def describe_stream_summary(self, **_: object) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


class Raw(io.BytesIO):
    """A body as urllib3 has it."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.getvalue()


def direct(fake: FakeClient, now: float = AT_DATE) -> KinesisTransport:
    return KinesisTransport("s", lambda: cast("KinesisClient", fake), lambda: now)


def refusal(code: str, status: int = 400, date: str = DATE) -> ClientError:
    said = {"HTTPStatusCode": status, "HTTPHeaders": {"date": date}}
    answer = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": said}
    return ClientError(cast("Any", answer), "PutRecords")


def entry(number: int) -> dict[str, str]:
    return {"ShardId": "shardId-000000000000", "SequenceNumber": str(number)}


def test_an_entry_is_acknowledged_by_its_own_sequence_number() -> None:
    throttled = {"ErrorCode": "ProvisionedThroughputExceededException"}
    fake = FakeClient({"FailedRecordCount": 1, "Records": [entry(5), throttled]})
    assert direct(fake).send(TWO) == [
        Acknowledged("shardId-000000000000", "5"),
        Again("Kinesis says ProvisionedThroughputExceededException"),
    ]
    data = base64.b64encode(b'{"index":2863}').decode()
    assert fake.puts[0]["StreamName"] == "s"
    assert fake.puts[0]["Records"][1] == {"Data": data, "PartitionKey": "2863"}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"Records":[{"ShardId":"s","SequenceNumber":"5"}]}', Acknowledged("s", "5")),
        (b'{"Records":[{"ErrorCode":"Throttling"}]}', Again("Kinesis says Throttling")),
        (b'{"Records":{}}', None),
        (b"{}", None),
        (b"[]", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_what_the_client_signs_is_what_was_written_and_what_it_got_is_read(
    body: bytes, outcome: Outcome | None
) -> None:
    sent: list[Any] = []

    def answer(request: AWSPreparedRequest, **_: object) -> Any:  # noqa: ANN401
        sent.append(request)
        return AWSResponse(request.url, 200, cast("Any", {}), Raw(body))

    client = faulty_kinesis.client()
    client.meta.events.register("before-send.kinesis.PutRecords", answer)
    transport = KinesisTransport("s", lambda: client)
    (found,) = transport.send([Message(0, None, b'"a"')])
    transport.close()
    if outcome is None:
        assert_means(found, Again, detail=True)
    else:
        assert found == outcome
    (request,) = sent
    assert json.loads(request.body) == {
        "StreamName": "s",
        "Records": [{"Data": "ImEi", "PartitionKey": "no-key"}],
    }
    signed = request.headers["Authorization"].decode().rpartition("Signature=")[2]
    assert signed == signature_of(request)


def signature_of(request: Any) -> str:  # noqa: ANN401
    """Sign anew what was sent."""
    headers = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in request.headers.items()
    }
    named = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    kept = {name: headers[name] for name in headers if name.lower() in named}
    again = AWSRequest("POST", request.url, kept, request.body)
    again.context["timestamp"] = headers["X-Amz-Date"]
    credentials = Credentials("made-up", "for tests")
    signer = SigV4Auth(credentials, "kinesis", "eu-west-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return str(signer.signature(text, again))


@pytest.mark.parametrize(
    "records",
    [None, [], [entry(1)], [entry(1)] * 3, "no list", [{}, {}], [1, 2]],
)
def test_an_answer_without_an_entry_a_record_acknowledges_nothing(
    records: object,
) -> None:
    outcomes = direct(FakeClient({"Records": records})).send(TWO)
    assert len(outcomes) == 2
    assert all(isinstance(o, Again) and o.ambiguous for o in outcomes)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (refusal("ProvisionedThroughputExceededException"), (Again, False)),
        (refusal("ThrottlingException"), (Again, False)),
        (refusal("InternalFailure", 500), (Again, True)),
        (refusal("502", 502), (Again, True)),
        (EndpointConnectionError(endpoint_url="u"), (Again, False)),
        (ReadTimeoutError(endpoint_url="u"), (Again, True)),
        (ConnectionClosedError(endpoint_url="u"), (Again, True)),
        (refusal("ResourceNotFoundException"), (Stop, "no stream s: make it")),
        (refusal("AccessDeniedException"), (Stop, "grant kinesis:PutRecords")),
        (refusal("UnrecognizedClientException"), (Stop, "check the credentials")),
        (refusal("KMSDisabledException"), (Stop, "KMSDisabledException")),
        (NoCredentialsError(), (Stop, "set AWS_ACCESS_KEY_ID")),
        (UNTRUSTED, (Stop, "AWS_CA_BUNDLE")),
        (SSLError(endpoint_url="u", error=OSError("EOF occurred")), (Again, True)),
        (refusal("ValidationException"), (Refused, "ValidationException: said")),
        (refusal("SomethingNew"), (Unclear, "SomethingNew")),
    ],
)
def test_an_error_means(error: Exception, outcome: tuple[type, object]) -> None:
    first, second = direct(FakeClient(error)).send(TWO)
    assert first == second
    assert_means(first, *outcome)


def assert_means(found: Outcome, kind: type, detail: object) -> None:
    assert isinstance(found, kind)
    if isinstance(found, Again):
        assert found.ambiguous is detail
    else:
        assert str(detail) in found[0]


def test_what_is_refused_alone_is_unclear_so_that_not_all_is_set_aside() -> None:
    (outcome,) = direct(FakeClient(refusal("ValidationException"))).send(ONE)
    assert isinstance(outcome, Unclear)


def test_expired_credentials_are_renewed_once_then_stop() -> None:
    made: list[FakeClient] = []
    expired = refusal("ExpiredTokenException")
    answers: list[list[object]] = [[expired], [{"Records": [entry(1)]}, expired]]

    def make() -> "KinesisClient":
        made.append(FakeClient(*(answers.pop(0) if answers else [expired])))
        return cast("KinesisClient", made[-1])

    transport = KinesisTransport("s", make)
    kinds = [type(transport.send(ONE)[0]) for _ in range(4)]
    assert kinds == [Again, Acknowledged, Again, Stop]
    assert [fake.closed for fake in made] == [1, 1, 0]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(600, "600 s ahead of"), (-600, "600 s behind"), (30, "check the secret key")],
)
def test_a_clock_that_is_wrong_is_named(seconds: int, said: str) -> None:
    fake = FakeClient(refusal("InvalidSignatureException"))
    (outcome,) = direct(fake, AT_DATE + seconds).send(ONE)
    assert_means(outcome, Stop, said)


def test_a_certificate_is_looked_at_before_the_first_record_too() -> None:
    kinesis = Kinesis(lambda: cast("KinesisClient", FakeClient(UNTRUSTED)), "here")
    with pytest.raises(StopError, match=r"not trusted.*AWS_CA_BUNDLE"):
        kinesis.identity("s")
    broken = FakeClient(SSLError(endpoint_url="u", error=OSError("EOF occurred")))
    kinesis = Kinesis(lambda: cast("KinesisClient", broken), "here")
    with pytest.raises(RetryError, match="does not answer"):
        kinesis.identity("s")


def test_credentials_that_come_expired_from_a_cache_stop_in_one_sentence() -> None:
    """botocore raises a bare RuntimeError for them, at any call."""
    transport = direct(FakeClient(RuntimeError(STALE), RuntimeError(STALE)))
    for call in (transport.check, lambda: transport.send(ONE)):
        with pytest.raises(StopError, match="have expired: renew them"):
            call()
    kinesis = Kinesis(
        lambda: cast("KinesisClient", FakeClient(RuntimeError(STALE))), "here"
    )
    with pytest.raises(StopError, match="have expired: renew them"):
        kinesis.identity("s")


def described(status: str) -> object:
    return {"StreamDescriptionSummary": {"StreamStatus": status}}


def test_a_stream_is_looked_at_before_the_first_record() -> None:
    assert direct(FakeClient(described("ACTIVE"))).check() is None
    assert direct(FakeClient(described("UPDATING"))).check() is None
    assert direct(FakeClient(refusal("AccessDeniedException"))).check() is None
    assert isinstance(direct(FakeClient(described("CREATING"))).check(), Again)
    assert isinstance(
        direct(FakeClient(EndpointConnectionError(endpoint_url="u"))).check(), Again
    )
    for answer, said in [
        (described("DELETING"), "being deleted"),
        (refusal("ResourceNotFoundException"), "knows no stream s"),
        (refusal("ValidationException"), "cannot say whether there is a stream s"),
    ]:
        with pytest.raises(StopError, match=said):
            direct(FakeClient(answer)).check()


def test_sizes_count_the_key_and_end_at_one_mebibyte() -> None:
    transport = direct(FakeClient())
    assert transport.measure(Message(0, 12, b"x" * 10)) == 12
    assert transport.measure(Message(0, 1, b"x" * ((1 << 20) - 1))) == 1 << 20
    with pytest.raises(SetAsideError, match="over 1 MiB with its key"):
        transport.measure(Message(0, 1, b"x" * (1 << 20)))


def test_a_name_that_kinesis_does_not_take_is_refused() -> None:
    kinesis = Kinesis(lambda: cast("KinesisClient", FakeClient()), "here")
    assert kinesis.topic("12a740a19697", "pin") == "streaming-12a740a19697-pin"
    with pytest.raises(StopError, match="is no name for a stream"):
        kinesis.topic("a/b", "pin")


# --- gateway -----------------------------------------------------------------------


class FakeSession:
    """Answers what it is told, and keeps what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.answer = SimpleNamespace(
            status_code=status, headers={"Content-Type": "x"}, content=body
        )
        self.asked: list[tuple[str, str, bytes]] = []

    def request(
        self, method: str, url: str, *, data: bytes, **_: object
    ) -> SimpleNamespace:
        self.asked.append((method, url, data))
        return self.answer

    def close(self) -> None:
        pass


def through(
    session: FakeSession, *, many: bool, stream: str = "streaming-u-pin"
) -> KinesisGatewayTransport:
    make = cast("Callable[[], requests.Session]", lambda: session)
    endpoint = Endpoint(Place("https://gateway/test", gateway=True), make_session=make)
    return KinesisGatewayTransport(stream, endpoint, many=many)


def test_one_record_goes_to_the_gateway_as_the_original_sends_it() -> None:
    session = FakeSession(200, json.dumps(entry(5)).encode())
    transport = through(session, many=False)
    assert transport.limits.records == 1
    assert transport.send(ONE) == [Acknowledged("shardId-000000000000", "5")]
    assert session.asked == [
        (
            "PUT",
            "https://gateway/test/streams/streaming-u-pin/record",
            (
                b'{"StreamName":"streaming-u-pin","Data":{"index":7528},'
                b'"PartitionKey":"7528"}'
            ),
        )
    ]


def test_many_records_go_to_the_gateway_in_one_request() -> None:
    failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "said"}
    body = {"FailedRecordCount": 1, "Records": [entry(5), failed]}
    session = FakeSession(200, json.dumps(body).encode())
    outcomes = through(session, many=True).send(TWO)
    assert outcomes[0] == Acknowledged("shardId-000000000000", "5")
    assert_means(outcomes[1], Again, detail=False)
    method, url, sent = session.asked[0]
    assert (method, url.rpartition("/")[2]) == ("PUT", "records")
    assert sent == (
        b'{"records":[{"data":{"index":7528},"partition-key":"7528"},'
        b'{"data":{"index":2863},"partition-key":"2863"}]}'
    )


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"<html>", (Again, True)),
        (200, b"{}", (Again, True)),
        (200, b'{"Records":[{}]}', (Again, True)),
        (200, b'{"__type":"ResourceNotFoundException"}', (Stop, "knows no stream")),
        (400, b'{"__type":"com.x#ResourceNotFoundException"}', (Stop, "no stream")),
        (200, b'{"__type":"ProvisionedThroughputExceededException"}', (Again, False)),
        (500, b'{"__type":"InternalFailure"}', (Again, True)),
        (200, b'{"__type":"AccessDeniedException"}', (Stop, "role that the gateway")),
        (200, b'{"__type":"ValidationException"}', (Refused, "ValidationException")),
        (403, b'{"message":"Missing Authentication Token"}', (Stop, "no such path")),
        (403, b'{"message":"Forbidden"}', (Stop, "denies access")),
        (429, b'{"message":"Too Many Requests"}', (Again, False)),
        (504, b'{"message":"Endpoint request timed out"}', (Again, True)),
        (413, b"", (Refused, "HTTP 413")),
    ],
)
def test_an_answer_of_the_gateway_means(
    status: int, body: bytes, outcome: tuple[type, object]
) -> None:
    outcomes = through(FakeSession(status, body), many=True).send(TWO)
    assert len(outcomes) == 2
    assert_means(outcomes[0], *outcome)


def test_only_json_goes_through_a_gateway() -> None:
    transport = through(FakeSession(200, b""), many=True)
    assert transport.measure(Message(0, None, b'{"hello":"world"}')) > 0
    with pytest.raises(SetAsideError, match="is not JSON"):
        transport.measure(Message(0, None, b"no json"))


def test_a_gateway_is_told_from_others_without_secrets() -> None:
    place = Place.parse("https://gateway/test/", gateway=True)
    gateway = KinesisGateway(place, Authentication(NoAuth(), secret=False))
    assert gateway.name == "kinesis-gateway https://gateway/test"


# --- under faults ------------------------------------------------------------------


class FakePace:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


CLIENT = faulty_kinesis.client()


class HonestTransport(WatchedTransport):
    """Fails where something is acknowledged that is not stored there and then."""

    memory: MemoryKinesis

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        outcomes = super().send(batch)
        for found, message in self.acknowledged[-len(batch) :]:
            put = self.memory.at(found.partition, found.offset)
            assert put == (str(message.key), message.value)
        return outcomes


class Sure(Random):
    """Draws what it is told."""

    def __init__(self, count: int) -> None:
        super().__init__(1)
        self._count = count

    def randint(self, a: int, b: int) -> int:
        return min(max(self._count, a), b)


@pytest.mark.parametrize("count", [1, 250, 499])
def test_of_500_records_any_number_may_fail_and_only_those_are_sent_again(
    count: int,
) -> None:
    memory, faults = MemoryKinesis(), chain([Fault.SOME], repeat(Fault.NONE))
    faulty = FaultyKinesis(CLIENT, lambda: next(faults), Sure(count), memory)
    transport, settled = HonestTransport("s", faulty), FakeSettled()
    transport.memory = memory
    sent = list(faulty_kinesis.messages(range(1_000)))
    try:
        courier = Courier("s", transport, settled, FakePace())
        courier.deliver(iter(sent))
    finally:
        transport.close()
        faulty.close()
    assert faulty.failed == [(count, 500)]
    assert (courier.tally.requests, courier.tally.resent) == (3, count)
    stored = [put for shard in memory.shards.values() for put in shard]
    assert sorted(stored) == sorted((str(m.key), m.value) for m in sent)


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(st.sampled_from(Fault), max_size=40),
    st.lists(st.integers(0, 30), min_size=1, max_size=120),
    st.randoms(use_true_random=False),
)
def test_under_any_faults_all_is_stored_and_the_last_value_is_the_last_sent(
    faults: list[Fault], keys: list[int], random: Random
) -> None:
    memory = MemoryKinesis()
    told = chain(faults, repeat(Fault.NONE))
    faulty = FaultyKinesis(CLIENT, lambda: next(told), random, memory)
    settled, sent = FakeSettled(), list(faulty_kinesis.messages(keys))
    try:
        while settled.position < len(sent):
            transport = HonestTransport("s", faulty)
            transport.memory = memory
            courier = Courier("s", transport, settled, FakePace())
            left = iter(sent[settled.position :])
            try:
                courier.deliver(left, settled.position)
            except StopError as error:
                if "have expired" not in str(error):  # twice in a row
                    raise
            finally:
                transport.close()
    finally:
        faulty.close()
    stored = [put for shard in memory.shards.values() for put in shard]
    assert {data for _, data in stored} == {message.value for message in sent}
    assert dict(stored) == {str(m.key): m.value for m in sent}
