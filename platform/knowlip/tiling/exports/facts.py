"""What is told of a tile beside its image, as JSON holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FACTS", "facts_of"]

FACTS = (
    "tile_id",
    "scene_id",
    "scene_name",
    "series",
    "scale",
    "parent_id",
    "extent_m",
    "gsd_m",
    "crs",
    "affine",
    "georeference",
    "lon",
    "lat",
    "sensor",
    "band",
    "polarisation",
    "time",
    "city",
    "admin",
    "country",
    "airports",
    "ports",
    "transfer",
    "quality",
)
"""Columns of `knowlip.records.TILES` that an export carries beside the image."""


def facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a tile; times as ISO 8601."""
    facts = {name: row[name] for name in FACTS}
    if facts["time"] is not None:
        facts["time"] = facts["time"].isoformat()
    return facts
