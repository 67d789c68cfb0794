"""The answers of three Kafka REST proxies, word for word, without a server.

Strimzi's are those of a real bridge 0.33.1, recorded. Confluent's and Karapace's are
taken from their sources (`AbstractProduceAction`, `kafka_rest_apis`).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import orjson

JSON_V2 = "application/vnd.kafka.json.v2+json"
V2 = "application/vnd.kafka.v2+json"
KARAPACE_BODY_BYTES = 1 << 20

Kind = Literal["unknown_topic", "too_large", "timed_out", "retriable", "other"]


class Stored(NamedTuple):
    """A record the broker has acknowledged."""

    partition: int
    offset: int


class Failed(NamedTuple):
    """A record that the broker or the producer did not take."""

    kind: Kind
    message: str


Result = Stored | Failed


class Reply(NamedTuple):
    """An answer of the proxy, which comes after `seconds`."""

    status: int
    body: bytes
    headers: dict[str, str]
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether anything in it is an error."""
        return self.status != 200 or b'"error_code":' in self.body.replace(
            b'"error_code":null', b""
        )


def json_reply(status: int, body: object, **headers: str) -> Reply:
    """Answer with JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, orjson.dumps(body), {"Content-Type": V2, **named})


def error(status: int, code: int, message: str, **more: Any) -> Reply:  # noqa: ANN401
    """Answer with an error."""
    return json_reply(status, {"error_code": code, "message": message, **more})


Records = list[tuple[bytes | None, bytes]]
"""Key and value of each record."""

Store = Callable[[str, Records], Sequence[Result]]


class Dialect(Protocol):
    """How one proxy reads a request and words its answers."""

    def refusal(self, content_type: str, body: bytes) -> Reply | None:
        """Refuse a request as a whole, before anything of it is stored."""

    def unknown_topic(self, topic: str) -> Reply | None:
        """Answer a post to an unknown topic; None leaves it to the producer."""

    def answer(self, results: Sequence[Result]) -> Reply:
        """Answer a post whose records came to these results."""


def _records(body: bytes) -> object:
    named = orjson.loads(body)
    return named.get("records") if isinstance(named, dict) else None


class Strimzi:
    """Errors stand in a 200; the content type must be exact."""

    def refusal(self, content_type: str, body: bytes) -> Reply | None:
        problem = self._problem(content_type, body)
        if problem is None:
            return None
        more: dict[str, Any] = {}
        if "Schema" in problem:
            more = {"validation_errors": ["The real text is not recorded."]}
        return error(400, 400, f"Validation error on: {problem}", **more)

    def _problem(self, content_type: str, body: bytes) -> str | None:
        if content_type != JSON_V2:
            return "The format of the request body is not supported"
        try:
            records = _records(body)
        except orjson.JSONDecodeError:
            return "The request body can't be decoded"
        if not isinstance(records, list) or not all(map(self._is_valid, records)):
            return "Schema validation error"
        return None

    @staticmethod
    def _is_valid(record: object) -> bool:
        return (
            isinstance(record, dict)
            and record.get("value") is not None
            and set(record) <= {"key", "value", "partition", "headers"}
            and ("key" not in record or record["key"] is not None)
        )

    def unknown_topic(self, topic: str) -> Reply | None:
        del topic
        return None

    def answer(self, results: Sequence[Result]) -> Reply:
        return json_reply(200, {"offsets": [self._entry(r) for r in results]})

    @staticmethod
    def _entry(result: Result) -> dict[str, object]:
        if isinstance(result, Stored):
            return result._asdict()
        code = 404 if result.kind == "unknown_topic" else 500
        return {"error_code": code, "message": result.message}


class Confluent:
    """Errors stand in a 200, each entry has all fields, an unknown topic is a 404."""

    def refusal(self, content_type: str, body: bytes) -> Reply | None:
        if content_type.partition(";")[0] != JSON_V2:
            return error(415, 415, "HTTP 415 Unsupported Media Type")
        try:
            records = _records(body)
        except orjson.JSONDecodeError:
            return error(400, 400, "Bad Request")
        if not isinstance(records, list) or not records:
            return error(422, 422, "records may not be empty")
        return None

    def unknown_topic(self, topic: str) -> Reply | None:
        del topic
        return error(404, 40401, "Topic not found.")

    def answer(self, results: Sequence[Result]) -> Reply:
        offsets = [self._entry(result) for result in results]
        schemas = {"key_schema_id": None, "value_schema_id": None}
        return json_reply(200, {"offsets": offsets, **schemas})

    @staticmethod
    def _entry(result: Result) -> dict[str, object]:
        if isinstance(result, Stored):
            return {**result._asdict(), "error_code": None, "error": None}
        code = 50003 if result.kind in {"timed_out", "retriable"} else 50002
        none = {"partition": None, "offset": None}
        return {**none, "error_code": code, "error": result.message}


class Karapace:
    """A partial failure is a 422; a body over 1 MiB is a 413."""

    def refusal(self, content_type: str, body: bytes) -> Reply | None:
        if len(body) > KARAPACE_BODY_BYTES:
            return Reply(
                413, b"413: Request Entity Too Large", {"Content-Type": "text"}
            )
        if content_type.partition(";")[0] != JSON_V2:
            return error(415, 415, "HTTP 415 Unsupported Media Type")
        try:
            records = _records(body)
        except orjson.JSONDecodeError:
            return error(400, 400, "Invalid request body")
        if not isinstance(records, list) or not records:
            return error(400, 400, "Invalid request body")
        return None

    def unknown_topic(self, topic: str) -> Reply | None:
        return error(404, 40401, f"Topic {topic} not found")

    def answer(self, results: Sequence[Result]) -> Reply:
        offsets = [self._entry(result) for result in results]
        failed = any(isinstance(result, Failed) for result in results)
        schemas = {"key_schema_id": None, "value_schema_id": None}
        return json_reply(422 if failed else 200, {**schemas, "offsets": offsets})

    @staticmethod
    def _entry(result: Result) -> dict[str, object]:
        if isinstance(result, Stored):
            return result._asdict()
        code = 2 if result.kind == "retriable" else 1
        return {"error_code": code, "error": result.message}


DIALECTS: dict[str, Dialect] = {
    "strimzi": Strimzi(),
    "confluent": Confluent(),
    "karapace": Karapace(),
}


class DroppedError(Exception):
    """The connection is to be cut without an answer."""


class Fault(NamedTuple):
    """Something that goes wrong with a post.

    `drop`, `html`, `500`, `502`, `504`: stored, but not acknowledged. `reset`, `503`,
    `429`, `413`, `422`: not stored. `partial`: every second record fails in a way that
    passes (Karapace says so to nobody); `unclear`: in a way nobody can tell. `short`,
    `minus`: an answer that acknowledges badly. `slow`: stored, answered after
    `seconds`. Each waits for a post of more than `over` records; one that is `lasting`
    happens to every such post, beside those that happen once.
    """

    name: str
    over: int = 0
    seconds: float = 0.0
    lasting: bool = False


def with_fault(
    fault: Fault, dialect: Dialect, topic: str, records: Records, store: Store
) -> Reply:
    """Answer a post as the fault wants it."""
    if fault.name == "reset":
        raise DroppedError
    if fault.name in {"413", "422"}:
        return error(int(fault.name), int(fault.name), "Refused")
    if fault.name in {"503", "429"}:
        return json_reply(int(fault.name), {"message": "Busy"}, Retry_After="1")
    if fault.name in {"partial", "unclear"}:
        return dialect.answer(_every_second(fault, topic, records, store))
    return _misanswered(fault, dialect, store(topic, records))


def _misanswered(fault: Fault, dialect: Dialect, results: Sequence[Result]) -> Reply:
    """Answer something else than what came of the records, which are stored."""
    if fault.name == "drop":
        raise DroppedError
    if fault.name == "html":
        return Reply(200, b"<html>Welcome</html>", {"Content-Type": "text/html"})
    if fault.name in {"500", "502", "504"}:
        return error(int(fault.name), int(fault.name), "Broken")
    told = {"short": results[:-1], "minus": [Stored(0, -1) for _ in results]}
    answer = dialect.answer(told.get(fault.name, results))
    return answer._replace(seconds=fault.seconds)


def _every_second(
    fault: Fault, topic: str, records: Records, store: Store
) -> Sequence[Result]:
    failed = Failed("other", "The request included something.")
    if fault.name == "partial":
        failed = Failed("timed_out", "Expiring 1 record(s) for t-0:10000 ms has passed")
    stored = iter(store(topic, records[::2]))
    return [failed if n % 2 else next(stored) for n in range(len(records))]


class Front:
    """A Kafka REST proxy less the network: requests in, answers out.

    `store` keeps records and tells where; `has_topic` tells whether a topic is there.
    """

    def __init__(
        self, dialect: str, store: Store, has_topic: Callable[[str], bool]
    ) -> None:
        self.dialect = DIALECTS[dialect]
        self.faults: list[Fault] = []
        self._store = store
        self._has_topic = has_topic

    def get(self, topic: str) -> Reply:
        """Answer `GET /topics/{topic}`."""
        if not self._has_topic(topic):
            return error(404, 40401, "Topic not found.")
        return json_reply(200, {"name": topic, "configs": {}, "partitions": []})

    def post(self, topic: str, content_type: str, body: bytes) -> Reply:
        """Answer `POST /topics/{topic}`."""
        refused = self.dialect.refusal(content_type, body)
        if refused is None and not self._has_topic(topic):
            refused = self.dialect.unknown_topic(topic)
        if refused is not None:
            return refused
        records = [
            (orjson.dumps(r["key"]) if "key" in r else None, orjson.dumps(r["value"]))
            for r in orjson.loads(body)["records"]
        ]
        fault = self._next_fault(len(records))
        if fault is None:
            return self.dialect.answer(self._store(topic, records))
        return with_fault(fault, self.dialect, topic, records, self._store)

    def _next_fault(self, records: int) -> Fault | None:
        once = [fault for fault in self.faults if not fault.lasting]
        if once and once[0].over < records:
            self.faults.remove(once[0])
            return once[0]
        lasting = (f for f in self.faults if f.lasting and f.over < records)
        return next(lasting, None)
