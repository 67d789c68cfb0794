"""What helps at a terminal: a screen of help, examples, completion, colours, pipes."""

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest
from click.testing import CliRunner
from processes import require

from ingestion.cli import main
from ingestion.cli_completion import SHELLS

INGEST = Path(sys.executable).parent / "ingest"
COLOUR = re.compile(rb"\x1b\[[0-9;]*[34]\d[0-9;]*m")
EVENTS = 5_000


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


LEAVES = [path for path, found in commands() if not isinstance(found, click.Group)]


def help_of(path: tuple[str, ...]) -> str:
    result = CliRunner().invoke(main, [*path, "--help"], terminal_width=80)
    assert result.exit_code == 0
    return result.stdout


def test_the_help_of_ingest_fits_a_screen_of_24_lines() -> None:
    text = help_of(())

    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_an_example_of_itself(path: tuple[str, ...]) -> None:
    examples = help_of(path).partition("Example")[2]

    assert f"ingest {' '.join(path)}" in examples


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_told_the_same_words(shell: str) -> None:
    asked = {"COMP_WORDS": "ingest ", "COMP_CWORD": "1"}
    if shell == "fish":
        asked["COMP_CWORD"] = ""
    done = subprocess.run(
        [INGEST],
        env={**os.environ, **asked, "_INGEST_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = set(re.findall(r"[\w-]+", done.stdout))
    assert set(main.commands) <= words
    source = CliRunner().invoke(main, ["completion", shell]).stdout
    assert f"_INGEST_COMPLETE={shell}_complete" in source


def test_bash_completes_commands_options_and_values() -> None:
    asked = """
    eval "$(ingest completion bash)"
    complete -p ingest >&2
    for line in "ingest tr" "ingest emit k" "ingest emit landing --ord" \
            "ingest emit landing --order t"; do
        COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
        _ingest_completion ingest
        echo "${COMPREPLY[@]}"
    done
    """
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", asked],
        env={**os.environ, "PATH": f"{INGEST.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-F _ingest_completion ingest" in done.stderr
    assert done.stdout.splitlines() == [
        "trace",
        "kafka-rest kinesis",
        "--order",
        "table",
    ]


def run_in(shell: str, *words: str, **environment: str) -> str:
    """Return what a shell says that finds `ingest` on its path."""
    there = shutil.which(shell)
    require(None if there else f"{shell} is not tested: install {shell}")
    path = f"{INGEST.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, *words],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fish_completes_commands_and_values(tmp_path: Path) -> None:
    completions = tmp_path / "fish" / "completions"
    completions.mkdir(parents=True)
    source = CliRunner().invoke(main, ["completion", "fish"]).stdout
    (completions / "ingest.fish").write_text(source)
    lines = ("ingest tr", "ingest emit k", "ingest emit landing --order t")
    asked = "; ".join(f"complete -C '{line}'" for line in lines)
    said = run_in("fish", "-c", asked, XDG_CONFIG_HOME=str(tmp_path))
    told = [line.partition("\t")[0] for line in said.splitlines()]
    assert told == ["trace", "kafka-rest", "kinesis", "table"]


def test_zsh_completes_a_command_at_the_tab_key(tmp_path: Path) -> None:
    asked = r"""
    zmodload zsh/zpty
    zpty shell zsh -f -i
    until_seen() {
        seen=
        for _ in {1..200}; do
            zpty -r -t shell part && seen+=$part
            [[ $seen == *$1* ]] && return
            sleep 0.1
        done
        print -r -- "no $1 in: $seen" >&2
        exit 1
    }
    zpty -w shell 'autoload -U compinit; compinit -u -D'
    zpty -w shell 'eval "$(ingest completion zsh)"; print LOADED${:-}NOW'
    until_seen LOADEDNOW
    zpty -w -n shell $'ingest tr\t'
    until_seen 'ingest trace'
    """
    run_in("zsh", "-f", "-c", asked, ZDOTDIR=str(tmp_path))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A report of more rows than a pipe holds."""
    path = tmp_path / "answers.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"create table rpt_numbers as select range as number from range({EVENTS})"
        )
        connection.execute("comment on table rpt_numbers is 'Which numbers?'")
    return path


def on_a_terminal(landing: Path, **environment: str) -> bytes:
    """Land a sample on a terminal, with its progress; return what the terminal got."""
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    shown = {**kept, "TERM": "xterm-256color", **environment}
    sample = ("--source", "sample", "--events", "500", "--rate", "500")
    place = ("--landing", str(landing), "--user-id", "u")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [INGEST, "emit", "landing", *sample, *place],
        stdout=theirs,
        stderr=theirs,
        env=shown,
    ):
        os.close(theirs)
        read = b""
        try:
            while more := os.read(ours, 1 << 16):
                read += more
        except OSError:  # the terminal's other end was closed: all is read
            pass
    os.close(ours)
    assert b"1,500 records landed" in read
    return read


def test_colours_are_for_terminals_and_no_color_is_respected(tmp_path: Path) -> None:
    assert COLOUR.search(on_a_terminal(tmp_path / "one")) is not None
    assert COLOUR.search(on_a_terminal(tmp_path / "two", NO_COLOR="1")) is None


def test_a_pipe_gets_no_escape(published: Path) -> None:
    environment = {**os.environ, "ANSWERS_PATH": str(published)}
    piped = subprocess.run(
        [INGEST, "answers", "--limit", "3"],
        env=environment,
        capture_output=True,
        check=True,
    )
    assert b"Which numbers?" in piped.stdout
    assert b"\x1b" not in piped.stdout


def test_a_reader_that_leaves_early_is_no_error(published: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", "ingest answers | head -1"],
        env={
            **os.environ,
            "PATH": f"{INGEST.parent}:{os.environ['PATH']}",
            "ANSWERS_PATH": str(published),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Which numbers?\n"
    assert done.stderr == ""
