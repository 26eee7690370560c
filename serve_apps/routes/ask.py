"""The routes that ask a model about an image: one that is uploaded, or a tile of the archive."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile

from knowlip.archive import TileId
from serve_apps.features import place_of
from serve_apps.messages import Asked, Picture
from serve_apps.problems import PROBLEMS, Problem
from serve_apps.schemas import AnswerReply, Attention, CaptionReply, Choice, Place, Question, Words
from serve_apps.services import Services
from serve_apps.uploads import decode_upload

__all__ = ["ask_routes"]

Upload = Annotated[UploadFile | None, File(description="PNG, JPEG or TIFF, at most 25 MB and 64 megapixels")]
FormTile = Annotated[TileId | None, Form(description="a tile of the archive, instead of an upload")]


def ask_routes(services: Services) -> APIRouter:
    """Return the routes that answer and describe."""
    routes = APIRouter(tags=["ask"], responses=PROBLEMS)
    answerer = services.answerer

    @routes.post("/v1/vqa")
    async def answer(
        question: Annotated[Question, Form()],
        image: Upload = None,
        tile_id: FormTile = None,
        candidates: Annotated[list[Words], Form(max_length=64, description="answers to choose from")] = [],  # noqa: B006
        attention: Annotated[bool, Form(description="say where in the image the model looks")] = False,
    ) -> AnswerReply:
        """Answer a question about an image."""
        picture, place = await _picture(services, image, tile_id)
        found = await services.ask(answerer.answer, Asked(picture, question, tuple(dict.fromkeys(candidates))))
        looks = None
        if attention:
            values = await services.ask(answerer.attention, picture, f"{question} {found[0].answer}")
            looks = Attention(values=values)
        return AnswerReply(
            question=question,
            answer=found[0].answer,
            confidence=found[0].confidence,
            ranked=[Choice(answer=one.answer, confidence=one.confidence) for one in found] if candidates else [],
            place=place,
            attention=looks,
        )

    @routes.post("/v1/captions")
    async def caption(image: Upload = None, tile_id: FormTile = None) -> CaptionReply:
        """Describe an image."""
        picture, place = await _picture(services, image, tile_id)
        found = await services.ask(answerer.describe, picture)
        return CaptionReply(text=found.answer, confidence=found.confidence, place=place)

    return routes


async def _picture(services: Services, image: UploadFile | None, tile_id: str | None) -> tuple[Picture, Place | None]:
    """Return the image a request is about, 8-bit pixels of an upload or the PNG of a tile, and an upload's place."""
    if (image is None) == (tile_id is None):
        raise Problem(422, "give either an image or a tile_id")
    if image is not None:
        uploaded = await asyncio.to_thread(decode_upload, await image.read())
        return uploaded.pixels, await asyncio.to_thread(place_of, uploaded.footprint)
    if services.index is None:
        raise Problem(404, "no archive is served here: upload an image instead of naming a tile")
    png = await services.ask(services.index.picture, tile_id, "view")
    if png is None:
        raise Problem(404, f"the archive holds no tile {tile_id}")
    return png, None
