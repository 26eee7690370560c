"""Round tanks: the crescents of rim and foot that one cylinder makes, gathered into one target.

A cylinder that is seen from the side shows up to three bright arcs along the look direction: its foot, and the near and
the far edge of its roof, laid over towards the radar. They lie farther apart than the parts of other targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["gather_crescents"]

Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

SHORTEST_M, LONGEST_M = 9.0, 90.0
"""Chords of a tank's arcs."""

LEAST_SAGITTA = 0.06
"""Height of an arc over its chord, as a part of it: a quarter of a circle has 0.2, a wall none."""

MOST_RATIO = 2.2
MOST_APART = 1.3
"""Arcs of one tank are of similar length, and no farther apart than this many of the longer one's lengths."""

MOST_ASIDE = 0.35
MOST_TURN_DEG = 25.0


@dataclass(frozen=True)
class _Piece:
    """A cluster in metres: its chord, and the side towards which it opens when it is a crescent."""

    label: int
    centre: Floats
    length_m: float
    along: Floats
    opens: Floats | None


def gather_crescents(labels: Labels, gsd_m: float) -> frozenset[int]:
    """Give the crescents of one cylinder one label; a crescent takes with it what it opens towards.

    Args:
        labels: Cluster numbers, 0 for none (H, W); changed in place.
        gsd_m: Metres a pixel.

    Returns:
        The labels that several pieces now share.
    """
    pieces = []
    boxes: list[tuple[slice, slice] | None] = ndimage.find_objects(labels)
    for label, box in enumerate(boxes, start=1):
        piece = None if box is None else _piece(labels, label, box, gsd_m)
        if piece is not None:
            pieces.append(piece)
    crescents = [piece for piece in pieces if piece.opens is not None]
    joined: dict[int, int] = {}
    for one in crescents:
        for other in pieces:
            if other.label != one.label and _of_one_tank(one, other):
                first, second = sorted((_root(joined, one.label), _root(joined, other.label)))
                if first != second:
                    joined[second] = first
    for label in joined:
        box = boxes[label - 1]
        if box is not None:
            labels[box][labels[box] == label] = _root(joined, label)
    return frozenset(_root(joined, label) for label in joined)


def _root(joined: dict[int, int], label: int) -> int:
    while label in joined:
        label = joined[label]
    return label


def _piece(labels: Labels, label: int, box: tuple[slice, slice], gsd_m: float) -> _Piece | None:
    """Measure a cluster; none where it is too small or too long for a tank's arc."""
    longest = max(side.stop - side.start for side in box) * gsd_m
    if not SHORTEST_M <= longest <= LONGEST_M:
        return None
    points = np.argwhere(labels[box] == label) * gsd_m
    if len(points) < 6:
        return None
    centre = points.mean(axis=0)
    spread, axes = np.linalg.eigh(np.cov((points - centre).T))
    along, across = axes[:, 1], axes[:, 0]
    s, q = (points - centre) @ along, (points - centre) @ across
    length = float(s.max() - s.min())
    curve, slope, level = np.polyfit(s, q, 2) if spread[1] > 0 else (0.0, 0.0, 0.0)
    thickness = float(np.std(q - (curve * s**2 + slope * s + level))) * 12**0.5
    sagitta = float(curve) * (length / 2) ** 2
    is_crescent = abs(sagitta) >= LEAST_SAGITTA * length and thickness <= 0.4 * length
    corner = np.array([box[0].start, box[1].start]) * gsd_m
    return _Piece(label, centre + corner, length, along, across * np.sign(sagitta) if is_crescent else None)


def _of_one_tank(one: _Piece, other: _Piece) -> bool:
    """Whether a crescent and another piece are arcs of one cylinder."""
    if one.opens is None:
        return False
    apart = other.centre - one.centre
    longer, shorter = max(one.length_m, other.length_m), min(one.length_m, other.length_m)
    if longer > MOST_RATIO * shorter or abs(float(apart @ one.along)) > MOST_ASIDE * longer:
        return False
    ahead = float(apart @ one.opens)
    if not 0 < ahead <= MOST_APART * longer:
        return False
    return other.opens is None or abs(float(one.along @ other.along)) >= np.cos(np.radians(MOST_TURN_DEG))
