"""Screening again from the command line: a sheet, labels, a replay, repeats; no raster is near."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from jobs.command import run
from jobs.screen import ScreenSettings, screen_again
from jobs.tile import TileSettings, tile
from knowlip.errors import DataError, WorkspaceError
from knowlip.records import REJECTED, SCENES, TILES
from knowlip.tiling.texture import Quality
from knowlip.workspace import Workspace
from tests.builders import png, speckled, tile_row

BUSY = Quality(40, 0.3, 0.1, 0.4, 6.5, 0.02, 0.0, 1.5, 30.0, 40.0, 2.5).record()
CALM = Quality(8, 0.5, 0.2, 0.01, 4.5, 0.0, 0.0, 3.0, 11.0, 0.0, 1.0).record()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three tiles, the third the first one's repeat, and one that was turned away."""
    place = Workspace(str(tmp_path / "workspace"))
    first, second = (
        speckled(np.kron(np.eye(4)[order], np.ones((16, 16))) * 150 + 20) for order in ([0, 1, 2, 3], [2, 0, 3, 1])
    )
    rows = [tile_row(name, image, quality=BUSY) for name, image in {"a": first, "b": second, "c": first}.items()]
    place.write_table(pa.Table.from_pylist(rows, schema=TILES), "tiles", "u-r.parquet")
    away = tile_row("d", first, quality=CALM)
    away |= {"reason": "low_structure", "score": 1.0, "threshold": 1.2, "thumbnail": png(first)}
    row = {name: away[name] for name in REJECTED.names}
    place.write_table(pa.Table.from_pylist([row], schema=REJECTED), "tiles/_rejected", "u-r.parquet")
    return place


def test_a_sheet_shows_kept_and_rejected_with_their_reasons(workspace: Workspace) -> None:
    summary = screen_again(ScreenSettings(action="sheet", workspace=workspace.root))
    assert summary.counts == {"kept": 3, "low_structure": 1}
    page = workspace.read_bytes("tiles/_sheets/contact_sheet.html").decode()
    assert page.count("data:image/png;base64,") == 4
    assert "low_structure (1)" in page
    assert "1 against 1.2" in page
    assert "http" not in page
    with Image.open(io.BytesIO(workspace.read_bytes("tiles/_sheets/contact_sheet.png"))) as picture:
        assert len(np.unique(np.asarray(picture))) > 50


def test_labels_from_a_sheet_decide_the_next_replay(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps({"a": "reject", "d": "keep"}))
    labels = str(tmp_path / "labels.json")
    summary = screen_again(ScreenSettings(action="label", workspace=workspace.root, labels=labels))
    assert summary.counts == {"keep": 1, "reject": 1}
    summary = screen_again(ScreenSettings(action="replay", workspace=workspace.root))
    assert summary.counts == {"kept": 2, "set aside now": 1, "brought back": 0, "no image": 1}
    assert "--retry no_image" in summary.set_aside[0]
    reasons = {row["tile_id"]: row["reason"] for row in workspace.read_table("tiles/_rejected").to_pylist()}
    assert reasons == {"a": "label", "d": "no_image"}
    assert json.loads(workspace.read_bytes("tiles/_screening.json"))["counts"] == summary.counts
    assert workspace.read_table("tiles")["tile_id"].to_pylist() == ["b", "c"]


def test_repeats_are_marked(workspace: Workspace) -> None:
    summary = screen_again(ScreenSettings(action="duplicates", workspace=workspace.root))
    assert summary.counts == {"tiles": 3, "repeat another": 1}
    (row,) = workspace.read_table("tiles/_duplicates").to_pylist()
    assert (row["tile_id"], row["duplicate_of"], row["hash_distance"]) == ("c", "a", 0)


def test_the_action_is_a_word_on_the_command_line(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(ScreenSettings, screen_again, ["replay", "--workspace", workspace.root, "--dry-run"])
    assert "tiles would be" in capsys.readouterr().out
    assert not workspace.exists("tiles", "_screening.json")
    with pytest.raises(SystemExit):
        run(ScreenSettings, screen_again, ["guess", "--workspace", workspace.root])
    assert "action" in capsys.readouterr().err
    with pytest.raises(DataError, match="cannot be read"):
        screen_again(ScreenSettings(action="label", workspace=workspace.root, labels=str(tmp_path / "none.json")))
    with pytest.raises(WorkspaceError, match="is not there"):
        screen_again(ScreenSettings(action="replay", workspace=str(tmp_path / "empty")))


def test_the_tile_job_counts_what_is_there(workspace: Workspace, tmp_path: Path) -> None:
    row = {"scene_id": "scene", "scene_name": "scene.tif", "status": "tiled", "kept": 3, "rejected": 1}
    workspace.write_table(pa.Table.from_pylist([row], schema=SCENES), "tiles/_scenes", "scene-r.parquet")
    counts = tile(TileSettings(workspace=workspace.root, summary=True)).counts
    assert {name: count for name, count in counts.items() if count} == {
        "scenes tiled": 1,
        "kept S": 3,
        "rejected: low_structure": 1,
    }
    with pytest.raises(WorkspaceError, match="holds no tiles"):
        tile(TileSettings(workspace=str(tmp_path / "empty"), summary=True))
