"""The simulator: its physics against what was asked for, its truth against the ground, its files against readers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.features
import rasterio.warp
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyproj import Geod
from scipy import ndimage

from knowlip.geography import to_wgs84
from knowlip.scenes.sensors import identify
from knowlip.scenes.simulate import (
    AIRCRAFT,
    LANDCOVER,
    SHIPS,
    SimulatedScene,
    SimulationSettings,
    demo_scenes,
    encode_scene,
    simulate,
    write_scene,
)
from knowlip.scenes.simulate.canvas import Canvas, Frame
from knowlip.scenes.simulate.imaging import NOISE_FLOOR_DB, image
from knowlip.scenes.simulate.places import grid
from knowlip.scenes.simulate.ships import Ship, draw_ship
from knowlip.scenes.simulate.structures import Boxes, draw_boxes
from knowlip.scenes.simulate.surfaces import SURFACES, Illumination

GEOD = Geod(ellps="WGS84")
KINDS = ("airport", "port", "city", "sea", "countryside")
C_BAND = Illumination(0.0555, 35.0, "VV")


@pytest.fixture(scope="module")
def airport() -> SimulatedScene:
    return simulate(SimulationSettings(kind="airport", size_px=(1100, 1200), seed=3))


@pytest.fixture(scope="module")
def port() -> SimulatedScene:
    return simulate(SimulationSettings(kind="port", size_px=(1300, 1200), gsd_m=1.5, seed=4))


def _objects(scene: SimulatedScene, kind: str) -> list[dict[str, Any]]:
    return [feature for feature in scene.features if feature["properties"]["class"] == kind]


def _outlines(scene: SimulatedScene, features: list[dict[str, Any]]) -> gpd.GeoSeries:
    return gpd.GeoSeries([shapely.geometry.shape(f["geometry"]) for f in features], crs=4326).to_crs(scene.crs)


def _mask(scene: SimulatedScene, features: list[dict[str, Any]]) -> npt.NDArray[np.bool_]:
    """Pixels whose centre lies in any of the features, found through their WGS84 outlines."""
    shapes = _outlines(scene, features)
    return rasterio.features.geometry_mask(shapes, scene.amplitude.shape, scene.transform, invert=True)


def _sigma0_db(pixels: npt.NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(pixels.astype(np.float64) ** 2)))


def _flat(surface: str, looks: float, size: int = 400) -> npt.NDArray[np.float32]:
    frame = Frame(size, size, 10.0, (1.0, 0.0), 35.0)
    return image(Canvas(frame, 7, surface), C_BAND, looks)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_settings_give_the_same_bytes_and_another_seed_others(kind: str) -> None:
    one = SimulationSettings(kind=kind, size_px=(300, 260), gsd_m=3.0)
    first, second = encode_scene(simulate(one)), encode_scene(simulate(one))
    assert {n: hashlib.sha256(d).hexdigest() for n, d in first.items()} == {
        n: hashlib.sha256(d).hexdigest() for n, d in second.items()
    }
    other = simulate(one.model_copy(update={"seed": 1}))
    assert other.name not in "".join(first)
    assert not np.array_equal(other.amplitude, simulate(one).amplitude)


@pytest.mark.parametrize("surface", ["sea", "grass", "runway", "forest"])
@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_intensity_has_the_mean_and_the_spread_of_k_distributed_clutter(surface: str, looks: float) -> None:
    intensity = _flat(surface, looks).astype(np.float64) ** 2
    kind = SURFACES[surface]
    noise = 10 ** (NOISE_FLOOR_DB / 10)
    mean = kind.mean_sigma0(C_BAND)
    assert 10 * np.log10(intensity.mean() / (mean + noise)) == pytest.approx(0, abs=0.4)
    texture = (1 + 1 / kind.fine_order) * (1 + 1 / kind.coarse_order) - 1
    texture *= (mean / (mean + noise)) ** 2  # noise has speckle and no texture
    expected = (1 + texture) * (1 + 1 / looks) - 1
    assert intensity.var() / intensity.mean() ** 2 == pytest.approx(expected, rel=0.12)


def test_backscatter_follows_band_incidence_and_polarisation() -> None:
    grass, water = SURFACES["grass"], SURFACES["sea"]
    assert grass.mean_sigma0(Illumination(0.031, 35, "VV")) > grass.mean_sigma0(Illumination(0.24, 35, "VV"))
    assert water.mean_sigma0(Illumination(0.0555, 25, "VV")) > water.mean_sigma0(Illumination(0.0555, 45, "VV"))
    assert water.mean_sigma0(C_BAND) > water.mean_sigma0(Illumination(0.0555, 35, "HH"))
    assert grass.mean_sigma0(C_BAND) > grass.mean_sigma0(Illumination(0.0555, 35, "VH"))


@pytest.mark.parametrize("incidence_deg", [28.0, 38.0, 52.0])
@pytest.mark.parametrize("look", [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0)])
def test_a_building_leans_towards_the_radar_and_hides_the_ground_behind_it(
    incidence_deg: float, look: tuple[float, float]
) -> None:
    frame = Frame(200, 200, 1.0, look, incidence_deg)
    canvas, height = Canvas(frame, 1, "grass"), 24.0
    box = Boxes.one((100.0, 100.0), 40.0, 40.0, height, 0.0, "slab")
    assert draw_boxes(canvas, box, canvas.rng("test")) == 1
    dark = canvas.lit() == 0
    bright = canvas.volumes() > 0
    profile_dark, profile_bright = (_along(mask, look) for mask in (dark, bright))
    shadow, layover = height * np.tan(np.radians(incidence_deg)), height / np.tan(np.radians(incidence_deg))
    assert np.flatnonzero(profile_dark)[-1] + 1 == pytest.approx(120 + shadow, abs=1.5)
    assert np.flatnonzero(profile_bright)[0] == pytest.approx(80 - layover, abs=1.5)
    points = canvas.points()
    foot = points[np.abs(points[:, :2] - (100 - 20 * np.array(look))).min(axis=1) < 0.1]
    assert foot[:, 2].sum() > 0.3 * points[:, 2].sum()  # double bounce where wall meets ground


def _along(mask: npt.NDArray[np.bool_], look: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Collapse a mask onto the range axis, near range first."""
    profile = mask.any(axis=0 if look[0] else 1)
    return profile[::-1] if sum(look) < 0 else profile


def test_a_point_keeps_its_cross_section_whatever_the_pixel_size() -> None:
    for gsd_m in (0.2, 1.0, 3.0):
        canvas = Canvas(Frame(64, 64, gsd_m, (1.0, 0.0), 35.0), 1, "runway")
        empty = float((image(canvas, C_BAND, 1000.0)[0].astype(np.float64) ** 2).sum())
        canvas.scatter(np.array([[32.3, 31.6]]) * gsd_m, np.array([500.0]))
        full = float((image(canvas, C_BAND, 1000.0)[0].astype(np.float64) ** 2).sum())
        assert (full - empty) * gsd_m**2 == pytest.approx(500.0, rel=0.01)


def test_one_stream_of_randomness_does_not_move_another() -> None:
    frame = Frame(64, 64, 1.0, (1.0, 0.0), 35.0)
    first, second = Canvas(frame, 5, "grass"), Canvas(frame, 5, "grass")
    second.rng("ships").random(1000)
    assert first.rng("aircraft").random() == second.rng("aircraft").random()
    assert first.rng("aircraft").random() != first.rng("ships").random()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gsd_m", [0.2, 1.0, 3.0, 10.0])
def test_every_kind_at_every_resolution_keeps_its_objects_inside(kind: str, gsd_m: float) -> None:
    scene = simulate(SimulationSettings(kind=kind, size_px=(320, 260), gsd_m=gsd_m, seed=2))
    assert scene.amplitude.shape == scene.landcover.shape == (260, 320)
    assert scene.amplitude.dtype == np.float32
    assert np.isfinite(scene.amplitude).all()
    assert (scene.amplitude > 0).all()
    assert set(np.unique(scene.landcover)) <= set(LANDCOVER)
    for feature in scene.features:
        left, top, right, bottom = feature["properties"]["pixels"]
        assert 0 <= left < right <= 320, feature
        assert 0 <= top < bottom <= 260, feature
        assert shapely.geometry.shape(feature["geometry"]).is_valid
        if feature["properties"]["class"] in ("aircraft", "ship", "building", "storage_tank", "crane"):
            assert feature["properties"]["visible"] == 1.0


def test_aircraft_stand_on_pavement_and_outshine_it(airport: SimulatedScene) -> None:
    aircraft = _objects(airport, "aircraft")
    assert len(aircraft) >= 5
    assert {feature["properties"]["type"] for feature in aircraft} <= set(AIRCRAFT)
    pavement = airport.landcover == 7
    everything = ndimage.binary_dilation(_mask(airport, airport.features), iterations=20)
    apron = _mask(airport, _objects(airport, "apron"))
    shapes = ndimage.binary_dilation(_mask(airport, aircraft), iterations=30)
    background = _sigma0_db(airport.amplitude[apron & ~shapes])
    for feature in aircraft:
        mask = _mask(airport, [feature])
        if feature["properties"]["state"] == "parked":
            assert pavement[mask].mean() > 0.9
        assert _sigma0_db(airport.amplitude[mask]) > background + 6
    runway = _mask(airport, _objects(airport, "runway"))
    grass = (airport.landcover == 2) & ~everything
    assert _sigma0_db(airport.amplitude[runway & ~shapes]) < _sigma0_db(airport.amplitude[grass]) - 4


def test_ships_float_and_moored_ones_lie_along_a_quay(port: SimulatedScene) -> None:
    ships = _objects(port, "ship")
    quays = gpd.GeoSeries([shapely.geometry.shape(q["geometry"]) for q in _objects(port, "quay")], crs=4326).to_crs(
        port.crs
    )
    assert {ship["properties"]["type"] for ship in ships} <= set(SHIPS)
    states = [ship["properties"]["state"] for ship in ships]
    assert states.count("moored") >= 3
    water = port.landcover == 1
    sea = _sigma0_db(port.amplitude[water & ~ndimage.binary_dilation(_mask(port, port.features), iterations=25)])
    for ship in ships:
        mask = _mask(port, [ship])
        assert water[mask].all()
        assert _sigma0_db(port.amplitude[mask]) > sea + 8
        outline = _outlines(port, [ship]).iloc[0]
        if ship["properties"]["state"] == "moored":
            assert quays.distance(outline).min() < 8
        else:
            assert quays.distance(outline).min() > 20


def test_a_wake_stays_on_the_water() -> None:
    frame = Frame(800, 200, 5.0, (1.0, 0.0), 35.0)
    canvas, ship = Canvas(frame, 1, "grass"), Ship("tanker", 250.0, 42.0)
    water = shapely.box(2000, 0, 4000, 1000)
    canvas.paint(water, "sea")
    assert draw_ship(canvas, ship, (2500.0, 500.0), 90.0, canvas.rng("ship"), state="under_way", water=water)
    surfaces = canvas.surfaces()
    assert len(np.unique(surfaces[:, :400])) == 1
    assert len(np.unique(surfaces[:, 400:])) == 3  # sea, the dark wake and its bright arms


def test_counts_vary_with_the_seed() -> None:
    counts = {
        len(_objects(simulate(SimulationSettings(kind="airport", size_px=(700, 700), seed=seed)), "aircraft"))
        for seed in range(5)
    }
    assert len(counts) > 1
    assert min(counts) >= 1


@pytest.mark.parametrize(
    ("crs", "rotation_deg"), [("utm", 0.0), ("utm", 33.0), ("EPSG:4326", 0.0), ("EPSG:3395", 0.0), ("EPSG:4326", -70.0)]
)
def test_sizes_and_headings_are_true_on_the_ellipsoid(crs: str, rotation_deg: float) -> None:
    scene = simulate(
        SimulationSettings(kind="port", size_px=(800, 700), gsd_m=2.0, seed=1, crs=crs, rotation_deg=rotation_deg)
    )
    ships = _objects(scene, "ship")
    assert ships
    for ship in ships:
        ring = np.array(ship["geometry"]["coordinates"][0])
        properties = ship["properties"]
        bow = ring[0]  # the hull is drawn from the bow
        azimuth, _, distance = GEOD.inv(np.full(len(ring), bow[0]), np.full(len(ring), bow[1]), *ring.T)
        ahead = -distance * np.cos(np.radians(azimuth - properties["heading_deg"]))
        aside = distance * np.sin(np.radians(azimuth - properties["heading_deg"]))
        assert ahead.max() == pytest.approx(properties["length_m"], rel=0.01)
        assert np.ptp(aside) == pytest.approx(properties["width_m"], rel=0.02)


@settings(max_examples=40, deadline=None)
@given(
    lon=st.floats(-179, 179),
    lat=st.floats(-70, 70),
    gsd_m=st.sampled_from([0.2, 1.0, 3.0, 10.0]),
    crs=st.sampled_from(["utm", "EPSG:4326", "EPSG:3395", "EPSG:3857"]),
    rotation_deg=st.floats(-180, 180),
)
def test_a_pixel_covers_the_same_ground_in_every_grid(
    lon: float, lat: float, gsd_m: float, crs: str, rotation_deg: float
) -> None:
    width, height = 400, 300
    code, transform = grid(lon, lat, (width, height), gsd_m, crs, rotation_deg)
    edges = np.array([transform @ place for place in ((0, 150), (400, 150), (200, 0), (200, 300), (200, 150))])
    lons, lats = to_wgs84(code, edges[:, 0], edges[:, 1])
    assert GEOD.inv(lons[0], lats[0], lons[1], lats[1])[2] == pytest.approx(width * gsd_m, rel=5e-3)
    assert GEOD.inv(lons[2], lats[2], lons[3], lats[3])[2] == pytest.approx(height * gsd_m, rel=5e-3)
    assert GEOD.inv(lons[4], lats[4], lon, lat)[2] <= 1.5 * gsd_m


def test_written_files_are_what_readers_expect(tmp_path: Path, airport: SimulatedScene) -> None:
    paths = write_scene(airport, tmp_path / "scenes")
    assert sorted(path.name for path in (tmp_path / "scenes").iterdir()) == sorted(
        path.name for path in (paths.image, paths.truth, paths.landcover)
    )
    with rasterio.open(paths.image) as source:
        assert source.dtypes == ("float32",)
        assert source.block_shapes == [(256, 256)]
        assert source.crs.to_epsg() == 32632  # Frankfurt
        assert np.array_equal(source.read(1), airport.amplitude)
        tags = source.tags()
        assert tags["quantity"] == "amplitude"
        facts = identify(paths.image.name, tags)
        bounds = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    assert (facts.sensor, facts.band, facts.polarisation, facts.time) == ("Gaofen-3", "C", "HH", airport.settings.time)
    assert json.loads(tags["simulated"])["seed"] == 3
    truth = gpd.read_file(paths.truth)
    assert truth.crs.to_epsg() == 4326
    assert shapely.box(*bounds).buffer(1e-4).contains(shapely.box(*truth.total_bounds))
    with rasterio.open(paths.landcover) as source:
        assert {int(code) for code in json.loads(source.tags()["legend"])} >= set(np.unique(source.read(1)).tolist())


def test_the_demo_has_an_airport_a_port_and_a_city_at_their_places() -> None:
    scenes = demo_scenes(10)
    assert [(scene.kind, scene.seed) for scene in scenes] == [("airport", 10), ("port", 11), ("city", 12)]
    assert all(min(scene.size_px) * scene.ground_gsd_m >= 2048 for scene in scenes)
    lon, lat = scenes[0].centre
    assert (lon, lat) == pytest.approx((8.54, 50.03), abs=0.02)


@pytest.mark.parametrize(
    ("location", "kind", "lonlat"),
    [
        ("LAX", "airport", (-118.41, 33.94)),
        ("Rotterdam", "port", (4.44, 51.90)),
        ("Paris, FR", "city", (2.35, 48.85)),
        ("-70.5, -33.25", "city", (-70.5, -33.25)),
    ],
)
def test_places_by_name(location: str, kind: str, lonlat: tuple[float, float]) -> None:
    assert SimulationSettings(kind=kind, location=location).centre == pytest.approx(lonlat, abs=0.02)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"location": "Nowhereville"}, "neither an airport's code, a port nor a town"),
        ({"location": "Paris", "kind": "city"}, "10 towns"),
        ({"location": "200,95"}, "not on the map"),
        ({"sensor": "Landsat"}, "no sensor"),
        ({"crs": "EPSG:1"}, "not a CRS"),
        ({"size_px": (10, 100)}, "64 to 65536"),
        ({"incidence_deg": 80}, "less than or equal to 65"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused_with_a_reason(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SimulationSettings(**wrong)
