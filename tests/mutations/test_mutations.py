"""Break the lander on purpose: for each way of losing or doubling, one test must fail.

Each mutation is made in a copy of the package, where its test is run.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import kafka_broker
import kinesalite_server
import pytest
from processes import SERVERS, require

ROOT = Path(__file__).parents[2]
LANDER = "tests/ingestion/test_lander.py::"
S3 = "tests/ingestion/test_s3_calls.py::"
KAFKA = "tests/land/test_kafka_landing.py::"
KINESIS = "tests/land/test_kinesis_landing.py::"


class Mutation(NamedTuple):
    """A text of a module, what it becomes, and the test that must fail then."""

    module: str
    text: str
    becomes: str
    test: str


MUTATIONS = {
    "no seek after a failure": Mutation(
        "lander.py",
        "        self._log.seek(self.point)\n\n    def _judge_doubt",
        "\n    def _judge_doubt",
        LANDER
        + "test_a_refused_lander_drops_its_buffer_and_seeks_to_the_other_ones_next",
    ),
    "overwrite instead of conditional": Mutation(
        "s3_calls.py",
        'request["IfNoneMatch"], request["Metadata"] = "*", dict(metadata)',
        'request["Metadata"] = dict(metadata)',
        S3 + "test_what_may_pass_is_asked_again_with_the_same_bytes",
    ),
    "key from the first good record": Mutation(
        "landing.py",
        "self.partition, link.start, self.landing.suffix",
        "self.partition, link.first or link.start, self.landing.suffix",
        LANDER + "test_holes_and_a_missing_head_are_counted",
    ),
    "advance by one's own next after a 412": Mutation(
        "landing.py",
        "taken = link if there is None else",
        'taken = link if there is None or there["sha256"] == link.sha256 else',
        LANDER
        + "test_the_same_bytes_with_another_next_are_not_taken_for_ones_own_link",
    ),
    "acknowledge before the link": Mutation(
        "lander.py",
        "        self._write_letters()\n        body =",
        "        self._write_letters()\n        self._log.landed(self.offset)\n"
        "        body =",
        LANDER + "test_an_offset_is_acknowledged_when_its_link_is_there_and_not_before",
    ),
    "believe a hole behind a seek": Mutation(
        "lander.py",
        "if self._fresh and not self._trusted(record):",
        "if not self._trusted(record) and False:",
        LANDER + "test_a_record_that_was_on_its_way_before_a_seek_makes_no_hole",
    ),
    "take lines at once that are two": Mutation(
        "lander.py",
        'if b"\\n" in b"".join(values):',
        'if b"\\r\\n" in b"".join(values):',
        LANDER + "test_lines_judged_at_once_are_those_that_each_would_be",
    ),
    "auto.offset.reset=latest": Mutation(
        "kafka_source.py",
        '"auto.offset.reset": "error"',
        '"auto.offset.reset": "latest"',
        KAFKA + "test_records_that_expire_between_a_look_and_the_read_stop_a_run",
    ),
    "child before parent": Mutation(
        "kinesis_source.py",
        "if all(self._has_ended(Partition(partition.topic, n)) for n in parents):",
        "if parents is not None:",
        KINESIS
        + "test_two_shares_land_all_shards_and_a_child_waits_for_the_other_ones_parent",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its tests, where all the named tests pass."""
    require(kafka_broker.missing() or kinesalite_server.missing())
    folder = tmp_path_factory.mktemp("copy")
    for name in ("ingestion", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / ".servers").symlink_to(SERVERS)
    run = run_tests(folder, *(mutation.test for mutation in MUTATIONS.values()))
    assert run.returncode == 0, run.stdout
    return folder


def run_tests(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests on the package in a folder; it comes before the installed one."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_named_test_fails(copy: Path, name: str) -> None:
    mutation = MUTATIONS[name]
    path = copy / "ingestion" / mutation.module
    text = path.read_text("utf-8")
    assert text.count(mutation.text) == 1, "the mutation must be written anew"
    path.write_text(text.replace(mutation.text, mutation.becomes), "utf-8")
    try:
        run = run_tests(copy, mutation.test)
    finally:
        path.write_text(text, "utf-8")
    assert run.returncode == 1, run.stdout
    test = mutation.test.rpartition("::")[2]
    assert f"FAILED {mutation.test}" in run.stdout, f"{test} must fail: {run.stdout}"
