"""Which rows of which reports a change changes: `make diff BASE=main`.

    python scripts/diff_reports.py --base main [--rows 10]

Builds the models of BASE (a worktree of git, in a temporary folder) and those of the
working tree, each from the whole landing into a DuckDB file of its own, and compares
every report as a bag of rows. The database that is there is neither read nor changed.
Both are built with the packages that are installed here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import duckdb
from rich.console import Console
from rich.table import Table

from ingestion.answers import publish
from ingestion.errors import IngestError

Columns = list[tuple[str, str]]
FAILURE_LINES = 40


@dataclass(frozen=True)
class Difference:
    """What changed in one report; `None` where it is in one version only."""

    name: str
    base: Columns | None
    here: Columns | None
    gone: list[tuple[Any, ...]]
    new: list[tuple[Any, ...]]


@contextmanager
def worktree(base: str, folder: Path) -> Iterator[Path]:
    """Check BASE out in `folder`; git forgets it again at the end."""
    path = folder / "base"
    add = ["git", "worktree", "add", "--quiet", "--detach", str(path), base]
    done = subprocess.run(add, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        raise click.ClickException(f"git cannot check {base!r} out: {reason}.")
    try:
        yield path
    finally:
        remove = ["git", "worktree", "remove", "--force", str(path)]
        subprocess.run(remove, check=True)


def build(project: Path, landing: str, folder: Path) -> Path:
    """Build the models of `project` in `folder`; return the file of its answers."""
    folder.mkdir()
    shutil.copy(project / "profiles.yml.example", folder / "profiles.yml")
    environment = {
        **os.environ,
        "PYTHONPATH": str(project),
        "DBT_TARGET": "duckdb",
        "LANDING": landing,
        "DUCKDB_PATH": str(folder / "pinterest.duckdb"),
        "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    kinds = ["--resource-type", "model", "--resource-type", "seed"]
    command = ["dbt", "--quiet", "--no-use-colors", "build", *kinds]
    done = subprocess.run(
        command,
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = (done.stdout + done.stderr).strip().splitlines()[-FAILURE_LINES:]
        raise click.ClickException("\n".join([f"{project} does not build:", *told]))
    answers = folder / "answers.duckdb"
    publish(folder / "pinterest.duckdb", answers, folder / "target/manifest.json")
    return answers


def differences(base: Path, here: Path) -> Iterator[Difference]:
    """Compare the reports of two files, by name."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{base}' as base (read_only)")
        connection.execute(f"attach '{here}' as here (read_only)")
        names = connection.execute(
            "select distinct table_name from duckdb_tables() "
            "where starts_with(table_name, 'rpt_') order by 1"
        ).fetchall()
        for (name,) in names:
            old, new = (_columns(connection, side, name) for side in ("base", "here"))
            if old is None or new is None or old != new:
                yield Difference(name, old, new, [], [])
                continue
            one_way = f'from {{}}."{name}" except all from {{}}."{name}" order by all'
            yield Difference(
                name,
                old,
                new,
                connection.execute(one_way.format("base", "here")).fetchall(),
                connection.execute(one_way.format("here", "base")).fetchall(),
            )


def _columns(
    connection: duckdb.DuckDBPyConnection, database: str, name: str
) -> Columns | None:
    found = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        "where database_name = $database and table_name = $name order by column_index",
        {"database": database, "name": name},
    ).fetchall()
    return [(column, kind) for column, kind in found] or None


def tell(difference: Difference, rows: int, console: Console) -> None:
    """Print what changed in a report, at most `rows` rows of each side."""
    name, base, here = difference.name, difference.base, difference.here
    if base is None or here is None:
        said = "is new" if base is None else "is gone"
        console.print(f"{name} {said}", markup=False, highlight=False)
    elif base != here:
        said = f"{name} has other columns\n  - {_written(base)}\n  + {_written(here)}"
        console.print(said, markup=False, highlight=False)
    elif difference.gone or difference.new:
        counts = f"{len(difference.gone):,} rows gone, {len(difference.new):,} rows new"
        console.print(f"{name}: {counts}", markup=False, highlight=False)
        console.print(_table(difference, rows))


def _written(columns: Columns) -> str:
    return ", ".join(f"{name} {kind.lower()}" for name, kind in columns)


def _table(difference: Difference, rows: int) -> Table:
    table = Table("", *(name for name, _ in difference.here or ()))
    for mark, side in (("-", difference.gone), ("+", difference.new)):
        for row in side[:rows]:
            table.add_row(mark, *(str(value) for value in row))
        if len(side) > rows:
            table.add_row(mark, f"… {len(side) - rows:,} more")
    return table


@click.command()
@click.option("--base", default="main", show_default=True, help="A commit or branch.")
@click.option("--rows", type=click.IntRange(min=1), default=10, show_default=True)
def main(base: str, rows: int) -> None:
    """Show the rows of each report that the working tree changes."""
    landing = os.environ.get("LANDING", "data/landing")
    if "://" not in landing:
        landing = str(Path(landing).absolute())
        if not Path(landing, "topics").is_dir():
            raise click.ClickException(f"{landing} is no landing: make run makes one.")
    with TemporaryDirectory() as name, worktree(base, Path(name)) as old:
        try:
            folder = Path(name)
            click.echo(f"Building {base}", err=True)
            before = build(old, landing, folder / "base_build")
            click.echo("Building the working tree", err=True)
            after = build(Path().absolute(), landing, folder / "here_build")
            found = list(differences(before, after))
        except IngestError as error:
            raise click.ClickException(str(error)) from error
    console = Console()
    for difference in found:
        tell(difference, rows, console)
    changed = [d for d in found if d.base != d.here or d.gone or d.new]
    click.echo(f"{len(changed)} of {len(found)} reports change.")


if __name__ == "__main__":
    sys.exit(main())
