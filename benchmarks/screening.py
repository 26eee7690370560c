"""How well tiles are screened: precision and recall on simulated tiles that nothing was trained on.

``python benchmarks/screening.py`` measures the rules and the nearest-neighbour filter side by side;
``python benchmarks/screening.py --write-labels`` first makes the filter's default table anew.

The truth says what a tile is worth. It is worth keeping when it shows an object (a building, a ship, a road …) of at
least nine pixels, or two land covers; it is worthless when it shows one land cover and nothing else. What is in
between (a field's corner, the edge of a hut) is left out, and counted.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from record import record

from knowlip.geography import apply_affine, to_crs
from knowlip.records import conform
from knowlip.scenes.simulate import Kind, SimulatedScene, SimulationSettings, simulate, write_scene
from knowlip.tiling.cutting import cut_strip
from knowlip.tiling.grid import GridSettings, Window
from knowlip.tiling.labels import LABELS, default_labels, package_path
from knowlip.tiling.screening import NeighbourFilter, ScreeningSettings, screen
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.tiling.texture import Quality, measure_quality

SIDE_PX = 1024
TILE_PX = 128
SMALLEST_OBJECT_PX = 9
SECOND_COVER = 0.05
TRAINING_SEEDS = range(1000, 1003)
HELD_OUT_SEEDS = range(5000, 5002)
SENSORS = (("Gaofen-3", 1.0, 3.0), ("Capella", 0.5, 1.0), ("Hongtu-1", 3.0, 2.0), ("TerraSAR-X", 1.25, 6.0))


@dataclass(frozen=True)
class Labelled:
    """A tile with its label: kept, rejected, or none where the truth leaves it open."""

    tile_id: str
    quality: Quality
    worth: bool | None


def scenes(seeds: Sequence[int]) -> Iterator[SimulationSettings]:
    """Every kind of scene by every sensor, with seeds that never repeat."""
    for seed, (number, (sensor, gsd_m, looks)), kind in itertools.product(seeds, enumerate(SENSORS), get_args(Kind)):
        yield SimulationSettings(
            kind=kind, sensor=sensor, gsd_m=gsd_m, looks=looks, size_px=(SIDE_PX, SIDE_PX), seed=10 * seed + number
        )


def labelled_tiles(settings: SimulationSettings) -> list[Labelled]:
    """Simulate a scene, measure its small tiles as the tile job does, and label them from its truth."""
    scene = simulate(settings)
    outlines = outlines_px(scene)
    grid = GridSettings(extent_m=TILE_PX * settings.ground_gsd_m, medium=0, large=0)
    with tempfile.TemporaryDirectory() as folder:
        survey = survey_scene(str(write_scene(scene, folder).image), SceneSettings(), grid)
        if survey.scene is None:
            raise SystemExit(survey.detail)
        radiometry = survey.bands[1]
        with survey.scene.reading() as reader:
            return [
                Labelled(
                    cut.planned.tile_id,
                    measure_quality(cut.tile, cut.tile.view(), radiometry.transfer, looks=radiometry.looks),
                    worth(scene, outlines, cut.planned.window),
                )
                for strip in survey.strips
                for cut in cut_strip(reader, strip, radiometry.transfer)
            ]


def worth(scene: SimulatedScene, outlines: np.ndarray, window: Window) -> bool | None:
    """Say from the truth whether a tile is worth keeping."""
    area = shapely.box(window.col, window.row, window.col + window.width, window.row + window.height)
    shown = shapely.area(shapely.intersection(outlines, area))
    covers = scene.landcover[window.row : window.row + window.height, window.col : window.col + window.width]
    shares = np.sort(np.bincount(covers.ravel()) / covers.size)[::-1]
    if (shown >= SMALLEST_OBJECT_PX).any() or shares[1:2].sum() >= SECOND_COVER:
        return True
    return False if not shown.any() and shares[0] >= 1.0 - SECOND_COVER / 10 else None


def outlines_px(scene: SimulatedScene) -> np.ndarray:
    """Return the objects' outlines in pixels."""

    def pixels(lonlat: np.ndarray) -> np.ndarray:
        return np.column_stack(apply_affine(~scene.transform, *to_crs(scene.crs, lonlat[:, 0], lonlat[:, 1])))

    outlines = [shapely.geometry.shape(feature["geometry"]) for feature in scene.features]
    return np.array([shapely.transform(outline, pixels) for outline in outlines], dtype=object)


def dataset(seeds: Sequence[int]) -> tuple[list[Labelled], int]:
    """Return labelled tiles, and how many the truth leaves open."""
    found = [tile for settings in scenes(seeds) for tile in labelled_tiles(settings)]
    certain = [tile for tile in found if tile.worth is not None]
    return certain, len(found) - len(certain)


def write_labels() -> None:
    """Make the filter's default table."""
    tiles, _ = dataset(TRAINING_SEEDS)
    rows = [
        {"tile_id": tile.tile_id, "kept": bool(tile.worth), "source": "simulated", "quality": tile.quality.record()}
        for tile in tiles
    ]
    table = conform(pa.Table.from_pylist(rows, schema=LABELS), LABELS, where="labels")
    pq.write_table(table, package_path(), compression="zstd", version="2.6")
    worthwhile = sum(bool(row["kept"]) for row in rows)
    print(f"{package_path()}: {len(rows)} labels, {worthwhile} of them worth keeping")


def measured(kept: np.ndarray, worthwhile: np.ndarray) -> tuple[float, float]:
    """Return precision and recall of keeping."""
    right = (kept & worthwhile).sum()
    return right / max(kept.sum(), 1), right / max(worthwhile.sum(), 1)


def main() -> None:
    """Measure both ways of screening."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write-labels", action="store_true", help="make the default table anew first")
    if parser.parse_args().write_labels:
        write_labels()
    tiles, left_open = dataset(HELD_OUT_SEEDS)
    qualities = [tile.quality for tile in tiles]
    truth = np.array([tile.worth for tile in tiles], dtype=bool)
    rules = np.array([screen(quality, ScreeningSettings()) is None for quality in qualities])
    neighbours = NeighbourFilter(*default_labels()).scores(qualities) >= 0.5
    detail = {"tiles": len(tiles), "worth_keeping": int(truth.sum()), "left_open": left_open, "tile_px": TILE_PX}
    for judge, kept in (("rules", rules), ("neighbours", neighbours)):
        precision, recall = measured(kept, truth)
        turned_away = float((~kept & ~truth).sum() / max((~truth).sum(), 1))
        print(f"{judge:12s} precision {precision:.4f}  recall {recall:.4f}  worthless turned away {turned_away:.4f}")
        detail[judge] = {"precision": float(precision), "recall": float(recall), "worthless_rejected": turned_away}
    precision, recall = measured(neighbours, truth)
    record("screening", "precision", precision, target=0.95, detail=detail)
    record("screening", "recall", recall, target=0.95, detail=detail)


if __name__ == "__main__":
    main()
