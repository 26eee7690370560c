"""Sweeps: what may vary is checked before anything runs; trials are the seed's; a killed driver goes on."""

from __future__ import annotations

import ast
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image
from pydantic import ValidationError

import models
from jobs.finetune import FinetuneSettings
from jobs.sweep import SweepSettings, sweep
from jobs.train.sweeping import Parameter, Sweep
from knowlip.errors import SettingsError
from knowlip.records import EXAMPLES
from knowlip.settings import read_settings
from knowlip.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "jobs" / "configs"
SPACE: dict[str, Any] = {
    "optimisation.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "tuning.label_smoothing": {"choice": [0.0, 0.1]},
}


@pytest.fixture
def config(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A configuration of jobs.finetune that a test can afford."""
    path = tmp_path / "finetune.yaml"
    values = {
        "task": "classification",
        "checkpoint": str(tiny_checkpoint),
        "epochs": 3,
        "tuning": {"image_size": 32},
        "optimisation": {"warmup_steps": 1},
        "train": {"batch_size": 8, "keep": "best"},
        "scaling": {"workers": 1},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def workspace(workspace_root: str) -> Workspace:
    """Sixteen training and eight held-out images, bright on the left or on the right."""
    workspace, rows = Workspace(workspace_root), []
    random = np.random.default_rng(0)
    for index in range(24):
        image, left = random.gamma(4.0, 12.0, (32, 32)).clip(1, 255), index % 2
        image[:, 16 * left : 16 * left + 16] += 60
        stream = io.BytesIO()
        Image.fromarray(image.clip(1, 255).astype(np.uint8)).save(stream, "PNG")
        split = "train" if index < 16 else "val"
        row = {"example_id": f"e{index:02d}", "tile_id": f"t{index:02d}", "split": split}
        rows.append({**row, "view": stream.getvalue(), "label": ("left", "right")[left]})
    workspace.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), "datasets/classification", "part.parquet")
    return workspace


def settings(workspace: Workspace, config: Path, **changes: Any) -> SweepSettings:
    values = {"space": SPACE, "search": {"trials": 3, "concurrent": 1, "grace_epochs": 2}, **changes}
    return SweepSettings(workspace=workspace.root, finetune=str(config), **values)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("sweep-*.yaml")), ids=lambda path: path.stem)
def test_every_checked_in_space_is_one_of_its_task(path: Path, workspace: Workspace, monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    values = ["--config", str(path), "--workspace", workspace.root, "--dry-run"]
    given = read_settings(SweepSettings, values, prog="sweep")
    task = yaml.safe_load(Path(given.finetune).read_text())["task"]
    workspace.write_table(workspace.read_table("datasets/classification"), f"datasets/{task}", "part.parquet")
    summary = sweep(given)
    assert summary.title == f"Would sweep {task}"
    assert summary.counts["trials"] == given.search.trials


@pytest.mark.parametrize(
    ("space", "line"),
    [
        ({"optimisation.speed": {"choice": [1]}}, r"optimisation\.speed = 1: is no setting"),
        ({"tuning.beams": {"choice": [1]}}, r"tuning\.beams: is no setting of classification"),
        ({"train.batch_size": {"choice": [0]}}, r"train\.batch_size = 0: input should be greater than or equal to 2"),
    ],
)
def test_a_space_that_is_none_of_the_tasks_is_one_clear_line(
    workspace: Workspace, config: Path, space: dict[str, Any], line: str
) -> None:
    with pytest.raises(SettingsError, match=line) as caught:
        sweep(settings(workspace, config, space=space))
    assert len(str(caught.value).splitlines()) == 1
    assert not workspace.exists("runs")


def test_a_task_that_there_is_not_is_one_clear_line(workspace: Workspace, config: Path) -> None:
    config.write_text(config.read_text().replace("task: classification", "task: clasification"))
    with pytest.raises(SettingsError, match=r"finetune\.yaml: task = 'clasification': input should be") as caught:
        sweep(settings(workspace, config))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("train", [{}, {"keep": "last", "save_every": 5, "evaluate_every": 2}])
def test_a_trial_keeps_the_epoch_that_it_is_judged_by(train: dict[str, Any]) -> None:
    plan = Sweep("w", "s", {"task": "classification", "train": train}, {}, "top1", higher_is_better=True)
    kept = plan.trial({"optimisation.learning_rate": 1e-3}).train
    assert (kept.keep, kept.save_every) == ("best", kept.evaluate_every)


def test_a_parameter_is_a_choice_or_a_range() -> None:
    for wrong in ({}, {"low": 1.0}, {"choice": (1, 2), "low": 0.0, "high": 1.0}, {"low": 2.0, "high": 1.0}):
        with pytest.raises(ValidationError):
            Parameter(**wrong)
    with pytest.raises(ValidationError, match="above 0 on a logarithmic scale"):
        Parameter(low=0.0, high=1.0, log=True)
    assert Parameter(low=1, high=4, integer=True).first == 1


def test_the_same_seed_draws_the_same_trials(workspace: Workspace, config: Path) -> None:
    def trials(**search: Any) -> dict[str, Any]:
        return sweep(settings(workspace, config, search={"trials": 4, **search}, dry_run=True)).counts

    first = trials(seed=1)
    assert [name for name in first if name.startswith("trial ")] == ["trial 0", "trial 1", "trial 2"]
    assert first == trials(seed=1)
    assert first != trials(seed=2)
    assert trials(seed=1, sampler="random") == trials(seed=1, sampler="random", concurrent=4)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_leaves_its_trials_and_the_best_and_outlives_one_that_fails(
    ray_cluster: None, workspace: Workspace, config: Path
) -> None:
    space = {**SPACE, "tuning.backbone": {"choice": ["", "resnot"]}}
    search = {"trials": 3, "concurrent": 2, "grace_epochs": 3, "sampler": "random", "seed": 1}
    announced = sweep(settings(workspace, config, space=space, search=search, dry_run=True)).counts
    summary = sweep(settings(workspace, config, space=space, search=search))
    trials = workspace.read_table("runs/sweep-classification", "trials.parquet").to_pylist()
    assert [row["trial"] for row in trials] == list(range(3))
    given = [json.loads(row["settings"]) for row in trials]
    assert given[:3] == [ast.literal_eval(announced[f"trial {number}"]) for number in range(3)]
    by_backbone = {json.loads(row["settings"])["tuning.backbone"]: row for row in trials}
    assert by_backbone["resnot"]["status"] == "failed"
    assert by_backbone["resnot"]["error"].startswith("backbone: timm has no 'resnot'")
    assert len(by_backbone["resnot"]["error"].splitlines()) == 1
    finished = [row for row in trials if row["status"] == "finished"]
    assert finished
    assert summary.counts["failed"] == sum(row["status"] == "failed" for row in trials)
    assert summary.counts["best top1"] == max(row["value"] for row in finished)
    folder = workspace.local("runs/sweep-classification")
    best = yaml.safe_load((folder / "best.yaml").read_text())
    FinetuneSettings(workspace=workspace.root, **best)
    models.load(folder / "checkpoint")
    assert list((folder / "_tune").rglob("events.out.tfevents*"))
    page = (folder / "sweep.html").read_text()
    assert "<svg" in page
    assert "resnot" in page
    again = sweep(settings(workspace, config, space=space, search=search))
    assert again.counts == summary.counts


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_sweep_whose_driver_is_killed_goes_on(workspace: Workspace, config: Path, tmp_path: Path) -> None:
    place = tmp_path / "sweep.yaml"
    search = {"trials": 2, "concurrent": 1, "grace_epochs": 3}
    place.write_text(yaml.safe_dump({"finetune": str(config), "space": SPACE, "search": search}))
    command = [sys.executable, "-m", "jobs.sweep", "--config", str(place), "--workspace", workspace.root]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/platform:{ROOT}"}
    environment.pop("RAY_ADDRESS", None)
    runs = workspace.local("runs/sweep-classification")
    first = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    while first.poll() is None and len(list(runs.glob("*/_metrics/*-00001.parquet"))) < 2:
        time.sleep(0.2)
    assert first.poll() is None, "it ended before it could be killed"
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = {path: path.stat().st_mtime_ns for path in runs.glob("*/manifest.json")}
    assert len(done) == 1
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was finished was not done again
    trials = workspace.read_table("runs/sweep-classification", "trials.parquet").to_pylist()
    assert [row["status"] for row in trials] == ["finished"] * 2
    assert len(list(runs.glob("*/metrics.parquet"))) == 2
    assert all(row["value"] is not None for row in trials)
