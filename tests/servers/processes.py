"""What all servers share: a process of our own, its port, and what to do without it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVERS = Path(__file__).parents[2] / ".servers"
"""Where `make servers` installs; git ignores it."""

_START_SECONDS = 60.0


def require(missing: str | None) -> None:
    """Skip the test with one line if something is missing; fail where CI=true."""
    if missing is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Process:
    """One server process; its output goes to a file that a failure can show."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] = {}
    ) -> None:
        """Start it."""
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
        self.pid = self._process.pid

    def wait_for(self, port: int) -> None:
        """Return when the port answers; fail with the end of the log if it does not."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        end = self.log.read_text(errors="replace")[-3000:]
        self.kill()
        pytest.fail(f"{self._process.args!r} did not answer on port {port}:\n{end}")

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and wait."""
        self._end(signal.SIGTERM)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it keep its connections and answer nothing inside the block."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, signum: int) -> None:
        self._process.send_signal(signum)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
