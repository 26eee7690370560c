"""What the ground is made of: land covers, their mean backscatter and their texture.

A *cover* is what the land-cover raster says (water, grass …). A *surface* is finer: a runway, an apron and a road are
all paved ground and look different to a radar. Each surface has a mean backscatter, which depends on band, incidence
angle and polarisation, and the orders of the gamma-distributed texture at two ground scales. Texture times gamma
speckle gives K-distributed intensity.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["LANDCOVER", "SURFACES", "Cover", "Illumination", "Surface", "cover_codes", "texture_tables"]

Z_STEPS = 256
Z_PER_STEP = 1 / 36
"""A texture field is held as bytes: 128 is the median, one standard deviation is 36 steps."""


class Cover(IntEnum):
    """Codes of the land-cover raster; 0 is never written."""

    WATER = 1
    GRASS = 2
    FOREST = 3
    CROPS = 4
    BARE = 5
    BUILT_UP = 6
    PAVED = 7


LANDCOVER: dict[int, str] = {int(cover): cover.name.lower() for cover in Cover}
"""Legend of the land-cover raster: code to name."""


@dataclass(frozen=True)
class Illumination:
    """How the radar looks at the ground, as far as mean backscatter depends on it.

    Attributes:
        wavelength_m: Radar wavelength.
        incidence_deg: Angle between line of sight and vertical.
        polarisation: ``HH``, ``VV``, ``HV`` or ``VH``.
    """

    wavelength_m: float
    incidence_deg: float
    polarisation: str


@dataclass(frozen=True)
class Surface:
    """One kind of ground.

    Attributes:
        cover: Land cover it belongs to.
        sigma0_db: Mean backscatter at C band, 35° incidence, co-polarised.
        cross_db: Change when cross-polarised.
        per_octave_db: Change for each halving of the wavelength: small-scale roughness counts for more.
        falloff: Power of cos(incidence) by which backscatter falls.
        fine_order: Order of the gamma texture at the scale of metres; small is spiky.
        coarse_order: Order of the gamma texture at the scale of a hundred metres.
    """

    cover: Cover
    sigma0_db: float
    cross_db: float = -7.0
    per_octave_db: float = 1.0
    falloff: float = 2.0
    fine_order: float = 25.0
    coarse_order: float = 60.0

    def mean_sigma0(self, illumination: Illumination) -> float:
        """Return the mean backscatter coefficient as a linear power ratio."""
        db = self.sigma0_db
        if illumination.polarisation in ("HV", "VH"):
            db += self.cross_db
        elif illumination.polarisation == "HH" and self.cover is Cover.WATER:
            db -= 3.0
        db += self.per_octave_db * np.log2(0.0555 / illumination.wavelength_m)
        slope = np.cos(np.radians(illumination.incidence_deg)) / np.cos(np.radians(35.0))
        return float(10 ** (db / 10) * slope**self.falloff)


def _crop(sigma0_db: float) -> Surface:
    return Surface(Cover.CROPS, sigma0_db, cross_db=-8.0, fine_order=18.0, coarse_order=120.0)


SURFACES: dict[str, Surface] = {
    "sea": Surface(Cover.WATER, -19.0, -9.0, 1.5, 9.0, 30.0, 60.0),
    "calm_water": Surface(Cover.WATER, -22.5, -9.0, 1.5, 9.0, 40.0, 40.0),
    "wake": Surface(Cover.WATER, -24.5, -9.0, 1.5, 9.0, 40.0, 60.0),
    "wake_arm": Surface(Cover.WATER, -14.5, -9.0, 1.5, 9.0, 8.0, 40.0),
    "grass": Surface(Cover.GRASS, -13.5, -8.0, 1.5, 2.0, 22.0, 120.0),
    "park": Surface(Cover.GRASS, -11.5, -7.0, 1.0, 2.0, 6.0, 40.0),
    "forest": Surface(Cover.FOREST, -8.0, -6.0, 0.5, 1.0, 2.6, 40.0),
    "crop_0": _crop(-15.5),
    "crop_1": _crop(-14.0),
    "crop_2": _crop(-12.5),
    "crop_3": _crop(-11.5),
    "crop_4": _crop(-10.0),
    "crop_5": _crop(-8.8),
    "bare": Surface(Cover.BARE, -13.0, -9.0, 1.5, 2.5, 15.0, 30.0),
    "rock": Surface(Cover.BARE, -5.0, -7.0, 0.5, 1.0, 1.5, 40.0),
    "suburb": Surface(Cover.BUILT_UP, -6.5, -6.0, 0.5, 0.5, 0.9, 8.0),
    "yard": Surface(Cover.BUILT_UP, -11.5, -8.0, 0.8, 1.0, 2.5, 20.0),
    "road": Surface(Cover.PAVED, -19.5, -9.0, 1.5, 4.0, 30.0, 60.0),
    "runway": Surface(Cover.PAVED, -22.5, -9.0, 1.5, 4.0, 50.0, 60.0),
    "apron": Surface(Cover.PAVED, -17.5, -9.0, 1.5, 4.0, 20.0, 40.0),
    "quay": Surface(Cover.PAVED, -14.0, -8.0, 1.2, 3.0, 4.0, 20.0),
}
"""Every surface by name; a raster of surfaces holds the position in this dictionary."""


@lru_cache(maxsize=1)
def cover_codes() -> npt.NDArray[np.uint8]:
    """Return the land-cover code of each surface, in the order of `SURFACES`."""
    return np.array([surface.cover for surface in SURFACES.values()], dtype=np.uint8)


@lru_cache(maxsize=8)
def texture_tables(illumination: Illumination) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return tables that turn (surface, texture byte) into backscatter and into a factor of mean one.

    Returns:
        Fine table (S, 256): mean backscatter times fine gamma texture; coarse table (S, 256): coarse gamma texture.
    """
    z = (np.arange(Z_STEPS) - 128) * Z_PER_STEP
    quantile = stats.norm.cdf(z)
    weight = stats.norm.pdf(z)
    fine, coarse = [], []
    for surface in SURFACES.values():
        fine.append(surface.mean_sigma0(illumination) * _gamma(quantile, weight, surface.fine_order))
        coarse.append(_gamma(quantile, weight, surface.coarse_order))
    return np.array(fine, dtype=np.float32), np.array(coarse, dtype=np.float32)


def _gamma(quantile: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], order: float) -> npt.NDArray[np.float64]:
    """Gamma quantiles of an order, scaled so that their mean under the normal weight is one."""
    values: npt.NDArray[np.float64] = stats.gamma.ppf(quantile, order)
    return values / np.average(values, weights=weight)
