"""The dbt-duckdb plugin of this project: what SQL cannot do with landed bytes."""

import gzip
import zlib

from dbt.adapters.duckdb.plugins import BasePlugin
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


class Plugin(BasePlugin):
    """Registers the functions above on dbt's DuckDB connection."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the functions; called once by dbt-duckdb for each database."""
        conn.create_function("gunzip", gunzip, ["BLOB", "VARCHAR"], "BLOB")
        conn.create_function("decode_lossy", decode_lossy, ["BLOB"], "VARCHAR")
        conn.create_function("broken_lines", broken_lines, ["BLOB"], "BIGINT[]")
