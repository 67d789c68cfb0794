"""A pipeline in a folder of its own: landings made by hand or by `ingest`, and dbt."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import ministack_server
import pytest
from ministack_server import MiniStack
from spark_cluster import Cluster, require_spark

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "first_500"
BIN = Path(sys.executable).parent
USER_ID = "12a740a19697"
Row = tuple[Any, ...]

QUICK_JAVA = {
    "JDK_JAVA_OPTIONS": (
        "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"
    )
}
"""Most code of a test runs a few times: C2 would cost more than it brings.

Without C2, Java keeps room for 48 MB of compiled code alone, and Spark has more.
"""


QUICK_SPARK = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.adaptive.enabled": "false",
}
"""To compile a plan, or to plan it again, takes longer than to run it on so few rows.

Those of the cluster alone: the session runs as Spark does by default.
"""


class Pipeline:
    """One landing, one DuckDB file, and the commands that work on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.landing = folder / "landing"
        self.database = folder / "pinterest.duckdb"
        self.published = folder / "answers.duckdb"
        self.page = folder / "dashboard.html"
        self.env = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "LANDING": str(self.landing),
            "DUCKDB_PATH": str(self.database),
            "ANSWERS_PATH": str(self.published),
            "DASHBOARD_PATH": str(self.page),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_TARGET": "duckdb",
        }
        self.env.pop("NO_COLOR", None)

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False
        )

    def dbt(self, *arguments: str) -> str:
        done = self.call("dbt", "--no-use-colors", *arguments)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def ingest(self, *arguments: str) -> str:
        done = self.call("ingest", *arguments)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def emit(self, source: Path, *options: str) -> str:
        return self.ingest(
            *("emit", "landing", "--source", str(source), "--user-id", USER_ID),
            *("--landing", str(self.landing), *options),
        )

    def land(self, record_type: str, start: int, lines: Iterable[str | bytes]) -> None:
        """Write one object by hand, as another sink would."""
        topic = f"{USER_ID}.{record_type}"
        folder = self.landing / "topics" / topic / "partition=0"
        folder.mkdir(parents=True, exist_ok=True)
        content = b"".join(
            (line if isinstance(line, bytes) else line.encode()) + b"\n"
            for line in lines
        )
        (folder / f"{topic}+0+{start:010d}.json").write_bytes(content)

    def rows(self, table: str, columns: str = "*") -> list[Row]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return sorted(
                connection.execute(f"select {columns} from {table}").fetchall(), key=str
            )

    def columns(self, table: str) -> list[str]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.table(table).columns

    def tables(self) -> list[str]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return [
                name
                for (name,) in connection.execute(
                    "select table_name from information_schema.tables "
                    "where table_schema = 'main' order by 1"
                ).fetchall()
            ]

    def everything(self) -> dict[str, list[Row]]:
        """Every table and view, times of loads aside: they tell the runs apart."""
        return {
            name: self.rows(name, "columns(c -> c not like '%loaded_at')")
            for name in self.tables()
            if name != "base_pinterest__dead_letters"
        }


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The sample, landed, built, published and documented."""
    pipeline = Pipeline(tmp_path_factory.mktemp("built"))
    pipeline.emit(Path("sample"))
    pipeline.dbt("build")
    pipeline.ingest("publish")
    return pipeline


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack | None]:
    """An object store, if it is installed."""
    if ministack_server.missing():
        yield None
        return
    store = MiniStack(tmp_path_factory.mktemp("store"))
    yield store
    store.stop()


@pytest.fixture(scope="session")
def cluster(
    store: MiniStack | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A Spark cluster of this test run's own, that reads the store."""
    require_spark()
    environment = {
        **os.environ,
        **QUICK_JAVA,
        **(store.environment if store else {}),
    }
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), environment, QUICK_SPARK)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def real_records() -> dict[str, list[str]]:
    """The real records behind 500 emissions, as lines."""
    if not REAL.is_dir():
        pytest.skip("the real records are not beside this project: ../shared/data")
    return {
        record_type: (REAL / f"{record_type}.jsonl").read_text("utf-8").splitlines()
        for record_type in ("pin", "geo", "user")
    }


@pytest.fixture(scope="session")
def real_folder(real_records: dict[str, list[str]]) -> Path:
    assert real_records
    return REAL


@pytest.fixture(scope="session")
def expected(real_records: dict[str, list[str]]) -> dict[str, list[Row]]:
    """The right answers for the real records, under the model names."""
    assert real_records
    answers = json.loads((REAL / "answers.json").read_text("utf-8"))
    return {
        model: sorted((tuple(row) for row in rows), key=str)
        for model, rows in answers.items()
    }


@pytest.fixture(scope="session")
def emission_order(real_folder: Path) -> list[int]:
    order: list[int] = json.loads((real_folder / "emission_order.json").read_text())
    return order


@pytest.fixture(scope="session", autouse=True)
def profiles() -> None:
    if not (ROOT / "profiles.yml").exists():
        shutil.copy(ROOT / "profiles.yml.example", ROOT / "profiles.yml")
