"""Exports open in the tools they are made for."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
from pystac.validation import stac_validator
from pystac.validation.local_validator import get_local_schema_cache

from jobs.export import ExportSettings, export
from knowlip.manifest import Manifest
from knowlip.records import TILES
from knowlip.tiling.duplicates import DUPLICATES
from knowlip.tiling.encoding import decode_png
from knowlip.tiling.texture import Quality
from knowlip.workspace import Workspace
from tests.builders import speckled, tile_row

QUALITY = Quality(40, 0.3, 0.1, 0.4, 6.5, 0.02, 0.0, 1.5, 30.0, 40.0, 2.5).record()
TRANSFER = {"quantity": "amplitude", "decided_by": "tags", "low": 1.0, "high": 9.0, "curve": "amplitude"}
WHEN = datetime(2024, 6, 1, 5, 30, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three tiles in two files; the last repeats the first and has no time."""
    place = Workspace(str(tmp_path / "workspace"))
    rows = [
        tile_row(
            f"tile-{number}",
            speckled(np.full((300, 260), 80.0), seed=number),
            quality=QUALITY,
            transfer=TRANSFER,
            time=WHEN if number < 2 else None,
            scale="M" if number == 1 else "S",
        )
        for number in range(3)
    ]
    for number, part in enumerate((rows[:2], rows[2:])):
        place.write_table(pa.Table.from_pylist(part, schema=TILES), "tiles", f"u{number}-r.parquet")
    return place


def test_stac_items_are_valid_and_lead_to_their_cogs(workspace: Workspace) -> None:
    summary = export(ExportSettings(workspace=workspace.root))
    assert summary.counts["tiles"] == 3
    document = json.loads(workspace.read_bytes("exports/stac/items.json"))
    collection = pystac.ItemCollection.from_dict(document)
    validator = stac_validator.JsonSchemaSTACValidator()
    validator.schema_cache.update(get_local_schema_cache())
    for item, feature in zip(collection, document["features"], strict=True):
        assert item.properties.get("knowlip:time_unknown", False) == (item.id == "tile-2")
        validator.validate_core(feature, pystac.STACObjectType.ITEM, pystac.get_stac_version())
        path = workspace.local("exports/stac", item.assets["image"].href)
        with rasterio.open(path) as source:
            assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            west, south, east, north = source.bounds
            assert np.allclose([west, south, east, north], item.bbox)
    broken = {**document["features"][0], "geometry": "somewhere"}
    with pytest.raises(pystac.STACValidationError):
        validator.validate_core(broken, pystac.STACObjectType.ITEM, pystac.get_stac_version())


def test_a_cog_holds_the_tile_exactly(workspace: Workspace) -> None:
    export(ExportSettings(workspace=workspace.root, format="cog", scales=("M",)))
    (row,) = (row for row in workspace.read_table("tiles").to_pylist() if row["scale"] == "M")
    assert workspace.files("exports/cog/cogs", suffix=".tif") == ["tile-1.tif"]
    with rasterio.open(workspace.local("exports/cog/cogs/tile-1.tif")) as source:
        assert np.array_equal(source.read(1), decode_png(row["image"]))
        assert list(source.transform)[:6] == pytest.approx(row["affine"])
        assert (source.nodata, source.crs.to_string()) == (0, row["crs"])
        assert json.loads(source.tags()["transfer"]) == TRANSFER


def test_webdataset_pairs_lie_side_by_side(workspace: Workspace) -> None:
    export(ExportSettings(workspace=workspace.root, format="webdataset"))
    names = workspace.files("exports/webdataset", suffix=".tar")
    assert names == ["tiles-00000-of-00002.tar", "tiles-00001-of-00002.tar"]
    with tarfile.open(fileobj=io.BytesIO(workspace.read_bytes("exports/webdataset", names[0]))) as tar:
        assert tar.getnames() == ["tile-0.png", "tile-0.json", "tile-1.png", "tile-1.json"]
        member = tar.extractfile("tile-0.json")
        assert member is not None
        facts = json.loads(member.read())
    assert (facts["tile_id"], facts["time"], facts["city"]) == ("tile-0", WHEN.isoformat(), "Long Beach")


def test_a_hugging_face_dataset_has_pictures_and_a_card(workspace: Workspace) -> None:
    export(ExportSettings(workspace=workspace.root, format="huggingface", licence="cc-by-4.0"))
    table = pq.read_table(workspace.local("exports/huggingface/data"))
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert set(features) == set(table.column_names)
    assert decode_png(table["image"][0].as_py()["bytes"]).shape == (300, 260)
    card = workspace.read_bytes("exports/huggingface/README.md").decode()
    assert "license: cc-by-4.0" in card
    assert "3 tiles of 1 scenes" in card
    assert Manifest.read(workspace, "exports/huggingface") is not None


def test_marked_repeats_stay_out_unless_asked_for(workspace: Workspace) -> None:
    row = {"tile_id": "tile-2", "duplicate_of": "tile-0", "hash_distance": 1, "overlap": 1.0}
    workspace.write_table(pa.Table.from_pylist([row], schema=DUPLICATES), "tiles/_duplicates", "duplicates.parquet")
    assert export(ExportSettings(workspace=workspace.root, format="webdataset")).counts["tiles"] == 2
    assert export(ExportSettings(workspace=workspace.root, format="webdataset", duplicates=True)).counts["tiles"] == 3
