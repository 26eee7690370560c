"""How a scene's pixels map to the ground: by an affine, by ground control points, by RPCs, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer
from scipy.interpolate import RBFInterpolator

from knowlip.errors import SceneError
from knowlip.geography import apply_affine, ground_distance_m, to_crs, to_wgs84

__all__ = ["Georeference", "Spacing"]

Floats = NDArray[np.float64]

_LATTICE = 17
_SMALLEST_M, _LARGEST_M = 1e-3, 2e4
_FIT_POINTS = 5
_SPLINE_POINTS = (10, 1000)


@dataclass(frozen=True)
class Georeference:
    """Pixel (column, row) to coordinates of a CRS; (0, 0) is the outer corner of the first pixel.

    Attributes:
        kind: ``affine``, ``gcps``, ``rpcs`` or ``none`` (a declared ground sampling distance and nothing else).
        crs: Authority code or WKT of the coordinates; empty where there is none.
        affine: Pixel to CRS, where ``kind`` is ``affine`` or ``none``.
        gcps: ``(row, col, x, y, z)`` of every ground control point, coordinates in ``crs``.
        rpcs: Rational polynomial coefficients as GDAL's text items.
    """

    kind: str
    crs: str
    affine: tuple[float, float, float, float, float, float] | None = None
    gcps: tuple[tuple[float, float, float, float, float], ...] = ()
    rpcs: tuple[tuple[str, str], ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Leave GDAL's transformer behind when pickled."""
        return {name: getattr(self, name) for name in ("kind", "crs", "affine", "gcps", "rpcs")}

    @property
    def on_earth(self) -> bool:
        """Whether pixels have longitudes and latitudes."""
        return self.kind != "none"

    @cached_property
    def _model(self) -> GCPTransformer | RPCTransformer:
        try:
            if self.kind == "gcps":
                return GCPTransformer([GroundControlPoint(*point) for point in self._continuous_gcps])
            rpc = RPC.from_gdal(dict(self.rpcs))
            # Without a terrain model the scene's mean height is the best one; GDAL's own default is sea level.
            return RPCTransformer(rpc, rpc_height=rpc.height_off)
        except (CPLE_BaseError, ValueError) as error:
            raise SceneError(
                f"its {self.kind} give no mapping ({error})", fix="mend its georeference", code="bad_transform"
            ) from error

    @cached_property
    def _splines(self) -> tuple[_Spline, _Spline] | None:
        """Pixel to coordinates and back through every control point, where there are enough and not too many."""
        if not _SPLINE_POINTS[0] <= len(self.gcps) <= _SPLINE_POINTS[1]:
            return None
        row, col, x, y, _ = (np.array(values) for values in zip(*self._continuous_gcps, strict=True))
        try:
            return _Spline(col, row, x, y), _Spline(x, y, col, row)
        except np.linalg.LinAlgError as error:
            raise SceneError(
                "its control points lie on one line or on each other", fix="mend its georeference", code="bad_transform"
            ) from error

    @cached_property
    def _is_geographic(self) -> bool:
        return bool(self.crs) and CRS.from_user_input(self.crs).is_geographic

    @cached_property
    def _continuous_gcps(self) -> list[tuple[float, float, float, float, float]]:
        """The control points with longitudes that go on past 180° where the scene does."""
        x = np.array([point[2] for point in self.gcps])
        if self._is_geographic and np.ptp(x) > 180.0:
            x = np.where(x < 0, x + 360.0, x)
        return [(row, col, float(east), y, z) for (row, col, _, y, z), east in zip(self.gcps, x, strict=True)]

    @cached_property
    def _misfit_m(self) -> float:
        """How far the mapping itself strays from the control points (root mean square); a spline passes through."""
        if self.kind != "gcps" or self._splines:
            return 0.0
        row, col, x, y, _ = (np.array(values) for values in zip(*self._continuous_gcps, strict=True))
        strayed = ground_distance_m(*to_wgs84(self.crs, x, y), *self.lonlat(col, row))
        return float(np.sqrt(np.mean(strayed**2)))

    def project(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Turn pixel positions into coordinates of the CRS."""
        col, row = np.asarray(col, dtype=np.float64), np.asarray(row, dtype=np.float64)
        if self.affine is not None:
            return apply_affine(Affine(*self.affine), col, row)
        if self._splines:
            return self._splines[0](col, row)
        x, y = self._model.xy(row.ravel(), col.ravel(), offset="ul")
        return np.asarray(x).reshape(col.shape), np.asarray(y).reshape(col.shape)

    def lonlat(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Turn pixel positions into WGS84 longitudes and latitudes, degrees."""
        return to_wgs84(self.crs, *self.project(col, row))

    def pixel(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        """Turn WGS84 longitudes and latitudes into pixel positions (column, row)."""
        x, y = to_crs(self.crs, np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64))
        if self._is_geographic:
            first = float(self.project(np.zeros(1), np.zeros(1))[0][0])
            x = np.where(np.abs(x - first) > 180.0, (x - first + 180.0) % 360.0 - 180.0 + first, x)
        if self.affine is not None:
            return apply_affine(~Affine(*self.affine), x, y)
        if self._splines:
            return self._splines[1](x, y)
        rows, cols = self._model.rowcol(x.ravel(), y.ravel(), op=lambda value: value)
        return np.asarray(cols).reshape(x.shape), np.asarray(rows).reshape(x.shape)

    def spacing_m(self, col: Floats, row: Floats, *, step_px: float = 1.0) -> tuple[Floats, Floats]:
        """Return how far on the ground one pixel reaches, metres: to the next column, and to the next row."""
        col, row = np.broadcast_arrays(np.asarray(col, dtype=np.float64), np.asarray(row, dtype=np.float64))
        if not self.on_earth:
            gsd_m = abs(self.affine[0]) if self.affine else 1.0
            return np.full(col.shape, gsd_m), np.full(col.shape, gsd_m)
        half = step_px / 2
        east = ground_distance_m(*self.lonlat(col - half, row), *self.lonlat(col + half, row)) / step_px
        south = ground_distance_m(*self.lonlat(col, row - half), *self.lonlat(col, row + half)) / step_px
        return east, south

    def fit(self, row_off: int, col_off: int, height: int, width: int) -> tuple[Affine, float]:
        """Return the affine of a window and how far it strays from the scene's own mapping, metres.

        Exact (residual 0) for a scene with an affine. For control points and RPCs it is fitted by least squares to a
        lattice of points over the window, so that the pixels themselves need no warping. Ten and more control points
        are joined by a thin plate spline, as a swath over terrain needs; a point that is wrong then shows as a residual
        where it lies. Fewer points make a polynomial, whose own misfit is added.
        """
        if self.affine is not None:
            return Affine(*self.affine) @ Affine.translation(col_off, row_off), 0.0
        lattice = np.meshgrid(np.linspace(0, width, _FIT_POINTS), np.linspace(0, height, _FIT_POINTS))
        cols, rows = (axis.ravel() for axis in lattice)
        x, y = self.project(cols + col_off, rows + row_off)
        if self._is_geographic:
            x = np.unwrap(x, period=360.0)
        design = np.column_stack([cols, rows, np.ones_like(cols)])
        (a, b, c), (d, e, f) = (np.linalg.lstsq(design, values, rcond=None)[0] for values in (x, y))
        fitted = Affine(a, b, c, d, e, f)
        strayed = ground_distance_m(*to_wgs84(self.crs, x, y), *to_wgs84(self.crs, *apply_affine(fitted, cols, rows)))
        return fitted, float(strayed.max()) + self._misfit_m


class _Spline:
    """A thin plate spline through points of the plane, computed about their middle for the sake of precision."""

    def __init__(self, x: Floats, y: Floats, to_x: Floats, to_y: Floats) -> None:
        given, wanted = np.column_stack([x, y]), np.column_stack([to_x, to_y])
        self._middle, self._scale, self._offset = given.mean(axis=0), np.ptp(given, axis=0).max(), wanted.mean(axis=0)
        scaled = (given - self._middle) / self._scale
        self._spline = RBFInterpolator(scaled, wanted - self._offset, kernel="thin_plate_spline")

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        scaled = (np.column_stack([x.ravel(), y.ravel()]) - self._middle) / self._scale
        found = self._spline(scaled) + self._offset
        return found[:, 0].reshape(x.shape), found[:, 1].reshape(x.shape)


@dataclass(frozen=True)
class Spacing:
    """Ground metres a pixel all over a scene, interpolated from a lattice of geodesics.

    Attributes:
        rows: Lattice rows, pixels.
        cols: Lattice columns, pixels.
        east_m: Metres to the next column, one row of values a lattice row.
        south_m: Metres to the next row.
    """

    rows: Floats
    cols: Floats
    east_m: Floats
    south_m: Floats

    @classmethod
    def of(cls, georeference: Georeference, height: int, width: int) -> Spacing:
        """Measure a scene.

        Raises:
            SceneError: The pixels do not lie on the Earth (code ``bad_transform``).
        """
        rows, cols = np.linspace(0, height, _LATTICE), np.linspace(0, width, _LATTICE)
        col, row = np.meshgrid(cols, rows)
        east_m, south_m = georeference.spacing_m(col, row)
        for values in (east_m, south_m):
            if not (np.isfinite(values).all() and values.min() > _SMALLEST_M and values.max() < _LARGEST_M):
                raise SceneError(
                    f"pixels of {values.min():.3g} to {values.max():.3g} m on the ground",
                    fix="mend its transform or CRS",
                    code="bad_transform",
                )
        return cls(rows, cols, east_m, south_m)

    def at(self, row: float, col: float) -> tuple[float, float]:
        """Return metres to the next column and to the next row at a pixel position."""
        i, u = _place(self.rows, row)
        j, v = _place(self.cols, col)
        weights = ((1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v)
        corners = ((i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1))
        east_m = sum(w * float(self.east_m[at]) for w, at in zip(weights, corners, strict=True))
        south_m = sum(w * float(self.south_m[at]) for w, at in zip(weights, corners, strict=True))
        # Millionths decide nothing but whether neighbours round to one size.
        return round(east_m, 7), round(south_m, 7)

    @property
    def gsd_m(self) -> float:
        """Ground sampling distance at the centre: the side of a square with a pixel's area."""
        middle = _LATTICE // 2
        return float(np.sqrt(self.east_m[middle, middle] * self.south_m[middle, middle]))


def _place(lattice: Floats, value: float) -> tuple[int, float]:
    at = (value - lattice[0]) / (lattice[1] - lattice[0])
    cell = min(max(int(at), 0), len(lattice) - 2)
    return cell, min(max(at - cell, 0.0), 1.0)
