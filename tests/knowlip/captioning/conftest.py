"""A tile to ask about, and an endpoint to ask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from knowlip.captioning import Request, TileFacts, measure
from tests.builders import png, speckled, tile_row
from tests.llm_server import LlmServer


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    """A well-behaved endpoint on loopback; a test may change its manners."""
    with LlmServer().serving() as server:
        yield server


def request_for(seed: int) -> Request:
    """A tile whose image nobody else has."""
    image = speckled(np.full((64, 64), 90.0), seed=seed)
    facts = TileFacts.from_row(tile_row(f"tile-{seed}", image))
    return Request(facts, measure(image, 1.0), "terrain", png(image))


@pytest.fixture(scope="session")
def tiles_to_ask() -> list[Request]:
    """Twelve tiles."""
    return [request_for(seed) for seed in range(12)]
