"""The command `ingest follow`."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingestion.cli_shared import EXIT_CODES, Interrupts

if TYPE_CHECKING:
    from ingestion.follow import Built, Delays


@click.command(epilog=EXIT_CODES, context_settings={"ignore_unknown_options": True})
@click.option(
    "--landing",
    type=click.Path(readable=False),
    required=True,
    help="A folder, or s3://bucket/prefix.",
)
@click.argument("source", type=click.Choice(["kafka", "kinesis"]))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def follow(landing: str, source: str, options: tuple[str, ...]) -> None:
    """Land from SOURCE and build, again and again, until stopped.

    OPTIONS are those of `ingest land SOURCE`; --flush-seconds is 10 if not given. Runs
    in the folder of the dbt project. After each build it prints how long the records
    took from their time in the source to the published reports: half of them at most
    p50, 95 % at most p95. Ctrl-C lands what waits and is exit code 0; a build that
    runs is ended first.

    \b
    Example:
      ingest follow kafka --bootstrap localhost:9092 --user-id 12a740a19697 \\
          --landing data/landing
    """  # noqa: D301
    from ingestion.follow import Delays, LanderProcess, run_build
    from ingestion.follow import follow as builds

    program = Path(sys.executable).with_name("ingest")
    land = [str(program), "land", source, "--follow", "--flush-seconds", "10"]
    delays = Delays()
    with Interrupts.caught() as interrupts:
        lander = LanderProcess([*land, "--landing", landing, *options])
        try:
            click.echo("Landing; Ctrl-C ends it.")
            for built in builds(
                lander, lambda: run_build(landing), delays, interrupts.__bool__
            ):
                _tell(built, delays)
        finally:
            lander.stop()
    left = sum(link["records"] for link in lander.take())
    if left:
        click.echo(f"{left:,} records are landed and not built yet: make build.")


def _tell(built: "Built", delays: "Delays") -> None:
    if not built.green:
        click.echo(
            f"The build is not green after {built.seconds:.1f} s: nothing was "
            "published. It is tried again.",
            err=True,
        )
        return
    middle, most = delays.quantile(0.5), delays.quantile(0.95)
    ages = "" if middle is None else f" From source to report: p50 {middle} s"
    click.echo(
        f"{built.records:,} records published after a build of {built.seconds:.1f} s."
        f"{ages}{'' if most is None else f', p95 {most} s.'}"
    )
