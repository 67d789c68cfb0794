"""The dbt-duckdb plugin of this project: what SQL cannot do with landed bytes."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

from ingestion.errors import StopError

_S3_SECONDS: Final = 120.0


def gunzip(content: bytes, file_path: str) -> bytes:
    """Return the decompressed content of a `.json.gz` file.

    DuckDB's `read_blob` does not decompress. Raises `ValueError` with the file's
    path where the content is not gzip (RFC 1952).
    """
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{file_path} is not readable as gzip ({error}): land it again or "
            "move it out of the landing"
        ) from error


def decode_lossy(content: bytes) -> str:
    """Return the text of bytes that are not all UTF-8, with U+FFFD for the others."""
    return content.decode("utf-8", "replace")


def broken_lines(content: bytes) -> list[int]:
    """Return the numbers, from 0, of the lines that are not UTF-8 (RFC 3629)."""
    return [
        number
        for number, line in enumerate(content.split(b"\n"))
        if decode_lossy(line).encode() != line
    ]


def landing_problem(root: str) -> str:
    """Return why a landing cannot be read, a sentence; "" where it can.

    It needs a folder `topics`, in S3 a key below it: a mistyped root is not an empty
    landing. DuckDB puts a traceback behind whatever a function raises.
    """
    try:
        if root.startswith("s3://"):
            is_there = next(_keys(root, "topics"), None) is not None
        else:
            is_there = os.path.isdir(f"{root}/topics")  # noqa: PTH112 - as it is written
    except StopError as error:
        return str(error)
    if is_there:
        return ""
    return (
        f"There is no landing at {root}, it has no topics: check LANDING, or land "
        "records there first"
    )


def landed_paths(root: str, folder: str, pattern: str) -> list[str]:
    """Return the paths of the files in a landing's `folder` that match, in order.

    `pattern` is for the path below `root`, `<folder>/<topic>/partition=<p>/<file>`.
    DuckDB's `glob` finds the same, takes far longer where the files are many, and
    cannot stand in `read_blob` when it finds nothing. Raises `ValueError` for `topics`
    where there is none and `landing_problem` says why; another folder that is not there
    is no files. In S3 it raises what `ingestion.s3_calls` does too.
    """
    matches = re.compile(pattern).search
    is_s3 = root.startswith("s3://")
    paths = list(_keys(root, folder) if is_s3 else _paths(root, folder, 3))
    if folder == "topics" and not paths and (problem := landing_problem(root)):
        raise ValueError(problem)
    return sorted(f"{root}/{path}" for path in paths if matches(path))


def _keys(root: str, folder: str) -> Iterator[str]:
    from ingestion.s3_calls import (  # noqa: PLC0415 - half a second, for S3 alone
        Patience,
        Place,
        S3Calls,
        make_client,
    )

    calls = S3Calls(make_client(), Place.parse(root), Patience(_S3_SECONDS))
    for page in calls.pages(f"{folder}/"):
        yield from page.names


def _paths(root: str, folder: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(os.path.join(root, folder)) as entries:  # noqa: PTH118 - hot
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = f"{folder}/{name}"
        if depth > 1:
            yield from _paths(root, path, depth - 1)
        else:
            yield path


def s3_secret() -> dict[str, str]:
    """Return the parameters of a DuckDB secret for what `ingest` would use.

    Credentials come from AWS's chain, endpoint and region from its usual variables.
    They are those of this moment: a build must end before temporary ones expire.
    Raises `StopError` where there are none.
    """
    import boto3  # noqa: PLC0415 - half a second, for S3 alone

    from ingestion.s3_calls import make_client  # noqa: PLC0415

    client, found = make_client(), boto3.Session().get_credentials()
    if found is None:
        raise StopError(
            "There are no AWS credentials: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, then build again."
        )
    keys = found.get_frozen_credentials()
    region = client.meta.region_name
    secret = {
        "key_id": keys.access_key or "",
        "secret": keys.secret_key or "",
        "session_token": keys.token or "",
        "region": "us-east-1" if region == "aws-global" else region,
    }
    endpoint = urlsplit(client.meta.endpoint_url)
    if not re.search(r"[.]amazonaws[.]com([.]cn)?$", endpoint.hostname or ""):
        secret["endpoint"] = endpoint.netloc + endpoint.path.rstrip("/")
        secret["url_style"] = "path"
        secret["use_ssl"] = str(endpoint.scheme == "https").lower()
    return {name: value for name, value in secret.items() if value}


def read_s3(connection: DuckDBPyConnection) -> None:
    """Let a connection read `s3://`, with the extension that was installed with it."""
    files = resources.files("duckdb_extension_httpfs") / "extensions"
    with resources.as_file(files) as folder:
        (extension,) = folder.glob(f"v{duckdb.__version__}/httpfs.duckdb_extension")
        connection.load_extension(str(extension))
    secret = s3_secret()
    names = ", ".join(f"{name} ${name}" for name in secret)
    connection.execute(f"create or replace secret (type s3, {names})", secret)


class Plugin(BasePlugin):
    """Registers the functions above on dbt's DuckDB connection."""

    def update_connection_config(
        self, creds: DuckDBCredentials, config: dict[str, Any]
    ) -> None:
        """Say in one sentence that somebody holds the file, where dbt has a traceback.

        dbt-duckdb calls this before it connects. Raises `DbtRuntimeError`.
        """
        try:
            duckdb.connect(creds.path, config=config).close()
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise DbtRuntimeError(
                    f"{creds.path} cannot be opened: {error}"
                ) from error
            raise DbtRuntimeError(
                f"{creds.path} is in use by another program (a build, or a notebook "
                "that opened it): wait for it or close it, then try again."
            ) from error

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the functions; called once by dbt-duckdb for each database."""
        if os.environ.get("LANDING", "").startswith("s3://"):
            try:
                read_s3(conn)
            except StopError as error:
                raise DbtRuntimeError(str(error)) from error
        conn.create_function("gunzip", gunzip, ["BLOB", "VARCHAR"], "BLOB")
        conn.create_function("decode_lossy", decode_lossy, ["BLOB"], "VARCHAR")
        conn.create_function(
            "landed_paths",
            landed_paths,
            ["VARCHAR", "VARCHAR", "VARCHAR"],
            "VARCHAR[]",
        )
        conn.create_function("landing_problem", landing_problem, ["VARCHAR"], "VARCHAR")
        conn.create_function("broken_lines", broken_lines, ["BLOB"], "BIGINT[]")
