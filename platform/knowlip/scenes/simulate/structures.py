"""Things that stand: buildings with layover, double bounce and shadow, storage tanks, cranes, parked cars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.canvas import Canvas, Floats, TruthObject, db, heading_vector

__all__ = ["Boxes", "draw_boxes", "draw_cars", "draw_clutter", "draw_crane", "draw_tank"]

_BOUNCE_WIDTH_DEG = 14.0
"""Away from the look direction by this much, a wall's double bounce is down to 1/e."""

_ROOF_M2_A_POINT = 70.0
_WALL_M2_A_POINT = 9.0


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
        return replace(
            self,
            centre_m=self.centre_m[keep],
            length_m=self.length_m[keep],
            width_m=self.width_m[keep],
            height_m=self.height_m[keep],
            heading_deg=self.heading_deg[keep],
        )

    def corners(self) -> Floats:
        """Return the corners (N, 4, 2), around."""
        ahead = heading_vectors(self.heading_deg) * self.length_m[:, None] / 2
        right = np.column_stack([-ahead[:, 1], ahead[:, 0]]) * (self.width_m / self.length_m)[:, None]
        steps = np.stack([ahead + right, ahead - right, -ahead - right, -ahead + right], axis=1)
        return np.asarray(self.centre_m[:, None] + steps)

    @classmethod
    def one(
        cls, centre: Sequence[float] | Floats, length: float, width: float, height: float, heading: float, kind: str
    ) -> Boxes:
        """Return a single building."""
        size = np.array([length]), np.array([width]), np.array([height])
        return cls(np.array([centre], dtype=np.float64), *size, np.array([heading]), kind)


def heading_vectors(heading_deg: Floats) -> Floats:
    """Return unit vectors (N, 2) of headings in the drawing frame."""
    angle = np.radians(heading_deg)
    return np.column_stack([np.sin(angle), -np.cos(angle)])


def draw_boxes(canvas: Canvas, boxes: Boxes, rng: np.random.Generator, *, within: BaseGeometry | None = None) -> int:
    """Draw buildings that lie within the frame (and a shape), and note them as true.

    The roof and the facades that face the radar are displaced towards it by h / tan(incidence), with the glints of
    windows and fittings; the ground that a building covers and h · tan(incidence) behind it is dark; the foot of each
    facing wall is a line of double-bounce points, the brighter the squarer the wall faces the radar.

    Returns:
        How many were drawn.
    """
    plans = shapely.polygons(boxes.corners())
    ground = canvas.frame.box.buffer(-canvas.frame.gsd_m)
    ground = ground if within is None else ground.intersection(within)
    shapely.prepare(ground)
    inside = shapely.contains(ground, plans)
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
    canvas.raise_volume(roofs, db(rng.normal(-13.0, 2.0, len(boxes))))
    _draw_roof_fittings(canvas, boxes, corners, rng)
    _draw_walls(canvas, boxes, corners, before, rng)
    for plan, length, width, height, heading in zip(
        plans, boxes.length_m, boxes.width_m, boxes.height_m, boxes.heading_deg, strict=True
    ):
        canvas.record(
            TruthObject("building", boxes.type, plan, float(length), float(width), float(height), float(heading) % 180)
        )
    return len(boxes)


def _draw_walls(canvas: Canvas, boxes: Boxes, corners: Floats, before: Floats, rng: np.random.Generator) -> None:
    start, stop = corners, np.roll(corners, -1, axis=1)
    along = stop - start
    length = np.linalg.norm(along, axis=-1)
    normal = np.stack([along[..., 1], -along[..., 0]], axis=-1) / length[..., None]
    outward = np.einsum("nkd,nkd->nk", normal, (start + stop) / 2 - corners.mean(axis=1, keepdims=True))
    facing = np.einsum("nkd,d->nk", normal * np.sign(outward)[..., None], -canvas.frame.away)
    seen = facing > 0.05
    lift = np.broadcast_to(before, corners.shape)[seen]
    walls = np.stack([start[seen], stop[seen], stop[seen] + lift, start[seen] + lift], axis=1)
    canvas.raise_volume(shapely.polygons(walls), db(rng.normal(-11.0, 2.0, len(walls))) * facing[seen])
    off_deg = np.degrees(np.arccos(np.clip(facing[seen], 0, 1)))
    strength = boxes.bounce_m * (np.exp(-((off_deg / _BOUNCE_WIDTH_DEG) ** 2)) + 0.04)
    _draw_lines(canvas, start[seen], stop[seen], strength, rng)
    height = np.broadcast_to(boxes.height_m[:, None], seen.shape)[seen]
    _draw_windows(canvas, start[seen], stop[seen], height, facing[seen], rng)


def _draw_roof_fittings(canvas: Canvas, boxes: Boxes, corners: Floats, rng: np.random.Generator) -> None:
    """Scatter a few strong points over each roof: edges, vents, air conditioning."""
    count = rng.poisson(boxes.length_m * boxes.width_m / _ROOF_M2_A_POINT)
    owner = np.repeat(np.arange(len(boxes)), count)
    a, b = rng.random((2, len(owner), 1))
    base = corners[owner, 0]
    places = base + a * (corners[owner, 1] - base) + b * (corners[owner, 3] - base)
    canvas.scatter(places, 3.0 * rng.standard_exponential(len(owner)), boxes.height_m[owner])


def _draw_windows(
    canvas: Canvas, start: Floats, stop: Floats, height_m: Floats, facing: Floats, rng: np.random.Generator
) -> None:
    """Scatter glints over facing walls, in storeys of three metres, heavy-tailed."""
    area = np.linalg.norm(stop - start, axis=1) * height_m
    owner = np.repeat(np.arange(len(area)), rng.poisson(area / _WALL_M2_A_POINT))
    places = start[owner] + rng.random((len(owner), 1)) * (stop - start)[owner]
    storey = np.floor(rng.random(len(owner)) * height_m[owner] / 3.0) * 3.0 + 1.5
    canvas.scatter(places, 4.0 * facing[owner] * rng.standard_gamma(0.5, len(owner)), storey)


def draw_clutter(canvas: Canvas, area: BaseGeometry, per_ha: float, rcs_m2: float, rng: np.random.Generator) -> None:
    """Scatter nameless strong points over an area: fences, lamp posts, cars, machines."""
    if area.is_empty:
        return
    x0, y0, x1, y1 = area.bounds
    places = rng.random((rng.poisson((x1 - x0) * (y1 - y0) * per_ha / 1e4), 2)) * (x1 - x0, y1 - y0) + (x0, y0)
    places = places[shapely.contains_xy(area, places[:, 0], places[:, 1])]
    canvas.scatter(places, rcs_m2 * rng.standard_gamma(0.5, len(places)) / 0.5)


def _draw_lines(canvas: Canvas, start: Floats, stop: Floats, rcs_m: Floats, rng: np.random.Generator) -> None:
    """Scatter points along segments, a pixel apart, with exponential glints around a cross section a metre."""
    length = np.linalg.norm(stop - start, axis=1)
    count = np.maximum(np.ceil(length / max(canvas.frame.gsd_m, 0.5)).astype(int), 1)
    owner = np.repeat(np.arange(len(count)), count)
    along = rng.random(len(owner))[:, None]
    rcs = (rcs_m * length / count)[owner] * rng.standard_gamma(0.7, len(owner)) / 0.7
    canvas.scatter(start[owner] + along * (stop - start)[owner], rcs)


def draw_tank(
    canvas: Canvas, centre: Sequence[float] | Floats, diameter_m: float, height_m: float, rng: np.random.Generator
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


def draw_crane(canvas: Canvas, foot: Sequence[float] | Floats, seaward_deg: float, rng: np.random.Generator) -> bool:
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
    portal = shapely.polygons(middle + _rectangle(30.0, 24.0) @ np.array([out, side]))
    if not canvas.contains(portal):
        return False
    legs = middle + _rectangle(28.0, 22.0) @ np.array([out, side])
    canvas.scatter(legs, 40 + 60 * rng.standard_exponential(4))
    reach = np.arange(-25.0, 55.0, 1.5)
    canvas.scatter(middle + reach[:, None] * out, 8 * rng.standard_exponential(len(reach)), 40.0)
    canvas.record(TruthObject("crane", "ship_to_shore", portal, 30.0, 24.0, 60.0, seaward_deg % 360))
    return True


def _rectangle(length: float, width: float) -> Floats:
    return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (length / 2, width / 2)


def draw_cars(canvas: Canvas, lot: BaseGeometry, heading_deg: float, rng: np.random.Generator) -> None:
    """Fill a parking lot with rows of cars, most places taken."""
    if lot.is_empty:
        return
    ahead = heading_vector(heading_deg)
    right = np.array([-ahead[1], ahead[0]])
    reach = np.hypot(*np.ptp(shapely.get_coordinates(lot), axis=0)) / 2
    u, v = np.meshgrid(np.arange(-reach, reach, 16.0), np.arange(-reach, reach, 2.6))
    places = np.array(lot.centroid.coords[0]) + u.reshape(-1, 1) * ahead + v.reshape(-1, 1) * right
    places = np.concatenate([places - 2.8 * ahead, places + 2.8 * ahead])
    taken = rng.random(len(places)) < 0.75
    taken &= shapely.contains_xy(lot, places[:, 0], places[:, 1])
    canvas.scatter(places[taken], 1.2 * rng.standard_exponential(int(taken.sum())), 0.5)
