"""A copy of this project, to be changed and built as an analyst would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class ProjectCopy:
    """What git tracks here, as a repository of its own with one commit on `main`.

    It runs in this run's environment: nothing is installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        venv = folder / ".venv"
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"LANDING", "DUCKDB_PATH", "ANSWERS_PATH", "MAKEFLAGS"}
            and not name.startswith(("DBT_", "GIT_"))
        }
        self.env = {
            **environment,
            "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        for name in self._tracked():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        shutil.copy2(ROOT / "profiles.yml.example", folder / "profiles.yml")
        self._commit()
        venv.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (venv / name).symlink_to(Path(sys.prefix) / name)
        for name in ("run.done", "dev.done"):
            (venv / name).touch()

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *command: str) -> str:
        done = self.call(*command)
        told = done.stdout + done.stderr
        assert done.returncode == 0, told[-6000:]
        return told

    def refused(self, *command: str) -> str:
        done = self.call(*command)
        told = done.stdout + done.stderr
        assert done.returncode != 0, told[-6000:]
        assert "Traceback" not in told, told[-6000:]
        return told

    def path(self, name: str) -> Path:
        return self.folder / name

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text("utf-8")
        assert text.count(old) >= 1, f"{old!r} is not in {name}"
        self.path(name).write_text(text.replace(old, new), "utf-8")

    def _tracked(self) -> list[str]:
        command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        )
        return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]

    def _commit(self) -> None:
        author = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        self.run("git", "init", "--quiet", "--initial-branch=main")
        self.run("git", "add", "--all")
        self.run("git", *author, "commit", "--quiet", "--message=Begin")
