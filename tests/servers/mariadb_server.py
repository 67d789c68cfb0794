"""A MariaDB of Debian's packages in a folder of its own."""

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import sqlalchemy
from processes import Process, free_port
from sqlalchemy.pool import NullPool

DATABASE = "pinterest_data"
USER, PASSWORD = "reader", "made up for tests"
SCHEMA = """
create table pinterest_data (
    `index` bigint, unique_id text, title text, description text, poster_name text,
    follower_count text, tag_list text, is_image_or_video text, image_src text,
    downloaded bigint, save_location text, category text, key (`index`));
create table geolocation_data (
    ind bigint, timestamp datetime, latitude double, longitude double, country text,
    key (ind));
create table user_data (
    ind bigint, first_name text, last_name text, age bigint, date_joined datetime,
    key (ind));
"""
"""The three tables with the types of the original course."""


def missing() -> str | None:
    """Say what is missing and how to get it."""
    if _program("mariadbd") and _program("mariadb-install-db"):
        return None
    return "MariaDB is not installed: apt-get install mariadb-server"


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class MariaDb:
    """One server; `reader` may read one database, `connect` may do all."""

    def __init__(self, folder: Path) -> None:
        """Make an empty server in a folder and start it."""
        self.port = free_port()
        self._data = folder / "data"
        self._socket = folder / "socket"
        self._log = folder / "log"
        self._install()
        self.start()
        self._make_database()

    def _install(self) -> None:
        subprocess.run(
            [
                _program("mariadb-install-db") or "",
                "--no-defaults",
                f"--datadir={self._data}",
                f"--user={getpass.getuser()}",
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={getpass.getuser()}",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start the server on its data."""
        self._process = Process(
            [
                _program("mariadbd") or "",
                "--no-defaults",
                f"--datadir={self._data}",
                f"--socket={self._socket}",
                f"--user={getpass.getuser()}",
                "--bind-address=127.0.0.1",
                f"--port={self.port}",
                f"--pid-file={self._data / 'pid'}",
                "--default-time-zone=+05:00",  # not UTC, so that a test can tell
            ],
            self._log,
        )
        self._process.wait_for(self.port)

    def _make_database(self) -> None:
        reader = f"{USER}@'127.0.0.1'"
        with self.connect("mysql") as connection:
            for statement in (
                f"create database {DATABASE} character set utf8mb4",
                f"create user {reader} identified by '{PASSWORD}'",
                f"grant select on {DATABASE}.* to {reader}",
            ):
                connection.exec_driver_sql(statement)

    def recreate_tables(self) -> None:
        """Make the three tables anew, empty."""
        self.run(
            "drop table if exists pinterest_data, geolocation_data, user_data",
            *SCHEMA.split(";")[:-1],
        )

    def run(self, *statements: str) -> None:
        """Run statements as the administrator, on one connection."""
        with self.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    @contextmanager
    def connect(self, database: str = DATABASE) -> Iterator[sqlalchemy.Connection]:
        """Yield a connection of the administrator that commits by itself."""
        url = sqlalchemy.URL.create(
            "mysql+pymysql",
            getpass.getuser(),
            database=database,
            query={"unix_socket": str(self._socket)},
        )
        engine = sqlalchemy.create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            yield connection

    def url(self, *, password: bool = True) -> str:
        """Return the URL of the reader."""
        secret = ":" + PASSWORD.replace(" ", "%20") if password else ""
        return f"mysql+pymysql://{USER}{secret}@127.0.0.1:{self.port}/{DATABASE}"

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._process.stop()
