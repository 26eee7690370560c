"""The routes that speak OpenAI's dialect: chat about an image, embeddings of texts, and the list of models."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from serve_apps.messages import Asked, Embedded, Said
from serve_apps.problems import PROBLEMS, Problem
from serve_apps.schemas import Words
from serve_apps.services import Services
from serve_apps.uploads import Uploaded, decode_upload

__all__ = ["MODEL", "chat_routes"]

MODEL = "knowlip"
_DATA_URL = re.compile(r"data:image/[\w.+-]{1,32};base64,")


class ImageUrl(BaseModel):
    """An image within a message."""

    url: str = Field(examples=["data:image/png;base64,iVBORw0KGgo…"])
    """A data URL; no other address is opened."""


class TextPart(BaseModel):
    """Words within a message."""

    type: Literal["text"]
    text: str = Field(max_length=4000)


class ImagePart(BaseModel):
    """An image within a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class ChatMessage(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=4000)] | Annotated[list[Part], Field(max_length=16)]


class ChatRequest(BaseModel):
    """A conversation that ends with a question about its last image; what other clients send besides is ignored."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    model: str = Field(MODEL, max_length=64)
    """Always `knowlip`."""
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=64)]
    """The conversation; the last user's words are the question, and with none the image is described."""
    stream: bool = False
    """Send the answer as server-sent events."""
    n: Literal[1] = 1
    """One answer."""


class EmbeddingRequest(BaseModel):
    """Texts to embed."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    model: str = Field(MODEL, max_length=64)
    """Always `knowlip`."""
    input: Words | Annotated[list[Words], Field(min_length=1, max_length=256)]
    """One text, or several."""
    encoding_format: Literal["float", "base64"] = "float"
    """Numbers, or little-endian float32 in base64."""


def chat_routes(services: Services) -> APIRouter:
    """Return the routes that OpenAI clients call, as far as there is something behind them."""
    routes = APIRouter(tags=["openai"], responses=PROBLEMS)
    started_s = int(time.time())

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the models: the one there is."""
        return {"object": "list", "data": [_model(started_s)]}

    @routes.get("/v1/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        """Return a model."""
        _check_model(name)
        return _model(started_s)

    if services.answerer is not None:

        @routes.post("/v1/chat/completions", response_model=None)
        async def chat(asked: ChatRequest) -> dict[str, Any] | Response:
            """Answer a question about an image (a data URL) as a chat."""
            _check_model(asked.model)
            answer = await _answered(services, asked)
            name, created_s = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
            head = {"id": name, "created": created_s, "model": MODEL}
            if asked.stream:
                return StreamingResponse(_events(answer.answer, head), media_type="text/event-stream")
            message = {"role": "assistant", "content": answer.answer}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            return {**head, "object": "chat.completion", "choices": [choice], "confidence": answer.confidence}

    if services.encoder is not None:

        @routes.post("/v1/embeddings")
        async def embeddings(asked: EmbeddingRequest) -> dict[str, Any]:
            """Embed texts: unit vectors in the space of the images."""
            _check_model(asked.model)
            texts = [asked.input] if isinstance(asked.input, str) else asked.input
            # All in one call: each would take a place in the encoder's queue, which may be shorter than the list.
            found: list[Embedded] = await services.ask(services.encoder.texts, texts)
            coded = [_coded(one.vector, asked.encoding_format) for one in found]
            tokens = sum(one.tokens for one in found)
            data = [{"object": "embedding", "index": place, "embedding": code} for place, code in enumerate(coded)]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            return {"object": "list", "model": MODEL, "data": data, "usage": usage}

    return routes


def _model(created_s: int) -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": created_s, "owned_by": "knowlip"}


def _check_model(name: str) -> None:
    if name != MODEL:
        raise Problem(404, f"there is no model {name[:64]!r}; ask {MODEL!r}")


async def _answered(services: Services, asked: ChatRequest) -> Said:
    image = await _image(asked.messages)
    question = " ".join(_texts(asked.messages)).strip()
    if not question:
        described: Said = await services.ask(services.answerer.describe, image.pixels)
        return described
    found: list[Said] = await services.ask(services.answerer.answer, Asked(image.pixels, question))
    return found[0]


def _texts(messages: list[ChatMessage]) -> list[str]:
    """Return the words of the last message of the user."""
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    if last is None:
        raise Problem(422, "messages: none is the user's")
    parts = [last.content] if isinstance(last.content, str) else [p.text for p in last.content if p.type == "text"]
    if any(not (letter.isprintable() or letter.isspace()) for part in parts for letter in part):
        raise Problem(422, "messages: the question holds control characters")
    return parts


async def _image(messages: list[ChatMessage]) -> Uploaded:
    """Return the last image of the conversation."""
    urls = [
        part.image_url.url
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
        if isinstance(part, ImagePart)
    ]
    if not urls:
        raise Problem(422, "messages: no image; give one as an image_url with a data URL")
    start = _DATA_URL.match(urls[-1])
    if start is None:
        raise Problem(422, "image_url: only data URLs (data:image/png;base64,…) are taken; no address is opened")
    try:
        data = base64.b64decode(urls[-1][start.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(422, "image_url: the data is not base64") from error
    return await asyncio.to_thread(decode_upload, data)


async def _events(text: str, head: dict[str, Any]) -> AsyncIterator[str]:
    """Yield the answer word by word, as clients of a stream expect it."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\s*\S+", text)]
    for delta in [*deltas, {}]:
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        yield f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"


def _coded(vector: np.ndarray, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]
