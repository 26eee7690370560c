"""Whatever bytes come from outside, a parser either takes them or says in one line why not."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from affine import Affine
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.io import MemoryFile

import models
from knowlip.benchmark.content import read_truth
from knowlip.errors import KnowlipError
from knowlip.manifest import Manifest
from knowlip.scenes.listing import find_scenes
from knowlip.settings import JobSettings, read_settings
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.labels import parse_labels
from knowlip.tiling.regions import read_region
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.workspace import Workspace
from models.preprocessing import decode_view
from serve_apps.problems import Problem
from serve_apps.uploads import decode_upload

few = settings(
    max_examples=40,
    phases=(Phase.explicit, Phase.generate),  # shrinking what fails can take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIXELS = np.random.default_rng(0).integers(1, 255, (40, 50), dtype=np.uint8)
DEEP = "[" * 3_000

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    ["type", "features", "assets", "properties", "geometry", "coordinates", "class", "href", "roles"]
)
ANY_JSON = st.recursive(
    LEAVES | st.sampled_from(["Feature", "FeatureCollection", "Polygon", "Point", "data"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind)
    return stream.getvalue()


def geotiff() -> bytes:
    place = {"crs": "EPSG:32611", "transform": Affine(1, 0, 390000, 0, -1, 3740000)}
    with MemoryFile() as file:
        with file.open(
            driver="GTiff", height=40, width=50, count=1, dtype="uint8", compress="deflate", **place
        ) as sink:
            sink.write(PIXELS, 1)
        return file.read()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"tile_id": [f"t{n}" for n in range(50)], "value": np.arange(50.0)}), sink)
    return sink.getvalue()


def spoiled(data: bytes) -> st.SearchStrategy[bytes]:
    """A file of which some bytes were changed, and maybe the end is missing or there is more."""
    edits = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=8)
    head = st.lists(st.tuples(st.integers(0, min(200, len(data) - 1)), st.integers(0, 255)), max_size=8)

    def apply(changes: list[tuple[int, int]], end: int, more: bytes) -> bytes:
        spoilt = bytearray(data)
        for place, value in changes:
            spoilt[place] = value
        return bytes(spoilt[: len(spoilt) - end]) + more

    return st.builds(apply, edits | head, st.just(0) | st.integers(0, len(data)), st.binary(max_size=20) | st.just(b""))


def one_line(parse: Callable[[], Any]) -> Any:
    """Parse; the only error may be ours, in one line."""
    told = ""
    try:
        return parse()
    except KnowlipError as error:
        told = str(error)
    assert told.count("\n") == 0
    return None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_an_upload_is_taken_or_answered(kind):
    data = geotiff() if kind == "TIFF" else picture(kind)
    taken = []

    @few
    @given(spoiled(data))
    @example(data)
    def upload(spoilt):
        status = 400
        try:
            taken.append(decode_upload(spoilt).pixels)
        except Problem as problem:
            status = problem.status_code
        assert 400 <= status < 500

    upload()
    assert taken
    assert all(pixels.dtype == np.uint8 and pixels.ndim == 2 for pixels in taken)


@few
@given(spoiled(picture("PNG")) | st.binary(max_size=60))
def test_a_view_decodes_or_is_named(data):
    one_line(lambda: decode_view(data))


def test_a_raster_is_tiled_or_set_aside(tmp_path):
    place, seen = tmp_path / "scene.tif", []

    @few
    @given(spoiled(geotiff()))
    @example(geotiff())
    def survey(data):
        place.write_bytes(data)
        found = survey_scene(str(place), SceneSettings(), GridSettings(extent_m=16, medium=0, large=0))
        assert (found.scene is None) == bool(found.reason)
        assert "\n" not in found.detail
        seen.append(found.reason)

    survey()
    assert "" in seen
    assert any(seen)


@few
@given(ANY_JSON.map(json.dumps) | st.text(max_size=30))
@example(DEEP)
@example('{"type": "Feature", "assets": {"a": {"href": 7}}}')
@example('{"type": "Feature", "assets": [1]}')
@example('{"type": "FeatureCollection", "features": 3}')
def test_a_stac_document_is_read_or_refused(tmp_path_factory, text):
    place = tmp_path_factory.getbasetemp() / "items.json"
    place.write_text(text, encoding="utf-8", errors="surrogatepass")
    one_line(lambda: find_scenes([str(place)]))


@few
@given(ANY_JSON.map(json.dumps) | st.text(max_size=30))
@example(DEEP)
@example('{"type": "Polygon", "coordinates": []}')
@example('{"type": "FeatureCollection", "features": [null]}')
def test_a_region_is_read_or_refused(tmp_path_factory, text):
    place = tmp_path_factory.getbasetemp() / "area.geojson"
    place.write_text(text, encoding="utf-8", errors="surrogatepass")
    read_region.cache_clear()
    one_line(lambda: read_region(str(place)))


@few
@given(ANY_JSON.map(json.dumps) | st.text(max_size=30))
@example(DEEP)
@example('{"features": [{"properties": {"class": 1}, "geometry": {"type": "Point", "coordinates": [1]}}]}')
@example('{"features": [{"properties": {"class": 1}, "geometry": {"type": "Point", "coordinates": []}}]}')
def test_a_truth_is_read_or_refused(tmp_path_factory, text):
    workspace = Workspace(str(tmp_path_factory.getbasetemp() / "truths"))
    workspace.write_bytes(text.encode("utf-8", "surrogatepass"), "scenes", "a.truth.geojson")
    one_line(lambda: read_truth(workspace, "scenes", "a.tif"))


@few
@given(ANY_JSON)
def test_labels_are_read_or_refused(document):
    one_line(lambda: parse_labels(document, where="labels.json"))


@few
@given(st.dictionaries(st.text(max_size=8), LEAVES, max_size=3).map(json.dumps) | st.text(max_size=30))
@example("a: &a [*a]")
@example("!!python/object/apply:os.system ['true']")
@example(DEEP)
def test_a_configuration_is_read_or_refused(tmp_path_factory, text):
    place = tmp_path_factory.getbasetemp() / "job.yaml"
    place.write_text(text, encoding="utf-8", errors="surrogatepass")
    one_line(lambda: read_settings(JobSettings, ["--config", str(place)], prog="job"))


def test_a_table_is_read_or_refused(tmp_path):
    workspace, seen = Workspace(str(tmp_path)), []

    @few
    @given(spoiled(parquet()))
    @example(parquet())
    def read(data):
        workspace.write_bytes(data, "tiles", "part.parquet")
        seen.append(one_line(lambda: workspace.read_table("tiles")))

    read()
    assert any(table is not None for table in seen)
    assert any(table is None for table in seen)


def test_a_manifest_is_read_or_refused(tmp_path):
    workspace = Workspace(str(tmp_path))
    Manifest(artefact="tiles", job="jobs.tile", settings={"a": 1}).write(workspace)
    data = workspace.read_bytes("tiles", "manifest.json")

    @few
    @given(spoiled(data) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
    @example(DEEP.encode())
    def read(spoilt):
        workspace.write_bytes(spoilt, "tiles", "manifest.json")
        one_line(lambda: Manifest.read(workspace, "tiles"))

    read()


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "preprocessing.json", "manifest.json"]
)
def test_a_checkpoint_is_opened_or_refused(tiny_checkpoint, tmp_path, name):
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    data = (folder / name).read_bytes()

    @settings(few, max_examples=5)
    @given(spoiled(data))
    def load(spoilt):
        assume(spoilt != data)
        (folder / name).write_bytes(spoilt)
        one_line(lambda: models.load(folder))

    load()
    (folder / name).write_bytes(DEEP.encode())
    with pytest.raises(KnowlipError):
        models.load(folder)
