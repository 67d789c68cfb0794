"""yaml-language-server, from npm: what VS Code's YAML extension asks about a file."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from processes import SERVERS

_SERVER = (
    SERVERS
    / "yaml-language-server/node_modules/yaml-language-server/bin/yaml-language-server"
)


def missing() -> str | None:
    """Say what is missing and how to get it."""
    if not shutil.which("node"):
        return "the editor's YAML needs node: apt-get install nodejs npm"
    if not _SERVER.exists():
        return "yaml-language-server is not installed: make servers"
    return None


class YamlLanguageServer:
    """One server for a folder, with the schemas of an editor's settings."""

    def __init__(self, folder: Path, schemas: Mapping[str, list[str]]) -> None:
        """Start it; `schemas` is `yaml.schemas` of VS Code's settings."""
        self._settings = {
            "schemas": schemas,
            "validate": True,
            "schemaStore": {"enable": False},
        }
        self._server = subprocess.Popen(
            [str(shutil.which("node")), str(_SERVER), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        place = {"uri": folder.as_uri(), "name": folder.name}
        self._send(
            id=1,
            method="initialize",
            params={
                "processId": None,
                "rootUri": place["uri"],
                "workspaceFolders": [place],
                "capabilities": {"workspace": {"configuration": True}},
            },
        )
        while self._received().get("id") != 1:
            pass
        self._send(method="initialized", params={})
        changed = {"settings": {"yaml": self._settings}}
        self._send(method="workspace/didChangeConfiguration", params=changed)

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._server.kill()
        self._server.communicate()

    def complaints(self, path: Path, text: str) -> list[str]:
        """Return what an editor would underline: line and sentence; once for a file."""
        document = {
            "uri": path.as_uri(),
            "languageId": "yaml",
            "version": 1,
            "text": text,
        }
        self._send(method="textDocument/didOpen", params={"textDocument": document})
        while True:
            said = self._received()
            params = said.get("params", {})
            if said.get("method") == "workspace/configuration":
                sections = [item.get("section") for item in params["items"]]
                result = [self._settings if s == "yaml" else None for s in sections]
                self._send(id=said["id"], result=result)
            elif "id" in said and "method" in said:
                self._send(id=said["id"], result=None)
            elif params.get("uri") == document["uri"] and "diagnostics" in params:
                return [
                    f"{found['range']['start']['line'] + 1}: {found['message']}"
                    for found in params["diagnostics"]
                ]

    def _send(self, **message: object) -> None:
        assert self._server.stdin
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._server.stdin.flush()

    def _received(self) -> dict[str, Any]:
        assert self._server.stdout
        length = 0
        while header := self._server.stdout.readline().strip():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "yaml-language-server has ended"
        message: dict[str, Any] = json.loads(self._server.stdout.read(length))
        return message
