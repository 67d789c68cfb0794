"""infra/core.yaml on MiniStack: who may do what, and an event on its whole way."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import ministack_server
import pytest
import requests
from botocore.exceptions import ClientError
from click.testing import CliRunner
from conftest import Pipeline
from core_stack import REGION, USER_ID, CoreStack, walk
from dialects import Reply
from ministack_server import MiniStack
from processes import require
from signed_gateway import STAGE, SignedGateway

from ingestion.authentication import choose_authentication
from ingestion.cli import main

PIN_STREAM = f"streaming-{USER_ID}-pin"
TOPICS = f"raw/topics/{PIN_STREAM}/partition=0"
REDACTIONS = f"raw/_ingest/redactions/{PIN_STREAM}/partition=0"
Client = Any  # boto3 makes them at run time
Call = Callable[[Client, str], Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    require(ministack_server.missing())
    started = MiniStack(tmp_path_factory.mktemp("ministack"), conditions=True)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def core(server: MiniStack) -> CoreStack:
    return CoreStack(server)


# --- the bucket --------------------------------------------------------------------


def test_the_bucket_is_private_encrypted_and_keeps_versions(core: CoreStack) -> None:
    s3, name = core.client("s3"), core.outputs["BucketName"]
    blocked = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert len(blocked) == 4
    assert all(blocked.values())
    encrypted = s3.get_bucket_encryption(Bucket=name)
    rule = encrypted["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


def test_without_tls_nobody_gets_in_unless_it_is_told(server: MiniStack) -> None:
    strict = CoreStack(server, UserId="strict", RequireTls="true")
    lander, bucket = strict.role("Lander"), strict.outputs["BucketName"]
    for call in (put(f"{TOPICS}/a", IfNoneMatch="*"), listed):
        with pytest.raises(ClientError, match="explicit deny"):
            call(strict.client("s3", lander), bucket)


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
    ("Lander", "s3", "replace a redaction", put(f"{REDACTIONS}/there")),
    ("Lander", "s3", "make one up", put(f"{REDACTIONS}/more", IfNoneMatch="*")),
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
    for key in (f"{TOPICS}/there", f"{REDACTIONS}/there", "other/a"):
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


def test_a_lander_that_may_not_read_a_stream_says_so_and_lands_nothing(
    core: CoreStack, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bucket
    region = {"AWS_DEFAULT_REGION": REGION}
    for name, value in {**core.environment, **core.role("Lander"), **region}.items():
        monkeypatch.setenv(name, value)
    words = ("land", "kinesis", "--streams", "streaming-other-pin", "--landing")
    refused = CliRunner().invoke(main, [*words, str(tmp_path)])
    assert refused.exit_code == 1
    assert "Cannot look at the stream streaming-other-pin" in refused.stderr
    assert "AccessDenied" in refused.stderr
    assert not (tmp_path / "topics").exists()


def owner_of_the_bucket(core: CoreStack, name: str) -> dict[str, str]:
    """Return the keys of a user whom no policy of their own keeps from anything."""
    iam = core.client("iam")
    iam.create_user(UserName=name)
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def test_only_who_may_redact_changes_what_is_landed(server: MiniStack) -> None:
    redactor = "arn:aws:iam::000000000000:user/redactor"
    core = CoreStack(server, UserId="redacted", RedactorArn=redactor)
    bucket, key = core.outputs["BucketName"], f"{TOPICS}/a"
    record = f"{REDACTIONS}/a"
    first = core.client("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")
    change = put(key, IfMatch=first["ETag"])
    old = {"Bucket": bucket, "Key": key, "VersionId": first["VersionId"]}

    other = core.client("s3", owner_of_the_bucket(core, "other"))
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        change(other, bucket)
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        other.delete_object(**old)

    allowed = core.client("s3", owner_of_the_bucket(core, "redactor"))
    put(record, IfNoneMatch="*")(allowed, bucket)
    change(allowed, bucket)
    letter = f"raw/_dead_letter/{PIN_STREAM}/partition=0/a"
    made = other.put_object(Bucket=bucket, Key=letter, Body=b"{}", IfNoneMatch="*")
    blank = put(letter, IfMatch=made["ETag"])
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        blank(other, bucket)
    blank(allowed, bucket)
    allowed.delete_object(**old)
    versions = core.client("s3").list_object_versions(Bucket=bucket, Prefix=key)
    assert [each["IsLatest"] for each in versions["Versions"]] == [True]

    for client in (other, allowed):
        for call in (put(record), delete(record)):
            with pytest.raises(ClientError, match="deny in a resource-based policy"):
                call(client, bucket)


# --- the whole way -----------------------------------------------------------------


@pytest.fixture
def pipeline(tmp_path: Path, core: CoreStack) -> Pipeline:
    made = Pipeline(tmp_path)
    made.env |= {**core.environment, "LANDING": core.outputs["Landing"]}
    return made


class Walker:
    """Follows docs/aws.md on MiniStack, with profiles for its roles.

    The CLI is not there: `deploy` is done, and `configure set` writes the same file.
    """

    def __init__(self, core: CoreStack, pipeline: Pipeline) -> None:
        self.core = core
        self.pipeline = pipeline
        self.profiles = ConfigParser()
        self.roles = iter(("Emitter", "Lander", "Reader"))
        folder = pipeline.folder
        pipeline.env |= {
            "AWS_CONFIG_FILE": str(folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        }
        owner = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        keys = "".join(f"{name.lower()}={pipeline.env.pop(name)}\n" for name in owner)
        (folder / "credentials").write_text(f"[default]\n{keys}", "utf-8")

    def follow(self, command: str) -> str:
        words = shlex.split(command)
        if words[:3] == ["aws", "configure", "set"]:
            self.configure(words[3], words[4])
        elif words[0] == "export":
            chosen = dict(word.split("=", 1) for word in words[1:])
            if "LANDING" in chosen:
                chosen["LANDING"] = self.core.outputs["Landing"]
            self.pipeline.env |= chosen | {"AWS_DEFAULT_REGION": REGION}
        elif words[0] != "aws":
            return self.run(command)
        return ""

    def configure(self, key: str, value: str) -> None:
        kind, profile, name = key.split(".")
        if value.endswith("…"):
            value = self.core.outputs[f"{next(self.roles)}RoleArn"]
        section = f"{kind} {profile}"
        if not self.profiles.has_section(section):
            self.profiles.add_section(section)
        self.profiles[section][name] = value
        with Path(self.pipeline.env["AWS_CONFIG_FILE"]).open("w") as file:
            self.profiles.write(file)

    def run(self, command: str) -> str:
        if "ingest emit" in command:  # positions below its own folder
            command += f" --state {self.pipeline.folder / 'state'}"
        done = self.pipeline.call("bash", "-c", command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


def test_the_walk_leads_from_the_emitters_role_to_a_report(
    server: MiniStack, pipeline: Pipeline
) -> None:
    walker = Walker(CoreStack(server, UserId="walk"), pipeline)
    said = {}
    for command in walk("Core"):
        said[command] = walker.follow(command.replace(USER_ID, "walk"))

    assert pipeline.rows("fct_posts", "count(*)") == [(100,)]
    assert any("Clean" in told for told in said.values())
    *_, answers = said.values()
    assert "country" in answers
    denied = "AWS_PROFILE=reader ingest land kinesis --user-id walk --landing $LANDING"
    assert "grant s3:PutObject" in pipeline.call("bash", "-c", denied).stderr


class Proxy(SignedGateway):
    """A REST proxy behind the gateway: it sees what the gateway passes on."""

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        topic = path.removeprefix("/topics/")
        if method == "GET":
            return self.front.get(topic)
        return self.front.post(topic, headers["Content-Type"], body)


@pytest.fixture(scope="module")
def proxy() -> Iterator[SignedGateway]:
    topics = [f"kafka.{record_type}" for record_type in ("pin", "geo", "user")]
    with Proxy({}, *topics).serve() as serving:
        yield serving


@pytest.fixture(scope="module")
def with_kafka(server: MiniStack, proxy: SignedGateway) -> CoreStack:
    url = proxy.url.removesuffix(STAGE)
    return CoreStack(server, UserId="kafka", ProxyUrl=url, VpcLinkId="made-up")


def gateway(core: CoreStack) -> str:
    """Return where MiniStack serves the stack's gateway."""
    name = core.outputs["GatewayUrl"].removeprefix("https://").partition(".")[0]
    host = core.environment["AWS_ENDPOINT_URL"]
    return f"{host}/restapis/{name}/prod/_user_request_"


def emitted(core: CoreStack, pipeline: Pipeline, role: str) -> tuple[int, str]:
    """Emit a sample through the gateway of a stack with a role of it."""
    pipeline.env |= {**core.environment, **core.role(role)}
    done = pipeline.call(
        *("ingest", "emit", "kafka-rest", "--source", "sample", "--events", "50"),
        *("--user-id", "kafka", "--auth", "sigv4", "--region", REGION, "--gateway"),
        *("--url", gateway(core)),
        *("--state", str(pipeline.folder / "state")),
    )
    return done.returncode, done.stdout + done.stderr


def test_the_gateway_passes_the_emitter_on_to_kafka(
    with_kafka: CoreStack, proxy: SignedGateway, pipeline: Pipeline
) -> None:
    code, said = emitted(with_kafka, pipeline, "Emitter")
    assert code == 0, said
    assert [len(records) for records in proxy.log.topics.values()] == [50, 50, 50]

    url = gateway(with_kafka)
    look = ("--user-id", "kafka", "--auth", "sigv4", "--region", REGION)
    urls = ("--kafka-rest", url, "--kinesis-gateway", url)
    seen = pipeline.ingest("doctor", *look, *urls)
    assert "Nothing is wrong, 3 not seen." in seen  # streams, which it does not show


def test_the_gateway_lets_no_other_role_emit(
    with_kafka: CoreStack, proxy: SignedGateway, pipeline: Pipeline
) -> None:
    before = {topic: list(records) for topic, records in proxy.log.topics.items()}
    code, said = emitted(with_kafka, pipeline, "Reader")
    assert (code, "403" in said) == (1, True), said
    assert proxy.log.topics == before


def put_through(core: CoreStack, stream: str, resource: str) -> tuple[int, bool]:
    """Put to a stream through the gateway, signed by AWS's chain.

    Return the status, and whether the policy refused. Behind the gateway MiniStack has
    no Kinesis: who may put comes to an error of that.
    """
    signs = choose_authentication("sigv4", REGION).auth
    url = f"{gateway(core)}/streams/{stream}/{resource}"
    answer = requests.put(url, json={}, auth=signs, timeout=60)
    return answer.status_code, "perform: execute-api:Invoke" in answer.text


@pytest.mark.parametrize("resource", ["record", "records"])
def test_the_gateway_lets_the_emitter_alone_put_to_its_streams(
    core: CoreStack, resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role, stream, answer in (
        ("Emitter", PIN_STREAM, (504, False)),
        ("Emitter", "streaming-other-pin", (403, True)),
        ("Lander", PIN_STREAM, (403, True)),
        ("Reader", PIN_STREAM, (403, True)),
    ):
        for name, value in core.role(role).items():
            monkeypatch.setenv(name, value)
        assert put_through(core, stream, resource) == answer, (role, stream)


# --- ingest doctor -----------------------------------------------------------------


def looked_at(core: CoreStack, pipeline: Pipeline, role: str) -> dict[str, str]:
    """Let the doctor look at a landing with a role; the outcome by what was asked."""
    pipeline.env |= core.role(role)
    url = f"s3://{core.outputs['BucketName']}/raw"
    done = pipeline.call("ingest", "doctor", "--user-id", USER_ID, "--landing", url)
    lines = [line.partition(": ") for line in done.stdout.splitlines()]
    found = {checked: says for checked, _, says in lines if says}
    wrong = any(checked.startswith("WRONG") for checked in found)
    assert done.returncode == wrong, done.stdout + done.stderr
    return found


def test_the_doctor_tells_each_role_what_it_may(
    core: CoreStack, pipeline: Pipeline
) -> None:
    s3, name = core.client("s3"), core.outputs["BucketName"]
    landing = json.dumps({"version": 1, "compression": "gzip"}).encode()
    s3.put_object(Bucket=name, Key="raw/_ingest/landing.json", Body=landing)
    s3.put_object(Bucket=name, Key="raw/_ingest/probe", Body=b"probe")

    lander = looked_at(core, pipeline, "Lander")
    assert lander["ok     landing"] == f"s3://{name}/raw, compression gzip"
    assert (
        lander["ok     landing, conditional writes"] == "the second of two is refused"
    )
    reader = looked_at(core, pipeline, "Reader")
    assert "ok     landing, to list" in reader
    assert "grant s3:PutObject" in reader["WRONG  landing, conditional writes"]
    emitter = looked_at(core, pipeline, "Emitter")
    assert "grant s3:GetObject and s3:ListBucket" in emitter["WRONG  landing"]

    probe = s3.list_object_versions(Bucket=name, Prefix="raw/_ingest/probe")
    assert len(probe["Versions"]) == 1
