"""Rows of a SQL database as a source: three tables, in the order of their keys."""

import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b, sha256
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Self

import orjson
import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, NoSuchTableError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import Select

from ingestion.errors import RetryError, SetAsideError, StopError, explained
from ingestion.records import FIELDS, KEY_FIELDS, event_number, landable
from ingestion.sources import BadLine, Check, Order, Reject, Tick

TABLES: Final = {
    "pin": "pinterest_data",
    "geo": "geolocation_data",
    "user": "user_data",
}
"""Record type to table, as in the database that the original emulator reads."""

URL_VARIABLE: Final = "SOURCE_URL"
URL_FILE_VARIABLE: Final = "SOURCE_URL_FILE"

_READ_SECONDS: Final = 60
"""How long one read may take, where the URL does not say `read_timeout`."""

_CHUNK_ROWS: Final = 2_000
_SECRETS: Final = {"password", "passwd", "ssl_key_password"}
_SNAPSHOT: Final = {"mysql", "mariadb", "postgresql"}
_MAY_PASS: Final = {1040, 1053, 1205, 1213, 1412, 1927, 2002, 2003, 2006, 2013}
_ADVICE: Final = {
    1044: "the user may not use this database: grant it",
    1045: "user or password is wrong",
    1049: "there is no such database",
    1142: "the user may not read this table: grant SELECT",
    1143: "the user may not read this column: grant SELECT",
}

Row = sqlalchemy.Row[Any]


def url_of(text: str, environment: Mapping[str, str]) -> URL:
    """Return the URL that `--source` means: itself, or for `sql` the environment's.

    An argument is seen by everybody on the machine, so one with a password is refused.
    """
    if text != "sql":
        url = _parsed(text, "--source")
        if url.password is not None or _SECRETS & set(url.query):
            raise StopError(
                "--source has a password, which everybody on this machine can see: "
                f"put the URL in ${URL_VARIABLE}, or in a file named by "
                f"${URL_FILE_VARIABLE}, and say --source sql."
            )
        return url
    if file := environment.get(URL_FILE_VARIABLE):
        with explained(f"read ${URL_FILE_VARIABLE}"):
            return _parsed(Path(file).read_text("utf-8").strip(), file)
    if URL_VARIABLE in environment:
        return _parsed(environment[URL_VARIABLE], f"${URL_VARIABLE}")
    raise StopError(
        f"--source sql needs ${URL_VARIABLE}, such as "
        "mysql+pymysql://user:password@host:3306/pinterest_data, or "
        f"${URL_FILE_VARIABLE}, the name of a file that holds it."
    )


def _parsed(text: str, where: str) -> URL:
    with suppress(sqlalchemy.exc.ArgumentError, ValueError):
        return make_url(text)
    raise StopError(
        f"{where} is no URL of a database: write it as "
        "mysql+pymysql://user@host:3306/pinterest_data, and characters such as @ and / "
        "in a password as %40 and %2F."
    ) from None  # the error may repeat the password


def _impatient(url: URL) -> URL:
    """Let a read end where the server is gone; PyMySQL itself waits for ever."""
    known = url.get_driver_name() in {"pymysql", "mysqldb"}
    if not known or "read_timeout" in url.query:
        return url
    return url.update_query_dict({"read_timeout": str(_READ_SECONDS)})


class Snapshot:
    """One connection whose reads all see the database as it was at the first of them.

    MySQL's and MariaDB's InnoDB and PostgreSQL do that (REPEATABLE READ). Elsewhere
    rows may change between two reads; `SqlTable` notices. Threads take turns.
    """

    def __init__(self, url: URL) -> None:
        """Connect; times are read as UTC."""
        host = url.host or url.query.get("unix_socket") or ""
        port = f":{url.port}" if url.port else ""
        self.name = f"{host}{port}/{url.database}"
        self._lock = threading.Lock()
        with self._explained():
            with self._options():
                self._engine = sqlalchemy.create_engine(
                    _impatient(url), poolclass=NullPool, hide_parameters=True
                )
                self.connection = self._engine.connect()
            self._begin()

    def _begin(self) -> None:
        dialect = self.connection.dialect.name
        if dialect in _SNAPSHOT:
            self.connection.execution_options(isolation_level="REPEATABLE READ")
        if dialect in {"mysql", "mariadb"}:
            self.connection.exec_driver_sql("set time_zone = '+00:00'")

    def read(self, query: Select[Any]) -> Sequence[Row]:
        """Return all rows of a query."""
        with self._lock, self._explained():
            return self.connection.execute(query).all()

    def table(self, name: str) -> sqlalchemy.Table:
        """Look a table or view up; `StopError` where there is none."""
        with self._explained():
            try:
                return sqlalchemy.Table(
                    name,
                    sqlalchemy.MetaData(),
                    autoload_with=self.connection,
                    resolve_fks=False,
                )
            except NoSuchTableError as error:
                raise StopError(
                    f"{self.name} has no table {name}: check the database, or create "
                    "a view of that name."
                ) from error

    def close(self) -> None:
        """End the transaction and the connection."""
        with suppress(DBAPIError):
            self.connection.close()

    @contextmanager
    def _options(self) -> Iterator[None]:
        """Explain what drivers say of options that they do not know or cannot use."""
        try:
            yield
        except OSError as error:  # such as a file that is not there
            at = f" ({error.filename})" if error.filename else ""
            raise StopError(
                f"{self.name}: an option of its URL names what cannot be read{at}: "
                f"{error.strerror or error}. Correct it."
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise StopError(
                f"{self.name}: the driver does not take the options of its URL "
                f"({error}): correct what follows the question mark."
            ) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._mapped(error) from error
        except (NoSuchModuleError, ImportError) as error:
            raise StopError(
                f"There is no driver for {self.name}: write the URL as "
                "mysql+pymysql://…, or install the driver that it names."
            ) from error
        except RuntimeError as error:  # PyMySQL: a way to log in that it cannot do
            raise StopError(f"Cannot log in to {self.name}: {error}.") from error

    def _mapped(self, error: DBAPIError) -> RetryError | StopError:
        arguments = error.orig.args if error.orig is not None else ()
        number = arguments[0] if arguments and type(arguments[0]) is int else None
        reason = _ADVICE.get(number or 0) or str(arguments[-1] if arguments else error)
        if "timed out" in reason:
            reason += "; where one read takes so long, add read_timeout=600 to its URL"
        if error.connection_invalidated or number in _MAY_PASS:
            return RetryError(
                f"Cannot reach {self.name} ({reason}): see that the server runs and "
                "the address is right, then run the same command again."
            )
        return StopError(f"Cannot read {self.name}: {reason}.")


@dataclass(frozen=True, slots=True)
class Record:
    """One row as JSON, or why it cannot be a record (`line` is then for a person)."""

    key: int
    line: bytes
    error: SetAsideError | None = None


@dataclass(slots=True)
class Slices:
    """Where the slices of a table begin, the last key of each, and what they held.

    A slice is some whole groups of rows with the same key. 24 bytes a slice.
    """

    starts: "array[int]" = field(default_factory=lambda: array("q"))
    keys: "array[int]" = field(default_factory=lambda: array("q"))
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    rows: int = 0

    def add(self, records: Sequence[Record]) -> None:
        """Add the slice behind the last one."""
        self.starts.append(self.rows)
        self.keys.append(records[-1].key)
        self.digests.append(digest_of(records))
        self.rows += len(records)

    def at(self, row: int) -> int:
        """Return the number of the slice that holds a row."""
        return bisect_right(self.starts, row) - 1

    def length(self, number: int) -> int:
        """Return how many rows a slice holds."""
        ends = self.starts[number + 1] if number + 1 < len(self.starts) else self.rows
        return ends - self.starts[number]


def digest_of(records: Sequence[Record]) -> int:
    """Return 64 bits of a hash of the records, their order included."""
    digest = blake2b(digest_size=8)
    for record in records:
        digest.update(record.line + b"\n")
    return int.from_bytes(digest.digest(), "big")


class SqlTable:
    """One table (or view), row by row in the order of its key.

    Rows with the same key are ordered by their bytes as JSON, so the order is a
    function of the content alone. Keys are integers: texts compare in other ways here
    and there. Rows without a key have no place in the order; they are set aside.
    Memory: a chunk of 2,000 rows; in the emulator's order also 24 bytes a key.
    """

    def __init__(self, snapshot: Snapshot, record_type: str) -> None:
        """Look the table up, and see that it has all columns of its record type."""
        self.record_type = record_type
        self.table = snapshot.table(TABLES[record_type])
        self.name = f"{snapshot.name}/{self.table.name}"
        self.location = sha256(self.name.encode()).hexdigest()[:16]
        self._snapshot = snapshot
        self._require_columns()
        self._columns = list(self.table.columns)
        self._names = [str(column.name) for column in self._columns]
        self._key = self.table.columns[KEY_FIELDS[record_type]]
        self._key_at = self._names.index(self._key.name)
        self._slices = Slices()
        if not isinstance(self._key.type, sqlalchemy.Integer):
            raise StopError(
                f"{self.name}: column {self._key.name} is {self._key.type}, not an "
                "integer: read a view that casts it."
            )
        self.size = self._count()

    def _require_columns(self) -> None:
        there = set(self.table.columns.keys())
        missing = [name for name in FIELDS[self.record_type] if name not in there]
        if missing:
            raise StopError(
                f"{self.name} has no column {', '.join(missing)}: add what is missing, "
                "or read a view that has it."
            )

    def _count(self, *where: sqlalchemy.ColumnElement[bool]) -> int:
        count = sqlalchemy.select(sqlalchemy.func.count()).select_from(self.table)
        return int(self._snapshot.read(count.where(*where))[0][0])

    # --- checking ------------------------------------------------------------------

    def check(self, order: Order, reject: Reject | None, tick: Tick) -> Check:
        """Read the whole table once; see `Table`.

        The fingerprint is the SHA-256 of all rows as they are emitted, in key order.
        """
        check, digest, self._slices = Check(), sha256(), Slices()
        check.bad_lines = self._set_keyless_aside(reject)
        for chunk in self._chunks():
            for record in chunk:
                digest.update(record.line + b"\n")
                check.rows += 1
                check.bad_lines += self._judge(record, check.rows, reject)
            for records in _slices_of(chunk, order):
                self._slices.add(records)
            tick(len(chunk))
        check.fingerprint = digest.hexdigest()
        return check

    def _judge(self, record: Record, number: int, reject: Reject | None) -> bool:
        """Tell whether the record is set aside; raise where nothing may be."""
        try:
            if record.error is not None:
                raise record.error
            if reject is None:
                event_number(self.record_type, record.line)
        except SetAsideError as error:
            what = f"row {number} ({self._key.name} {record.key}) {error}"
            if reject is None:
                raise self._refused(what) from error
            bad = self.table.name, number, error.reason, str(error), record.line
            reject(BadLine(*bad))
            return True
        return False

    def _set_keyless_aside(self, reject: Reject | None) -> int:
        count = self._count(self._key.is_(None))
        if count and reject is None:
            raise self._refused(f"has {count:,} rows without {self._key.name}")
        query = self._select().where(self._key.is_(None)).order_by(*self._columns)
        for start in range(0, count, _CHUNK_ROWS):
            rows = self._snapshot.read(query.offset(start).limit(_CHUNK_ROWS))
            for number, row in enumerate(rows, start + 1):
                line = self._readable(row)
                bad = self.table.name, number, "no_key", "has no key", line
                reject(BadLine(*bad)) if reject else None
        return count

    def _refused(self, what: str) -> StopError:
        return StopError(
            f"{self.name} {what}: nothing is emitted. Correct that, or say "
            "--bad-lines land to set aside what cannot be a record and emit the rest."
        )

    # --- reading -------------------------------------------------------------------

    def rows(self, order: Order, check: Check, position: int) -> Iterator[bytes | None]:
        """Yield the rows from `position` on; None stands for one that was set aside.

        Each slice is compared with what the check found before a row of it goes out:
        a difference is a `StopError`.
        """
        if order.name == "emulator":
            for draw in islice(order.draws(), position, None):
                number = self._slices.at(draw)
                yield _line(self._slice(number)[draw - self._slices.starts[number]])
            return
        yield from islice(self._from(position, check), _left(order, position))

    def _from(self, position: int, check: Check) -> Iterator[bytes | None]:
        if position >= check.rows:
            return
        first = self._slices.at(position)
        skip = position - self._slices.starts[first]
        for number in range(first, len(self._slices.starts)):
            for record in self._slice(number)[skip:]:
                yield _line(record)
            skip = 0

    def _slice(self, number: int) -> list[Record]:
        slices = self._slices
        where = [self._key <= slices.keys[number]]
        if number:
            where.append(self._key > slices.keys[number - 1])
        query = self._in_order().where(*where).limit(slices.length(number) + 1)
        records = self._records(self._snapshot.read(query))
        if digest_of(records) != slices.digests[number]:
            raise StopError(
                f"{self.name} changed while it was read, near {self._key.name} "
                f"{slices.keys[number]}: wait until it is complete, then run the same "
                "command with --restart."
            )
        return records

    def _chunks(self) -> Iterator[list[Record]]:
        """Yield whole key groups in key order, about 2,000 rows at a time."""
        query, more = self._in_order(), self._key.is_not(None)
        while rows := self._snapshot.read(query.where(more).limit(_CHUNK_ROWS + 1)):
            last = rows[-1][self._key_at]
            if len(rows) > _CHUNK_ROWS:
                whole = [row for row in rows if row[self._key_at] != last]
                rows = whole or self._snapshot.read(query.where(self._key == last))
                last = rows[-1][self._key_at]
            yield self._records(rows)
            more = self._key > last

    def _select(self) -> Select[Any]:
        return sqlalchemy.select(*self._columns)

    def _in_order(self) -> Select[Any]:
        return self._select().order_by(self._key)

    # --- rows to records -----------------------------------------------------------

    def _records(self, rows: Sequence[Row]) -> list[Record]:
        return sorted(map(self._record, rows), key=attrgetter("key", "line"))

    def _record(self, row: Row) -> Record:
        key: int = row[self._key_at]
        try:
            line = self._line(row, _json)
        except UnicodeDecodeError:
            error = SetAsideError("not_utf8", "has bytes that are not UTF-8")
            return Record(key, self._readable(row), error)
        try:
            return Record(key, landable(line))
        except SetAsideError as error:
            return Record(key, line, error)

    def _readable(self, row: Row) -> bytes:
        return self._line(row, _readable_json)

    def _line(self, row: Row, default: Callable[[object], object]) -> bytes:
        named = dict(zip(self._names, row, strict=True))
        try:
            return orjson.dumps(named, default, orjson.OPT_PASSTHROUGH_DATETIME)
        except orjson.JSONEncodeError as error:
            if isinstance(error.__cause__, UnicodeDecodeError):
                raise error.__cause__ from error
            types = ", ".join(f"{c.name} {c.type}" for c in self._columns)
            raise StopError(
                f"{self.name} has a column whose values are no JSON ({error}): read a "
                f"view that casts it. The columns are {types}."
            ) from error


def _slices_of(chunk: list[Record], order: Order) -> Iterator[list[Record]]:
    """Yield the chunk, or for single draws each of its key groups."""
    if order.name != "emulator":
        yield chunk
        return
    for _, group in groupby(chunk, attrgetter("key")):
        yield list(group)


def _left(order: Order, position: int) -> int | None:
    return None if order.limit is None else max(order.limit - position, 0)


def _line(record: Record) -> bytes | None:
    return None if record.error else record.line


def _json(value: object) -> object:
    """Return what JSON has for a value of a database.

    A time is a text as in the real records, `2018-03-13 02:15:22`, a date its midnight;
    a decimal keeps its digits; bytes are the UTF-8 text that they should be.
    """
    match value:
        case datetime():
            return value.isoformat(" ")
        case date():
            return f"{value.isoformat()} 00:00:00"
        case time() | timedelta():
            return str(value)
        case Decimal() if value.is_finite():
            return orjson.Fragment(format(value, "f"))
        case bytes():
            return value.decode()
    raise TypeError(type(value).__name__)


def _readable_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return _json(value)


@dataclass(frozen=True, slots=True)
class SqlDatabase:
    """The three tables of one database, all as they were at one moment."""

    snapshot: Snapshot
    tables: Mapping[str, SqlTable]
    unit: str = "rows"

    @classmethod
    def open(cls, url: URL) -> Self:
        """Connect and look the tables up; `StopError` names what is missing."""
        snapshot = Snapshot(url)
        try:
            return cls(snapshot, {t: SqlTable(snapshot, t) for t in KEY_FIELDS})
        except BaseException:
            snapshot.close()
            raise

    @property
    def size(self) -> int:
        """The rows of all tables."""
        return sum(table.size for table in self.tables.values())

    def close(self) -> None:
        """Let go of the connection."""
        self.snapshot.close()
