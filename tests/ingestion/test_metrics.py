"""What a lander tells who watches it; on a real broker: tests/land."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ingestion.errors import RetryError, StopError
from ingestion.lander import (
    REASONS,
    Batch,
    Landed,
    Lander,
    Log,
    Point,
    line_or_reason,
)
from ingestion.landing import Link
from ingestion.metrics import Extent, Metrics, served
from ingestion.stores import Partition

PIN = Partition("u.pin", 0)


@dataclass
class Standing:
    """A partition's lander at some moment."""

    landed: int = 90
    lag_records: int | None = 7
    oldest: int | None = None


@dataclass
class Clock:
    time: float = 1_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class Source:
    extent: Extent | None = field(default_factory=Extent)

    def start(
        self, opened: Callable[[Partition, Log], Point], dropped: Callable[..., None]
    ) -> None:
        raise NotImplementedError

    def read(self, seconds: float) -> Iterator[Batch]:
        raise NotImplementedError

    def idle(self) -> None:
        raise NotImplementedError

    def extents(self, partitions: Sequence[Partition]) -> Mapping[Partition, Extent]:
        if self.extent is None:
            raise RetryError("no answer")
        return dict.fromkeys(partitions, self.extent)


def watched(standing: Standing, source: Source) -> tuple[Metrics, Lander]:
    parts: Any = {PIN: standing}
    lander = Lander(None, source, clock=Clock(), partitions=parts)  # type: ignore[arg-type]
    return Metrics(source, lander), lander


def gauges(standing: Standing, extent: Extent | None) -> dict[str, float]:
    metrics, _ = watched(standing, Source(extent))
    return {
        sample.name.removeprefix("ingest_"): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_lag_and_headroom_are_asked_of_the_source() -> None:
    found = gauges(Standing(oldest=970_000), Extent(40, 100, 3600.0))
    assert found == {
        "lag_records": 10,
        "lag_seconds": 30,
        "retention_headroom_records": 50,
        "retention_headroom_seconds": 3570,
        "source_up": 1,
    }


def test_nothing_waits_is_a_lag_of_0() -> None:
    found = gauges(Standing(landed=100), Extent(40, 100, 3600.0))
    assert (found["lag_records"], found["lag_seconds"]) == (0, 0)
    assert found["retention_headroom_seconds"] == 3600


def test_what_is_not_known_is_not_told() -> None:
    assert gauges(Standing(), None) == {"lag_records": 7, "source_up": 0}
    assert gauges(Standing(lag_records=None), Extent()) == {"source_up": 1}


def test_a_source_without_offsets_tells_until_when_it_was_read() -> None:
    standing, extent = Standing(lag_records=None), Extent(None, None, 100.0, 980.0)
    assert gauges(standing, extent) == {
        "lag_seconds": 20,
        "retention_headroom_seconds": 80,
        "source_up": 1,
    }


def landed(records: int) -> Landed:
    link = Link(
        start=0, source="s", writer="w", next=records, records=records, sha256=""
    )
    return Landed(PIN, link, "records", 70, 0, 0, None, {"newline": 2})


def test_links_and_conflicts_are_counted_and_told_on() -> None:
    told: list[object] = []
    source = Source()
    lander = Lander(None, source, tell=told.append)  # type: ignore[arg-type]
    metrics = Metrics(source, lander)
    for records in (1, 500):
        lander.tell(landed(records))
    lander.refused(PIN)
    place = {"topic": "u.pin", "partition": "0"}
    value = metrics.registry.get_sample_value
    assert value("ingest_links_total", place) == 2
    assert value("ingest_records_total", place) == 501
    assert value("ingest_bytes_total", place) == 140
    assert value("ingest_conflicts_total", place) == 1
    assert value("ingest_dead_letters_total", {**place, "reason": "newline"}) == 4
    size = {"topic": "u.pin", "le": "100.0"}
    assert value("ingest_link_records_bucket", size) == 1
    assert len(told) == 2


def test_counters_begin_with_0_so_that_the_first_increase_is_seen() -> None:
    metrics, lander = watched(Standing(), Source())
    families = list(metrics.registry.collect())
    counters = [f for f in families if f.type == "counter"]
    first = [x for f in counters for x in f.samples if x.name.endswith("_total")]
    assert {x.value for x in first} == {0}
    lander.refused(PIN)
    for reason in REASONS:
        lander.tell(landed(1)._replace(reasons={reason: 1}))
    again = [x for f in metrics.registry.collect() for x in f.samples]
    named = {(x.name, *x.labels.values()) for x in again if x.name.endswith("_total")}
    assert named == {(x.name, *x.labels.values()) for x in first}


def test_every_reason_there_is_begins_with_0() -> None:
    values = [None, b"x" * 9, b"\xff", b"\xf3\x89\x9a\xc2", b"a\nb", b'"a"']
    found = [line_or_reason(value, 8) for value in values]
    assert set(found) - {b'"a"'} == set(REASONS)


# --- HTTP --------------------------------------------------------------------------


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_is_503_until_it_reads_and_when_it_does_not_any_more() -> None:
    metrics, lander = watched(Standing(), Source())
    with served(metrics, "127.0.0.1", 0) as port:
        assert get(port, "/healthz")[0] == 503
        lander.turned = 990.0
        assert get(port, "/healthz") == (200, '{"well":true,"message":"landing"}')
        lander.waiting("S3 is away", 3.0)
        lander.turned = 900.0
        status, said = get(port, "/healthz")
        assert (status, json.loads(said)["message"]) == (
            503,
            "nothing was read for 100 s: S3 is away",
        )
        assert get(port, "/")[0] == 404
        families = list(text_string_to_metric_families(get(port, "/metrics")[1]))
        assert "ingest_lag_records" in {family.name for family in families}


def test_a_port_in_use_is_one_sentence() -> None:
    metrics, _ = watched(Standing(), Source())
    with (
        served(metrics, "127.0.0.1", 0) as port,
        pytest.raises(StopError, match=f"Cannot listen on 127.0.0.1 port {port}"),
        served(metrics, "127.0.0.1", port),
    ):
        pass


# --- alerts ------------------------------------------------------------------------


def test_alerts_ask_for_metrics_that_there_are() -> None:
    """Their syntax is looked at only as far as YAML and brackets go."""
    text = (Path(__file__).parents[2] / "docs/alerts.yml").read_text()
    (group,) = yaml.safe_load(text)["groups"]
    metrics, running = watched(Standing(oldest=1), Source(Extent(1, 2, 3.0)))
    running.tell(landed(1))
    running.refused(PIN)
    told = generate_latest(metrics.registry).decode()
    there = set(re.findall(r"^(ingest_\w+)", told, re.MULTILINE))
    for rule in group["rules"]:
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
        expression = rule["expr"]
        assert expression.count("(") == expression.count(")")
        named = set(re.findall(r"ingest_\w+", expression))
        assert named
        assert named <= there, rule["alert"]
