"""What a green build answers: published in one file, shown as tables, and traced."""

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from ingestion.errors import RetryError, StopError, explained

Row = tuple[Any, ...]

PUBLISHED: Final = "regexp_matches(table_name, '^(dim_|fct_|rpt_|rejected_records$)')"

# A report has no order of its own; where it is not the order of its columns:
ORDERS: Final = {
    "rpt_category_counts_by_year": "post_year, category_rank, category",
    "rpt_follower_change_by_user": "abs(follower_change) desc, user_id",
    "rpt_top_tags_by_category": "category, tag_rank, tag",
}

# What the pipeline says of itself comes after what it answers.
LAST: Final = {
    "rpt_event_health",
    "rpt_missing_counts",
    "rpt_missing_values",
    "rpt_pipeline_health",
}


@dataclass(frozen=True)
class Report:
    """A published table: the question it answers and the first rows of the answer."""

    name: str
    question: str
    columns: Sequence[str]
    rows: Sequence[Row]
    row_count: int


@contextmanager
def opened(database: Path, *, build: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB file read-only; `build` is the command that makes it.

    Raises `StopError` where there is none and `RetryError` while a build writes it: a
    DuckDB file has one writer, and a writer lets no reader in.
    """
    if not database.is_file():
        raise StopError(f"{database} is not there: {build} makes it.")
    try:
        connection = duckdb.connect(str(database), read_only=True)
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise RetryError(
                f"{database} is in use by another program (a build, or a notebook "
                "that opened it for writing): wait for it, then try again."
            ) from error
        raise StopError(f"{database} cannot be opened: {error}") from error
    with connection:
        try:
            yield connection
        except duckdb.CatalogException as error:
            raise StopError(
                f"{database} lacks a table ({str(error).splitlines()[0]}): {build} "
                "makes it."
            ) from error


def publish(database: Path, published: Path, manifest: Path) -> int:
    """Copy marts and reports of a green build to `published`; return their number.

    Readers of `published` see the old file or the new one, never a part of it: it is
    written beside and renamed. Tables and columns carry their descriptions from dbt's
    `manifest` as comments. Raises `StopError`.
    """
    name = f".{published.name}.{uuid.uuid4().hex}"
    with explained(f"publish to {published}"):
        published.parent.mkdir(parents=True, exist_ok=True)
        draft = published.with_name(name)
        try:
            with opened(database, build="dbt build") as connection:
                count = _copy(connection, draft, manifest)
            _sync(draft)
            draft.replace(published)
            _sync(published.parent)
        finally:
            draft.unlink(missing_ok=True)
            draft.with_name(f"{name}.wal").unlink(missing_ok=True)
    return count


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(connection: duckdb.DuckDBPyConnection, draft: Path, manifest: Path) -> int:
    schema = connection.execute("select current_schema()").fetchall()[0][0]
    names = _names(connection)
    connection.execute(f"attach '{_quoted(draft)}' as published (read_write)")
    for name in [*names, "age_groups"]:
        connection.execute(f'create table published."{name}" as from {schema}."{name}"')
    for comment in _comments(manifest, names):
        connection.execute(comment)
    connection.execute("detach published")
    return len(names)


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")


def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    names = connection.execute(
        "select table_name from information_schema.tables "
        f"where table_schema = current_schema() and {PUBLISHED} order by table_name"
    ).fetchall()
    return [name for (name,) in names]


def _comments(manifest: Path, names: Sequence[str]) -> Iterator[str]:
    nodes = json.loads(manifest.read_bytes())["nodes"]
    for name in names:
        model = nodes.get(f"model.pinterest.{name}", {"description": "", "columns": {}})
        described = _quoted(" ".join(model["description"].split()))
        yield f"comment on table published.\"{name}\" is '{described}'"
        for column, properties in model["columns"].items():
            described = _quoted(" ".join(properties["description"].split()))
            yield f'comment on column published."{name}"."{column}" is \'{described}\''


def reports(
    published: Path, names: Sequence[str], limit: int | None
) -> Iterator[Report]:
    """Read all reports, or the published tables named, at most `limit` rows of each.

    Age groups come in the seed's order, countries by name, years and ranks ascending.
    Raises `StopError` for a name that is none of them.
    """
    with opened(published, build="make run") as connection:
        known = _names(connection)
        for name in names:
            if name not in known:
                raise StopError(f"There is no report {name}: {', '.join(known)}.")
        told = [name for name in known if name.startswith("rpt_")]
        told.sort(key=lambda name: name in LAST)
        for name in names or told:
            yield _report(connection, name, limit)


def _report(
    connection: duckdb.DuckDBPyConnection, name: str, limit: int | None
) -> Report:
    question = connection.execute(
        "select comment from duckdb_tables() where table_name = $name", {"name": name}
    ).fetchall()[0][0]
    columns = connection.table(name).columns
    keys = [
        f"(select sort_order from age_groups where age_group = {name}.age_group)"
        if column == "age_group"
        else column
        for column in columns
    ]
    rows = connection.execute(
        f"from {name} order by {ORDERS.get(name, ', '.join(keys))} "
        + (f"limit {limit}" if limit is not None else "")
    ).fetchall()
    row_count = connection.table(name).count("*").fetchall()[0][0]
    return Report(name, question or "", columns, rows, row_count)


@dataclass(frozen=True)
class Copy:
    """One landed copy of a record, and what became of it."""

    record_type: str
    file_path: str
    line: int
    landed_at: Any
    verdict: str


@dataclass(frozen=True)
class Trace:
    """Where an answer about one event comes from."""

    copies: Sequence[Copy]
    post: dict[str, Any] | None
    user: dict[str, Any] | None


COPIES: Final = """
select
    '{record_type}' as record_type,
    copies.file_path,
    copies.line_number + 1 as line,
    copies.landed_at,
    case
        when copies.reject_reason is not null
            then 'rejected: ' || copies.reject_reason
        when newest.post_id is not null then 'newest'
        else 'superseded by a newer copy'
    end as verdict
from base_pinterest__{table} as copies
left join int_newest_{table} as newest
    on
        copies.post_id = newest.post_id
        and copies.topic = newest.topic
        and copies.partition = newest.partition
        and copies.file_start_offset = newest.file_start_offset
        and copies.line_number = newest.line_number
where copies.post_id = $event
order by
    copies.topic, copies.partition, copies.file_start_offset, copies.line_number
"""

TABLES: Final = {"pin": "pins", "geo": "geolocations", "user": "users"}


def trace(database: Path, event: int) -> Trace:
    """Find every landed copy of an event, its post, and the user of the post.

    Lines count from 1, as editors count. Copies come oldest first. A line without a
    readable event number belongs to no event: see `rejected_records`.
    """
    with opened(database, build="dbt build") as connection:
        copies = [
            Copy(*row)
            for record_type, table in TABLES.items()
            for row in connection.execute(
                COPIES.format(record_type=record_type, table=table), {"event": event}
            ).fetchall()
        ]
        post = _one(connection, "fct_posts", "post_id", event)
        user = post and _one(connection, "dim_users", "user_id", post["user_id"])
        return Trace(copies, post, user or None)


def _one(
    connection: duckdb.DuckDBPyConnection, table: str, key: str, value: object
) -> dict[str, Any] | None:
    found = connection.execute(
        f"from {table} where {key} = $value",
        {"value": value},
    )
    names = [column[0] for column in found.description or ()]
    rows = found.fetchall()
    return dict(zip(names, rows[0], strict=True)) if rows else None
