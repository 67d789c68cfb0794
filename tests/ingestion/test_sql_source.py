"""Reading a SQL database, here SQLite: order, checks, changes, and what is refused."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from ingestion.errors import RetryError, StopError
from ingestion.records import FIELDS, KEY_FIELDS
from ingestion.sources import BadLine, Check, Order
from ingestion.sql_source import TABLES, SqlDatabase, SqlTable, url_of

Cell = int | str | bytes | float | None


def ignore(_: int) -> None:
    pass


class Database:
    """A SQLite file with the three tables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = make_url(f"sqlite:///{path}")
        for record_type, table in TABLES.items():
            key, *others = FIELDS[record_type]
            self.run(f'create table {table} ("{key}" bigint, {", ".join(others)})')

    def run(self, statement: str, *values: Cell) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement, values)

    def add(self, *keys: int | None, country: Cell = "Albania") -> None:
        self.add_rows([(key, country) for key in keys])

    def add_rows(self, rows: Sequence[tuple[int | None, Cell]]) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(
                "insert into geolocation_data (ind, country) values (?, ?)", rows
            )

    @contextmanager
    def geo(self) -> Iterator[SqlTable]:
        with closing(SqlDatabase.open(self.url)) as source:
            yield source.tables["geo"]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "pinterest.db")


def read(
    table: SqlTable, order: Order | None = None, position: int = 0
) -> list[object]:
    order = order or Order()
    check = table.check(order, None, ignore)
    return [
        row and json.loads(row)["ind"] for row in table.rows(order, check, position)
    ]


def fingerprint(database: Database) -> str:
    with database.geo() as geo:
        return geo.check(Order(), None, ignore).fingerprint


def test_rows_come_in_key_order_from_a_position_up_to_a_limit(
    database: Database,
) -> None:
    database.add(30, 10, 20, 40)
    with database.geo() as geo:
        assert read(geo) == [10, 20, 30, 40]
        assert read(geo, Order(limit=3), 1) == [20, 30]
        assert read(geo, Order(limit=1), 2) == []
        assert read(geo, position=4) == []


def test_draws_are_the_nth_row_in_key_order(database: Database) -> None:
    database.add(*range(90, -1, -10))
    order = Order("emulator", seed=5, bound=9, limit=30)
    with database.geo() as geo:
        assert read(geo, order) == [10 * draw for draw in order.draws()]
        assert read(geo, order, 28) == [10 * draw for draw in list(order.draws())[28:]]


def test_rows_of_one_key_are_ordered_by_content_not_by_chance(
    tmp_path: Path,
) -> None:
    countries = ["c", "a", "d", "b"]
    found = set()
    for name, cells in {"one": countries, "two": countries[::-1]}.items():
        database = Database(tmp_path / name)
        for cell in cells:
            database.add(7, country=cell)
        found.add(fingerprint(database))
    assert len(found) == 1


def test_groups_larger_than_a_chunk_and_at_its_edges_are_read_whole(
    database: Database,
) -> None:
    keys = [1] * 1_999 + [2] * 3 + [3] * 2_500 + [4] * 2_000 + [5]
    database.add_rows([(key, str(number)) for number, key in enumerate(keys)])
    with database.geo() as geo:
        for position in (0, 1_998, 2_001, 4_501, len(keys) - 1):
            assert read(geo, position=position) == keys[position:]
        order = Order("emulator", bound=len(keys) - 1, limit=20)
        assert read(geo, order) == [keys[draw] for draw in order.draws()]


def test_the_fingerprint_is_of_all_content(database: Database) -> None:
    database.add(1, 2, 3)
    before = fingerprint(database)
    assert fingerprint(database) == before
    database.run("update geolocation_data set country = 'Angola' where ind = 2")
    assert fingerprint(database) != before


@pytest.mark.parametrize(
    "change",
    [
        "update geolocation_data set country = 'Angola' where ind = 2",
        "delete from geolocation_data where ind = 2",
        "insert into geolocation_data (ind) values (2)",
        "update geolocation_data set ind = 0 where ind = 3",
    ],
)
@pytest.mark.parametrize("order", [Order(), Order("emulator", bound=2, limit=9)])
def test_a_table_that_changes_while_it_is_read_stops(
    database: Database, change: str, order: Order
) -> None:
    database.add(1, 2, 3)
    with database.geo() as geo:
        check = geo.check(order, None, ignore)
        geo._snapshot.connection.rollback()  # noqa: SLF001 - SQLite locks the file
        database.run(change)
        with pytest.raises(StopError, match=r"geolocation_data changed .*--restart"):
            list(geo.rows(order, check, 0))


def test_rows_without_a_key_stop_or_are_set_aside_and_counted(
    database: Database,
) -> None:
    database.add(1, None, 2, None)
    with database.geo() as geo:
        with pytest.raises(StopError, match="has 2 rows without ind"):
            geo.check(Order(), None, ignore)
        bad: list[BadLine] = []
        check = geo.check(Order(), bad.append, ignore)
        assert [line.reason for line in bad] == ["no_key", "no_key"]
        assert (check.rows, check.bad_lines) == (2, 2)
        assert len(list(geo.rows(Order(), check, 0))) == 2


def test_a_key_that_is_no_event_number_stops_and_is_passed_on_if_asked(
    database: Database,
) -> None:
    database.add(-1, 2)
    with database.geo() as geo:
        with pytest.raises(StopError, match=r"row 1 \(ind -1\) has no event number"):
            geo.check(Order(), None, ignore)
        check = geo.check(Order(), lambda _: None, ignore)
        assert check.bad_lines == 0
        assert None not in list(geo.rows(Order(), check, 0))


@pytest.mark.parametrize(
    ("cell", "reason"), [(b"\xff", "not_utf8"), ("x" * (1 << 20), "too_large")]
)
def test_a_row_that_cannot_be_a_record_is_set_aside(
    database: Database, cell: Cell, reason: str
) -> None:
    database.add(1)
    database.add(2, country=cell)
    with database.geo() as geo:
        bad: list[BadLine] = []
        check = geo.check(Order(), bad.append, ignore)
        assert [(line.reason, line.line_number) for line in bad] == [(reason, 2)]
        assert [row is None for row in geo.rows(Order(), check, 0)] == [False, True]
        with pytest.raises(StopError, match=r"row 2 \(ind 2\)"):
            geo.check(Order(), None, ignore)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 30))
def test_reading_from_any_position_is_reading_all_from_there(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], position: int
) -> None:
    database = Database(tmp_path_factory.mktemp("any") / "db")
    database.add(*keys)
    with database.geo() as geo:
        assert read(geo, position=position) == sorted(keys)[position:]


def test_values_become_json_as_in_the_real_records(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'db'}")
    types: dict[str, sqlalchemy.types.TypeEngine[Any]] = {
        "ind": sqlalchemy.BigInteger(),
        "timestamp": sqlalchemy.DateTime(),
        "latitude": sqlalchemy.Double(),
        "longitude": sqlalchemy.Numeric(12, 4),
        "country": sqlalchemy.Text(),
        "day": sqlalchemy.Date(),
        "clock": sqlalchemy.Time(),
        "raw": sqlalchemy.LargeBinary(),
    }
    metadata = sqlalchemy.MetaData()
    columns = [sqlalchemy.Column(name, kind) for name, kind in types.items()]
    geo = sqlalchemy.Table(TABLES["geo"], metadata, *columns)
    for record_type in ("pin", "user"):
        sqlalchemy.Table(
            TABLES[record_type],
            metadata,
            sqlalchemy.Column(KEY_FIELDS[record_type], sqlalchemy.Integer),
            *(sqlalchemy.Column(n, sqlalchemy.Text) for n in FIELDS[record_type][1:]),
        )
    metadata.create_all(engine)
    row = {
        "ind": 10794,
        "timestamp": datetime(2018, 3, 13, 2, 15, 22, 500_000),  # noqa: DTZ001
        "latitude": -89.5173,
        "longitude": Decimal("12.3400"),
        "country": "Cote d'Ivoire “é” 👍",
        "day": date(2015, 10, 21),
        "clock": (datetime(2018, 1, 1, tzinfo=UTC) + timedelta(hours=3)).time(),
        "raw": "ü".encode(),
    }
    with engine.begin() as connection:
        connection.execute(geo.insert(), row)
        connection.execute(geo.insert(), {"ind": 10795})
    engine.dispose()
    with closing(SqlDatabase.open(engine.url)) as source:
        table = source.tables["geo"]
        check = table.check(Order(), None, ignore)
        first, second = (row or b"" for row in table.rows(Order(), check, 0))
    assert first.decode() == (
        '{"ind":10794,"timestamp":"2018-03-13 02:15:22.500000","latitude":-89.5173,'
        '"longitude":12.3400,"country":"Cote d\'Ivoire “é” 👍",'
        '"day":"2015-10-21 00:00:00","clock":"03:00:00","raw":"ü"}'
    )
    assert json.loads(second) == dict.fromkeys(types, None) | {"ind": 10795}


def test_a_missing_table_and_missing_columns_are_named(database: Database) -> None:
    database.run("alter table geolocation_data rename column country to land")
    with pytest.raises(StopError, match="geolocation_data has no column country"):
        SqlDatabase.open(database.url)
    database.run("drop table geolocation_data")
    with pytest.raises(StopError, match="has no table geolocation_data"):
        SqlDatabase.open(database.url)


def test_a_view_is_as_good_as_a_table(database: Database) -> None:
    database.add(2, 1)
    database.run("alter table geolocation_data rename to places")
    database.run("create view geolocation_data as select * from places")
    with database.geo() as geo:
        assert read(geo) == [1, 2]


def test_keys_that_are_no_integers_are_refused(database: Database) -> None:
    database.run("drop table geolocation_data")
    columns = ", ".join(f"{name} text" for name in FIELDS["geo"])
    database.run(f"create table geolocation_data ({columns})")
    with pytest.raises(StopError, match="column ind is TEXT, not an integer"):
        SqlDatabase.open(database.url)


SECRET = "s3cret"  # noqa: S105 - made up


@pytest.mark.parametrize(
    "url",
    [
        f"mysql+pymysql://me:{SECRET}@localhost/pinterest_data",
        f"mysql+pymysql://me@localhost/pinterest_data?password={SECRET}",
        f"mysql+pymysql://me@localhost/pinterest_data?passwd={SECRET}",
        f"mysql+pymysql://me:{SECRET}@localhost:x:y/pinterest_data",
    ],
)
def test_a_password_in_an_argument_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StopError) as refused:
        url_of(url, {})
    assert SECRET not in str(refused.value)


def test_a_url_is_read_from_the_environment_or_a_file(tmp_path: Path) -> None:
    url = f"mysql+pymysql://me:{SECRET}@localhost/pinterest_data"
    path = tmp_path / "url"
    path.write_text(url + "\n")
    for environment in ({"SOURCE_URL": url}, {"SOURCE_URL_FILE": str(path)}):
        assert url_of("sql", environment).password == SECRET
    with pytest.raises(StopError, match=r"--source sql needs \$SOURCE_URL"):
        url_of("sql", {})
    with pytest.raises(StopError, match=r"\$SOURCE_URL is no URL") as refused:
        url_of("sql", {"SOURCE_URL": SECRET})
    assert SECRET not in str(refused.value)
    with pytest.raises(StopError, match=r"Cannot read \$SOURCE_URL_FILE"):
        url_of("sql", {"SOURCE_URL_FILE": str(tmp_path / "nowhere")})


def test_a_url_without_a_password_may_be_an_argument() -> None:
    assert url_of("mysql+pymysql://me@localhost/db", {}).username == "me"


def test_a_driver_that_is_not_there_is_one_sentence() -> None:
    for url in ("mysql://me@localhost/db", "nosuch://me@localhost/db"):
        with pytest.raises(StopError, match=r"no driver .*mysql\+pymysql"):
            SqlDatabase.open(make_url(url))


def test_a_host_that_does_not_answer_may_pass() -> None:
    with pytest.raises(RetryError, match=r"Cannot reach 127\.0\.0\.1:1/db"):
        SqlDatabase.open(make_url("mysql+pymysql://me@127.0.0.1:1/db"))


def test_the_check_says_how_many_rows_it_passed(database: Database) -> None:
    database.add(*range(10))
    passed: list[int] = []
    with database.geo() as geo:
        assert isinstance(geo.check(Order(), None, passed.append), Check)
        assert sum(passed) == geo.size == 10
