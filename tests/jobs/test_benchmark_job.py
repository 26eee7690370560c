"""The benchmark job: every cell a run, results with what made them, a table, a report; what is unknown is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.benchmark import BenchmarkSettings, benchmark
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


def test_what_is_unknown_is_one_line(workspace_root: str) -> None:
    with pytest.raises(SettingsError, match="unknown task 'classification_moon'; use all, or classification_airport"):
        benchmark(BenchmarkSettings(workspace=workspace_root, tasks=("classification_moon",)))
    with pytest.raises(SettingsError, match="'moco4' is neither one of scratch, ours, mae, moco nor NAME=START"):
        read_settings(BenchmarkSettings, ["--rows", "moco4"], prog="jobs.benchmark")


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
def test_the_simulated_archive_shrunk(workspace_root: str, tiny_checkpoint: Path, ray_cluster: None) -> None:
    names = ("classification_port", "segmentation_city", "vqa")
    common = {"workspace": workspace_root, "checkpoint": str(tiny_checkpoint), "epochs": 1}
    benchmark(BenchmarkSettings(tasks=names, rows=("ours",), **common))
    results = Workspace(workspace_root).read_table("benchmark", "results.parquet").to_pylist()
    assert {one["name"] for one in results} == set(names)
    assert {one["row"] for one in results if one["name"] == "vqa"} == {"ours", "most frequent", "text only"}
    assert "Figures of ours: classification_port" in Workspace(workspace_root).read_bytes("report.html").decode()
