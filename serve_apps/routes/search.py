"""The route that finds tiles: by words, by an image, by both."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from serve_apps.features import GeoJSON, features
from serve_apps.problems import PROBLEMS, Problem
from serve_apps.schemas import FeatureCollection, SearchRequest
from serve_apps.seeking import embedded, seek
from serve_apps.services import Services
from serve_apps.uploads import Uploaded, decode_upload

__all__ = ["search_routes"]

_REF = {"$ref": "#/components/schemas/SearchRequest"}
_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "PNG, JPEG or TIFF, at most 25 MB"},
        "query": _REF,
    },
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": _REF},
        "multipart/form-data": {"schema": _FORM, "encoding": {"query": {"contentType": "application/json"}}},
    },
}


def search_routes(services: Services) -> APIRouter:
    """Return the route that finds tiles."""
    routes = APIRouter(tags=["search"], responses=PROBLEMS)

    @routes.post(
        "/v1/search",
        response_model=FeatureCollection,
        response_class=GeoJSON,
        openapi_extra={"requestBody": _BODY},
    )
    async def search(request: Request) -> Response:
        """Find tiles by words, an image, or both, within a place, a scale, a sensor, a resolution or a time.

        Words alone come as JSON. An image comes as the part `image` of a form, with the same JSON as its part `query`.
        """
        asked, uploaded = await _asked(request)
        image = uploaded.pixels if uploaded else None
        query = await embedded(services, text=asked.text, image=image, like=asked.like)
        # The tile itself is its own nearest neighbour, which nobody asks for.
        more = 1 if asked.like else 0
        found = await seek(
            services, query, asked.k + more, asked.filters, rerank_by=asked.text if asked.rerank else None
        )
        kept = [one for one in found if one.hit.entry.tile_id != asked.like][: asked.k]
        made = features([one.hit.entry for one in kept], request, [one.scores for one in kept])
        return GeoJSON({"type": "FeatureCollection", "features": made})

    return routes


async def _asked(request: Request) -> tuple[SearchRequest, Uploaded | None]:
    if not request.headers.get("content-type", "").startswith("multipart/"):
        return _parsed(await request.body()), None
    async with request.form(max_files=1, max_fields=4) as form:
        image, query = form.get("image"), form.get("query", "{}")
        unknown = sorted(set(form) - {"image", "query"})
        if unknown:
            raise Problem(422, f"{unknown[0][:64]}: is no part of this form; give image and query")
        if not isinstance(image, UploadFile):
            raise Problem(422, "image: give a file")
        text = await query.read() if isinstance(query, UploadFile) else query
        return _parsed(text), await asyncio.to_thread(decode_upload, await image.read())


def _parsed(body: bytes | str) -> SearchRequest:
    try:
        return SearchRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(_as_fastapi_says(error)) from error


def _as_fastapi_says(error: ValidationError) -> list[Any]:
    """Return the errors in the form that the handler for all other routes knows."""
    return error.errors(include_url=False, include_input=False)
