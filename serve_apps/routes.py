"""The HTTP routes, by what they need: an archive to search, tiles to show, a model to ask."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Path, Request, Response, UploadFile

from knowlip import __version__
from knowlip.archive import Entry
from serve_apps.answerer import Asked
from serve_apps.problems import PROBLEMS, Problem
from serve_apps.schemas import (
    AnswerReply,
    CaptionReply,
    Feature,
    FeatureCollection,
    Info,
    Link,
    Question,
    SearchRequest,
    Status,
    TileId,
    Words,
)
from serve_apps.services import Services
from serve_apps.uploads import decode_upload

__all__ = ["ask_routes", "search_routes", "status_routes", "tile_routes"]

Upload = Annotated[UploadFile | None, File(description="PNG, JPEG or TIFF, at most 25 MB and 64 megapixels")]
FormTile = Annotated[TileId | None, Form(description="a tile of the archive, instead of an upload")]
PathTile = Annotated[TileId, Path(examples=["0a1b2c3d-S-0-0"])]
_GEOJSON = "application/geo+json"


class GeoJSON(Response):
    """A response whose body is GeoJSON."""

    media_type = _GEOJSON


def search_routes(services: Services) -> APIRouter:
    """Return the routes that find tiles by words."""
    routes = APIRouter(tags=["search"], responses=PROBLEMS)
    encoder, index = services.encoder, services.index
    assert encoder is not None  # noqa: S101 (the gateway asks for these routes only where both are)
    assert index is not None  # noqa: S101

    @routes.post("/v1/search", response_model=FeatureCollection, response_class=GeoJSON)
    async def search(asked: SearchRequest, request: Request) -> Response:
        """Find tiles by words, within a place, a scale, a sensor, a resolution or a time."""
        # The embedding goes from the encoder to the index without a stop here.
        vector = encoder.text.remote(asked.text)
        hits = await services.reply(index.search.remote(vector, asked.k, asked.filters))
        features = [_feature(hit.entry, request, score=hit.score) for hit in hits]
        return GeoJSON(FeatureCollection(features=features).model_dump_json())

    return routes


def tile_routes(services: Services) -> APIRouter:
    """Return the routes that show a tile of the archive."""
    routes = APIRouter(tags=["tiles"], responses=PROBLEMS)
    index = services.index
    assert index is not None  # noqa: S101 (the gateway asks for these routes only where it is)

    @routes.get("/v1/tiles/{tile_id}.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def picture(tile_id: PathTile, size: Literal["full", "view"] = "full") -> Response:
        """Return a tile's 8-bit image (0 is no data), at full resolution or at most 256 px a side."""
        png = await services.reply(index.picture.remote(tile_id, "view" if size == "view" else "image"))
        if png is None:
            raise _absent(tile_id)
        # A tile's id is its content's address, so its image never changes.
        return Response(png, media_type="image/png", headers={"Cache-Control": "public, max-age=86400, immutable"})

    @routes.get("/v1/tiles/{tile_id}", response_model=Feature, response_class=GeoJSON)
    async def tile(tile_id: PathTile, request: Request) -> Response:
        """Return what is known of a tile."""
        entry = await services.reply(index.entry.remote(tile_id))
        if entry is None:
            raise _absent(tile_id)
        return GeoJSON(_feature(entry, request).model_dump_json())

    return routes


def ask_routes(services: Services) -> APIRouter:
    """Return the routes that ask a model about an image: one that is uploaded, or a tile of the archive."""
    routes = APIRouter(tags=["ask"], responses=PROBLEMS)
    answerer = services.answerer
    assert answerer is not None  # noqa: S101 (the gateway asks for these routes only where it is)

    @routes.post("/v1/vqa")
    async def answer(
        question: Annotated[Question, Form()],
        image: Upload = None,
        tile_id: FormTile = None,
        candidates: Annotated[list[Words], Form(max_length=64, description="answers to choose from")] = [],  # noqa: B006
    ) -> AnswerReply:
        """Answer a question about an image."""
        picture = await _picture(services, image, tile_id)
        found = await services.reply(answerer.answer.remote(Asked(picture, question, tuple(candidates))))
        return AnswerReply(question=question, answer=found.answer, confidence=found.confidence)

    @routes.post("/v1/captions")
    async def caption(image: Upload = None, tile_id: FormTile = None) -> CaptionReply:
        """Describe an image."""
        picture = await _picture(services, image, tile_id)
        return CaptionReply(text=await services.reply(answerer.describe.remote(picture)))

    return routes


def status_routes(services: Services) -> APIRouter:
    """Return the routes that say what is served and whether it works."""
    routes = APIRouter(tags=["status"])

    @routes.get("/v1/info")
    async def info() -> Info:
        """Say what is served."""
        tiles = await services.reply(services.index.tiles.remote()) if services.index is not None else None
        return Info(
            name="KnowLIP",
            version=__version__,
            verbs=sorted(services.checkpoints),
            checkpoints=services.checkpoints,
            tiles=tiles,
        )

    @routes.get("/healthz")
    async def health() -> Status:
        """Say that the gateway runs."""
        return Status()

    @routes.get("/readyz", responses={503: PROBLEMS[503]})
    async def ready() -> Status:
        """Say that every part behind the gateway answers."""
        await services.ready()
        return Status()

    return routes


async def _picture(services: Services, image: UploadFile | None, tile_id: str | None) -> Any:
    """Return the image a request is about: 8-bit pixels of an upload, or the PNG of a tile."""
    if (image is None) == (tile_id is None):
        raise Problem(422, "give either an image or a tile_id")
    if image is not None:
        return await asyncio.to_thread(decode_upload, await image.read())
    if services.index is None:
        raise Problem(404, "no archive is served here: upload an image instead of naming a tile")
    png = await services.reply(services.index.picture.remote(tile_id, "view"))
    if png is None:
        raise _absent(str(tile_id))
    return png


def _feature(entry: Entry, request: Request, *, score: float | None = None) -> Feature:
    feature = entry.feature()
    if score is not None:
        feature["properties"]["score"] = round(score, 6)
    return Feature(**feature, links=_links(entry, request.scope.get("root_path", "")))


def _links(entry: Entry, root: str) -> list[Link]:
    here = f"{root}/v1/tiles/{entry.tile_id}"
    links = [
        Link(rel="self", href=here, type=_GEOJSON),
        Link(rel="image", href=f"{here}.png", type="image/png"),
        Link(rel="thumbnail", href=f"{here}.png?size=view", type="image/png"),
    ]
    parent = entry.facts["parent_id"]
    return [*links, Link(rel="parent", href=f"{root}/v1/tiles/{parent}", type=_GEOJSON)] if parent else links


def _absent(tile_id: str) -> Problem:
    return Problem(404, f"the archive holds no tile {tile_id}")
