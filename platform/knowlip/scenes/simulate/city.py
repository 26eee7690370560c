"""A city: districts on either side of a river, each with its own street grid; blocks that grow towards the centre."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.canvas import Canvas, Floats, TruthObject
from knowlip.scenes.simulate.countryside import draw_fields, draw_river, draw_suburb, draw_woods
from knowlip.scenes.simulate.plan import Plan, blob
from knowlip.scenes.simulate.structures import Boxes, draw_boxes, draw_cars, draw_clutter

__all__ = ["city"]

_PITCH_M = (128.0, 96.0)
_STREET_M = 14.0
_AVENUE_M = 28.0
_MOST_BLOCKS = 1500


def city(canvas: Canvas) -> None:
    """Draw a city around the middle of the frame, with suburbs and country beyond where the frame is large."""
    rng = canvas.rng("city plan")
    width, height = canvas.frame.size_m
    diagonal = float(np.hypot(width, height))
    radius = min(float(np.sqrt(_MOST_BLOCKS * _PITCH_M[0] * _PITCH_M[1] / np.pi)), 0.75 * diagonal)
    built = canvas.frame.box
    if radius < 0.5 * min(width, height):
        built = blob((width / 2, height / 2), radius, rng)
        draw_fields(canvas)
        draw_woods(canvas, share=0.12)
        canvas.paint(built.buffer(0.35 * radius), "suburb")
    canvas.paint(built, "yard")
    river_m = float(np.clip(0.045 * min(width, height), 25, 120))
    river, line = draw_river(canvas, width_m=river_m)
    embankment = river.buffer(14).difference(river)
    canvas.paint(embankment.intersection(built), "road")
    districts = shapely.get_parts(built.difference(river.buffer(14)))
    for number, district in enumerate(districts):
        plan = Plan((width / 2, height / 2), float(rng.uniform(0, 90)))
        _draw_streets(canvas, plan, district)
        _draw_blocks(canvas, plan, district, min(radius, 0.5 * diagonal), number)
    _draw_bridges(canvas, line, river_m)


def _draw_streets(canvas: Canvas, plan: Plan, district: BaseGeometry) -> None:
    u0, u1, v0, v1 = plan.reach(district)
    for n, u in enumerate(np.arange(u0 - u0 % _PITCH_M[0], u1, _PITCH_M[0])):
        _street(canvas, plan, district, [(u, v0), (u, v1)], n)
    for n, v in enumerate(np.arange(v0 - v0 % _PITCH_M[1], v1, _PITCH_M[1])):
        _street(canvas, plan, district, [(u0, v), (u1, v)], n)


def _street(canvas: Canvas, plan: Plan, district: BaseGeometry, line: list[tuple[float, float]], number: int) -> None:
    width, name = (_AVENUE_M, "avenue") if number % 5 == 2 else (_STREET_M, "street")
    for strip in shapely.get_parts(plan.strip(line, width).intersection(district)):
        if strip.area > 2 * width * width:
            canvas.paint(strip, "road")
            canvas.record(TruthObject("road", name, strip, float(strip.area / width), width))


def _draw_blocks(canvas: Canvas, plan: Plan, district: BaseGeometry, radius: float, number: int) -> None:
    """Give every block a use, and draw all buildings of one use together."""
    rng = canvas.rng(f"district {number}")
    u0, u1, v0, v1 = plan.reach(district)
    u, v = np.meshgrid(
        np.arange(u0 - u0 % _PITCH_M[0] + _PITCH_M[0] / 2, u1, _PITCH_M[0]),
        np.arange(v0 - v0 % _PITCH_M[1] + _PITCH_M[1] / 2, v1, _PITCH_M[1]),
    )
    middles = np.column_stack([u.ravel(), v.ravel()])
    outlines = shapely.polygons(np.stack([plan.at(middles + half) for half in _block_corners()], axis=1))
    free = shapely.intersects(outlines, district)
    middles, outlines = middles[free], shapely.intersection(outlines[free], district)
    central = np.clip(1 - np.linalg.norm(middles, axis=1) / radius, 0, 1)
    use = _uses(central, rng)
    whole = outlines[(use == "park") & (shapely.area(outlines) > 2000)]
    canvas.paint(list(whole), "park")
    canvas.paint([blob(shape.centroid.coords[0], rng.uniform(12, 30), rng) for shape in whole], "forest")
    for shape in outlines[use == "parking"]:
        draw_cars(canvas, shape.buffer(-4), plan.heading_deg, rng)
    for shape in outlines[use == "houses"]:
        draw_suburb(canvas, shape, rng, plan.heading_deg)
    for name, layout in _LAYOUTS.items():
        chosen = use == name
        draw_boxes(canvas, layout(plan, middles[chosen], central[chosen], rng), rng, within=district)
    draw_clutter(canvas, district.intersection(canvas.frame.box), 14.0, 3.0, rng)


def _block_corners() -> Floats:
    half = np.array(_PITCH_M) / 2 - _STREET_M / 2 - 1
    return np.asarray(half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]))


def _uses(central: Floats, rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """Choose what each block is used for; towers gather in the centre, halls and houses at the rim."""
    weights = {
        "towers": 1.2 * np.clip(central - 0.45, 0, 1) ** 1.5,
        "perimeter": 0.2 + 0.6 * central,
        "slabs": np.full_like(central, 0.32),
        "halls": 0.3 * (1 - central),
        "houses": 0.8 * (1 - central) ** 2,
        "park": np.full_like(central, 0.10),
        "parking": np.full_like(central, 0.05),
    }
    edges = np.cumsum(np.column_stack(list(weights.values())), axis=1)
    chosen = (rng.random(len(central)) * edges[:, -1])[:, None] < edges
    return np.asarray(np.array(list(weights))[chosen.argmax(axis=1)])


def _rows(
    plan: Plan, middles: Floats, parts: Floats, heights: Floats, kind: str, bounce_m: float, rng: np.random.Generator
) -> Boxes:
    """Put the same parts in every block, none quite alike and some missing.

    Args:
        plan: The district's grid.
        middles: Middles of the blocks in the plan (B, 2).
        parts: Of each part, its middle from the block's (u, v) and its size along u and v (P, 4).
        heights: Heights (B, P).
        kind: Type of the buildings.
        bounce_m: Double bounce; see `Boxes`.
        rng: Random stream.
    """
    places = (middles[:, None] + parts[None, :, :2]).reshape(-1, 2)
    size = np.broadcast_to(parts[:, 2:], (len(middles), len(parts), 2)).reshape(-1, 2) * rng.uniform(
        0.82, 1, (len(places), 2)
    )
    heading = np.full(len(places), plan.heading_deg)
    height = heights.reshape(-1) * rng.uniform(0.85, 1.1, len(places))
    boxes = Boxes(plan.at(places), size[:, 0], size[:, 1], height, heading, kind, bounce_m)
    return boxes.where(rng.random(len(places)) < 0.92)


def _towers(plan: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array([(-30.0, -16.0, 30, 26), (28.0, 20.0, 46, 18), (30.0, -22.0, 24, 22)])
    heights = rng.uniform(0.6, 1.0, (len(middles), 3)) * np.array([60.0, 18.0, 30.0]) * (0.6 + central[:, None])
    return _rows(plan, middles, parts, heights, "tower", 20.0, rng)


def _perimeter(plan: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array(
        [(x, y, 34, 13) for x in (-36.0, 0.0, 36.0) for y in (-32.0, 32.0)]
        + [(-47.0, 0.0, 13, 48), (47.0, 0.0, 13, 48)]
    )
    heights = rng.uniform(9, 17, (len(middles), 1)) * (1 + 0.4 * central[:, None]) * np.ones(len(parts))
    return _rows(plan, middles, parts, heights, "perimeter_block", 12.0, rng)


def _slabs(plan: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array([(0.0, -30.0, 90, 12), (0.0, 0.0, 70, 12), (0.0, 30.0, 90, 12)])
    heights = rng.uniform(9, 22, (len(middles), 1)) * (1 + 0.2 * central[:, None]) * np.ones(3)
    return _rows(plan, middles, parts, heights, "slab", 12.0, rng)


def _halls(plan: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array([(-28.0, 0.0, 46, 62), (30.0, 0.0, 44, 50)])
    heights = rng.uniform(7, 13, (len(middles), 2)) * (1 + 0.1 * central[:, None])
    return _rows(plan, middles, parts, heights, "hall", 16.0, rng)


_LAYOUTS: dict[str, Callable[[Plan, Floats, Floats, np.random.Generator], Boxes]] = {
    "towers": _towers,
    "perimeter": _perimeter,
    "slabs": _slabs,
    "halls": _halls,
}


def _draw_bridges(canvas: Canvas, line: shapely.LineString, river_m: float) -> None:
    """Carry roads over the river on decks with bright railings, every few hundred metres."""
    rng = canvas.rng("bridges")
    spacing = max(420.0, 0.1 * line.length)
    half = river_m / 2 + 16
    for at in np.arange(rng.uniform(0.3, 0.7) * spacing, line.length, spacing):
        middle, ahead = (np.array(line.interpolate(at + step).coords[0]) for step in (0.0, 5.0))
        along = (ahead - middle) / np.linalg.norm(ahead - middle)
        across = np.array([-along[1], along[0]])
        axis = shapely.LineString([middle - half * across, middle + half * across])
        deck = axis.buffer(9, cap_style="flat")
        if not canvas.contains(deck):
            continue
        canvas.paint(deck, "road")
        places = middle + rng.uniform(-half, half, (int(2 * half), 1)) * across
        for edge in (-8.5, 8.5):
            canvas.scatter(places + edge * along, 2 * rng.standard_exponential(len(places)), 2.0)
        canvas.record(TruthObject("bridge", "road", deck, 2 * half, 18.0))
