"""An airport: runways and taxiways as dark strips, aprons with aircraft, terminal, hangars, fuel tanks, car park."""

from __future__ import annotations

import numpy as np
import shapely

from knowlip.scenes.simulate.aircraft import AIRCRAFT, draw_aircraft
from knowlip.scenes.simulate.canvas import Canvas, TruthObject
from knowlip.scenes.simulate.countryside import draw_fields, draw_roads, draw_villages, draw_woods
from knowlip.scenes.simulate.plan import Plan
from knowlip.scenes.simulate.structures import Boxes, draw_boxes, draw_cars, draw_tank

__all__ = ["airport"]

# The plan, in metres: u along the runway, v towards the terminal. The parallel taxiway is v = 0.
_RUNWAY_V = -190.0
_APRON_V = (45.0, 270.0)
_TERMINAL_V = (274.0, 318.0)


def airport(canvas: Canvas) -> None:
    """Draw an airport in open country, its apron in the middle of a small frame, its airfield of a large one."""
    rng = canvas.rng("airport plan")
    width, height = canvas.frame.size_m
    site = _site(canvas, float(rng.uniform(0, 180)))
    runway_m = float(np.clip(0.8 * np.hypot(width, height), 1800, 3600))
    half_apron = float(np.clip(0.13 * runway_m + rng.uniform(0, 60), 240, 450))
    draw_fields(canvas)
    draw_woods(canvas, share=0.10)
    airfield = site.rect(-runway_m / 2 - 250, runway_m / 2 + 250, -480, 560)
    draw_roads(canvas, count=2, keep_out=airfield)
    draw_villages(canvas, keep_out=airfield)
    canvas.paint(site.rect(-runway_m / 2 - 200, runway_m / 2 + 200, -420, 120), "grass")
    canvas.paint(site.rect(-half_apron - 420, half_apron + 420, 100, 540), "park")
    _draw_runways(canvas, site, runway_m, half_apron)
    _draw_terminal(canvas, site, half_apron)
    _draw_hangars(canvas, site, half_apron)
    _draw_fuel_farm(canvas, site, half_apron)
    _park_aircraft(canvas, site, half_apron)
    _taxi_aircraft(canvas, site, runway_m)


def _site(canvas: Canvas, heading_deg: float) -> Plan:
    width, height = canvas.frame.size_m
    centre = Plan((width / 2, height / 2), heading_deg)
    towards_apron = 130.0 if min(width, height) < 1000 else 20.0
    return Plan(tuple(centre.at([(0.0, -towards_apron)])[0]), heading_deg)


def _draw_runways(canvas: Canvas, site: Plan, runway_m: float, half_apron: float) -> None:
    half = runway_m / 2
    rows = [_RUNWAY_V] + ([_RUNWAY_V - 1100.0] if min(canvas.frame.size_m) > 6000 else [])
    taxiway = [
        site.strip([(-half, 0), (half, 0)], 24),
        *(site.strip([(u, 0), (u, rows[-1])], 24) for u in (-half + 12, half - 12)),
        *(site.strip([(u, 0), (u + 160, _RUNWAY_V)], 22) for u in (-0.25 * runway_m, 0.1 * runway_m)),
        *(site.strip([(u, 0), (u, _APRON_V[0] + 5)], 24) for u in (-half_apron * 0.7, 0.0, half_apron * 0.7)),
    ]
    canvas.paint(taxiway, "road")
    apron = site.rect(-half_apron, half_apron, *_APRON_V)
    canvas.paint(apron, "apron")
    canvas.record(TruthObject("apron", "passenger", apron, 2 * half_apron, _APRON_V[1] - _APRON_V[0]))
    for row in rows:
        strip = site.rect(-half, half, row - 30, row + 30)
        canvas.paint(strip, "runway")
        canvas.record(TruthObject("runway", "paved", strip, runway_m, 60.0, heading_deg=site.heading_deg % 180))
        _draw_lights(canvas, site, half, row)
    for strip in taxiway:
        canvas.record(TruthObject("taxiway", "paved", strip, strip.area / 24, 24.0))


def _draw_lights(canvas: Canvas, site: Plan, half: float, row: float) -> None:
    rng = canvas.rng(f"runway lights {row}")
    for end in (-1.0, 1.0):
        u = end * (half + np.arange(30.0, 600.0, 30.0))
        bars = np.array([(x, row + y) for x in u for y in (-4.0, -2.0, 0.0, 2.0, 4.0)])
        canvas.scatter(site.at(bars), 1.5 * rng.standard_exponential(len(bars)))


def _draw_terminal(canvas: Canvas, site: Plan, half_apron: float) -> None:
    rng = canvas.rng("terminal")
    half = half_apron * 0.75
    low, high = _TERMINAL_V
    canvas.paint(site.rect(-half_apron - 60, half_apron + 60, _APRON_V[1], 345), "apron")
    canvas.paint([site.strip([(-half_apron - 500, 352), (half_apron + 500, 352)], 14)], "road")
    canvas.paint([site.strip([(0, 352), (0, 2500)], 16)], "road")
    hall = Boxes.one(
        site.at([(0.0, (low + high) / 2)])[0],
        2 * half,
        high - low,
        float(rng.uniform(16, 24)),
        site.heading_deg,
        "terminal",
    )
    draw_boxes(canvas, hall, rng)
    tower = Boxes.one(
        site.at([(half + 40, 300.0)])[0], 11, 11, float(rng.uniform(38, 60)), site.heading_deg, "control_tower"
    )
    draw_boxes(canvas, tower, rng)
    lot = site.rect(-half * 0.8, half * 0.8, 370, 470)
    canvas.paint(lot, "road")
    draw_cars(canvas, lot, site.heading_deg, rng)
    for u in np.arange(-half, half + 1, 55.0):  # jet bridges: short bright fingers
        bridge = np.array([(u + 6, low - y) for y in np.arange(2.0, 22.0, 1.5)])
        canvas.scatter(site.at(bridge), 6 * rng.standard_exponential(len(bridge)), 4.0)


def _draw_hangars(canvas: Canvas, site: Plan, half_apron: float) -> None:
    rng = canvas.rng("hangars")
    count = int(rng.integers(3, 6))
    left = half_apron + 70
    canvas.paint(site.rect(left - 30, left + count * 95, 130, 235), "apron")
    middles = np.array([(left + 40 + 95 * n, 262.0) for n in range(count)])
    sizes = rng.uniform(55, 80, count), rng.uniform(45, 60, count), rng.uniform(14, 24, count)
    hangars = Boxes(site.at(middles), *sizes, np.full(count, site.heading_deg), "hangar", bounce_m=18.0)
    draw_boxes(canvas, hangars, rng)
    for n in range(count):
        if rng.random() < 0.6:
            name = str(rng.choice(["A220", "A320", "Boeing737", "ARJ21"]))
            _park(canvas, site, name, (left + 40 + 95 * n, 222.0), 90.0, rng)


def _draw_fuel_farm(canvas: Canvas, site: Plan, half_apron: float) -> None:
    rng = canvas.rng("fuel farm")
    left = -half_apron - 230
    canvas.paint(site.rect(left - 20, left + 160, 200, 310), "bare")
    for n in range(int(rng.integers(4, 7))):
        spot = site.at([(left + 20 + 45 * (n % 3), 230 + 48 * (n // 3))])[0]
        draw_tank(canvas, spot, float(rng.uniform(16, 28)), float(rng.uniform(9, 14)), rng)


def _park_aircraft(canvas: Canvas, site: Plan, half_apron: float) -> None:
    """Park aircraft nose-in along the terminal and on remote stands."""
    rng = canvas.rng("parked aircraft")
    names, filling = list(AIRCRAFT), float(rng.uniform(0.6, 0.95))
    for nose_v, turn in ((_TERMINAL_V[0] - 20, 90.0), (160.0, 90.0)):
        u = -half_apron + 45.0
        while u < half_apron - 40:
            name = str(rng.choice(names))
            span = AIRCRAFT[name].span_m
            u += span / 2 + 6
            if u + span / 2 > half_apron - 5:
                break
            if rng.random() < filling:
                _park(
                    canvas, site, name, (u, nose_v + float(rng.normal(0, 1.0))), turn + float(rng.normal(0, 1.5)), rng
                )
            u += span / 2 + 6


def _taxi_aircraft(canvas: Canvas, site: Plan, runway_m: float) -> None:
    rng = canvas.rng("taxiing aircraft")
    for _ in range(int(rng.integers(1, 4))):
        name = str(rng.choice(list(AIRCRAFT)))
        direction = float(rng.choice([0.0, 180.0]))
        place = (float(rng.uniform(-0.45, 0.45)) * runway_m, float(rng.choice([0.0, 0.0, _RUNWAY_V])))
        _park(canvas, site, name, place, direction, rng, state="taxiing")


def _park(
    canvas: Canvas,
    site: Plan,
    name: str,
    nose_uv: tuple[float, float],
    turn_deg: float,
    rng: np.random.Generator,
    *,
    state: str = "parked",
) -> None:
    nose = site.at([nose_uv])[0]
    if shapely.Point(nose).within(canvas.frame.box):
        draw_aircraft(canvas, name, nose, site.heading_deg + turn_deg, rng, state=state)
