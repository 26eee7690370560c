"""Footprints on a map that needs no network: the tiles' own images, their outlines, places by name, a scale bar."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from PIL import Image

from knowlip.geography import ground_distance_m
from knowlip.reporting.drawing import HALO, INK, SERIES, drawing, inline_svg

__all__ = ["Footprint", "footprint_map", "neighbourhoods"]

Bounds = tuple[float, float, float, float]
_MOST_NAMES = 12


@dataclass(frozen=True)
class Footprint:
    """A tile's place on a map.

    Attributes:
        outline: WGS84 polygon, WKB.
        kind: ``L``, ``M``, ``S`` or ``rejected``.
        city: Nearest named place.
        sites: Airports and ports within: code to longitude and latitude.
        picture: PNG to lay under the outlines; empty for none.
    """

    outline: bytes
    kind: str
    city: str = ""
    sites: Mapping[str, tuple[float, float]] | None = None
    picture: bytes = b""

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north, degrees."""
        west, south, east, north = shapely.bounds(shapely.from_wkb(self.outline))
        return float(west), float(south), float(east), float(north)


def neighbourhoods(footprints: Sequence[Footprint], apart_deg: float = 0.5) -> list[list[Footprint]]:
    """Group footprints into those that one map can show: nearer to one another than ``apart_deg``."""
    if not footprints:
        return []
    boxes = shapely.box(*np.array([footprint.bounds for footprint in footprints]).T)
    areas = shapely.get_parts(
        shapely.union_all(shapely.buffer(shapely.envelope(boxes), apart_deg / 2, join_style="mitre"))
    )
    place = shapely.STRtree(areas).nearest(shapely.centroid(boxes))
    groups: dict[int, list[Footprint]] = defaultdict(list)
    for footprint, area in zip(footprints, place, strict=True):
        groups[int(area)].append(footprint)
    return sorted(groups.values(), key=len, reverse=True)


def footprint_map(footprints: Sequence[Footprint], name: str) -> Markup:
    """Draw footprints in WGS84, true to shape at their middle latitude.

    Args:
        footprints: At least one.
        name: Name of the figure, unique in a page.
    """
    bounds = np.array([footprint.bounds for footprint in footprints])
    west, south = (float(edge) for edge in bounds[:, :2].min(axis=0))
    east, north = (float(edge) for edge in bounds[:, 2:].max(axis=0))
    stretch = 1.0 / max(math.cos(math.radians((south + north) / 2)), 0.05)
    ratio = (north - south) * stretch / (east - west)
    with drawing(9.0, float(np.clip(8.0 * ratio, 2.5, 6.0)) + 0.9) as figure:
        axes = figure.subplots()
        axes.set_aspect(stretch)
        _lay_pictures(axes, footprints)
        _draw_outlines(axes, footprints)
        _name_places(axes, footprints)
        axes.set_xlim(west - 0.03 * (east - west), east + 0.03 * (east - west))
        axes.set_ylim(south - 0.09 * (north - south), north + 0.03 * (north - south))
        _scale_bar(axes)
        axes.ticklabel_format(useOffset=False)
        axes.set_xlabel("longitude, degrees")
        axes.set_ylabel("latitude, degrees")
        figure.legend(loc="outside upper left", ncols=4, frameon=False)
        return inline_svg(figure, f"Map of {len(footprints)} tile footprints", name)


def _lay_pictures(axes: Axes, footprints: Sequence[Footprint]) -> None:
    for footprint in footprints:
        if footprint.picture:
            west, south, east, north = footprint.bounds
            with Image.open(io.BytesIO(footprint.picture)) as image:
                grey = np.asarray(image.convert("L"))
            alpha = np.where(grey > 0, 255, 0).astype(np.uint8)
            axes.imshow(
                np.dstack([grey, grey, grey, alpha]),
                extent=(west, east, south, north),
                aspect=axes.get_aspect(),
                zorder=1,
            )


def _draw_outlines(axes: Axes, footprints: Sequence[Footprint]) -> None:
    styles: dict[str, dict[str, Any]] = {
        "rejected": {"facecolor": "none", "edgecolor": SERIES[3], "linewidth": 0.8, "linestyle": ":"},
        "S": {"facecolor": "none", "edgecolor": SERIES[0], "linewidth": 0.5},
        "M": {"facecolor": "none", "edgecolor": SERIES[1], "linewidth": 0.9},
        "L": {"facecolor": "none", "edgecolor": SERIES[2], "linewidth": 1.6},
    }
    for depth, (kind, style) in enumerate(styles.items()):
        rings = [ring for footprint in footprints if footprint.kind == kind for ring in _rings(footprint.outline)]
        if rings:
            label = "set aside" if kind == "rejected" else f"{kind} tiles"
            axes.add_collection(PolyCollection(rings, label=label, zorder=2 + depth, **style))


def _rings(outline: bytes) -> list[Any]:
    return [
        shapely.get_coordinates(shapely.get_exterior_ring(part))
        for part in shapely.get_parts(shapely.from_wkb(outline))
    ]


def _name_places(axes: Axes, footprints: Sequence[Footprint]) -> None:
    centres: dict[str, list[tuple[float, float]]] = defaultdict(list)
    sites: dict[str, tuple[float, float]] = {}
    for footprint in footprints:
        west, south, east, north = footprint.bounds
        if footprint.city:
            centres[footprint.city].append(((west + east) / 2, (south + north) / 2))
        sites |= footprint.sites or {}
    largest = sorted(centres, key=lambda city: len(centres[city]), reverse=True)[:_MOST_NAMES]
    for number, city in enumerate(largest):
        lon, lat = np.median(np.array(centres[city]), axis=0)
        axes.text(lon, lat, city, ha="center", va="center", fontsize=8, gid=f"{HALO}-city{number}", zorder=8)
    for number, (code, (lon, lat)) in enumerate(sorted(sites.items())):
        axes.plot(lon, lat, marker="D", markersize=4, color=SERIES[3], markeredgecolor=SERIES[7], zorder=7)
        axes.annotate(
            code, (lon, lat), (4, 4), textcoords="offset points", fontsize=8, gid=f"{HALO}-site{number}", zorder=8
        )


def _scale_bar(axes: Axes) -> None:
    west, east = axes.get_xlim()
    south, north = axes.get_ylim()
    lat = south + 0.02 * (north - south)
    width_m = float(ground_distance_m(np.float64(west), np.float64(lat), np.float64(east), np.float64(lat)))
    power = 10 ** math.floor(math.log10(width_m / 4))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= width_m / 4)
    end = east - 0.03 * (east - west)
    axes.plot([end - length_m / width_m * (east - west), end], [lat, lat], color=INK, linewidth=3, zorder=9)
    shown = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    axes.annotate(shown, (end, lat), (0, 4), textcoords="offset points", ha="right", fontsize=8, zorder=9)
