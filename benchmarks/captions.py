"""How true and how rich the measured captioner's text is.

``python benchmarks/captions.py`` holds the strong scatterers that it counts against the truth of simulated scenes,
tiled as `jobs.tile` does (by the demo's extent and by the paper's), and measures the lexical diversity (MTLD) of the
demo's captions. Scenes with these seeds were never looked at while the detector was made.

A detection is right when it lies within eight metres of where a true object appears, its top laid over towards the
radar. `target_precision_once` also calls the second detection of one object wrong.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import numpy as np
from record import record

from knowlip.captioning import Chain, MeasuredCaptioner, decode, grey_levels, measure, mtld
from knowlip.captioning.richness import words
from knowlip.captioning.scoring import TargetScore, score_targets
from knowlip.records import SCALES
from knowlip.scenes.simulate import SimulatedScene, SimulationSettings, appearances, demo_scenes, simulate, write_scene
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.tiling.table import tile_strip

DEMO_GRID = GridSettings(extent_m=176, medium=4, large=12)
PAPER_GRID = GridSettings(extent_m=1024, medium=2, large=2)
SEEDS = range(7000, 7003)
CASES: tuple[tuple[str, GridSettings, dict[str, Any]], ...] = (
    ("airport", DEMO_GRID, {}),
    ("port", DEMO_GRID, {}),
    ("airport", PAPER_GRID, {}),
    ("port", PAPER_GRID, {}),
    ("airport", PAPER_GRID, {"sensor": "Hongtu-1", "size_px": (704, 704)}),
    ("sea", PAPER_GRID, {"sensor": "Gaofen-3", "gsd_m": 3.0, "size_px": (1408, 1408)}),
    ("sea", PAPER_GRID, {"size_px": (640, 640)}),
)
"""Kind of scene, how it is tiled, and what else it is asked to be."""


def tiles_of(scene: SimulatedScene, grid: GridSettings, screening: ScreeningSettings) -> list[dict[str, Any]]:
    """Tile a simulated scene as the job does, parents first."""
    with tempfile.TemporaryDirectory() as folder:
        survey = survey_scene(str(write_scene(scene, folder).image), SceneSettings(), grid)
        if survey.scene is None:
            raise SystemExit(survey.detail)
        with survey.scene.reading() as reader:
            rows = [
                row
                for strip in survey.strips
                for row in tile_strip(reader, strip, survey.bands[1], grid=grid, screening=screening).kept
            ]
    return sorted(rows, key=lambda row: SCALES.index(row["scale"]))


def detections(rows: list[dict[str, Any]]) -> Iterator[tuple[int, float, float]]:
    """Measure the small tiles with their ancestors' grey levels: number of the tile, column and row in the scene."""
    levels: dict[str, Any] = {}
    for number, row in enumerate(rows):
        image = decode(row["image"])
        levels[row["tile_id"]] = levels.get(row["parent_id"] or "") or grey_levels(image)
        if row["scale"] == SCALES[-1]:
            measured = measure(image, row["gsd_m"], levels=levels[row["tile_id"]])
            step = row["width"] / measured.shape[1]
            for one in measured.scatterers:
                yield number, row["col_off"] + one.col * step, row["row_off"] + one.row * step


def scored(scene: SimulatedScene, grid: GridSettings) -> TargetScore:
    """Score one scene's detections; no tile is screened away."""
    everything = ScreeningSettings(keep_low_structure=True)
    rows = tiles_of(scene, grid, everything)
    small = [row for row in rows if row["scale"] == SCALES[-1]]
    found = list(detections(rows))
    return score_targets(
        np.array([(col, row) for _, col, row in found]).reshape(-1, 2),
        [tile for tile, _, _ in found],
        appearances(scene),
        gsd_m=scene.settings.ground_gsd_m,
        covered_px=(
            max(row["col_off"] + row["width"] for row in small),
            max(row["row_off"] + row["height"] for row in small),
        ),
    )


def targets() -> tuple[TargetScore, dict[str, Any]]:
    """Score all cases; the pooled score, and each case's figures."""
    pooled, detail = TargetScore(), {}
    for kind, grid, changes in CASES:
        of_kind = TargetScore()
        for seed in SEEDS:
            of_kind += scored(simulate(SimulationSettings(kind=kind, seed=seed, **changes)), grid)
        gsd_m = SimulationSettings(kind=kind, **changes).ground_gsd_m
        name = f"{kind} {gsd_m:g} m a pixel, tiles of {grid.extent_m:g} m"
        figures = (of_kind.recall, of_kind.precision, of_kind.precision_once)
        print(f"{name:46s} recall {figures[0]:.3f}  precision {figures[1]:.3f}  once {figures[2]:.3f}", flush=True)
        detail[name] = {"targets": of_kind.targets, "found": of_kind.found, "recall_precision_once": figures}
        pooled += of_kind
    return pooled, detail


def demo_texts() -> list[list[str]]:
    """Caption the demo's scenes; the words of each tile's text."""
    texts = []
    for settings in demo_scenes():
        rows = tiles_of(simulate(settings), DEMO_GRID, ScreeningSettings())
        captions = Chain(MeasuredCaptioner()).run(rows)
        texts += [words(" ".join(caption.subtexts.values())) for caption in captions]
    return texts


def main() -> None:
    """Measure targets and text."""
    pooled, detail = targets()
    record("captions", "target_recall", pooled.recall, target=0.9, detail=detail)
    record("captions", "target_precision", pooled.precision, target=0.8, detail=detail)
    record("captions", "target_precision_once", pooled.precision_once, detail=detail)
    texts = demo_texts()
    detail = {
        "tiles": len(texts),
        "words_a_tile": fmean(map(len, texts)),
        "mean_of_tiles": fmean(mtld(text) for text in texts),
        "over_tiles": "all texts in a row",
    }
    record("captions", "mtld", mtld([word for text in texts for word in text]), target=50, detail=detail)


if __name__ == "__main__":
    main()
