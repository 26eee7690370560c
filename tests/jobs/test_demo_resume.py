"""Killed in the middle of any stage, the demo goes on and ends where an undisturbed one does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jobs.road import road
from knowlip.manifest import Manifest
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace
from tests.tiny_road import ARTEFACTS, write_configs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"│ (?P<stage>[\w-]+) +│.*│ (?P<seconds>[\d.]+) +│$")
KEYS = {
    "tiles": ["tile_id"],
    "captions": ["tile_id", "prompt_digest", "model"],
    "corpus": ["tile_id"],
    "datasets/classification": ["example_id"],
    "datasets/vqa": ["example_id"],
    "runs/pretrain/verdicts.parquet": ["tile_id", "round", "subtext"],
}


def walk(workspace: Path, configs: Path, *, kill_in: str = "", after_s: float = 0) -> str:
    """Run the demo in a process of its own, kill it some time into a stage, and return what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.demo", "--workspace", str(workspace), "--configs", str(configs)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed: list[str] = []
    for line in process.stdout or ():
        printed.append(line)
        if kill_in and re.match(rf"\d+/\d+ {kill_in} ─", line):
            threading.Timer(after_s, process.send_signal, [signal.SIGKILL]).start()
    code = process.wait()
    text = "".join(printed)
    assert code == (-signal.SIGKILL if kill_in else 0), text
    return text


def rows(workspace: Workspace, artefact: str) -> list[tuple[object, ...]]:
    table = workspace.read_table(*artefact.split("/"), columns=KEYS[artefact])
    return sorted(zip(*table.to_pydict().values(), strict=True))


def texts(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    found = workspace.read_table("captions", columns=["tile_id", *SUBTEXTS]).to_pylist()
    return {row["tile_id"]: tuple(row[name] for name in SUBTEXTS) for row in found}


def test_a_demo_killed_in_every_stage_ends_as_an_undisturbed_one(tmp_path):
    configs = write_configs(tmp_path / "configs")
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    printed = walk(plain, configs)
    seconds = {row["stage"]: float(row["seconds"]) for row in map(ROW.match, printed.splitlines()) if row}
    stages = [stage.name for stage in road(str(plain), (), configs)]
    assert list(seconds) == stages
    for stage in stages:
        walk(killed, configs, kill_in=stage, after_s=seconds[stage] / 2)
    walk(killed, configs)
    one, other = Workspace(str(plain)), Workspace(str(killed))
    for artefact in ARTEFACTS:
        assert other.exists(artefact), artefact
    for artefact in KEYS:
        found = rows(other, artefact)
        assert len(set(found)) == len(found), f"{artefact} has rows twice"
        assert found == rows(one, artefact), artefact
    assert texts(one) == texts(other)
    for artefact in ("index", "runs/pretrain", "runs/classification", "runs/vqa"):
        assert Manifest.read(one, artefact).counts.keys() == Manifest.read(other, artefact).counts.keys()
    assert (
        Manifest.read(one, "index").counts["tiles in the index"]
        == Manifest.read(other, "index").counts["tiles in the index"]
    )
