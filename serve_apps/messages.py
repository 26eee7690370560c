"""What the gateway and the deployments send each other; none of it loads a model, so only who computes needs torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowlip.archive import Version

__all__ = ["Asked", "Embedded", "Pair", "Picture", "Said"]

Picture = NDArray[np.uint8] | bytes
"""An 8-bit image (H, W), or its PNG."""


@dataclass(frozen=True)
class Embedded:
    """An embedding, and whose: it can be compared only with vectors that the same checkpoint made.

    Attributes:
        vector: Unit embedding (E,).
        version: The index that it belongs to.
        tokens: Tokens read; 0 for an image.
    """

    vector: NDArray[np.float32]
    version: Version
    tokens: int = 0


@dataclass(frozen=True)
class Pair:
    """An image and a text that may describe it."""

    image: Picture
    text: str


@dataclass(frozen=True)
class Asked:
    """A question.

    Attributes:
        image: The image it is about.
        question: The question.
        candidates: The answers to choose from; with none, the answer is written freely.
    """

    image: Picture
    question: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """An answer or a description, and how sure the model is, 0 to 1."""

    answer: str
    confidence: float
