"""What a record is: the three record types, their keys, and what can be a line."""

import re
from typing import Final

import orjson

from ingestion.errors import SetAsideError

KEY_FIELDS: Final = {"pin": "index", "geo": "ind", "user": "ind"}
"""Record type to the field that holds the event's number."""

FIELDS: Final = {
    "pin": (
        *("index", "unique_id", "title", "description", "poster_name"),
        *("follower_count", "tag_list", "is_image_or_video", "image_src"),
        *("downloaded", "save_location", "category"),
    ),
    "geo": ("ind", "timestamp", "latitude", "longitude", "country"),
    "user": ("ind", "first_name", "last_name", "age", "date_joined"),
}
"""Record type to all its fields, the key first."""

MAX_RECORD_BYTES: Final = 1 << 20
"""A record is at most 1 MiB, the limit of Kinesis and of Kafka's defaults."""

_EVENT_NUMBER = re.compile(r"[0-9]{1,18}")
_EVENT_NUMBER_END: Final = 10**18
_TRIMMED = " \t\r\n\u00a0"
_LEADING: Final = {
    record_type: re.compile(rb'\{"%b": ?([0-9]{1,18})[,}]' % field.encode())
    for record_type, field in KEY_FIELDS.items()
}


def event_number(record_type: str, line: bytes) -> int:
    """Return the event's number of one JSON line, or raise `SetAsideError`.

    A list of one object counts as that object. The reasons are those of the models:
    `not_json`, `not_object`, `no_key`, and before them those of `landable`.
    """
    if len(line) > MAX_RECORD_BYTES:
        landable(line)
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        landable(line)
        raise SetAsideError("not_json", f"is not JSON ({error})") from error
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        raise SetAsideError("not_object", "is JSON, but not an object")
    return _number(value, KEY_FIELDS[record_type])


def leading_number(record_type: str, line: bytes) -> int | None:
    """Return what stands where emitters put the event's number, at the line's start.

    It is not looked whether the line is JSON and names the field once: only where
    `event_number` said the same of these bytes before does this take its place.
    """
    found = _LEADING[record_type].match(line)
    return int(found[1]) if found else None


def _number(record: dict[str, object], field: str) -> int:
    value = record.get(field)
    if type(value) is int and 0 <= value < _EVENT_NUMBER_END:
        return value
    text = value.strip(_TRIMMED) if isinstance(value, str) else ""
    if not _EVENT_NUMBER.fullmatch(text):
        message = (
            f'has no event number: "{field}" must be a whole number of 1-18 digits'
        )
        raise SetAsideError("no_key", message)
    return int(text)


def landable(line: bytes) -> bytes:
    """Return the line as it is landed, or raise `SetAsideError`: it cannot be a line.

    The carriage return before the newline belongs to the file, not to the record.
    Readers take one inside the line for a newline; in JSON it can only be white space
    (RFC 8259) and becomes a blank. All else is landed byte for byte.
    Reasons: `too_large`, `not_utf8`, `newline`.
    """
    if len(line) > MAX_RECORD_BYTES + 1:
        raise _too_large(line)
    if b"\r" in line:
        line = _without_carriage_returns(line)
    if len(line) > MAX_RECORD_BYTES:
        raise _too_large(line)
    if not line.isascii():
        _require_utf8(line)
    return line


def _too_large(line: bytes) -> SetAsideError:
    message = f"is over 1 MiB ({len(line):,} bytes)"
    return SetAsideError("too_large", message)


def _require_utf8(line: bytes) -> None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 (byte {error.start + 1} of the line)"
        raise SetAsideError("not_utf8", message) from error


def _without_carriage_returns(line: bytes) -> bytes:
    line = line.removesuffix(b"\r")
    if b"\r" not in line:
        return line
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        message = "has a carriage return inside something that is not JSON"
        raise SetAsideError("newline", message) from error
    return line.replace(b"\r", b" ")
