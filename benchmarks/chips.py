"""SAR-ACD's learned rows: pretraining on chips without labels, then fine-tuning over five folds (Tables 4 and 8).

What is pretrained on are the chips of SAR-ACD, those that are tested later included, but never their labels; and the
images of SAR-AIRcraft's sample, of the same sensor and resolution. A chip is padded to its native scale: its size in
metres tells. The words are measured from the pixels, so no screening is asked for. All rows have the same vision tower
and are tuned by one recipe, and those that are pretrained saw as many images; nothing is chosen by what is reported,
for the last epoch counts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio
from PIL import Image

from jobs.baseline import BaselineSettings, baseline
from jobs.benchmarking.matrix import Case, Cell, measured, publish
from jobs.benchmarking.rows import Row
from jobs.caption import CaptionSettings, caption
from jobs.cluster import connected
from jobs.corpus import CorpusSettings, SplitSettings, corpus
from jobs.dataset import DatasetSettings, dataset
from jobs.pretrain import PretrainSettings, pretrain
from jobs.tile import TileSettings, tile
from knowlip.benchmark.splits import Scheme, SplitChoice, in_turn
from knowlip.workspace import Workspace

__all__ = ["cells", "fine_tuned", "prepare", "pretrained"]

PIXELS = 128
"""Side of the input, pixels of 1 m."""
NAME = "sar_acd"

_MODEL: dict[str, Any] = {
    "vision": {"image_size": PIXELS},
    "text": {"max_tokens": 224},
    # At most half an epoch of features, so that the queue seldom holds a chip that the batch holds too.
    "contrast": {"queue_size": 1536, "queue_warmup_steps": 100, "momentum": 0.99, "alpha_warmup_steps": 200},
}
_DESCENT = {"learning_rate": 5e-4, "warmup_steps": 60, "schedule": "cosine"}
_VARIED = {"shift_px": 12, "gain_db": 2.0, "speckle": 0.0}
"""How labelled chips vary besides turns: copies of a chip differ in intensity, and its place means nothing."""
_TUNED: dict[str, Any] = {
    "tuning": {"fit": "pad", "image_size": PIXELS, "label_smoothing": 0.1, "augmentation": _VARIED},
    "optimisation": {"learning_rate": 3e-4, "warmup_steps": 150, "schedule": "cosine"},
    "train": {"batch_size": 64},
}


def prepare(workspace: Workspace, data: Path) -> None:
    """Tile, describe and pair what is pretrained on, and read the labelled chips.

    Args:
        workspace: Where to.
        data: Folder with ``sar_acd`` and ``detection/sar_aircraft``.
    """
    root: dict[str, Any] = {"workspace": workspace.root}
    scenes = workspace.local("chips")
    _padded(data / NAME, scenes)
    tile(
        TileSettings(
            scenes={"paths": (str(scenes), str(data / "detection/sar_aircraft/images/*.jpg")), "gsd_m": 1.0},
            tiling={"extent_m": PIXELS, "medium": 0, "large": 0},
            screening={"nodata_max": 0.95, "keep_low_structure": True},
            **root,
        )
    )
    caption(CaptionSettings(**root))
    corpus(CorpusSettings(split=SplitSettings(train=0.95, val=0.05, test=0.0), **root))
    dataset(DatasetSettings(source=str(data / NAME), layout="class-folders", name=NAME, **root))


def pretrained(workspace: Workspace, preset: str, epochs: int, *, precision: str, concurrent: int) -> list[Row]:
    """Pretrain every row, some at a time, and return them with the one from scratch.

    Args:
        workspace: Of `prepare`.
        preset: Size of the model.
        epochs: Passes over the corpus.
        precision: As `jobs.pretrain --scaling.precision`.
        concurrent: Rows at a time, which share a GPU where there is one.
    """
    common: dict[str, Any] = {
        "workspace": workspace.root,
        "preset": preset,
        "tokenizer": {"source": "corpus", "vocab_size": 4000},
        "optimisation": _DESCENT,
        "train": {"batch_size": 128, "evaluate_every": 1000, "save_every": 1000},
        "scaling": {"workers": 1, "precision": precision, "gpus_per_worker": 1 / concurrent, "prefetch_batches": 4},
    }
    thirds = (epochs - 2 * (epochs // 3), epochs // 3, epochs // 3)
    ours: dict[str, Any] = {**common, "scio": {"stages": "none", "phase_epochs": thirds}}
    contrast = {"itc": 1.0, "itm": 0.0, "mlm": 0.0}
    plain = {**common, "model": {"vision": _MODEL["vision"], "text": _MODEL["text"]}, "epochs": epochs}
    runs = (
        lambda: pretrain(PretrainSettings(**ours, run="ours", model=_MODEL)),
        lambda: pretrain(PretrainSettings(**ours, run="itc", model={**_MODEL, "weights": contrast})),
        lambda: baseline(BaselineSettings(**plain, method="moco")),
        lambda: baseline(BaselineSettings(**plain, method="mae")),
    )
    with connected(), ThreadPoolExecutor(concurrent) as pool:
        for run in [pool.submit(run) for run in runs]:
            print(run.result(), flush=True)
    rows = [Row(name, f"runs/{name}/checkpoint") for name in ("mae", "moco", "itc", "ours")]
    return [Row("scratch", "runs/ours/checkpoint", "scratch"), *rows]


def cells(rows: list[Row], scheme: Scheme, folds: int) -> list[Cell]:
    """Return the cells of the first folds, fold by fold."""
    case = Case(scheme, "classification", NAME)
    splits = in_turn(SplitChoice(scheme=scheme, val_share=0.0), folds)
    return [Cell(case, row, 0, split) for split in splits for row in rows]


def fine_tuned(workspace: Workspace, wanted: list[Cell], epochs: int, *, precision: str, concurrent: int) -> pa.Table:
    """Fine-tune cells, and return the rows of `knowlip.records.RESULTS`."""
    tuned = {**_TUNED, "epochs": epochs, "scaling": {"precision": precision, "prefetch_batches": 3}}
    with connected():
        tables = measured(workspace, wanted, concurrent=concurrent, epochs=epochs, tuned=tuned, overwrite=False)
    results = pa.concat_tables(tables)
    publish(workspace, results)
    return results


def _padded(source: Path, target: Path) -> None:
    """Write the chips as scenes of one size, each in the middle of no data; larger ones lose their margin."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*/*.jpg")):
        with Image.open(file) as opened:
            chip = np.maximum(np.asarray(opened.convert("L")), 1)
        top, left = (max(0, (side - PIXELS) // 2) for side in chip.shape)
        chip = chip[top : top + PIXELS, left : left + PIXELS]
        canvas = np.zeros((PIXELS, PIXELS), np.uint8)
        top, left = ((PIXELS - side) // 2 for side in chip.shape)
        canvas[top : top + chip.shape[0], left : left + chip.shape[1]] = chip
        profile = {"driver": "GTiff", "height": PIXELS, "width": PIXELS, "count": 1, "dtype": "uint8", "nodata": 0}
        with rasterio.open(target / f"{file.parent.name}-{file.stem}.tif", "w", **profile) as scene:
            scene.write(canvas, 1)
