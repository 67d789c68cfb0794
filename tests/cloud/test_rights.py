"""Whether the roles of infra/ may do what the code asks under them.

Calls are found in the source, by name, so that none is forgotten here. What one takes
is from the "Service Authorization Reference" and, of Kafka, from "Semantics of IAM
authorization policy actions and resources" in Amazon MSK's Developer Guide.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import Session
from cfnlint.decode import cfn_yaml
from core_stack import INFRA

INGESTION = INFRA.parent / "ingestion"
READS = {"DescribeTopic", "AlterGroup", "ReadData"}

# What the methods of Kafka's clients take of `kafka-cluster`.
OF_KAFKA: dict[str, set[str]] = {
    "consumer.subscribe": {"DescribeTopic", "AlterGroup"},
    "consumer.consume": READS,
    "consumer.commit": READS,
    "consumer.get_watermark_offsets": {"DescribeTopic"},
    "producer.produce": {"WriteData", "WriteDataIdempotently"},
    "admin.list_topics": {"DescribeTopic"},
    "admin.describe_topics": {"DescribeTopic"},
    "admin.list_offsets": {"DescribeTopic"},
    "admin.describe_configs": {"DescribeTopicDynamicConfiguration"},
    "admin.create_topics": {"CreateTopic"},
}
LOCAL = {"assign", "close", "flush", "pause", "poll", "reason", "resume", "seek"} | {
    "unsubscribe"
}
# What an action takes beside itself.
TAKES = {
    "AlterGroup": {"DescribeGroup"},
    "ReadData": {"DescribeTopic", "AlterGroup", "DescribeGroup"},
    "WriteData": {"DescribeTopic"},
    "WriteDataIdempotently": {"WriteData", "DescribeTopic"},
}
OTHER_NAMES = {
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
}

# Under which role a module of `ingestion/` asks; or why under none of them.
RUN_BY = {
    "kinesis.py": "EmitterRole",
    "kinesis_source.py": "LanderRole",
    "kafka_source.py": "LanderRole",
    "s3_calls.py": "LanderRole",
}
UNDER_NO_ROLE = {
    "topics.py": "the stacks make topics and streams",
    "kafka_return.py": "`ingest replay` is nobody's until it is granted",
    "kinesis_return.py": "`ingest replay`, the same",
    "doctor.py": "asks for streams to see the time, and is well refused",
}


def asked(module: str) -> set[str]:
    """Return the actions that a module's calls of AWS and of Kafka take."""
    tree = ast.parse((INGESTION / module).read_text("utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            client = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
            if client in {"admin", "consumer", "producer"}:
                found |= of_kafka(f"{client}.{node.func.attr}")
            elif client.endswith(("client", "connected()")):
                found |= of_aws(node.func.attr)
    return found


def of_kafka(call: str) -> set[str]:
    if call.partition(".")[2] in LOCAL:
        return set()
    return {f"kafka-cluster:{action}" for action in OF_KAFKA[call] | {"Connect"}}


def operations() -> Iterator[tuple[str, str]]:
    for service in ("s3", "kinesis"):
        for name in Session().get_service_model(service).operation_names:
            yield xform_name(name), f"{service}:{name}"


OPERATIONS = dict(operations())


def of_aws(method: str) -> set[str]:
    operation = OPERATIONS.get(method)
    return {OTHER_NAMES.get(operation, operation)} if operation else set()


def statements(role: str) -> list[dict[str, Any]]:
    """Return what either template grants a role."""
    policies: list[dict[str, Any]] = []
    for path in sorted(INFRA.glob("*.yaml")):
        for name, resource in cfn_yaml.load(str(path))["Resources"].items():
            found = resource["Properties"]
            if name == role:
                policies += found["Policies"]
            elif found.get("Roles") == [{"Ref": f"{role}Name"}]:
                policies.append(found)
    return [each for p in policies for each in p["PolicyDocument"]["Statement"]]


def granted(role: str) -> set[str]:
    actions: set[str] = set()
    for statement in statements(role):
        found = statement["Action"]
        actions |= {found} if isinstance(found, str) else set(found)
    return actions


def test_every_module_that_asks_aws_or_kafka_is_known() -> None:
    modules = [path.name for path in sorted(INGESTION.glob("*.py"))]
    asking = {module for module in modules if asked(module)}
    assert asking == RUN_BY.keys() | UNDER_NO_ROLE.keys()


@pytest.mark.parametrize(("module", "role"), RUN_BY.items())
def test_a_role_may_do_what_the_code_asks_under_it(module: str, role: str) -> None:
    found = asked(module)
    assert found
    assert found - granted(role) == set()


def test_the_calls_that_matter_are_seen() -> None:
    headroom = "kafka-cluster:DescribeTopicDynamicConfiguration"
    assert headroom in asked("kafka_source.py")
    assert {"s3:PutObject", "s3:ListBucket"} <= asked("s3_calls.py")
    assert "kinesis:PutRecords" in asked("kinesis.py")


@pytest.mark.parametrize("role", ["LanderRole", "ClientRole", "SinkRole"])
def test_an_action_of_kafka_comes_with_those_that_it_takes(role: str) -> None:
    prefix = "kafka-cluster:"
    has = {x.removeprefix(prefix) for x in granted(role) if x.startswith(prefix)}
    assert has - {"Connect"}
    takes = {needed for action in has for needed in TAKES.get(action, set())}
    assert takes | {"Connect"} <= has


def test_the_client_machine_may_do_what_its_set_up_does() -> None:
    script = (INFRA / "kafka.yaml").read_text("utf-8")
    calls = re.findall(r"\baws ([a-z0-9-]+) ([a-z-]+) --", script)
    assert calls
    for service, command in calls:
        names = {
            xform_name(name, "-"): name
            for name in Session().get_service_model(service).operation_names
        }
        assert f"{service}:{names[command]}" in granted("ClientRole")
    # kafka-topics --create, and the proxy's idempotent producer and looks at topics
    takes = {f"kafka-cluster:{x}" for x in OF_KAFKA["producer.produce"]}
    takes |= {"kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic"}
    assert takes <= granted("ClientRole")
    assert "sts:AssumeRole" in granted("ClientRole")
