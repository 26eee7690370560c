"""The benchmark job: every cell a run, results with what made them, a table, a report; what is unknown is one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jobs.benchmark import BenchmarkSettings, benchmark
from jobs.benchmarking.rows import Row, row_of
from jobs.benchmarking.simulated import SIMULATED
from jobs.dataset import DatasetSettings, dataset
from knowlip.benchmark.splits import SplitChoice
from knowlip.errors import SettingsError
from knowlip.settings import read_settings
from knowlip.workspace import Workspace
from tests.knowlip.benchmark.published import class_folders


def test_a_dry_run_counts_the_cells(workspace_root: str) -> None:
    settings = BenchmarkSettings(workspace=workspace_root, dry_run=True, rows=("scratch", "ours", "mae"), seeds=2)
    assert benchmark(settings).counts["runs"] == len(SIMULATED) * 3 * 2 == 66
    assert not Path(workspace_root).exists()
    named = settings.model_copy(update={"data": ("chips", "boats")})
    assert benchmark(named).counts["tasks"] == "chips, boats"
    assert benchmark(named.model_copy(update={"folds": 5})).counts["runs"] == 2 * 3 * 2 * 5


def test_what_is_unknown_is_one_line(workspace_root: str) -> None:
    with pytest.raises(SettingsError, match="unknown task 'classification_moon'; use all, or classification_airport"):
        benchmark(BenchmarkSettings(workspace=workspace_root, tasks=("classification_moon",)))
    with pytest.raises(SettingsError, match="the simulated archive has no frozen splits; leave it and --split out"):
        benchmark(BenchmarkSettings(workspace=workspace_root, folds=5))
    with pytest.raises(SettingsError, match="'moco4' is neither one of scratch, ours, mae, moco nor NAME=START"):
        read_settings(BenchmarkSettings, ["--rows", "moco4"], prog="jobs.benchmark")
    with pytest.raises(SettingsError, match=r"nowhere\.yaml.*cannot be read"):
        benchmark(BenchmarkSettings(workspace=workspace_root, finetune=Path("nowhere.yaml")))


def test_a_row_is_named_after_a_run_or_a_start(workspace_root: str) -> None:
    workspace, how = Workspace(workspace_root), {"checkpoint": "", "preset": None}
    assert row_of("itc=runs/itc/checkpoint", workspace, **how) == Row("itc", "runs/itc/checkpoint")
    assert row_of("mae", workspace, **how) == Row("mae", "runs/mae/checkpoint")
    assert row_of("ours", workspace, **how) == Row("ours", "runs/pretrain/checkpoint")
    assert row_of("scratch", workspace, **how) == Row("scratch", "runs/pretrain/checkpoint", "scratch")
    given = {"checkpoint": "elsewhere", "preset": None}
    assert row_of("dino=timm:vit_small_patch16_224.dino", workspace, **given) == Row(
        "dino", "elsewhere", "timm:vit_small_patch16_224.dino"
    )


@pytest.mark.slow
@pytest.mark.ray
def test_rows_on_a_published_set(workspace_root: str, tmp_path: Path, tiny_checkpoint: Path, ray_cluster: None) -> None:
    workspace, common = Workspace(workspace_root), {"workspace": workspace_root}
    root = class_folders(tmp_path / "set", classes=("A220", "A330", "B737"), each=20)
    dataset(DatasetSettings(source=str(root), layout="class-folders", name="chips", **common))
    settings = BenchmarkSettings(
        data=("chips",), epochs=1, checkpoint=str(tiny_checkpoint), split=SplitChoice(scheme="random"), **common
    )
    summary = benchmark(settings)
    results = workspace.read_table("benchmark", "results.parquet").to_pylist()
    assert {one["row"] for one in results} == {"scratch", "ours", "most frequent"}
    own = [one for one in results if one["row"] == "ours"]
    assert {one["metric"] for one in own} >= {"top1", "top3"}
    assert all(one["checkpoint"] and one["examples"] and one["split"] and one["held_out"] for one in own)
    assert "| chips | top1 |" in workspace.read_bytes("benchmark", "results.md").decode()
    page = workspace.read_bytes("report.html").decode()
    assert "SAR-ACD" in page
    assert "91.1" in page
    again = benchmark(settings)  # finished runs are only read
    assert again.counts == summary.counts


@pytest.mark.slow
@pytest.mark.ray
def test_rows_over_folds(workspace_root: str, tmp_path: Path, tiny_checkpoint: Path, ray_cluster: None) -> None:
    workspace, common = Workspace(workspace_root), {"workspace": workspace_root}
    root = class_folders(tmp_path / "set", classes=("A220", "A330"), each=16)
    dataset(DatasetSettings(source=str(root), layout="class-folders", name="chips", folds=2, **common))
    shutil.copytree(tiny_checkpoint, workspace.local("runs", "itc", "checkpoint"))
    own = tmp_path / "own.yaml"
    own.write_text("task: classification\nepochs: 1\ntuning: {fit: pad}\ntrain: {batch_size: 8}\n", encoding="utf-8")
    settings = BenchmarkSettings(
        data=("chips",),
        rows=("scratch", "itc=runs/itc/checkpoint"),
        checkpoint=str(tiny_checkpoint),
        split=SplitChoice(val_share=0.0),
        folds=2,
        finetune=own,
        **common,
    )
    assert "±" in benchmark(settings).counts["chips"]
    results = [one for one in workspace.read_table("benchmark", "results.parquet").to_pylist() if one["run"]]
    assert {(one["row"], one["fold"]) for one in results} == {
        (row, fold) for row in ("scratch", "itc") for fold in (0, 1)
    }
    assert all(json.loads(one["settings"])["tuning"]["fit"] == "pad" for one in results)
    held = {one["fold"]: one["held_out"] for one in results}
    assert sum(held.values()) == len(workspace.read_table("datasets/chips", columns=["example_id"]))
    (pair,) = workspace.read_table("benchmark", "paired.parquet").to_pylist()
    assert (pair["row"], pair["other"]) == ("itc", "scratch")


@pytest.mark.slow
@pytest.mark.ray
def test_the_simulated_archive_shrunk(workspace_root: str, tiny_checkpoint: Path, ray_cluster: None) -> None:
    names = ("classification_port", "segmentation_city", "vqa")
    common = {"workspace": workspace_root, "checkpoint": str(tiny_checkpoint), "epochs": 1}
    benchmark(BenchmarkSettings(tasks=names, rows=("ours",), **common))
    results = Workspace(workspace_root).read_table("benchmark", "results.parquet").to_pylist()
    assert {one["name"] for one in results} == set(names)
    assert {one["row"] for one in results if one["name"] == "vqa"} == {"ours", "most frequent", "text only"}
    assert "Figures of ours: classification_port" in Workspace(workspace_root).read_bytes("report.html").decode()
