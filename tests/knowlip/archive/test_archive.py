from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from knowlip import archive as archives
from knowlip.archive import (
    Archive,
    Filters,
    Version,
    entry_schema,
    files_to_embed,
    load_units,
    read_picture,
    tiles_digest,
)
from knowlip.errors import CheckpointError, DataError, WorkspaceError
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace

WIDTH = 16
VERSION = Version(digest="0123456789abcdef", checkpoint="runs/pretrain/checkpoint", width=WIDTH)


def unit_vectors(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_vectors(workspace, tiles, name, seed=0):
    vectors = unit_vectors(tiles.num_rows, seed)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), WIDTH)
    table = pa.table({"tile_id": tiles["tile_id"], "vector": column})
    workspace.write_table(table, VERSION.vectors, f"{name}.parquet")
    return vectors


@pytest.fixture
def workspace(workspace_root):
    return Workspace(workspace_root)


@pytest.fixture
def filled(workspace, write_tiles):
    """Two files of tiles in two places, loaded, with their vectors by tile id."""
    vectors = {}
    for seed, (name, lon, sensor) in enumerate([("los", -118.2, "Sentinel-1A"), ("san", -98.5, "O'Brien-1")]):
        tiles = write_tiles(workspace, name, count=40, lon=lon, sensor=sensor)
        made = write_vectors(workspace, tiles, name, seed)
        vectors |= dict(zip(tiles["tile_id"].to_pylist(), made, strict=True))
    assert load_units(workspace, VERSION).rows == 80
    VERSION.publish(workspace)
    return Archive.open(workspace), vectors


def nearest(vectors, query, k, keep=bool):
    ids = [tile_id for tile_id in vectors if keep(tile_id)]
    scores = np.stack([vectors[tile_id] for tile_id in ids]).astype(np.float64) @ query.astype(np.float64)
    return [(ids[place], scores[place]) for place in np.argsort(-scores)[:k]]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(1, 10_000), k=st.integers(1, 100))
def test_search_equals_numpy(filled_once, seed, k):
    archive, vectors = filled_once
    query = unit_vectors(1, seed)[0]
    hits = archive.search(3.7 * query, k)
    expected = nearest(vectors, query, k)
    assert [hit.entry.tile_id for hit in hits] == [tile_id for tile_id, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-5)


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory):
    """An archive without filters' metadata, made once for the property test."""
    workspace = Workspace(str(tmp_path_factory.mktemp("archive")))
    archive = Archive.of_version(workspace, VERSION)
    made = unit_vectors(300, 5)
    archive.add(rows_of(archive, made))
    return archive, {f"t{place:05d}": vector for place, vector in enumerate(made)}


def rows_of(archive, vectors, west=None, **columns):
    """Rows of the index with the least that a search needs."""
    count = len(vectors)
    west = np.zeros(count) if west is None else west
    schema = entry_schema(archive.version.width)
    given_columns = {
        "tile_id": [f"t{place:05d}" for place in range(count)],
        "scene_id": ["s"] * count,
        "scale": ["S"] * count,
        "file": ["f.parquet"] * count,
        "row": list(range(count)),
        "revision": ["r"] * count,
        "vector": list(vectors),
        "geometry": [shapely.to_wkb(shapely.box(0, 0, 1, 1))] * count,
        "xmin": west,
        "xmax": west + 0.01,
        "ymin": np.zeros(count),
        "ymax": np.zeros(count) + 0.01,
        "gsd_m": np.ones(count),
        **columns,
    }
    return pa.table(
        [pa.array(given_columns.get(field.name, [None] * count), field.type) for field in schema],
        schema=pa.schema([field.with_nullable(True) for field in schema]),
    )


def test_an_index_of_an_earlier_version_is_refused(workspace):
    lancedb.connect(str(workspace.local(VERSION.folder))).create_table("tiles", schema=entry_schema(WIDTH))
    VERSION.publish(workspace)
    for opened in (lambda: Archive.open(workspace), lambda: Archive.of_version(workspace, VERSION)):
        with pytest.raises(WorkspaceError, match=r"made by an earlier version .*'cell'.*; delete it and run the index"):
            opened()


def test_filters_hold_before_the_nearest_are_taken(filled):
    archive, vectors = filled
    query = unit_vectors(1, 77)[0]
    found = archive.search(query, 10, Filters(bbox=(-99, 33, -98, 34)))
    assert [hit.entry.tile_id for hit in found] == [t for t, _ in nearest(vectors, query, 10, lambda t: t[:3] == "san")]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(scales=("L",)), {"los-0000", "san-0000"}),
        (Filters(scales=("L", "M"), sensors=("Sentinel-1A",)), {"los-0000", "los-0001"}),
        (Filters(gsd_min_m=2, gsd_max_m=10), {"los-0001", "san-0001"}),
        (Filters(polarisations=("HH",)), set()),
        (Filters(time_to=datetime(2020, 11, 7, tzinfo=UTC)), {"los-0000", "san-0000"}),
        (
            Filters(time_from=datetime(2020, 11, 8, tzinfo=UTC), time_to=datetime(2020, 11, 9, tzinfo=UTC)),
            {"los-0001", "los-0002", "san-0001", "san-0002"},
        ),
        (Filters(bbox=(-118.195, 33.8, -118.191, 33.805)), {"los-0000"}),
    ],
)
def test_each_filter(filled, filters, expected):
    archive, _ = filled
    assert {hit.entry.tile_id for hit in archive.search(unit_vectors(1)[0], 100, filters)} == expected


@pytest.mark.parametrize(
    ("given_values", "reason"),
    [
        ({"bbox": (10, 0, 5, 1)}, "inverted"),
        ({"bbox": (0, 5, 1, 1)}, "inverted"),
        ({"bbox": (0, 0, 181, 1)}, "less than or equal to 180"),
        ({"bbox": (0, 0, float("nan"), 1)}, "finite"),
        ({"sensors": ("x' OR 1=1 --",)}, "match pattern"),
        ({"gsd_min_m": 5, "gsd_max_m": 1}, "larger"),
        ({"time_from": datetime(2020, 1, 1)}, "timezone"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_wrong_filters_are_refused(given_values, reason):
    with pytest.raises(ValidationError, match=reason):
        Filters(**given_values)


def test_an_entry_carries_what_an_answer_needs(filled):
    archive, _ = filled
    entry = archive.entry("los-0003")
    feature = json.loads(json.dumps(entry.feature()))
    assert feature["geometry"]["type"] == "Polygon"
    assert feature["bbox"] == pytest.approx([-118.17, 33.8, -118.16, 33.81])
    assert list(feature["properties"]["texts"]) == list(SUBTEXTS)
    assert feature["properties"]["airports"][0]["code"] == "LGB"
    assert feature["properties"]["time"].startswith("2020-11-10T00:00:00")
    assert archive.entry("no' such") is None
    assert [child.tile_id for child in archive.children("los-0000")] == ["los-0001"]


def test_a_picture_is_the_tiles_own(filled, workspace):
    archive, _ = filled
    for tile_id in ("los-0000", "los-0007", "san-0039"):
        entry = archive.entry(tile_id)
        held = workspace.read_table("tiles", entry.file, columns=["image"])["image"][entry.row].as_py()
        assert read_picture(workspace, entry, "image") == held
        assert Image.open(io.BytesIO(read_picture(workspace, entry, "view"))).size == (64, 64)


def test_tiles_made_anew_are_noticed(filled, workspace, write_tiles):
    archive, _ = filled
    entry = archive.entry("san-0005")
    workspace.delete("tiles", "san.parquet")
    with pytest.raises(WorkspaceError, match=r"no longer holds tile san-0005; run the index job"):
        read_picture(workspace, entry)
    write_tiles(workspace, "san", count=3)
    with pytest.raises(WorkspaceError, match="no longer holds"):
        read_picture(workspace, entry)


def test_a_file_that_is_replaced_while_it_is_read_from_gives_its_new_pictures(filled, workspace, write_tiles):
    archive, _ = filled
    entry = archive.entry("san-0005")
    before = read_picture(workspace, entry)
    write_tiles(workspace, "san", count=40, side=48)
    assert Image.open(io.BytesIO(read_picture(workspace, entry))).size == (48, 48)
    assert read_picture(workspace, entry) != before


def test_loading_again_changes_nothing(filled, workspace):
    archive, _ = filled
    again = load_units(workspace, VERSION)
    assert (again.rows, again.files, again.removed) == (0, 0, 0)
    assert len(archive) == 80


def test_appending_adds_only_the_new(filled, workspace, write_tiles):
    tiles = write_tiles(workspace, "new", count=5, lon=10.0)
    write_vectors(workspace, tiles, "new", 9)
    loaded = load_units(workspace, VERSION)
    assert (loaded.rows, loaded.files) == (5, 1)
    archive = Archive.open(workspace)
    assert len(archive) == 85
    ids = [entry.tile_id for entry in archive.browse(limit=1000)]
    assert len(ids) == len(set(ids)) == 85


def test_new_captions_replace_rows(filled, workspace):
    captions = workspace.read_table("captions", "los.parquet")
    place = captions.schema.get_field_index("target_category")
    texts = pa.array(["a lighthouse"] * captions.num_rows)
    workspace.write_table(captions.set_column(place, "target_category", texts), "captions", "los.parquet")
    assert load_units(workspace, VERSION).files == 1
    archive = Archive.open(workspace)
    assert len(archive) == 80
    assert archive.entry("los-0000").texts["target_category"] == "a lighthouse"
    assert archive.entry("san-0000").texts["target_category"] != "a lighthouse"


def test_tiles_without_captions_are_found_without_texts(workspace, write_tiles):
    write_vectors(workspace, write_tiles(workspace, "bare", captions=False), "bare")
    load_units(workspace, VERSION)
    assert Archive.of_version(workspace, VERSION).entry("bare-0000").texts == {}


def test_removed_files_leave_the_index(filled, workspace):
    workspace.delete("tiles", "san.parquet")
    assert load_units(workspace, VERSION).removed == 1
    assert {entry.tile_id[:3] for entry in Archive.open(workspace).browse(limit=1000)} == {"los"}


def rewrite(workspace, name, change):
    """Put something else in the place of a file of tiles, as a screening that is replayed does; return it."""
    tiles = change(workspace.read_table("tiles", f"{name}.parquet"))
    workspace.write_table(tiles, "tiles", f"{name}.parquet", row_group_size=4)
    return tiles


def held(archive):
    return {entry.tile_id: (entry.file, entry.row) for entry in archive.browse(limit=1000)}


def test_tiles_that_are_set_aside_leave_the_index_and_those_that_come_back_are_in_it(filled, workspace):
    archive, vectors = filled
    whole = workspace.read_table("tiles", "san.parquet")
    kept = rewrite(workspace, "san", lambda tiles: tiles.filter(pc.not_equal(tiles["tile_id"], "san-0003")))
    assert load_units(workspace, VERSION).files == 1
    archive = Archive.open(workspace)
    assert held(archive) == {f"los-{row:04d}": ("los.parquet", row) for row in range(40)} | {
        tile_id: ("san.parquet", row) for row, tile_id in enumerate(kept["tile_id"].to_pylist())
    }
    assert "san-0003" not in {hit.entry.tile_id for hit in archive.search(vectors["san-0003"], 80)}
    for entry in archive.browse(limit=100):
        read_picture(workspace, entry)
    rewrite(workspace, "san", lambda _: whole)
    load_units(workspace, VERSION)
    assert held(Archive.open(workspace))["san-0039"] == ("san.parquet", 39)
    assert len(held(Archive.open(workspace))) == 80


def test_a_file_that_became_empty_leaves_the_index(filled, workspace):
    rewrite(workspace, "san", lambda tiles: tiles.slice(0, 0))
    loaded = load_units(workspace, VERSION)
    assert (loaded.rows, loaded.removed) == (0, 1)
    assert {entry.file for entry in Archive.open(workspace).browse(limit=1000)} == {"los.parquet"}
    assert load_units(workspace, VERSION).removed == 0


def test_tiles_without_vectors_are_left_out_until_they_have_some(workspace, write_tiles):
    tiles = write_tiles(workspace, "some", count=3)
    write_vectors(workspace, tiles.slice(0, 0), "some")
    assert load_units(workspace, VERSION).rows == 0
    write_vectors(workspace, tiles, "some")
    assert load_units(workspace, VERSION).rows == 3


def test_a_file_is_embedded_again_when_other_tiles_or_other_pixels_are_in_it(filled, workspace, write_tiles):
    def embed(seed):
        for name in files_to_embed(workspace, VERSION):
            vectors = unit_vectors(workspace.dataset("tiles", name).count_rows(), seed)
            tiles = workspace.read_table("tiles", name, columns=["tile_id"])
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), WIDTH)
            source = tiles_digest(workspace, name)
            archives.write_vectors(workspace, VERSION, name, tiles.append_column("vector", column), source=source)
        load_units(workspace, VERSION)

    # Vectors that do not say what they were made of may be of anything.
    assert files_to_embed(workspace, VERSION) == ["los.parquet", "san.parquet"]
    embed(1)
    assert files_to_embed(workspace, VERSION) == []
    workspace.write_bytes(workspace.read_bytes("tiles", "los.parquet"), "tiles", "los.parquet")
    assert files_to_embed(workspace, VERSION) == []
    before = Archive.open(workspace).vector("san-0000")
    write_tiles(workspace, "san", count=40, lon=-98.5, side=48)
    assert files_to_embed(workspace, VERSION) == ["san.parquet"]
    embed(2)
    assert not np.array_equal(Archive.open(workspace).vector("san-0000"), before)
    rewrite(workspace, "los", lambda tiles: tiles.slice(1))
    assert files_to_embed(workspace, VERSION) == ["los.parquet"]


def test_an_empty_file_of_tiles_is_no_trouble(workspace, write_tiles):
    write_vectors(workspace, write_tiles(workspace, "some", count=3), "some")
    write_vectors(workspace, write_tiles(workspace, "none", count=0), "none")
    assert load_units(workspace, VERSION).rows == 3


def test_no_index_and_another_checkpoint_are_one_line_each(filled, workspace, tmp_path):
    with pytest.raises(WorkspaceError, match="run the index job first"):
        Archive.open(Workspace(str(tmp_path / "other")))
    with pytest.raises(CheckpointError, match=r"was made by checkpoint 0123456789abcdef .* not by fedc") as caught:
        Archive.open(workspace, checkpoint="fedcba9876543210")
    assert "\n" not in str(caught.value)
    assert len(Archive.open(workspace, checkpoint=VERSION.digest)) == 80


def test_a_damaged_current_file_is_one_line(filled, workspace):
    workspace.write_bytes(b'{"digest": "../../etc"}', "index", "current.json")
    with pytest.raises(WorkspaceError, match="does not name an index version"):
        Archive.open(workspace)


@pytest.mark.parametrize("query", [np.zeros(WIDTH), np.full(WIDTH, np.nan), np.ones(WIDTH + 1)])
def test_wrong_queries_are_refused(filled, query):
    with pytest.raises(DataError, match="is no query for this index"):
        filled[0].search(query)


def test_the_large_path_recalls_what_the_exact_one_finds(workspace, monkeypatch):
    """Above the thresholds the table gets its indices; both paths are asked the same."""
    monkeypatch.setattr("knowlip.archive.index._EXACT_ROWS", 1500)
    monkeypatch.setattr("knowlip.archive.index._INDEXED_ROWS", 1000)
    monkeypatch.setattr("knowlip.archive.index._FEW_ROWS", 0)
    archive = Archive.of_version(workspace, VERSION)
    centres = unit_vectors(40, 1)
    made = centres[np.arange(4000) % 40] + 0.3 * unit_vectors(4000, 2)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    west = np.arange(4000) * 0.02
    archive.add(rows_of(archive, made, west=west))
    archive.optimise()
    broad, narrow, fewer_than_asked = (Filters(bbox=(0, 0, east, 1)) for east in (60, 0.5, 0.1))
    assert 0 < archive.count(fewer_than_asked) < 10 < archive.count(narrow) < 50
    continents = Filters(bbox=(0, -45, 60, 45))
    assert continents.loosely()
    for filters in (None, broad, narrow, fewer_than_asked, continents):
        within = np.flatnonzero(west <= (filters.bbox[2] if filters else np.inf))
        recalls = []
        for query in unit_vectors(10, 3):
            best = {f"t{place:05d}" for place in within[np.argsort(-(made[within] @ query))][:10]}
            found = {hit.entry.tile_id for hit in archive.search(query, 10, filters)}
            recalls.append(len(best & found) / len(best))
        assert np.mean(recalls) >= 0.99


@pytest.mark.parametrize("few", [0, 2_000], ids=["by the graph", "one by one"])
def test_many_searches_at_once_find_what_each_finds_alone(workspace, monkeypatch, few):
    monkeypatch.setattr("knowlip.archive.index._EXACT_ROWS", 1500)
    monkeypatch.setattr("knowlip.archive.index._INDEXED_ROWS", 1000)
    monkeypatch.setattr("knowlip.archive.index._FEW_ROWS", few)
    archive = Archive.of_version(workspace, VERSION)
    archive.add(rows_of(archive, unit_vectors(3000, 2), west=np.arange(3000) * 0.02))
    archive.optimise()
    queries = list(unit_vectors(9, 3))
    for filters in (None, Filters(bbox=(0, 0, 20, 1)), Filters(bbox=(0, 0, 0.1, 1)), Filters(scales=("L",))):
        together = archive.search_each(queries, 7, filters)
        assert together == [archive.search(query, 7, filters) for query in queries]
        assert all(hits == sorted(hits, key=lambda hit: -hit.score) for hits in together)
    with pytest.raises(DataError, match="is no query for this index"):
        archive.search_each([*queries, np.zeros(WIDTH)], 7)
    assert archive.search_each([], 7) == []


BOXES = {
    "a hemisphere": (-90.0, -45.0, 90.0, 45.0),
    "a country": (-77.3, -18.1, -51.9, 11.7),
    "a town": (10.02, 10.01, 10.31, 10.27),
    "a meridian": (-0.001, -80.0, 0.001, 80.0),
    "a point": (10.0, 10.0, 10.0, 10.0),
    "a pole": (-180.0, 86.0, 180.0, 90.0),
    "the Pacific": (150.0, -30.0, 180.0, 30.0),
    "an equator": (-180.0, -10.0, 180.0, 10.0),
    "east of the antimeridian": (-180.0, -20.0, -178.0, -15.0),
    "west of the antimeridian": (178.0, -20.0, 180.0, -15.0),
}


def scattered(count, seed):
    """Bounds of tiles of 1 m to 500 km all over the world, some over the antimeridian: (N, 4)."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, count), rng.uniform(-90, 90, count)
    near = rng.random(count) < 0.2
    lon, lat = np.where(near, rng.uniform(9, 11, count), lon), np.where(near, rng.uniform(9, 11, count), lat)
    size = 10.0 ** rng.uniform(-5, 0.7, count)
    east = (lon + size + 180.0) % 360.0 - 180.0
    return np.column_stack([lon, lat, east, np.minimum(lat + size, 90.0)])


def touching(bounds, box):
    """Which bounds touch a box, worked out by geometry."""
    parts = [
        shapely.box(*one)
        if one[0] <= one[2]
        else shapely.union(shapely.box(one[0], one[1], 180.0, one[3]), shapely.box(-180.0, one[1], one[2], one[3]))
        for one in bounds
    ]
    return shapely.intersects(np.array(parts), shapely.box(*box))


@pytest.fixture(scope="module")
def scattered_once(tmp_path_factory):
    """An archive of tiles of all sizes, all over the world."""
    archive = Archive.of_version(Workspace(str(tmp_path_factory.mktemp("archive"))), VERSION)
    bounds, made = scattered(3000, 4), unit_vectors(3000, 5)
    edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), bounds.T, strict=True))
    archive.add(rows_of(archive, made, **edges, scale=np.where(np.arange(3000) % 5, "S", "M")))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("knowlip.archive.index._INDEXED_ROWS", 1000)
        archive.optimise()
    return archive, bounds, made


@pytest.mark.parametrize("scales", [(), ("M",)], ids=["all", "one scale"])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_box_finds_what_touches_it_and_the_nearest_of_that(scattered_once, box, scales):
    archive, bounds, made = scattered_once
    scale = np.arange(len(bounds)) % 5 == 0
    within = np.flatnonzero(touching(bounds, box) & (scale if scales else True))
    filters = Filters(bbox=box, scales=scales)
    assert archive.count(filters) == len(within)
    for query in unit_vectors(5, 6):
        found = [hit.entry.tile_id for hit in archive.search(query, 10, filters)]
        best = within[np.argsort(-(made[within] @ query))][:10]
        assert found == [f"t{place:05d}" for place in best]


def test_a_polygon_of_a_continent_finds_what_touches_it_however_little_is_looked_at_first(scattered_once, monkeypatch):
    archive, bounds, made = scattered_once
    corner = shapely.Polygon([(-100, -60), (100, -60), (100, 60), (-100, -60)])
    filters = Filters(polygon=shapely.geometry.mapping(corner))
    assert filters.loosely()
    # The rows' footprints are all the same in this archive, so what touches the polygon is what touches its bounds.
    within = np.flatnonzero(touching(bounds, corner.bounds))
    monkeypatch.setattr("knowlip.archive.index._SPARE", 1)
    for query in unit_vectors(5, 7):
        found = [hit.entry.tile_id for hit in archive.search(query, 10, filters)]
        best = within[np.argsort(-(made[within] @ query))][:10]
        assert found == [f"t{place:05d}" for place in best]


def test_holdings_go_around_the_world_where_a_tile_lies_over_the_antimeridian(scattered_once):
    archive, bounds, _ = scattered_once
    assert (bounds[:, 0] > bounds[:, 2]).any()
    west, south, east, north = archive.holdings().bbox
    assert (west, east) == (-180, 180)
    assert (south, north) == (bounds[:, 1].min(), bounds[:, 3].max())
