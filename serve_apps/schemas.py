"""What requests and answers look like; the OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from knowlip.archive import Filters, Holdings, TileId

__all__ = [
    "AnswerReply",
    "Attention",
    "CaptionReply",
    "Choice",
    "Family",
    "Feature",
    "FeatureCollection",
    "Info",
    "Link",
    "Place",
    "Question",
    "SearchRequest",
    "Status",
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


class SearchRequest(Filters):
    """What to look for, and conditions that hold for every tile found."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "airport runway", "k": 5},
                {"text": "aircraft beside a terminal", "rerank": True, "time_from": "2020-01-01T00:00:00Z"},
                {"like": "0a1b2c3d4e5f6071", "gsd_max_m": 5},
                {"text": "ships in a harbour", "bbox": [-118.4, 33.6, -118.0, 33.9], "scales": ["S"]},
            ]
        }
    )

    text: Words | None = None
    """What to look for, in words; with an image or ``like``, both count the same."""
    like: TileId | None = None
    """A tile of the archive: look for others like it."""
    rerank: Annotated[bool, Field(strict=True)] = False
    """Order what is found by the model's image-text matching; it needs ``text``, and takes longer."""
    k: Annotated[int, Field(strict=True, ge=1, le=MAX_K)] = 10
    """Most tiles to return."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.rerank and self.text is None:
            raise ValueError("rerank needs text")
        return self

    @property
    def filters(self) -> Filters:
        """The conditions alone."""
        return Filters(**self.model_dump(include=set(Filters.model_fields)))


class Link(BaseModel):
    """Where more about a tile is to be had."""

    rel: Literal["self", "image", "thumbnail", "data", "related", "parent"]
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
    """Tiles, best first; ``properties.score`` is the cosine similarity to the query, ``match`` the ITM probability."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[Feature]


class Place(BaseModel):
    """Where a georeferenced upload lies."""

    bbox: list[float] = Field(examples=[[-118.3, 33.7, -118.2, 33.8]])
    geometry: dict[str, Any]
    city: str
    admin: str
    country: str


class Family(BaseModel):
    """The tiles that contain a tile, largest first, and those that it contains."""

    parents: list[Feature]
    children: list[Feature]


class Choice(BaseModel):
    """A candidate answer and its share of the candidates' likelihood."""

    answer: str
    confidence: float = Field(ge=0, le=1)


class Attention(BaseModel):
    """How much the model looks at each part of an image: rows from top to bottom, shares that sum to one."""

    values: list[list[float]]


class AnswerReply(BaseModel):
    """An answer."""

    question: str
    answer: str = Field(examples=["three"])
    confidence: float = Field(ge=0, le=1)
    """Share of the candidates' likelihood, or the mean probability of a written token."""
    ranked: list[Choice] = []
    """Every candidate, likeliest first."""
    place: Place | None = None
    """Where the image lies, when it is a georeferenced upload."""
    attention: Attention | None = None
    """Where the model looks while it reads question and answer, when that was asked for."""


class CaptionReply(BaseModel):
    """A description of an image."""

    text: str
    confidence: float = Field(ge=0, le=1)
    """Mean probability of a written token."""
    place: Place | None = None
    """Where the image lies, when it is a georeferenced upload."""


class Info(BaseModel):
    """What is served."""

    name: str
    version: str
    verbs: list[str]
    checkpoints: dict[str, str]
    """Verb to digest of the checkpoint that computes it."""
    tiles: int | None
    """Tiles in the archive."""
    holdings: Holdings | None
    """What the archive holds."""


class Status(BaseModel):
    """Whether the service works."""

    status: Literal["ok"] = "ok"
