"""What is drawn over an image: detections as in Fig. 12, and where the model looks as in Fig. 16."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from knowlip.benchmark.metrics.detection import OVERLAP, detection_record, overlaps

__all__ = ["COLOURS", "detections_drawn", "heat_map"]

COLOURS = {"right": (46, 204, 113), "false": (231, 76, 60), "missed": (241, 196, 15)}
"""Red, green, blue of the three kinds of boxes."""


def detections_drawn(
    png: bytes,
    given: Sequence[Mapping[str, Any]],
    right: Sequence[Mapping[str, Any]],
    *,
    least_score: float = 0.5,
    side: int = 512,
) -> tuple[bytes, dict[str, int]]:
    """Draw detections over their image: right ones, false ones, and true boxes that were missed.

    Args:
        png: The image.
        given: Detections with ``category``, ``box`` (xmin, ymin, xmax, ymax in its pixels) and ``score``.
        right: True boxes with ``category`` and ``box``.
        least_score: Detections below are not drawn.
        side: Pixels of the picture's longer side.

    Returns:
        The picture as PNG, and how many boxes of each kind it shows.
    """
    kinds = _judged([one for one in given if one["score"] >= least_score], right)
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    for kind, boxes in kinds.items():
        for box in boxes:
            draw.rectangle([edge * scale for edge in box["box"]], outline=COLOURS[kind], width=max(2, side // 200))
    return _png(picture), {kind: len(boxes) for kind, boxes in kinds.items()}


def heat_map(png: bytes, shares: npt.NDArray[np.float32], *, strength: float = 0.55) -> bytes:
    """Lay attention over its image: the warmer, the more a patch is looked at.

    Args:
        png: The image.
        shares: Attention of a grid of patches (rows, columns), not negative.
        strength: How much of the picture the colours are, 0 to 1.
    """
    with Image.open(io.BytesIO(png)) as opened:
        grey = np.asarray(opened.convert("L"), np.float32) / 255.0
    peak = float(shares.max())
    levels = Image.fromarray((shares / peak if peak > 0 else shares).astype(np.float32))
    smooth = np.clip(np.asarray(levels.resize((grey.shape[1], grey.shape[0]), Image.Resampling.BICUBIC)), 0.0, 1.0)
    colours = np.asarray(mpl.colormaps["inferno"](smooth))[:, :, :3]
    mixed = (1.0 - strength) * grey[:, :, None] + strength * colours
    return _png(Image.fromarray((255 * mixed).round().astype(np.uint8)))


def _judged(
    given: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]
) -> dict[str, list[Mapping[str, Any]]]:
    """Sort boxes as the metric matches them: right, false and missed."""
    kinds: dict[str, list[Mapping[str, Any]]] = {"right": [], "false": [], "missed": []}
    record = detection_record(given, right)["categories"]
    for name in record:
        found = sorted((one for one in given if one["category"] == name), key=lambda one: -one["score"])
        for one, hit in zip(found, record[name]["right"], strict=False):
            kinds["right" if hit else "false"].append(one)
        hits = [one for one, hit in zip(found, record[name]["right"], strict=False) if hit]
        kinds["missed"] += _unmatched([one for one in right if one["category"] == name], hits)
    return kinds


def _unmatched(right: Sequence[Mapping[str, Any]], hits: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the true boxes that no hit took; each takes the free one that it covers best, as in the metric."""
    free = list(right)
    for hit in hits:
        boxes = np.array([one["box"] for one in free], np.float64).reshape(-1, 4)
        shares = overlaps(np.array([hit["box"]], np.float64), boxes)[0]
        if len(shares) and shares.max() >= OVERLAP:
            free.pop(int(shares.argmax()))
    return free


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
