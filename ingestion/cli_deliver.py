"""What `ingest emit` has in common for every destination that acknowledges records."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingestion.cli_shared import (
    SET_ASIDE_EXIT_CODE,
    Interrupts,
    opened_source,
    source_options,
    table,
    told,
)

if TYPE_CHECKING:
    from ingestion.dispatch import Destination, Dispatch, Lane
    from ingestion.emitters import Rejects


@dataclass(frozen=True, slots=True)
class Asked:
    """The values of `delivery_options`."""

    source: str
    user_id: str
    order: str
    seed: int
    bound: int
    limit: int | None
    rate: float | None
    restart: bool
    bad_lines: str
    events: int
    sample_seed: int
    json: bool
    state: Path
    give_up_after: float


def delivery_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every destination that acknowledges records shares."""
    command = source_options(command)
    command = click.option(
        "--give-up-after",
        type=click.FloatRange(min=0),
        default=600.0,
        show_default=True,
        help="Seconds to try without any progress.",
    )(command)
    return click.option(
        "--state",
        type=click.Path(path_type=Path, readable=False),
        default="data/emit",
        show_default=True,
        help="A folder for positions, and for records that were set aside.",
    )(command)


def gateway_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of destinations that may stand behind an API gateway."""
    for option in reversed(
        [
            click.option(
                "--auth",
                type=click.Choice(["none", "sigv4", "api-key", "basic", "bearer"]),
                default="none",
                show_default=True,
                help="How to sign in. Secrets come from AWS's chain of credentials, or "
                "from $GATEWAY_API_KEY, $GATEWAY_USERNAME and $GATEWAY_PASSWORD, "
                "$GATEWAY_TOKEN.",
            ),
            click.option(
                "--region", help="To sign for; a gateway's own name tells it."
            ),
            click.option(
                "--gateway",
                is_flag=True,
                help="An API gateway stands before it: wait 35 s for an answer, not "
                "70. One of Amazon's is known by its name.",
            ),
        ]
    ):
        command = option(command)
    return command


def deliver(make_destination: "Callable[[], Destination]", asked: Asked) -> None:
    """Emit what is asked for to a destination, and say how it went.

    The destination is made inside, so that its errors are told as all others are.
    """
    from ingestion.cursors import State
    from ingestion.delivery import Patience
    from ingestion.dispatch import Dispatch
    from ingestion.emitters import Rejects
    from ingestion.sources import Order

    with (
        told(json=asked.json),
        opened_source(asked.source, asked.events, asked.sample_seed) as source,
        Dispatch(
            source,
            make_destination(),
            State(asked.state),
            asked.user_id,
            order=Order(asked.order, asked.seed, asked.bound, asked.limit),
            patience=Patience(asked.give_up_after, asked.rate),
        ) as dispatch,
    ):
        rejects = Rejects(asked.state) if asked.bad_lines == "land" else None
        lanes = _run(dispatch, rejects, asked)
    aside = sum(lane.courier.tally.set_aside for lane in lanes)
    if aside or (rejects is not None and rejects.count):
        click.get_current_context().exit(SET_ASIDE_EXIT_CODE)


def _run(
    dispatch: "Dispatch", rejects: "Rejects | None", asked: Asked
) -> "Sequence[Lane]":
    with Interrupts.caught() as interrupts:
        lanes = _prepare(dispatch, rejects, asked, interrupts)
        started = time.monotonic()
        try:
            _deliver(dispatch, lanes, asked, interrupts)
        finally:
            seconds = time.monotonic() - started
            _summarise(dispatch, lanes, rejects, seconds, json=asked.json)
        interrupts.check()
    return lanes


def _prepare(
    dispatch: "Dispatch",
    rejects: "Rejects | None",
    asked: Asked,
    interrupts: Interrupts,
) -> "Sequence[Lane]":
    from ingestion.progress import choose_progress

    with choose_progress(json=asked.json) as progress:

        def tick(steps: int) -> None:
            interrupts.check()
            progress.advance(steps)

        source = dispatch.source
        progress.phase(f"checking, {source.unit}", source.size)
        return dispatch.prepare(tick, restart=asked.restart, rejects=rejects)


def _deliver(
    dispatch: "Dispatch",
    lanes: "Sequence[Lane]",
    asked: Asked,
    interrupts: Interrupts,
) -> None:
    from ingestion.progress import choose_board

    started = time.monotonic()
    with choose_board(json=asked.json) as board:

        def watch() -> None:
            seconds = time.monotonic() - started
            board.show(lambda: [_now(lane, seconds) for lane in lanes])

        dispatch.run(lanes, watch, interrupted=interrupts.__bool__)


def _now(lane: "Lane", seconds: float) -> dict[str, Any]:
    tally = lane.courier.tally
    return {
        "topic": lane.topic,
        "acknowledged": tally.acknowledged,
        "of": lane.left,
        "per_second": round(tally.acknowledged / seconds) if seconds else 0,
        "resent": tally.resent,
        "waiting_for": tally.waiting_for,
    }


def _summarise(
    dispatch: "Dispatch",
    lanes: "Sequence[Lane]",
    rejects: "Rejects | None",
    seconds: float,
    *,
    json: bool,
) -> None:
    from ingestion.progress import write_json

    rows = [_sums(lane) for lane in lanes]
    place = dispatch.destination.name
    files = _rejected(dispatch, lanes, rejects)
    if json:
        named = {"destination": place, "rejected": files, "seconds": seconds}
        write_json("summary", topics=rows, **named)
        return
    click.echo(table(rows))
    total = sum(lane.courier.tally.acknowledged for lane in lanes)
    if total:
        click.echo(f"{total:,} records acknowledged by {place} in {seconds:.1f} s.")
    elif all(lane.left == 0 for lane in lanes):
        click.echo(f"Nothing new: {place} has it already (--restart sends it again).")
    for file in files:
        click.echo(f"Records that were set aside are in {file}.")


def _sums(lane: "Lane") -> dict[str, Any]:
    tally = lane.courier.tally
    return {
        "topic": lane.topic,
        "acknowledged": tally.acknowledged,
        "set_aside": tally.set_aside + lane.check.bad_lines,
        "settled_before": lane.already,
        "requests": tally.requests,
        "resent": tally.resent,
        "stands_at_row": lane.courier.settled_below,
    }


def _rejected(
    dispatch: "Dispatch", lanes: "Sequence[Lane]", rejects: "Rejects | None"
) -> list[str]:
    files = []
    if rejects is not None and rejects.path is not None:
        files.append(str(rejects.path))
    if any(lane.courier.tally.set_aside for lane in lanes):
        files.append(str(dispatch.state.rejected))
    return files
