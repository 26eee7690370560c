"""The routes that show a tile of the archive."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response

from knowlip.archive import TileId
from serve_apps.features import COG, GeoJSON, PlainJSON, features
from serve_apps.problems import PROBLEMS, Problem
from serve_apps.schemas import Family, Feature
from serve_apps.services import Services

__all__ = ["tile_routes"]

PathTile = Annotated[TileId, Path(examples=["0a1b2c3d4e5f6071"])]
# A tile's id is its content's address, so its image never changes.
_UNCHANGING = {"Cache-Control": "private, max-age=86400, immutable"}


def tile_routes(services: Services) -> APIRouter:
    """Return the routes that show a tile of the archive."""
    routes = APIRouter(tags=["tiles"], responses=PROBLEMS)
    index = services.index

    async def there(method: Any, tile_id: str, *args: Any) -> Any:
        found = await services.ask(method, tile_id, *args)
        if found is None:
            raise Problem(404, f"the archive holds no tile {tile_id}")
        return found

    @routes.get("/v1/tiles/{tile_id}.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def picture(tile_id: PathTile, size: Literal["full", "view"] = "full") -> Response:
        """Return a tile's 8-bit image (0 is no data), at full resolution or at most 256 px a side."""
        png = await there(index.picture, tile_id, "view" if size == "view" else "image")
        return Response(png, media_type="image/png", headers=_UNCHANGING)

    @routes.get("/v1/tiles/{tile_id}.tif", response_class=Response, responses={200: {"content": {COG: {}}}})
    async def geotiff(tile_id: PathTile) -> Response:
        """Return a tile at full resolution as a Cloud Optimized GeoTIFF; its tags say how values map to decibels."""
        name = {"Content-Disposition": f'attachment; filename="{tile_id.replace(":", "-")}.tif"'}
        return Response(await there(index.cog, tile_id), media_type=COG, headers=_UNCHANGING | name)

    @routes.get("/v1/tiles/{tile_id}/family", response_model=Family)
    async def family(tile_id: PathTile, request: Request) -> Response:
        """Return the larger tiles that contain a tile, and the smaller ones that it contains."""
        found = await there(index.family, tile_id)
        return PlainJSON({name: features(entries, request) for name, entries in found.items()})

    @routes.get("/v1/tiles/{tile_id}", response_model=Feature, response_class=GeoJSON)
    async def tile(tile_id: PathTile, request: Request) -> Response:
        """Return what is known of a tile."""
        return GeoJSON(features([await there(index.entry, tile_id)], request)[0])

    return routes
