"""The routes of the web page and of the API's documentation: all from this package and installed ones, no CDN."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from knowlip.archive import Filters
from knowlip.coastlines import Layer, layer
from serve_apps.problems import PROBLEMS, Problem

__all__ = ["page_routes"]

_OWN = {
    "page.js": "text/javascript",
    "map.js": "text/javascript",
    "service.js": "text/javascript",
    "cards.js": "text/javascript",
    "tile.js": "text/javascript",
    "docs.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_OTHERS = {
    "maplibre-gl.js": ("maplibre", "srcjs/maplibre-gl.js", "text/javascript"),
    "maplibre-gl.css": ("maplibre", "srcjs/maplibre-gl.css", "text/css"),
    "swagger-ui-bundle.js": ("fastapi_offline", "static/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("fastapi_offline", "static/swagger-ui.css", "text/css"),
}
# MapLibre runs its worker from a blob and sets styles; images come with the caller's key, so as blobs too.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; worker-src blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FRESH = {"Cache-Control": "no-cache"}
_DAY = {"Cache-Control": "public, max-age=86400"}


def page_routes() -> APIRouter:
    """Return the routes of the page and of the documentation."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page(request: Request) -> Response:
        """Return the page."""
        return _html("index.html", request)

    @routes.get("/docs")
    async def docs(request: Request) -> Response:
        """Return the documentation of the API."""
        return _html("docs.html", request)

    @routes.get("/page/basemap/{name}.json", responses=PROBLEMS)
    def basemap(name: Layer, bbox: Annotated[str, Query(max_length=200)] = "[-180,-90,180,90]") -> Response:
        """Return coastlines or borders within a box (a JSON list), widened to whole degrees, as GeoJSON."""
        try:
            box = Filters(bbox=from_json(bbox)).bbox
        except (ValidationError, ValueError) as error:
            raise Problem(422, "bbox: give west, south, east, north in degrees, as a JSON list") from error
        west, south, east, north = box or (-180.0, -90.0, 180.0, 90.0)
        body = _basemap(name, math.floor(west), math.floor(south), math.ceil(east), math.ceil(north))
        return Response(body, media_type="application/geo+json", headers=_DAY)

    @routes.get("/page/{name}")
    async def asset(name: str) -> Response:
        """Return a file that the page is made of."""
        if name in _OWN:
            return Response(_own(name), media_type=_OWN[name], headers=_FRESH)
        if name in _OTHERS:
            package, path, media_type = _OTHERS[name]
            return Response(_installed(package, path), media_type=media_type, headers=_DAY)
        raise Problem(404, "the page has no such file")

    return routes


def _html(name: Literal["index.html", "docs.html"], request: Request) -> Response:
    # The page lies wherever the application is mounted; everything in it is relative to this.
    base = request.scope.get("root_path", "").rstrip("/") + "/"
    html = _own(name).replace(b"__BASE__", base.encode())
    headers = {"Content-Security-Policy": _POLICY.replace("base-uri 'none'", "base-uri 'self'"), **_FRESH}
    return Response(html, media_type="text/html", headers=headers)


@lru_cache(maxsize=32)
def _basemap(name: Layer, west: float, south: float, east: float, north: float) -> bytes:
    return to_json(layer(name, (west, south, east, north)))


@cache
def _own(name: str) -> bytes:
    return (files("serve_apps") / "page" / name).read_bytes()


@cache
def _installed(package: str, path: str) -> bytes:
    return files(package).joinpath(path).read_bytes()
