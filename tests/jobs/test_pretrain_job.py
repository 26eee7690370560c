"""Pretraining and fine-tuning as jobs, on a corpus that a test can afford."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

import models
from jobs.finetune import FinetuneSettings, finetune
from jobs.pretrain import PretrainSettings, pretrain
from knowlip.errors import CheckpointError, DataError, WorkspaceError
from knowlip.records import CORPUS, SUBTEXTS
from knowlip.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
VALUES: dict[str, Any] = {
    "preset": "tiny",
    "model": {
        "vision": {"image_size": 32, "patch": 8, "width": 32, "depth": 1, "heads": 2},
        "text": {"width": 32, "layers": 1, "heads": 2},
        "projection": 16,
    },
    "tokenizer": {"source": "corpus", "vocab_size": 200},
    "optimisation": {"learning_rate": 2e-3, "warmup_steps": 2},
    "train": {"batch_size": 8, "log_every": 2},
    "scio": {"phase_epochs": [1, 1, 1], "unit_rows": 16, "max_new_tokens": 8},
    "scaling": {"workers": 1},
}


@pytest.fixture(scope="module")
def pretrained(ray_cluster: None, block_workspace: Workspace) -> Workspace:
    """The workspace after pretraining through all phases."""
    pretrain(PretrainSettings(workspace=block_workspace.root, **VALUES))
    return block_workspace


@pytest.mark.ray
def test_all_phases_leave_what_they_decided(pretrained: Workspace) -> None:
    model = models.load(pretrained.local("runs/pretrain/checkpoint"))
    assert model.queue is not None
    assert model.manifest["job"] == "jobs.pretrain"
    verdicts = pretrained.read_table("runs/pretrain", "verdicts.parquet").to_pylist()
    assert {(row["tile_id"], row["subtext"]) for row in verdicts} == {
        (f"tile-{index:04d}", kind) for index in range(40) for kind in SUBTEXTS
    }
    assert len(verdicts) == 320
    for row in verdicts:
        assert row["noise"] == (row["delta_itc"] < 0 and row["delta_itm"] > 0)
        assert (row["accepted"] is not None) == row["noise"]
        if row["accepted"]:
            assert row["reconstruction"]
            assert row["reconstruction_delta_itc"] < 0 < row["reconstruction_delta_itm"]
    metrics = pretrained.read_table("runs/pretrain", "metrics.parquet").to_pylist()
    assert {row["phase"] for row in metrics} == {"round1-phase1", "round1-phase2", "round1-phase3", "val"}
    assert {row["epoch"] for row in metrics if row["phase"] == "val"} == {1, 2, 3}
    assert max(row["step"] for row in metrics) == 15
    assert list(pretrained.local("runs/pretrain/tensorboard").iterdir())


@pytest.mark.ray
def test_a_finished_run_is_left_alone_and_refused_to_other_settings(
    pretrained: Workspace, files_of: Callable[[Path], dict[Path, int]]
) -> None:
    run = pretrained.local("runs/pretrain")
    before = files_of(run)
    summary = pretrain(PretrainSettings(workspace=pretrained.root, **VALUES))
    assert summary.counts["pairs"] == 40
    assert summary.counts["sub-texts screened"] == 320
    with pytest.raises(WorkspaceError, match="was begun with other settings or inputs"):
        pretrain(PretrainSettings(workspace=pretrained.root, **{**VALUES, "train": {"batch_size": 4}}))
    assert files_of(run) == before


@pytest.mark.ray
@pytest.mark.parametrize("task", ["classification", "vqa"])
def test_fine_tuning_leaves_a_model_and_says_what_the_floor_is(pretrained: Workspace, task: str) -> None:
    settings = FinetuneSettings(
        workspace=pretrained.root,
        task=task,
        epochs=2,
        optimisation={"learning_rate": 1e-3, "warmup_steps": 2},
        train={"batch_size": 8, "keep": "best"},
        scaling={"workers": 2},
    )
    summary = finetune(settings)
    metrics = pretrained.read_table(f"runs/{task}", "metrics.parquet").to_pylist()
    held_out = {row["metric"] for row in metrics if row["phase"] == "val"}
    best = {"classification": "top1", "vqa": "accuracy"}[task]
    assert {best, "majority_accuracy"} <= held_out
    assert {best, "majority_accuracy"} <= set(summary.counts)
    folder = pretrained.local("runs", task, "checkpoint")
    assert models.load(folder).manifest["settings"]["task"] == task
    if task == "classification":
        views = pretrained.read_table("datasets/classification", columns=["view"])["view"].to_pylist()[:2]
        seen = models.load_tuned(folder).predict(views)
        assert [{answer.answer for answer in answers} for answers in seen] == [{"hall", "house", "hut"}] * 2
    assert finetune(settings).counts == summary.counts


def test_a_corpus_without_training_pairs_is_one_clear_line(workspace_root: str) -> None:
    workspace = Workspace(workspace_root)
    with pytest.raises(WorkspaceError, match="corpus: is not there; run the job that makes corpus first"):
        pretrain(PretrainSettings(workspace=workspace_root))
    workspace.write_table(CORPUS.empty_table(), "corpus", "part.parquet")
    with pytest.raises(DataError, match=r"has no rows of split 'train' \(0 in all\)"):
        pretrain(PretrainSettings(workspace=workspace_root))


def test_fine_tuning_asks_for_a_checkpoint_that_is_there(block_workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no checkpoint folder; run jobs\.pretrain or give another"):
        finetune(FinetuneSettings(workspace=block_workspace.root, checkpoint=str(tmp_path)))


def test_dry_runs_count_and_write_nothing(block_workspace: Workspace) -> None:
    summary = pretrain(PretrainSettings(workspace=block_workspace.root, run="dry", dry_run=True, **VALUES))
    assert summary.counts == {"pairs": 40, "epochs": 3, "steps": 15}
    assert not block_workspace.exists("runs/dry")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("after", ["_metrics/round1-phase1-00001.parquet", "_screened/round-1", "_rewritten/round-1"])
def test_a_driver_killed_anywhere_goes_on(block_workspace: Workspace, tmp_path: Path, after: str) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    for name in block_workspace.files("corpus"):
        table: pa.Table = block_workspace.read_table("corpus", name)
        workspace.write_table(table, "corpus", name)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({**VALUES, "scio": {**VALUES["scio"], "phase_epochs": [2, 1, 1]}}))
    command = [sys.executable, "-m", "jobs.pretrain", "--config", str(config), "--workspace", workspace.root]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/platform:{ROOT}"}
    environment.pop("RAY_ADDRESS", None)
    first = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    while not workspace.exists("runs/pretrain", after) and first.poll() is None:
        time.sleep(0.2)
    assert first.poll() is None, "it ended before it could be killed"
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    metrics = workspace.read_table("runs/pretrain", "metrics.parquet").to_pylist()
    keys = [(row["phase"], row["step"], row["metric"]) for row in metrics]
    assert len(keys) == len(set(keys))
    assert max(row["step"] for row in metrics) == 20
    verdicts = workspace.read_table("runs/pretrain", "verdicts.parquet")
    assert len(verdicts) == 320
    models.load(workspace.local("runs/pretrain/checkpoint"))
