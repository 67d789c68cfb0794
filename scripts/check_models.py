"""What `make check` asks of the models' YAML that neither dbt nor sqlfluff asks.

    python scripts/check_models.py

Each model and seed has a `.yml` of its own name, in which it and every column are
described; each mart and report has a unit test; each report has an exposure. What is
missing is told as `file:line: what to do`, and the exit code is 1.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

ROOT = Path()


class Lines(yaml.SafeLoader):
    """Reads mappings with the line where each begins."""


def _mapping(loader: Lines, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    read = loader.construct_pairs(node, deep=True)
    return {**dict(read), "__line__": node.start_mark.line + 1}


Lines.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def problems(root: Path) -> Iterator[str]:
    """Yield what the project in `root` lacks, as `file:line: what to do`."""
    read = {
        path.relative_to(root): yaml.load(path.read_text("utf-8"), Lines) or {}  # noqa: S506 - a SafeLoader
        for folder in ("models", "seeds")
        for path in sorted((root / folder).rglob("*.yml"))
    }
    exposed = {
        name
        for content in read.values()
        for exposure in content.get("exposures", ())
        for parent in exposure.get("depends_on", ())
        for name in re.findall(r"ref\(['\"](\w+)['\"]\)", parent)
    }
    for folder, ending in (("models", "sql"), ("seeds", "csv")):
        for path in sorted((root / folder).rglob(f"*.{ending}")):
            yield from _of_one(path.relative_to(root), read, exposed)


def _of_one(path: Path, read: dict[Path, Any], exposed: set[str]) -> Iterator[str]:
    name, file = path.stem, path.with_suffix(".yml")
    content = read.get(file, {})
    described = [*content.get("models", ()), *content.get("seeds", ())]
    found = next((node for node in described if node.get("name") == name), None)
    if found is None:
        yield f"{path}:1: describe {name} in {file}"
        return
    yield from _undescribed(file, found, name)
    for column in found.get("columns", ()):
        yield from _undescribed(file, column, f"the column {column.get('name')}")
    if path.suffix == ".sql" and path.parent.name in {"marts", "reports"}:
        tested = {test.get("model") for test in content.get("unit_tests", ())}
        if name not in tested:
            yield f"{file}:{found['__line__']}: write a unit test of {name}"
    if name.startswith("rpt_") and name not in exposed:
        yield f"models/exposures.yml:1: say where {name} is shown: an exposure"


def _undescribed(file: Path, node: dict[str, Any], what: str) -> Iterator[str]:
    if not str(node.get("description") or "").strip():
        yield f"{file}:{node['__line__']}: write a description of {what}"


if __name__ == "__main__":
    told = list(problems(ROOT))
    for line in told:
        click.echo(line, err=True)
    sys.exit(1 if told else 0)
