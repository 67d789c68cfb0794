"""A Kafka REST proxy without a network: what `requests` sends is answered in place."""

from collections.abc import Callable, Sequence
from http.client import responses
from io import BytesIO
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from dialects import (
    DroppedError,
    Failed,
    Front,
    Records,
    Reply,
    Result,
    Stored,
)
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict


class MemoryLog:
    """The broker: lists of records, one for each topic, in a single partition.

    One that is `expiring` does not take what stands behind a record that is too large,
    as Java's producer has it behind the Strimzi bridge.
    """

    def __init__(self, *topics: str, expiring: bool = False) -> None:
        self.topics: dict[str, Records] = {topic: [] for topic in topics}
        self._expiring = expiring

    def has_topic(self, topic: str) -> bool:
        return topic in self.topics

    def store(self, topic: str, records: Records) -> Sequence[Result]:
        """Store records; one that holds the text `unstorable` fails for ever."""
        good = len(records)
        if self._expiring and len(records) > 1:
            bad = [n for n, (_, value) in enumerate(records) if b"unstorable" in value]
            good = min(bad, default=good)
        left = len(records) - good
        text = f"Expiring {left} record(s) for {topic}-0:10000 ms has passed since"
        late = [Failed("timed_out", f"{text} batch creation")] * left
        return [*(self._store(topic, record) for record in records[:good]), *late]

    def _store(self, topic: str, record: tuple[bytes | None, bytes]) -> Result:
        log = self.topics.get(topic)
        if log is None:
            text = f"Topic {topic} not present in metadata after 60000 ms."
            return Failed("unknown_topic", text)
        if b"unstorable" in record[1]:
            return Failed("too_large", "The request included a message larger than …")
        log.append(record)
        return Stored(0, len(log) - 1)


class MemoryAdapter(BaseAdapter):
    """One connection to a front.

    After an answer with an error it must not be used again: that is noted in `misused`.
    """

    def __init__(
        self, front: Front, misused: list[str], wait: Callable[[float], None]
    ) -> None:
        super().__init__()
        self._front = front
        self._misused = misused
        self._wait = wait
        self._poisoned = False

    def send(  # type: ignore[override]
        self,
        request: requests.PreparedRequest,
        **named: Any,  # noqa: ANN401 - as in requests
    ) -> requests.Response:
        if self._poisoned:
            self._misused.append(str(request.url))
        topic = unquote(urlsplit(str(request.url)).path.removeprefix("/topics/"))
        try:
            reply = self._reply(topic, request)
        except DroppedError as error:
            self._poisoned = True
            raise requests.ConnectionError(request=request) from error
        _, read_seconds = named["timeout"]
        self._wait(min(reply.seconds, read_seconds))
        self._poisoned = reply.failed or reply.seconds > read_seconds
        if reply.seconds > read_seconds:
            raise requests.ReadTimeout(request=request)
        return response(request, reply)

    def _reply(self, topic: str, request: requests.PreparedRequest) -> Reply:
        if request.method == "GET":
            return self._front.get(topic)
        body = request.body or b""
        assert isinstance(body, bytes)
        return self._front.post(topic, str(request.headers["Content-Type"]), body)

    def close(self) -> None:
        pass


def response(request: requests.PreparedRequest, reply: Reply) -> requests.Response:
    """Return a reply as `requests` would."""
    made = requests.Response()
    made.status_code = reply.status
    made.reason = responses.get(reply.status, "")
    made.headers = CaseInsensitiveDict(reply.headers)
    made.raw = BytesIO(reply.body)
    made.request = request
    made.url = str(request.url)
    return made


class MemoryProxy:
    """Makes sessions that end in one front."""

    def __init__(
        self,
        dialect: str,
        *topics: str,
        wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.log = MemoryLog(*topics, expiring=dialect == "strimzi")
        self._wait = wait
        self.front = Front(dialect, self.log.store, self.log.has_topic)
        self.misused: list[str] = []

    def make_session(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", MemoryAdapter(self.front, self.misused, self._wait))
        return session


class CannedAdapter(BaseAdapter):
    """Answers each request with the next of the given replies, or raises it."""

    def __init__(self, replies: list[Reply | Exception]) -> None:
        super().__init__()
        self.requests: list[requests.PreparedRequest] = []
        self.timeouts: list[object] = []
        self._replies = replies

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **named: object
    ) -> requests.Response:
        self.requests.append(request)
        self.timeouts.append(named["timeout"])
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return response(request, reply)

    def close(self) -> None:
        pass
