"""An API gateway that checks SigV4 over the bytes it received, before a memory front.

The check is written from "Create a signed AWS API request" of the AWS documentation,
without botocore, which signs.
"""

import hashlib
import hmac
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import trustme
from dialects import Front, Reply, json_reply
from memory_front import MemoryLog
from requests.structures import CaseInsensitiveDict

STAGE = "/prod"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/execute-api/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def signature(
    secret: str, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> str | None:
    """Return the signature that the request should carry; None where it has none."""
    found = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
    if found is None:
        return None
    _, day, region, names, _ = found.groups()
    canonical_headers = "".join(
        f"{name}:{' '.join(headers[name].split())}\n" for name in names.split(";")
    )
    digest = hashlib.sha256(body).hexdigest()
    request = f"{method}\n{path}\n\n{canonical_headers}\n{names}\n{digest}"
    scope = f"{day}/{region}/execute-api/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['X-Amz-Date']}\n{scope}\n{hashed}"
    key = f"AWS4{secret}".encode()
    for part in (day, region, "execute-api", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


class SignedGateway:
    """What the gateway knows, and what it has seen."""

    def __init__(self, secrets: Mapping[str, str], *topics: str) -> None:
        self.url = ""
        self.log = MemoryLog(*topics)
        self.front = Front("confluent", self.log.store, self.log.has_topic)
        self.seen: list[Mapping[str, str]] = []
        self.expired: set[str] = set()
        self._secrets = secrets

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """Let a request through only if its signature is right."""
        self.seen.append(headers)
        found = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if found is None or not path.startswith(f"{STAGE}/topics/"):
            return json_reply(403, {"message": "Missing Authentication Token"})
        key, sent = found[1], found[5]
        secret = self._secrets.get(key, "")
        if key in self.expired:
            return json_reply(403, {"message": "The security token is expired"})
        if not {"host", "x-amz-date"} <= set(found[4].split(";")):
            return json_reply(403, {"message": "Unsigned headers"})
        if sent != signature(secret, method, path, headers, body):
            return json_reply(403, {"message": "Signature does not match"})
        topic = path.removeprefix(f"{STAGE}/topics/")
        if method == "GET":
            return self.front.get(topic)
        return self.front.post(topic, headers["Content-Type"], body)

    @contextmanager
    def serve(
        self, certificate: trustme.LeafCert | None = None
    ) -> Iterator["SignedGateway"]:
        """Listen on a free loopback port inside the block, encrypted if it can be."""
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = CaseInsensitiveDict(self.headers.items())
                reply = gateway.answer(self.command, self.path, headers, body)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_POST = do_GET  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_port}{STAGE}"
            if certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                certificate.configure_cert(context)
                server.socket = context.wrap_socket(server.socket, server_side=True)
                self.url = self.url.replace("http", "https", 1)
            serve = partial(server.serve_forever, poll_interval=0.01)
            Thread(target=serve, daemon=True).start()
            yield self
            server.shutdown()
