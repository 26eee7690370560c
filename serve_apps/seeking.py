"""Seeking: from words, an image or a tile to the tiles that are like it, whoever asks for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from knowlip.archive import Filters, Hit
from serve_apps.messages import Embedded
from serve_apps.problems import Problem
from serve_apps.services import Services

__all__ = ["Found", "embedded", "seek"]

_RERANKED = 50
"""So many of the nearest tiles are ordered anew by image-text matching."""


@dataclass(frozen=True)
class Found:
    """A tile that was found.

    Attributes:
        hit: The tile and its similarity.
        match: Probability that the text describes it; nothing where it was not asked.
    """

    hit: Hit
    match: float | None = None

    @property
    def scores(self) -> dict[str, float]:
        """The figures by name."""
        return {"score": self.hit.score} | ({} if self.match is None else {"match": self.match})


async def embedded(
    services: Services, *, text: str | None = None, image: NDArray[np.uint8] | None = None, like: str | None = None
) -> Embedded:
    """Return the embedding of what is looked for; of several things, their mean, so each counts the same.

    Raises:
        Problem: 404 for a tile that is not there, 422 for nothing to look for.
    """
    encoder, index = services.encoder, services.index
    asked = []
    if text is not None:
        asked.append(services.ask(encoder.query, text))
    if image is not None:
        asked.append(services.ask(encoder.image, image))
    if like is not None:
        asked.append(services.ask(index.vector, like))
    if not asked:
        raise Problem(422, "nothing to look for: give text, an image, or like (a tile_id)")
    vectors: list[Embedded | None] = [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)
    found = [vector for vector in vectors if vector is not None]
    if len(found) < len(vectors):
        raise Problem(404, f"the archive holds no tile {like}")
    if len({one.version.digest for one in found}) > 1:
        raise Problem(503, "the index is being exchanged; try again", {"Retry-After": "1"})
    return replace(found[0], vector=np.mean([one.vector for one in found], axis=0, dtype=np.float32))


async def seek(
    services: Services, query: Embedded, k: int, filters: Filters, *, rerank_by: str | None = None
) -> list[Found]:
    """Return the tiles nearest to an embedding, best first.

    Args:
        services: Who computes it.
        query: What is looked for.
        k: Most tiles to return.
        filters: Conditions that hold for each.
        rerank_by: A text by whose match with the image the nearest are ordered anew.
    """
    if rerank_by is None:
        return [Found(hit) for hit in await services.ask(services.index.search, query, k, filters)]
    hits: list[Hit] = await services.ask(services.index.search, query, max(k, _RERANKED), filters)
    views = await services.ask(services.index.pictures, [hit.entry for hit in hits[:_RERANKED]])
    matches = await services.ask(services.encoder.matches, views, rerank_by)
    near = [Found(hit, match) for hit, match in zip(hits, matches, strict=False)]
    near.sort(key=lambda found: found.match, reverse=True)
    return [*near, *(Found(hit) for hit in hits[_RERANKED:])][:k]
