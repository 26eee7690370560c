"""A Ray cluster of three nodes on this machine, a job on it, and what can be done to either while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 500


@dataclass
class ThreeNodes:
    """A head and two workers.

    Attributes:
        cluster: Ray's own.
        workers: The two nodes that may be lost.
        environment: What drivers are started with.
    """

    cluster: Any
    workers: list[Any]
    environment: dict[str, str]
    lost: list[str] = field(default_factory=list)

    def kill_worker(self) -> None:
        """Kill a busy worker process, wherever it runs; of those that train, one that holds the model."""
        busy = self._until(lambda: [one for one in self._processes() if _is_busy(one)], "a busy worker")
        chosen = min(busy, key=lambda one: not _name(one).startswith("ray::RayTrainWorker"))
        self.lost.append(_name(chosen))
        chosen.kill()

    def kill_node(self) -> None:
        """Take a node away with all that runs on it, and bring a fresh one."""
        self.cluster.remove_node(self.workers.pop(0), allow_graceful=False)
        self.workers.append(self.cluster.add_node(num_cpus=2))

    def copies_on(self, worker: int) -> list[str]:
        """Return the names of the served copies on a node that may be lost."""
        names = [_name(one) for one in self._processes(self.workers[worker])]
        return [name for name in names if name.startswith("ray::ServeReplica")]

    def _processes(self, *nodes: Any) -> Iterator[psutil.Process]:
        for node in nodes or (self.cluster.head_node, *self.workers):
            for info in node.all_processes.get("raylet", []):
                with suppress(psutil.NoSuchProcess):
                    yield from psutil.Process(info.process.pid).children(recursive=True)

    @staticmethod
    def _until(look: Callable[[], Any], what: str) -> Any:
        until = time.monotonic() + PATIENCE_S
        while not (found := look()):
            assert time.monotonic() < until, f"there was never {what}"
            time.sleep(0.02)
        return found


_NO_WORK = (
    *("ray::IDLE", "ray::SPILL", "ray::RESTORE", "ray::DashboardAgent", "ray::RuntimeEnvAgent"),
    *("ray::_StatsActor", "ray::_UsageCollectionActor", "ray::_AutoscalingCoordinatorActor"),
)


def _name(process: psutil.Process) -> str:
    try:
        return process.cmdline()[0]
    except (psutil.NoSuchProcess, IndexError):
        return ""


def _is_busy(process: psutil.Process) -> bool:
    """Whether a worker has a task or an actor: only then is it called ``ray::NAME``.

    A node's own agents are called so too, which a node does not outlive, and so are the actors by which Ray Data keeps
    its books.
    """
    name = _name(process)
    return name.startswith("ray::") and not name.startswith(_NO_WORK)


@contextmanager
def three_nodes(environment: dict[str, str] | None = None) -> Iterator[ThreeNodes]:
    """Start the nodes; what they and the drivers see of the environment is given."""
    from ray.cluster_utils import Cluster

    added = {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "OMP_NUM_THREADS": "1", **(environment or {})}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        workers = [cluster.add_node(num_cpus=2) for _ in range(2)]
        cluster.wait_for_nodes()
        yield ThreeNodes(cluster, workers, {**os.environ, "RAY_ADDRESS": cluster.address})
    finally:
        cluster.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def start(nodes: ThreeNodes, job: str, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a job's driver; what it says goes to a file."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", job, *arguments],
            cwd=ROOT,
            env=nodes.environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(driver: subprocess.Popen[bytes]) -> None:
    """Kill a driver as a machine that loses its power would."""
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


def until_begun(begun: Callable[[], bool], driver: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until some of the work is done and some is left."""
    until = time.monotonic() + PATIENCE_S
    while not begun():
        assert driver.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)


def finish(nodes: ThreeNodes, driver: subprocess.Popen[bytes], job: str, arguments: list[str], log: Path) -> int:
    """Wait for a driver, and start the job again while it fails, as a person or an operator would.

    Returns:
        How often it had to be started again.
    """
    for again in range(4):
        if driver.wait(PATIENCE_S) == 0:
            return again
        driver = start(nodes, job, arguments, log)
    raise AssertionError(log.read_text()[-4000:])
