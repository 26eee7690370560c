"""Captions of a real scene: Los Angeles' port and airport are named where they are and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from rasterio.windows import Window

from jobs.caption import CaptionSettings, caption
from jobs.tile import TileSettings, tile
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace

pytestmark = pytest.mark.ray


def test_port_and_airport_are_named_where_they_are(knowlip_data: Path, tmp_path: Path, ray_cluster: None) -> None:
    crop, window = tmp_path / "crop.tif", Window(700, 3300, 1700, 1500)
    with rasterio.open(knowlip_data / "scenes" / "los_angeles_s1_vh.tif") as scene:
        profile = scene.profile | {"width": window.width, "height": window.height}
        profile["transform"] = scene.window_transform(window)
        with rasterio.open(crop, "w", **profile) as out:
            out.write(scene.read(window=window))
    workspace = Workspace(str(tmp_path / "workspace"))
    tile(TileSettings(workspace=workspace.root, scenes={"paths": [str(crop)]}, tiling={"large": 8.0}))
    caption(CaptionSettings(workspace=workspace.root))
    columns = ["tile_id", "scale", "parent_id", "airports", "ports"]
    tiles = {row["tile_id"]: row for row in workspace.read_table("tiles", columns=columns).to_pylist()}
    captions = workspace.read_table("captions").to_pylist()
    assert {row["tile_id"] for row in captions} == set(tiles)

    def around(tile_id: str) -> list[dict]:
        above = tiles.get(tile_id)
        return [] if above is None else [above, *around(above["parent_id"])]

    named = set()
    for row in captions:
        text = " ".join(row[name] for name in SUBTEXTS)
        near = around(row["tile_id"])
        if "(LGB)" in text:
            named.add("airport")
            assert any(spot["code"] == "LGB" for one in near for spot in one["airports"])
        if "a port" in row["regional_function"] or ", a port" in text:
            named.add("port")
            assert any(one["ports"] for one in near)
        own = tiles[row["tile_id"]]
        if own["airports"] and not own["ports"]:
            assert own["airports"][0]["code"] in text
    assert named == {"airport", "port"}
