"""A SQL endpoint as Databricks has it, in front of a Spark cluster's Thrift server.

    python tests/servers/databricks_sql.py FOLDER THRIFT_PORT

It speaks as much of the Statement Execution API (Databricks' REST reference) as the
unmodified adapter dbt-databricks and its SQL connector use: sessions, statements with
polling, inline JSON results, errors. It writes its certificate to `FOLDER/ca.pem`,
every statement to `FOLDER/statements.jsonl`, and its port to `FOLDER/port`. Reached as
a proxy, it is the host of a workspace.

What Spark cannot do is answered, not done: the catalog's name is taken off,
`read_files` becomes what Spark has for it, `information_schema` is made up from Spark's
own catalog, and grants, tags and masks only pass, marked so in the file of statements:
see docs/databricks.md.
"""

import json
import re
import socket
import ssl
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import trustme
from pyhive import hive
from pyhive.exc import OperationalError

HOST = "adb-0.test"
CATALOG = "main"
TOKEN = "dapi-made-up"  # noqa: S105, made up here, for here
WAIT_SECONDS = 2
ZONE = "America/New_York"
"""That of a workspace where nobody asks for another one."""

PASSED = re.compile(
    r"\s*(grant\b|revoke\b|create\s+or\s+replace\s+function\b"
    r"|alter\s+table\s+\S+\s+alter\s+column\s+\S+\s+set\s+(tags|mask)\b)",
    re.IGNORECASE,
)
"""Statements of Unity Catalog that Spark does not have."""

REPLACED = re.compile(r"\s*(create\s+or\s+replace\s+view|drop)\b", re.IGNORECASE)
"""Statements after which a relation is another one or none; see `Session.catalog`."""

TYPES = {
    "BIGINT_TYPE": "LONG",
    "SMALLINT_TYPE": "SHORT",
    "TINYINT_TYPE": "BYTE",
    "VARCHAR_TYPE": "STRING",
    "CHAR_TYPE": "STRING",
}
"""Thrift's names of types to the API's; the others lose `_TYPE`."""

VIEWS = {
    "tables": (
        "table_catalog table_schema table_name table_type data_source_format "
        "table_owner comment storage_path last_altered created"
    ),
    "columns": (
        "table_catalog table_schema table_name column_name ordinal_position data_type "
        "full_data_type is_nullable comment"
    ),
    "views": "table_catalog table_schema table_name view_definition",
    "column_tags": "catalog_name schema_name table_name column_name tag_name tag_value",
    "table_tags": "catalog_name schema_name table_name tag_name tag_value",
    "column_masks": (
        "table_catalog table_schema table_name column_name mask_name using_columns"
    ),
    "row_filters": "table_catalog table_schema table_name filter_name target_columns",
    "key_column_usage": (
        "constraint_catalog constraint_schema constraint_name table_catalog "
        "table_schema table_name column_name ordinal_position "
        "position_in_unique_constraint"
    ),
    "table_constraints": (
        "constraint_catalog constraint_schema constraint_name table_catalog "
        "table_schema table_name constraint_type"
    ),
    "referential_constraints": (
        "constraint_catalog constraint_schema constraint_name "
        "unique_constraint_catalog unique_constraint_schema unique_constraint_name"
    ),
}
"""Columns of the views of `information_schema` that the adapter asks for."""

Rows = list[list[Any]]
Answer = tuple[list[dict[str, Any]], Rows]


class Session:
    """One session of the API, which is one of the Thrift server.

    Unity Catalog replaces a view at once. Spark drops it and makes it anew, and a list
    of relations fails if one of them is gone before it is described: `catalog` is a
    lock of all sessions that has either wait for the other.
    """

    def __init__(
        self, thrift_port: int, catalog: threading.Lock, settings: dict[str, str]
    ) -> None:
        """Connect; in ANSI mode, as a SQL warehouse is, with a client's settings."""
        self.catalog = catalog
        self.connection = hive.connect(
            "127.0.0.1",
            thrift_port,
            username="databricks",
            configuration={
                "spark.sql.ansi.enabled": "true",
                "spark.sql.session.timeZone": settings.get("timezone", ZONE),
            },
        )

    def answer(self, statement: str) -> Answer:
        """Return columns and rows; raises `OperationalError`."""
        statement = without_comment(statement)
        if PASSED.match(statement):
            return [], []
        described = re.match(
            r"\s*describe\s+table\s+extended\s+(\S+)\s+as\s+json\s*$",
            statement,
            re.IGNORECASE,
        )
        if described:
            with self.catalog:
                return self.describe(described[1])
        statement = with_files(self.with_information(statement))
        statement = self.without_catalog(statement)
        if not REPLACED.match(statement):
            return self.run(statement)
        with self.catalog:
            return self.run(statement)

    def run(self, statement: str) -> Answer:
        """Run a statement as it is."""
        cursor = self.connection.cursor()
        cursor.execute(statement)
        if cursor.description is None:
            return [], []
        columns = [
            column(position, name, kind)
            for position, (name, kind, *_) in enumerate(cursor.description)
        ]
        return columns, [[text(value) for value in row] for row in cursor.fetchall()]

    def without_catalog(self, statement: str) -> str:
        """Take the catalog off names; Spark's own has none above its schemas."""
        whole = rf"`?\b{CATALOG}\b`?"
        statement = re.sub(
            rf"(show\s+schemas)\s+in\s+{whole}(?!\.)",
            r"\1",
            statement,
            flags=re.IGNORECASE,
        )
        return re.sub(rf"{whole}\.(?=[`\w])", "", statement)

    def with_information(self, statement: str) -> str:
        """Put what Spark's catalog knows in the place of `information_schema`."""
        return re.sub(
            rf"`?(?:system|{CATALOG})`?\s*\.\s*`?information_schema`?\s*\.\s*`?(\w+)`?",
            lambda match: self.information(match[1].lower(), statement),
            statement,
            flags=re.IGNORECASE,
        )

    def information(self, view: str, statement: str) -> str:
        """Return a view of `information_schema` as a subquery."""
        names = VIEWS[view].split()
        rows: list[dict[str, str]] = []
        if view in {"tables", "columns", "views"}:
            schemas = re.findall(r"(?i)table_schema\W+(?:=|in)\W+(\w+)", statement)
            asked = re.findall(r"(?i)\btable_name\s*=\s*'(\w+)'", statement)
            for schema in dict.fromkeys(schemas):
                with self.catalog:
                    rows += self.relations(
                        schema.lower(),
                        "|".join(asked).lower() or "*",
                        with_columns=view == "columns",
                    )
        if view == "views":
            rows = [row for row in rows if row["table_type"] == "VIEW"]
        selected = " union all ".join(
            "select " + ", ".join(f"{quoted(row.get(n))} as {n}" for n in names)
            for row in rows
        )
        empty = ", ".join(f"cast(null as string) as {name}" for name in names)
        return f"({selected or f'select {empty} where false'})"

    def relations(
        self, schema: str, names: str, *, with_columns: bool
    ) -> list[dict[str, str]]:
        """Describe the tables and views of a schema (`a|b`, `*`), or their columns."""
        found = []
        if not self.run(f"show schemas like '{schema}'")[1]:
            return []
        _, rows = self.run(f"show table extended in {schema} like '{names}'")
        for _, name, is_temporary, information in rows:
            if is_temporary == "true":
                continue
            is_view = "\nType: VIEW" in information
            relation = {
                "table_catalog": CATALOG,
                "table_schema": schema,
                "table_name": name,
                "table_type": "VIEW" if is_view else "MANAGED",
                "data_source_format": "" if is_view else "DELTA",
                "table_owner": "databricks",
                "view_definition": information.partition("\nView Text: ")[2],
            }
            if not with_columns:
                found.append(relation)
                continue
            columns = self.run(f"describe {schema}.{name}")[1]
            found += [
                {
                    **relation,
                    "column_name": column_name,
                    "data_type": data_type,
                    "full_data_type": data_type,
                    "ordinal_position": str(position),
                }
                for position, (column_name, data_type, _) in enumerate(columns)
                if column_name and not column_name.startswith("#")
            ]
        return found

    def describe(self, relation: str) -> Answer:
        """Answer `describe … as json`, which Spark does not do for Delta."""
        parts = [part.strip("`") for part in relation.split(".")]
        _, rows = self.run(f"describe {self.without_catalog(relation)}")
        schema = parts[-2] if len(parts) > 1 else ""
        is_view = len(parts) > 1 and parts[-1] in {
            name for _, name, _ in self.run(f"show views in {schema}")[1]
        }
        document: dict[str, Any] = {
            "table_name": parts[-1],
            "catalog_name": CATALOG,
            "namespace": [schema],
            "schema_name": schema,
            "columns": [
                {"name": name, "type": {"name": kind}, "nullable": True}
                for name, kind, _ in rows
                if name and not name.startswith("#")
            ],
            "type": "VIEW" if is_view else "MANAGED",
            "provider": None if is_view else "delta",
            "table_properties": {},
            "owner": "databricks",
        }
        return [column(0, "json_metadata", "STRING_TYPE")], [[json.dumps(document)]]


def without_comment(statement: str) -> str:
    """Take off what dbt writes before a statement, and what ends it."""
    bare = re.sub(r"^(\s*/\*.*?\*/)*\s*", "", statement, flags=re.DOTALL)
    return bare.rstrip().removesuffix(";")


def with_files(statement: str) -> str:
    """Write `read_files` as Spark reads files: a format, a path, options."""

    def as_spark(call: re.Match[str]) -> str:
        options = call[3].replace("=>", "=").removeprefix(", ")
        return f"{call[2]}.`{call[1]}` with ({options})"

    return re.sub(
        r"read_files\('([^']+)', format => '(\w+)'((?:, \w+ => (?:'[^']*'|\w+))*)\)",
        as_spark,
        statement,
    )


def quoted(value: str | None) -> str:
    """Return a literal of SQL."""
    if value is None:
        return "cast(null as string)"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def column(position: int, name: str, kind: str) -> dict[str, Any]:
    """Describe a column of a result as the API does."""
    type_name = TYPES.get(kind, kind.removesuffix("_TYPE"))
    return {
        "name": name.rpartition(".")[2],
        "type_name": type_name,
        "type_text": type_name,
        "position": position,
    }


def text(value: object) -> str | None:
    """Write a value as the API does in a JSON array: all are texts."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value.hex() if isinstance(value, bytes) else str(value)


class Warehouse:
    """Sessions and statements, and a file of what was said."""

    def __init__(self, folder: Path, thrift_port: int) -> None:
        """Answer from the Thrift server at a port; write to a folder."""
        self.thrift_port = thrift_port
        self.log = folder / "statements.jsonl"
        self.sessions: dict[str, Session] = {}
        self.statements: dict[str, Future[Answer]] = {}
        self.pool = ThreadPoolExecutor(max_workers=16)
        self.lock = threading.Lock()
        self.catalog = threading.Lock()

    def open_session(self, settings: dict[str, str]) -> dict[str, str]:
        """Open one."""
        session_id = str(uuid4())
        self.sessions[session_id] = Session(self.thrift_port, self.catalog, settings)
        return {"session_id": session_id}

    def close_session(self, session_id: str) -> None:
        """Close one, known or not."""
        session = self.sessions.pop(session_id, None)
        if session:
            session.connection.close()

    def execute(self, session_id: str, statement: str) -> dict[str, Any]:
        """Start a statement; return its result if it is quick."""
        with self.lock, self.log.open("a", encoding="utf-8") as log:
            passed = bool(PASSED.match(without_comment(statement)))
            log.write(json.dumps({"statement": statement, "passed": passed}) + "\n")
        statement_id = str(uuid4())
        self.statements[statement_id] = self.pool.submit(
            self.sessions[session_id].answer, statement
        )
        return self.result(statement_id)

    def result(self, statement_id: str) -> dict[str, Any]:
        """Return where a statement stands, with its rows at the end."""
        status: dict[str, Any] = {"state": "SUCCEEDED"}
        columns: list[dict[str, Any]] = []
        rows: Rows = []
        try:
            columns, rows = self.statements[statement_id].result(WAIT_SECONDS)
        except NotYet:
            status = {"state": "RUNNING"}
        except OperationalError as error:
            status = {
                "state": "FAILED",
                "error": {"error_code": "BAD_REQUEST", "message": message(error)},
            }
        return {
            "statement_id": statement_id,
            "status": status,
            "manifest": {
                "format": "JSON_ARRAY",
                "schema": {"column_count": len(columns), "columns": columns},
                "total_row_count": len(rows),
                "total_chunk_count": 1,
                "truncated": False,
            },
            "result": {
                "chunk_index": 0,
                "row_offset": 0,
                "row_count": len(rows),
                "data_array": rows,
            },
        }


def message(error: OperationalError) -> str:
    """Return what Spark said, without Thrift's stack."""
    status = getattr(error.args[0], "status", None) if error.args else None
    return str(getattr(status, "errorMessage", None) or error)


class Handler(BaseHTTPRequestHandler):
    """The API over HTTP; and as a proxy for the workspace's host name."""

    protocol_version = "HTTP/1.1"
    warehouse: Warehouse
    tls: ssl.SSLContext

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_CONNECT(self) -> None:
        """Be the host that the client wants to reach."""
        self.send_response_only(200)
        self.end_headers()
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        """Poll a statement."""
        self._route("GET")

    def do_POST(self) -> None:
        """Open a session, start a statement."""
        self._route("POST")

    def do_DELETE(self) -> None:
        """Close a session or a statement."""
        self._route("DELETE")

    def _route(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        if self.path.startswith("/.well-known/databricks-config"):
            self._answer(200, {"host_type": "workspace"})
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error_code": "UNAUTHENTICATED", "message": "no token"})
            return
        path = self.path.partition("?")[0].rstrip("/")
        kind, _, name = path.removeprefix("/api/2.0/sql/").partition("/")
        match method, kind, name:
            case "POST", "sessions", "":
                settings = body.get("session_confs") or {}
                self._answer(200, self.warehouse.open_session(settings))
            case "DELETE", "sessions", _:
                self.warehouse.close_session(name)
                self._answer(200, {})
            case "POST", "statements", "":
                answer = self.warehouse.execute(body["session_id"], body["statement"])
                self._answer(200, answer)
            case "GET", "statements", _:
                self._answer(200, self.warehouse.result(name))
            case "DELETE", "statements", _:
                self.warehouse.statements.pop(name, None)
                self._answer(200, {})
            case _:
                self._answer(404, {"error_code": "NOT_FOUND", "message": self.path})

    def _answer(self, code: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """A server whose threads end with it."""

    daemon_threads = True
    address_family = socket.AF_INET


def main(folder: Path, thrift_port: int) -> None:
    """Serve until killed."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    Handler.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(Handler.tls)
    Handler.warehouse = Warehouse(folder, thrift_port)
    server = Server(("127.0.0.1", 0), Handler)
    port = folder / "port.new"
    port.write_text(str(server.server_port), "utf-8")
    port.rename(folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
