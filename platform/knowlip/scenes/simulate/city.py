"""A city: a street grid with avenues, blocks that grow towards the centre, parks, a river with bridges, suburbs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.canvas import Canvas, Floats, TruthObject
from knowlip.scenes.simulate.countryside import draw_fields, draw_river, draw_suburb, draw_woods
from knowlip.scenes.simulate.plan import Plan, blob
from knowlip.scenes.simulate.structures import Boxes, draw_boxes, draw_cars

__all__ = ["city"]

_PITCH_M = (128.0, 96.0)
_STREET_M = 14.0
_AVENUE_M = 28.0
_MOST_BLOCKS = 1500


def city(canvas: Canvas) -> None:
    """Draw a city around the middle of the frame, with suburbs and country beyond where the frame is large."""
    rng = canvas.rng("city plan")
    width, height = canvas.frame.size_m
    site = Plan((width / 2, height / 2), float(rng.uniform(0, 90)))
    radius = min(float(np.sqrt(_MOST_BLOCKS * _PITCH_M[0] * _PITCH_M[1] / np.pi)), 0.75 * float(np.hypot(width, height)))
    built = blob((width / 2, height / 2), radius, rng) if radius < 0.5 * min(width, height) else canvas.frame.box
    if not built.contains(canvas.frame.box):
        draw_fields(canvas)
        draw_woods(canvas, share=0.12)
        canvas.paint(built.buffer(0.35 * radius), "suburb")
    canvas.paint(built, "yard")
    _draw_streets(canvas, site, built)
    river = draw_river(canvas, width_m=float(np.clip(0.045 * min(width, height), 25, 120)))
    _draw_blocks(canvas, site, built, river, radius)
    _draw_bridges(canvas, site, river)


def _draw_streets(canvas: Canvas, site: Plan, built: BaseGeometry) -> None:
    u0, u1, v0, v1 = site.reach(built)
    for n, u in enumerate(np.arange(u0 - u0 % _PITCH_M[0] - _PITCH_M[0], u1, _PITCH_M[0])):
        _street(canvas, site, built, [(u, v0), (u, v1)], n)
    for n, v in enumerate(np.arange(v0 - v0 % _PITCH_M[1] - _PITCH_M[1], v1, _PITCH_M[1])):
        _street(canvas, site, built, [(u0, v), (u1, v)], n)


def _street(canvas: Canvas, site: Plan, built: BaseGeometry, line: list[tuple[float, float]], number: int) -> None:
    width = _AVENUE_M if number % 5 == 2 else _STREET_M
    strip = site.strip(line, width).intersection(built)
    if strip.is_empty:
        return
    canvas.paint(strip, "road")
    canvas.record(TruthObject("road", "avenue" if width == _AVENUE_M else "street", strip, strip.area / width, width))


def _draw_blocks(canvas: Canvas, site: Plan, built: BaseGeometry, river: BaseGeometry, radius: float) -> None:
    """Give every block a use, and draw all buildings of one use together."""
    rng = canvas.rng("blocks")
    u0, u1, v0, v1 = site.reach(built)
    u, v = np.meshgrid(
        np.arange(u0 - u0 % _PITCH_M[0] - _PITCH_M[0] / 2, u1, _PITCH_M[0]),
        np.arange(v0 - v0 % _PITCH_M[1] - _PITCH_M[1] / 2, v1, _PITCH_M[1]),
    )
    middles = np.column_stack([u.ravel(), v.ravel()])
    outlines = shapely.polygons(np.stack([site.at(middles + half) for half in _block_corners()], axis=1))
    free = shapely.intersects(outlines, built) & ~shapely.intersects(outlines, river.buffer(12))
    middles, outlines = middles[free], outlines[free]
    central = np.clip(1 - np.linalg.norm(middles, axis=1) / (0.7 * radius), 0, 1)
    use = _uses(central, rng)
    canvas.paint(list(outlines[use == "park"]), "park")
    canvas.paint([blob(shape.centroid.coords[0], 22.0, rng) for shape in outlines[use == "park"]], "forest")
    for shape in outlines[use == "parking"]:
        draw_cars(canvas, shape.buffer(-4), site.heading_deg, rng)
    for shape in outlines[use == "houses"]:
        draw_suburb(canvas, shape, rng)
    for name, plan in (("towers", _towers), ("perimeter", _perimeter), ("slabs", _slabs), ("halls", _halls)):
        boxes = plan(site, middles[use == name], central[use == name], rng)
        draw_boxes(canvas, boxes, rng)


def _block_corners() -> Floats:
    half = np.array(_PITCH_M) / 2 - _STREET_M / 2 - 1
    return half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])


def _uses(central: Floats, rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """Choose what each block is used for; towers gather in the centre, halls and houses at the rim."""
    names = np.array(["towers", "perimeter", "slabs", "halls", "houses", "park", "parking"])
    weight = np.column_stack(
        [
            1.5 * central**2,
            0.25 + central,
            np.full_like(central, 0.45),
            0.3 * (1 - central),
            0.4 * (1 - central) ** 2,
            np.full_like(central, 0.13),
            np.full_like(central, 0.06),
        ]
    )
    edges = np.cumsum(weight, axis=1)
    chosen = (rng.random(len(central)) * edges[:, -1])[:, None] < edges
    return names[chosen.argmax(axis=1)]


def _rows(site: Plan, middles: Floats, parts: Floats, heights: Floats, kind: str, bounce_m: float) -> Boxes:
    """Put the same parts (u, v, along u, along v) in every block; heights (blocks, parts)."""
    places = (middles[:, None] + parts[None, :, :2]).reshape(-1, 2)
    size = np.broadcast_to(parts[:, 2:], (len(middles), len(parts), 2)).reshape(-1, 2)
    heading = np.full(len(places), site.heading_deg)
    return Boxes(site.at(places), size[:, 0], size[:, 1], heights.reshape(-1), heading, kind, bounce_m)


def _towers(site: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array([(-32.0, -20.0, 26, 24), (28.0, 18.0, 30, 22), (28.0, -22.0, 20, 20)])
    heights = rng.uniform(25, 45, (len(middles), 3)) * (1 + central[:, None])
    return _rows(site, middles, parts, heights, "tower", 20.0)


def _perimeter(site: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array([(0.0, -32.0, 108, 13), (0.0, 32.0, 108, 13), (-47.0, 0.0, 13, 48), (47.0, 0.0, 13, 48)])
    heights = np.repeat(rng.uniform(11, 20, (len(middles), 1)) * (1 + 0.3 * central[:, None]), 4, axis=1)
    return _rows(site, middles, parts, heights, "perimeter_block", 12.0)


def _slabs(site: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array([(0.0, -30.0, 90, 12), (0.0, 0.0, 90, 12), (0.0, 30.0, 90, 12)])
    heights = np.repeat(rng.uniform(14, 30, (len(middles), 1)) * (1 + 0.1 * central[:, None]), 3, axis=1)
    return _rows(site, middles, parts, heights, "slab", 12.0)


def _halls(site: Plan, middles: Floats, central: Floats, rng: np.random.Generator) -> Boxes:
    parts = np.array([(-28.0, 0.0, 46, 62), (30.0, 0.0, 44, 50)])
    heights = rng.uniform(7, 13, (len(middles), 2)) * (1 + 0.1 * central[:, None])
    return _rows(site, middles, parts, heights, "hall", 16.0)


def _draw_bridges(canvas: Canvas, site: Plan, river: BaseGeometry) -> None:
    """Carry the middle avenues over the river on bridges with bright railings."""
    rng = canvas.rng("bridges")
    u0, u1, v0, v1 = site.reach(canvas.frame.box)
    lines = [[(u, v0), (u, v1)] for u in (-256.0, 256.0)] + [[(u0, v), (u1, v)] for v in (-192.0, 192.0)]
    for line in lines:
        axis = shapely.LineString(site.at(line))
        for part in shapely.get_parts(axis.intersection(river.buffer(6)).intersection(canvas.frame.box)):
            if not 20 < part.length < 400:
                continue
            deck = part.buffer(9, cap_style="flat")
            canvas.paint(deck, "road")
            start, stop = np.array(part.coords[0]), np.array(part.coords[-1])
            side = np.array([-(stop - start)[1], (stop - start)[0]]) / part.length
            along = rng.random((int(part.length), 1))
            for edge in (-8.5, 8.5):
                canvas.scatter(start + along * (stop - start) + edge * side, 3 * rng.standard_exponential(len(along)), 2.0)
            canvas.record(TruthObject("bridge", "road", deck, float(part.length), 18.0))
