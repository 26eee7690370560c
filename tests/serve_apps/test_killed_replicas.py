"""A copy of a deployment that is killed under load takes no request with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from ray import serve
from ray.util.state import list_actors

from tests.faults.outcomes import note

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS, LOAD_S = 8, 25.0


def copies(deployment: str) -> list[int]:
    """Processes of a deployment that are alive."""
    filters = [("class_name", "=", f"ServeReplica:{deployment}"), ("state", "=", "ALIVE")]
    return [actor.pid for actor in list_actors(filters=filters, limit=100, detail=True)]


@pytest.fixture
def twins(address, served_workspace):
    """Search with two copies of everything, at ``/twins``."""
    from serve_apps import retrieval
    from serve_apps.settings import RetrievalSettings

    settings = RetrievalSettings(workspace=served_workspace.root, cpus=0.1, replicas=2)
    serve.run(retrieval.app(settings), name="twins", route_prefix="/twins")
    yield f"{address}/twins/v1/search"
    serve.delete("twins")


def test_a_killed_copy_takes_no_request_with_it(twins):
    def ask() -> tuple[int, list[str]]:
        answer = requests.post(twins, json={"text": "ships in a harbour", "k": 3}, timeout=60)
        found = [feature["id"] for feature in answer.json()["features"]] if answer.ok else [answer.text]
        return answer.status_code, found

    right = ask()
    assert right[0] == 200
    until = time.monotonic() + LOAD_S

    def load(_: int) -> list[tuple[int, list[str]]]:
        answers = []
        while time.monotonic() < until:
            answers.append(ask())
        return answers

    killed = []

    def kill() -> None:
        for deployment in ("twins:Index", "twins:Encoder"):
            victims = copies(deployment)
            assert len(victims) == 2
            os.kill(victims[0], signal.SIGKILL)
            killed.append(victims[0])
            time.sleep(4)

    killer = threading.Timer(3.0, kill)
    killer.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [answer for part in pool.map(load, range(CLIENTS)) for answer in part]
    killer.join()
    assert len(killed) == 2
    assert len(answers) > 10 * CLIENTS
    assert Counter(status for status, _ in answers) == {200: len(answers)}
    assert all(answer == right for answer in answers)
    note("serve", "worker", "no request lost, with two copies")
