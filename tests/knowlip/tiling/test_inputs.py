"""Scenes of every kind, made on the spot, from the file to the rows of its tiles."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from knowlip.geography import ground_distance_m
from knowlip.scenes.radiometry import Transfer
from knowlip.scenes.reader import open_scene
from knowlip.tiling.encoding import decode_png
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, Survey, survey_scene
from knowlip.tiling.table import tile_strip

Write = Callable[..., Path]
Speckle = Callable[..., np.ndarray]
Rows = list[dict[str, Any]]
FLAT = {"medium": 0, "large": 0}
KEEP = ScreeningSettings(keep_low_structure=True)


def tiled(
    path: Path, grid: GridSettings, screening: ScreeningSettings = KEEP, **scenes: Any
) -> tuple[Survey, Rows, Rows]:
    """Survey a scene and tile it; what was found, kept and set aside."""
    found = survey_scene(str(path), SceneSettings(**scenes), grid)
    assert found.scene is not None, found.detail
    kept: Rows = []
    rejected: Rows = []
    with found.scene.reading() as reader:
        for strip in found.strips:
            made = tile_strip(reader, strip, found.bands[strip.band.index], grid=grid, screening=screening)
            kept += made.tiles_table().to_pylist()
            rejected += made.rejected_table().to_pylist()
    return found, kept, rejected


def mosaic(rows: Rows, height: int, width: int) -> np.ndarray:
    """Put tiles of full resolution back together."""
    whole = np.zeros((height, width), np.uint8)
    for row in rows:
        image = decode_png(row["image"])
        whole[row["row_off"] : row["row_off"] + len(image), row["col_off"] : row["col_off"] + image.shape[1]] = image
    return whole


def write_gcps(path: Path, place: Callable[[float, float], tuple[float, float]], every: int = 200) -> None:
    """Replace a raster's georeference by control points alone."""
    with rasterio.open(path, "r+") as sink:
        steps = [list(range(0, size + 1, every)) for size in (sink.height, sink.width)]
        points = [GroundControlPoint(row, col, *place(col, row)) for row in steps[0] for col in steps[1]]
        sink.gcps = (points, CRS.from_epsg(4326))


def swath(lon: float = 10.0, lat: float = 50.0) -> Callable[[float, float], tuple[float, float]]:
    """A descending pass of 10 m pixels, bent as an orbit bends it."""

    def place(col: float, row: float) -> tuple[float, float]:
        east = lon + col * 1.4e-4 - row * 2e-5 + 4e-10 * col * row
        return (east + 180) % 360 - 180, lat - row * 9e-5 - col * 2e-5 + 3e-10 * col**2

    return place


# Bands


@pytest.fixture
def dual(write_raster: Write, speckle: Speckle) -> Path:
    path = write_raster(np.stack([speckle(128, 128), 0.4 * speckle(128, 128, seed=1)]), tags={"quantity": "amplitude"})
    with rasterio.open(path, "r+") as sink:
        sink.descriptions = ("VV", "VH")
    return path


@pytest.mark.parametrize(("bands", "series"), [((), {"VV", "VH"}), (("vh",), {"VH"}), (("1",), {"VV"})])
def test_bands_are_chosen_by_name_or_place(dual: Path, bands: tuple[str, ...], series: set[str]) -> None:
    _, kept, _ = tiled(dual, GridSettings(extent_m=64, **FLAT), bands=bands)
    assert {row["series"] for row in kept} == {row["polarisation"] for row in kept} == series


def test_bands_that_are_not_there_are_said(dual: Path) -> None:
    found = survey_scene(str(dual), SceneSettings(bands=("HH",)), GridSettings(extent_m=64))
    assert found.reason == "no_bands"
    assert "scene.tif: has bands VV, VH, none of HH" in found.detail


@pytest.mark.parametrize("quantity", ["amplitude", "power", "db"])
def test_a_span_is_the_total_power_whatever_the_bands_measure(
    write_raster: Write, speckle: Speckle, quantity: str
) -> None:
    amplitudes = np.stack([speckle(128, 128), 0.4 * speckle(128, 128, seed=1)])
    raw = {"amplitude": amplitudes, "power": amplitudes**2, "db": 20 * np.log10(amplitudes)}[quantity].copy()
    raw[1, :20, :30] = -99
    path = write_raster(raw, nodata=-99)
    found, kept, _ = tiled(
        path, GridSettings(extent_m=64, **FLAT), bands=("b1", "b2"), composite="span", quantity=quantity
    )
    assert {row["series"] for row in kept} == {"span"}
    transfer = found.bands[0].transfer
    assert transfer.decided_by == f"span of bands of {quantity}"
    image = mosaic(kept, 128, 128)
    expected = np.sqrt((amplitudes**2).sum(axis=0))
    assert not image[:20, :30].any()
    inside = (image > 1) & (image < 255)
    assert inside.mean() > 0.9
    assert np.abs(transfer.to_db(image) - 20 * np.log10(expected))[inside].max() < 0.5


def test_an_empty_band_does_not_cost_the_other(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster(np.stack([speckle(128, 128), np.full((128, 128), np.nan, np.float32)]))
    found, kept, _ = tiled(path, GridSettings(extent_m=64, **FLAT))
    assert {row["series"] for row in kept} == {"b1"}
    assert found.reason == ""
    assert found.detail.startswith("scene.tif b2: no valid pixel")


@pytest.mark.parametrize("dtype", ["complex_int16", "complex64", "complex128", "int16", "uint16", "float64"])
def test_every_type_of_pixel_gives_the_same_picture(tmp_path: Path, speckle: Speckle, dtype: str) -> None:
    amplitude = np.rint(speckle(128, 128) * 1000)
    phase = np.exp(1j * np.random.default_rng(1).uniform(0, 6, amplitude.shape))
    raw = (amplitude * phase).astype("complex64") if dtype.startswith("complex") else amplitude
    raw = raw if dtype == "complex_int16" else raw.astype(dtype)
    path = tmp_path / "typed.tif"
    place = {"crs": "EPSG:32611", "transform": Affine(1, 0, 390_000, 0, -1, 3_740_000)}
    with rasterio.open(path, "w", driver="GTiff", height=128, width=128, count=1, dtype=dtype, **place) as sink:
        sink.write(raw, 1)
    found, kept, _ = tiled(path, GridSettings(extent_m=64, **FLAT))
    assert found.bands[1].transfer.quantity == ("complex" if dtype.startswith("complex") else "amplitude")
    image = mosaic(kept, 128, 128)
    low, high = found.bands[1].transfer.low, found.bands[1].transfer.high
    expected = np.clip(np.rint(1 + (amplitude - low) / (high - low) * 254), 1, 255)
    assert np.abs(image - expected).max() <= 1


# Places


def test_a_swath_with_control_points_alone_is_tiled(write_raster: Write, speckle: Speckle) -> None:
    raw = (speckle(1200, 1000) * 200).astype(np.uint16)
    path = write_raster(raw, name="s1a-iw-grd-vv.tiff", crs=None)
    write_gcps(path, swath())
    found, kept, rejected = tiled(path, GridSettings(extent_m=2000, **FLAT))
    assert not rejected
    assert found.scene is not None
    assert len(kept) == sum(found.counts().values())
    for row in kept:
        assert (row["georeference"], row["crs"]) == ("gcps", "EPSG:4326")
        assert 0 < row["residual_m"] < 2
        lon, lat = swath()(row["col_off"] + row["width"] / 2, row["row_off"] + row["height"] / 2)
        assert ground_distance_m(row["lon"], row["lat"], lon, lat) < 0.5
        stored = Affine(*row["affine"])
        corner = ground_distance_m(*(stored @ (0.0, 0.0)), *swath()(row["col_off"], row["row_off"]))
        assert corner <= row["residual_m"] + 0.5
        assert shapely.from_wkb(row["geometry"]).contains(shapely.Point(lon, lat))
        assert (row["gsd_m"] * row["height"]) == pytest.approx(2000, rel=0.05)


def test_a_wrong_control_point_spoils_only_what_lies_near(write_raster: Write, speckle: Speckle) -> None:
    def bent(col: float, row: float) -> tuple[float, float]:
        lon, lat = swath()(col, row)
        return (lon + 0.02, lat) if (col, row) == (200, 200) else (lon, lat)

    path = write_raster((speckle(1200, 1000) * 200).astype(np.uint16), crs=None)
    write_gcps(path, bent)
    _, kept, rejected = tiled(path, GridSettings(extent_m=1000, **FLAT))
    assert {row["reason"] for row in rejected} == {"residual"}
    assert all(row["score"] == row["residual_m"] > row["threshold"] == 50 for row in rejected)
    at_fault = [row for row in rejected if row["row_off"] < 400 and row["col_off"] < 400]
    assert at_fault
    assert len(kept) > len(rejected)


def test_few_control_points_count_their_own_misfit(write_raster: Write, speckle: Speckle) -> None:
    def noisy(col: float, row: float) -> tuple[float, float]:
        lon, lat = swath()(col, row)
        return lon, lat + (0.003 if (col, row) == (0, 0) else 0)

    path = write_raster((speckle(400, 400) * 200).astype(np.uint16), crs=None)
    write_gcps(path, noisy, every=200)
    _, kept, rejected = tiled(path, GridSettings(extent_m=1000, **FLAT))
    assert not kept
    assert {row["reason"] for row in rejected} == {"residual"}
    assert min(row["residual_m"] for row in rejected) > 50


def test_a_swath_across_the_antimeridian_stays_whole(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster((speckle(400, 600) * 200).astype(np.uint16), crs=None)
    write_gcps(path, swath(179.96, -16.0), every=100)
    found, kept, rejected = tiled(path, GridSettings(extent_m=1000, **FLAT))
    assert not rejected
    crossing = [row for row in kept if row["bbox"]["xmin"] > row["bbox"]["xmax"]]
    assert crossing
    assert all(-180 <= row["lon"] <= 180 for row in kept)
    assert {row["lon"] > 0 for row in kept} == {True, False}
    assert found.scene is not None
    col, row_at = found.scene.georeference.pixel(*(np.array([value]) for value in swath(179.96, -16.0)(450, 300)))
    assert (col[0], row_at[0]) == pytest.approx((450, 300), abs=0.1)


def test_rational_polynomials_place_a_scene_at_its_mean_height(write_raster: Write, speckle: Speckle) -> None:
    """A camera whose lines run south and whose samples shift by a pixel for 10 m of height."""
    path = write_raster((speckle(600, 600) * 200).astype(np.uint16), crs=None)
    one, zero = [1.0] + [0.0] * 19, [0.0] * 20
    line, sample = zero.copy(), zero.copy()
    line[2], sample[1], sample[3] = -1.0, 1.0, 0.1
    rpc = RPC(
        height_off=500.0, height_scale=100.0, lat_off=50.0, lat_scale=0.027, line_den_coeff=one, line_num_coeff=line,
        line_off=299.5, line_scale=300.0, long_off=10.0, long_scale=0.042, samp_den_coeff=one, samp_num_coeff=sample,
        samp_off=299.5, samp_scale=300.0, err_bias=None, err_rand=None,
    )  # fmt: skip
    with rasterio.open(path, "r+") as sink:
        sink.rpcs = rpc
    _, kept, rejected = tiled(path, GridSettings(extent_m=1000, **FLAT))
    assert not rejected
    assert {row["georeference"] for row in kept} == {"rpcs"}
    assert max(row["residual_m"] for row in kept) < 1
    for row in kept:
        col, line_at = row["col_off"] + row["width"] / 2, row["row_off"] + row["height"] / 2
        lon, lat = 10.0 + (col - 300) / 300 * 0.042, 50.0 - (line_at - 300) / 300 * 0.027
        assert ground_distance_m(row["lon"], row["lat"], lon, lat) < 10


def test_a_scene_without_place_is_marked_and_not_warned_about(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster(speckle(128, 128), crs=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, kept, _ = tiled(path, GridSettings(extent_m=192, **FLAT), gsd_m=3.0)
        advice = survey_scene(str(path), SceneSettings(), GridSettings())
    assert {(row["georeference"], row["geometry"], row["gsd_m"]) for row in kept} == {("none", None, 3.0)}
    assert advice.reason == "no_georeference"
    assert "--scenes.gsd-m" in advice.detail


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:32611", Affine(0, 0, 390_000, 0, 0, 3_740_000)),
        ("EPSG:32611", Affine(1e9, 0, 390_000, 0, -1e9, 3_740_000)),
        ("EPSG:32611", Affine(float("nan"), 0, 390_000, 0, -1, 3_740_000)),
        ("EPSG:4326", Affine(1e-4, 0, 10, 0, -1e-4, 300)),
        ("EPSG:4326", Affine(1, 0, 390_000, 0, -1, 3_740_000)),
        ("EPSG:32611", Affine(1, 0, 1e9, 0, -1, 1e9)),
    ],
)
def test_absurd_transforms_are_set_aside(write_raster: Write, speckle: Speckle, crs: str, affine: Affine) -> None:
    found = survey_scene(str(write_raster(speckle(64, 64), crs=crs, affine=affine)), SceneSettings(), GridSettings())
    assert found.reason == "bad_transform", found.detail
    assert found.detail.startswith("scene.tif: ")
    assert "\n" not in found.detail


def test_a_south_up_scene_is_a_scene(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster(speckle(128, 128), affine=Affine(1, 0, 390_000, 0, 1, 3_740_000))
    _, kept, _ = tiled(path, GridSettings(extent_m=64, **FLAT))
    north = max(kept, key=lambda row: row["row_off"])
    assert north["lat"] > min(row["lat"] for row in kept)


# What is broken, or nearly empty


def test_a_thread_of_pixels_is_too_small(write_raster: Write) -> None:
    raw = np.random.default_rng(0).gamma(4, 25, (3, 200_000)).astype(np.float32)
    found = survey_scene(str(write_raster(raw)), SceneSettings(), GridSettings(extent_m=64))
    assert found.reason == "too_small"
    assert " × 3 m, less than one tile" in found.detail


@pytest.mark.parametrize("profile", [{"interleave": "band"}, {"interleave": "pixel"}])
def test_a_block_that_was_broken_from_the_start_spoils_only_its_tiles(
    write_raster: Write, speckle: Speckle, profile: dict[str, str]
) -> None:
    raw = np.stack([speckle(256, 256), speckle(256, 256, seed=1)])
    path = write_raster(raw, tiled=True, blockxsize=64, blockysize=64, compress="deflate", **profile)
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_1_2", "TIFF", bidx=1))
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
    found, kept, rejected = tiled(path, GridSettings(extent_m=64, **FLAT))
    places = {(row["series"], row["reason"], row["row_off"], row["col_off"]) for row in rejected}
    hit = {"b1"} if profile["interleave"] == "band" else {"b1", "b2"}
    assert places == {(series, "corrupt_block", 128, 64) for series in hit}
    assert len(kept) + len(rejected) == 32
    whole = found.bands[1].transfer.to_8bit(raw[0])
    whole[128:192, 64:128] = 0
    assert (mosaic([row for row in kept if row["series"] == "b1"], 256, 256) == whole).all()


def test_a_scene_of_which_nothing_decodes_is_set_aside(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster(speckle(256, 256), tiled=True, blockxsize=256, blockysize=256, compress="deflate")
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
    found = survey_scene(str(path), SceneSettings(), GridSettings(extent_m=64))
    assert found.reason == "corrupt"


def test_39_percent_of_nan_change_nothing_for_the_rest(write_raster: Write, speckle: Speckle) -> None:
    whole = speckle(512, 512)
    holed = whole.copy()
    hole = np.zeros(whole.shape, bool)
    hole[:, :200] = True
    hole[7::13, 200:] = np.random.default_rng(0).random((39, 312)) < 0.05
    holed[hole] = np.nan
    assert hole.mean() == pytest.approx(0.39, abs=0.01)
    grid = GridSettings(extent_m=64, **FLAT)
    clean, _, _ = tiled(write_raster(whole, name="clean.tif"), grid, quantity="amplitude")
    found, kept, rejected = tiled(write_raster(holed, name="holed.tif"), grid, quantity="amplitude")
    transfer, reference = found.bands[1].transfer, clean.bands[1].transfer
    assert (transfer.low, transfer.high) == pytest.approx((reference.low, reference.high), rel=0.05)
    assert ((mosaic(kept, 512, 512) > 0) == ~hole)[:, 256:].all()
    assert {row["reason"] for row in rejected} == {"nodata"}
    assert all(row["col_off"] + row["width"] / 2 < 200 for row in rejected)


# Radiometry


@pytest.mark.parametrize("curve", ["db", "amplitude"])
def test_a_decibel_scene_comes_back_from_its_tiles(write_raster: Write, speckle: Speckle, curve: str) -> None:
    """From nothing but a row of the table: the image and its transfer."""
    raw = 20 * np.log10(speckle(128, 128)) - 14
    path = write_raster(raw)
    with rasterio.open(path, "r+") as sink:
        sink.units = ("dB",)
    _, kept, _ = tiled(path, GridSettings(extent_m=64, **FLAT), curve=curve)
    assert {(row["transfer"]["quantity"], row["transfer"]["decided_by"]) for row in kept} == {("db", "tags")}
    for row in kept:
        levels = decode_png(row["image"])
        part = raw[row["row_off"] :, row["col_off"] :][: levels.shape[0], : levels.shape[1]]
        back = Transfer(**row["transfer"]).to_db(levels)
        inside = (levels > 1) & (levels < 255)
        assert inside.mean() > 0.9
        low, high = row["transfer"]["low"], row["transfer"]["high"]
        if curve == "db":
            assert np.abs(back - part)[inside].max() < 0.51 * (high - low) / 254
        else:
            amplitude = np.abs(10 ** (back / 20) - 10 ** (part / 20))[inside]
            assert amplitude.max() < 0.51 * (high - low) / 254


def test_a_unit_is_believed_and_a_declaration_more(write_raster: Write) -> None:
    raw = np.random.default_rng(0).gamma(4, 2.0, (128, 128)).astype(np.float32)
    path = write_raster(raw)
    with rasterio.open(path, "r+") as sink:
        sink.units = ("dB",)
    assert open_scene(str(path)).quantity == "db"
    grid = GridSettings(extent_m=64)
    assert survey_scene(str(path), SceneSettings(), grid).bands[1].transfer.decided_by == "tags"
    declared = survey_scene(str(path), SceneSettings(quantity="power"), grid).bands[1].transfer
    assert (declared.quantity, declared.decided_by) == ("power", "declared")
