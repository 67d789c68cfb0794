"""Emitting to Kinesis beside a bare loop over PutRecords, in the same run.

The server answers at once and stores nothing, so that clients are what is timed. The
bare loop puts the same records, prepared before the clock starts, 500 a call, with a
client as boto3 makes it. Rounds alternate; figures are medians with their spread.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from rich.console import Console

from ingestion.cursors import State
from ingestion.dispatch import Dispatch
from ingestion.kinesis import Kinesis, make_client, stream_name
from ingestion.records import event_number
from ingestion.sample import write_sample
from ingestion.sources import JsonLinesFolder

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

EVENTS = 20_000
ROUNDS = 5
RECORD_TYPES = ("pin", "geo", "user")


class Answers(BaseHTTPRequestHandler):
    """Acknowledges every record that it is sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer PutRecords and DescribeStreamSummary."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["X-Amz-Target"].endswith("PutRecords"):
            entry = {"ShardId": "shardId-000000000000", "SequenceNumber": "4" * 56}
            count = body.count(b'"PartitionKey"')
            answer: dict[str, Any] = {
                "FailedRecordCount": 0,
                "Records": [entry] * count,
            }
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


def bare(folder: Path) -> Callable[[], None]:
    """Prepare the calls of a bare loop."""
    calls = []
    for record_type in RECORD_TYPES:
        lines = (folder / f"{record_type}.jsonl").read_bytes().splitlines()
        entries = [
            {"Data": line, "PartitionKey": str(event_number(record_type, line))}
            for line in lines
        ]
        name = stream_name("u", record_type)
        calls += [(name, entries[n : n + 500]) for n in range(0, len(entries), 500)]
    client: Any = boto3.client("kinesis")

    def put() -> None:
        for name, records in calls:
            answer = client.put_records(StreamName=name, Records=records)
            if answer["FailedRecordCount"]:
                raise AssertionError(answer)

    return put


def ours(folder: Path, state: Path) -> tuple[float, float]:
    """Emit the folder; return seconds and CPU seconds after the check of the source."""
    with (
        closing(JsonLinesFolder.open(folder)) as source,
        Dispatch(source, Kinesis.of(make_client), State(state), "u") as dispatch,
    ):
        lanes = dispatch.prepare(lambda _: None)
        seconds, cpu = timed(lambda: dispatch.run(lanes))
        if sum(lane.courier.tally.acknowledged for lane in lanes) != 3 * EVENTS:
            raise AssertionError("not all is acknowledged")
        return seconds, cpu


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return seconds and CPU seconds of this process."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    """Run and print."""
    receiver, sender = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(sender,), daemon=True)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL_KINESIS": f"http://127.0.0.1:{receiver.recv()}",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "for a benchmark",
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_sample(folder / "sample", EVENTS, 1)
        put = bare(folder / "sample")
        rounds = [
            (timed(put), ours(folder / "sample", folder / f"state-{n}"))
            for n in range(ROUNDS)
        ]
    server.terminate()
    report("bare loop", [loop for loop, _ in rounds])
    report("ingest emit kinesis", [emit for _, emit in rounds])
    ratios = [loop[0] / emit[0] for loop, emit in rounds]
    Console().print(
        f"records/s beside the bare loop: {statistics.median(ratios):.0%} "
        f"({min(ratios):.0%}-{max(ratios):.0%}); wanted 80 % or more"
    )


def report(name: str, rounds: list[tuple[float, float]]) -> None:
    """Print the rates of one of the two."""
    rates = sorted(3 * EVENTS / seconds for seconds, _ in rounds)
    cpu = statistics.median(cpu for _, cpu in rounds) / (3 * EVENTS) * 1e6
    Console().print(
        f"{name}: {statistics.median(rates):,.0f} records/s "
        f"({rates[0]:,.0f}-{rates[-1]:,.0f}), {cpu:.1f} µs of client CPU a record"
    )


if __name__ == "__main__":
    main()
