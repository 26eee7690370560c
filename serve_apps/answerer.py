"""The answerer deployment: questions about images, and descriptions of them, batched as requests come in."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from ray import serve

from knowlip.archive import fetched_checkpoint
from knowlip.workspace import Workspace
from serve_apps.batching import Batched
from serve_apps.messages import Asked, Picture, Said
from serve_apps.precision import inference, take_threads

if TYPE_CHECKING:
    from models import Answer

__all__ = ["Answerer"]

_CAPTION_TOKENS = 256


@serve.deployment
class Answerer:
    """Holds a whole model.

    Args:
        workspace: Where the checkpoint lies.
        checkpoint: Its folder below the workspace.
        device: Where the model goes.
        threads: How many it computes with on CPUs; 0 for all cores.
        batch_size: Most requests computed at once.
    """

    def __init__(self, workspace: Workspace, checkpoint: str, *, device: str, threads: int, batch_size: int) -> None:
        # How threads wait is read when torch is loaded.
        take_threads(threads)
        # Here, not above: the gateway imports this module, and has no use for torch.
        from models import load

        self.model, self.device = load(fetched_checkpoint(workspace, checkpoint), device), device
        self._turn = asyncio.Lock()
        self._answers = Batched(self._answered, self._turn, most=batch_size)
        self._descriptions = Batched(self._described, self._turn, most=batch_size)

    async def answer(self, asked: Asked) -> list[Said]:
        """Answer a question: with its candidates, likeliest first, or with the one answer that is written."""
        return await self._answers(asked)

    async def describe(self, image: Picture) -> Said:
        """Describe an image."""
        return await self._descriptions(image)

    async def attention(self, image: Picture, text: str) -> list[list[float]]:
        """Return how much each patch of an image is looked at while a text is read beside it; rows of shares."""
        from models.attention import attention_maps

        def looked() -> list[list[float]]:
            with inference(self.device):
                shares: list[list[float]] = attention_maps(self.model, [image], [text])[0].tolist()
                return shares

        async with self._turn:
            return await asyncio.to_thread(looked)

    def ready(self) -> bool:
        """Whether the model is loaded."""
        return True

    def _answered(self, asked: list[Asked]) -> list[list[Said]]:
        """Answer those together that choose from the same candidates."""
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, one in enumerate(asked):
            alike[one.candidates].append(place)
        answers: dict[int, list[Said]] = {}
        for candidates, places in alike.items():
            images = [asked[place].image for place in places]
            questions = [asked[place].question for place in places]
            with inference(self.device):
                if candidates:
                    found = self.model.rank(images, questions, candidates)
                else:
                    found = [[answer] for answer in self.model.answer(images, questions)]
            answers.update(zip(places, map(_said, found), strict=True))
        return [answers[place] for place in range(len(asked))]

    def _described(self, images: list[Picture]) -> list[Said]:
        with inference(self.device):
            return _said(self.model.answer(images, [""] * len(images), max_new_tokens=_CAPTION_TOKENS, beams=1))


def _said(answers: list[Answer]) -> list[Said]:
    """Return answers as the gateway takes them, which does not load what the model's own come from."""
    return [Said(one.answer, one.confidence) for one in answers]
