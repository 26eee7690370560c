"""Where true objects appear in the image: what stands high is laid over towards the radar, away from its footprint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from knowlip.geography import GEOD, apply_affine, to_crs
from knowlip.scenes.simulate.scene import SimulatedScene

__all__ = ["Appearance", "appearances"]

_FLAT = frozenset({"runway", "taxiway", "apron", "quay", "river", "road", "breakwater"})
"""Classes that lie on the ground and are no target."""


@dataclass(frozen=True)
class Appearance:
    """A true object as the image shows it.

    Attributes:
        kind: Its class (``aircraft``, ``ship``, ``building`` …).
        type: Kind within the class.
        visible: Part of its footprint within the image.
        outline_px: Everywhere that it scatters from, scene pixels (column, row).
    """

    kind: str
    type: str
    visible: float
    outline_px: BaseGeometry

    @property
    def solid(self) -> bool:
        """Whether it stands on the ground, rather than being ground."""
        return self.kind not in _FLAT


def appearances(scene: SimulatedScene) -> list[Appearance]:
    """Return the true objects of a scene where its image shows them.

    A point at height h is displaced towards the radar by h / tan(incidence): an object is seen from its footprint to
    its laid-over top. A ship's height is not in the truth; its superstructure is laid over by less than ten metres.
    """
    return [
        Appearance(
            kind=feature["properties"]["class"],
            type=feature["properties"]["type"],
            visible=float(feature["properties"]["visible"]),
            outline_px=_outline_px(scene, feature),
        )
        for feature in scene.features
    ]


def _outline_px(scene: SimulatedScene, feature: dict[str, Any]) -> BaseGeometry:
    footprint = shapely.geometry.shape(feature["geometry"])
    outline = shapely.transform(footprint, lambda lonlat: _pixels(scene, lonlat))
    height_m = feature["properties"]["height_m"]
    if not height_m or feature["properties"]["class"] in _FLAT:
        return outline
    layover_m = height_m / math.tan(math.radians(scene.settings.incidence_deg))
    top = shapely.transform(footprint, lambda lonlat: _pixels(scene, _towards_radar(scene, lonlat, layover_m)))
    return shapely.convex_hull(shapely.union_all([outline, top]))


def _towards_radar(
    scene: SimulatedScene, lonlat: npt.NDArray[np.float64], distance_m: float
) -> npt.NDArray[np.float64]:
    bearing = np.full(len(lonlat), scene.settings.look_azimuth_deg + 180.0)
    lon, lat, _ = GEOD.fwd(lonlat[:, 0], lonlat[:, 1], bearing, np.full(len(lonlat), distance_m))
    return np.column_stack([lon, lat])


def _pixels(scene: SimulatedScene, lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack(apply_affine(~scene.transform, *to_crs(scene.crs, lonlat[:, 0], lonlat[:, 1])))
