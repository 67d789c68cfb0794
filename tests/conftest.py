"""What holds in every suite: workers side by side, and no secret in any output."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import outputs
import pytest
from xdist.scheduler import LoadFileScheduling

APART = {
    "engines in a session": r"test_engines[.]py.*\[spark[]-]",
    "Airflow 3": r"test_schedule[.]py.*[-\[]3[.]0\]",
}
"""Tests of a file that share no server with its others, by their ids."""


class ByServer(LoadFileScheduling):  # type: ignore[misc]
    """Gives a worker all tests of a file, which share its servers."""

    def _split_scope(self, nodeid: str) -> str:
        for name, pattern in APART.items():
            if re.search(pattern, nodeid):
                return name
        return str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByServer:
    """Take over from the schedulers that `--dist` chooses among."""
    return ByServer(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:  # noqa: ANN401 - pytest's
    """Print the seconds of each suite; with workers they pass side by side."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                suite = "/".join(PurePath(report.nodeid).parts[:2])
                seconds[suite] += report.duration
    for suite, spent in sorted(seconds.items()):
        terminalreporter.write_line(f"{suite}: {spent:.0f} s")


@pytest.fixture(scope="session", autouse=True)
def every_output() -> Iterator[outputs.Outputs]:
    """Fail the session where an emitter or a lander has shown what it must not."""
    with outputs.watching() as watched:
        yield watched
        assert not watched.leaks, f"in an output of ingest: {'; '.join(watched.leaks)}"
