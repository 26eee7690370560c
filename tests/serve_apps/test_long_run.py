"""What shows only when a service has run for a while: an index switched under load, and memory that stays flat."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from ray import serve
from ray.util.state import list_actors

from knowlip.archive import Version
from knowlip.workspace import Workspace
from tests.builders import index_tiles

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

CLIENTS = 6
WARM, REQUESTS = 2_000, 10_000
GROWTH_MB = 40.0
WORDS = (
    "ships",
    "aircraft",
    "a harbour",
    "farmland",
    "buildings",
    "a runway",
    "open water",
    "roads",
    "a river",
    "tanks",
)


def asked(url: str, text: str) -> tuple[int, list[str]]:
    """Status and what was found."""
    answer = requests.post(f"{url}/v1/search", json={"text": text, "k": 3, "rerank": False}, timeout=60)
    return answer.status_code, [feature["id"] for feature in answer.json()["features"]] if answer.ok else [answer.text]


@pytest.fixture
def beside(address: str, tmp_path: Path, tiny_checkpoint: Path, write_tiles: Callable[..., Any]) -> Iterator[Any]:
    """An application of its own, at ``/beside``, with the workspace that it serves and its tiles."""
    from serve_apps import retrieval
    from serve_apps.settings import RetrievalSettings

    workspace = Workspace(str(tmp_path / "workspace"))
    tables = {"los": write_tiles(workspace, "los", count=24)}
    index_tiles(workspace, tables, tiny_checkpoint)
    settings = RetrievalSettings(workspace=workspace.root, cpus=0.1, follow_s=0.5)
    serve.run(retrieval.app(settings), name="beside", route_prefix="/beside")
    yield f"{address}/beside", workspace, tables
    serve.delete("beside")


def test_an_index_is_switched_under_load_and_no_request_falls_between(
    beside: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    url, workspace, tables = beside
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, other)
    preprocessing = other / "preprocessing.json"
    preprocessing.write_text(preprocessing.read_text().replace('"mean": 0.35', '"mean": 0.9'))
    before = {text: asked(url, text) for text in WORDS}
    first = requests.get(f"{url}/v1/info", timeout=60).json()
    ended: list[float] = []

    def load(client: int) -> list[tuple[str, tuple[int, list[str]]]]:
        answers = []
        while not ended or time.monotonic() < ended[0]:
            text = WORDS[(client + len(answers)) % len(WORDS)]
            answers.append((text, asked(url, text)))
        return answers

    with ThreadPoolExecutor(CLIENTS) as pool:
        loads = [pool.submit(load, client) for client in range(CLIENTS)]
        try:
            time.sleep(3)
            index_tiles(workspace, tables, other, run="other")
            until = time.monotonic() + 90
            while requests.get(f"{url}/v1/info", timeout=60).json() == first and time.monotonic() < until:
                time.sleep(0.5)
        finally:
            ended.append(time.monotonic() + 3)
        answers = [answer for one in loads for answer in one.result()]
    after = {text: asked(url, text) for text in WORDS}
    assert Version.current(workspace).checkpoint == "runs/other/checkpoint"
    assert before != after
    assert Counter(status for _, (status, _) in answers) == {200: len(answers)}
    assert len(answers) > 100
    assert all(found in (before[text], after[text]) for text, found in answers)
    assert any(found == before[text] != after[text] for text, found in answers)
    assert any(found == after[text] != before[text] for text, found in answers)


def copies_mb(application: str) -> dict[str, float]:
    """Memory that is each process's own, by deployment, MB."""
    found = {}
    for actor in list_actors(filters=[("state", "=", "ALIVE")], limit=1000, detail=True):
        if actor.class_name.startswith(f"ServeReplica:{application}:") or actor.class_name == "ProxyActor":
            name = actor.class_name.removeprefix(f"ServeReplica:{application}:")
            found[name] = psutil.Process(actor.pid).memory_full_info().uss / 1e6
    return found


def test_memory_is_flat_over_ten_thousand_requests(beside: Any) -> None:
    url, _, tables = beside
    tiles = tables["los"]["tile_id"].to_pylist()
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CLIENTS))

    def ask(number: int) -> int:
        tile = tiles[number % len(tiles)]
        if number % 10 == 0:
            return session.get(f"{url}/v1/tiles/{tile}.png", timeout=60).status_code
        if number % 10 == 1:
            return session.get(f"{url}/v1/tiles/{tile}", timeout=60).status_code
        words = f"{WORDS[number % len(WORDS)]} beside {number}"
        asked_for = {"text": words, "k": 3, "rerank": number % 10 == 2, "bbox": [-119, 33, -118 + number % 5, 35]}
        return session.post(f"{url}/v1/search", json=asked_for, timeout=60).status_code

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = Counter(pool.map(ask, range(WARM)))
        warm = copies_mb("beside")
        statuses += Counter(pool.map(ask, range(WARM, REQUESTS)))
    grown = {name: value - warm[name] for name, value in copies_mb("beside").items()}
    assert statuses == {200: REQUESTS}
    assert set(grown) == {"Gateway", "Encoder", "Index", "ProxyActor"}
    assert all(value < GROWTH_MB for value in grown.values()), grown
