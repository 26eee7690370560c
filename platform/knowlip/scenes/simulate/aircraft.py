"""Aircraft of distinct types, as constellations of point scatterers with true dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
import shapely.affinity

from knowlip.scenes.simulate.canvas import Canvas, Floats, TruthObject, array, db, heading_vector

__all__ = ["AIRCRAFT", "AircraftType", "draw_aircraft"]


@dataclass(frozen=True)
class AircraftType:
    """Dimensions of an airliner, from the makers' airport planning documents.

    Attributes:
        length_m: Nose to tail.
        span_m: Wing tip to wing tip.
        height_m: Ground to the top of the fin.
        fuselage_m: Diameter of the fuselage.
        sweep_deg: Sweep of the wing's leading edge.
        engines: Engine positions (share of the length behind the nose, metres off the axis), starboard side only.
        tailplane_m: Span of the tailplane.
        t_tail: Whether the tailplane sits on top of the fin.
    """

    length_m: float
    span_m: float
    height_m: float
    fuselage_m: float
    sweep_deg: float
    engines: tuple[tuple[float, float], ...]
    tailplane_m: float
    t_tail: bool = False


AIRCRAFT: dict[str, AircraftType] = {
    "A220": AircraftType(38.7, 35.1, 11.5, 3.7, 27, ((0.42, 5.6),), 12.2),
    "A320": AircraftType(37.6, 35.8, 11.8, 4.0, 27, ((0.40, 5.75),), 12.5),
    "A330": AircraftType(63.7, 60.3, 16.8, 5.6, 32, ((0.40, 9.4),), 19.4),
    "ARJ21": AircraftType(33.5, 27.3, 8.4, 3.3, 26, ((0.76, 2.9),), 10.0, t_tail=True),
    "Boeing737": AircraftType(39.5, 35.8, 12.5, 3.8, 27, ((0.41, 4.83),), 14.4),
    "Boeing747": AircraftType(70.7, 64.4, 19.4, 6.5, 41, ((0.38, 11.7), (0.48, 20.8)), 22.2),
    "Boeing787": AircraftType(62.8, 60.1, 17.0, 5.8, 34, ((0.39, 9.9),), 19.8),
}
"""Aircraft types by name; the six of SAR-ACD and a four-engined one."""


def draw_aircraft(
    canvas: Canvas,
    name: str,
    nose: Sequence[float] | Floats,
    heading_deg: float,
    rng: np.random.Generator,
    *,
    state: str,
) -> bool:
    """Draw a parked or taxiing aircraft, if there is room for it.

    Args:
        canvas: Where to draw.
        name: One of `AIRCRAFT`.
        nose: Position of the nose.
        heading_deg: Where the nose points, in the drawing frame.
        rng: Random stream.
        state: ``parked`` or ``taxiing``, for the truth.

    Returns:
        Whether it was drawn.
    """
    kind = AIRCRAFT[name]
    ahead = heading_vector(heading_deg)
    axes = np.array([-ahead, [-ahead[1], ahead[0]]])  # body frame: metres behind the nose, metres to starboard
    plan = shapely.polygons(_outline(kind) @ axes + np.array(nose, dtype=float))
    hull = shapely.union_all([shapely.polygons(part @ axes + np.array(nose)) for part in _parts(kind)])
    if not canvas.take(plan, 3.0):
        return False
    frame = canvas.frame
    belly = frame.shadow_m(kind.fuselage_m) * frame.away
    canvas.shade([shapely.affinity.translate(hull, *belly), hull])
    canvas.raise_volume([hull], [float(db(-14.0))])
    body, rcs, height = _constellation(kind, frame.away @ axes.T, frame.gsd_m, rng)
    canvas.scatter(body @ axes + np.array(nose, dtype=float), rcs, height)
    canvas.record(
        TruthObject(
            "aircraft", name, hull, kind.length_m, kind.span_m, kind.height_m, heading_deg % 360, {"state": state}
        )
    )
    return True


def _wing(kind: AircraftType) -> tuple[float, float, float]:
    """Return where the wing's leading edge meets the axis, and where it ends, behind the nose; and the root chord."""
    root = 0.33 * kind.length_m if not kind.t_tail else 0.38 * kind.length_m
    tip = root + np.tan(np.radians(kind.sweep_deg)) * kind.span_m / 2
    return root, float(tip), 0.19 * kind.length_m


def _parts(kind: AircraftType) -> list[Floats]:
    """Outlines of fuselage, wing and tailplane in the body frame (metres behind the nose, metres to starboard)."""
    r, length, half = kind.fuselage_m / 2, kind.length_m, kind.span_m / 2
    root, tip, chord = _wing(kind)
    fuselage = array((0, 0), (r, r * 0.7), (2.2 * r, r), (0.75 * length, r), (length, 0.3))
    wing = array(
        (root, 0), (tip, half), (tip + 0.22 * chord, half), (root + 0.8 * chord, 0.3 * half), (root + chord, 0)
    )
    tail = 0.87 * length
    plane = array(
        (tail, 0),
        (tail + 0.07 * length, kind.tailplane_m / 2),
        (0.985 * length, kind.tailplane_m / 2),
        (0.98 * length, 0),
    )
    return [np.concatenate([half_part, half_part[::-1] * (1, -1)]) for half_part in (fuselage, wing, plane)]


def _outline(kind: AircraftType) -> Floats:
    """The rectangle that the aircraft needs, in the body frame."""
    half = kind.span_m / 2
    return array((0, -half), (kind.length_m, -half), (kind.length_m, half), (0, half))


def _constellation(
    kind: AircraftType, away: Floats, gsd_m: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return positions in the body frame, cross sections in m² and heights of an aircraft's scatterers.

    Args:
        kind: The type.
        away: Look direction in the body frame: (behind, starboard).
        gsd_m: Ground metres a pixel.
        rng: Random stream.
    """
    length, half, r = kind.length_m, kind.span_m / 2, kind.fuselage_m / 2
    root, tip, chord = _wing(kind)
    lit_side = -np.sign(away[1]) or 1.0
    spots: list[tuple[float, float, float, float]] = [  # behind, starboard, height, mean cross section
        (0.6, 0.0, 2.5, 12.0),
        (2.5 * r, lit_side * 0.8 * r, 3.5, 8.0),
        (root + 0.4 * chord, r, 2.0, 55.0),
        (root + 0.4 * chord, -r, 2.0, 55.0),
        (0.9 * length, 0.0, 0.45 * kind.height_m, 70.0),
        (0.96 * length, 0.0, 0.6 * kind.height_m, 30.0),
    ]
    stern = kind.height_m if kind.t_tail else 0.4 * kind.height_m
    for side in (-1.0, 1.0):
        spots += [(share * length, side * off, 1.5, 110.0) for share, off in kind.engines]
        spots += [
            (tip + 0.1 * chord, side * half, 3.0, 14.0),
            (0.95 * length, side * kind.tailplane_m / 2, stern, 12.0),
        ]
    sides = np.abs(away[1])
    step = float(np.clip(6 * gsd_m, 0.6, 1.9))
    dense = step / 1.9  # finer pixels resolve more, weaker scatterers
    skin = np.arange(2 * r, 0.85 * length, step)
    spots += [(x, lit_side * r, 0.0, dense * (0.8 + 7.0 * sides**4)) for x in skin]
    for side in (-1.0, 1.0):
        normal = np.array([-np.cos(np.radians(kind.sweep_deg)), side * np.sin(np.radians(kind.sweep_deg))])
        glint = dense * (0.6 + 9.0 * max(float(-normal @ away), 0.0) ** 8)
        along = np.arange(r + 1.0, half, step)
        spots += [(root + (tip - root) * y / half, side * y, 2.0, glint) for y in along]
    count = int(0.6 * length / step)  # doors, probes, antennas, cargo loaders
    anywhere = rng.uniform((0.1 * length, -r), (0.9 * length, r), (count, 2))
    spots += [(x, y, 2.0, 1.5 * dense) for x, y in anywhere.tolist()]
    table = np.array(spots)
    rcs = table[:, 3] * rng.standard_gamma(1.5, len(table)) / 1.5
    return table[:, :2] + rng.normal(0, 0.2 * step, (len(table), 2)), rcs, table[:, 2] * 0.5
