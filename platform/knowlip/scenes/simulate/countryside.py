"""Open country: fields, woods, roads, villages, a river. The setting of an airport and a scene of its own."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.canvas import Canvas, Floats, TruthObject
from knowlip.scenes.simulate.plan import Plan, blob
from knowlip.scenes.simulate.structures import Boxes, draw_boxes, draw_clutter

__all__ = ["countryside", "draw_fields", "draw_river", "draw_roads", "draw_suburb", "draw_villages", "draw_woods"]

_MOST_FIELDS = 6000
_MOST_HOUSES = 3000


def countryside(canvas: Canvas) -> None:
    """Draw a rural scene over the whole frame."""
    draw_fields(canvas)
    draw_woods(canvas, share=0.18)
    river, _ = draw_river(canvas)
    draw_roads(canvas, count=3)
    draw_villages(canvas, keep_out=river)


def draw_fields(canvas: Canvas) -> None:
    """Cover the frame with a patchwork of crops, meadows and bare soil."""
    rng = canvas.rng("fields")
    site = _middle(canvas, rng.uniform(0, 180))
    u0, u1, v0, v1 = site.reach(canvas.frame.box)
    depth, step = 220.0, 170.0
    scale = max(1.0, np.sqrt((u1 - u0) * (v1 - v0) / (depth * step * _MOST_FIELDS)))
    surfaces = [f"crop_{level}" for level in range(6)] + ["grass", "bare"]
    shapes: dict[str, list[shapely.Polygon]] = {name: [] for name in surfaces}
    row = v0
    while row < v1:
        deep = depth * scale * rng.uniform(0.6, 1.4)
        edges = u0 + np.cumsum(step * scale * rng.uniform(0.3, 1.7, int((u1 - u0) / (step * scale * 0.6)) + 2))
        edges = np.concatenate([[u0], edges[edges < u1], [u1]])
        names = rng.choice(surfaces, len(edges))
        for left, right, name in zip(edges, edges[1:], names, strict=False):
            shapes[name].append(site.rect(left, right, row, row + deep))
        row += deep
    for name, fields in shapes.items():
        canvas.paint(fields, name)


def draw_woods(canvas: Canvas, share: float) -> None:
    """Cover a share of the frame with woods."""
    rng = canvas.rng("woods")
    width, height = canvas.frame.size_m
    typical = np.clip(0.06 * max(width, height), 60, 600)
    count = min(int(share * width * height / (3.6 * typical**2)) + 1, 800)
    middles = rng.uniform(0, 1, (count, 2)) * (width, height)
    canvas.paint([blob(middle, typical * rng.uniform(0.4, 1.6), rng) for middle in middles], "forest")


def draw_river(canvas: Canvas, *, width_m: float | None = None) -> tuple[shapely.Polygon, shapely.LineString]:
    """Draw a winding river through the frame and return it and its middle line."""
    rng = canvas.rng("river")
    site = _middle(canvas, rng.uniform(0, 180), rng.uniform(-0.25, 0.25, 2))
    u0, u1, *_ = site.reach(canvas.frame.box)
    width = width_m or float(np.clip(0.02 * (u1 - u0), 12, 180))
    u = np.linspace(u0 - 200, u1 + 200, 60)
    v = 3 * width * np.sin(u / (18 * width) + rng.uniform(0, 6)) + 1.5 * width * np.sin(
        u / (7 * width) + rng.uniform(0, 6)
    )
    line = shapely.LineString(site.at(np.column_stack([u, v])))
    river = line.buffer(width / 2)
    canvas.paint(river, "calm_water")
    _record_linear(canvas, river, "river", "river", width)
    return river, line


def draw_roads(canvas: Canvas, count: int, *, width_m: float = 11.0, keep_out: BaseGeometry | None = None) -> None:
    """Draw up to so many country roads across the frame, none of them through a shape."""
    rng = canvas.rng("roads")
    roads: list[shapely.Polygon] = []
    for _ in range(count * 12):
        if len(roads) == count:
            break
        site = _middle(canvas, rng.uniform(0, 180), rng.uniform(-0.42, 0.42, 2))
        u0, u1, *_ = site.reach(canvas.frame.box)
        u = np.linspace(u0 - 50, u1 + 50, 40)
        swing = 0.04 * (u1 - u0)
        v = swing * np.sin(u / (4 * swing) + rng.uniform(0, 6))
        road = shapely.LineString(site.at(np.column_stack([u, v]))).buffer(width_m / 2, cap_style="flat")
        if keep_out is None or not road.intersects(keep_out):
            roads.append(road)
    canvas.paint(roads, "road")
    for road in roads:
        _record_linear(canvas, road, "road", "country_road", width_m)


def draw_villages(canvas: Canvas, *, keep_out: BaseGeometry | None = None) -> None:
    """Draw villages of houses among gardens, away from a shape."""
    rng = canvas.rng("villages")
    width, height = canvas.frame.size_m
    count = int(np.clip(width * height / 4e6, 1, 25))
    for _ in range(count):
        middle = rng.uniform(0.08, 0.92, 2) * (width, height)
        area = blob(middle, float(np.clip(0.07 * min(width, height), 60, 350)) * rng.uniform(0.6, 1.3), rng)
        area = area.difference(keep_out.buffer(60)) if keep_out is not None else area
        draw_suburb(canvas, area, rng)


def draw_suburb(canvas: Canvas, area: BaseGeometry, rng: np.random.Generator, heading_deg: float | None = None) -> None:
    """Fill an area with detached houses along streets, or with their texture where pixels are too coarse for houses."""
    if area.is_empty:
        return
    canvas.paint(area, "park" if canvas.frame.gsd_m <= 3 else "suburb")
    if canvas.frame.gsd_m > 3:
        return
    x0, y0, x1, y1 = area.bounds
    heading = float(rng.uniform(0, 90)) if heading_deg is None else heading_deg
    site = Plan(((x0 + x1) / 2, (y0 + y1) / 2), heading)
    u0, u1, v0, v1 = site.reach(shapely.box(x0, y0, x1, y1))
    streets = [site.strip([(u0, v), (u1, v)], 6.0) for v in np.arange(v0, v1, 64.0)]
    canvas.paint([street.intersection(area) for street in streets], "road")
    u, v = np.meshgrid(
        np.arange(u0, u1, 24.0), np.concatenate([np.arange(v0 + 16, v1, 64.0), np.arange(v0 + 48, v1, 64.0)])
    )
    places = site.at(np.column_stack([u.ravel(), v.ravel()]) + rng.normal(0, 2.0, (u.size, 2)))
    inside = shapely.contains_xy(area.buffer(-12), places[:, 0], places[:, 1])
    places = places[inside & (rng.random(len(places)) < 0.7)][:_MOST_HOUSES]
    draw_boxes(canvas, houses(places, site.heading_deg, rng), rng)
    trees = rng.random((min(int(area.area / 900), 4000), 2)) * (x1 - x0, y1 - y0) + (x0, y0)
    trees = trees[shapely.contains_xy(area, trees[:, 0], trees[:, 1])]
    canvas.paint(list(shapely.buffer(shapely.points(trees), rng.uniform(2.5, 6.0, len(trees)), quad_segs=3)), "forest")
    draw_clutter(canvas, area, 12.0, 2.0, rng)


def houses(places: Floats, heading_deg: float, rng: np.random.Generator) -> Boxes:
    """Return detached houses at given places."""
    count = len(places)
    turn = heading_deg + rng.choice([0.0, 90.0], count) + rng.normal(0, 3, count)
    size = rng.uniform(9, 15, count), rng.uniform(7, 10, count), rng.uniform(4, 9, count)
    return Boxes(places, *size, turn, "house", bounce_m=3.0)


def _middle(canvas: Canvas, heading_deg: float, shift: Floats | None = None) -> Plan:
    width, height = canvas.frame.size_m
    dx, dy = (0.0, 0.0) if shift is None else shift
    return Plan((width * (0.5 + dx), height * (0.5 + dy)), heading_deg)


def _record_linear(canvas: Canvas, shape: BaseGeometry, kind: str, type_: str, width_m: float) -> None:
    visible = shape.intersection(canvas.frame.box)
    canvas.record(TruthObject(kind, type_, shape, float(visible.area / width_m), width_m))
