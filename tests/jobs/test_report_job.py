from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest

import models
from jobs.report import ReportSettings, report
from knowlip.archive import Version, checkpoint_digest, load_units
from knowlip.errors import CheckpointError, WorkspaceError
from knowlip.workspace import Workspace


@pytest.fixture
def workspace(workspace_root, write_tiles):
    workspace = Workspace(workspace_root)
    write_tiles(workspace, "los", count=6, captions=False)
    return workspace


def page_of(workspace):
    return workspace.read_bytes("report.html").decode()


def test_tiles_alone_have_a_report(workspace):
    summary = report(ReportSettings(workspace=workspace.root, title="Los Angeles"))
    assert summary.where.endswith("report.html")
    page = page_of(workspace)
    assert "<h1>Los Angeles</h1>" in page
    assert "Where the tiles lie" in page
    assert "Search by words" not in page


def test_searches_are_answered_in_process(workspace, tiny_checkpoint):
    folder = "runs/pretrain/checkpoint"
    shutil.copytree(tiny_checkpoint, workspace.local(folder))
    model = models.load(tiny_checkpoint)
    tiles = workspace.read_table("tiles", columns=["tile_id", "view"])
    vectors = model.encode_image(tiles["view"].to_pylist())
    version = Version(digest=checkpoint_digest(workspace, folder), checkpoint=folder, width=vectors.shape[1])
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), version.width)
    vector_table = pa.table({"tile_id": tiles["tile_id"], "vector": column})
    workspace.write_table(vector_table, version.vectors, "los.parquet")
    load_units(workspace, version)
    version.publish(workspace)
    report(ReportSettings(workspace=workspace.root, queries=("a lighthouse",), k=2))
    page = page_of(workspace)
    assert "“a lighthouse”" in page
    assert page.count("similarity ") == 2

    other = workspace.local(folder, "preprocessing.json")
    other.write_text(other.read_text().replace('"mean": 0.35', '"mean": 0.4'))
    (line,) = report(ReportSettings(workspace=workspace.root)).set_aside
    assert "was made by checkpoint" in line
    assert "Search by words" not in page_of(workspace)
    with pytest.raises(CheckpointError, match="was made by checkpoint"):
        report(ReportSettings(workspace=workspace.root, strict=True))


def test_a_dry_run_writes_nothing_and_an_empty_workspace_is_one_line(workspace, tmp_path):
    assert "Tiles" in report(ReportSettings(workspace=workspace.root, dry_run=True)).counts["sections"]
    assert not workspace.exists("report.html")
    with pytest.raises(WorkspaceError, match="holds nothing to report; run a job first"):
        report(ReportSettings(workspace=str(tmp_path / "none")))
