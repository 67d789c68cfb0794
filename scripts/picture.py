"""Draw what a command prints on a terminal as an SVG: `make pictures`.

    python scripts/picture.py docs/pictures/answers.svg ingest answers rpt_…

The command is run, on a terminal of 88 columns; the picture fetches nothing.
"""

import os
import re
import subprocess
from pathlib import Path

import click
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 88


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("command", nargs=-1, required=True)
def main(out: Path, command: tuple[str, ...]) -> None:
    """Run COMMAND and draw what it prints to OUT."""
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    done = subprocess.run(
        command, env={**kept, **terminal}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(done.stderr.strip() or f"{command[0]} failed.")
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        console.print(Text(f"$ {' '.join(command)}", style="bold green"))
        console.print(Text.from_ansi(f"{done.stdout.rstrip()}\n"))
        drawn = console.export_svg(
            title="ingest", theme=MONOKAI, unique_id="terminal", font_aspect_ratio=0.6
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))
    click.echo(out)


if __name__ == "__main__":
    main()
