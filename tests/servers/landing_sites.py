"""A landing in a folder or in MiniStack's S3, under one interface."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import ministack_server
import pytest
from ministack_server import BUCKET, MiniStack
from processes import require

from ingestion.s3_calls import Patience, Place, S3Calls, make_client
from ingestion.s3_store import S3Store
from ingestion.stores import DirectoryStore, Files, Store


class Site(Protocol):
    """Where one landing of a test lies, and what others can do there."""

    def store(self) -> Store:
        """Return a store of its own, as another process would have."""

    def put(self, name: str, body: bytes) -> None:
        """Write as another program would, over anything."""

    def body(self, name: str) -> bytes:
        """Return an object's bytes."""

    def remove(self, name: str) -> None:
        """Delete an object."""


class UnsyncedFiles(Files):
    """File calls without fsync: no test here cuts the power."""

    def sync(self, descriptor: int) -> None:
        pass


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def store(self) -> DirectoryStore:
        return DirectoryStore(self.root, UnsyncedFiles())

    def put(self, name: str, body: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def body(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def remove(self, name: str) -> None:
        (self.root / name).unlink()


class Prefix:
    """A prefix of MiniStack's bucket."""

    def __init__(self, server: MiniStack) -> None:
        self.server = server
        self.place = Place(BUCKET, f"test/{uuid.uuid4().hex}")

    def beside(self) -> "Prefix":
        """Return another prefix."""
        return Prefix(self.server)

    def store(self) -> S3Store:
        return S3Store(S3Calls(make_client(), self.place, Patience(10)))

    def put(self, name: str, body: bytes) -> None:
        self.server.s3.put_object(Bucket=BUCKET, Key=self.place.key(name), Body=body)

    def body(self, name: str) -> bytes:
        said = self.server.s3.get_object(Bucket=BUCKET, Key=self.place.key(name))
        return said["Body"].read()

    def remove(self, name: str) -> None:
        self.server.s3.delete_object(Bucket=BUCKET, Key=self.place.key(name))


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    require(ministack_server.missing())
    server = MiniStack(tmp_path_factory.mktemp("ministack"))
    yield server
    server.stop()


@pytest.fixture
def prefix(ministack: MiniStack, monkeypatch: pytest.MonkeyPatch) -> Prefix:
    for name, value in ministack.environment.items():
        monkeypatch.setenv(name, value)
    return Prefix(ministack)


@pytest.fixture(params=["directory", "s3"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if request.param == "directory":
        return Folder(tmp_path / "landing")
    prefix: Prefix = request.getfixturevalue("prefix")
    return prefix
