"""Order on disk and near duplicates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.records import TILES
from knowlip.tiling.duplicates import DuplicateSettings, find_duplicates, hashed_tiles, perceptual_hash
from knowlip.tiling.geoparquet import bbox_of, with_geometry
from knowlip.tiling.ordering import ROW_GROUP_TILES, row_groups_within, spatial_order
from knowlip.workspace import Workspace
from tests.builders import speckled, tile_row

DOT = np.full((4, 4), 9, np.uint8)


def grid_rows(side: int) -> list[dict[str, Any]]:
    rows = []
    for down in range(side):
        for right in range(side):
            row = tile_row(
                f"t-{down}-{right}", DOT, row_off=down, col_off=right, corner=(8 + right * 1e-2, 50 - down * 1e-2)
            )
            rows.append(row | {"bbox": bbox_of(geopandas.GeoSeries.from_wkb([row["geometry"]])[0])})
    return rows


def test_a_box_reads_a_fraction_of_the_row_groups(tmp_path: Path) -> None:
    rows = spatial_order(grid_rows(32))
    path = tmp_path / "tiles.parquet"
    table = with_geometry(pa.Table.from_pylist(rows, schema=TILES))
    pq.write_table(table, path, row_group_size=ROW_GROUP_TILES, use_dictionary=False)
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 64
    bounds = (8.1, 49.85, 8.14, 49.9)
    chosen = row_groups_within(metadata, bounds)
    assert 0 < len(chosen) <= 8
    everything = geopandas.read_parquet(path).cx[bounds[0] : bounds[2], bounds[1] : bounds[3]]["tile_id"]
    there = pq.ParquetFile(path).read_row_groups(chosen, columns=["tile_id"])["tile_id"].to_pylist()
    assert len(everything) > 10
    assert set(everything) <= set(there)
    assert row_groups_within(metadata, (100, 0, 101, 1)) == []


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(16)))
def test_the_order_on_disk_depends_on_places_alone(order: list[int]) -> None:
    rows = grid_rows(4)
    expected = [row["tile_id"] for row in spatial_order(rows)]
    assert [row["tile_id"] for row in spatial_order([rows[index] for index in order])] == expected


def test_tiles_without_a_place_keep_their_reading_order() -> None:
    rows = [row | {"lon": None, "lat": None} for row in grid_rows(3)]
    assert [row["tile_id"] for row in spatial_order(rows[::-1])] == [row["tile_id"] for row in rows]


def scenery(seed: int) -> np.ndarray:
    """A coarse field of bright and dark blocks, the same for a seed, without speckle."""
    return np.kron(np.random.default_rng(seed).uniform(10, 200, (8, 8)), np.ones((16, 16)))


def test_the_hash_sees_the_ground_and_not_the_speckle() -> None:
    same = perceptual_hash(speckled(scenery(1), seed=1)) ^ perceptual_hash(speckled(scenery(1), seed=2))
    other = perceptual_hash(speckled(scenery(1), seed=1)) ^ perceptual_hash(speckled(scenery(2), seed=1))
    assert same.bit_count() <= 8
    assert other.bit_count() >= 16


def test_passes_over_the_same_ground_and_repeated_chips_are_marked(tmp_path: Path) -> None:
    first, second, elsewhere = scenery(1), scenery(2), (12.0, 45.0)
    rows = [
        tile_row("a", speckled(first, seed=1)),
        tile_row("b", speckled(first, seed=2)),
        tile_row("c", speckled(second, seed=3)),
        tile_row("d", speckled(second, seed=3), corner=elsewhere),
        tile_row("e", speckled(scenery(3), seed=4), corner=elsewhere),
        tile_row("f", speckled(first, seed=1), scale="M"),
        tile_row("g", speckled(first, seed=1), series="VH"),
    ]
    workspace = Workspace(str(tmp_path))
    workspace.write_table(pa.Table.from_pylist(rows, schema=TILES), "tiles", "u-r.parquet")
    hashed = list(hashed_tiles(workspace))
    found = find_duplicates(hashed, DuplicateSettings())
    assert {(row["tile_id"], row["duplicate_of"]) for row in found.to_pylist()} == {("b", "a"), ("d", "c")}
    assert [round(row["overlap"], 3) for row in found.to_pylist()] == [1.0, 0.0]
    assert find_duplicates(hashed[::-1], DuplicateSettings()) == found
