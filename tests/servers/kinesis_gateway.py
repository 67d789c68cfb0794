"""An API gateway before a Kinesis, as the original course sets one up.

Its method integration maps every answer of Kinesis to 200, errors too. The source is
"Create a REST API as an Amazon Kinesis proxy" in Amazon's API Gateway Developer Guide.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_kinesis import KinesisClient

Page = tuple[int, str]


@contextmanager
def gateway(client: "KinesisClient", page: Callable[[], Page | None]) -> Iterator[str]:
    """Serve at the URL it yields; a `page` is answered in place of what came back."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stage, _, stream, resource = self.path.strip("/").rsplit("/", 3)
            known = stage == "prod" and resource in {"record", "records"}
            if known:
                said = 200, json.dumps(_put(client, unquote(stream), resource, body))
            else:
                said = 403, '{"message":"Missing Authentication Token"}'
            status, text = page() or said
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _put(
    client: "KinesisClient", stream: str, resource: str, body: dict[str, Any]
) -> object:
    try:
        if resource == "record":
            key = body["PartitionKey"]
            answer: Any = client.put_record(
                StreamName=stream, Data=_data(body["Data"]), PartitionKey=key
            )
        else:
            answer = client.put_records(
                StreamName=stream,
                Records=[
                    {"Data": _data(r["data"]), "PartitionKey": r["partition-key"]}
                    for r in body["records"]
                ],
            )
    except ClientError as error:
        return {"__type": error.response["Error"]["Code"], "message": "said"}
    return {k: v for k, v in answer.items() if k != "ResponseMetadata"}


def _data(value: object) -> bytes:
    """Return what `$util.base64Encode($input.json('$.Data'))` has Kinesis store."""
    return json.dumps(value).encode()
