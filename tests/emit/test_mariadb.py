"""The SQL source on a real MariaDB: types, snapshots, refusals, kills, memory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import mariadb_server
import pytest
from mariadb_server import DATABASE, PASSWORD, USER, MariaDb
from processes import require
from sqlalchemy.engine import make_url
from tcp_proxy import TcpProxy

from ingestion.errors import RetryError, StopError
from ingestion.records import FIELDS, KEY_FIELDS
from ingestion.sources import Order
from ingestion.sql_source import TABLES, SqlDatabase

REAL = Path(__file__).parents[3] / "shared/data/first_500"
INGEST = [sys.executable, "-c", "from ingestion.cli import main; main()"]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    require(mariadb_server.missing())
    with MariaDb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def server(started: MariaDb) -> MariaDb:
    """The server with its three tables, empty."""
    started.recreate_tables()
    return started


def opened(server: MariaDb) -> SqlDatabase:
    return SqlDatabase.open(make_url(server.url()))


def ignore(_: int) -> None:
    pass


def rows_of(source: SqlDatabase, record_type: str) -> list[dict[str, object]]:
    table = source.tables[record_type]
    check = table.check(Order(), None, ignore)
    return [json.loads(row or b"") for row in table.rows(Order(), check, 0)]


def insert(server: MariaDb, record_type: str, *rows: Mapping[str, object]) -> None:
    names = FIELDS[record_type]
    columns = ", ".join(f"`{name}`" for name in names)
    marks = ", ".join(["%s"] * len(names))
    values = [tuple(row.get(name) for name in names) for row in rows]
    with server.connect() as connection:
        connection.exec_driver_sql(
            f"insert into {TABLES[record_type]} ({columns}) values ({marks})", values
        )


def emit(
    server: MariaDb, landing: Path, database: str = DATABASE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *INGEST,
            *("emit", "landing", "--source", "sql"),
            *("--landing", str(landing), "--user-id", "u"),
        ],
        env={**os.environ, "SOURCE_URL": server.url().replace(DATABASE, database)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_real_records_come_out_as_they_went_in(server: MariaDb) -> None:
    if not REAL.exists():
        pytest.skip("the real first 500 emissions are not beside this repository")
    real = {
        record_type: [
            json.loads(line)
            for line in (REAL / f"{record_type}.jsonl").read_text("utf-8").splitlines()
        ]
        for record_type in TABLES
    }
    for record_type, records in real.items():
        insert(server, record_type, *reversed(records))
    with closing(opened(server)) as source:
        for record_type, records in real.items():
            assert rows_of(source, record_type) == records


def test_types_of_mariadb_become_json(server: MariaDb) -> None:
    server.run(
        "alter table geolocation_data modify timestamp timestamp(3) null,"
        " modify latitude float, modify longitude decimal(8,4),"
        " add flag bit(1), add tiny tinyint(1), add kind enum('a','b'), add zero"
        " datetime, add day date, add raw varbinary(20), add huge bigint unsigned,"
        " add doc json, add clock time"
    )
    server.run(
        "set sql_mode = ''",
        "set time_zone = '+00:00'",
        "insert into geolocation_data values (1, '2018-03-13 02:15:22.125', 4.21689,"
        " -145.8200, 'Å 👍', 1, 1, 'b', '0000-00-00 00:00:00', '2015-10-21', 'ü',"
        " 18446744073709551615, '{\"a\": 1}', '01:02:03')",
    )
    with closing(opened(server)) as source:
        assert rows_of(source, "geo") == [
            {
                "ind": 1,
                "timestamp": "2018-03-13 02:15:22.125000",
                "latitude": 4.21689,
                "longitude": -145.82,
                "country": "Å 👍",
                "flag": 1,
                "tiny": 1,
                "kind": "b",
                "zero": "0000-00-00 00:00:00",
                "day": "2015-10-21 00:00:00",
                "raw": "ü",
                "huge": 18446744073709551615,
                "doc": '{"a": 1}',
                "clock": "01:02:03",
            }
        ]


def test_what_changes_while_it_is_read_is_not_seen(server: MariaDb) -> None:
    insert(server, "geo", *({"ind": ind, "country": "a"} for ind in range(5_000)))
    insert(server, "user", {"ind": 1, "age": 20})
    with closing(opened(server)) as source:
        table = source.tables["geo"]
        check = table.check(Order(), None, ignore)
        server.run(
            "update geolocation_data set country = 'b'",
            "insert into geolocation_data (ind) values (7), (9999)",
            "delete from geolocation_data where ind = 4000",
            "update user_data set age = 21",
        )
        rows = [json.loads(row or b"") for row in table.rows(Order(), check, 0)]
        assert [row["ind"] for row in rows] == list(range(5_000))
        assert {row["country"] for row in rows} == {"a"}
        assert rows_of(source, "user")[0]["age"] == 20
    with closing(opened(server)) as source:
        assert len(rows_of(source, "geo")) == 5_001


def test_an_engine_without_snapshots_stops_when_the_table_changes(
    server: MariaDb,
) -> None:
    insert(server, "geo", *({"ind": ind, "country": "a"} for ind in range(5_000)))
    server.run("alter table geolocation_data engine = MyISAM")
    with closing(opened(server)) as source:
        table = source.tables["geo"]
        check = table.check(Order(), None, ignore)
        rows = table.rows(Order(), check, 0)
        assert next(rows)
        server.run("update geolocation_data set country = 'b' where ind = 4500")
        with pytest.raises(StopError, match=r"changed while it was read.*--restart"):
            list(rows)


def test_a_server_killed_while_it_is_read_may_pass_and_the_rest_is_read_later(
    server: MariaDb, tmp_path: Path
) -> None:
    insert(server, "geo", *({"ind": ind} for ind in range(5_000)))
    with closing(opened(server)) as source:
        table = source.tables["geo"]
        check = table.check(Order(), None, ignore)
        rows = table.rows(Order(), check, 0)
        first = [next(rows) for _ in range(2_000)]
        server.kill()
        with pytest.raises(RetryError, match="see that the server runs"):
            list(rows)
    refused = emit(server, tmp_path)
    assert refused.returncode == 4
    assert "Cannot reach" in refused.stderr
    server.start()
    with closing(opened(server)) as source:
        table = source.tables["geo"]
        again = table.check(Order(), None, ignore)
        assert again.fingerprint == check.fingerprint
        rest = list(table.rows(Order(), again, 2_000))
    assert [json.loads(row or b"")["ind"] for row in first + rest] == list(range(5_000))


def test_a_database_is_landed_once_and_a_second_run_says_so(
    server: MariaDb, tmp_path: Path
) -> None:
    for record_type, key in (("pin", "index"), ("geo", "ind"), ("user", "ind")):
        insert(server, record_type, *({key: number} for number in range(3)))
    done = emit(server, tmp_path)
    assert done.returncode == 0
    assert "9 records landed in" in done.stdout
    assert "Nothing new" in emit(server, tmp_path).stdout
    insert(server, "geo", {"ind": 3})
    changed = emit(server, tmp_path)
    assert changed.returncode == 1
    assert "has changed since it was landed: say --restart" in changed.stderr
    added = emit_added(server, tmp_path)
    assert "1 records landed in" in added.stdout
    assert "Nothing new" in emit_added(server, tmp_path).stdout


def emit_added(server: MariaDb, landing: Path) -> subprocess.CompletedProcess[str]:
    """Emit rows over key 2 from a database of views, as the documentation says."""
    views = (
        f"create view added.{table} as select * from {DATABASE}.{table} "
        f"where `{KEY_FIELDS[record_type]}` > 2"
        for record_type, table in TABLES.items()
    )
    grant = f"grant select, show view on added.* to {USER}@'127.0.0.1'"
    server.run("create database added", *views, grant)
    try:
        return emit(server, landing, "added")
    finally:
        server.run("drop database added")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((PASSWORD.replace(" ", "%20"), "wrong"), "user or password is wrong"),
        (("/pinterest_data", "/nowhere"), "the user may not use this database"),
    ],
)
def test_what_the_server_refuses_is_one_sentence_without_the_password(
    server: MariaDb, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(StopError, match=said) as refused:
        SqlDatabase.open(make_url(server.url().replace(*change)))
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("ssl_ca=/nowhere/typo.pem", r"names what cannot be read.*No such file"),
        ("colour=blue", r"does not take the options .*'colour'"),
        ("read_timeout=soon", r"does not take the options .*'soon'"),
        ("charset=klingon", "does not take the options"),
    ],
)
def test_an_option_that_is_wrong_is_one_sentence(
    server: MariaDb, option: str, said: str
) -> None:
    with pytest.raises(StopError, match=said) as refused:
        SqlDatabase.open(make_url(f"{server.url()}?{option}"))
    assert PASSWORD not in str(refused.value)


def test_a_server_that_is_gone_without_a_word_ends_the_read(server: MariaDb) -> None:
    insert(server, "geo", *({"ind": ind} for ind in range(5_000)))
    with TcpProxy(server.port) as proxy:
        url = make_url(f"{server.url()}?read_timeout=1").set(port=proxy.port)
        with closing(SqlDatabase.open(url)) as source:
            table = source.tables["geo"]
            check = table.check(Order(), None, ignore)
            rows = table.rows(Order(), check, 0)
            assert next(rows)
            proxy.silent = True
            with pytest.raises(RetryError, match=r"timed out.*add read_timeout=600"):
                list(rows)


def test_no_read_is_waited_for_longer_than_a_minute(server: MariaDb) -> None:
    with closing(opened(server)) as source:
        assert read_timeout(source) == 60
    patient = make_url(f"{server.url()}?read_timeout=600")
    with closing(SqlDatabase.open(patient)) as source:
        assert read_timeout(source) == 600


def read_timeout(source: SqlDatabase) -> object:
    """Return what the driver itself goes by."""
    driver = source.snapshot.connection.connection.driver_connection
    assert driver is not None
    return driver._read_timeout  # noqa: SLF001 - PyMySQL tells nobody


def test_a_table_that_may_not_be_read_is_named(server: MariaDb) -> None:
    server.run("drop table geolocation_data")
    with pytest.raises(StopError, match=r"pinterest_data has no table geolocation_dat"):
        opened(server)


PEAK = """
import resource, sys
from contextlib import closing
from sqlalchemy.engine import make_url
from ingestion.sources import Order
from ingestion.sql_source import SqlDatabase
with closing(SqlDatabase.open(make_url(sys.argv[1]))) as source:
    table = source.tables["pin"]
    check = table.check(Order(), None, lambda _: None)
    passed = sum(1 for _ in table.rows(Order(), check, 0))
print(passed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_mib(server: MariaDb, rows: int) -> int:
    server.recreate_tables()
    server.run(
        "insert into pinterest_data select seq, uuid(), repeat('t', 100),"
        " repeat('d', 300), 'p', '6k', 'a,b', 'image', 'url', 1, 'x', 'art'"
        f" from seq_1_to_{rows}"
    )
    done = subprocess.run(
        [sys.executable, "-c", PEAK, server.url()],
        capture_output=True,
        text=True,
        check=True,
    )
    passed, peak = map(int, done.stdout.split())
    assert passed == rows
    return peak


def test_two_hundred_thousand_rows_need_no_more_memory_than_ten_thousand(
    server: MariaDb,
) -> None:
    small, large = peak_mib(server, 10_000), peak_mib(server, 200_000)
    assert large < small + 10, f"{small} MiB, then {large} MiB"
