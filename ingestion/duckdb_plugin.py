"""The dbt-duckdb plugin of this project: `gunzip` for compressed landings."""

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


class Plugin(BasePlugin):
    """Registers `gunzip(blob, varchar) -> blob` on dbt's DuckDB connection."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the function; called once by dbt-duckdb for each database."""
        conn.create_function("gunzip", gunzip, ["BLOB", "VARCHAR"], "BLOB")
