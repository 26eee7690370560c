"""What a simulated scene is asked to be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from knowlip.errors import KnowlipError
from knowlip.geography import crs_name
from knowlip.manifest import digest
from knowlip.scenes.sensors import Sensor, sensor_named
from knowlip.scenes.simulate.places import locate
from knowlip.settings import Section

__all__ = ["DEFAULTS", "Acquisition", "Kind", "SimulationSettings", "demo_scenes"]

Kind = Literal["airport", "port", "city", "sea", "countryside"]

DEFAULTS: dict[str, tuple[str, str, str]] = {
    "airport": ("FRA", "Gaofen-3", "HH"),
    "port": ("Rotterdam", "TerraSAR-X", "HH"),
    "city": ("Munich", "Capella", "VV"),
    "sea": ("4.05,52.15", "Sentinel-1", "VV"),
    "countryside": ("11.2,48.6", "Hongtu-1", "HH"),
}
"""Place, sensor and polarisation of each kind of scene where the settings leave them open."""


class Acquisition(Section):
    """How and where simulated scenes are taken."""

    location: str = ""
    """Airport code, port or town name, or lon,lat; a place that suits the kind when empty."""

    sensor: str = ""
    """A sensor by name, such as Qilu-1, Gaofen-3, Hongtu-1 or Sentinel-1; one that suits the kind when empty."""

    gsd_m: float | None = Field(default=None, ge=0.1, le=100)
    """Ground metres a pixel; 0.2 for Qilu-1, 3 for Hongtu-1, 10 for Sentinel-1 and 1 for the rest when left out."""

    size_px: tuple[int, int] = (2112, 2112)
    """Width and height in pixels."""

    looks: float = Field(default=3.0, ge=1, le=1000)
    """Number of looks: the order of the gamma speckle."""

    incidence_deg: float = Field(default=38.0, ge=15, le=65)
    """Incidence angle: layover grows below 45 degrees, shadow above."""

    orbit: Literal["ascending", "descending"] = "descending"
    """Flight direction."""

    look: Literal["right", "left"] = "right"
    """Side to which the radar looks."""

    polarisation: Literal["", "HH", "HV", "VH", "VV"] = ""
    """Polarisation; the sensor's usual one for the kind when empty."""

    crs: str = "utm"
    """utm, or any CRS's code: EPSG:4326 gives a grid in degrees, EPSG:3395 a Mercator one."""

    rotation_deg: float = Field(default=0.0, ge=-180, le=180)
    """Turns the raster on its grid, counter-clockwise."""

    time: datetime = datetime(2024, 6, 1, 5, 30, tzinfo=UTC)
    """Acquisition time."""

    @field_validator("size_px")
    @classmethod
    def _usable_size(cls, size: tuple[int, int]) -> tuple[int, int]:
        if not all(64 <= side <= 65536 for side in size):
            raise ValueError("each side must be 64 to 65536 pixels")
        return size

    @field_validator("time")
    @classmethod
    def _in_utc(cls, time: datetime) -> datetime:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


class SimulationSettings(Acquisition):
    """One simulated scene. The same settings give the same bytes."""

    kind: Kind = "airport"
    """What is drawn: airport, port, city, sea or countryside."""

    seed: int = Field(default=0, ge=0)
    """Decides everything random."""

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        try:
            _ = self.sensor and sensor_named(self.sensor)
            _ = self.location and locate(self.location, self.kind)
            _ = self.crs == "utm" or crs_name(self.crs)
        except KnowlipError as error:
            raise ValueError(f"{error.where}: {error.what}; {error.fix}") from error
        return self

    @property
    def place(self) -> str:
        """The place's name as given, or the kind's own."""
        return self.location or DEFAULTS[self.kind][0]

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the scene's centre."""
        return locate(self.place, self.kind)

    @property
    def instrument(self) -> Sensor:
        """The sensor."""
        return sensor_named(self.sensor or DEFAULTS[self.kind][1])

    @property
    def ground_gsd_m(self) -> float:
        """Ground metres a pixel, decided."""
        if self.gsd_m is not None:
            return self.gsd_m
        return _USUAL_GSD_M.get(self.instrument.name, 1.0)

    @property
    def pol(self) -> str:
        """Polarisation, decided."""
        return self.polarisation or DEFAULTS[self.kind][2]

    @property
    def look_azimuth_deg(self) -> float:
        """Compass direction in which the radar looks, at a right angle to a track 12° off the meridian."""
        track = 348.0 if self.orbit == "ascending" else 192.0
        return (track + (90.0 if self.look == "right" else -90.0)) % 360

    @property
    def name(self) -> str:
        """A file name's stem; ends in a digest of all settings, so a file that is there was made with these."""
        place = "".join(letter if letter.isalnum() else "-" for letter in self.place).strip("-").lower()
        sensor = self.instrument.name.lower()
        recipe = digest([_REVISION, self.model_dump(mode="json")])[:8]
        return f"{self.kind}_{place}_{sensor}_{self.ground_gsd_m:g}m_{self.pol.lower()}_{recipe}"


_REVISION = 1
"""Counts up when the same settings begin to give another scene."""

DEMO_KINDS: tuple[Kind, ...] = ("airport", "port", "city")

_USUAL_GSD_M = {"Qilu-1": 0.2, "Hongtu-1": 3.0, "Sentinel-1": 10.0}


def demo_scenes(seed: int = 0, *, extent_m: float = 2112.0) -> list[SimulationSettings]:
    """Return an airport, a port and a city at one metre: each holds one large tile of 2048 m and all tiles below it.

    Args:
        seed: Seed of the first; the others follow.
        extent_m: Ground extent of each scene.
    """
    side = round(extent_m)
    return [
        SimulationSettings(kind=kind, size_px=(side, side), seed=seed + number)
        for number, kind in enumerate(DEMO_KINDS)
    ]
