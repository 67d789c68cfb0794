"""A Spark cluster on this machine: a master, two workers and a Thrift server.

All of it is what pyspark ships, listens on loopback and free ports, and keeps its
tables, logs and process ids in one folder. `make cluster` starts one for trying; tests
and benchmarks start theirs.

    python tests/servers/spark_cluster.py start FOLDER
    python tests/servers/spark_cluster.py stop FOLDER

Memory: `SPARK_DRIVER_MEMORY` for the Thrift server (2g), `SPARK_EXECUTOR_MEMORY` for
each worker's executor (1g). A landing at `s3a://` is read with the credentials of the
environment, from `AWS_ENDPOINT_URL` where that is set.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import click
from processes import free_port, require

ROOT = Path(__file__).parents[2]
JARS = Path(os.environ.get("SPARK_JARS", ROOT / ".spark" / "jars")).absolute()
WORKERS = 2
START_SECONDS = 180
STOP_SECONDS = 20


def missing() -> str:
    """Say what Spark lacks here, and how to get it; nothing if it lacks nothing."""
    if not importlib.util.find_spec("pyspark"):
        return "the extra `spark` is not installed: pip install -e '.[spark]'"
    if not shutil.which("java") and "JAVA_HOME" not in os.environ:
        return "there is no Java: install a JDK, 17 or 21"
    if not all(any(JARS.glob(f"{jar}*.jar")) for jar in ("delta-spark", "hadoop-aws")):
        return f"the jars of pom.xml are not in {JARS}: make spark"
    return ""


def require_spark() -> None:
    """Skip the test with one line if Spark lacks something; fail where CI=true."""
    reason = missing()
    require(f"Spark is not tested: {reason}" if reason else None)


def s3a_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Say where the object store is; credentials stay in the environment."""
    endpoint = environment.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return {}
    return {
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": environment.get(
            "AWS_REGION", "us-east-1"
        ),
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": str(
            endpoint.startswith("https")
        ).lower(),
    }


def settings(
    folder: Path, master_port: int, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return `spark-defaults.conf`; what the target `spark` has in the profile, too."""
    delta = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    java = f"-Duser.timezone=UTC -Dlog4j2.configurationFile={ROOT}/log4j2.properties"
    # Planning is much code that runs a few times: C2 costs more than it brings. Without
    # it, Java keeps room for 48 MB of compiled code alone; Spark has more, and Java
    # would throw it away and compile it again.
    quick = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
    return {
        "spark.master": f"spark://127.0.0.1:{master_port}",
        "spark.cores.max": str(WORKERS),
        "spark.executor.cores": "1",
        "spark.driver.memory": environment.get("SPARK_DRIVER_MEMORY", "2g"),
        "spark.executor.memory": environment.get("SPARK_EXECUTOR_MEMORY", "1g"),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraClassPath": f"{JARS}/*",
        "spark.executor.extraClassPath": f"{JARS}/*",
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={folder} {java} {quick}",
        "spark.executor.extraJavaOptions": java,
        "spark.local.dir": f"{folder}/scratch",
        "spark.scheduler.mode": "FAIR",
        # All is on this machine: a task gains nothing by waiting for its own executor.
        "spark.locality.wait": "0",
        "spark.ui.enabled": "false",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": delta,
        "spark.sql.catalogImplementation": "hive",
        "spark.databricks.delta.catalog.update.enabled": "true",
        "spark.hadoop.hive.metastore.disallow.incompatible.col.type.changes": "false",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(WORKERS),
        "spark.databricks.delta.snapshotPartitions": str(WORKERS),
        **s3a_settings(environment),
    }


class Cluster:
    """The processes whose ids are in `cluster.json` of a folder, and where they are."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] = os.environ,
        more_settings: Mapping[str, str] = {},
    ) -> None:
        """Know the cluster of a folder; nothing is started."""
        self.environment = environment
        self.more_settings = more_settings
        self.folder = folder.absolute()
        self.state = self.folder / "cluster.json"
        self.processes: dict[str, int] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self.thrift_port = 0
        if self.state.exists():
            known = json.loads(self.state.read_text("utf-8"))
            self.processes, self.thrift_port = known["processes"], known["thrift_port"]

    def start(self) -> None:
        """Start what is not running; on an error stop what was started."""
        if self.processes and all(map(self.lives, self.processes)):
            return
        self.stop()
        master_port, self.thrift_port = free_port(), free_port()
        for name in ("conf", "logs", "scratch"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        conf = {
            **settings(self.folder, master_port, self.environment),
            **self.more_settings,
        }
        (self.folder / "conf" / "spark-defaults.conf").write_text(
            "".join(f"{key} {value}\n" for key, value in conf.items())
        )
        try:
            self._start_all(master_port)
        except BaseException:
            self.stop()
            raise

    def _start_all(self, master_port: int) -> None:
        deploy = "org.apache.spark.deploy"
        loopback = ("--host", "127.0.0.1", "--webui-port", "0")
        self._run(
            *("master", "spark-class", f"{deploy}.master.Master"),
            *(*loopback, "--port", str(master_port)),
        )
        wait_for_port(self, "master", master_port)
        memory = self.environment.get("SPARK_EXECUTOR_MEMORY", "1g")
        for number in range(1, WORKERS + 1):
            self._run(
                *(f"worker-{number}", "spark-class", f"{deploy}.worker.Worker"),
                *(*loopback, "--cores", "1", "--memory", memory),
                *("--work-dir", str(self.folder / "work")),
                f"spark://127.0.0.1:{master_port}",
            )
        self._run(
            *("thrift-server", "spark-submit", "--class"),
            *("org.apache.spark.sql.hive.thriftserver.HiveThriftServer2",),
            *("--name", "thrift-server", "spark-internal"),
            *("--hiveconf", "hive.server2.thrift.bind.host=127.0.0.1"),
            *("--hiveconf", f"hive.server2.thrift.port={self.thrift_port}"),
            # A statement takes a new thread until there are so many, 100 by default,
            # and each thread opens the metastore anew.
            *("--hiveconf", "hive.server2.async.exec.threads=8"),
        )
        wait_for_port(self, "thrift-server", self.thrift_port)

    def _run(self, name: str, command: str, *arguments: str) -> None:
        """Start a process in a group of its own, and note it for `stop`."""
        found = importlib.util.find_spec("pyspark")
        if not found or not found.origin:
            raise SystemExit(missing())
        home = Path(found.origin).parent
        daemon = command == "spark-class"
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(home / "bin" / command), *arguments],
                env={
                    **self.environment,
                    "SPARK_HOME": str(home),
                    "SPARK_CONF_DIR": str(self.folder / "conf"),
                    "SPARK_LOCAL_IP": "127.0.0.1",
                    # The Thrift server would heed it, before its settings.
                    **({"SPARK_DAEMON_MEMORY": "256m"} if daemon else {}),
                    "TZ": "UTC",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process.pid
        self._children[process.pid] = process
        known = {"processes": self.processes, "thrift_port": self.thrift_port}
        self.state.write_text(json.dumps(known), "utf-8")

    def lives(self, name: str) -> bool:
        """Tell whether a process is there, and no other that got its id."""
        pid = self.processes[name]
        child = self._children.get(pid)
        return not (child and child.poll() is not None) and is_spark(pid)

    def _end(self, name: str, pid: int) -> None:
        """End a process, with patience and then without."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.lives(name):
                return
            os.kill(pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while self.lives(name) and time.monotonic() < deadline:
                time.sleep(0.1)

    def kill(self, name: str) -> None:
        """End a process and its children at once, as a power cut would (SIGKILL)."""
        os.killpg(self.processes[name], signal.SIGKILL)

    def stop(self) -> None:
        """End the processes, the Thrift server first; executors end with workers."""
        for name, pid in reversed(list(self.processes.items())):
            self._end(name, pid)
            del self.processes[name]
        for child in self._children.values():
            child.wait(STOP_SECONDS)
        self._children.clear()
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)
        self.state.unlink(missing_ok=True)


def is_spark(pid: int) -> bool:
    """Tell a live process of Spark from none and from another that got its id."""
    done = subprocess.run(
        ["ps", "-ww", "-o", "stat=,args=", "-p", str(pid)],  # noqa: S607, on every PATH
        capture_output=True,
        text=True,
        check=False,
    )
    return "spark" in done.stdout and not done.stdout.startswith("Z")


def wait_for_port(cluster: Cluster, name: str, port: int) -> None:
    """Return when a process listens; with its last words if it ends first."""
    deadline = time.monotonic() + START_SECONDS
    log = cluster.folder / "logs" / f"{name}.log"
    while time.monotonic() < deadline:
        if not cluster.lives(name):
            words = log.read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"the {name} did not start:\n{words}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit(f"the {name} does not listen after {START_SECONDS} s: see {log}")


@click.group()
def main() -> None:
    """Start or stop a Spark cluster on this machine."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def start(folder: Path) -> None:
    """Start the cluster of FOLDER and print what to type to use it."""
    if reason := missing():
        raise SystemExit(f"A Spark cluster cannot be started, {reason}")
    cluster = Cluster(folder)
    cluster.start()
    click.echo(f"export SPARK_THRIFT_PORT={cluster.thrift_port}")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def stop(folder: Path) -> None:
    """Stop the cluster of FOLDER; its tables stay."""
    Cluster(folder).stop()


if __name__ == "__main__":
    main()
