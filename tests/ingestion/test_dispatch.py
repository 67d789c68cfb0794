"""Topics go side by side, and in each of them one request at a time."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Barrier, Lock

import pytest

from ingestion.cursors import State
from ingestion.delivery import Acknowledged, Again, Limits, Message, Outcome
from ingestion.dispatch import Dispatch
from ingestion.emitters import Rejects
from ingestion.sources import JsonLinesFolder, Order

TYPES = {"pin": "index", "geo": "ind", "user": "ind"}


class MeetingTransport:
    """Its first request is answered when each of three topics has one open."""

    limits = Limits(4, 1_000)

    def __init__(self, meeting: Barrier) -> None:
        self._meeting = meeting
        self._met = False
        self._open = Lock()
        self.keys: list[int | None] = []

    def check(self) -> Again | None:
        return None

    def measure(self, message: Message) -> int:
        return len(message.value)

    def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
        assert self._open.acquire(blocking=False), "two requests open in one topic"
        if not self._met:
            self._meeting.wait(30)
            self._met = True
        self._open.release()
        self.keys += [message.key for message in batch]
        return [Acknowledged("0", str(message.position)) for message in batch]

    def close(self) -> None:
        pass


class Meeting:
    name = "a test"

    def __init__(self, topics: int) -> None:
        self._meeting = Barrier(topics)
        self.transports: list[MeetingTransport] = []

    def topic(self, user_id: str, record_type: str) -> str:
        return f"{user_id}.{record_type}"

    def identity(self, topic: str) -> str:
        return topic

    def transport(self, topic: str) -> MeetingTransport:
        del topic
        self.transports.append(MeetingTransport(self._meeting))
        return self.transports[-1]


def emit(folder: Path, destination: Meeting) -> int:
    for record_type, key in TYPES.items():
        lines = [f'{{"{key}":{n}}}' for n in range(50)]
        (folder / f"{record_type}.jsonl").write_text("\n".join(lines))
    with (
        closing(JsonLinesFolder.open(folder)) as source,
        Dispatch(source, destination, State(folder / "state"), "u") as dispatch,
    ):
        lanes = dispatch.prepare(lambda _: None)
        dispatch.run(lanes)
        return sum(lane.courier.tally.acknowledged for lane in lanes)


def test_topics_go_side_by_side_with_one_request_open_in_each(tmp_path: Path) -> None:
    assert emit(tmp_path, Meeting(len(TYPES))) == 150


LINES = {
    b'{"index":1,"title":"a"}': 1,
    b'{"index": 2}': 2,
    b'{"index":3,"index":4}': 4,
    b'{"title":"a","index":5}': 5,
    b'{"index":"6"}': 6,
    b'[{"index":7}]': 7,
}
BAD = {b'{"index":8,"title"': None, b'{"index":9}}': None}


@pytest.mark.parametrize("order", [Order(), Order("emulator", limit=40, bound=1)])
@pytest.mark.parametrize(
    "lines",
    [
        *({line: number, b'{"index":10}': 10} for line, number in LINES.items()),
        *({b'{"index":0}': 0, line: number} for line, number in BAD.items()),
    ],
    ids=str,
)
def test_the_key_is_the_number_that_all_of_the_line_says(
    tmp_path: Path, lines: dict[bytes, int | None], order: Order
) -> None:
    """The start of a line is believed only where the whole of each said the same."""
    (tmp_path / "pin.jsonl").write_bytes(b"\n".join(lines))
    destination, state = Meeting(1), tmp_path / "state"
    rejects = Rejects(state) if None in lines.values() else None
    with (
        closing(JsonLinesFolder.open(tmp_path)) as source,
        Dispatch(source, destination, State(state), "u", order=order) as dispatch,
    ):
        dispatch.run(dispatch.prepare(lambda _: None, rejects=rejects))
    assert set(destination.transports[0].keys) == set(lines.values())
