"""Kafka REST without a network: what is sent, and what each answer means."""

import email.utils
import json
from collections.abc import Sequence
from typing import Any

import pytest
import requests
from dialects import JSON_V2, Fault, Reply, json_reply
from memory_front import CannedAdapter, MemoryProxy
from urllib3.exceptions import NewConnectionError

from ingestion.delivery import (
    Acknowledged,
    Again,
    Message,
    Outcome,
    Refused,
    Stop,
    Unclear,
)
from ingestion.endpoints import Endpoint, Place
from ingestion.errors import SetAsideError, StopError
from ingestion.kafka_rest import KafkaRest, KafkaRestTransport

NOW = 1_700_000_000.0
URL = "http://127.0.0.1:8082"
BATCH = [Message(n, 7 + n, b'{"index":%d}' % (7 + n)) for n in range(3)]


class Wire:
    """A transport whose answers are given, and what it sent."""

    def __init__(self, *replies: Reply | Exception, url: str = URL) -> None:
        self.adapter = CannedAdapter(list(replies))
        self.sessions = 0
        endpoint = Endpoint(
            Place.parse(url), make_session=self._session, now=lambda: NOW
        )
        self.transport = KafkaRestTransport("u.pin", endpoint)

    def _session(self) -> requests.Session:
        self.sessions += 1
        session = requests.Session()
        session.mount("http://", self.adapter)
        session.mount("https://", self.adapter)
        return session

    def send(self, batch: Sequence[Message] = BATCH) -> Sequence[Outcome]:
        return self.transport.send(batch)

    def only(self) -> Outcome:
        """Send, and return the outcome that all records share."""
        (outcome,) = set(self.send())
        return outcome


def offsets(*entries: dict[str, Any], status: int = 200) -> Reply:
    return json_reply(status, {"offsets": entries})


GOOD: dict[str, Any] = {"partition": 0, "offset": 5}


def test_the_bytes_of_a_value_are_sent_as_they_are() -> None:
    value = b' {"index":7, "n":1.10e2,"big":123456789012345678901,"t":"\\u00e9"}'
    wire = Wire(offsets(GOOD, GOOD))
    wire.send([Message(0, 7, value), Message(1, None, b'{"hello":"world"}')])
    (sent,) = wire.adapter.requests
    assert sent.body == (
        b'{"records":[{"key":7,"value":' + value + b'},{"value":{"hello":"world"}}]}'
    )
    assert sent.headers["Content-Type"] == JSON_V2
    assert sent.url == f"{URL}/topics/u.pin"
    assert wire.adapter.timeouts == [(5.0, 70.0)]


def test_a_gateway_is_waited_for_35_seconds() -> None:
    url = "https://abc.execute-api.eu-west-1.amazonaws.com/prod"
    wire = Wire(offsets(GOOD, GOOD, GOOD), url=url)
    wire.send()
    assert wire.adapter.timeouts == [(5.0, 35.0)]
    assert Place.parse(url).region == "eu-west-1"
    assert Place.parse(URL, gateway=True).read_seconds == 35


def test_an_offset_is_an_acknowledgement() -> None:
    wire = Wire(offsets(GOOD, {**GOOD, "error_code": None, "error": None}, GOOD))
    assert wire.only() == Acknowledged("0", "5")
    assert wire.sessions == 1


@pytest.mark.parametrize("dialect", ["strimzi", "confluent", "karapace"])
def test_a_partial_failure_is_told_apart_in_each_dialect(dialect: str) -> None:
    """Behind the bridge all expires from the bad record on, the good one too."""
    proxy = MemoryProxy(dialect, "u.pin")
    endpoint = Endpoint(Place.parse(URL), make_session=proxy.make_session)
    transport = KafkaRestTransport("u.pin", endpoint)
    batch = [BATCH[0], Message(1, 8, b'{"x":"unstorable"}'), BATCH[2]]
    first, second, third = transport.send(batch)
    assert first == Acknowledged("0", "0")
    if dialect == "strimzi":
        assert second == third
        assert isinstance(second, Again)
        (second,) = transport.send(batch[1:2])
    else:
        assert third == Acknowledged("0", "1")
    assert isinstance(second, Unclear)
    assert "larger than" in second.reason


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"error_code": 50003, "error": "retriable"}, Again),
        ({"error_code": 2, "error": "retriable"}, Again),
        ({"error_code": 500, "message": "Expiring 2 record(s) for t-0"}, Again),
        ({"error_code": 50002, "error": "no"}, Unclear),
        ({"error_code": 1, "error": "no"}, Unclear),
        ({"error_code": 500, "message": "no"}, Unclear),
        ({"error_code": 0, "partition": 0, "offset": 1}, Unclear),
        ({"error_code": 40301, "error": "no"}, Stop),
        ({"error_code": 40101, "error": "no"}, Stop),
        ({"partition": 0, "offset": -1}, Again),
        ({"partition": 0, "offset": True}, Again),
        ({"partition": 0, "offset": "5"}, Again),
        ({}, Again),
    ],
)
def test_an_entry_without_a_good_offset_is_no_acknowledgement(
    entry: dict[str, Any], kind: type
) -> None:
    wire = Wire(offsets(GOOD, entry, GOOD), offsets(GOOD, GOOD, GOOD))
    first, second, third = wire.send()
    assert first == third == Acknowledged("0", "5")
    assert type(second) is kind
    wire.send()
    assert wire.sessions == 2


def test_a_proxy_that_waits_for_no_broker_is_named_after_one_repeat() -> None:
    nowhere = {"partition": 0, "offset": -1}
    wire = Wire(*[offsets(GOOD, nowhere, GOOD)] * 2, offsets(GOOD, GOOD, GOOD))
    assert isinstance(wire.send()[1], Again)
    first, second, third = wire.send()
    assert first == third == Acknowledged("0", "5")
    assert isinstance(second, Stop)
    assert "Set acks=all at the proxy" in second.message
    assert wire.only() == Acknowledged("0", "5")


@pytest.mark.parametrize(
    "url",
    ["http://[::1:8082", "http://host:99999", "http://host:port", "http://[x]:1"],
)
def test_what_is_no_address_is_one_sentence(url: str) -> None:
    with pytest.raises(StopError, match="--url takes an address such as"):
        Place.parse(url)


def test_a_host_that_cannot_be_one_is_one_sentence() -> None:
    endpoint = Endpoint(Place.parse("http://a..b"))
    with pytest.raises(
        StopError, match=r"http://a\.\.b cannot be asked .*check the URL"
    ):
        endpoint.request("GET", "/", None, {})


@pytest.mark.parametrize(
    "reply",
    [
        offsets(GOOD, GOOD),
        offsets(GOOD, GOOD, GOOD, GOOD),
        json_reply(200, {"offsets": None}),
        json_reply(200, [GOOD, GOOD, GOOD]),
        Reply(200, b"<html>ok</html>", {"Content-Type": "text/html"}),
        Reply(200, b"", {}),
        Reply(204, b"", {}),
        json_reply(500, {"error_code": 500, "message": "x"}),
        json_reply(502, {}),
        json_reply(504, {"message": "Endpoint request timed out"}),
    ],
)
def test_what_acknowledges_nothing_may_have_been_stored(reply: Reply) -> None:
    wire = Wire(reply, offsets(GOOD, GOOD, GOOD))
    outcome = wire.only()
    assert isinstance(outcome, Again)
    assert outcome.ambiguous
    wire.send()
    assert wire.sessions == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_answer_is_not_ambiguous_and_says_how_long(status: int) -> None:
    wire = Wire(Reply(status, b"", {"Retry-After": "7"}))
    outcome = wire.only()
    assert isinstance(outcome, Again)
    assert not outcome.ambiguous
    assert outcome.retry_after == 7


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": email.utils.formatdate(NOW + 90, usegmt=True)}, 90),
        (
            {
                "Retry-After": email.utils.formatdate(NOW + 500, usegmt=True),
                "Date": email.utils.formatdate(NOW + 470, usegmt=True),
            },
            30,
        ),
        ({"Retry-After": email.utils.formatdate(NOW - 90, usegmt=True)}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-3"}, 0),
        ({}, 0),
    ],
)
def test_retry_after_may_be_a_date(headers: dict[str, str], seconds: float) -> None:
    outcome = Wire(Reply(429, b"", headers)).only()
    assert isinstance(outcome, Again)
    assert outcome.retry_after == seconds


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_to_be_bisected(status: int) -> None:
    reply = json_reply(status, {"error_code": status, "message": "secret value"})
    outcome = Wire(reply).only()
    assert isinstance(outcome, Refused)
    assert "secret" not in outcome.reason


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (
            json_reply(404, {"error_code": 40401, "message": "x"}),
            "knows no topic u.pin",
        ),
        (json_reply(404, {"message": "Not Found"}), "path or stage"),
        (Reply(301, b"", {"Location": "https://elsewhere"}), "redirects"),
        (Reply(307, b"", {"Location": "https://elsewhere"}), "redirects"),
        (Reply(415, b"", {}), "is the right one"),
        (Reply(401, b"", {}), "check the credentials"),
        (Reply(403, b"", {}), "check the credentials"),
        (
            json_reply(403, {"message": "Missing Authentication Token"}),
            "no such path or method",
        ),
        (
            Reply(403, b"", {"Date": email.utils.formatdate(NOW - 400, usegmt=True)}),
            "400 s ahead of the server's",
        ),
        (
            Reply(403, b"", {"Date": email.utils.formatdate(NOW + 61, usegmt=True)}),
            "61 s behind the server's",
        ),
        (json_reply(403, {"message": "The token has expired"}), "have expired"),
    ],
)
def test_what_nobody_can_wait_out_stops(reply: Reply, says: str) -> None:
    outcome = Wire(reply).only()
    assert isinstance(outcome, Stop)
    assert says in outcome.message


def test_a_redirect_is_never_followed() -> None:
    wire = Wire(Reply(307, b"", {"Location": "http://127.0.0.1:9/topics/u.pin"}))
    wire.send()
    assert len(wire.adapter.requests) == 1


def test_a_connection_that_was_never_made_is_not_ambiguous() -> None:
    class InnerError(Exception):
        reason = NewConnectionError(None, "refused")  # type: ignore[arg-type]

    outcome = Wire(requests.ConnectionError(InnerError())).only()
    assert outcome == Again(f"cannot connect to {URL}")
    outcome = Wire(requests.ConnectTimeout()).only()
    assert outcome == Again(f"cannot connect to {URL}")


@pytest.mark.parametrize(
    "error",
    [
        requests.ReadTimeout(),
        requests.ConnectionError("reset"),
        requests.exceptions.ChunkedEncodingError(),
        requests.exceptions.SSLError("EOF occurred"),
    ],
)
def test_a_connection_that_broke_is_ambiguous_and_given_up(error: Exception) -> None:
    wire = Wire(error, offsets(GOOD, GOOD, GOOD))
    outcome = wire.only()
    assert isinstance(outcome, Again)
    assert outcome.ambiguous
    wire.send()
    assert wire.sessions == 2


def test_a_certificate_that_is_not_trusted_stops() -> None:
    error = requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    with pytest.raises(StopError, match="REQUESTS_CA_BUNDLE"):
        Wire(error).send()


def test_an_unknown_topic_stops_before_the_first_record() -> None:
    proxy = MemoryProxy("strimzi", "u.geo")
    endpoint = Endpoint(Place.parse(URL), make_session=proxy.make_session)
    with pytest.raises(StopError, match=r"knows no topic u\.pin: make it"):
        KafkaRestTransport("u.pin", endpoint).check()
    assert KafkaRestTransport("u.geo", endpoint).check() is None


def test_a_check_that_a_gateway_does_not_offer_is_left_out() -> None:
    assert Wire(Reply(405, b"", {})).transport.check() is None
    again = Wire(Reply(503, b"", {})).transport.check()
    assert isinstance(again, Again)
    again = Wire(Reply(200, b"<html>", {})).transport.check()
    assert isinstance(again, Again)
    with pytest.raises(StopError, match="denies access"):
        Wire(Reply(403, b"", {})).transport.check()
    with pytest.raises(StopError, match="check that it is a Kafka REST proxy"):
        Wire(Reply(400, b"", {})).transport.check()


def test_a_missing_topic_in_an_entry_is_believed_when_asked_again() -> None:
    entry = {"error_code": 404, "message": "Topic u.pin not present in metadata"}
    missing = json_reply(404, {"error_code": 404, "message": "x"})
    with pytest.raises(StopError, match="knows no topic"):
        Wire(offsets(entry, entry, entry), missing).send()
    there = json_reply(200, {"name": "u.pin"})
    outcome = Wire(offsets(entry, entry, entry), there).only()
    assert isinstance(outcome, Again)
    assert outcome.ambiguous


def test_a_record_over_1_mib_with_its_key_is_set_aside_before_sending() -> None:
    wire = Wire()
    assert wire.transport.measure(BATCH[0]) > len(BATCH[0].value)
    with pytest.raises(SetAsideError, match="over 1 MiB"):
        wire.transport.measure(Message(0, 1, b'{"a":"' + b"x" * (1 << 20) + b'"}'))


def test_what_is_not_json_cannot_stand_in_a_request() -> None:
    wire = Wire()
    for value in (b"no json", b'{"a":NaN}', b'{"a":1,}', b'{"a":1} x'):
        with pytest.raises(SetAsideError, match="not JSON"):
            wire.transport.measure(Message(0, None, value))
    wire.transport.measure(Message(0, None, b'"text"'))


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host/stage",
        "https://host/stage?x-api-key=secret",
        "https://host/stage#secret",
    ],
)
def test_a_url_with_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StopError) as caught:
        Place.parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://host", "host:8082", "", "http://"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(StopError, match="takes an address"):
        Place.parse(url)


def test_topics_are_named_by_user_and_type_as_kafka_allows() -> None:
    destination = KafkaRest(Place.parse(URL + "/"))
    assert destination.topic("12a740a19697", "pin") == "12a740a19697.pin"
    assert destination.name == f"kafka-rest {URL}"
    for user_id in ("a/b", "a b", "é", "x" * 246):
        with pytest.raises(StopError, match="no name for a topic"):
            destination.topic(user_id, "pin")


@pytest.mark.parametrize("dialect", ["strimzi", "confluent", "karapace"])
def test_the_front_of_the_tests_refuses_as_the_real_ones_do(dialect: str) -> None:
    front = MemoryProxy(dialect, "u.pin").front
    assert front.post("u.pin", "text/plain", b"{}").status in {400, 415}
    assert front.post("u.pin", JSON_V2, b"{").status == 400
    empty = front.post("u.pin", JSON_V2, b'{"records":[]}')
    assert empty.status == {"strimzi": 200, "confluent": 422, "karapace": 400}[dialect]
    front.faults = [Fault("partial")]
    body = json.dumps({"records": [{"value": 1}, {"value": 2}]}).encode()
    partial = front.post("u.pin", JSON_V2, body)
    assert partial.status == (422 if dialect == "karapace" else 200)
    assert partial.failed
