"""A cluster whose landing is in an object store, and one of which parts die."""

import subprocess
import time
from pathlib import Path

import engine_landing
import ministack_server
import pytest
from conftest import BIN, REAL, ROOT, Pipeline
from engine_tables import Tables, differences, tables_of_cluster, tables_of_duckdb
from ministack_server import MiniStack
from processes import require
from spark_cluster import Cluster

# Everything that is written bit by bit, and nothing that is made anew by every run.
POSTS = "+fct_posts"
PINS = "+int_newest_pins"
FILES = "path:models/base"
USERS = "base_pinterest__users"
START_SECONDS = 600


@pytest.fixture(scope="module")
def landings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(engine_landing.landings(tmp_path_factory.mktemp("landing"), REAL))


@pytest.fixture(scope="module")
def landing(landings: list[Path]) -> Path:
    return landings[-1]


@pytest.fixture(scope="module")
def on_duckdb(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    pipeline = Pipeline(tmp_path_factory.mktemp("duckdb"))
    pipeline.env["LANDING"] = str(landing)
    pipeline.dbt(*build(POSTS, FILES))
    return tables_of_duckdb(pipeline.database)


def build(*selected: str) -> list[str]:
    """Return the words that have dbt build models and seeds, and test nothing."""
    tests = ("resource_type:test", "resource_type:unit_test")
    return ["build", "--select", *selected, "--exclude", *tests]


def on_cluster(pipeline: Pipeline, cluster: Cluster, landing: Path | str) -> None:
    pipeline.env |= {
        "DBT_TARGET": "spark_cluster",
        "LANDING": str(landing),
        "SPARK_SCHEMA": pipeline.folder.name,
        "SPARK_THRIFT_PORT": str(cluster.thrift_port),
    }


def start_dbt(pipeline: Pipeline, selected: str, model: str) -> subprocess.Popen[str]:
    """Start a build; return while a model is built."""
    process = subprocess.Popen(
        [str(BIN / "dbt"), "--no-use-colors", *build(selected)],
        cwd=ROOT,
        env=pipeline.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + START_SECONDS
    assert process.stdout
    for line in process.stdout:
        assert time.monotonic() < deadline
        if "START" in line and f".{model} " in line:
            return process
    raise AssertionError(f"{model} was never started")


def without(column: str, tables: Tables) -> Tables:
    return {
        name: type(rows)(
            tuple(pair for pair in row if pair[0] != column) for row in rows.elements()
        )
        for name, rows in tables.items()
    }


def test_a_landing_in_an_object_store_gives_the_same_tables(
    pipeline: Pipeline,
    cluster: Cluster,
    store: MiniStack | None,
    landings: list[Path],
    on_duckdb: Tables,
) -> None:
    require(ministack_server.missing())
    assert store
    root = store.upload(landings[0])
    on_cluster(pipeline, cluster, root)
    pipeline.dbt(*build(FILES))
    assert store.upload(landings[-1]) == root

    pipeline.dbt(*build(FILES))

    found = tables_of_cluster(cluster.thrift_port, pipeline.folder.name)
    # When an object was written is the one thing that an upload changes.
    left, right = without("landed_at", on_duckdb), without("landed_at", found)
    assert set(right) == {name for name in left if name.startswith("base_")}
    assert {name: differences(left[name], right[name]) for name in right} == {
        name: [] for name in right
    }

    # A mistyped landing is no empty one.
    pipeline.env["LANDING"] = f"{root}-mistyped"
    refused = pipeline.call("dbt", "run", "--full-refresh", "--select", USERS)
    assert f"There is no landing at {root}-mistyped, it has no topics" in refused.stdout
    assert tables_of_cluster(cluster.thrift_port, pipeline.folder.name) == found


def test_a_killed_worker_leaves_no_trace_in_the_tables(
    pipeline: Pipeline, cluster: Cluster, landing: Path, on_duckdb: Tables
) -> None:
    on_cluster(pipeline, cluster, landing)
    process = start_dbt(pipeline, PINS, "base_pinterest__pins")

    cluster.kill("worker-1")

    process.communicate()
    if process.returncode:
        pipeline.dbt(*build(PINS))
    found = tables_of_cluster(cluster.thrift_port, pipeline.folder.name)
    assert "int_newest_pins" in found
    assert {name: differences(on_duckdb[name], found[name]) for name in found} == {
        name: [] for name in found
    }


def test_a_killed_thrift_server_is_named_and_the_next_build_ends_right(
    pipeline: Pipeline, cluster: Cluster, landing: Path, on_duckdb: Tables
) -> None:
    on_cluster(pipeline, cluster, landing)
    process = start_dbt(pipeline, POSTS, "int_newest_pins")

    cluster.kill("thrift-server")

    output, _ = process.communicate()
    assert process.returncode
    assert (
        f"Could not connect to any of [('127.0.0.1', {cluster.thrift_port})]" in output
    )
    cluster.start()
    on_cluster(pipeline, cluster, landing)
    pipeline.dbt(*build(POSTS))
    found = tables_of_cluster(cluster.thrift_port, pipeline.folder.name)
    assert "fct_posts" in found
    assert {name: differences(on_duckdb[name], found[name]) for name in found} == {
        name: [] for name in found
    }
