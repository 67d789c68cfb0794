"""That the suites' watch over all output sees a leak, whoever starts the process."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
START = """
import os, subprocess, sys

CODE = "import os, sys; sys.stderr.write(sys.argv[-1].format(**os.environ))"

def test_something():
    command = [sys.executable, "-c", CODE, "ingest", "{command}", {said!r}]
    {how}
"""
RUN = "subprocess.run(command, capture_output=True)"
TO_NOWHERE = """process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    process.wait()"""
UNREAD = """with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        pass"""

TERMINAL = """ours, theirs = os.openpty()
    with subprocess.Popen(command, stderr=theirs) as process:
        process.judge(os.read(ours, 99))"""


def run(
    folder: Path, said: str, how: str = RUN, command: str = "emit"
) -> "subprocess.CompletedProcess[str]":
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "test_leak.py").write_text(
        START.format(said=said, how=how, command=command)
    )
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS / 'servers'}\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        env={"GATEWAY_TOKEN": "made-up-token", "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("emit", RUN),
        ("emit", TO_NOWHERE),
        ("emit", UNREAD),
        ("emit", TERMINAL),
        ("doctor", RUN),
    ],
)
def test_a_secret_in_an_output_fails_the_session(
    tmp_path: Path, command: str, how: str
) -> None:
    done = run(tmp_path, "Token {GATEWAY_TOKEN}", how, command)
    assert done.returncode == 1, done.stdout
    assert "the secret of GATEWAY_TOKEN (test_leak.py::test_something" in done.stdout


@pytest.mark.parametrize("said", ['{{"index": 7}}', "eyJpbmQiOjd9"])
def test_a_record_in_the_output_of_an_emitter_fails_the_session(
    tmp_path: Path, said: str
) -> None:
    done = run(tmp_path, said)
    assert done.returncode == 1, done.stdout
    assert "a record (test_leak.py::test_something" in done.stdout


def test_an_output_that_shows_neither_passes(tmp_path: Path) -> None:
    done = run(tmp_path, 'has no event number: "index" must be a whole number')
    assert done.returncode == 0, done.stdout
