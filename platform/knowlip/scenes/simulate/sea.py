"""Open water: ships at anchor and under way."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.canvas import Canvas
from knowlip.scenes.simulate.ships import State, draw_ship, random_ship

__all__ = ["sea", "ships_at_sea"]

_MOST_SHIPS = 400


def sea(canvas: Canvas) -> None:
    """Draw shipping on open water over the whole frame."""
    ships_at_sea(canvas, canvas.frame.box, per_km2=0.25)


def ships_at_sea(canvas: Canvas, water: BaseGeometry, *, per_km2: float) -> None:
    """Draw ships within a stretch of water: at anchor, all facing the wind, or under way with a wake."""
    rng = canvas.rng("ships at sea")
    if water.is_empty or water.area < 4e4:
        return
    count = int(np.clip(rng.poisson(max(per_km2 * water.area / 1e6, 3.0)), 2, _MOST_SHIPS))
    wind_deg = float(rng.uniform(0, 360))
    longest = 0.28 * float(np.sqrt(water.area))
    x0, y0, x1, y1 = water.bounds
    shapely.prepare(water)
    drawn = 0
    for _ in range(count * 12):
        ship = random_ship(rng, longest_m=longest)
        if drawn == count or ship is None:
            return
        middle = rng.uniform(0, 1, 2) * (x1 - x0, y1 - y0) + (x0, y0)
        anchored = bool(rng.random() < 0.5)
        heading = wind_deg + float(rng.normal(0, 6)) if anchored else float(rng.uniform(0, 360))
        if water.contains(shapely.Point(middle).buffer(0.6 * ship.length_m)):
            state: State = "anchored" if anchored else "under_way"
            drawn += draw_ship(canvas, ship, middle, heading, rng, state=state, gap_m=30.0, water=water)
