"""Eight small images of a simulated airport, with everything a downstream task can be asked about them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from knowlip.scenes.simulate import LANDCOVER, SimulatedScene, SimulationSettings, simulate

SIDE = 64
CLASSES = ("aircraft", "storage tank")
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def simulated_rows() -> list[dict[str, Any]]:
    """Return rows with the columns of `datasets/NAME/`: chips about four aircraft and about four tanks."""
    scene = simulate(SimulationSettings(kind="airport", size_px=(768, 768), gsd_m=2.0, seed=1, looks=4))
    high = np.percentile(scene.amplitude, 99.5)
    pixels = np.clip(scene.amplitude / high * 255, 1, 255).astype(np.uint8)
    objects = [(name, box) for name, box in _objects(scene) if name in CLASSES]
    rows: list[dict[str, Any]] = []
    for name in CLASSES:
        centres = [(box[:2] + box[2:]) / 2 for kind, box in objects if kind == name]
        for centre in _apart(centres, 4):
            # Off centre by a known amount, so that a detector cannot learn one place.
            left, top = (np.clip(centre - SIDE / 2 + 7 * (len(rows) % 3 - 1), 0, 768 - SIDE)).astype(int)
            rows.append(_row(len(rows), pixels, scene.landcover, objects, int(top), int(left)))
    return rows


def _objects(scene: SimulatedScene) -> list[tuple[str, np.ndarray]]:
    properties = [feature["properties"] for feature in scene.features]
    return [(one["class"].replace("_", " "), np.array(one["pixels"])) for one in properties]


def _apart(centres: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Pick centres that are far from one another, so that chips differ."""
    inside = [centre for centre in centres if (centre > 8).all() and (centre < 760).all()]
    picked = [inside[0]]
    while len(picked) < count:
        picked.append(max(inside, key=lambda one: min(np.abs(one - other).max() for other in picked)))
    return picked


def _row(
    number: int, pixels: np.ndarray, landcover: np.ndarray, objects: list[tuple[str, np.ndarray]], top: int, left: int
) -> dict[str, Any]:
    window = np.s_[top : top + SIDE, left : left + SIDE]
    boxes = []
    for name, box in objects:
        placed = np.clip(box - np.array([left, top, left, top]), 0, SIDE)
        area, whole = np.prod(placed[2:] - placed[:2]), np.prod(box[2:] - box[:2])
        if area >= 0.5 * whole:
            edges = zip(("xmin", "ymin", "xmax", "ymax"), placed.tolist(), strict=True)
            boxes.append({"category": name, **dict(edges)})
    counts = {name: sum(box["category"] == name for box in boxes) for name in CLASSES}
    most = max(CLASSES, key=lambda name: counts[name])
    covers = np.unique(landcover[window]).tolist()
    ground = " and ".join(LANDCOVER[code].replace("_", " ") for code in covers if code)
    first = boxes[0]
    where = f"column {int(first['xmin'])} row {int(first['ymin'])}"
    return {
        "example_id": f"chip-{number}",
        "tile_id": f"tile-{number}",
        "view": _png(pixels[window]),
        "label": most,
        "boxes": boxes,
        "mask": _png(landcover[window]),
        "texts": [f"{_NUMBERS[counts[most]]} {most} on {ground} the first at {where}"],
        "question": f"How many {most}s are there?",
        "answer": _NUMBERS[counts[most]],
        "kind": "count",
    }


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
