"""Things that stand: buildings with layover, double bounce and shadow, storage tanks, cranes, parked cars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from knowlip.scenes.simulate.canvas import Canvas, Floats, TruthObject, db, heading_vector

__all__ = ["Boxes", "draw_boxes", "draw_cars", "draw_crane", "draw_tank"]

_BOUNCE_WIDTH_DEG = 14.0
"""Away from the look direction by this much, a wall's double bounce is down to 1/e."""


@dataclass(frozen=True)
class Boxes:
    """Buildings with rectangular plans.

    Attributes:
        centre_m: Centres (N, 2).
        length_m: Extents along the heading (N,).
        width_m: Extents across it (N,).
        height_m: Heights (N,).
        heading_deg: Headings of the long axes (N,).
        type: What they are, for the truth.
        bounce_m: Double-bounce cross section in m² a metre of wall facing the radar squarely.
    """

    centre_m: Floats
    length_m: Floats
    width_m: Floats
    height_m: Floats
    heading_deg: Floats
    type: str = "block"
    bounce_m: float = 12.0

    def __len__(self) -> int:
        return len(self.centre_m)

    def where(self, keep: npt.NDArray[np.bool_]) -> Boxes:
        """Return the boxes of a mask."""
        arrays = (self.centre_m, self.length_m, self.width_m, self.height_m, self.heading_deg)
        return Boxes(*(values[keep] for values in arrays), self.type, self.bounce_m)

    def corners(self) -> Floats:
        """Return the corners (N, 4, 2), around."""
        ahead = heading_vectors(self.heading_deg) * self.length_m[:, None] / 2
        right = np.column_stack([-ahead[:, 1], ahead[:, 0]]) * (self.width_m / self.length_m)[:, None]
        steps = np.stack([ahead + right, ahead - right, -ahead - right, -ahead + right], axis=1)
        return np.asarray(self.centre_m[:, None] + steps)

    @classmethod
    def one(
        cls, centre: Sequence[float], length: float, width: float, height: float, heading: float, kind: str
    ) -> Boxes:
        """Return a single building."""
        values = (np.array([value], dtype=float) for value in (length, width, height, heading))
        return cls(np.array([centre], dtype=float), *values, kind)


def heading_vectors(heading_deg: Floats) -> Floats:
    """Return unit vectors (N, 2) of headings in the drawing frame."""
    angle = np.radians(heading_deg)
    return np.column_stack([np.sin(angle), -np.cos(angle)])


def draw_boxes(canvas: Canvas, boxes: Boxes, rng: np.random.Generator, *, kind: str = "building") -> int:
    """Draw buildings that lie within the frame, and note them as true.

    The roof and the facades that face the radar are displaced towards it by h / tan(incidence); the ground that a building
    covers and h · tan(incidence) behind it is dark; the foot of each facing wall is a line of double-bounce points, the
    brighter the squarer the wall faces the radar.

    Returns:
        How many were drawn.
    """
    plans = shapely.polygons(boxes.corners())
    inside = shapely.contains(canvas.frame.box.buffer(-canvas.frame.gsd_m), plans)
    boxes, plans = boxes.where(inside), plans[inside]
    if not len(boxes):
        return 0
    corners = boxes.corners()
    frame = canvas.frame
    behind = np.multiply.outer(frame.shadow_m(boxes.height_m), frame.away)[:, None]
    before = np.multiply.outer(frame.layover_m(boxes.height_m), -frame.away)[:, None]
    swept = shapely.convex_hull(shapely.multipoints(np.concatenate([corners, corners + behind], axis=1)))
    canvas.shade(swept)
    roofs = shapely.polygons(corners + before)
    canvas.raise_volume(roofs, db(rng.normal(-9.0, 2.0, len(boxes))))
    _draw_walls(canvas, corners, before, boxes.bounce_m, rng)
    for plan, length, width, height, heading in zip(
        plans, boxes.length_m, boxes.width_m, boxes.height_m, boxes.heading_deg, strict=True
    ):
        canvas.record(
            TruthObject(kind, boxes.type, plan, float(length), float(width), float(height), float(heading) % 180)
        )
    return len(boxes)


def _draw_walls(canvas: Canvas, corners: Floats, before: Floats, bounce_m: float, rng: np.random.Generator) -> None:
    start, stop = corners, np.roll(corners, -1, axis=1)
    along = stop - start
    length = np.linalg.norm(along, axis=-1)
    normal = np.stack([along[..., 1], -along[..., 0]], axis=-1) / length[..., None]
    outward = np.einsum("nkd,nkd->nk", normal, (start + stop) / 2 - corners.mean(axis=1, keepdims=True))
    facing = np.einsum("nkd,d->nk", normal * np.sign(outward)[..., None], -canvas.frame.away)
    seen = facing > 0.05
    lift = np.broadcast_to(before, corners.shape)[seen]
    walls = np.stack([start[seen], stop[seen], stop[seen] + lift, start[seen] + lift], axis=1)
    canvas.raise_volume(shapely.polygons(walls), db(rng.normal(-6.0, 2.0, len(walls))) * facing[seen])
    off_deg = np.degrees(np.arccos(np.clip(facing[seen], 0, 1)))
    strength = bounce_m * (np.exp(-((off_deg / _BOUNCE_WIDTH_DEG) ** 2)) + 0.02)
    _draw_lines(canvas, start[seen], stop[seen], strength, rng)


def _draw_lines(canvas: Canvas, start: Floats, stop: Floats, rcs_m: Floats, rng: np.random.Generator) -> None:
    """Scatter points along segments, a pixel apart, with exponential glints around a cross section a metre."""
    length = np.linalg.norm(stop - start, axis=1)
    count = np.maximum(np.ceil(length / max(canvas.frame.gsd_m, 0.5)).astype(int), 1)
    owner = np.repeat(np.arange(len(count)), count)
    along = rng.random(len(owner))[:, None]
    rcs = (rcs_m * length / count)[owner] * rng.standard_gamma(0.7, len(owner)) / 0.7
    canvas.scatter(start[owner] + along * (stop - start)[owner], rcs)


def draw_tank(
    canvas: Canvas, centre: Sequence[float], diameter_m: float, height_m: float, rng: np.random.Generator
) -> bool:
    """Draw a storage tank: bright crescents of foot and rim, a roof displaced towards the radar, a shadow.

    Returns:
        Whether there was room for it.
    """
    frame, middle, radius = canvas.frame, np.array(centre, dtype=float), diameter_m / 2
    plan = shapely.Point(middle).buffer(radius, quad_segs=16)
    if not canvas.take(plan, 4.0):
        return False
    ring = shapely.get_coordinates(plan)
    shadow, lift = frame.shadow_m(height_m) * frame.away, -frame.layover_m(height_m) * frame.away
    canvas.shade([shapely.convex_hull(shapely.multipoints(np.concatenate([ring, ring + shadow])))])
    canvas.raise_volume([shapely.polygons(ring + lift)], [float(db(rng.normal(-13.0, 1.5)))])
    turn = np.arctan2(*(-frame.away)[::-1]) + rng.normal(0, 0.35, 24)
    edge = middle + radius * np.column_stack([np.cos(turn), np.sin(turn)])
    far = middle - radius * np.column_stack([np.cos(turn), np.sin(turn)])
    glint = rng.standard_exponential((3, 24)) * diameter_m
    canvas.scatter(edge, glint[0] * 0.8)
    canvas.scatter(edge, glint[1] * 0.3, height_m)
    canvas.scatter(far, glint[2] * 0.15, height_m)
    kind = "floating_roof" if diameter_m > 30 else "fixed_roof"
    canvas.record(TruthObject("storage_tank", kind, plan, diameter_m, diameter_m, height_m))
    return True


def draw_crane(canvas: Canvas, foot: Sequence[float], seaward_deg: float, rng: np.random.Generator) -> bool:
    """Draw a ship-to-shore crane: portal legs and a long bright boom high above.

    Args:
        canvas: Where to draw.
        foot: Middle of the portal on the quay.
        seaward_deg: Heading of the boom.
        rng: Random stream.

    Returns:
        Whether it lies within the frame.
    """
    out, middle = heading_vector(seaward_deg), np.array(foot, dtype=float)
    side = np.array([-out[1], out[0]])
    portal = shapely.polygons(middle + np.array([-15 * out - 12 * side, 15 * out - 12 * side, 15 * out + 12 * side, -15 * out + 12 * side]))
    if not canvas.contains(portal):
        return False
    legs = middle + np.array([-14 * out - 11 * side, 14 * out - 11 * side, 14 * out + 11 * side, -14 * out + 11 * side])
    canvas.scatter(legs, 40 + 60 * rng.standard_exponential(4))
    reach = np.arange(-25.0, 55.0, 1.5)
    canvas.scatter(middle + reach[:, None] * out, 8 * rng.standard_exponential(len(reach)), 40.0)
    canvas.record(TruthObject("crane", "ship_to_shore", portal, 30.0, 24.0, 60.0, seaward_deg % 360))
    return True


def draw_cars(canvas: Canvas, lot: shapely.Polygon, heading_deg: float, rng: np.random.Generator) -> None:
    """Fill a parking lot with rows of cars, most places taken."""
    ahead = heading_vector(heading_deg)
    right = np.array([-ahead[1], ahead[0]])
    reach = lot.minimum_clearance if lot.is_empty else np.hypot(*np.ptp(shapely.get_coordinates(lot), axis=0)) / 2
    u, v = np.meshgrid(np.arange(-reach, reach, 16.0), np.arange(-reach, reach, 2.6))
    places = np.array(lot.centroid.coords[0]) + u.reshape(-1, 1) * ahead + v.reshape(-1, 1) * right
    places = np.concatenate([places - 2.8 * ahead, places + 2.8 * ahead])
    taken = rng.random(len(places)) < 0.75
    taken &= shapely.contains_xy(lot, places[:, 0], places[:, 1])
    canvas.scatter(places[taken], 1.2 * rng.standard_exponential(int(taken.sum())), 0.5)
