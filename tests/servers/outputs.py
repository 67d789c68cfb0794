"""Reads all that `ingest emit`, `land` and `doctor` write in a session, for leaks.

Processes are read whoever starts them, since `subprocess.Popen` itself is watched, and
so is click's runner. A leak is a secret that the process was given, or a record.
"""

import os
import re
import subprocess
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, cast

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.engine import make_url

from ingestion.records import FIELDS

SECRET_VARIABLES = (
    *("GATEWAY_API_KEY", "GATEWAY_PASSWORD", "GATEWAY_TOKEN"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)

_NAMES = sorted({name for names in FIELDS.values() for name in names})
_FIELD = re.compile(rf'\\?"(?:{"|".join(_NAMES)})\\?"\s*:'.encode())
_BASE64 = re.compile(b"|".join(b64encode(b'{"' + n)[:5] for n in (b"index", b"ind")))


def secrets_in(words: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a process must keep to itself, by where it has it from."""
    found = {
        name: environment[name] for name in SECRET_VARIABLES if environment.get(name)
    }
    if url := environment.get("SOURCE_URL"):
        found["SOURCE_URL"] = str(make_url(url).password or "")
    for word in words:
        if inside := re.search("://[^/@]*:([^/@]+)@", word):
            found["an argument"] = inside[1]
    return {name: secret for name, secret in found.items() if secret}


def is_watched(words: Iterable[str]) -> bool:
    """Tell whether the command is an emitter's, a lander's or the doctor's."""
    commands = [word for word in words if word in {"emit", "land", "doctor"}]
    return bool(commands) and any("ingest" in word for word in words)


class Outputs:
    """What was read, and what should not have been there."""

    def __init__(self) -> None:
        self.read = 0
        self.leaks: list[str] = []

    def judge(
        self, words: list[str], environment: Mapping[str, str], *told: str | bytes
    ) -> None:
        """Look at the output of one process; a leak is named, not repeated."""
        text = b"\n".join(t.encode() if isinstance(t, str) else t for t in told if t)
        self.read += len(text)
        test = os.environ.get("PYTEST_CURRENT_TEST", "no test")
        for name, secret in secrets_in(words, environment).items():
            if secret.encode() in text:
                self.leaks.append(f"the secret of {name} ({test})")
        if _FIELD.search(text) or _BASE64.search(text):
            self.leaks.append(f"a record ({test})")


class Watched(subprocess.Popen[Any]):
    """A process whose output is judged; all others are as they were."""

    outputs: ClassVar[Outputs]
    folder: ClassVar[Path]

    def __init__(self, args: Any, *more: Any, **options: Any) -> None:  # noqa: ANN401
        words = [args] if isinstance(args, str | bytes | os.PathLike) else list(args)
        self._words = [os.fsdecode(word) for word in words]
        self._environment = dict(options.get("env") or os.environ)
        self._files: list[Path] = []
        self._watched = is_watched(self._words)
        opened = []
        for stream in ("stdout", "stderr"):
            if self._watched and options.get(stream) == subprocess.DEVNULL:
                path = self.folder / f"{id(self)}-{len(self._files)}-{stream}"
                self._files.append(path)
                opened.append(path.open("wb"))
                options[stream] = opened[-1]
        super().__init__(args, *more, **options)
        for file in opened:
            file.close()

    def communicate(self, *arguments: Any, **options: Any) -> tuple[Any, Any]:  # noqa: ANN401
        told = super().communicate(*arguments, **options)
        self._judge(*(text for text in told if text))
        return told

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        files, self._files = self._files, []
        self._judge(*(path.read_bytes() for path in files if path.exists()))
        return code

    def judge(self, told: bytes) -> None:
        """Look at what a test has read itself, such as from a terminal."""
        self.outputs.judge(self._words, self._environment, told)

    def __exit__(self, *about: object) -> None:
        """Read what nobody has read; the test has ended the process by now."""
        if self._watched:
            open_ones = [s for s in (self.stdout, self.stderr) if s and not s.closed]
            self._judge(*(text for text in (s.read() for s in open_ones) if text))
        super().__exit__(*cast("Any", about))

    def _judge(self, *told: str | bytes) -> None:
        if self._watched and told:
            self.outputs.judge(self._words, self._environment, *told)


@contextmanager
def watching() -> Iterator[Outputs]:
    """Watch every process and every run in this one."""
    outputs = Outputs()
    invoke = CliRunner.invoke

    def watched(runner: CliRunner, cli: Any, args: Any = None, **how: Any) -> Result:  # noqa: ANN401
        result = invoke(runner, cli, args, **how)
        words = ["ingest", *map(str, args or [])]
        if is_watched(words):
            environment = {**os.environ, **(how.get("env") or {})}
            outputs.judge(words, environment, result.output, result.stderr)
        return result

    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        Watched.outputs, Watched.folder = outputs, Path(folder)
        patch.setattr(subprocess, "Popen", Watched)
        patch.setattr(CliRunner, "invoke", watched)
        yield outputs
