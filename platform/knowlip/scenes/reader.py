"""Open any raster as a SAR scene: what it is, where it lies, and its pixels by windows."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from knowlip.errors import DataError, SceneError
from knowlip.geography import crs_name
from knowlip.scenes.bands import Band, named_bands
from knowlip.scenes.blocks import FloatBlocks
from knowlip.scenes.digest import scene_digest
from knowlip.scenes.georeference import Georeference, Spacing
from knowlip.scenes.radiometry import Sample, span_amplitude
from knowlip.scenes.sensors import identify
from knowlip.scenes.store import CACHE_BYTES, gdal_environment, gdal_path, is_remote, outlast
from knowlip.scenes.wholeness import check_file, check_whole, is_cut_off

__all__ = ["Scene", "SceneReader", "open_scene"]

log = logging.getLogger(__name__)

_DTYPES = frozenset({"uint8", "uint16", "int16", "uint32", "int32", "float32", "float64", "complex64", "complex128"})
_PIECE_PX = 1 << 20
"""Pixels that are read at once, in whole blocks of the file: what a processor's caches hold."""

_LARGEST_PX = 1 << 26
"""Pixels of the rows that are held at most, even if blocks that are taller are then decoded again."""

_SAMPLED_WHOLE_PX = 1 << 20
"""Scenes up to so many pixels are sampled whole: a few squares of one would show a handful of its fields."""

_SAMPLED_SHARE = 1 / 16
_SAMPLED_PX = 1 << 25
_FEWEST_CELLS = 8
_TIME_TAGS = ("ACQUISITION_DATETIME", "time", "datetime", "DATETIME", "TIFFTAG_DATETIME")


@dataclass(frozen=True)
class Scene:
    """A raster that can be tiled; a plain value that travels between processes.

    Attributes:
        path: Where it lies, as rasterio opens it.
        name: File name.
        scene_id: Digest of its bytes (`scene_digest`).
        height: Rows.
        width: Columns.
        dtype: Data type of the pixels.
        nodata: Declared no-data value.
        bands: What each band shows.
        georeference: How pixels map to the ground.
        spacing: Ground metres a pixel, all over the scene.
        block_height: Rows that the file stores together.
        sensor: Satellite, or empty.
        radar_band: Band letter, or empty.
        time: Acquisition start, where known.
        quantity: What the pixels measure by the file's tags or its sensor; empty where neither says.
    """

    path: str
    name: str
    scene_id: str
    height: int
    width: int
    dtype: str
    nodata: float | None
    bands: tuple[Band, ...]
    georeference: Georeference
    spacing: Spacing = field(repr=False)
    block_height: int
    sensor: str = ""
    radar_band: str = ""
    time: datetime | None = None
    quantity: str = ""

    @contextmanager
    def reading(self) -> Iterator[SceneReader]:
        """Open the pixels.

        Raises:
            SceneError: The file cannot be opened any more.
        """
        with _opened(self.path) as source:
            reader = SceneReader(self, source)
            with rasterio.Env(GDAL_CACHEMAX=reader.cache_bytes):
                yield reader

    def band(self, index: int) -> Band:
        """Return the band of an index; 0 is a composite's."""
        return next(band for band in self.bands if band.index == index)


@dataclass(frozen=True)
class SceneReader:
    """An open scene.

    Attributes:
        scene: What is read.
        source: The open raster.
    """

    scene: Scene
    source: DatasetReader

    @cached_property
    def blocks(self) -> FloatBlocks | None:
        """The file's blocks, where they are decoded faster than through GDAL."""
        return FloatBlocks.of(self.scene.path, self.source, rows=self.piece[0])

    @property
    def piece(self) -> tuple[int, int]:
        """Rows and columns that are best read at once: whole blocks of the file, where they are not too tall."""
        height, width = self.source.block_shapes[0]
        tall = min(height, max(1, _LARGEST_PX // self.scene.width))
        rows = max(1, _PIECE_PX // (self.scene.width * tall)) * tall
        return rows, min(self.scene.width, max(1, _PIECE_PX // (rows * width)) * width)

    @property
    def cache_bytes(self) -> int:
        """What GDAL keeps of decoded blocks: a piece of all bands, and rows of blocks that are read in parts.

        Each block is read once, so that more than that is memory fetched anew for nothing.
        """
        height, width = map(int, self.source.block_shapes[0])
        rows, cols = self.piece
        if rows < height:
            cols = self.scene.width
        pixel_bytes = np.dtype(self.scene.dtype).itemsize * int(self.source.count)
        return min(max(rows, height) * max(cols, width) * pixel_bytes, CACHE_BYTES)

    def rows(
        self, band: int, row: int, count: int, col: int = 0, width: int | None = None
    ) -> tuple[NDArray[Any], list[tuple[slice, slice]]]:
        """Read rows, whole ones unless told otherwise; what cannot be decoded is left zero.

        Returns:
            Raw pixels (count, width), and the areas in it that could not be read.
        """
        width = self.scene.width if width is None else width
        try:
            return self._read(band, Window(col, row, width, count)), []
        except RasterioError:
            return self._salvage(band, row, count, col, width)

    def _salvage(
        self, band: int, row: int, count: int, col: int, width: int
    ) -> tuple[NDArray[Any], list[tuple[slice, slice]]]:
        """Read block by block, so that one broken block costs no more than itself."""
        block_height, block_width = self.source.block_shapes[0]
        pixels = np.zeros((count, width), dtype=self.scene.dtype if band else np.float32)
        broken = []
        for top in range(row - row % block_height, row + count, block_height):
            for left in range(col - col % block_width, col + width, block_width):
                rows = slice(max(top, row), min(top + block_height, row + count))
                cols = slice(max(left, col), min(left + block_width, col + width))
                area = slice(rows.start - row, rows.stop - row), slice(cols.start - col, cols.stop - col)
                try:
                    pixels[area] = self._read(band, Window.from_slices(rows, cols))
                except RasterioError:
                    broken.append(area)
        return pixels, broken

    def _read(self, band: int, window: Window) -> NDArray[Any]:
        chosen = self.scene.band(band)
        if not chosen.sources:
            return self._decoded(band, window)
        parts = [self._decoded(source, window) for source in chosen.sources]
        return span_amplitude(parts, chosen.quantity, self.scene.nodata)

    def _decoded(self, band: int, window: Window) -> NDArray[Any]:
        """Read pixels; a store that does not answer is waited for, so that what fails is really broken."""
        if self.blocks and (floats := self.blocks.read(band, window)) is not None:
            return floats
        while True:
            try:
                pixels: NDArray[Any] = self.source.read(band, window=window)
            except RasterioError:
                if not is_remote(self.scene.path) or not outlast(self.scene.path):
                    raise
            else:
                return pixels

    def _nodata(self, band: int) -> float | None:
        return self.scene.nodata if band else None

    def sample(self, band: int, *, seed: int, blocks: int = 96, side: int = 64) -> Sample:
        """Draw square blocks of pixels, spread evenly over the scene with seeded jitter; small scenes are read whole.

        The blocks share a few of the file's own blocks, because each of these is decoded whole.

        When all that was drawn is no data, the scene is read whole in a coarse lattice of rows, so that a scene with a
        small valid area is not taken for empty.

        Raises:
            SceneError: Nothing of the band can be decoded (``corrupt``).
        """
        height, width = self.scene.height, self.scene.width
        if height * width <= _SAMPLED_WHOLE_PX:
            rows, _ = self.rows(band, 0, height)
            tall = range(0, height, side) if height > side else (0,)
            drawn = [rows[top : top + side, left : left + side] for top in tall for left in range(0, width, side)]
        else:
            drawn = list(self._drawn(band, np.random.default_rng(seed), blocks, side))
        nodata = self._nodata(band)
        sample = Sample(tuple(drawn), nodata)
        return sample if any(_holds_data(block, nodata) for block in drawn) else self._lattice(band)

    def _drawn(self, band: int, rng: np.random.Generator, blocks: int, side: int) -> Iterator[NDArray[Any]]:
        for window, cols in self._sampled(rng, blocks, side):
            try:
                rows = self._read(band, window)
            except RasterioError:
                log.debug("a sampled part of %s cannot be read", self.scene.name)
            else:
                yield from (rows[:, col : col + side] for col in cols)

    def _sampled(self, rng: np.random.Generator, blocks: int, side: int) -> Iterator[tuple[Window, list[int]]]:
        """Yield rows across a cell of whole blocks of the file, and where in them squares begin.

        Where the file's blocks are small, at most a sixteenth of the scene is decoded, and of a large one less.
        """
        height, width = self.scene.height, self.scene.width
        cell_height, cell_width = (size * math.ceil(side / size) for size in self.source.block_shapes[0])
        down, across = math.ceil(height / cell_height), math.ceil(width / cell_width)
        sampled_px = min(_SAMPLED_SHARE * height * width, _SAMPLED_PX)
        wanted = max(_FEWEST_CELLS, round(sampled_px / (cell_height * cell_width)))
        cells = min(blocks, down * across, wanted)
        for at_row, at_col in _spread(rng, down, across, cells):
            top, left = int(at_row * down) * cell_height, int(at_col * across) * cell_width
            tall, wide = min(cell_height, height - top), min(cell_width, width - left)
            window = Window(left, top + int(rng.random() * max(tall - side, 0)), wide, min(side, tall))
            squares = max(1, min(round(blocks / cells), wide // side))
            yield window, [int((j + rng.random()) / squares * max(wide - side, 0)) for j in range(squares)]

    def _lattice(self, band: int) -> Sample:
        found = []
        decoded = 0
        step = max(self.scene.block_height, 64)
        for top in range(0, self.scene.height, step):
            rows, broken = self.rows(band, top, min(step, self.scene.height - top))
            decoded += rows.size - sum(rows[area].size for area in broken)
            if _holds_data(rows, self._nodata(band)):
                found.append(rows[:, ::2])
                if sum(block.size for block in found) > 1 << 20:
                    break
        if not decoded:
            raise SceneError("none of its pixels can be decoded", fix="fetch it again", code="corrupt")
        return Sample(tuple(found), self._nodata(band))


def _spread(rng: np.random.Generator, height: int, width: int, count: int) -> Iterator[tuple[float, float]]:
    """Yield about so many places, row and column each in [0, 1): a lattice of square meshes, with jitter."""
    down = min(count, max(1, round(math.sqrt(count * height / width))))
    across = max(1, round(count / down))
    for i in range(down):
        for j in range(across):
            yield (i + rng.random()) / down, (j + rng.random()) / across


def _holds_data(block: NDArray[Any], nodata: float | None) -> bool:
    valid = np.isfinite(block) & (block != 0)
    if nodata is not None and np.isfinite(nodata):
        valid &= block != nodata
    return bool(valid.any())


def open_scene(path: str, *, gsd_m: float | None = None) -> Scene:
    """Look at a raster and tell what it is, without reading its pixels.

    Args:
        path: A file, or anything else rasterio opens (``/vsizip/…``, ``s3://…``).
        gsd_m: Ground sampling distance to assume where the file has no georeference.

    Raises:
        SceneError: It cannot be used; ``code`` is one of ``missing``, ``permission``, ``empty_file``, ``unreadable``,
            ``truncated``, ``no_georeference``, ``bad_transform``, ``bad_crs``, ``unsupported_dtype``, ``no_bands``,
            ``not_fetched``, ``unreachable``.
    """
    name = path.rstrip("/").rsplit("/", 1)[-1]
    try:
        check_file(path)
        with _opened(path) as source:
            return _describe(path, name, source, gsd_m)
    except SceneError as error:
        raise SceneError(error.what, where=error.where or name, fix=error.fix, code=error.code) from error


@contextmanager
def _opened(path: str) -> Iterator[DatasetReader]:
    # Whether a scene has a georeference is decided, and said, here.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    with gdal_environment(path), _opened_once(path) as source:
        yield source


def _opened_once(path: str) -> DatasetReader:
    try:
        return rasterio.open(gdal_path(path))
    except (RasterioIOError, CRSError) as error:
        if is_remote(path) and outlast(path):
            return _opened_once(path)
        if is_cut_off(path):
            raise SceneError("is a TIFF that is cut off", fix="fetch it again", code="truncated") from error
        raise SceneError("is no raster that GDAL can open", fix="check the file", code="unreadable") from error


def _describe(path: str, name: str, source: DatasetReader, gsd_m: float | None) -> Scene:
    if not source.count:
        raise SceneError("has no bands", fix="name one of its sub-datasets", code="no_bands")
    dtype = "complex64" if source.dtypes[0] in ("complex_int16", "cint16") else source.dtypes[0]
    if dtype not in _DTYPES:
        allowed = ", ".join(sorted(_DTYPES))
        raise SceneError(f"pixels of type {dtype}", fix=f"use one of {allowed}", code="unsupported_dtype")
    check_whole(path, source)
    georeference = _georeference(source, gsd_m)
    tags = {**source.tags(), **{f"band_{key}": value for key, value in source.tags(1).items()}}
    facts = identify(path, tags)
    return Scene(
        path=path,
        name=name,
        scene_id=scene_digest(path),
        height=source.height,
        width=source.width,
        dtype=dtype,
        nodata=None if source.nodata is None else float(source.nodata),
        bands=named_bands(source, name, facts.polarisation),
        georeference=georeference,
        spacing=Spacing.of(georeference, source.height, source.width),
        block_height=source.block_shapes[0][0],
        sensor=facts.sensor if facts.known else source.tags().get("sensor", ""),
        radar_band=facts.band,
        time=_time(tags) or facts.time,
        quantity=_quantity(source, tags),
    )


def _georeference(source: DatasetReader, gsd_m: float | None) -> Georeference:
    crs = _crs(source.crs)
    transform = source.transform
    gcps, gcp_crs = source.gcps
    if crs and not transform.is_identity:
        if not all(math.isfinite(value) for value in transform) or transform.is_degenerate:
            shown = tuple(transform)[:6]
            raise SceneError(f"affine {shown} has no area", fix="mend its transform", code="bad_transform")
        return Georeference("affine", crs, tuple(transform)[:6])
    if gcps:
        points = tuple((p.row, p.col, p.x, p.y, p.z or 0.0) for p in gcps)
        return Georeference("gcps", _crs(gcp_crs) or "EPSG:4326", gcps=points)
    if source.rpcs is not None:
        return Georeference("rpcs", "EPSG:4326", rpcs=tuple(sorted(source.rpcs.to_gdal().items())))
    if gsd_m is not None:
        return Georeference("none", "", tuple(Affine.scale(gsd_m, -gsd_m))[:6])
    lacks = "a transform but no CRS" if not transform.is_identity else "neither transform, control points nor RPCs"
    raise SceneError(f"has {lacks}", fix="give --scenes.gsd-m to tile it by pixels", code="no_georeference")


def _crs(crs: Any) -> str:
    if not crs:
        return ""
    try:
        return crs_name(crs.to_wkt())
    except DataError as error:
        raise SceneError("has a CRS that PROJ does not know", fix="mend its CRS", code="bad_crs") from error


def _quantity(source: DatasetReader, tags: dict[str, str]) -> str:
    """Return what the tags or the unit say that the pixels measure."""
    unit = (source.units[0] or "").casefold()
    return tags.get("quantity", "").lower() or ("db" if unit in ("db", "decibel", "decibels") else "")


def _time(tags: dict[str, str]) -> datetime | None:
    for key in _TIME_TAGS:
        text = tags.get(key, "").strip()
        # TIFF writes 2020:11:07 13:50:00; xarray writes nanoseconds, which datetime does not take.
        text = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", text)
        text = re.sub(r"(\.\d{6})\d+", r"\1", text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
