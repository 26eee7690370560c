"""A service on a cluster of three nodes loses a node or its object store under load, and is right again by itself."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import yaml

from knowlip.workspace import Workspace
from tests.builders import free_port, index_tiles
from tests.faults.cluster import ROOT, ThreeNodes, three_nodes
from tests.faults.outcomes import note
from tests.flaky_store import flaky_bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLIENTS = 4
PATIENCE_S = 240
CALM_S = 6.0
"""So long every answer must be right until the service counts as well."""


@dataclass
class Crowd:
    """Clients that ask the same again and again.

    Attributes:
        url: Whom they ask.
        answers: When, with which status, and what was found (or said).
    """

    url: str
    answers: list[tuple[float, int, list[str] | str]] = field(default_factory=list)

    def ask(self) -> tuple[int, list[str] | str]:
        """Ask once; status 0 is no answer at all."""
        try:
            reply = requests.post(self.url, json={"text": "ships in a harbour", "k": 3}, timeout=60)
        except requests.RequestException as error:
            return 0, type(error).__name__
        return reply.status_code, [f["id"] for f in reply.json()["features"]] if reply.ok else reply.text[:200]

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask until the block ends."""
        stop = threading.Event()

        def client() -> None:
            while not stop.is_set():
                status, said = self.ask()
                self.answers.append((time.monotonic(), status, said))
                time.sleep(0.05)

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def until_calm(self, since: float) -> float:
        """Wait until all answers are right again; return how long after the fault the last bad one came, seconds."""
        while time.monotonic() < since + PATIENCE_S:
            time.sleep(0.5)
            bad = [when for when, status, _ in self.answers if status != 200 and when > since]
            if time.monotonic() - max([since, *bad]) > CALM_S:
                return max([since, *bad]) - since
        raise AssertionError(Counter((status, str(said)) for _, status, said in self.answers).most_common(5))


@contextmanager
def served(nodes: ThreeNodes, workspace: Workspace, folder: Path) -> Iterator[Crowd]:
    """Run search with two copies of everything, as ``serve run`` starts it from a file."""
    port = free_port()
    config = {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": [
            {
                "name": "search",
                "route_prefix": "/",
                "import_path": "serve_apps.retrieval:app",
                "args": {"workspace": workspace.root, "replicas": 2, "cpus": 0.8, "timeout_s": 10},
            }
        ],
    }
    (folder / "serve.yaml").write_text(yaml.safe_dump(config))
    log = folder / "serve.log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "ray.serve.scripts", "run", str(folder / "serve.yaml")]
        server = subprocess.Popen(command, cwd=ROOT, env=nodes.environment, stdout=stream, stderr=subprocess.STDOUT)
    crowd = Crowd(f"http://127.0.0.1:{port}/v1/search")
    try:
        until = time.monotonic() + PATIENCE_S
        while crowd.ask()[0] != 200:
            assert server.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < until, log.read_text()[-4000:]
            time.sleep(0.5)
        yield crowd
    finally:
        server.terminate()
        server.wait(60)


def _disturbed(crowd: Crowd, fault: Callable[[], None]) -> tuple[float, Mapping[int, int]]:
    """Let the crowd ask, do something, and wait until all is well; return how long it took, and the failures."""
    right = crowd.ask()
    with crowd.asking():
        time.sleep(3.0)
        before = [status for _, status, _ in crowd.answers]
        assert set(before) == {200}
        since = time.monotonic()
        fault()
        took = crowd.until_calm(since)
    wrong = [said for _, status, said in crowd.answers if status == 200 and said != right[1]]
    assert not wrong  # late or refused, but never false
    return took, Counter(status for _, status, _ in crowd.answers if status != 200)


def _said(took: float, failed: Mapping[int, int], crowd: Crowd) -> str:
    if not failed:
        return "no request lost, with two copies"
    told = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(failed.items()))
    return f"right again by itself after {took:.0f} s; of {len(crowd.answers)} requests {told}, none wrong"


def test_a_node_that_goes_away(tmp_path, write_tiles, tiny_checkpoint):
    workspace = Workspace(str(tmp_path / "workspace"))
    index_tiles(workspace, {"los": write_tiles(workspace, "los", count=12)}, tiny_checkpoint)
    with three_nodes() as nodes, served(nodes, workspace, tmp_path) as crowd:
        assert nodes.copies_on(0), "nothing of the service is on the node that is taken away"
        took, failed = _disturbed(crowd, nodes.kill_node)
    note("serve", "node", _said(took, failed, crowd))


def test_a_store_that_is_away_for_twenty_seconds(tmp_path, write_tiles, tiny_checkpoint):
    with flaky_bucket() as (store, root, environment), pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        workspace = Workspace(root)
        index_tiles(workspace, {"los": write_tiles(workspace, "los", count=12)}, tiny_checkpoint)
        with three_nodes(environment) as nodes, served(nodes, workspace, tmp_path) as crowd:
            took, failed = _disturbed(crowd, lambda: (store.go_away(20), time.sleep(20))[1])
        assert store.done["away"], "nobody noticed"
    note("serve", "store", _said(took, failed, crowd))
