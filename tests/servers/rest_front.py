"""A Kafka REST proxy as a process of its own, before a real broker.

No real proxy can be installed from a package registry; this one speaks as three do.
After an answer with an error the connection is never answered again, as with a real
bridge after a metadata time-out.
"""

import argparse
import json
import socket
import struct
import sys
import time
import urllib.request
from collections.abc import Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import ClassVar, Self
from urllib.parse import unquote

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from dialects import (
    DroppedError,
    Failed,
    Fault,
    Front,
    Records,
    Reply,
    Result,
    Stored,
    json_reply,
)
from processes import Process, free_port

_METADATA_SECONDS = 5.0
_REQUEST_BYTES = 1 << 20
_UNKNOWN_TOPIC = KafkaError._UNKNOWN_TOPIC  # noqa: SLF001 - the client's own errors
_MSG_TIMED_OUT = KafkaError._MSG_TIMED_OUT  # noqa: SLF001


class RestFront:
    """The process, for a test."""

    def __init__(self, folder: Path, bootstrap: str, dialect: str = "strimzi") -> None:
        """Start before the broker at `bootstrap`."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.posts = folder / "posts.jsonl"
        self._log = folder / "front.log"
        self._command = [
            *(sys.executable, "-m", "rest_front", "--dialect", dialect),
            *("--bootstrap", bootstrap, "--port", str(self.port)),
            *("--posts", str(self.posts)),
        ]
        self.start()

    def start(self) -> None:
        """Start, also after a kill, on the same port."""
        path = {"PYTHONPATH": str(Path(__file__).parent)}
        self._process = Process(self._command, self._log, path)
        self._process.wait_for(self.port)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def __enter__(self) -> Self:
        """Return the front."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()

    def plan(self, *faults: Fault) -> None:
        """Let the next posts go wrong, one each; or all, by a fault that is lasting."""
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.url}/faults", data=json.dumps(faults).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310
            pass

    def faults_left(self) -> list[list[object]]:
        """Return the faults that have not happened yet, and those that last."""
        with urllib.request.urlopen(f"{self.url}/faults", timeout=5) as answer:  # noqa: S310
            left: list[list[object]] = json.loads(answer.read())
        return left


class Cluster:
    """The broker as the front sees it."""

    def __init__(self, bootstrap: str) -> None:
        self._known: set[str] = set()
        settings: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap}
        self._admin = AdminClient(settings)
        self._producer = Producer(
            {
                **settings,
                "acks": "all",
                "linger.ms": 1,
                "delivery.timeout.ms": 10_000,
                # Retries of the producer itself neither double nor reorder.
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 500,
                "message.max.bytes": 2_000_000,
            }
        )
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._producer.poll(0.1)

    def has_topic(self, topic: str) -> bool:
        """Ask the broker, until it says yes once."""
        if topic not in self._known:
            told = self._admin.list_topics(topic, timeout=_METADATA_SECONDS)
            if told.topics[topic].error is not None:
                return False
            self._known.add(topic)
        return True

    def store(self, topic: str, records: Records) -> Sequence[Result]:
        """Produce the records and wait for what comes of each."""
        told: SimpleQueue[tuple[int, Result]] = SimpleQueue()
        for index, (key, value) in enumerate(records):
            size = len(value) + len(key or b"") + 72
            if size > _REQUEST_BYTES:
                told.put((index, Failed("too_large", _over_request(size))))
            else:
                report = partial(_report, told, index)
                self._producer.produce(topic, value, key, on_delivery=report)
        results = dict(told.get() for _ in records)
        return [results[index] for index in range(len(records))]


def _report(
    told: "SimpleQueue[tuple[int, Result]]",
    index: int,
    error: KafkaError | None,
    message: Message,
) -> None:
    if error is not None:
        told.put((index, _failed(error, message.topic() or "")))
    else:
        told.put((index, Stored(message.partition() or 0, message.offset() or 0)))


def _over_request(size: int) -> str:
    return (
        f"The message is {size} bytes when serialized which is larger than 1048576, "
        "which is the value of the max.request.size configuration."
    )


def _failed(error: KafkaError, topic: str) -> Failed:
    code = error.code()
    if code in {_UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART}:
        text = f"Topic {topic} not present in metadata after 60000 ms."
        return Failed("unknown_topic", text)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        text = (
            "The request included a message larger than the max message size the "
            "server will accept."
        )
        return Failed("too_large", text)
    if code == _MSG_TIMED_OUT:
        text = f"Expiring 1 record(s) for {topic}-0:10000 ms has passed since batch"
        return Failed("timed_out", f"{text} creation")
    return Failed("retriable" if error.retriable() else "other", error.str())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20
    disable_nagle_algorithm = True
    front: ClassVar[Front]
    posts: ClassVar[Path]
    _poisoned = False

    def do_GET(self) -> None:
        """Answer for a topic, or with the faults that are left."""
        if self.path == "/faults":
            self._reply(json_reply(200, list(map(list, self.front.faults))))
            return
        try:
            reply = self.front.get(self._topic())
        except KafkaException:
            reply = json_reply(500, {"error_code": 500, "message": "No broker."})
        self._reply(reply)

    def do_PUT(self) -> None:
        """Take a plan of faults over."""
        plan = [Fault(*fault) for fault in json.loads(self._body())]
        self.front.faults[:] = plan
        self._reply(json_reply(200, {}))

    def do_POST(self) -> None:
        """Produce."""
        if self._poisoned:
            time.sleep(3600)
        topic, body = self._topic(), self._body()
        fault = next(iter(self.front.faults), None)
        try:
            kind = self.headers["Content-Type"]
            reply = self.front.post(topic, kind, body)
        except DroppedError:
            self._cut(reset=fault is not None and fault.name == "reset")
            return
        time.sleep(reply.seconds)
        self._note(topic, reply)
        self._poisoned = reply.failed
        self._reply(reply)

    def _cut(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def _note(self, topic: str, reply: Reply) -> None:
        """Keep when how many records were acknowledged, for the tests' bounds."""
        if not reply.failed:
            count = reply.body.count(b'"offset":')
            line = json.dumps({"at": time.time(), "topic": topic, "records": count})
            with self.posts.open("a") as file:
                file.write(line + "\n")

    def _topic(self) -> str:
        return unquote(self.path.removeprefix("/topics/"))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Serve for ever."""
    parser = argparse.ArgumentParser()
    for name in ("--dialect", "--bootstrap", "--port", "--posts"):
        parser.add_argument(name, required=True)
    asked = parser.parse_args()
    cluster = Cluster(asked.bootstrap)
    Handler.front = Front(asked.dialect, cluster.store, cluster.has_topic)
    Handler.posts = Path(asked.posts)
    server = ThreadingHTTPServer(("127.0.0.1", int(asked.port)), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
