"""docs/aws.md as somebody would follow it, line by line, in structure.

test_core.py runs the part of it that leads to the first report.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import jmespath  # type: ignore[import-untyped]
import pytest
from botocore import xform_name
from botocore.model import ListShape, OperationModel, Shape, StructureShape
from botocore.session import Session
from cfnlint.decode import cfn_yaml
from core_stack import INFRA, walk

DOCS = INFRA.parent / "docs"
SERVICES = {"s3api": "s3"}
GLOBAL = {"--output", "--query"}
DEPLOY = {
    *("--stack-name", "--template-file", "--capabilities", "--parameter-overrides"),
    "--disable-rollback",
}

# Under which profile a command runs; None is who set all this up.
PROFILES = {
    "ingest emit": "emitter",
    "ingest doctor": "emitter",
    "ingest land": "lander",
    "ingest verify": "reader",
    "make build": "reader",
    "ingest answers": None,  # asks AWS for nothing
    "aws ": None,
    "python -c": None,
}
# On the client machine, which is the lander's.
THERE = {"ingest land": "lander", "make setup": "lander"}


class Line(NamedTuple):
    """A command, the variables it sees, and whether it is on the client machine."""

    words: list[str]
    environment: dict[str, str]
    there: bool

    @property
    def command(self) -> str:
        return " ".join(self.words)


def lines() -> Iterator[Line]:
    """Yield the commands of the page in order, without the assignments before them."""
    for section in ("Core", "Kafka", "Tearing"):
        environment: dict[str, str] = {}
        there = False
        for command in walk(section):
            words = shlex.split(command)
            if words[0] == "export":
                environment |= dict(word.split("=", 1) for word in words[1:])
                continue
            own = dict(environment)
            while re.match(r"[A-Z_]+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                own[name] = value
            yield Line(words, own, there)
            if words[:3] == ["aws", "ssm", "start-session"]:
                environment, there = {}, True


LINES = list(lines())
AWS = [line.words for line in LINES if line.words[0] == "aws"]


def test_every_block_is_shell_and_every_line_of_the_page_is_walked() -> None:
    page = (DOCS / "aws.md").read_text("utf-8")
    blocks = re.findall(r"```(?:console|sh)\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        script = re.sub(r"^\$ ", "", block, flags=re.MULTILINE)
        done = subprocess.run(
            ["/bin/bash", "-n"],
            input=script,
            text=True,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    walked = [
        each for section in ("Core", "Kafka", "Tearing") for each in walk(section)
    ]
    assert len(walked) == sum(block.count("\n$ ") + 1 for block in blocks)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.command)
def test_a_line_sees_the_variables_that_it_uses(line: Line) -> None:
    # Those of the core part are chosen in each terminal.
    known = {"AWS_DEFAULT_REGION", "USER_ID", "LANDING"} if not line.there else set()
    used = set(re.findall(r"\$([A-Z_]+)", line.command))
    assert used - known - line.environment.keys() == set()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.command)
def test_a_line_runs_under_the_role_that_may(line: Line) -> None:
    (profile,) = {
        profile
        for begins, profile in (THERE if line.there else PROFILES).items()
        if line.command.startswith(begins)
    }
    assert line.environment.get("AWS_PROFILE") == profile


def test_the_client_machine_has_the_profile_that_is_named_there() -> None:
    written = (INFRA / "kafka.yaml").read_text("utf-8")
    there = [line for line in LINES if line.there]
    assert there
    for line in there:
        path, profile = (
            line.environment[f"AWS_{x}"] for x in ("CONFIG_FILE", "PROFILE")
        )
        found = re.search(rf"cat > {path} <<'END'\n(.*?)\n +END\n", written, re.DOTALL)
        assert found is not None
        assert f"[profile {profile}]" in found[1]
        assert "region=" in found[1]


def test_the_profiles_that_are_used_are_those_that_were_made() -> None:
    keys = [words[3] for words in AWS if words[:3] == ["aws", "configure", "set"]]
    made = {tuple(key.split(".")) for key in keys}
    assert made == {
        ("profile", name, key)
        for name in ("emitter", "lander", "reader")
        for key in ("role_arn", "source_profile")
    }


# --- the CLI's commands, by the models that it is made of --------------------------


def operation(words: list[str]) -> OperationModel:
    """Return the operation of `aws SERVICE COMMAND …`, as the CLI names it."""
    model = Session().get_service_model(SERVICES.get(words[1], words[1]))
    names = {xform_name(name, "-"): name for name in model.operation_names}
    return model.operation_model(names[words[2]])


def options(words: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            found[word] = []
        else:
            found[list(found)[-1]].append(word)
    return found


def members(shape: Shape | None) -> dict[str, Shape]:
    assert isinstance(shape, StructureShape)
    return {f"--{xform_name(name, '-')}": each for name, each in shape.members.items()}


@pytest.mark.parametrize(
    "words",
    [
        words
        for words in AWS
        if words[1:3] != ["cloudformation", "deploy"] and words[1] != "configure"
    ],
    ids=" ".join,
)
def test_a_command_of_the_cli_is_an_operation_of_aws(words: list[str]) -> None:
    asks, given = operation(words), options(words[3:])
    takes = members(asks.input_shape)
    assert given.keys() - GLOBAL <= takes.keys()
    required = asks.input_shape.required_members if asks.input_shape else []
    needed = {f"--{xform_name(name, '-')}" for name in required}
    assert needed <= given.keys()
    for name in re.findall(r"Name=([\w-]+)", " ".join(given.get("--filters", []))):
        assert f"<code>{name}</code>" in takes["--filters"].documentation
    if "--query" in given:
        found = jmespath.search(given["--query"][0], like(asks.output_shape))
        assert found
        assert None not in (found[0] if isinstance(found[0], list) else found)


def like(shape: Shape | None, depth: int = 5) -> Any:  # noqa: ANN401 - any answer
    """Return an answer of a shape, with one of each in it."""
    if isinstance(shape, StructureShape) and depth:
        return {name: like(each, depth - 1) for name, each in shape.members.items()}
    if isinstance(shape, ListShape) and depth:
        return [like(shape.member, depth - 1)]
    return "something"


def test_a_stack_is_deployed_with_the_parameters_of_its_template() -> None:
    deployed: set[str] = set()
    for words in AWS:
        if words[1:3] != ["cloudformation", "deploy"]:
            continue
        given = options(words[3:])
        assert given.keys() <= DEPLOY
        assert given["--capabilities"] == ["CAPABILITY_IAM"]
        template = INFRA.parent / given["--template-file"][0]
        parameters = cfn_yaml.load(str(template))["Parameters"]
        named = dict(word.split("=", 1) for word in given["--parameter-overrides"])
        assert named.keys() <= parameters.keys()
        (stack,) = given["--stack-name"]
        if stack not in deployed:  # later, what is not named stays as it is
            needed = {
                name for name, each in parameters.items() if "Default" not in each
            }
            assert needed <= named.keys()
        deployed.add(stack)
    assert deployed == {"pinterest-core", "pinterest-kafka"}


def said_in_sentences() -> list[tuple[str, list[str]]]:
    return [
        (page.name, shlex.split(command))
        for page in sorted(DOCS.glob("*.md"))
        for command in re.findall(r"`(aws [^`]+)`", page.read_text("utf-8"))
    ]


def test_a_command_of_the_cli_in_a_sentence_exists() -> None:
    found = said_in_sentences()
    assert {page for page, _ in found} >= {"aws.md", "operating.md"}
    for _, words in found:
        takes = members(operation(words).input_shape)
        assert {word for word in words[3:] if word[:2] == "--"} <= takes.keys()


# --- what it costs -----------------------------------------------------------------


def test_the_costs_are_of_what_the_templates_make_and_multiplied_right() -> None:
    page = (DOCS / "aws.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ([^|]+) \| (\d+) . (24|1/30) \| ([\d.]+) \| ([\d.]+) \|$",
        page,
        re.MULTILINE,
    )
    day = {"24": 24.0, "1/30": 1 / 30}
    for _, count, unit, price, cost in rows:
        assert f"{int(count) * day[unit] * float(price):.2f}" == cost

    counts = [int(count) for _, count, *_ in rows]
    assert counts == [shards(), shards(), 1, partitions(), 1, 1, disk(), 1]
    costs = [float(cost) for *_, cost in rows]
    assert f"That is {sum(costs[:2]):.2f} a day for the core stack" in page
    assert f"and {sum(costs[2:]):.2f} for `kafka.yaml`" in page


def template(name: str) -> dict[str, Any]:
    found: dict[str, Any] = cfn_yaml.load(str(INFRA / name))
    return found


def shards() -> int:
    core = template("core.yaml")
    kinds = [resource["Type"] for resource in core["Resources"].values()]
    default = int(core["Parameters"]["Shards"]["Default"])
    return kinds.count("AWS::Kinesis::Stream") * default


def partitions() -> int:
    kafka = template("kafka.yaml")
    script = kafka["Resources"]["Client"]["Properties"]["UserData"]["Fn::Base64"]
    topics = re.search(r"for topic in (.*); do", script["Fn::Sub"])
    assert topics is not None
    return len(topics[1].split()) * int(kafka["Parameters"]["Partitions"]["Default"])


def disk() -> int:
    client = template("kafka.yaml")["Resources"]["Client"]["Properties"]
    assert client["InstanceType"] == "t3.small"
    (device,) = client["BlockDeviceMappings"]
    assert device["Ebs"]["VolumeType"] == "gp3"
    return int(device["Ebs"]["VolumeSize"])
