"""Pretraining as a job: all phases on a tiny corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.pretrain import PretrainSettings, pretrain
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace


def settings(workspace: Workspace, **changes: Any) -> PretrainSettings:
    values: dict[str, Any] = {
        "workspace": workspace.root,
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
        "scaling": {"workers": 2},
    }
    return PretrainSettings(**{**values, **changes})


@pytest.mark.ray
def test_all_phases_leave_their_artefacts(ray_cluster: None, block_corpus: Workspace) -> None:
    import models

    summary = pretrain(settings(block_corpus))
    run = Path(block_corpus.root, "runs/pretrain")
    model = models.load(run / "checkpoint")
    assert model.queue is not None
    verdicts = block_corpus.read_table("runs/pretrain", "verdicts.parquet").to_pylist()
    assert {(row["tile_id"], row["subtext"]) for row in verdicts} == {
        (f"tile-{index:04d}", kind) for index in range(40) for kind in SUBTEXTS
    }
    for row in verdicts:
        assert row["noise"] == (row["delta_itc"] < 0 and row["delta_itm"] > 0)
        assert (row["accepted"] is not None) == row["noise"]
    metrics = block_corpus.read_table("runs/pretrain", "metrics.parquet").to_pylist()
    assert {row["phase"] for row in metrics} == {"round1-phase1", "round1-phase2", "round1-phase3", "val"}
    assert summary.counts["noise"] == sum(row["noise"] for row in verdicts)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert pretrain(settings(block_corpus)).counts == summary.counts
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}
