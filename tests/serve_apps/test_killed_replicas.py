"""A copy of a deployment that is killed under load takes no request with it."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray
import requests
from ray import serve
from ray.util.state import list_actors

from knowlip.archive import Archive, Version
from knowlip.workspace import Workspace
from tests.builders import index_tiles
from tests.faults.outcomes import note

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS, LOAD_S = 8, 25.0


def copies(deployment: str) -> list[int]:
    """Processes of a deployment that are alive."""
    filters = [("class_name", "=", f"ServeReplica:{deployment}"), ("state", "=", "ALIVE")]
    here = ray.get_runtime_context().gcs_address
    return [actor.pid for actor in list_actors(here, filters=filters, limit=100, detail=True)]


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


@pytest.fixture
def single(address, tmp_path, tiny_checkpoint, write_tiles):
    """Search with one copy of everything, at ``/single``; its workspace and its tiles."""
    from serve_apps import retrieval
    from serve_apps.settings import RetrievalSettings

    workspace = Workspace(str(tmp_path / "workspace"))
    tables = {"los": write_tiles(workspace, "los", count=12)}
    index_tiles(workspace, tables, tiny_checkpoint)
    settings = RetrievalSettings(workspace=workspace.root, cpus=0.1, follow_s=0.5)
    serve.run(retrieval.app(settings), name="single", route_prefix="/single")
    yield f"{address}/single/v1", workspace, tables
    serve.delete("single")


def soon(right, until_s=90.0):
    """Ask until it is right."""
    until = time.monotonic() + until_s
    while not right() and time.monotonic() < until:
        time.sleep(0.5)
    return right()


def test_copies_that_are_killed_after_an_exchange_of_the_index_come_back_with_the_new_one(
    single, tiny_checkpoint, tmp_path
):
    url, workspace, tables = single
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, other)
    place = other / "preprocessing.json"
    place.write_text(place.read_text().replace('"mean": 0.35', '"mean": 0.9'))
    index_tiles(workspace, tables, other, run="other")
    version = Version.in_use(workspace)

    def search() -> requests.Response:
        return requests.post(f"{url}/search", json={"text": "ships", "k": 3, "rerank": False}, timeout=60)

    def served() -> bool:
        searched = search()  # of which it comes to look for a newer index
        answer = requests.get(f"{url}/info", timeout=60)
        return searched.ok and answer.ok and answer.json()["checkpoints"]["search"] == version.digest

    assert soon(served)
    # What the first index was made with is no longer there: who begins with it does not come back.
    workspace.delete("runs/pretrain/checkpoint")
    right = search().json()
    assert len(right["features"]) == 3
    for deployment in ("single:Index", "single:Encoder"):
        (victim,) = copies(deployment)
        os.kill(victim, signal.SIGKILL)
        assert soon(lambda gone=victim, name=deployment: copies(name) not in ([], [gone]))
        assert soon(served)
        assert search().json() == right
    assert len(Archive.open(workspace)) == 12
