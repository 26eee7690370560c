"""Real radar data from the file to the tables, and what the tables answer by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import shapely
from pystac.validation import stac_validator
from pystac.validation.local_validator import get_local_schema_cache

from jobs.export import ExportSettings, export
from knowlip.geography import GEOD, ground_distance_m
from knowlip.tiling.encoding import decode_png
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.regions import RegionSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, Survey, survey_scene
from knowlip.tiling.units import UnitCutter, units_of
from knowlip.workspace import Workspace

KEEP = ScreeningSettings(keep_low_structure=True, nodata_max=1.0)
DECIBELS = {
    "scenes/s1_vv_db_nodata_minus99.tif": "EPSG:32631",
    "segmentation/sen1floods11/Spain_7370579_S1Hand.tif": "EPSG:4326",
    "segmentation/terramind/s1rtc/282D_485L_3_3.tif": "EPSG:32722",
    "segmentation/terramind/s1rtc/38D_378R_2_3.tif": "EPSG:32736",
    "segmentation/terramind/s1rtc/433D_629L_3_1.tif": "EPSG:32718",
    "segmentation/terramind/s1rtc/609U_541L_3_0.tif": "EPSG:32616",
    "segmentation/terramind/s1rtc/637U_59R_1_3.tif": "EPSG:32632",
}


def tiled(path: Path, root: Path, **grid: float) -> Survey:
    """Tile a scene into a workspace as the job does."""
    settings = GridSettings(**grid)
    survey = survey_scene(str(path), SceneSettings(), settings)
    assert not survey.reason, survey.detail
    cutter = UnitCutter(Workspace(str(root)), "{}.parquet".format, settings, KEEP, RegionSettings())
    for unit in sorted(units_of(survey), key=lambda unit: unit.strip.stage):
        cutter(unit)
    return survey


def frame_of(workspace: Workspace) -> geopandas.GeoDataFrame:
    """The tiles as geopandas opens them, file by file, without their images."""
    columns = ["tile_id", "scale", "parent_id", "city", "admin", "country", "airports", "ports", "geometry", "width"]
    files = [workspace.local("tiles", name) for name in workspace.files("tiles")]
    return pd.concat([geopandas.read_parquet(file, columns=columns) for file in files])


@pytest.fixture(scope="module")
def los_angeles(knowlip_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiles of Los Angeles."""
    root = tmp_path_factory.mktemp("los_angeles")
    tiled(knowlip_data / "scenes" / "los_angeles_s1_vh.tif", root)
    return Workspace(str(root))


@pytest.fixture(scope="module")
def frame(los_angeles: Workspace) -> geopandas.GeoDataFrame:
    """The same as a table."""
    return frame_of(los_angeles)


def check_places(frame: geopandas.GeoDataFrame, codes: set[str]) -> None:
    """Tiles of every scale hold the airports and ports, and only what lies within them."""
    for scale in ("L", "M", "S"):
        rows = frame[frame["scale"] == scale].itertuples()
        named = [(row.geometry, site) for row in rows for site in (*row.airports, *row.ports)]
        assert codes <= {site["code"] for _, site in named}, scale
        assert all(outline.contains(shapely.Point(site["lon"], site["lat"])) for outline, site in named)
    assert set(frame["country"]) == {"US"}


def test_los_angeles_knows_its_places(frame: geopandas.GeoDataFrame) -> None:
    check_places(frame, {"LGB", "USLGB", "USLAX"})
    small = frame[frame["scale"] == "S"]
    at_airport = small[[any(site["code"] == "LGB" for site in sites) for sites in small["airports"]]].iloc[0]
    assert at_airport["city"] in ("Long Beach", "Signal Hill", "Lakewood")
    assert at_airport["admin"] == "California"
    assert {"Long Beach", "Los Angeles"} <= set(frame["city"])


@pytest.mark.slow
def test_san_antonio_knows_its_places(knowlip_data: Path, tmp_path: Path) -> None:
    tiled(knowlip_data / "scenes" / "san_antonio_s1_vh.tif", tmp_path)
    frame = frame_of(Workspace(str(tmp_path)))
    check_places(frame, {"SAT", "RND"})
    assert "San Antonio" in set(frame["city"])


def test_tiles_cover_1024_m_of_the_ellipsoid_and_have_parents(frame: geopandas.GeoDataFrame) -> None:
    small = frame[frame["scale"] == "S"]
    for outline, width in zip(small.geometry, small["width"], strict=True):
        west, south, east, north = outline.bounds
        middle = (south + north) / 2
        assert ground_distance_m(west, middle, east, middle) == pytest.approx(1024, rel=0.005 + 0.5 / width)
    assert set(small["parent_id"]) <= set(frame["tile_id"][frame["scale"] == "M"])


def test_which_tiles_lie_within_5_km_of_an_airport_is_answered_by_the_files(frame: geopandas.GeoDataFrame) -> None:
    """Geopandas in metres of UTM, held against geodesics to every footprint's outline."""
    small = frame[frame["scale"] == "S"]
    (airport,) = {(site["lon"], site["lat"]) for sites in small["airports"] for site in sites if site["code"] == "LGB"}
    spot = geopandas.GeoSeries([shapely.Point(airport)], crs="EPSG:4326").to_crs("EPSG:32611").iloc[0]
    near = small[small.to_crs("EPSG:32611").distance(spot) <= 5000]
    expected = set()
    for row in small.itertuples():
        lon, lat = shapely.get_coordinates(shapely.segmentize(row.geometry.exterior, 2e-4)).T
        _, _, away = GEOD.inv(np.full_like(lon, airport[0]), np.full_like(lat, airport[1]), lon, lat)
        if away.min() <= 5000 or row.geometry.contains(shapely.Point(airport)):
            expected.add(row.tile_id)
    assert len(expected) > 80
    assert set(near["tile_id"]) == expected


def test_the_export_of_real_tiles_is_valid_stac(los_angeles: Workspace) -> None:
    summary = export(ExportSettings(workspace=los_angeles.root, scales=("L",)))
    document = json.loads(los_angeles.read_bytes("exports/stac/items.json"))
    assert len(document["features"]) == summary.counts["tiles"] > 4
    validator = stac_validator.JsonSchemaSTACValidator()
    validator.schema_cache.update(get_local_schema_cache())
    for feature in document["features"]:
        validator.validate_core(feature, pystac.STACObjectType.ITEM, pystac.get_stac_version())
    for item in pystac.ItemCollection.from_dict(document).items[:3]:
        with rasterio.open(los_angeles.local("exports/stac", item.assets["image"].href)) as source:
            assert source.crs.to_string() == item.properties["proj:code"] == "EPSG:3395"
            assert tuple(source.transform)[:6] == pytest.approx(item.properties["proj:transform"])


@pytest.mark.parametrize("file", DECIBELS)
def test_decibels_come_back_from_the_tiles_and_no_data_stays_out(knowlip_data: Path, tmp_path: Path, file: str) -> None:
    survey = tiled(knowlip_data / file, tmp_path, medium=0, large=0)
    assert survey.scene is not None
    assert survey.scene.georeference.crs == DECIBELS[file]
    rows = Workspace(str(tmp_path)).read_table("tiles").to_pylist()
    assert {row["series"] for row in rows} == {band.series for band in survey.scene.bands}
    with rasterio.open(knowlip_data / file) as source:
        for band in survey.scene.bands:
            raw, transfer = source.read(band.index), survey.bands[band.index].transfer
            valid = np.isfinite(raw) & (raw != source.nodata) if source.nodata is not None else np.isfinite(raw)
            assert transfer.quantity == "db"
            for row in (row for row in rows if row["series"] == band.series):
                window = np.s_[
                    row["row_off"] : row["row_off"] + row["height"], row["col_off"] : row["col_off"] + row["width"]
                ]
                levels = decode_png(row["image"])
                assert ((levels > 0) == valid[window]).all()
                inside = (levels > 1) & (levels < 255)
                assert np.abs(transfer.to_db(levels) - raw[window])[inside].max(initial=0) < 2.5
                corner = rasterio.transform.xy(source.transform, row["row_off"], row["col_off"], offset="ul")
                assert (row["affine"][2], row["affine"][5]) == pytest.approx(corner)
