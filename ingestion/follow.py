"""Land and build in a loop, and measure how old records are in the reports."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import orjson

from ingestion.errors import StopError

_POINTS: Final = 20  # of one object, whose records are taken to be evenly spread
_LOOK_SECONDS: Final = 0.2
_AGAIN_SECONDS: Final = 10.0
_TENTHS: Final = 10
_PROGRAMS: Final = Path(sys.executable).parent


@dataclass(slots=True)
class Delays:
    """From a record's time in the source to the reports, in tenths of a second."""

    tenths: Counter[int] = field(default_factory=Counter)

    def add(self, link: Mapping[str, Any], now: float) -> None:
        """Count the records of a link that the reports show at `now` (seconds)."""
        first, last, records = link["first_time"], link["last_time"], link["records"]
        if first is None or last is None or not records:
            return
        points = min(records, _POINTS)
        for n in range(points):
            time = first + (last - first) * n / max(points - 1, 1)
            share = records * (n + 1) // points - records * n // points
            self.tenths[max(round((now - time / 1000) * _TENTHS), 0)] += share

    def quantile(self, share: float) -> float | None:
        """Return the seconds that so large a share of the records took at most."""
        left = share * self.tenths.total()
        for tenth in sorted(self.tenths):
            left -= self.tenths[tenth]
            if left <= 0:
                return tenth / _TENTHS
        return None


class LanderProcess:
    """`ingest land … --follow` as a process of its own, that no Ctrl-C reaches."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it."""
        self._links: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, start_new_session=True
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            said = orjson.loads(line)
            if said["event"] == "link":
                self.give_back([said])
            elif said["event"] == "waiting":
                click.echo(f"The lander waits: {said['message']}", err=True)

    def take(self) -> list[dict[str, Any]]:
        """Return what was landed since the last call."""
        with self._lock:
            links, self._links = self._links, []
        return links

    def give_back(self, links: list[dict[str, Any]]) -> None:
        """Keep links until they are built."""
        with self._lock:
            self._links = links + self._links

    def require_running(self) -> None:
        """Raise `StopError` where it has ended; it has said why."""
        code = self._process.poll()
        if code is not None:
            raise StopError(f"The lander ended with exit code {code}: see above.")

    def stop(self) -> int:
        """Let it land what waits, and end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


def run_build(landing: str) -> bool:
    """Build, test and publish; False where something is not green, which dbt says."""
    dbt = ("dbt", "--quiet", "build", "--exclude-resource-type", "unit_test")
    for program, *words in (dbt, ("ingest", "publish")):
        done = subprocess.run(
            [str(_PROGRAMS / program), *words],
            env={**os.environ, "LANDING": landing},
            stdout=sys.stderr,
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            return False
    return True


@dataclass(slots=True)
class Built:
    """One build: the records that the reports show since, and how long it took."""

    green: bool
    records: int
    seconds: float


def follow(
    lander: LanderProcess,
    build: Callable[[], bool],
    delays: Delays,
    interrupted: Callable[[], bool],
) -> Iterator[Built]:
    """Build whenever something was landed, until `interrupted`; yield each build.

    What a build did not publish is counted with the next.
    """
    not_before = 0.0
    while not interrupted():
        lander.require_running()
        links = lander.take() if time.monotonic() >= not_before else []
        if not links:
            time.sleep(_LOOK_SECONDS)
            continue
        started = time.monotonic()
        green = build()
        if green:
            now = time.time()
            for link in links:
                delays.add(link, now)
        else:
            lander.give_back(links)
            not_before = time.monotonic() + _AGAIN_SECONDS
        records = sum(link["records"] for link in links)
        yield Built(green, records, time.monotonic() - started)
