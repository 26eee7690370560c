"""Folders, products, STAC documents and buckets become scenes; what goes with a scene does not."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from knowlip.errors import SceneError, SettingsError
from knowlip.scenes import store
from knowlip.scenes.listing import find_scenes
from knowlip.scenes.reader import open_scene

Write = Callable[..., Path]
MEASUREMENT = "measurement/s1a-iw-grd-{}-20201107t135021-20201107t135046-035141-041a6c-001.tiff"
PRODUCT = "S1A_IW_GRDH_1SDV_20201107T135021_20201107T135046_035141_041A6C_AB12.SAFE"


@pytest.fixture
def raster(write_raster: Write) -> Path:
    """A scene of 256 × 200 pixels in blocks of 64."""
    pixels = np.random.default_rng(5).gamma(4, 25, (256, 200)).astype(np.float32)
    return write_raster(pixels, name="plain.tif", tiled=True, blockxsize=64, blockysize=64, compress="deflate")


@pytest.fixture
def safe(raster: Path, tmp_path: Path) -> Path:
    """A Sentinel-1 product's folder as it is unpacked."""
    folder = tmp_path / "products" / PRODUCT
    for inside in (MEASUREMENT.format("vv"), MEASUREMENT.format("vh"), "preview/quick-look.tif", "support/extra.tif"):
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        (folder / inside).write_bytes(raster.read_bytes())
    (folder / "manifest.safe").write_text("<xml/>")
    return folder


def upload(bucket: str, *files: tuple[Path, str]) -> None:
    import boto3

    for file, key in files:
        boto3.client("s3").upload_file(str(file), bucket, key)


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_a_safe_folder_offers_its_measurements(safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [MEASUREMENT.format(polarisation).rpartition("/")[2] for polarisation in ("vh", "vv")]
    assert names(find_scenes([str(safe)])) == wanted
    assert names(find_scenes([str(safe.parent)])) == wanted
    monkeypatch.chdir(safe)
    assert names(find_scenes(["."])) == wanted
    scene = open_scene(find_scenes([str(safe)])[1])
    assert (scene.sensor, scene.bands[0].series) == ("Sentinel-1", "VV")


def test_a_safe_zip_is_read_without_unpacking(safe: Path, tmp_path: Path) -> None:
    archive = tmp_path / "zips" / "product.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as sink:
        for file in sorted(safe.rglob("*")):
            sink.write(file, f"{PRODUCT}/{file.relative_to(safe)}")
    found = find_scenes([str(archive.parent)])
    assert found == find_scenes([str(archive)])
    assert len(found) == 2
    assert all(path.startswith("/vsizip/") for path in found)
    inside, outside = open_scene(found[1]), open_scene(find_scenes([str(safe)])[1])
    assert inside.scene_id == outside.scene_id
    with inside.reading() as one, outside.reading() as other:
        assert (one.rows(1, 0, 256)[0] == other.rows(1, 0, 256)[0]).all()


def test_a_broken_zip_is_offered_and_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK not really")
    (found,) = find_scenes([str(tmp_path)])
    with pytest.raises(SceneError) as caught:
        open_scene(found)
    assert caught.value.code == "unreadable"


def stac_item(**assets: dict[str, object]) -> dict[str, object]:
    return {"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": {}, "assets": assets}


def test_a_stac_item_collection_names_its_data(raster: Path, tmp_path: Path) -> None:
    items = [
        stac_item(
            vv={"href": "./plain.tif", "roles": ["data"]},
            thumbnail={"href": "./thumb.png", "roles": ["thumbnail"]},
            metadata={"href": "./annotation.xml"},
        ),
        stac_item(vh={"href": raster.as_uri(), "type": "image/tiff; application=geotiff"}),
        stac_item(hh={"href": "s3://bucket/hh.tif", "roles": ["data"]}),
        stac_item(hv={"href": "https://example.org/hv.tif", "roles": ["data"]}),
        stac_item(gone={"href": "gone.tif", "roles": ["data"]}),
    ]
    document = tmp_path / "items.json"
    document.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    gone = str(tmp_path / "gone.tif")
    assert set(find_scenes([str(document)])) == {str(raster), "s3://bucket/hh.tif", "https://example.org/hv.tif", gone}
    single = tmp_path / "item.json"
    single.write_text(json.dumps(items[0]))
    assert find_scenes([str(single)]) == [str(raster)]


def test_nothing_is_fetched_from_the_web_unasked() -> None:
    with pytest.raises(SceneError, match=r"/vsicurl/https://example\.org/hv\.tif") as caught:
        open_scene(*find_scenes(["https://example.org/hv.tif"]))
    assert caught.value.code == "not_fetched"


@pytest.mark.parametrize("text", ["no json", '{"type": "FeatureCollection"}', "[1, 2]"])
def test_what_is_no_stac_document_is_said(tmp_path: Path, text: str) -> None:
    document = tmp_path / "items.json"
    document.write_text(text)
    with pytest.raises(SettingsError, match=r"items\.json: is no STAC"):
        find_scenes([str(document)])


def test_a_glob_over_everything_passes_by_other_documents(raster: Path) -> None:
    raster.with_name("notes.json").write_text("{}")
    raster.with_name("plain.tif.aux.xml").write_text("<xml/>")
    assert find_scenes([str(raster.parent / "*")]) == [str(raster)]


def test_a_missing_file_of_a_list_is_offered_and_refused(raster: Path) -> None:
    listing = raster.with_name("list.txt")
    listing.write_text("plain.tif\nlost.tif\n")
    found = find_scenes([str(listing)])
    assert len(found) == 2
    with pytest.raises(SceneError) as caught:
        open_scene(next(path for path in found if "lost" in path))
    assert caught.value.code == "missing"


def test_a_folder_that_is_named_like_a_raster_is_looked_into(raster: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "odd.tif"
    folder.mkdir(parents=True)
    with pytest.raises(SettingsError, match="no raster"):
        find_scenes([str(folder)])
    (folder / "a.tif").write_bytes(raster.read_bytes())
    assert names(find_scenes([str(folder.parent)])) == ["a.tif"]


def test_a_bucket_is_searched_and_read_like_a_folder(
    raster: Path, safe: Path, tmp_path: Path, bucket: tuple[str, ThreadedMotoServer]
) -> None:
    name, _ = bucket
    archive = tmp_path / "product.zip"
    with zipfile.ZipFile(archive, "w") as sink:
        sink.write(raster, f"{PRODUCT}/{MEASUREMENT.format('hh')}")
        sink.write(raster, f"{PRODUCT}/preview/quick-look.tif")
    document = tmp_path / "items.json"
    document.write_text(json.dumps(stac_item(vv={"href": "deep/b.tif", "roles": ["data"]})))
    upload(
        name,
        (raster, "in/a.tif"),
        (raster, "in/deep/b.tif"),
        (raster, "in/deep/b_ql.tif"),
        (archive, "in/product.zip"),
        (document, "in/items.json"),
        (raster, f"other/{PRODUCT}/{MEASUREMENT.format('vv')}"),
        (raster, f"other/{PRODUCT}/preview/quick-look.tif"),
    )
    inside = f"/vsizip//vsis3/{name}/in/product.zip/{PRODUCT}/{MEASUREMENT.format('hh')}"
    root = f"s3://{name}"
    assert find_scenes([f"{root}/in/"]) == sorted([inside, f"{root}/in/a.tif", f"{root}/in/deep/b.tif"])
    assert find_scenes([f"{root}/in/*.tif"]) == [f"{root}/in/a.tif", f"{root}/in/deep/b.tif"]
    assert find_scenes([f"{root}/in/items.json"]) == [f"{root}/in/deep/b.tif"]
    assert find_scenes([f"{root}/other"]) == [f"{root}/other/{PRODUCT}/{MEASUREMENT.format('vv')}"]
    local = open_scene(str(raster))
    for path in (f"{root}/in/a.tif", inside):
        scene = open_scene(path)
        assert scene.scene_id == local.scene_id
        with scene.reading() as there, local.reading() as here:
            assert (there.rows(1, 100, 60)[0] == here.rows(1, 100, 60)[0]).all()
    with pytest.raises(SceneError) as caught:
        open_scene(f"{root}/in/nowhere.tif")
    assert caught.value.code == "missing"


def test_a_store_that_goes_away_and_comes_back_costs_nothing(
    raster: Path, bucket: tuple[str, ThreadedMotoServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server dies between two reads and is started again while the reader waits: no block is taken for broken."""
    name, server = bucket
    upload(name, (raster, "a.tif"))
    port = server.get_host_and_port()[1]
    revived: list[ThreadedMotoServer] = []

    def wait(delay_s: float) -> None:
        if delay_s and not revived:
            revived.append(ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False))
            revived[0].start()
            revived[0].get_host_and_port()

    with open_scene(f"s3://{name}/a.tif").reading() as reader, open_scene(str(raster)).reading() as local:
        reader.rows(1, 0, 64)
        server.stop()
        monkeypatch.setattr(store.time, "sleep", wait)
        pixels, broken = reader.rows(1, 64, 192)
        revived[0].stop()
        assert not broken
        assert (pixels == local.rows(1, 64, 192)[0]).all()


def test_a_store_that_stays_away_is_said(
    raster: Path, bucket: tuple[str, ThreadedMotoServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, server = bucket
    upload(name, (raster, "a.tif"))
    monkeypatch.setattr(store, "_DELAYS_S", (0.0,))
    with open_scene(f"s3://{name}/a.tif").reading() as reader:
        server.stop()
        with pytest.raises(SceneError, match="does not answer") as caught:
            reader.rows(1, 192, 64)
    assert caught.value.code == "unreachable"
