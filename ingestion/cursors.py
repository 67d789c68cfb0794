"""What an emitter keeps beside a topic: its position, a lock, and what was set aside.

```
<state>/cursors/<rows and topic>.json   position, one file for each sequence of rows
<state>/cursors/<rows and topic>.lock   held while somebody emits
<state>/sources/<place and topic>.json  the fingerprint that was emitted from there
<state>/rejected.jsonl                  records that were set aside, mode 0600
```
"""

import fcntl
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

import orjson

from ingestion.delivery import Message, Pace
from ingestion.errors import RetryError, StopError, explained
from ingestion.stores import Files

_SECONDS_BETWEEN_SAVES: Final = 1.0


@dataclass(frozen=True, slots=True)
class Route:
    """Which rows go where: what a position counts in.

    `location` is where the source lies, `fingerprint` what is in it, `stream` its order
    with seed and bound, `destination` the cluster or gateway, without secrets.
    """

    location: str
    fingerprint: str
    stream: dict[str, object]
    destination: str
    topic: str

    @property
    def rows_name(self) -> str:
        """Name these rows on their way to this topic."""
        return _name(self.fingerprint, self.destination, self.topic, self.stream)

    @property
    def place_name(self) -> str:
        """Name this place, whatever it holds, on its way to this topic."""
        return _name(self.location, self.destination, self.topic)


def _name(*parts: object) -> str:
    return sha256(orjson.dumps(parts)).hexdigest()[:32]


class State:
    """A folder that belongs to emitters, for any number of destinations."""

    def __init__(self, root: Path, files: Files | None = None) -> None:
        """Use the folder; it is created when something is to be kept."""
        self.root = root
        self.rejected = root / "rejected.jsonl"
        self._files = files or Files()
        self._lock = Lock()

    def set_aside(self, entries: list[bytes]) -> None:
        """Add lines to `rejected.jsonl`, durably."""
        with self._lock, explained(f"set records aside in {self.rejected}"):
            self._folder(self.root)
            self._files.append(self.rejected, b"".join(entries), mode=0o600)

    def read(self, name: str) -> dict[str, object] | None:
        """Return what a small file says; None where there is none."""
        path = self.root / name
        with explained(f"read {path}"):
            if not path.exists():
                return None
            body = path.read_bytes()
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise StopError(
                f"{path} is damaged: remove it and say --restart to emit all again."
            )
        return found

    def replace(self, name: str, **said: object) -> None:
        """Write a small file by a rename: a kill leaves the old one or the new one."""
        path = self.root / name
        with explained(f"write {path}"):
            self._folder(path.parent)
            tmp = path.with_suffix(".tmp")
            self._files.append(tmp, orjson.dumps(said) + b"\n", flags=os.O_TRUNC)
            self._files.replace(tmp, path)

    @contextmanager
    def lock(self, name: str, what: str) -> Iterator[None]:
        """Keep others from `what`; the system lets go when the process ends."""
        path = self.root / name
        with explained(f"lock {path}"):
            self._folder(path.parent)
            file = path.open("wb")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RetryError(
                    f"Another run is emitting {what}: wait until it has ended, then "
                    "run the same command again."
                ) from error
            yield

    def _folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)


class Cursor:
    """The position of one route; what was set aside is durable before it moves on.

    A kill between the two sets a record aside twice: at least once, as all of this.
    """

    def __init__(self, state: State, route: Route, pace: Pace) -> None:
        """Keep the position of the route; nothing is read or written yet."""
        self.route = route
        self._state = state
        self._pace = pace
        self._file = f"cursors/{route.rows_name}.json"
        self._saved_at = pace.now()
        self._entries: list[bytes] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of these rows on their way to this topic."""
        what = f"the same rows to {self.route.topic}"
        with self._state.lock(f"cursors/{self.route.rows_name}.lock", what):
            yield

    def resume(self, *, restart: bool = False) -> int:
        """Return the position to go on from; with `restart` it is 0.

        Raises `StopError` where the place held something else when it was last emitted.
        """
        source = f"sources/{self.route.place_name}.json"
        before = self._state.read(source) if not restart else None
        if before is not None and before.get("fingerprint") != self.route.fingerprint:
            raise StopError(
                f"The source of {self.route.topic} has changed since it was emitted: "
                "say --restart to emit all of it again (the newer copy of an event "
                "replaces the older), or emit the new records from a folder of their "
                "own."
            )
        position = 0 if restart else self._position()
        self.save(position, now=True)
        self._state.replace(source, fingerprint=self.route.fingerprint)
        return position

    def _position(self) -> int:
        found = self._state.read(self._file)
        if found is None:
            return 0
        position = found.get("position")
        if not isinstance(position, int) or position < 0:
            raise StopError(
                f"{self._state.root / self._file} holds no position: remove it and say "
                "--restart to emit all again."
            )
        return position

    def save(self, position: int, *, now: bool = False) -> None:
        """Keep the position, at most once a second unless `now`."""
        if not now and self._pace.now() - self._saved_at < _SECONDS_BETWEEN_SAVES:
            return
        if self._entries:
            self._state.set_aside(self._entries)
            self._entries = []
        self._state.replace(
            self._file,
            position=position,
            topic=self.route.topic,
            destination=self.route.destination,
            **self.route.stream,
        )
        self._saved_at = self._pace.now()

    def set_aside(self, message: Message, reason: str) -> None:
        """Keep a record that cannot be delivered, with the next position saved."""
        entry = {
            "topic": self.route.topic,
            "destination": self.route.destination,
            "position": message.position,
            "key": message.key,
            "reason": reason,
            "bytes": b64encode(message.value).decode(),
        }
        self._entries.append(orjson.dumps(entry) + b"\n")
