"""The ground before it is imaged: surfaces, shadows, facades and point scatterers, drawn in metres.

The drawing frame has its origin at the image's upper left corner, x to the right and y down, both in ground metres.
Angles in it are measured clockwise from "up". Shapes are collected and burnt once, in drawing order, when asked for.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.enums import MergeAlg
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.simulate.surfaces import SURFACES

__all__ = ["Canvas", "Frame", "TruthObject", "array", "db", "heading_vector"]

Floats = npt.NDArray[np.float64]
_CODE = {name: code for code, name in enumerate(SURFACES)}


def db(value: float | Floats) -> Floats:
    """Turn decibels into linear power ratios."""
    return np.asarray(10 ** (np.asarray(value) / 10), dtype=np.float64)


def array(*rows: Iterable[float]) -> Floats:
    """Return points as an (N, 2) array."""
    return np.array([tuple(row) for row in rows], dtype=np.float64)


def heading_vector(heading_deg: float) -> Floats:
    """Return the unit vector of a heading in the drawing frame."""
    angle = math.radians(heading_deg)
    return np.array([math.sin(angle), -math.cos(angle)])


@dataclass(frozen=True)
class Frame:
    """The piece of ground that is drawn, and how the radar looks at it.

    Attributes:
        width_px: Image columns.
        height_px: Image rows.
        gsd_m: Ground metres a pixel.
        look: Unit vector (x, y) along the ground, away from the radar.
        incidence_deg: Incidence angle.
    """

    width_px: int
    height_px: int
    gsd_m: float
    look: tuple[float, float]
    incidence_deg: float

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height in metres."""
        return self.width_px * self.gsd_m, self.height_px * self.gsd_m

    @property
    def box(self) -> shapely.Polygon:
        """The whole frame as a polygon."""
        return shapely.box(0, 0, *self.size_m)

    @property
    def away(self) -> Floats:
        """Unit vector away from the radar."""
        return np.array(self.look)

    def layover_m(self, height_m: float | Floats) -> Floats:
        """Ground range by which something high is displaced towards the radar."""
        return np.asarray(height_m) / math.tan(math.radians(self.incidence_deg))

    def shadow_m(self, height_m: float | Floats) -> Floats:
        """Ground range that something high hides behind itself."""
        return np.asarray(height_m) * math.tan(math.radians(self.incidence_deg))


@dataclass(frozen=True)
class TruthObject:
    """Something in a scene that is known exactly.

    Attributes:
        kind: Class (``aircraft``, ``ship``, ``building`` …).
        type: Kind within the class (``A330``, ``tanker`` …).
        footprint: Outline on the ground in the drawing frame.
        length_m: Extent along the heading.
        width_m: Extent across it.
        height_m: Height above ground, or none where it has no meaning.
        heading_deg: Clockwise from image up, or none where it has no meaning.
        extra: Anything else that is worth knowing.
    """

    kind: str
    type: str
    footprint: BaseGeometry
    length_m: float
    width_m: float
    height_m: float | None = None
    heading_deg: float | None = None
    extra: Mapping[str, str | float | int] = field(default_factory=dict)


class Canvas:
    """What is drawn on, and what was drawn.

    Args:
        frame: The ground to draw on.
        seed: Every kind of object draws from a random stream of its own, so adding one kind does not move another.
        base: Surface that covers everything at first.
    """

    def __init__(self, frame: Frame, seed: int, base: str) -> None:
        self.frame = frame
        self.truth: list[TruthObject] = []
        self._seed = seed
        self._base = base
        self._paint: list[tuple[BaseGeometry, int]] = []
        self._shadows: list[BaseGeometry] = []
        self._volumes: list[tuple[BaseGeometry, float]] = []
        self._points: list[Floats] = []
        self._taken: list[BaseGeometry] = []

    def rng(self, stream: str) -> np.random.Generator:
        """Return a fresh generator for a named stream of the scene's seed."""
        key = zlib.crc32(stream.encode())
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(key,))))

    def paint(self, shapes: BaseGeometry | Sequence[BaseGeometry], surface: str) -> None:
        """Cover shapes with a surface; what was below is gone."""
        shapes = [shapes] if isinstance(shapes, BaseGeometry) else shapes
        self._paint += [(shape, _CODE[surface]) for shape in shapes if not shape.is_empty]

    def shade(self, shapes: Iterable[BaseGeometry]) -> None:
        """Take the ground's return away where the radar does not see it."""
        self._shadows.extend(shapes)

    def raise_volume(self, shapes: Iterable[BaseGeometry], sigma0: Iterable[float]) -> None:
        """Add distributed backscatter (linear) on top of the ground's: roofs, facades, decks."""
        self._volumes.extend(zip(shapes, sigma0, strict=True))

    def scatter(self, xy_m: Floats, rcs_m2: Floats, height_m: Floats | float = 0.0) -> None:
        """Add point scatterers, displaced towards the radar by their height.

        Args:
            xy_m: Positions (N, 2).
            rcs_m2: Radar cross sections (N,).
            height_m: Heights (N,) or one for all.
        """
        shift = np.broadcast_to(self.frame.layover_m(height_m), len(xy_m))
        moved = xy_m - shift[:, None] * self.frame.away
        self._points.append(np.column_stack([moved, rcs_m2]))

    def contains(self, shape: BaseGeometry) -> bool:
        """Whether a shape lies within the frame, a pixel away from its edge."""
        return bool(self.frame.box.buffer(-self.frame.gsd_m).contains(shape))

    def take(self, shape: BaseGeometry, gap_m: float = 0.0) -> bool:
        """Reserve ground for an object; false, and nothing reserved, where it is taken or outside the frame."""
        if not self.contains(shape):
            return False
        grown = shape.buffer(gap_m) if gap_m else shape
        if any(grown.intersects(other) for other in self._taken):
            return False
        self._taken.append(shape)
        return True

    def record(self, thing: TruthObject) -> None:
        """Note an object as true, cut to the frame; what lies outside is not noted."""
        visible = thing.footprint.intersection(self.frame.box)
        if not visible.is_empty:
            self.truth.append(thing if visible.equals(thing.footprint) else _cut(thing, visible))

    def surfaces(self) -> npt.NDArray[np.uint8]:
        """Return the surface codes (H, W)."""
        out = np.full((self.frame.height_px, self.frame.width_px), _CODE[self._base], dtype=np.uint8)
        self._burn(self._paint, out)
        return out

    def lit(self) -> npt.NDArray[np.uint8]:
        """Return one where the radar sees the ground and zero in shadow (H, W)."""
        out = np.ones((self.frame.height_px, self.frame.width_px), dtype=np.uint8)
        self._burn([(shape, 0) for shape in self._shadows], out)
        return out

    def volumes(self) -> npt.NDArray[np.float32]:
        """Return the summed backscatter of facades, roofs and decks (H, W)."""
        out = np.zeros((self.frame.height_px, self.frame.width_px), dtype=np.float32)
        self._burn(self._volumes, out, MergeAlg.add)
        return out

    def points(self) -> Floats:
        """Return the point scatterers as rows (x metres, y metres, cross section m²)."""
        return np.concatenate(self._points) if self._points else np.empty((0, 3))

    def _burn(
        self, shapes: Sequence[tuple[BaseGeometry, float]], out: npt.NDArray[Any], merge: MergeAlg = MergeAlg.replace
    ) -> None:
        if shapes:
            gsd = self.frame.gsd_m
            rasterize(shapes, out=out, transform=Affine(gsd, 0, 0, 0, gsd, 0), merge_alg=merge)


def _cut(thing: TruthObject, visible: BaseGeometry) -> TruthObject:
    share = round(visible.area / thing.footprint.area, 3)
    return replace(thing, footprint=visible, extra={**thing.extra, "visible": share})
