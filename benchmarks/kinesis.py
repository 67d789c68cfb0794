"""Emitting to Kinesis beside bare loops over the same records, in the same run.

kinesalite stores what it is sent; a second server answers at once and stores nothing,
so that clients are what is timed. One bare loop posts bodies that were written before
the clock starts, 500 records each, and neither signs them nor looks at the answers; the
other puts prepared records by boto3.
Ways take turns; figures are medians with their spread. `--events` sets a third of the
records, `--rounds` the repetitions.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import requests

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))

import kinesalite_server
from kinesalite_server import Kinesalite
from rounds import Timing, emitted, in_turn, tell, tell_ratio, timed

from ingestion.kinesis import Kinesis, make_client, stream_name
from ingestion.records import event_number
from ingestion.sample import write_sample

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BATCH: Final = 500
RECORD_TYPES: Final = ("pin", "geo", "user")
HEADERS: Final = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "Kinesis_20131202.PutRecords",
    "X-Amz-Date": "20261122T120000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=a/20261122/eu-west-1/kinesis/"
    "aws4_request, SignedHeaders=host, Signature=none",
}
"""kinesalite wants a signature, whatever it is."""


class Answers(BaseHTTPRequestHandler):
    """Acknowledges every record that it is sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer PutRecords and DescribeStreamSummary."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["X-Amz-Target"].endswith("PutRecords"):
            entry = {"ShardId": "shardId-000000000000", "SequenceNumber": "4" * 56}
            entries = [entry] * body.count(b'"PartitionKey"')
            answer: dict[str, Any] = {"FailedRecordCount": 0, "Records": entries}
        else:
            summary = {
                "StreamStatus": "ACTIVE",
                "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/bench",
                "StreamCreationTimestamp": 0,
            }
            answer = {"StreamDescriptionSummary": summary}
        said = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def serve(port: "Connection") -> None:
    """Serve until the process is ended; tell the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def serving() -> Iterator[str]:
    """Serve in a process of its own."""
    receiver, sender = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(sender,), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        server.terminate()
        server.join()


@contextmanager
def stored(folder: Path) -> Iterator[str]:
    """Serve what keeps the records."""
    with Kinesalite(folder) as server:
        for record_type in RECORD_TYPES:
            server.create(stream_name("u", record_type))
        yield server.url


class Bench:
    """Three ways to send the same records."""

    def __init__(self, url: str, source: Path, state: Path) -> None:
        """Prepare what the bare loops send."""
        self._url, self._source, self._state = url, source, state
        self._numbers = count()
        self._puts = [
            (stream_name("u", record_type), entries[n : n + BATCH])
            for record_type in RECORD_TYPES
            for entries in [list(self._entries(record_type))]
            for n in range(0, len(entries), BATCH)
        ]
        self._bodies = [self._body(name, entries) for name, entries in self._puts]
        self._records = sum(len(entries) for _, entries in self._puts)

    def _entries(self, record_type: str) -> Iterator[dict[str, Any]]:
        for line in (self._source / f"{record_type}.jsonl").read_bytes().splitlines():
            key = str(event_number(record_type, line))
            yield {"Data": line, "PartitionKey": key}

    @staticmethod
    def _body(name: str, entries: list[dict[str, Any]]) -> bytes:
        coded = [{**e, "Data": b64encode(e["Data"]).decode()} for e in entries]
        return json.dumps({"StreamName": name, "Records": coded}).encode()

    def bare(self) -> Timing:
        """Post the prepared bodies over one session, and look at nothing."""

        def work() -> int:
            with requests.Session() as session:
                for body in self._bodies:
                    answer = session.post(self._url, data=body, headers=HEADERS)
                    answer.raise_for_status()
            return self._records

        return timed(work)

    def by_boto3(self) -> Timing:
        """Put the prepared records with a client as boto3 makes it."""
        client: Any = boto3.client("kinesis")

        def work() -> int:
            for name, records in self._puts:
                answer = client.put_records(StreamName=name, Records=records)
                if answer["FailedRecordCount"]:
                    raise AssertionError(answer)
            return self._records

        return timed(work)

    def emitter(self) -> Timing:
        """Emit with keys, outcomes, order, and a position on disk."""
        state = self._state / str(next(self._numbers))
        return emitted(self._source, Kinesis.of(make_client), state, "u")


def compare(bench: Bench, title: str, rounds: int) -> None:
    """Run all ways in turn, and tell."""
    bare, boto, ours = in_turn((bench.bare, bench.by_boto3, bench.emitter), rounds)
    sys.stdout.write(f"{title}, {ours[0].records:,} records, {BATCH} a request\n")
    tell("bare loop, prepared bodies", bare)
    tell("bare loop, boto3", boto)
    tell("ingest emit kinesis", ours)
    tell_ratio("ingest emit / bare loop, prepared bodies", ours, bare, "0.8")
    tell_ratio("ingest emit / bare loop, boto3", ours, boto, "0.8")
    sys.stdout.write("\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    if (reason := kinesalite_server.missing()) is not None:
        sys.exit(reason)
    os.environ |= {
        "AWS_DEFAULT_REGION": kinesalite_server.REGION,
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "for a benchmark",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "sample", options.events, 1)
        ways = {"kinesalite": stored(folder), "Nothing stored": serving()}
        for title, server in ways.items():
            with server as url:
                os.environ["AWS_ENDPOINT_URL_KINESIS"] = url
                bench = Bench(url, folder / "sample", folder / title)
                compare(bench, title, options.rounds)


if __name__ == "__main__":
    main()
