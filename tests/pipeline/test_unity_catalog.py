"""The endpoint that stands for Databricks does what Unity Catalog promises."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from databricks_sql import Session, Warehouse
from spark_cluster import Cluster

REPLACEMENTS = 20


@contextmanager
def session(warehouse: Warehouse) -> Iterator[Session]:
    session_id = warehouse.open_session({})["session_id"]
    yield warehouse.sessions[session_id]
    warehouse.close_session(session_id)


def names(session: Session) -> list[list[str]]:
    """List relations as the adapter does."""
    _, rows = session.answer(
        "select table_name from `system`.`information_schema`.`tables` "
        "where table_schema = 'replaced'"
    )
    return rows


def test_a_view_is_in_every_list_while_it_is_replaced(
    cluster: Cluster, tmp_path: Path
) -> None:
    warehouse = Warehouse(tmp_path, cluster.thrift_port)
    replace = "create or replace view `main`.`replaced`.`one` as select 1 as number"
    listed = []

    with (
        session(warehouse) as lister,
        session(warehouse) as replacer,
        ThreadPoolExecutor(1) as pool,
    ):
        replacer.answer("create schema replaced")
        replacer.answer(replace)
        done = pool.submit(
            lambda: [replacer.answer(replace) for _ in range(REPLACEMENTS)]
        )
        while not done.done():
            listed.append(names(lister))

    assert len(done.result()) == REPLACEMENTS
    assert listed
    assert [rows for rows in listed if rows != [["one"]]] == []
