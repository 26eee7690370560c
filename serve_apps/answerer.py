"""The answerer deployment: questions about images, and descriptions of them, batched as requests come in."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import serve

from knowlip.archive import fetched_checkpoint
from knowlip.workspace import Workspace
from models import Answer, load
from models.attention import attention_maps
from serve_apps.precision import inference

__all__ = ["Answerer", "Asked"]

Picture = NDArray[np.uint8] | bytes
_CAPTION_TOKENS = 256


@dataclass(frozen=True)
class Asked:
    """A question.

    Attributes:
        image: The 8-bit image it is about, or its PNG.
        question: The question.
        candidates: The answers to choose from; with none, the answer is written freely.
    """

    image: Picture
    question: str
    candidates: tuple[str, ...] = ()


@serve.deployment
class Answerer:
    """Holds a whole model.

    Args:
        workspace: Where the checkpoint lies.
        checkpoint: Its folder below the workspace.
        device: Where the model goes.
        batch_size: Most requests computed at once.
        batch_wait_s: How long a batch waits to fill, seconds.
    """

    def __init__(
        self, workspace: Workspace, checkpoint: str, *, device: str, batch_size: int, batch_wait_s: float
    ) -> None:
        self.model, self.device = load(fetched_checkpoint(workspace, checkpoint), device), device
        for method in (self.answer, self.describe):
            method.set_max_batch_size(batch_size)
            method.set_batch_wait_timeout_s(batch_wait_s)
        # One batch at a time; the event loop stays free to collect the next.
        self._turn = asyncio.Lock()

    @serve.batch
    async def answer(self, asked: list[Asked]) -> list[list[Answer]]:
        """Answer each question: with its candidates, likeliest first, or with the one answer that is written."""
        return await self._computed(lambda: self._answered(asked))

    @serve.batch
    async def describe(self, images: list[Picture]) -> list[Answer]:
        """Describe each image."""
        return await self._computed(
            lambda: self.model.answer(images, [""] * len(images), max_new_tokens=_CAPTION_TOKENS, beams=1)
        )

    async def attention(self, image: Picture, text: str) -> list[list[float]]:
        """Return how much each patch of an image is looked at while a text is read beside it; rows of shares."""
        found = await self._computed(lambda: attention_maps(self.model, [image], [text]))
        return found[0].tolist()

    def ready(self) -> bool:
        """Whether the model is loaded."""
        return True

    async def _computed(self, function: Callable[[], list[Any]]) -> list[Any]:
        def compute() -> list[Any]:
            with inference(self.device):
                return function()

        async with self._turn:
            return await asyncio.to_thread(compute)

    def _answered(self, asked: list[Asked]) -> list[list[Answer]]:
        """Answer those together that choose from the same candidates."""
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, one in enumerate(asked):
            alike[one.candidates].append(place)
        answers: dict[int, list[Answer]] = {}
        for candidates, places in alike.items():
            images = [asked[place].image for place in places]
            questions = [asked[place].question for place in places]
            if candidates:
                found = self.model.rank(images, questions, candidates)
            else:
                found = [[answer] for answer in self.model.answer(images, questions)]
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(asked))]
