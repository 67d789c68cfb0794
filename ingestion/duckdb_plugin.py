"""The dbt-duckdb plugin of this project: what SQL cannot do with landed bytes."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection


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


def landed_paths(root: str, folder: str, pattern: str) -> list[str]:
    """Return the paths of the files in a landing's `folder` that match, in order.

    `pattern` is for the path below `root`, `<folder>/<topic>/partition=<p>/<file>`; no
    such folder is no files. DuckDB's `glob` finds the same, takes far longer where the
    files are many, and cannot stand in `read_blob` when it finds nothing.
    """
    matches = re.compile(pattern).search
    return sorted(f"{root}/{path}" for path in _paths(root, folder, 3) if matches(path))


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
        conn.create_function("gunzip", gunzip, ["BLOB", "VARCHAR"], "BLOB")
        conn.create_function("decode_lossy", decode_lossy, ["BLOB"], "VARCHAR")
        conn.create_function(
            "landed_paths",
            landed_paths,
            ["VARCHAR", "VARCHAR", "VARCHAR"],
            "VARCHAR[]",
        )
        conn.create_function("broken_lines", broken_lines, ["BLOB"], "BIGINT[]")
