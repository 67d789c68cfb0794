"""Reading JSON Lines files: order, checks, and what does not belong to a row."""

import json
import os
import random
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.errors import StopError
from ingestion.sources import BadLine, Check, JsonLinesFile, JsonLinesFolder, Order

REAL = Path(__file__).parents[3] / "shared/data/first_500"


def ignore(_: int) -> None:
    pass


def opened(folder: Path, body: bytes, record_type: str = "geo") -> JsonLinesFile:
    path = folder / f"{record_type}.jsonl"
    path.write_bytes(body)
    return JsonLinesFile(path, record_type, "here")


def rows_of(
    file: JsonLinesFile, order: Order | None = None, position: int = 0
) -> list[bytes | None]:
    order = order or Order()
    check = file.check(order, None, ignore)
    return list(file.rows(order, check, position))


def row(number: int) -> bytes:
    return b'{"ind": %d}' % number


def test_the_draws_are_those_of_the_original_emulator() -> None:
    path = REAL / "emission_order.json"
    if not path.exists():
        pytest.skip("the real first 500 emissions are not beside this repository")
    assert list(Order("emulator", limit=500).draws()) == json.loads(path.read_text())


def test_the_first_draws_are_known() -> None:
    draws = list(Order("emulator", limit=6).draws())
    assert draws == [7528, 2863, 5730, 8304, 8731, 1313]


def test_a_draw_is_the_nth_row_in_key_order(tmp_path: Path) -> None:
    numbers = list(range(50))
    random.Random(3).shuffle(numbers)  # noqa: S311
    body = b"\n\n".join(row(10 * n) for n in numbers)
    order = Order("emulator", seed=5, bound=49, limit=30)
    with closing(opened(tmp_path, body)) as file:
        assert rows_of(file, order) == [row(10 * draw) for draw in order.draws()]
        assert rows_of(file, order, 28) == [
            row(10 * n) for n in list(order.draws())[28:]
        ]


def test_rows_come_in_file_order_from_a_position_up_to_a_limit(tmp_path: Path) -> None:
    with closing(opened(tmp_path, b"\n".join(map(row, [3, 1, 2])))) as file:
        assert rows_of(file) == [row(3), row(1), row(2)]
        assert rows_of(file, Order(limit=2), 1) == [row(1)]
        assert rows_of(file, Order(limit=1), 2) == []


def test_mark_blank_lines_and_carriage_returns_belong_to_the_file(
    tmp_path: Path,
) -> None:
    body = b"\xef\xbb\xbf" + row(1) + b"\r\n\r\n \t\n" + row(2) + b"\r"
    with closing(opened(tmp_path, body)) as file:
        assert rows_of(file) == [row(1), row(2)]
        drawn = rows_of(file, Order("emulator", bound=1, limit=20))
        assert set(drawn) == {row(1), row(2)}


def test_lines_longer_than_a_block_are_read_whole(tmp_path: Path) -> None:
    long = b'{"ind": 2, "title": "%s"}' % (b"x" * 1_000_000)
    lines = [row(1), long, row(3), long, long]
    with closing(opened(tmp_path, b"\n".join(lines))) as file:
        assert rows_of(file) == lines


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"not json", "line 3 is not JSON"),
        (b"[1]", "line 3 is JSON, but not an object"),
        (b'{"index": 1}', 'line 3 has no event number: "ind" must be'),
        (b'{"ind": "\xff"}', "line 3 is not UTF-8"),
        (b"x" * 3_000_000, "line 3 is over 1 MiB"),
    ],
)
def test_an_unreadable_line_is_named_with_what_to_do(
    tmp_path: Path, line: bytes, what: str
) -> None:
    body = b"\n".join([row(1), b"", line, row(2)])
    with closing(opened(tmp_path, body)) as file, pytest.raises(StopError) as caught:
        file.check(Order(), None, ignore)
    assert f"{tmp_path}/geo.jsonl {what}" in str(caught.value)
    assert "--bad-lines land" in str(caught.value)


def test_a_file_without_newlines_is_refused_before_it_fills_the_memory(
    tmp_path: Path,
) -> None:
    with closing(opened(tmp_path, b"")) as file:
        os.truncate(tmp_path / "geo.jsonl", 1 << 40)
    with (
        closing(JsonLinesFile(tmp_path / "geo.jsonl", "geo", "")) as file,
        pytest.raises(StopError, match="line 1 is over 1 MiB"),
    ):
        file.check(Order(), None, ignore)


@pytest.mark.parametrize("order", [Order(), Order("emulator", bound=4, limit=50)])
def test_bad_lines_pass_when_asked_but_for_those_that_cannot_be_lines(
    tmp_path: Path, order: Order
) -> None:
    huge = b"y" * 5_000_000
    lines = [row(1), b"\xff", b"not json", huge, row(2)]
    rejected: list[BadLine] = []
    with closing(opened(tmp_path, b"\n".join(lines))) as file:
        check = file.check(order, rejected.append, ignore)
        rows = list(file.rows(order, check, 0))
    assert check.rows == 5
    assert [(bad.line_number, bad.reason, bad.body) for bad in rejected] == [
        (2, "not_utf8", b"\xff"),
        (4, "too_large", huge),
    ]
    assert set(rows) == {row(1), row(2), b"not json", None}


def test_a_file_that_changes_while_it_is_read_stops_the_run(tmp_path: Path) -> None:
    with closing(opened(tmp_path, row(1))) as file:
        check = file.check(Order(), None, ignore)
        (tmp_path / "geo.jsonl").write_bytes(row(1) + row(2))
        with pytest.raises(StopError, match="changed while it was read"):
            list(file.rows(Order(), check, 0))


def test_the_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    checks: list[Check] = []
    for body in (row(1), row(1) + b"\n", row(1)):
        with closing(opened(tmp_path, body)) as file:
            checks.append(file.check(Order(), None, ignore))
    one, two, three = (check.fingerprint for check in checks)
    assert one == three != two


def test_a_folder_needs_at_least_one_of_the_three_files(tmp_path: Path) -> None:
    with pytest.raises(StopError, match=r"none of pin.jsonl, geo.jsonl and user.jsonl"):
        JsonLinesFolder.open(tmp_path)
    (tmp_path / "user.jsonl").touch()
    with closing(JsonLinesFolder.open(tmp_path)) as folder:
        assert list(folder.tables) == ["user"]


def test_what_is_no_folder_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StopError, match="There is no folder"):
        JsonLinesFolder.open(tmp_path / "nowhere")
    (tmp_path / "pin.jsonl").mkdir()
    with pytest.raises(StopError, match="is no file"):
        JsonLinesFolder.open(tmp_path)


def test_draws_may_be_bounded_above_the_rows_if_none_is_beyond_them() -> None:
    draws = list(Order("emulator", limit=3).draws())
    Order("emulator", limit=3).require_rows(max(draws) + 1, "pin.jsonl")
    with pytest.raises(StopError, match=f"--bound {max(draws) - 1}"):
        Order("emulator", limit=3).require_rows(max(draws), "pin.jsonl")
    with pytest.raises(StopError, match="--bound 10999"):
        Order("emulator").require_rows(11_000, "pin.jsonl")
