"""SAR satellites: band, wavelength, resolutions, and how their products are named. Adding one is one entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from knowlip.errors import SettingsError

__all__ = ["SENSORS", "Sensor", "SensorFacts", "identify", "sensor_named"]

_C_M_PER_S = 299_792_458.0


@dataclass(frozen=True)
class Sensor:
    """What is known of a satellite, or of satellites that share an instrument.

    Attributes:
        name: As it is written in tables and captions.
        band: Radar band letters.
        centre_ghz: Centre frequency.
        modes: Imaging mode to nominal resolution in metres, finest first.
        patterns: Regular expressions searched for in product and file names, case aside. Named groups: ``time`` (digits
            with or without separators), ``pol``, ``mode``, ``lon`` and ``lat`` (scene centre).
        aliases: Other ways to write the name, in file tags or settings.
        note: Where a figure is nominal or uncertain.
    """

    name: str
    band: str
    centre_ghz: float
    modes: Mapping[str, float]
    patterns: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    note: str = ""

    @property
    def wavelength_m(self) -> float:
        """Wavelength in metres."""
        return _C_M_PER_S / (self.centre_ghz * 1e9)

    @property
    def finest_m(self) -> float:
        """Finest nominal resolution in metres."""
        return min(self.modes.values())


@dataclass(frozen=True)
class SensorFacts:
    """What a product's name and tags say about how it was acquired; empty or none where they say nothing.

    Attributes:
        sensor: One of `SENSORS`, the name in the tags, or ``unknown``.
        band: Radar band letters.
        wavelength_m: Wavelength.
        mode: Imaging mode.
        resolution_m: Nominal resolution of the mode.
        polarisation: ``HH``, ``HV``, ``VH`` or ``VV`` when the file holds a single one.
        time: Start of the acquisition, UTC.
        lon: Scene centre as named, degrees.
        lat: Scene centre as named, degrees.
        decided_by: ``tags``, ``name`` or empty.
    """

    sensor: str = "unknown"
    band: str = ""
    wavelength_m: float | None = None
    mode: str = ""
    resolution_m: float | None = None
    polarisation: str = ""
    time: datetime | None = None
    lon: float | None = None
    lat: float | None = None
    decided_by: str = ""

    @property
    def known(self) -> bool:
        """Whether the satellite is one of `SENSORS`."""
        return self.sensor in SENSORS


_START = r"(?<![A-Za-z0-9])"
_TIME = r"(?P<time>\d{8}T?\d{6})"
_DATE = r"(?P<time>\d{8})"
_POL = r"(?P<pol>HH|HV|VH|VV)"

SENSORS: dict[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        Sensor(
            "Qilu-1",
            "Ku",
            15.2,
            {"SL": 0.2, "SM": 1.0},
            (rf"{_START}(?:QL-?1|QILU-?1|QLSAR-?0?1)[_-](?:.*?{_TIME})?(?:.*?{_POL})?",),
            aliases=("qilu1", "ql1", "qlsar01"),
            note="frequency and product names are not published; Ku band and 0.2 m are",
        ),
        Sensor(
            "Gaofen-3",
            "C",
            5.4,
            {
                "SL": 1.0,
                "UFS": 3.0,
                "FSI": 5.0,
                "FSII": 10.0,
                "SS": 25.0,
                "NSC": 50.0,
                "WSC": 100.0,
                "GLO": 500.0,
                "QPSI": 8.0,
                "QPSII": 25.0,
                "WAV": 10.0,
                "EXT": 25.0,
            },
            (
                rf"{_START}GF3[A-C]?_[A-Z0-9]+_(?P<mode>[A-Z]+)_\d{{6}}_(?P<lon>[EW]-?[\d.]+)_(?P<lat>[NS]-?[\d.]+)_"
                rf"{_DATE}_L\d[A-Z]?_(?P<pol>[A-Z]+)_L\d+",
                rf"{_START}GF-?3[A-C]?[_-]",
            ),
            aliases=("gf3", "gf-3", "gaofen3", "gf3b", "gf3c"),
        ),
        Sensor(
            "Hongtu-1",
            "X",
            9.6,
            {"SM": 3.0},
            (rf"{_START}(?:HT-?1|HONGTU-?1|PIESAT-?1)[-_]?(?:[A-B]\d{{0,2}})?[_-](?:.*?{_TIME})?(?:.*?{_POL})?",),
            aliases=("hongtu1", "ht1", "piesat-1", "piesat1"),
            note="product names are not published",
        ),
        Sensor(
            "Sentinel-1",
            "C",
            5.405,
            {"SM": 5.0, "WV": 5.0, "IW": 20.0, "EW": 40.0},
            (
                rf"{_START}s1[a-d]-(?P<mode>s\d|iw|ew|wv)\d?-(?:slc|grd|ocn)-{_POL}-{_TIME}",
                rf"{_START}S1[A-D]_(?P<mode>S\d|IW|EW|WV)_(?:SLC|GRD|OCN|RAW)[FHM_]_\d[SA](?P<pol>[SD][HV])_{_TIME}",
                rf"{_START}S1[A-D]_(?P<mode>IW|EW|SM)_{_TIME}_(?P<pol>[SD][HV])P_RTC",
                rf"{_START}(?:s1[a-d]?[_-](?=(?:hh|hv|vh|vv)(?![a-z]))|sentinel-?1[a-d]?(?![a-z0-9]))",
            ),
            aliases=("s1", "s1a", "s1b", "s1c", "sentinel1", "sentinel-1a", "sentinel-1b", "sentinel-1c"),
        ),
        Sensor(
            "TerraSAR-X",
            "X",
            9.65,
            {"ST": 0.25, "HS": 1.0, "SL": 2.0, "SM": 3.0, "SC": 18.5, "WS": 40.0},
            (
                rf"{_START}(?:TSX|TDX|PAZ)1_SAR__[A-Z]{{3}}_[A-Z_]{{4}}_(?P<mode>[A-Z]{{2}})_(?P<pol>[SDTQ])_[A-Z]{{3}}_{_TIME}",
                rf"{_START}(?:TSX|TDX)-?1?[_-]",
            ),
            aliases=("tsx", "tdx", "tandem-x", "tandemx", "terrasarx", "tsx-1", "tdx-1"),
        ),
        Sensor(
            "COSMO-SkyMed",
            "X",
            9.6,
            {"S2": 1.0, "HI": 3.0, "PP": 15.0, "WR": 30.0, "HR": 100.0, "STR": 3.0},
            (
                rf"{_START}CSKS\d_[A-Z]{{3}}_[A-Z]_(?P<mode>[A-Z0-9]{{2}})_\w{{2}}_(?P<pol>HH|HV|VH|VV|CO|CH|CV)_[RL][AD]_[SF][FN]_{_TIME}",
                rf"{_START}CSG_SSAR\d_[A-Z]{{3}}_[A-Z]_\d{{4}}_(?P<mode>[A-Z0-9]+)_\d{{3}}_(?P<pol>[HV]{{2}})_[RL][AD]_\w_{_TIME}",
            ),
            aliases=("csk", "csg", "cosmo", "cosmoskymed", "csks1", "csks2", "csks3", "csks4"),
        ),
        Sensor(
            "RADARSAT-2",
            "C",
            5.405,
            {"SLA": 1.0, "U": 3.0, "MF": 5.0, "F": 8.0, "FQ": 8.0, "S": 25.0, "W": 30.0, "SCN": 50.0, "SCW": 100.0},
            (
                rf"{_START}RS2_OK\d+_PK\d+_DK\d+_(?P<mode>[A-Z]+)\w*?_(?P<time>\d{{8}}_\d{{6}})_(?P<pol>[HV]{{2}}(?:_[HV]{{2}})*)_",
            ),
            aliases=("rs2", "radarsat2", "rsat2"),
        ),
        Sensor(
            "RCM",
            "C",
            5.405,
            {"FSL": 1.0, "3M": 3.0, "5M": 5.0, "16M": 16.0, "SC30M": 30.0, "SC50M": 50.0, "SC100M": 100.0},
            (
                rf"{_START}RCM[1-3]_OK\d+_PK\d+_\d+_(?P<mode>SC\d+M|\d+M|FSL)\w*?_(?P<time>\d{{8}}_\d{{6}})_"
                r"(?P<pol>[HVCX]{2}(?:_[HVCX]{2})*)_",
            ),
            aliases=("radarsat-constellation", "rcm1", "rcm2", "rcm3"),
        ),
        Sensor(
            "ALOS-2",
            "L",
            1.2575,
            {
                "SBS": 1.0,
                "UBS": 3.0,
                "UBD": 3.0,
                "HBS": 6.0,
                "HBD": 6.0,
                "HBQ": 6.0,
                "FBS": 10.0,
                "FBD": 10.0,
                "FBQ": 10.0,
                "WBS": 100.0,
                "WBD": 100.0,
                "VBS": 60.0,
                "VBD": 60.0,
            },
            (
                rf"{_START}(?:IMG-{_POL}-)?ALOS2\d{{9}}-(?P<time>\d{{6}})-(?P<mode>[SUHFWV]B[SDQ])",
                rf"{_START}(?:IMG-{_POL}-)?ALOS2\d{{9}}-(?P<time>\d{{6}})",
            ),
            aliases=("alos2", "palsar-2", "palsar2"),
        ),
        Sensor(
            "Capella",
            "X",
            9.65,
            {"SP": 0.5, "SS": 0.8, "SM": 1.2},
            (rf"{_START}CAPELLA_C\d+_(?P<mode>SP|SM|SS)_[A-Z]+_{_POL}_{_TIME}",),
            aliases=("capella-space",),
        ),
        Sensor(
            "ICEYE",
            "X",
            9.65,
            {"SLED": 0.25, "SLEA": 1.0, "SLF": 0.5, "SLH": 1.0, "SL": 1.0, "SM": 3.0, "SC": 15.0},
            (
                rf"{_START}ICEYE_X\d+_(?:GRD|SLC|QUICKLOOK)_(?P<mode>[A-Z]+)_\d+_{_TIME}",
                rf"{_START}ICEYE_[A-Z0-9]+_{_TIME}Z?_\d+_X\d+_(?P<mode>[A-Z]+)_",
            ),
        ),
        Sensor(
            "Umbra",
            "X",
            9.6,
            {"SPOTLIGHT": 0.25},
            (r"(?P<time>\d{4}-\d{2}-\d{2}-\d{2}-\d{2}-\d{2})_UMBRA-\d+", rf"{_START}UMBRA-\d+[_-]"),
            aliases=("umbra-space",),
        ),
    )
}
"""Every satellite that is known, by name."""


def sensor_named(name: str) -> Sensor:
    """Return a satellite by its name or an alias, case aside.

    Raises:
        SettingsError: Nobody is called that.
    """
    wanted = _plain(name)
    for sensor in SENSORS.values():
        if wanted in {_plain(sensor.name), *map(_plain, sensor.aliases)}:
            return sensor
    raise SettingsError(f"{name!r} is no sensor", where="sensor", fix=f"use one of {', '.join(SENSORS)}")


@dataclass
class _Match:
    sensor: Sensor
    groups: dict[str, str] = field(default_factory=dict)


def identify(name: str, tags: Mapping[str, str] | None = None) -> SensorFacts:
    """Say what acquired a product, from its tags where they tell and from its name otherwise.

    Args:
        name: File or product name, or a path: it is searched from its last part upwards, so a measurement file in a
            product folder is known by either.
        tags: The raster's tags; ``sensor``, ``band``, ``polarisation``, ``mode`` and ``time`` count, in any case.
    """
    told = {key.lower(): str(value).strip() for key, value in (tags or {}).items()}
    match = _match_name(name)
    sensor = _tagged_sensor(told) or (match.sensor if match else None)
    groups = match.groups if match and match.sensor is sensor else {}
    mode = told.get("mode", "") or _mode(sensor, groups.get("mode", ""))
    tagged_name = told.get("sensor", "")
    return SensorFacts(
        sensor=sensor.name if sensor else tagged_name or "unknown",
        band=told.get("band", "") or (sensor.band if sensor else ""),
        wavelength_m=sensor.wavelength_m if sensor else None,
        mode=mode,
        resolution_m=sensor.modes.get(mode) if sensor else None,
        polarisation=_polarisation(told, groups, name),
        time=_time(told.get("time", "") or told.get("acquisition_time", "")) or _time(groups.get("time", "")),
        lon=_degrees(groups.get("lon", "")),
        lat=_degrees(groups.get("lat", "")),
        decided_by="tags" if _tagged_sensor(told) else "name" if match else "",
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def _tagged_sensor(told: Mapping[str, str]) -> Sensor | None:
    for key in ("sensor", "satellite", "mission", "platform"):
        if told.get(key):
            try:
                return sensor_named(told[key])
            except SettingsError:
                continue
    return None


def _match_name(name: str) -> _Match | None:
    for part in reversed(re.split(r"[/\\]", name)):
        for sensor in SENSORS.values():
            for pattern in sensor.patterns:
                found = re.search(pattern, part, re.IGNORECASE)
                if found:
                    return _Match(sensor, {key: value for key, value in found.groupdict().items() if value})
    return None


def _mode(sensor: Sensor | None, named: str) -> str:
    """Return the mode as the registry writes it (``s3`` of Sentinel-1 is stripmap)."""
    mode = named.upper()
    if sensor is not None and mode not in sensor.modes and re.fullmatch(r"S\d", mode) and "SM" in sensor.modes:
        return "SM"
    return mode


def _polarisation(told: Mapping[str, str], groups: Mapping[str, str], name: str) -> str:
    """Return the single polarisation that tags, pattern or file name (``scene_vh.tif``) speak of, or nothing."""
    for named in (told.get("polarisation", ""), told.get("polarization", ""), groups.get("pol", "")):
        if named.upper() in ("HH", "HV", "VH", "VV"):
            return named.upper()
    stem = re.split(r"[/\\]", name)[-1]
    found = {word.upper() for word in re.findall(r"(?<![A-Za-z])(hh|hv|vh|vv)(?![A-Za-z])", stem, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else ""


def _time(text: str) -> datetime | None:
    """Read a UTC time from digits with any separators: YYYYMMDDhhmmss, YYYYMMDD or YYMMDD."""
    if not text:
        return None
    if "T" in text and "-" in text:
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    digits = re.sub(r"\D", "", text)[:14]
    layout = {14: "%Y%m%d%H%M%S", 8: "%Y%m%d", 6: "%y%m%d"}.get(len(digits))
    try:
        return datetime.strptime(digits, layout).replace(tzinfo=UTC) if layout else None
    except ValueError:
        return None


def _degrees(text: str) -> float | None:
    """Read ``E113.2`` or ``S33.1``."""
    try:
        return float(text[1:]) * (-1 if text[0] in "WSws" else 1)
    except (IndexError, ValueError):
        return None
