"""Satellites by their products' names and tags."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from knowlip.errors import SettingsError
from knowlip.scenes.sensors import SENSORS, identify, sensor_named

PRODUCTS = [
    # name, sensor, mode, polarisation, time
    (
        "S1A_IW_GRDH_1SDV_20201107T015036_20201107T015101_035137_041A2B_7F9B.SAFE",
        "Sentinel-1",
        "IW",
        "",
        "2020-11-07T01:50:36",
    ),
    (
        "s1a-iw-grd-vh-20201107t015036-20201107t015101-035137-041a2b-002.tiff",
        "Sentinel-1",
        "IW",
        "VH",
        "2020-11-07T01:50:36",
    ),
    (
        "s1b-s3-slc-hh-20180112t082556-20180112t082620-009119-0105ab-001.tiff",
        "Sentinel-1",
        "SM",
        "HH",
        "2018-01-12T08:25:56",
    ),
    (
        "S1A_EW_GRDM_1SDH_20180112T082556_20180112T082700_020119_0224E3_7F9B",
        "Sentinel-1",
        "EW",
        "",
        "2018-01-12T08:25:56",
    ),
    ("los_angeles_s1_vh.tif", "Sentinel-1", "", "VH", None),
    ("s1_vv_db_nodata_minus99.tif", "Sentinel-1", "", "VV", None),
    (
        "GF3_KAS_FSI_002009_E113.2_N23.1_20161223_L1A_HHHV_L10002057132.tar.gz",
        "Gaofen-3",
        "FSI",
        "",
        "2016-12-23T00:00:00",
    ),
    (
        "GF3_MYN_UFS_003402_W118.2_S33.8_20170402_L1A_HH_L10002284193.tiff",
        "Gaofen-3",
        "UFS",
        "HH",
        "2017-04-02T00:00:00",
    ),
    (
        "GF3B_KSC_SL_010251_E121.7_N31.2_20231103_L1A_HH_L10000223871.tiff",
        "Gaofen-3",
        "SL",
        "HH",
        "2023-11-03T00:00:00",
    ),
    (
        "TSX1_SAR__SSC______HS_S_SRA_20130519T145032_20130519T145033",
        "TerraSAR-X",
        "HS",
        "",
        "2013-05-19T14:50:32",
    ),
    (
        "TDX1_SAR__MGD_SE___SM_S_SRA_20110201T162118_20110201T162126/IMAGEDATA/IMAGE_HH_SRA_strip_007.tif",
        "TerraSAR-X",
        "SM",
        "HH",
        "2011-02-01T16:21:18",
    ),
    (
        "CSKS4_DGM_B_HI_05_HH_RA_FF_20111015045710_20111015045716.h5",
        "COSMO-SkyMed",
        "HI",
        "HH",
        "2011-10-15T04:57:10",
    ),
    (
        "CSG_SSAR1_DGM_B_0202_STR_012_HH_RA_F_20211208050117_20211208050123_1_F_11N_Z11_N00.h5",
        "COSMO-SkyMed",
        "STR",
        "HH",
        "2021-12-08T05:01:17",
    ),
    (
        "RS2_OK127568_PK1123201_DK1078370_F0W2_20170430_084253_HH_SLC",
        "RADARSAT-2",
        "F",
        "HH",
        "2017-04-30T08:42:53",
    ),
    ("RCM1_OK1050595_PK1050603_1_3M28_20200219_112100_HH_HV_GRD", "RCM", "3M", "", "2020-02-19T11:21:00"),
    ("RCM3_OK1052253_PK1052261_3_SC30MCPA_20200226_112100_CH_CV_GRC", "RCM", "SC30M", "", "2020-02-26T11:21:00"),
    ("IMG-HV-ALOS2014410740-140829-UBSL1.5GUD.tif", "ALOS-2", "UBS", "HV", "2014-08-29T00:00:00"),
    ("IMG-HH-ALOS2014410740-140829-FBDR1.1__A", "ALOS-2", "FBD", "HH", "2014-08-29T00:00:00"),
    ("CAPELLA_C02_SM_GEO_HH_20201229183521_20201229183531.tif", "Capella", "SM", "HH", "2020-12-29T18:35:21"),
    ("ICEYE_X7_GRD_SLH_52178_20210517T225812.tif", "ICEYE", "SLH", "", "2021-05-17T22:58:12"),
    ("2023-01-10-16-36-45_UMBRA-04_GEC.tif", "Umbra", "", "", "2023-01-10T16:36:45"),
]


@pytest.mark.parametrize(
    ("name", "sensor", "mode", "polarisation", "time"), PRODUCTS, ids=[row[0][:30] for row in PRODUCTS]
)
def test_product_names_are_understood(name: str, sensor: str, mode: str, polarisation: str, time: str | None) -> None:
    facts = identify(name)
    assert (facts.sensor, facts.mode, facts.polarisation) == (sensor, mode, polarisation)
    assert facts.time == (datetime.fromisoformat(time).replace(tzinfo=UTC) if time else None)
    assert facts.band == SENSORS[sensor].band
    assert facts.decided_by == "name"


def test_a_gaofen_name_tells_where_it_was_taken() -> None:
    facts = identify("GF3_MYN_UFS_003402_W118.2_S33.8_20170402_L1A_HH_L10002284193.tiff")
    assert (facts.lon, facts.lat, facts.resolution_m) == (-118.2, -33.8, 3.0)


@pytest.mark.parametrize("name", ["scene.tif", "class1_vh_copy.tif", "abs1_final.tif", "airport_s1.tif", ""])
def test_other_names_stay_unknown(name: str) -> None:
    facts = identify(name)
    assert not facts.known
    assert facts.sensor == "unknown"
    assert facts.time is None


def test_tags_outrank_the_name() -> None:
    tags = {"SENSOR": "gaofen3", "POLARISATION": "vv", "time": "2024-06-01T05:30:00+00:00"}
    facts = identify("CAPELLA_C02_SM_GEO_HH_20201229183521_20201229183531.tif", tags)
    assert (facts.sensor, facts.polarisation, facts.band, facts.decided_by) == ("Gaofen-3", "VV", "C", "tags")
    assert facts.time == datetime(2024, 6, 1, 5, 30, tzinfo=UTC)


def test_a_sensor_that_only_its_tags_know_keeps_its_name() -> None:
    facts = identify("x.tif", {"sensor": "Biomass", "band": "P"})
    assert (facts.sensor, facts.band, facts.known) == ("Biomass", "P", False)


def test_impossible_dates_are_no_dates() -> None:
    assert identify("GF3_KAS_FSI_002009_E113.2_N23.1_20169999_L1A_HH_L10002057132.tif").time is None


@pytest.mark.parametrize(("alias", "name"), [("qilu1", "Qilu-1"), ("HT-1", "Hongtu-1"), ("sentinel-1A", "Sentinel-1")])
def test_aliases(alias: str, name: str) -> None:
    assert sensor_named(alias).name == name


def test_an_unknown_sensor_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SettingsError, match="Hongtu-1"):
        sensor_named("Landsat")


@pytest.mark.parametrize(
    ("name", "band", "resolution_m"), [("Qilu-1", "Ku", 0.2), ("Gaofen-3", "C", 1.0), ("Hongtu-1", "X", 3.0)]
)
def test_the_papers_sensors(name: str, band: str, resolution_m: float) -> None:
    assert (SENSORS[name].band, SENSORS[name].finest_m) == (band, resolution_m)


def test_wavelengths_lie_in_their_bands() -> None:
    limits_m = {"Ku": (0.0167, 0.025), "X": (0.025, 0.0375), "C": (0.0375, 0.075), "L": (0.15, 0.30)}
    for sensor in SENSORS.values():
        low, high = limits_m[sensor.band]
        assert low <= sensor.wavelength_m <= high, sensor.name
