"""The stack of infra/core.yaml on MiniStack, and its roles as others assume them."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from ministack_server import MiniStack

INFRA = Path(__file__).parents[2] / "infra"
REGION = "us-east-1"
USER_ID = "12a740a19697"
_SECONDS = 60.0


def walk(section: str) -> list[str]:
    """Return the commands that docs/aws.md prints in a section, in order."""
    page = (INFRA.parent / "docs" / "aws.md").read_text("utf-8")
    (text,) = re.findall(rf"^## {section}.*?(?=^## )", page, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"```console\n(.*?)```", text.replace("\\\n", " "), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines]


class CoreStack:
    """A deployed stack; `outputs` are what `aws cloudformation` prints of it."""

    def __init__(self, server: MiniStack, **parameters: str) -> None:
        """Deploy it under the name of its user, and wait until it is there."""
        self.environment = {**server.environment, "AWS_DEFAULT_REGION": REGION}
        self._owner = {
            "AWS_ACCESS_KEY_ID": server.environment["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": server.environment["AWS_SECRET_ACCESS_KEY"],
        }
        self.cloudformation = self.client("cloudformation")
        named = {"UserId": USER_ID, "RequireTls": "false", **parameters}
        self._name = f"core-{named['UserId']}"
        self.cloudformation.create_stack(
            StackName=self._name,
            TemplateBody=(INFRA / "core.yaml").read_text("utf-8"),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in named.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        self.outputs = self._outputs()

    def _outputs(self) -> dict[str, str]:
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            stack = self.cloudformation.describe_stacks(StackName=self._name)["Stacks"][
                0
            ]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                break
            time.sleep(0.1)
        assert stack["StackStatus"] == "CREATE_COMPLETE", self._failures()
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def _failures(self) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName=self._name)
        return [
            f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}"
            for each in events["StackEvents"]
            if "FAILED" in each["ResourceStatus"]
        ]

    def role(self, name: str) -> dict[str, str]:
        """Assume a role (Emitter, Lander, Reader): its credentials as variables."""
        said = self.client("sts").assume_role(
            RoleArn=self.outputs[f"{name}RoleArn"], RoleSessionName="test"
        )["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": said["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": said["SecretAccessKey"],
            "AWS_SESSION_TOKEN": said["SessionToken"],
        }

    def client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - boto3 makes them at run time
        """Return a client with these credentials, or those of the account's owner."""
        keys = keys or self._owner
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=REGION,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys.get("AWS_SESSION_TOKEN"),
            config=Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
            ),
        )
