"""infra/core.yaml on MiniStack: who may do what, and an event on its whole way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ministack_server
import pytest
from botocore.exceptions import ClientError
from conftest import Pipeline
from core_stack import USER_ID, CoreStack
from ministack_server import MiniStack
from processes import require

PIN_STREAM = f"streaming-{USER_ID}-pin"
TOPICS = f"raw/topics/{PIN_STREAM}/partition=0"
Client = Any  # boto3 makes them at run time
Call = Callable[[Client, str], Any]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreStack]:
    require(ministack_server.missing())
    server = MiniStack(tmp_path_factory.mktemp("ministack"), conditions=True)
    try:
        yield CoreStack(server)
    finally:
        server.stop()


# --- who may do what ---------------------------------------------------------------


def put(key: str, **condition: str) -> Call:
    return lambda s3, bucket: s3.put_object(
        Bucket=bucket, Key=key, Body=b"{}", **condition
    )


def get(key: str) -> Call:
    return lambda s3, bucket: s3.get_object(Bucket=bucket, Key=key)


def delete(key: str) -> Call:
    return lambda s3, bucket: s3.delete_object(Bucket=bucket, Key=key)


def upload(key: str) -> Call:
    return lambda s3, bucket: s3.create_multipart_upload(Bucket=bucket, Key=key)


def copy(key: str, there: str) -> Call:
    source = f"{TOPICS}/{there}"
    return lambda s3, bucket: s3.copy_object(
        Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": source}
    )


def listed(s3: Client, bucket: str) -> object:
    return s3.list_objects_v2(Bucket=bucket)


def policy_removed(s3: Client, bucket: str) -> object:
    return s3.delete_bucket_policy(Bucket=bucket)


def records(stream: str) -> Call:
    entry = {"Data": b"{}", "PartitionKey": "1"}
    return lambda kinesis, _: kinesis.put_records(StreamName=stream, Records=[entry])


def described(kinesis: Client, _: str) -> object:
    return kinesis.describe_stream_summary(StreamName=PIN_STREAM)


def iterator(stream: str) -> Call:
    return lambda kinesis, _: kinesis.get_shard_iterator(
        StreamName=stream,
        ShardId="shardId-000000000000",
        ShardIteratorType="TRIM_HORIZON",
    )


def read(kinesis: Client, _: str) -> object:
    begin = iterator(PIN_STREAM)(kinesis, _)["ShardIterator"]
    return kinesis.get_records(ShardIterator=begin)


def stream_deleted(kinesis: Client, _: str) -> object:
    return kinesis.delete_stream(StreamName=PIN_STREAM)


MAY: list[tuple[str, str, str, Call]] = [
    ("Emitter", "kinesis", "put records", records(PIN_STREAM)),
    ("Emitter", "kinesis", "look at its stream", described),
    ("Lander", "kinesis", "look at a stream", described),
    ("Lander", "kinesis", "read a stream", read),
    ("Lander", "s3", "create a link", put(f"{TOPICS}/new", IfNoneMatch="*")),
    ("Lander", "s3", "note when it read", put("raw/_ingest/seen/a/0.json")),
    ("Lander", "s3", "read a link", get(f"{TOPICS}/there")),
    ("Lander", "s3", "list", listed),
    ("Reader", "s3", "read a link", get(f"{TOPICS}/there")),
    ("Reader", "s3", "list", listed),
]
MAY_NOT: list[tuple[str, str, str, Call]] = [
    ("Emitter", "kinesis", "put to other streams", records("streaming-other-pin")),
    ("Emitter", "kinesis", "read", iterator(PIN_STREAM)),
    ("Emitter", "kinesis", "delete a stream", stream_deleted),
    ("Emitter", "s3", "list", listed),
    ("Emitter", "s3", "read a link", get(f"{TOPICS}/there")),
    ("Emitter", "s3", "create a link", put(f"{TOPICS}/more", IfNoneMatch="*")),
    ("Lander", "kinesis", "put records", records(PIN_STREAM)),
    ("Lander", "kinesis", "read other streams", iterator("streaming-other-pin")),
    ("Lander", "kinesis", "delete a stream", stream_deleted),
    ("Lander", "s3", "write without condition", put(f"{TOPICS}/more")),
    ("Lander", "s3", "write a link again", put(f"{TOPICS}/there")),
    ("Lander", "s3", "write a dead letter blindly", put("raw/_dead_letter/a/1.json")),
    ("Lander", "s3", "replace landing.json", put("raw/_ingest/landing.json")),
    ("Lander", "s3", "replace the probe", put("raw/_ingest/probe")),
    ("Lander", "s3", "upload in parts", upload(f"{TOPICS}/more")),
    ("Lander", "s3", "copy over a link", copy(f"{TOPICS}/more", "there")),
    ("Lander", "s3", "delete a link", delete(f"{TOPICS}/there")),
    ("Lander", "s3", "write elsewhere", put("other/a", IfNoneMatch="*")),
    ("Lander", "s3", "lift the policy", policy_removed),
    ("Reader", "s3", "create a link", put(f"{TOPICS}/more", IfNoneMatch="*")),
    ("Reader", "s3", "delete a link", delete(f"{TOPICS}/there")),
    ("Reader", "s3", "read elsewhere", get("other/a")),
    ("Reader", "kinesis", "read a stream", iterator(PIN_STREAM)),
    ("Reader", "kinesis", "put records", records(PIN_STREAM)),
]


@pytest.fixture(scope="module")
def bucket(core: CoreStack) -> str:
    """The landing's bucket, with a link and an object elsewhere."""
    name = core.outputs["BucketName"]
    s3 = core.client("s3")
    for key in (f"{TOPICS}/there", "other/a"):
        s3.put_object(Bucket=name, Key=key, Body=b"{}", IfNoneMatch="*")
    core.client("kinesis").create_stream(StreamName="streaming-other-pin", ShardCount=1)
    return name


def named(asked: tuple[str, str, str, Call]) -> str:
    return f"{asked[0]}, {asked[2]}"


@pytest.mark.parametrize("asked", MAY, ids=named)
def test_a_role_may(
    core: CoreStack, bucket: str, asked: tuple[str, str, str, Call]
) -> None:
    role, service, _, call = asked
    assert call(core.client(service, core.role(role)), bucket)


@pytest.mark.parametrize("asked", MAY_NOT, ids=named)
def test_a_role_may_not(
    core: CoreStack, bucket: str, asked: tuple[str, str, str, Call]
) -> None:
    role, service, _, call = asked
    with pytest.raises(ClientError) as refused:
        call(core.client(service, core.role(role)), bucket)
    assert "AccessDenied" in refused.value.response["Error"]["Code"]


# --- the whole way -----------------------------------------------------------------


@pytest.fixture
def pipeline(tmp_path: Path, core: CoreStack) -> Pipeline:
    made = Pipeline(tmp_path)
    made.env |= {**core.environment, "LANDING": core.outputs["Landing"]}
    return made


def test_an_event_of_the_emitters_role_is_in_a_report(
    core: CoreStack, pipeline: Pipeline
) -> None:
    event = {
        "pin": {"index": 7528, "category": "travel", "title": "Reykjavík"},
        "geo": {"ind": 7528, "timestamp": "2021-05-01 10:00:00", "country": "Iceland"},
        "user": {"ind": 7528, "first_name": "A", "last_name": "B", "age": 30},
    }
    source = pipeline.folder / "source"
    source.mkdir()
    for name, record in event.items():
        (source / f"{name}.jsonl").write_text(json.dumps(record) + "\n", "utf-8")
    landing = core.outputs["Landing"]
    user = ("--user-id", USER_ID)

    pipeline.env |= core.role("Emitter")
    state = ("--state", str(pipeline.folder / "state"))
    pipeline.ingest("emit", "kinesis", "--source", str(source), *user, *state)
    pipeline.env |= core.role("Lander")
    pipeline.ingest("land", "kinesis", *user, "--landing", landing)
    pipeline.env |= core.role("Reader")
    assert "Clean" in pipeline.ingest("verify", landing)
    pipeline.dbt("build", "--exclude-resource-type", "unit_test")
    assert pipeline.rows("rpt_top_category_by_country") == [("Iceland", "travel", 1)]
