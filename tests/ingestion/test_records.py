"""What is a record, what is its event number, and what can be a line."""

import pytest

from ingestion.errors import SetAsideError
from ingestion.records import MAX_RECORD_BYTES, event_number, landable


@pytest.mark.parametrize(
    "line",
    [
        b'{"index": 7}',
        b'{"index": "7"}',
        b'[{"index": 7}]',
        b'{"index": " \\t\\u00a07\\n"}',
        b'{"index": "0000000000000007"}',
    ],
)
def test_an_event_number_is_read_from_a_number_a_text_or_a_list_of_one(
    line: bytes,
) -> None:
    assert event_number("pin", line) == 7


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("not_json", b"{"),
        ("not_json", b'{"index": NaN}'),
        ("not_object", b"7"),
        ("not_object", b"[]"),
        ("not_object", b'[{"index": 7}, {"index": 7}]'),
        ("no_key", b'{"ind": 7}'),
        ("no_key", b'{"index": -7}'),
        ("no_key", b'{"index": 7.0}'),
        ("no_key", b'{"index": true}'),
        ("no_key", b'{"index": null}'),
        ("no_key", b'{"index": 1234567890123456789}'),
        ("no_key", '{"index": "\u0667"}'.encode()),  # a digit, in Arabic
        ("not_utf8", b'{"index": 7, "title": "\xff"}'),
        ("too_large", b'{"index": 7}' + b" " * MAX_RECORD_BYTES),
    ],
)
def test_a_line_without_a_readable_event_number_has_a_reason(
    reason: str, line: bytes
) -> None:
    with pytest.raises(SetAsideError) as caught:
        event_number("pin", line)
    assert caught.value.reason == reason


def test_geo_and_user_have_their_own_key_field() -> None:
    assert event_number("geo", b'{"ind": 7}') == event_number("user", b'{"ind": 7}')


@pytest.mark.parametrize(
    "line", [b"not json", b'{"a": 1', b"7", "žluť 🐎\u2028\x0b".encode(), b"\x00"]
)
def test_any_single_line_of_utf8_is_landed_as_it_is(line: bytes) -> None:
    assert landable(line) == line


def test_a_record_of_exactly_one_mebibyte_is_landed() -> None:
    line = b"x" * MAX_RECORD_BYTES
    assert landable(line) == landable(line + b"\r") == line
    with pytest.raises(SetAsideError, match="over 1 MiB"):
        landable(line + b"x")


def test_a_carriage_return_in_json_becomes_a_blank_and_elsewhere_is_refused() -> None:
    assert landable(b'{"a":\r1}\r') == b'{"a": 1}'
    with pytest.raises(SetAsideError) as caught:
        landable(b"a\rb")
    assert caught.value.reason == "newline"
