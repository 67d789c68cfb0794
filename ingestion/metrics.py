"""What a lander tells Prometheus, and who asks whether it is well, over HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, Final, NamedTuple, Protocol

import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from ingestion.errors import IngestError, explained
from ingestion.lander import REASONS, Landed, Lander, PartitionLander, Reader
from ingestion.stores import Partition

_WELL_SECONDS: Final = 60.0
_REQUEST_SECONDS: Final = 10.0
_PLACE: Final = ("topic", "partition")
_SIZES: Final = (1, 10, 100, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000)


class Extent(NamedTuple):
    """What a source has of one partition, each where it can tell.

    `low` and `high` are its first offset and the one behind its last; a record is kept
    for `retention` seconds; all that arrived until `known` (seconds) was read.
    """

    low: int | None = None
    high: int | None = None
    retention: float | None = None
    known: float | None = None


class WatchedReader(Reader, Protocol):
    """A reader that can be asked, from another thread, what its source has."""

    def extents(self, partitions: Sequence[Partition]) -> Mapping[Partition, Extent]:
        """Ask now; `IngestError` where the source does not answer."""


class Metrics(Collector):
    """The metrics of one lander. Gauges are made when somebody asks.

    Counters begin with 0 when a partition is first looked at, of every reason too:
    Prometheus sees no increase in a series that begins with 1.
    """

    def __init__(self, reader: WatchedReader, lander: Lander) -> None:
        """Listen to what the lander tells, beside whoever listens already."""
        self.registry = CollectorRegistry()
        self.registry.register(self)  # first: it begins the others' counts
        self._reader = reader
        self._lander = lander
        self._message = "starting"
        self._before = lander.tell, lander.refused, lander.waiting
        self._links = self._counter("links", "Objects that were committed.")
        self._records = self._counter("records", "Records that were landed.")
        self._bytes = self._counter("bytes", "Bytes of the objects.")
        self._conflicts = self._counter("conflicts", "Links that others had taken.")
        self._dead = self._counter(
            "dead_letters", "Records that could not be lines.", "reason"
        )
        self._sizes = Histogram(
            "ingest_link_records",
            "Records of an object.",
            ["topic"],
            registry=self.registry,
            buckets=_SIZES,
        )
        lander.tell, lander.refused = self._landed, self._refused
        lander.waiting = self._waiting

    def _counter(self, name: str, text: str, *more: str) -> Counter:
        return Counter(f"ingest_{name}", text, (*_PLACE, *more), registry=self.registry)

    # --- what the lander tells -----------------------------------------------------

    def _landed(self, landed: Landed) -> None:
        place = landed.partition.topic, str(landed.partition.number)
        self._links.labels(*place).inc()
        self._records.labels(*place).inc(landed.link.records)
        self._bytes.labels(*place).inc(landed.bytes)
        self._sizes.labels(landed.partition.topic).observe(landed.link.records)
        for reason, count in landed.reasons.items():
            self._dead.labels(*place, reason).inc(count)
        self._before[0](landed)

    def _refused(self, partition: Partition) -> None:
        self._conflicts.labels(partition.topic, str(partition.number)).inc()
        self._before[1](partition)

    def _waiting(self, message: str, seconds: float) -> None:
        self._message = message
        self._before[2](message, seconds)

    # --- what others ask -----------------------------------------------------------

    def health(self) -> tuple[bool, str]:
        """Tell whether it read within the last minute, and why not."""
        if not self._lander.turned:
            return False, self._message
        seconds = self._lander.clock.now() - self._lander.turned
        if seconds < _WELL_SECONDS:
            return True, "landing"
        return False, f"nothing was read for {seconds:.0f} s: {self._message}"

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges of the partitions that this lander has now."""
        gauges = {
            name: GaugeMetricFamily(f"ingest_{name}", text, labels=_PLACE)
            for name, text in {
                "lag_records": "Offsets in the source that are not landed.",
                "lag_seconds": "Age of the oldest record that is not landed.",
                "retention_headroom_records": "Landed records the source still has.",
                "retention_headroom_seconds": "Until what is not landed expires.",
            }.items()
        }
        up, extents = self._ask()
        for partition, lander in self._partitions().items():
            place = partition.topic, str(partition.number)
            self._begin(place)
            found = self._values(lander, extents.get(partition, Extent()))
            for gauge, value in zip(gauges.values(), found, strict=True):
                if value is not None:
                    gauge.add_metric(place, value)
        yield from gauges.values()
        yield GaugeMetricFamily("ingest_source_up", "Whether it answered.", value=up)

    def _begin(self, place: tuple[str, str]) -> None:
        for counter in (self._links, self._records, self._bytes, self._conflicts):
            counter.labels(*place)
        for reason in REASONS:
            self._dead.labels(*place, reason)

    def _partitions(self) -> dict[Partition, PartitionLander]:
        return dict(self._lander.partitions)

    def _ask(self) -> tuple[bool, Mapping[Partition, Extent]]:
        try:
            return True, self._reader.extents(list(self._partitions()))
        except IngestError:
            return False, {}

    def _values(
        self, lander: PartitionLander, extent: Extent
    ) -> Iterator[float | None]:
        lag = lander.lag_records
        if extent.high is not None:
            lag = max(extent.high - lander.landed, 0)
        seconds = self._seconds(lander, lag, extent.known)
        yield lag
        yield seconds
        yield None if extent.low is None else lander.landed - extent.low
        if seconds is None or extent.retention is None:
            yield None
        else:
            yield extent.retention - seconds

    def _seconds(
        self, lander: PartitionLander, lag: int | None, known: float | None
    ) -> float | None:
        since = known if lander.oldest is None else lander.oldest / 1000
        if since is not None:
            return max(self._lander.clock.now() - since, 0.0)
        return 0.0 if lag == 0 else None


# --- HTTP --------------------------------------------------------------------------


@contextmanager
def served(metrics: Metrics, host: str, port: int) -> Iterator[int]:
    """Answer `/metrics` and `/healthz` inside the block; yield the port.

    One request at a time, in a thread of its own, which ends with the block.
    """
    with explained(f"listen on {host} port {port}"):
        server = HTTPServer((host, port), _handler(metrics))
    thread = Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS

        def do_GET(self) -> None:
            """Answer."""
            if self.path == "/metrics":
                body = generate_latest(metrics.registry)
                self._answer(200, CONTENT_TYPE_LATEST, body)
            elif self.path == "/healthz":
                well, message = metrics.health()
                body = orjson.dumps({"well": well, "message": message})
                self._answer(200 if well else 503, "application/json", body)
            else:
                self._answer(404, "text/plain", b"/metrics or /healthz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as it is declared
            """Log nothing: standard output is the lander's."""

    return Handler
