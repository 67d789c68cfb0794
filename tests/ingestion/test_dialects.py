"""The tests' proxy answers as the real ones did: word for word what was recorded."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from dialects import JSON_V2, Failed, Front, Records, Result
from memory_front import MemoryLog
from rest_front import _over_request

TOO_LARGE = (
    "The request included a message larger than the max message size the server will "
    "accept."
)
SCHEMA = "Validation error on: Schema validation error"
FORMAT = "Validation error on: The format of the request body is not supported"
EXPIRING = "Expiring 2 record(s) for t-0:10000 ms has passed since batch creation"
GOOD = {"key": 1, "value": {"index": 1}}
BAD = {"key": 2, "value": {"unstorable": 1}}


class Log(MemoryLog):
    """Says what brokers and producers say."""

    def store(self, topic: str, records: Records) -> Sequence[Result]:
        return [
            Failed("too_large", TOO_LARGE)
            if isinstance(result, Failed) and result.kind == "too_large"
            else result
            for result in super().store(topic, records)
        ]


def post(
    dialect: str, body: object, topic: str = "t", kind: str = JSON_V2
) -> tuple[int, Any]:
    log = Log("t", expiring=dialect == "strimzi")
    front = Front(dialect, log.store, log.has_topic)
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = front.post(topic, kind, text)
    return reply.status, json.loads(reply.body)


def records(*rows: object) -> object:
    return {"records": rows}


def refused(message: str) -> dict[str, object]:
    return {"error_code": 400, "message": message}


@pytest.mark.parametrize("count", [0, 1, 100, 500])
def test_a_bridge_lists_offsets_in_order(count: int) -> None:
    offsets = [{"partition": 0, "offset": n} for n in range(count)]
    assert post("strimzi", records(*[GOOD] * count)) == (200, {"offsets": offsets})


def test_a_bridge_says_of_an_unknown_topic_what_its_producer_waited_for() -> None:
    said = "Topic nope not present in metadata after 60000 ms."
    expected = {"offsets": [{"error_code": 404, "message": said}]}
    assert post("strimzi", records(GOOD), "nope") == (200, expected)


def test_a_bridge_says_of_a_large_record_whose_limit_it_is_over() -> None:
    expected = {"offsets": [{"error_code": 500, "message": TOO_LARGE}]}
    assert post("strimzi", records(BAD)) == (200, expected)
    assert _over_request(1500090) == (
        "The message is 1500090 bytes when serialized which is larger than 1048576, "
        "which is the value of the max.request.size configuration."
    )


def test_behind_a_bridge_a_large_record_takes_a_good_one_with_it() -> None:
    late = {"error_code": 500, "message": EXPIRING}
    expected = {"offsets": [{"partition": 0, "offset": 0}, late, late]}
    assert post("strimzi", records(GOOD, BAD, GOOD)) == (200, expected)


@pytest.mark.parametrize(
    "body",
    [
        records({"key": 1}),
        records({**GOOD, "colour": "blue"}),
        records({**GOOD, "key": None}),
        {},
    ],
)
def test_a_bridge_refuses_what_is_not_of_its_schema(body: object) -> None:
    status, said = post("strimzi", body)
    assert said.pop("validation_errors")
    assert (status, said) == (400, refused(SCHEMA))


@pytest.mark.parametrize(
    "kind",
    [f"{JSON_V2}; charset=utf-8", "application/json", "application/vnd.kafka.v2+json"],
)
def test_a_bridge_takes_one_content_type(kind: str) -> None:
    assert post("strimzi", records(GOOD), kind=kind) == (400, refused(FORMAT))


def test_a_bridge_refuses_what_is_no_json() -> None:
    said = "Validation error on: The request body can't be decoded"
    assert post("strimzi", b"{") == (400, refused(said))


def test_confluent_has_errors_in_a_200_and_all_fields_in_each_entry() -> None:
    status, said = post("confluent", records(GOOD, BAD))
    good = {"partition": 0, "offset": 0, "error_code": None, "error": None}
    none = {"partition": None, "offset": None}
    assert status == 200
    assert said["offsets"] == [good, {**none, "error_code": 50002, "error": TOO_LARGE}]
    status, said = post("confluent", records(GOOD), "nope")
    assert (status, said["error_code"]) == (404, 40401)
    assert post("confluent", records())[0] == 422


def test_karapace_has_the_mixed_list_in_a_422() -> None:
    status, said = post("karapace", records(GOOD, BAD))
    assert status == 422
    good = {"partition": 0, "offset": 0}
    assert said["offsets"] == [good, {"error_code": 1, "error": TOO_LARGE}]
