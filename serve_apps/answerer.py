"""The answerer deployment: questions about images, and descriptions of them, batched as requests come in."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ray import serve

from knowlip.archive import fetched_checkpoint
from knowlip.workspace import Workspace
from models import Answer, load

__all__ = ["Answerer", "Asked"]

Picture = NDArray[np.uint8] | bytes


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
        self.model = load(fetched_checkpoint(workspace, checkpoint), device)
        for method in (self.answer, self.describe):
            method.set_max_batch_size(batch_size)
            method.set_batch_wait_timeout_s(batch_wait_s)
        # One batch at a time; the event loop stays free to collect the next.
        self._turn = asyncio.Lock()

    @serve.batch
    async def answer(self, asked: list[Asked]) -> list[Answer]:
        """Answer each question."""
        async with self._turn:
            return await asyncio.to_thread(self._answered, asked)

    @serve.batch
    async def describe(self, images: list[Picture]) -> list[str]:
        """Describe each image."""
        async with self._turn:
            return await asyncio.to_thread(self.model.write, images)

    def ready(self) -> bool:
        """Whether the model is loaded."""
        return True

    def _answered(self, asked: list[Asked]) -> list[Answer]:
        """Answer those together that choose from the same candidates."""
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, one in enumerate(asked):
            alike[one.candidates].append(place)
        answers: dict[int, Answer] = {}
        for candidates, places in alike.items():
            images = [asked[place].image for place in places]
            questions = [asked[place].question for place in places]
            found = self.model.answer(images, questions, list(candidates) or None)
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(asked))]
