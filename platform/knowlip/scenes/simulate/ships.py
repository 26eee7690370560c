"""Ships of distinct types: hull, side wall, deck fittings and superstructure, moored, anchored or under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.canvas import Canvas, Floats, TruthObject, array, db, heading_vector

__all__ = ["SHIPS", "Ship", "ShipType", "State", "draw_ship", "length_class", "random_ship"]

State = Literal["moored", "anchored", "under_way"]


@dataclass(frozen=True)
class ShipType:
    """What ships of a type have in common.

    Attributes:
        length_m: Shortest and longest.
        slenderness: Length over beam.
        bridge: Share of the length, from the bow, where the superstructure begins and ends.
        deck: What the deck carries: ``containers``, ``hatches``, ``pipes``, ``decks`` or ``gear``.
        weight: How common it is.
    """

    length_m: tuple[float, float]
    slenderness: float
    bridge: tuple[float, float]
    deck: Literal["containers", "hatches", "pipes", "decks", "gear"]
    weight: float


SHIPS: dict[str, ShipType] = {
    "bulk_carrier": ShipType((150, 295), 6.4, (0.86, 0.94), "hatches", 0.22),
    "container_ship": ShipType((130, 366), 7.2, (0.74, 0.80), "containers", 0.24),
    "tanker": ShipType((120, 333), 5.9, (0.85, 0.94), "pipes", 0.2),
    "general_cargo": ShipType((75, 140), 6.2, (0.82, 0.93), "hatches", 0.16),
    "passenger": ShipType((80, 310), 7.5, (0.12, 0.9), "decks", 0.06),
    "fishing": ShipType((18, 45), 3.8, (0.3, 0.5), "gear", 0.12),
}
"""Ship types by name."""

_CLASSES = ((50.0, "small"), (150.0, "medium"), (250.0, "large"))


def length_class(length_m: float) -> str:
    """Return ``small`` (< 50 m), ``medium`` (< 150 m), ``large`` (< 250 m) or ``very_large``."""
    return next((name for limit, name in _CLASSES if length_m < limit), "very_large")


@dataclass(frozen=True)
class Ship:
    """One ship to be drawn.

    Attributes:
        type: One of `SHIPS`.
        length_m: Length over all.
        beam_m: Beam.
    """

    type: str
    length_m: float
    beam_m: float


def random_ship(
    rng: np.random.Generator, *, longest_m: float = 400.0, types: Sequence[str] = tuple(SHIPS)
) -> Ship | None:
    """Draw a ship's type and size at random, or nothing when no type is that short."""
    fitting = [name for name in types if SHIPS[name].length_m[0] <= longest_m]
    if not fitting:
        return None
    weight = np.array([SHIPS[name].weight for name in fitting])
    name = fitting[rng.choice(len(fitting), p=weight / weight.sum())]
    low, high = SHIPS[name].length_m
    length = float(rng.uniform(low, min(high, longest_m)))
    return Ship(name, length, float(length / (SHIPS[name].slenderness * rng.uniform(0.92, 1.08))))


def draw_ship(
    canvas: Canvas,
    ship: Ship,
    centre: Sequence[float] | Floats,
    heading_deg: float,
    rng: np.random.Generator,
    *,
    state: State,
    gap_m: float = 2.0,
    water: BaseGeometry | None = None,
) -> bool:
    """Draw a ship, if there is room for it.

    Args:
        canvas: Where to draw.
        ship: Type and size.
        centre: Middle of the hull.
        heading_deg: Where the bow points, in the drawing frame.
        rng: Random stream.
        state: Whether it is moored, anchored or under way (with a wake).
        gap_m: Water to leave around it.
        water: Where its wake may lie; anywhere when left out.

    Returns:
        Whether it was drawn.
    """
    ahead = heading_vector(heading_deg)
    axes = np.array([ahead, [-ahead[1], ahead[0]]])  # body frame: metres ahead of amidships, metres to starboard
    middle = np.array(centre, dtype=float)
    outline = _outline(ship) @ axes + middle
    hull = shapely.polygons(outline)
    if not canvas.take(hull, gap_m):
        return False
    if state == "under_way":
        _draw_wake(canvas, ship, middle, axes, canvas.frame.box if water is None else water)
    freeboard = 2.0 + 0.03 * ship.length_m
    shadow = canvas.frame.shadow_m(freeboard) * canvas.frame.away
    canvas.shade([shapely.convex_hull(shapely.multipoints(np.concatenate([outline, outline + shadow])))])
    canvas.raise_volume([hull], [float(db(rng.normal(-9.0, 1.5)))])
    body, rcs, height = _constellation(ship, canvas.frame.away @ axes.T, rng)
    canvas.scatter(body @ axes + middle, rcs, height)
    extra = {"state": state, "length_class": length_class(ship.length_m)}
    canvas.record(TruthObject("ship", ship.type, hull, ship.length_m, ship.beam_m, None, heading_deg % 360, extra))
    return True


def _outline(ship: Ship) -> Floats:
    """Hull on the waterline in the body frame: pointed bow, rounded stern."""
    a, b = ship.length_m / 2, ship.beam_m / 2
    half = array(
        (a, 0), (a - 0.05 * ship.length_m, 0.45 * b), (a - 0.14 * ship.length_m, b), (-0.92 * a, b), (-a, 0.7 * b)
    )
    return np.concatenate([half, half[:0:-1] * (1, -1)])


def _constellation(ship: Ship, away: Floats, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return positions in the body frame, cross sections in m² and heights of a ship's scatterers."""
    kind, a, b = SHIPS[ship.type], ship.length_m / 2, ship.beam_m / 2
    lit_side = -np.sign(away[1]) or 1.0
    parts = [_deck(kind, ship, rng)]
    fore, aft = (a - share * ship.length_m for share in kind.bridge)
    count = int(20 + 1.2 * (fore - aft))
    bridge = np.column_stack(
        [
            rng.uniform(aft, fore, count),
            rng.uniform(-0.9 * b, 0.9 * b, count),
            rng.uniform(0, 0.09 * ship.length_m**0.9, count),
        ]
    )
    parts.append(np.column_stack([bridge, np.full(count, 12.0 + 0.5 * ship.length_m)]))
    side = np.arange(-0.9 * a, 0.78 * a, 1.5)
    strength = 2.0 + 45.0 * np.abs(away[1]) ** 10
    parts.append(
        np.column_stack([side, np.full(len(side), lit_side * b), np.zeros(len(side)), np.full(len(side), strength)])
    )
    parts.append(np.array([[0.97 * a, 0.0, 3.0, 30.0 + 0.4 * ship.length_m], [-0.97 * a, 0.0, 3.0, 30.0]]))
    table = np.concatenate(parts)
    rcs = table[:, 3] * rng.standard_gamma(0.8, len(table)) / 0.8
    return table[:, :2], rcs, table[:, 2] * 0.5


def _deck(kind: ShipType, ship: Ship, rng: np.random.Generator) -> Floats:
    """Return rows (ahead, starboard, height, mean cross section) of what the deck carries."""
    a, b = ship.length_m / 2, ship.beam_m / 2
    fore, aft = 0.72 * a, a - kind.bridge[0] * ship.length_m
    if kind.deck == "containers":
        bays = np.arange(-0.85 * a, fore, 14.0)
        bays = bays[rng.random(len(bays)) < 0.85]
        across = np.arange(-0.9 * b, 0.9 * b, 2.5)
        x, y = (grid.ravel() for grid in np.meshgrid(bays, across))
        return np.column_stack([x, y, np.full(len(x), 6.0), np.full(len(x), 5.0)])
    if kind.deck == "hatches":
        edges = np.linspace(aft, fore, max(int((fore - aft) / 24), 2))
        across = np.linspace(-0.55 * b, 0.55 * b, max(int(b), 3))
        x, y = (grid.ravel() for grid in np.meshgrid(edges, across))
        return np.column_stack([x, y, np.full(len(x), 2.0), np.full(len(x), 12.0)])
    if kind.deck == "pipes":
        x = np.arange(aft, fore, 2.0)
        manifold = np.column_stack([np.zeros(14), np.linspace(-0.9 * b, 0.9 * b, 14), np.ones(14), np.full(14, 30.0)])
        return np.concatenate([np.column_stack([x, np.zeros(len(x)), np.ones(len(x)), np.full(len(x), 8.0)]), manifold])
    count = int(4 + ship.length_m * (0.8 if kind.deck == "decks" else 0.3))
    spread = rng.uniform(-1, 1, (count, 2)) * (0.85 * a, 0.8 * b)
    return np.column_stack([spread, rng.uniform(0, 5, count), np.full(count, 12.0)])


def _draw_wake(canvas: Canvas, ship: Ship, middle: Floats, axes: Floats, water: BaseGeometry) -> None:
    """Draw the dark turbulent wake and one narrow bright arm each side."""
    stern, reach = -ship.length_m / 2, 4.5 * ship.length_m
    dark = array(
        (stern, -0.4 * ship.beam_m),
        (stern - reach, -0.9 * ship.beam_m),
        (stern - reach, 0.9 * ship.beam_m),
        (stern, 0.4 * ship.beam_m),
    )
    arm_m = max(1.2 * canvas.frame.gsd_m, 4.0)
    for side in (-1.0, 1.0):
        tip = array((-stern * 0.6, side * ship.beam_m / 2), (stern - 0.7 * reach, side * (ship.beam_m + 0.1 * reach)))
        arm = shapely.LineString(tip @ axes + middle).buffer(arm_m / 2, cap_style="flat")
        canvas.paint(arm.intersection(water), "wake_arm")
    canvas.paint(shapely.polygons(dark @ axes + middle).intersection(water), "wake")
