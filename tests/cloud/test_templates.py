"""infra/ as it is written: what no emulator has, and what it does not do."""

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml
from core_stack import INFRA

TEMPLATES = sorted(INFRA.glob("*.yaml"))
Resources = dict[str, dict[str, Any]]


def resources(name: str) -> Resources:
    found: Resources = cfn_yaml.load(str(INFRA / name))["Resources"]
    return found


def parameters(name: str) -> Resources:
    found: Resources = cfn_yaml.load(str(INFRA / name))["Parameters"]
    return found


def properties(name: str, resource: str) -> dict[str, Any]:
    found: dict[str, Any] = resources(name)[resource]["Properties"]
    return found


def of_type(name: str, kind: str) -> list[dict[str, Any]]:
    return [r["Properties"] for r in resources(name).values() if r["Type"] == kind]


def text(value: object) -> str:
    """Return the text of a plain value, or of one with `!Sub`."""
    return str(value.get("Fn::Sub", "")) if isinstance(value, dict) else str(value)


def test_cfn_lint_finds_nothing() -> None:
    assert [path.name for path in TEMPLATES] == ["core.yaml", "kafka.yaml"]
    program = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [program, *TEMPLATES], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_there_is_no_key_pair_no_secret_and_no_account() -> None:
    for path in TEMPLATES:
        written = path.read_text("utf-8")
        found = re.findall(
            r"KeyName|KeyPair|\bAKIA|[Ss]ecret|[Pp]assword|\b\d{12}\b", written
        )
        assert found == [], path.name


# --- core --------------------------------------------------------------------------


def test_nothing_expires_below_topics() -> None:
    rules = properties("core.yaml", "Bucket")["LifecycleConfiguration"]["Rules"]
    flat = [rule["Fn::If"][1] if "Fn::If" in rule else rule for rule in rules]
    expire = [
        rule["Prefix"]
        for rule in flat
        if set(rule) - {"Id", "Status", "Prefix", "AbortIncompleteMultipartUpload"}
    ]
    assert expire == ["raw/_ingest/seen/", "raw/_dead_letter/"]


def test_dead_letters_expire_only_when_it_is_asked_for() -> None:
    template = cfn_yaml.load(str(INFRA / "core.yaml"))
    rules = properties("core.yaml", "Bucket")["LifecycleConfiguration"]["Rules"]
    assert [rule["Fn::If"][0] for rule in rules if "Fn::If" in rule] == [
        "DeadLettersExpire"
    ]
    assert template["Parameters"]["DeadLetterDays"]["Default"] == 0


def test_the_bucket_outlives_its_stack() -> None:
    bucket = resources("core.yaml")["Bucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"


def test_the_policy_that_is_printed_is_that_of_the_bucket() -> None:
    page = (INFRA.parent / "docs" / "landing.md").read_text("utf-8")
    (printed,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    policy = properties("core.yaml", "BucketPolicy")["PolicyDocument"]
    assert json.loads(printed) == filled(policy)


def filled(value: Any) -> Any:  # noqa: ANN401 - a template's
    """Return a value of the template as in a bucket BUCKET, with TLS, for nobody."""
    found = value
    match value:
        case list():
            found = [filled(each) for each in value]
        case {"Fn::If": [_, then, _]}:
            found = filled(then)
        case {"Fn::Sub": text}:
            found = text.replace("${Bucket.Arn}", "arn:aws:s3:::BUCKET")
        case {"Fn::GetAtt": ["Bucket", "Arn"]}:
            found = "arn:aws:s3:::BUCKET"
        case {"Ref": "RedactorArn"}:
            found = parameters("core.yaml")["RedactorArn"]["Default"]
        case dict():
            found = {name: filled(each) for name, each in value.items()}
    return found


def test_every_method_of_the_gateway_wants_a_signature() -> None:
    methods = of_type("core.yaml", "AWS::ApiGateway::Method")
    assert len(methods) == 3
    assert {method["AuthorizationType"] for method in methods} == {"AWS_IAM"}


@pytest.mark.parametrize("method", ["PutRecord", "PutRecords"])
def test_an_error_of_kinesis_is_no_200_of_the_gateway(method: str) -> None:
    integration = properties("core.yaml", method)["Integration"]
    patterns = {
        answer.get("SelectionPattern", ""): answer["StatusCode"]
        for answer in integration["IntegrationResponses"]
    }
    assert text(integration["Uri"]).endswith(f":kinesis:action/{method}")

    for status in ("200", "400", "500"):
        found = [c for p, c in patterns.items() if p and re.fullmatch(p, status)]
        assert [*found, patterns[""]][0] == status


def test_kafka_goes_through_the_private_link() -> None:
    method = properties("core.yaml", "AnyToProxy")
    assert method["Integration"]["ConnectionType"] == "VPC_LINK"
    assert properties("core.yaml", "Proxy")["PathPart"] == "{proxy+}"
    balancer = properties("kafka.yaml", "Balancer")
    assert (balancer["Type"], balancer["Scheme"]) == ("network", "internal")


# --- kafka -------------------------------------------------------------------------


def user_data() -> str:
    """Return the script as the machine gets it, each parameter by its name."""
    script = properties("kafka.yaml", "Client")["UserData"]["Fn::Base64"]["Fn::Sub"]
    return re.sub(r"\$\{([A-Za-z0-9:]+)\}", r"\1", script)


def written(path: str) -> dict[str, str]:
    """Return the settings that the script writes to a file."""
    found = re.search(
        rf"cat > {re.escape(path)} <<'?END'?\n(.*?)\nEND\n", user_data(), re.DOTALL
    )
    assert found is not None, path
    return dict(line.split("=", 1) for line in found[1].splitlines())


JAR = b"a jar"
SIGNAL = "/opt/aws/bin/cfn-signal"  # nobody promises that this folder is on the path
STUB = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$(basename "$0") $*" in
    *"$FAILS"*) exit 7 ;;
    curl*-o*) printf 'a jar' > "$3" ;;
    aws*) echo b-1:9098,b-2:9098 ;;
esac
"""


def set_up(folder: Path, fails: str, jar: bytes = JAR) -> list[str]:
    """Run the script below a folder, its programs replaced; return what it called."""
    script = user_data().replace("IamAuthSha256", sha256(jar).hexdigest())
    script = re.sub(r"/(etc|opt)/", rf"{folder}/\1/", script)
    for name in ("opt/aws/bin", "etc/yum.repos.d", "etc/kafka-rest", "bin"):
        (folder / name).mkdir(parents=True)
    on_the_path = ("rpm", "dnf", "curl", "aws", "kafka-topics", "systemctl")
    programs = [f"bin/{name}" for name in on_the_path]
    for program in [*programs, SIGNAL[1:]]:
        (folder / program).write_text(STUB, "utf-8")
        (folder / program).chmod(0o755)
    calls = folder / "calls"
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    subprocess.run(
        ["/bin/bash"],
        input=script,
        env={"PATH": path, "CALLS": str(calls), "FAILS": fails},
        capture_output=True,
        text=True,
        check=False,
    )
    return calls.read_text("utf-8").splitlines()


def test_the_set_up_makes_topics_then_starts_the_proxy_then_tells_the_stack(
    tmp_path: Path,
) -> None:
    called = set_up(tmp_path, fails="nothing")
    topics = [line for line in called if line.startswith("kafka-topics")]
    assert [re.findall(r"--topic (\S+)", line) for line in topics] == [
        ["UserId.pin"],
        ["UserId.geo"],
        ["UserId.user"],
    ]
    assert all("b-1:9098,b-2:9098" in line for line in topics)
    last = [line.split()[0] for line in called[-5:]]
    assert last == ["kafka-topics", "systemctl", "systemctl", "curl", "cfn-signal"]
    assert "--exit-code 0 " in called[-1]
    settings = (tmp_path / "etc/kafka-rest/kafka-rest.properties").read_text("utf-8")
    assert "bootstrap.servers=b-1:9098,b-2:9098\n" in settings


@pytest.mark.parametrize(
    "fails", ["dnf", "aws kafka", "UserId.geo", "curl -fsS --retry"]
)
def test_a_step_that_fails_fails_the_stack(tmp_path: Path, fails: str) -> None:
    called = set_up(tmp_path, fails)
    assert fails in called[-2]
    assert "--exit-code 7 " in called[-1]


def test_another_jar_than_the_one_that_was_named_is_refused(tmp_path: Path) -> None:
    called = set_up(tmp_path, fails="nothing", jar=b"another")
    assert called[-2].startswith("curl")
    assert "--exit-code 1 " in called[-1]


def test_an_offset_of_the_proxy_is_a_promise() -> None:
    settings = written("/etc/kafka-rest/kafka-rest.properties")
    assert settings["producer.acks"] == "all"
    assert settings["producer.enable.idempotence"] == "true"


def test_client_and_proxy_sign_with_iam() -> None:
    client = written("/opt/msk/client.properties")
    proxy = written("/etc/kafka-rest/kafka-rest.properties")
    assert client["security.protocol"] == "SASL_SSL"
    assert client["sasl.mechanism"] == "AWS_MSK_IAM"
    assert {f"client.{name}": value for name, value in client.items()}.items() <= (
        proxy.items()
    )


def test_the_machine_is_entered_by_session_manager_alone() -> None:
    role = properties("kafka.yaml", "ClientRole")
    assert [text(arn).rpartition("/")[2] for arn in role["ManagedPolicyArns"]] == [
        "AmazonSSMManagedInstanceCore"
    ]
    rules = properties("kafka.yaml", "ClientGroup")["SecurityGroupIngress"]
    assert [(rule["FromPort"], rule["SourceSecurityGroupId"]) for rule in rules] == [
        (8082, {"Ref": "BalancerGroup"})
    ]
    assert "SecurityGroupIngress" not in properties("kafka.yaml", "BalancerGroup")


def test_brokers_take_iam_only() -> None:
    cluster = properties("kafka.yaml", "Cluster")
    assert cluster["ClientAuthentication"] == {"Sasl": {"Iam": {"Enabled": True}}}


def test_the_sink_writes_the_bytes_as_they_are_beside_the_landing() -> None:
    sink = properties("kafka.yaml", "SinkConnector")["ConnectorConfiguration"]
    assert sink["value.converter"].endswith("ByteArrayConverter")
    assert sink["format.class"].endswith("ByteArrayFormat")
    assert sink["topics.dir"] == "connect/topics"


@pytest.mark.parametrize("name", ["core.yaml", "kafka.yaml"])
def test_no_role_may_do_everything_or_to_everything(name: str) -> None:
    statements = [
        statement
        for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
        for role in of_type(name, kind)
        for policy in role.get("Policies", [role])
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert len(statements) > 5
    for statement in statements:
        asked = [statement["Action"], statement["Resource"]]
        flat = [
            x for each in asked for x in (each if isinstance(each, list) else [each])
        ]
        assert all(text(x) != "*" and not text(x).endswith(":*") for x in flat)
