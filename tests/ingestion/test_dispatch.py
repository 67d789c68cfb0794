"""Topics go side by side, and in each of them one request at a time."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Barrier, Lock

from ingestion.cursors import State
from ingestion.delivery import Acknowledged, Again, Limits, Message, Outcome
from ingestion.dispatch import Dispatch
from ingestion.sources import JsonLinesFolder

TYPES = {"pin": "index", "geo": "ind", "user": "ind"}


class MeetingTransport:
    """Its first request is answered when each of three topics has one open."""

    limits = Limits(4, 1_000)

    def __init__(self, meeting: Barrier) -> None:
        self._meeting = meeting
        self._met = False
        self._open = Lock()

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
        return [Acknowledged("0", str(message.position)) for message in batch]

    def close(self) -> None:
        pass


class Meeting:
    name = "a test"

    def __init__(self, topics: int) -> None:
        self._meeting = Barrier(topics)

    def topic(self, user_id: str, record_type: str) -> str:
        return f"{user_id}.{record_type}"

    def identity(self, topic: str) -> str:
        return topic

    def transport(self, topic: str) -> MeetingTransport:
        del topic
        return MeetingTransport(self._meeting)


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
