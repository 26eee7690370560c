"""A port: piers with moored ships, container yard and cranes, tank farm, warehouses, breakwater, roadstead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.canvas import Canvas, TruthObject
from knowlip.scenes.simulate.countryside import draw_suburb
from knowlip.scenes.simulate.plan import Plan, blob
from knowlip.scenes.simulate.sea import ships_at_sea
from knowlip.scenes.simulate.ships import draw_ship, random_ship
from knowlip.scenes.simulate.structures import Boxes, draw_boxes, draw_clutter, draw_crane, draw_tank

__all__ = ["port"]

_YARD_SLOTS = 900


@dataclass(frozen=True)
class _Pier:
    """A pier of the plan: v is seaward, the shore is v = 0."""

    left: float
    right: float
    reach: float
    cargo: str


def port(canvas: Canvas) -> None:
    """Draw a port on a coast: land on one side of the plan, piers into the water on the other."""
    rng = canvas.rng("port plan")
    width, height = canvas.frame.size_m
    extent = min(width, height)
    site = Plan((width / 2, height / 2), float(rng.uniform(0, 360)))
    piers = _plan_piers(extent, rng)
    land = _draw_coast(canvas, site, piers, rng)
    _draw_hinterland(canvas, site, piers, extent)
    for pier in piers:
        _draw_pier(canvas, site, pier)
    _moor(canvas, site, piers)
    sea = canvas.frame.box.difference(land.buffer(40))
    breakwater = _draw_breakwater(canvas, site, piers, extent)
    ships_at_sea(canvas, sea.difference(breakwater.buffer(30)), per_km2=1.6)


def _plan_piers(extent: float, rng: np.random.Generator) -> list[_Pier]:
    """Lay out one to three piers side by side, as large as the frame has room for."""
    scale = float(np.clip(extent / 2000, 0.25, 1.0))
    count = 1 if extent < 700 else (2 if extent < 1500 else 3)
    cargoes = ["containers", *rng.permutation(["bulk", "general"]).tolist()][:count]
    breadth = [scale * float(rng.uniform(190, 260)) for _ in cargoes]
    gap = scale * float(rng.uniform(230, 300))
    left = -(sum(breadth) + gap * (count - 1)) / 2
    piers = []
    for cargo, broad in zip(cargoes, breadth, strict=True):
        piers.append(_Pier(left, left + broad, scale * float(rng.uniform(430, 620)), str(cargo)))
        left += broad + gap
    return piers


def _draw_coast(canvas: Canvas, site: Plan, piers: list[_Pier], rng: np.random.Generator) -> BaseGeometry:
    u0, u1, v0, _ = site.reach(canvas.frame.box)
    left, right = piers[0].left - 120, piers[-1].right + 120
    u = np.linspace(u0 - 100, u1 + 100, 160)
    outside = np.clip(np.maximum(left - u, u - right) / 300, 0, 1)
    wander = sum(rng.normal(0, 60 / n) * np.sin(n * u / 400 + rng.uniform(0, 6)) for n in range(1, 6))
    shore = np.column_stack([u, outside * wander])
    land = site.polygon([*shore, (u1 + 100, v0 - 100), (u0 - 100, v0 - 100)]).buffer(0)
    canvas.paint(land, "park")
    beach = shapely.LineString(site.at(shore)).buffer(max(8.0, canvas.frame.gsd_m))
    canvas.paint(beach.intersection(land), "bare")
    return shapely.union_all([land, *(site.rect(pier.left, pier.right, -5, pier.reach) for pier in piers)])


def _draw_hinterland(canvas: Canvas, site: Plan, piers: list[_Pier], extent: float) -> None:
    rng = canvas.rng("hinterland")
    u0, u1, v0, _ = site.reach(canvas.frame.box)
    left, right = piers[0].left - 110, piers[-1].right + 110
    depth = float(np.clip(0.28 * extent, 120, 480))
    canvas.paint(site.rect(left, right, -depth, 0), "yard")
    draw_clutter(canvas, site.rect(left, right, -depth, 0).intersection(canvas.frame.box), 30.0, 6.0, rng)
    for n, row in enumerate((-depth - 120, -depth - 520)):
        area = site.rect(u0, u1, max(row - 330, v0), row).intersection(canvas.frame.box)
        gardens = [blob(rng.uniform(0, 1, 2) * canvas.frame.size_m, 0.05 * extent, rng) for _ in range(5)]
        area = area.difference(shapely.union_all(gardens))
        if row > v0:
            draw_suburb(canvas, area, canvas.rng(f"suburb {n}"))
    canvas.paint([site.strip([(u0, -depth - 60), (u1, -depth - 60)], 18)], "road")
    canvas.paint([site.strip([(u, -depth - 60), (u, 0)], 10) for u in np.linspace(left + 30, right - 30, 4)], "road")
    middle = (left + right) / 2
    _draw_tank_farm(canvas, site, (left + 20, middle - 20), (-depth + 20, -60), rng)
    _draw_warehouses(canvas, site, (middle + 20, right - 20), (-depth + 15, -55))


def _draw_tank_farm(
    canvas: Canvas, site: Plan, u_range: tuple[float, float], v_range: tuple[float, float], rng: np.random.Generator
) -> None:
    area = site.rect(*u_range, *v_range)
    canvas.paint(area, "bare")
    step = float(rng.uniform(62, 84))
    for u in np.arange(u_range[0] + step / 2, u_range[1] - step / 3, step):
        for v in np.arange(v_range[0] + step / 2, v_range[1] - step / 3, step):
            if rng.random() < 0.88:
                size = float(rng.uniform(0.4, 0.78)) * step
                draw_tank(canvas, site.at([(u, v)])[0], size, float(rng.uniform(11, 20)), rng)


def _draw_warehouses(canvas: Canvas, site: Plan, u_range: tuple[float, float], v_range: tuple[float, float]) -> None:
    rng = canvas.rng("warehouses")
    u, v = np.meshgrid(
        np.arange(u_range[0] + 45, u_range[1] - 40, 100.0), np.arange(v_range[0] + 25, v_range[1] - 20, 62.0)
    )
    count = u.size
    sizes = rng.uniform(60, 88, count), rng.uniform(24, 42, count), rng.uniform(8, 15, count)
    plan = Boxes(
        site.at(np.column_stack([u.ravel(), v.ravel()])),
        *sizes,
        np.full(count, site.heading_deg),
        "warehouse",
        bounce_m=14.0,
    )
    draw_boxes(canvas, plan.where(rng.random(count) < 0.9), rng)


def _draw_pier(canvas: Canvas, site: Plan, pier: _Pier) -> None:
    rng = canvas.rng(f"pier {pier.cargo}")
    quay = site.rect(pier.left, pier.right, -5, pier.reach)
    canvas.paint(quay, "quay")
    canvas.record(
        TruthObject("quay", pier.cargo, quay, pier.reach, pier.right - pier.left, 4.0, (site.heading_deg + 90) % 180)
    )
    if pier.cargo == "containers":
        _draw_container_yard(canvas, site, pier, rng)
        for v in np.arange(0.2 * pier.reach, 0.95 * pier.reach, max(0.17 * pier.reach, 70)):
            draw_crane(canvas, site.at([(pier.right - 18, v)])[0], site.heading_deg, rng)
        return
    inner = pier.right - pier.left - 70
    rows = np.arange(60.0, pier.reach - 50, 95.0)
    if inner < 30 or not len(rows):
        return
    middle = np.column_stack([np.full(len(rows), (pier.left + pier.right) / 2), rows])
    sizes = np.full(len(rows), inner), np.full(len(rows), 38.0), rng.uniform(9, 16, len(rows))
    sheds = Boxes(site.at(middle), *sizes, np.full(len(rows), site.heading_deg), f"{pier.cargo}_shed", bounce_m=14.0)
    draw_boxes(canvas, sheds, rng)


def _draw_container_yard(canvas: Canvas, site: Plan, pier: _Pier, rng: np.random.Generator) -> None:
    """Rows of stacks, each a hard-edged box one to five containers high."""
    long_m = max(12.6 * 4, 6 * canvas.frame.gsd_m)
    wide_m = max(14.0, 3 * canvas.frame.gsd_m)
    u, v = np.meshgrid(
        np.arange(pier.left + 18 + wide_m / 2, pier.right - 48, wide_m + 9.0),
        np.arange(25 + long_m / 2, pier.reach - long_m / 2 - 10, long_m + 12.0),
    )
    count = min(u.size, _YARD_SLOTS)
    if not count:
        return
    places = site.at(np.column_stack([u.ravel(), v.ravel()])[:count])
    height = 2.6 * rng.integers(1, 6, count)
    heading = np.full(count, site.heading_deg + 90)
    stacks = Boxes(
        places, np.full(count, long_m), np.full(count, wide_m), height, heading, "container_stack", bounce_m=25.0
    )
    draw_boxes(canvas, stacks.where(rng.random(count) < 0.85), rng)


def _moor(canvas: Canvas, site: Plan, piers: list[_Pier]) -> None:
    """Moor ships along both long sides of every pier, bow in or out."""
    rng = canvas.rng("moored ships")
    types = {
        "containers": ("container_ship",),
        "bulk": ("bulk_carrier", "tanker"),
        "general": ("general_cargo", "passenger", "fishing"),
    }
    for pier in piers:
        for edge, side in ((pier.left, -1.0), (pier.right, 1.0)):
            v = float(rng.uniform(15, 50))
            while v < pier.reach - 20:
                ship = random_ship(rng, longest_m=pier.reach - v - 10, types=types[pier.cargo])
                if ship is None:
                    break
                place = (edge + side * (ship.beam_m / 2 + 3.0), v + ship.length_m / 2)
                if rng.random() < 0.8:
                    turn = site.heading_deg + 90 + float(rng.choice([0.0, 180.0]))
                    draw_ship(canvas, ship, site.at([place])[0], turn, rng, state="moored")
                v += ship.length_m + float(rng.uniform(18, 60))


def _draw_breakwater(canvas: Canvas, site: Plan, piers: list[_Pier], extent: float) -> shapely.Polygon:
    """Draw an arm of rock that shelters the piers, where the frame has room for one."""
    rng = canvas.rng("breakwater")
    far = max(pier.reach for pier in piers) + 0.16 * extent
    start = piers[-1].right + 0.17 * extent
    turn = np.linspace(0, 1, 12)
    u = start - turn**2 * 0.32 * extent
    v = far * np.sqrt(turn) * 0.98
    arm = shapely.LineString(site.at(np.column_stack([u, v]))).buffer(max(9.0, canvas.frame.gsd_m), cap_style="round")
    arm = arm.intersection(canvas.frame.box)
    if extent < 1200 or arm.is_empty:
        return shapely.Polygon()
    canvas.paint(arm, "rock")
    canvas.record(TruthObject("breakwater", "rubble_mound", arm, arm.area / 18.0, 18.0))
    draw_clutter(canvas, arm, 60.0, 6.0, rng)
    return arm
