"""MiniStack's S3, from PyPI, in an environment of its own: it pins another botocore."""

import os
from pathlib import Path

import boto3
from botocore.config import Config
from processes import SERVERS, Process, free_port

PROGRAM = SERVERS / "ministack" / "bin" / "ministack"
CONDITIONS = Path(__file__).with_name("ministack_conditions.py")
BUCKET = "landing"


def missing() -> str | None:
    """Say what is missing and how to get it."""
    if PROGRAM.exists():
        return None
    return "MiniStack (S3) is not installed: make .servers/ministack.done"


class MiniStack:
    """An object store that keeps its objects in a folder, with one bucket."""

    def __init__(self, folder: Path, *, conditions: bool = False) -> None:
        """Start it on a free port of loopback; the keys are made up.

        With `conditions` it knows what `ministack_conditions.py` says.
        """
        port = free_port()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up-too",
            "AWS_REGION": "us-east-1",
        }
        self._process = Process(
            [str(PROGRAM.with_name("python")), str(CONDITIONS)]
            if conditions
            else [str(PROGRAM)],
            folder / "ministack.log",
            {
                **{key: value for key, value in os.environ.items() if key == "PATH"},
                **self.environment,
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                "AUTH": "true",
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(folder / "objects"),
                "IOT_MTLS_ENABLED": "0",
                "SFTP_ENABLED": "0",
            },
        )
        self._process.wait_for(port)
        self.s3 = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}),
        )
        self.s3.create_bucket(Bucket=BUCKET)

    def upload(self, landing: Path) -> str:
        """Put a landing of this machine in the bucket; return where it lies."""
        for path in landing.rglob("*.json*"):
            key = f"events/{path.relative_to(landing)}"
            self.s3.upload_file(str(path), BUCKET, key)
        return f"s3a://{BUCKET}/events"

    def stop(self) -> None:
        """End it."""
        self._process.stop()
