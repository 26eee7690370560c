"""A local plan on the drawing frame: metres along and across an axis with an origin and a heading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from knowlip.scenes.simulate.canvas import Floats, heading_vector

__all__ = ["Plan", "blob"]


@dataclass(frozen=True)
class Plan:
    """Coordinates (u along the heading, v to the right of it) that turn into the drawing frame's.

    Attributes:
        origin: Where u = v = 0 lies in the drawing frame, metres.
        heading_deg: Heading of the u axis.
    """

    origin: tuple[float, float]
    heading_deg: float

    def at(self, uv: Iterable[Sequence[float]] | Floats) -> Floats:
        """Turn points (N, 2) of the plan into points of the drawing frame."""
        ahead = heading_vector(self.heading_deg)
        axes = np.array([ahead, [-ahead[1], ahead[0]]])
        return np.asarray(np.asarray(uv, dtype=np.float64) @ axes + np.array(self.origin))

    def inverse(self, xy: Floats) -> Floats:
        """Turn points (N, 2) of the drawing frame into points of the plan."""
        ahead = heading_vector(self.heading_deg)
        axes = np.array([ahead, [-ahead[1], ahead[0]]])
        return np.asarray((xy - np.array(self.origin)) @ axes.T)

    def polygon(self, uv: Iterable[Sequence[float]] | Floats) -> shapely.Polygon:
        """Return a polygon given by its corners in the plan."""
        return shapely.Polygon(self.at(list(uv)))

    def rect(self, u0: float, u1: float, v0: float, v1: float) -> shapely.Polygon:
        """Return a rectangle of the plan."""
        return self.polygon([(u0, v0), (u1, v0), (u1, v1), (u0, v1)])

    def strip(self, uv: Iterable[Sequence[float]] | Floats, width_m: float) -> shapely.Polygon:
        """Return a line of the plan as a strip of a width."""
        return shapely.LineString(self.at(list(uv))).buffer(width_m / 2, cap_style="flat", join_style="mitre")

    def reach(self, box: shapely.Polygon) -> tuple[float, float, float, float]:
        """Return the bounds (u0, u1, v0, v1) in the plan that cover a polygon of the drawing frame."""
        uv = self.inverse(shapely.get_coordinates(box))
        (u0, v0), (u1, v1) = uv.min(axis=0), uv.max(axis=0)
        return float(u0), float(u1), float(v0), float(v1)


def blob(centre: Sequence[float] | Floats, radius_m: float, rng: np.random.Generator) -> shapely.Polygon:
    """Return a natural outline: a circle whose radius wanders."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(turn)
    for harmonic in range(2, 8):
        radius += rng.normal(0, 0.35 / harmonic) * np.cos(harmonic * turn + rng.uniform(0, 2 * np.pi))
    radius = radius_m * np.clip(radius, 0.3, 2.0)
    return shapely.Polygon(np.array(centre) + radius[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])).buffer(0)
