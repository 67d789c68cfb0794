"""MiniStack, told two things about a request that AWS tells its policies too.

They are what MiniStack 1.5.33 leaves out: the condition key `s3:if-none-match`, and the
stream behind a shard iterator. Deciding by policies is left to it as it is. The source
is the "Service Authorization Reference", Amazon S3 and Amazon Kinesis Data Streams.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import kinesis

_s3_context = iam_actions.s3_service_context
_resource = iam_actions.extract_resource_arn


def s3_context(
    action: str,
    query: object,
    path: str = "",
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    context: dict[str, Any] = _s3_context(action, query, path, headers)
    if action == "s3:PutObject" and headers and headers.get("if-none-match"):
        context["s3:if-none-match"] = headers["if-none-match"]
    return context


def resource(  # noqa: PLR0917 - MiniStack passes them so
    service: str,
    method: str,
    path: str,
    headers: object,
    body: bytes,
    params: object,
    region: str,
    account: str,
) -> str:
    found: str = _resource(
        service, method, path, headers, body, params, region, account
    )
    if service == "kinesis" and found == "*":
        iterator = json.loads(body or b"{}").get("ShardIterator")
        state = kinesis._shard_iterators.get(iterator)  # noqa: SLF001
        if state is not None:
            return f"arn:aws:kinesis:{region}:{account}:stream/{state['stream']}"
    return found


if __name__ == "__main__":
    iam_actions.s3_service_context = s3_context
    iam_actions.extract_resource_arn = resource
    sys.exit(main())
