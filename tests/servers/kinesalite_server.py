"""kinesalite, from npm, on a LevelDB folder: sequence numbers, resharding, restarts."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
import pytest
from botocore.config import Config
from processes import SERVERS, Process, free_port

if TYPE_CHECKING:
    from types_boto3_kinesis import KinesisClient

_INSTALLED = SERVERS / "kinesalite" / "node_modules"
_SERVER = Path(__file__).parent / "kinesalite" / "server.js"
REGION = "eu-west-1"


def missing() -> str | None:
    """Say what is missing and how to get it."""
    if not shutil.which("node"):
        return "kinesalite needs node: apt-get install nodejs npm, then make servers"
    if not (_INSTALLED / "kinesalite").is_dir():
        return "kinesalite is not installed: make servers"
    return None


class Kinesalite:
    """One server; anything passes for credentials."""

    def __init__(self, folder: Path) -> None:
        """Start it on a folder of its own."""
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.environment = {
            "AWS_ENDPOINT_URL_KINESIS": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "for tests",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.start()

    def start(self) -> None:
        """Start it on what it has stored."""
        self._process = Process(
            ["node", str(_SERVER), str(self._port), str(self._folder / "data")],
            self._folder / "log",
            {"NODE_PATH": str(_INSTALLED)},
        )
        self._process.wait_for(self._port)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it keep its connections and answer nothing inside the block."""
        with self._process.frozen():
            yield

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._process.stop()

    def client(self) -> "KinesisClient":
        """Return a client that retries, to look at what is stored."""
        return boto3.client(
            "kinesis",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="made-up",
            aws_secret_access_key="for tests",  # noqa: S106
            config=Config(retries={"mode": "standard", "total_max_attempts": 8}),
        )

    def create(self, stream: str, shards: int = 1) -> None:
        """Create a stream, and wait until it is there."""
        self.client().create_stream(StreamName=stream, ShardCount=shards)
        self.wait_active(stream)

    def delete(self, stream: str) -> None:
        """Delete a stream, and wait until it is gone."""
        client = self.client()
        client.delete_stream(StreamName=stream)
        while stream in client.list_streams()["StreamNames"]:
            time.sleep(0.05)

    def wait_active(self, stream: str) -> None:
        """Wait until the stream is created, or a resharding done."""
        client = self.client()
        for _ in range(600):
            said = client.describe_stream_summary(StreamName=stream)
            if said["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                return
            time.sleep(0.05)
        pytest.fail(f"stream {stream} did not become active")

    def stored(self, stream: str) -> dict[str, list[tuple[str, bytes]]]:
        """Return every record, by shard in order: partition key and data."""
        client = self.client()
        shards = client.list_shards(StreamName=stream)["Shards"]
        return {s["ShardId"]: self._shard(client, stream, s["ShardId"]) for s in shards}

    @staticmethod
    def _shard(
        client: "KinesisClient", stream: str, shard: str
    ) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        iterator: str | None = client.get_shard_iterator(
            StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = client.get_records(ShardIterator=iterator)
            found += [(r["PartitionKey"], r["Data"]) for r in answer["Records"]]
            iterator = answer.get("NextShardIterator") if answer["Records"] else None
        return found
