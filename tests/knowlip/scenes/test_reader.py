"""Any raster as a scene, and a clear word about every file that is none."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint

from knowlip.errors import SceneError, SettingsError
from knowlip.scenes.digest import scene_digest
from knowlip.scenes.listing import find_scenes, is_sidecar
from knowlip.scenes.reader import open_scene

Write = Callable[..., Path]
RNG = np.random.default_rng(5)


def pixels(dtype: str = "float32", shape: tuple[int, ...] = (300, 200)) -> np.ndarray:
    values = RNG.gamma(4, 25, shape)
    return (values + 1j * values).astype(dtype) if dtype.startswith("complex") else values.astype(dtype)


def refused(path: Path | str) -> str:
    with pytest.raises(SceneError) as caught:
        open_scene(str(path))
    assert Path(path).name in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "complex64", "complex128"])
def test_every_pixel_type_opens(write_raster: Write, dtype: str) -> None:
    raw = pixels(dtype)
    scene = open_scene(str(write_raster(raw)))
    assert (scene.height, scene.width, scene.dtype) == (300, 200, dtype)
    with pickle.loads(pickle.dumps(scene)).reading() as reader:  # noqa: S301
        rows, broken = reader.rows(1, 20, 30)
    assert (rows == raw[20:50]).all()
    assert not broken


def test_tags_and_bands_are_read(write_raster: Write) -> None:
    tags = {"TIFFTAG_DATETIME": "2020:11:07 13:50:21", "sensor": "Gaofen-3", "quantity": "power"}
    path = write_raster(pixels(shape=(2, 40, 30)), tags=tags, nodata=-99)
    with rasterio.open(path, "r+") as sink:
        sink.descriptions = ("VV", "VH")
    scene = open_scene(str(path))
    assert [(band.series, band.polarisation) for band in scene.bands] == [("VV", "VV"), ("VH", "VH")]
    assert scene.time == datetime(2020, 11, 7, 13, 50, 21, tzinfo=UTC)
    assert (scene.sensor, scene.radar_band, scene.quantity, scene.nodata) == ("Gaofen-3", "C", "power", -99)


def test_bands_without_names_are_numbered(write_raster: Write) -> None:
    scene = open_scene(str(write_raster(pixels(shape=(2, 40, 30)))))
    assert [band.series for band in scene.bands] == ["b1", "b2"]


def test_an_id_is_the_content_not_the_name(write_raster: Write) -> None:
    raw = pixels()
    first, second = write_raster(raw, name="a.tif"), write_raster(raw, name="b/c.tif")
    assert scene_digest(str(first)) == scene_digest(str(second))
    assert scene_digest(str(first)) != scene_digest(str(write_raster(raw + 1, name="d.tif")))


def test_a_large_file_is_digested_in_samples(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as stream:
        stream.truncate((1 << 26) + 12_345)
    before = scene_digest(str(large))
    with large.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")
    assert scene_digest(str(large)) != before


def test_broken_files_are_refused_by_kind(write_raster: Write, tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty.tif", tmp_path / "text.tif", tmp_path / "folder.tif"
    empty.touch()
    text.write_text("no raster at all")
    folder.mkdir()
    assert refused(empty) == "empty_file"
    assert refused(text) == "unreadable"
    assert refused(folder) == "folder"
    assert refused(tmp_path / "nowhere.tif") == "missing"


def test_a_file_that_may_not_be_read_is_refused(write_raster: Write) -> None:
    """Seen by a user who is not root, for whom permissions count."""
    path = write_raster(pixels())
    path.chmod(0)
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            open_scene(str(path))
        except SceneError as error:
            os._exit(7 if error.code == "permission" and "\n" not in str(error) else 8)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}])
def test_a_cut_off_geotiff_is_refused(write_raster: Write, share: float, profile: dict[str, object]) -> None:
    path = write_raster(pixels(shape=(512, 512)), **profile)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert refused(path) == "truncated"


def test_a_whole_geotiff_is_not_taken_for_cut_off(write_raster: Write) -> None:
    sparse = write_raster(np.zeros((512, 512), np.float32), name="s.tif", sparse_ok=True, tiled=True)
    assert open_scene(str(sparse)).height == 512
    interleaved = write_raster(pixels(shape=(3, 100, 100)), name="i.tif", interleave="pixel")
    assert len(open_scene(str(interleaved)).bands) == 3


def test_no_georeference_needs_a_declared_distance(write_raster: Write) -> None:
    path = write_raster(pixels(), crs=None)
    assert refused(path) == "no_georeference"
    scene = open_scene(str(path), gsd_m=3.0)
    assert scene.georeference.kind == "none"
    assert scene.spacing.gsd_m == 3.0


def test_a_transform_without_crs_says_so(write_raster: Write) -> None:
    path = write_raster(pixels(), crs=None, affine=Affine(10, 0, 5e5, 0, -10, 4e6))
    with pytest.raises(SceneError, match="no CRS"):
        open_scene(str(path))


@pytest.mark.parametrize("affine", [Affine(1e9, 0, 0, 0, -1e9, 0), Affine(0, 0, 5e5, 0, -1, 4e6)])
def test_absurd_transforms_are_refused(write_raster: Write, affine: Affine) -> None:
    assert refused(write_raster(pixels(), affine=affine)) == "bad_transform"


def test_control_points_place_a_scene(write_raster: Write) -> None:
    path = write_raster(pixels("uint16", (400, 500)), crs=None)
    points = [
        GroundControlPoint(row, col, 10 + col * 1e-4 + row * 2e-5, 50 - row * 9e-5)
        for row in range(0, 401, 100)
        for col in range(0, 501, 100)
    ]
    with rasterio.open(path, "r+") as sink:
        sink.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    scene = open_scene(str(path))
    assert scene.georeference.kind == "gcps"
    lon, lat = scene.georeference.lonlat(np.array([250.0]), np.array([100.0]))
    assert (lon[0], lat[0]) == pytest.approx((10.027, 49.991), abs=1e-6)


def test_one_broken_block_costs_no_more_than_itself(write_raster: Write) -> None:
    raw = pixels(shape=(256, 256))
    path = write_raster(raw, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_1_2", "TIFF", bidx=1))
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
    with open_scene(str(path)).reading() as reader:
        rows, broken = reader.rows(1, 0, 256)
    assert broken == [(slice(128, 192), slice(64, 128))]
    whole = np.ones_like(raw, dtype=bool)
    whole[128:192, 64:128] = False
    assert (rows[whole] == raw[whole]).all()


def test_a_sample_finds_the_little_data_there_is(write_raster: Write) -> None:
    raw = np.zeros((3000, 3000), np.float32)
    raw[1400:1430, 700:730] = pixels(shape=(30, 30))
    with open_scene(str(write_raster(raw))).reading() as reader:
        sample = reader.sample(1, seed=0)
    assert any((block > 0).any() for block in sample.blocks)


def test_a_sample_is_seeded(write_raster: Write) -> None:
    scene = open_scene(str(write_raster(pixels(shape=(1500, 1500)))))
    with scene.reading() as reader:
        first, again, other = (reader.sample(1, seed=seed).blocks for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


def test_sidecars_are_no_scenes() -> None:
    for name in ("a.tif.aux.xml", "a.tif.ovr", "a.truth.geojson", "a.landcover.tif", "quick-look.png", "x_ql.tif"):
        assert is_sidecar(name)
    for name in ("s1a-iw-grd-vv.tiff", "scene.tif", "quality.tif", "thumbprint_bay.tif"):
        assert not is_sidecar(name)


def test_folders_globs_lists_and_archives(write_raster: Write, tmp_path: Path) -> None:
    first = write_raster(pixels(), name="in/a.tif")
    second = write_raster(pixels(), name="in/deep/b.tiff")
    write_raster(pixels(), name="in/a.landcover.tif")
    (tmp_path / "in" / "notes.md").write_text("x")
    both = sorted([str(first), str(second)])
    assert find_scenes([str(tmp_path / "in")]) == both
    assert find_scenes([str(tmp_path / "in" / "**" / "*.tif*")]) == both
    assert find_scenes([str(first), str(tmp_path / "in")]) == both
    listing = tmp_path / "list.txt"
    listing.write_text(f"# two scenes\nin/a.tif\n{second}\n")
    assert find_scenes([str(listing)]) == both
    archive = tmp_path / "product.zip"
    with zipfile.ZipFile(archive, "w") as sink:
        sink.write(first, "S1A.SAFE/measurement/s1a-iw-grd-vv-20201107t135021-20201107t135046-035141-041a6c-001.tiff")
        sink.write(first, "S1A.SAFE/preview/quick-look.tif")
    (found,) = find_scenes([str(archive)])
    scene = open_scene(found)
    assert (scene.height, scene.sensor, scene.bands[0].series) == (300, "Sentinel-1", "VV")
    assert scene.scene_id == open_scene(str(first)).scene_id


def test_nothing_found_is_said() -> None:
    with pytest.raises(SettingsError, match=r"nowhere-\*\.tif"):
        find_scenes(["nowhere-*.tif"])
