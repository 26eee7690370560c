"""Detected targets held against the truth of a simulated scene: recall, precision, and each target counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from knowlip.scenes.simulate.appearance import Appearance

__all__ = ["TARGETS", "TargetScore", "score_targets"]

TARGETS = frozenset({"aircraft", "ship", "storage_tank"})
"""Classes that must be found: strong targets that stand apart from others."""

MARGIN_M = 8.0
"""How far a detection may lie outside of an object, metres: about the length of its smallest cluster."""


@dataclass(frozen=True)
class TargetScore:
    """How detections meet the truth; scores of several scenes add up.

    Attributes:
        targets: Strong targets that are wholly within the image.
        hit: Those with a detection.
        found: Detections.
        right: Those on a true object of any class that stands on the ground.
        once: Those on an object that no earlier detection of the same tile lies on.
    """

    targets: int = 0
    hit: int = 0
    found: int = 0
    right: int = 0
    once: int = 0

    def __add__(self, other: TargetScore) -> TargetScore:
        """Pool two scores."""
        return TargetScore(
            self.targets + other.targets,
            self.hit + other.hit,
            self.found + other.found,
            self.right + other.right,
            self.once + other.once,
        )

    @property
    def recall(self) -> float:
        """Part of the targets that is found."""
        return self.hit / self.targets if self.targets else float("nan")

    @property
    def precision(self) -> float:
        """Part of the detections that lies on something true."""
        return self.right / self.found if self.found else float("nan")

    @property
    def precision_once(self) -> float:
        """The same, with a second detection of one object counted as wrong: what a count can be trusted to."""
        return self.once / self.found if self.found else float("nan")


def score_targets(
    points_px: npt.NDArray[np.float64],
    tiles: Sequence[int],
    truth: Sequence[Appearance],
    *,
    gsd_m: float,
    covered_px: tuple[float, float],
) -> TargetScore:
    """Hold detections against the truth.

    Args:
        points_px: Positions in the scene, (column, row) pixels (N, 2).
        tiles: Number of the tile in which each was detected.
        truth: The scene's objects as the image shows them.
        gsd_m: Metres a pixel.
        covered_px: Width and height of the part of the scene that the tiles cover.
    """
    solid = [one for one in truth if one.solid]
    inside = shapely.box(0, 0, *covered_px)
    wanted = np.array([one.kind in TARGETS and one.visible == 1 and inside.contains(one.outline_px) for one in solid])
    if not len(points_px) or not solid:
        return TargetScore(targets=int(wanted.sum()), found=len(points_px))
    outlines = np.array([one.outline_px for one in solid], dtype=object)
    apart_m = shapely.distance(outlines[:, None], shapely.points(points_px)[None, :]) * gsd_m
    near = apart_m <= MARGIN_M
    right = near.any(axis=0)
    owners = {
        (tile, int(owner))
        for tile, owner, is_right in zip(tiles, apart_m.argmin(axis=0), right, strict=True)
        if is_right
    }
    return TargetScore(
        targets=int(wanted.sum()),
        hit=int((near.any(axis=1) & wanted).sum()),
        found=len(points_px),
        right=int(right.sum()),
        once=len(owners),
    )
