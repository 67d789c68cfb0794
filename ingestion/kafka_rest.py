"""Kafka REST v2: to Confluent's proxy, Karapace or the Strimzi bridge.

Which of the three answers is seen in the answer. The source of the formats is the
"REST Proxy API Reference, v2" of Confluent, and each project's source where it differs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import orjson

from ingestion.authentication import Authentication, NoAuth
from ingestion.delivery import (
    Acknowledged,
    Again,
    Limits,
    Message,
    Outcome,
    Refused,
    Stop,
    Unclear,
    passing,
)
from ingestion.endpoints import Answer, Endpoint, Place, short
from ingestion.errors import SetAsideError, StopError
from ingestion.records import MAX_RECORD_BYTES

_POST_HEADERS: Final = {
    "Content-Type": "application/vnd.kafka.json.v2+json",
    "Accept": "application/vnd.kafka.v2+json",
}
_GET_HEADERS: Final = {"Accept": "application/vnd.kafka.v2+json"}
_LIMITS: Final = Limits(records=500, bytes=900 << 10)
_ENVELOPE_BYTES: Final = len(b'{"key":,"value":},') + 18
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")

_RETRIABLE: Final = {2, 50003}
_DENIED: Final = {40101, 40301, 401, 403}
_UNKNOWN_TOPIC: Final = {404, 40401, 40402}


def topic_name(user_id: str, record_type: str) -> str:
    """Return `<user_id>.<record_type>`; `StopError` where Kafka has no such name.

    The source is the rule for topic names in Kafka's documentation.
    """
    name = f"{user_id}.{record_type}"
    if not _TOPIC_NAME.fullmatch(name):
        raise StopError(
            f"{name!r} is no name for a topic: --user-id takes letters, digits, "
            "dots, dashes and underscores, 249 with the record type."
        )
    return name


@dataclass(frozen=True, slots=True)
class KafkaRest:
    """A Kafka REST proxy as a destination."""

    place: Place
    authentication: Authentication = field(
        default_factory=lambda: Authentication(NoAuth(), secret=False)
    )

    @property
    def name(self) -> str:
        """Kind and address."""
        return f"kafka-rest {self.place.url}"

    def topic(self, user_id: str, record_type: str) -> str:
        """Return the topic's name."""
        return topic_name(user_id, record_type)

    def identity(self, topic: str) -> str:  # noqa: ARG002 - a proxy tells no topic id
        """Return the name: a topic that was made anew is not noticed."""
        return self.name

    def transport(self, topic: str) -> "KafkaRestTransport":
        """Make a way to one topic, with a connection of its own."""
        return KafkaRestTransport(topic, Endpoint(self.place, self.authentication))


class KafkaRestTransport:
    """Posts records to one topic and reads an outcome for each from the answer.

    A record is acknowledged by its own integer `offset` of 0 or more, without an
    `error_code`, in a list as long as the request. The bytes of its value stand in the
    request as they are.
    """

    def __init__(
        self, topic: str, endpoint: Endpoint, limits: Limits = _LIMITS
    ) -> None:
        """Post to `topic`; nothing is sent yet."""
        self.topic = topic
        self.limits = limits
        self._endpoint = endpoint
        self._without_offset = False
        self._path = f"/topics/{quote(topic, safe='')}"

    def close(self) -> None:
        """Drop the connection."""
        self._endpoint.close()

    def check(self) -> Again | None:
        """Ask for the topic: a post to an unknown one is answered a minute later."""
        answer = self._endpoint.request("GET", self._path, None, _GET_HEADERS)
        if isinstance(answer, Again):
            return answer
        if answer.status == 405 or _is_topic(answer):  # noqa: PLR2004 - not offered
            return None
        self._endpoint.close()
        return passing(
            self._judge(answer),
            f"{self._endpoint.place.url} says {answer} when asked for the topic "
            f"{self.topic}: check that it is a Kafka REST proxy.",
        )

    def measure(self, message: Message) -> int:
        """Return the bytes in a request; only JSON can stand in one."""
        size = len(message.value) + _ENVELOPE_BYTES
        if size > MAX_RECORD_BYTES:
            raise SetAsideError("too_large", "is over 1 MiB with its key")
        if message.key is None:
            try:
                orjson.loads(message.value)
            except orjson.JSONDecodeError as error:
                reason = "is not JSON, and Kafka REST takes nothing else"
                raise SetAsideError("not_json", reason) from error
        return size

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        """Post the batch."""
        body = _body(batch)
        answer = self._endpoint.request("POST", self._path, body, _POST_HEADERS)
        if isinstance(answer, Again):
            return [answer] * len(batch)
        entries = _entries(answer, len(batch))
        if entries is None:
            self._endpoint.close()
            return [self._judge(answer)] * len(batch)
        outcomes = [_outcome(entry) for entry in entries]
        if set(map(type, outcomes)) == {Acknowledged}:
            self._without_offset = False
            return outcomes
        self._endpoint.close()
        return self._checked(self._with_offsets(outcomes))

    def _judge(self, answer: Answer) -> Again | Refused | Stop:
        code = answer.error_code
        if answer.status == 404 and code in _UNKNOWN_TOPIC:  # noqa: PLR2004
            return Stop(self._unknown())
        return self._endpoint.judge(answer)

    def _unknown(self) -> str:
        return (
            f"{self._endpoint.place.url} knows no topic {self.topic}: make it, such as "
            "with `ingest topics create`, or correct --user-id."
        )

    def _with_offsets(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Let it pass once that a record has the offset -1, then stop for it.

        Java's producer says offset -1 where it waits for no broker, with `acks=0`.
        """
        before, self._without_offset = self._without_offset, _NO_OFFSET in outcomes
        if not before:
            return outcomes
        stop = Stop(
            f"{self._endpoint.place.url} says offset -1 instead of one: with acks=0 "
            "its producer does not wait for the broker, and nobody knows what is "
            "stored. Set acks=all at the proxy, then run the same command again."
        )
        return [stop if outcome is _NO_OFFSET else outcome for outcome in outcomes]

    def _checked(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Believe an unknown topic in an entry only if the proxy says it again.

        A bridge that has lost its brokers says it too: "not present in metadata".
        """
        missing = [o for o in outcomes if isinstance(o, _Missing)]
        if not missing:
            return outcomes
        again = self.check() or Again(missing[0].reason, ambiguous=True)
        return [again if isinstance(o, _Missing) else o for o in outcomes]


_NO_OFFSET: Final = Again("an entry has offset -1, as with acks=0", ambiguous=True)


class _Missing(Unclear):
    """The entry says that there is no such topic."""


def _body(batch: Sequence[Message]) -> bytes:
    records = [
        b'{"value":%b}' % message.value
        if message.key is None
        else b'{"key":%d,"value":%b}' % (message.key, message.value)
        for message in batch
    ]
    return b'{"records":[' + b",".join(records) + b"]}"


def _is_topic(answer: Answer) -> bool:
    return answer.status == 200 and isinstance(answer.json(), dict)  # noqa: PLR2004


def _entries(answer: Answer, count: int) -> list[object] | None:
    """Return the entries of `offsets`; None where there is not one for each record.

    Confluent and Strimzi say 200 with errors inside, Karapace 422.
    """
    if answer.status not in {200, 422}:
        return None
    named = answer.json()
    offsets = named.get("offsets") if isinstance(named, dict) else None
    if isinstance(offsets, list) and len(offsets) == count:
        return offsets
    return None


def _outcome(entry: object) -> Outcome:
    if not isinstance(entry, dict):
        return Again("an entry of offsets is no object", ambiguous=True)
    code = entry.get("error_code")
    if code is None:
        return _stored(entry.get("partition"), entry.get("offset"))
    message = entry.get("message") or entry.get("error") or "no reason given"
    reason = f"error_code {code}: {short(message)}"
    if code in _RETRIABLE or _expired(message):
        return Again(reason, ambiguous=True)
    if code in _DENIED:
        return Stop(f"The broker denies access ({reason}): grant it to the proxy.")
    if code in _UNKNOWN_TOPIC:
        return _Missing(reason)
    return Unclear(reason)


def _stored(partition: object, offset: object) -> Outcome:
    if type(offset) is int and offset >= 0:
        return Acknowledged(str(partition), str(offset))
    return _NO_OFFSET if offset == -1 else Again("an entry has no offset", True)


def _expired(message: object) -> bool:
    """Tell a Java producer's TimeoutException by its text: the broker was slow or away.

    The Strimzi bridge gives it no code of its own. It says nothing about the record.
    """
    return str(message).startswith("Expiring ")
