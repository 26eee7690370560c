"""Killed ten times at random moments, the caption job pays for each tile once, but for what was in flight."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from knowlip.captioning.journal import Journal
from knowlip.workspace import Workspace
from tests.builders import pyramid, write_tiles
from tests.llm_server import digest_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

ROOT = Path(__file__).resolve().parents[2]
KILLS, IN_FLIGHT = 10, 4
SCENES = 24  # of 21 tiles each: more than ten runs of a second or two get done
TRIES, TOO_BUSY = 6, "timed out during startup"


@pytest.fixture
def address() -> Iterator[str]:
    """A server that outlives whoever asks."""
    command = [sys.executable, "-m", "tests.llm_server", "--latency-s", "0.3"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.kill()
    process.wait()


def state(address: str) -> dict[str, Any]:
    return httpx.get(f"{address}/state").json()


def started(workspace: Workspace, address: str, log: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "jobs.caption", "--workspace", workspace.root, "--captioner", "endpoint"]
    command += ["--base-url", f"{address}/v1", "--model", "stub", "--endpoint.in-flight", str(IN_FLIGHT)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("a") as stream:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)


def asking(workspace: Workspace, address: str, log: Path) -> subprocess.Popen:
    """Start the job and wait for its first request; Ray itself gives up where a machine is too busy to start it."""
    before = len(state(address)["arrivals"])
    for _ in range(TRIES):
        job = started(workspace, address, log)
        while job.poll() is None:
            if len(state(address)["arrivals"]) > before:
                return job
            time.sleep(0.05)
        assert TOO_BUSY in log.read_text(), log.read_text()[-3000:]
    raise AssertionError(f"Ray did not start in {TRIES} tries")


def quiet(address: str) -> dict[str, Any]:
    """Wait until nobody asks any more: what a killed driver leaves ends by itself."""
    seen = -1
    while (now := state(address))["in_flight"] or len(now["arrivals"]) != seen:
        seen = len(now["arrivals"])
        time.sleep(2)
    return now


def written(workspace: Workspace) -> set[str]:
    journal = Journal(workspace)
    return {entry.tile_id for scene in journal.scenes() for entry in journal.read(scene).values() if entry.ok}


def test_every_tile_is_captioned_once_and_paid_for_once(tmp_path: Path, address: str) -> None:
    workspace, log, rng = Workspace(str(tmp_path / "workspace")), tmp_path / "log.txt", random.Random(1)
    image = {}
    for scene in ("scene" + "a" * number for number in range(SCENES)):
        rows = list(pyramid(scene))
        write_tiles(workspace, rows, f"{scene}-0")
        image |= {row["tile_id"]: digest_of(row["image"]) for row in rows}
    assert len(set(image.values())) == len(image)
    most, kills = 0, 0
    while kills < KILLS:
        before, done = quiet(address), written(workspace)
        job = asking(workspace, address, log)
        time.sleep(rng.uniform(0.0, 1.2))
        assert job.poll() is None, f"it was done after {kills} kills\n{log.read_text()[-3000:]}"
        job.send_signal(signal.SIGKILL)
        job.wait()
        kills += 1
        after = Counter(quiet(address)["asked"])
        again = {tile for tile in done if after[image[tile]] != before["asked"][image[tile]]}
        assert not again, "was asked again though its reply was in the journal"
        most = max(most, after.total() - len(written(workspace)))
    assert most <= KILLS * IN_FLIGHT
    job = asking(workspace, address, log)
    assert job.wait(600) == 0, log.read_text()[-3000:]
    rows = workspace.read_table("captions", columns=["tile_id", "status"]).to_pylist()
    assert sorted(row["tile_id"] for row in rows) == sorted(image)
    assert {row["status"] for row in rows} == {"ok"}
    asked = Counter(state(address)["asked"])
    assert asked.total() <= len(image) + KILLS * IN_FLIGHT
    print(f"{len(image)} tiles, {asked.total()} requests after {KILLS} kills")  # noqa: T201 (shown with -s)
