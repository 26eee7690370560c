"""What requests and answers look like; the OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from knowlip.archive import Filters

__all__ = [
    "AnswerReply",
    "CaptionReply",
    "Feature",
    "FeatureCollection",
    "Info",
    "Link",
    "Question",
    "SearchRequest",
    "Status",
    "TileId",
    "Words",
]

MAX_K = 200


def _printable(text: str) -> str:
    if any(not (letter.isprintable() or letter in "\n\t") for letter in text):
        raise ValueError("holds control characters")
    return text


Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000), AfterValidator(_printable)
]
"""A text to search by, a question, a candidate answer."""
Question = Annotated[Words, Field(examples=["How many aircraft are there?"])]
TileId = Annotated[str, StringConstraints(pattern=r"^[\w.:-]{1,128}$")]


class SearchRequest(Filters):
    """Words to look for, and conditions that hold for every tile found."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "airport runway", "k": 5},
                {"text": "ships in a harbour", "bbox": [-118.4, 33.6, -118.0, 33.9], "scales": ["S"]},
            ]
        }
    )

    text: Words
    """What to look for, in words."""
    k: Annotated[int, Field(strict=True, ge=1, le=MAX_K)] = 10
    """Most tiles to return."""

    @property
    def filters(self) -> Filters:
        """The conditions alone."""
        return Filters(**self.model_dump(include=set(Filters.model_fields)))


class Link(BaseModel):
    """Where more about a tile is to be had."""

    rel: Literal["self", "image", "thumbnail", "parent"]
    href: str
    type: str


class Feature(BaseModel):
    """A tile as a GeoJSON feature."""

    type: Literal["Feature"] = "Feature"
    id: str
    bbox: list[float]
    geometry: dict[str, Any]
    properties: dict[str, Any]
    links: list[Link] = []


class FeatureCollection(BaseModel):
    """Tiles, best first; ``properties.score`` is the cosine similarity to the query."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[Feature]


class AnswerReply(BaseModel):
    """An answer."""

    question: str
    answer: str = Field(examples=["three"])
    confidence: float = Field(ge=0, le=1)
    """Share of the candidates' likelihood, or the mean probability of a written token."""


class CaptionReply(BaseModel):
    """A description of an image."""

    text: str


class Info(BaseModel):
    """What is served."""

    name: str
    version: str
    verbs: list[str]
    checkpoints: dict[str, str]
    """Verb to digest of the checkpoint that computes it."""
    tiles: int | None
    """Tiles in the archive."""


class Status(BaseModel):
    """Whether the service works."""

    status: Literal["ok"] = "ok"
