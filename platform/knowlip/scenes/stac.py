"""STAC documents as lists of scenes: an item, or a collection of items, names the files that hold the data."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from knowlip.errors import SettingsError

__all__ = ["asset_paths"]

_RASTER_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2")


def asset_paths(text: str, *, where: str) -> Iterator[str]:
    """Yield the paths of a STAC item's or item collection's data.

    An asset counts when its roles hold ``data``; in an item where none has roles, when its media type is a raster's.
    Relative paths are relative to the document. ``http`` addresses are given as they are: opening them is refused,
    because nothing is fetched from the web unless a person writes ``/vsicurl/https://…``.

    Args:
        text: The document.
        where: Path or URI it was read from.

    Raises:
        SettingsError: It is no STAC item and no item collection.
    """
    try:
        document = json.loads(text)
        items = document["features"] if document["type"] == "FeatureCollection" else [document]
        hrefs = [str(asset["href"]) for item in items for asset in _data(item["assets"])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingsError(
            "is no STAC item or item collection", where=where, fix="give a Feature or FeatureCollection with assets"
        ) from error
    base = where.rpartition("/")[0]
    for href in hrefs:
        yield _resolved(href, base)


def _data(assets: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    named = [asset for asset in assets.values() if asset.get("href")]
    if any(asset.get("roles") for asset in named):
        return [asset for asset in named if "data" in asset.get("roles", ())]
    return [asset for asset in named if str(asset.get("type", "")).startswith(_RASTER_TYPES)]


def _resolved(href: str, base: str) -> str:
    parts = urlsplit(href)
    if parts.scheme == "file":
        return unquote(parts.path)
    if len(parts.scheme) > 1 or href.startswith("/"):
        return href
    scheme, separator, rest = base.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(rest, href))}"
