"""The same landing gives the same tables on every engine, whatever came when."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import engine_landing
import pytest
import spark_cluster
from conftest import QUICK_JAVA, REAL, ROOT, Pipeline
from databricks_server import DatabricksServer
from engine_tables import (
    Tables,
    differences,
    tables_of_cluster,
    tables_of_duckdb,
    tables_of_session,
)
from page_tables import page_tables
from spark_cluster import Cluster

# Reports are made anew by every run: those of the last load, and of one more, tell.
WITHOUT_REPORTS = ("run", "--exclude", "path:models/reports")
RUNS = (*[WITHOUT_REPORTS] * 4, ("build",))
"""What dbt is asked after each load; `build` has all tests and unit tests."""

# In CI one Spark takes all loads and runs the generic tests, hundreds of plain ones.
# The others take the first load, and what the last has beyond it, which is most; in
# `make soak` each takes all.
SOAK = "SOAK" in os.environ
LOADS = slice(None) if SOAK else slice(None, None, 4)
LOAD_RUNS = (
    RUNS if SOAK else (WITHOUT_REPORTS, ("build", "--exclude", "test_type:generic"))
)

MODELS = sorted(path.stem for path in (ROOT / "models").rglob("*.sql"))
SEEDS = sorted(path.stem for path in (ROOT / "seeds").glob("*.csv"))


@dataclass
class Built:
    """An engine's tables after its loads and after one more run; what dbt said.

    The other run has nothing new to load; in a session it is a full refresh.
    """

    tables: Tables
    again: Tables
    console: str
    page: Path
    passed: Sequence[str] = ()
    """Statements that only Databricks can do; see `databricks_sql`."""


@pytest.fixture(scope="module")
def landings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(engine_landing.landings(tmp_path_factory.mktemp("landings"), REAL))


@pytest.fixture(scope="module")
def duckdb(landings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = Pipeline(tmp_path_factory.mktemp("duckdb"))
    pipeline.dbt("seed")
    for landing, run in zip(landings, RUNS, strict=True):
        pipeline.env["LANDING"] = str(landing)
        pipeline.dbt(*run)
    pipeline.ingest("dashboard")
    return pipeline


@pytest.fixture(scope="module")
def on_duckdb(duckdb: Pipeline) -> Tables:
    return tables_of_duckdb(duckdb.database)


def on_spark(landings: list[Path], folder: Path) -> Built:
    """Build in sessions of one process."""
    pipeline, first, last = Pipeline(folder), str(landings[0]), str(landings[-1])
    steps = ["--landing", first, "seed"]
    *runs, build = LOAD_RUNS
    build = build if SOAK else (*build, "resource_type:unit_test")
    for landing, run in zip(landings[LOADS], (*runs, build), strict=True):
        steps += ["--landing", str(landing), *run]
    for command in (
        ("--tables", str(folder / "tables")),
        ("run", "--full-refresh"),
        ("--tables", str(folder / "again")),
        ("--page", str(pipeline.page)),
        ("source", "freshness"),
    ):
        steps += ["--landing", last, *command]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("spark_session.py")), *steps],
        cwd=ROOT,
        env={
            **pipeline.env,
            **QUICK_JAVA,
            "DBT_TARGET": "spark",
            "SPARK_HOME_DIR": str(folder / "spark"),
            "SPARK_JARS": str(spark_cluster.JARS),
            "TZ": "UTC",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tables, again = (tables_of_session(folder / name) for name in ("tables", "again"))
    return Built(tables, again, done.stdout + done.stderr, pipeline.page)


def through_dbt(
    pipeline: Pipeline,
    landings: list[Path],
    read: Callable[[], Tables],
    runs: Sequence[tuple[str, ...]],
    *options: str,
) -> Built:
    """Build with a process of dbt for each load; `options` are for the last run."""
    pipeline.env["LANDING"] = str(landings[0])
    console = pipeline.dbt("seed")
    for landing, run in zip(landings, runs, strict=True):
        pipeline.env["LANDING"] = str(landing)
        console += pipeline.dbt(*run)
    tables = read()
    console += pipeline.dbt("run", *options)
    pipeline.ingest("dashboard")
    return Built(tables, read(), console, pipeline.page)


def on_cluster(landings: list[Path], folder: Path, cluster: Cluster) -> Built:
    """Build on a cluster, through its Thrift server."""
    pipeline = Pipeline(folder)
    pipeline.env |= {
        "DBT_TARGET": "spark_cluster",
        "SPARK_THRIFT_PORT": str(cluster.thrift_port),
    }
    return through_dbt(
        pipeline,
        landings,
        lambda: tables_of_cluster(cluster.thrift_port, "pinterest"),
        RUNS,
    )


def on_databricks(landings: list[Path], folder: Path, cluster: Cluster) -> Built:
    """Build with Databricks' adapter, through an endpoint such as Databricks has."""
    pipeline = Pipeline(folder)
    with DatabricksServer(folder / "server", cluster.thrift_port) as server:
        pipeline.env |= server.environment(ROOT / "profiles.yml.example")
        built = through_dbt(
            pipeline,
            landings[LOADS],
            lambda: tables_of_cluster(cluster.thrift_port, server.schema),
            LOAD_RUNS,
            *("--vars", "personal_readers: privacy"),
        )
        return replace(built, passed=server.passed())


@pytest.fixture(scope="module", params=["spark", "spark_cluster", "databricks"])
def built(
    request: pytest.FixtureRequest,
    landings: list[Path],
    on_duckdb: Tables,
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    assert on_duckdb  # first: it is quick to fail
    spark_cluster.require_spark()
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "spark":
        return on_spark(landings, folder)
    cluster: Cluster = request.getfixturevalue("cluster")
    builder = on_cluster if request.param == "spark_cluster" else on_databricks
    return builder(landings, folder, cluster)


@pytest.mark.parametrize("name", [*MODELS, *SEEDS])
def test_a_table_has_the_rows_of_duckdb(
    built: Built, on_duckdb: Tables, name: str
) -> None:
    assert differences(on_duckdb[name], built.tables[name]) == []


def test_there_is_no_other_table(built: Built, on_duckdb: Tables) -> None:
    assert set(built.tables) == set(on_duckdb) == {*MODELS, *SEEDS}


def test_the_page_says_what_it_says_on_duckdb(built: Built, duckdb: Pipeline) -> None:
    expected = page_tables(duckdb.page)
    assert len(expected["rpt_median_followers_by_age_group"]) > 1
    assert page_tables(built.page) == expected


def test_a_run_without_new_files_or_a_full_refresh_changes_nothing(
    built: Built,
) -> None:
    assert built.again == built.tables


def test_nothing_is_said_that_nobody_asked_for(built: Built) -> None:
    found = re.findall(r"^.* WARN [A-Z]\w+:.*|^\tat .*", built.console, re.MULTILINE)
    assert found == []
    left_behind = ("metastore_db", "derby.log", "spark-warehouse")
    assert [name for name in left_behind if (ROOT / name).exists()] == []


def test_names_are_masked_on_databricks_alone(
    built: Built, request: pytest.FixtureRequest
) -> None:
    if "databricks" not in request.node.callspec.id:
        assert built.passed == ()
        return
    column = "alter table `main`.`on_databricks`.`int_users` alter column first_name"
    said = " ".join(" ".join(built.passed).split())

    assert "create or replace function `main`.`on_databricks`.`personal_mask`" in said
    assert "is_account_group_member('privacy') or session_user() = '" in said
    assert f"{column} set tags ('personal' = 'true')" in said
    assert f"{column} set mask `main`.`on_databricks`.`personal_mask`" in said
    for view in ("dim_pins", "dim_users"):
        assert f"alter table `main`.`on_databricks`.`{view}`" not in said
    for column in ("pins` alter column raw_line", "dead_letters` alter column value_"):
        assert f"`base_pinterest__{column}" in said


def test_the_real_records_are_among_them(
    on_duckdb: Tables, real_records: dict[str, list[str]]
) -> None:
    topics = {dict(row)["topic"] for row in on_duckdb["base_pinterest__pins"]}
    assert real_records
    assert "real.pin" in topics
