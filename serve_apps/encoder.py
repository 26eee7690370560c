"""The encoder deployment: texts and images to embeddings, batched as requests come in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import serve

from knowlip.archive import fetched_checkpoint
from knowlip.workspace import Workspace
from models import load

__all__ = ["Encoder"]

Vector = NDArray[np.float32]


@serve.deployment
class Encoder:
    """Holds both towers of a model.

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
        folder: Path = fetched_checkpoint(workspace, checkpoint)
        self.model = load(folder, device)
        self.model.encode_text(["the first text compiles what the others use"])
        for method in (self.text, self.image):
            method.set_max_batch_size(batch_size)
            method.set_batch_wait_timeout_s(batch_wait_s)
        # One batch at a time; the event loop stays free to collect the next.
        self._turn = asyncio.Lock()

    @serve.batch
    async def text(self, texts: list[str]) -> list[Vector]:
        """Return the embedding of each text."""
        return await self._computed(self.model.encode_text, texts)

    @serve.batch
    async def image(self, images: list[NDArray[np.uint8]]) -> list[Vector]:
        """Return the embedding of each 8-bit image."""
        return await self._computed(self.model.encode_image, images)

    def ready(self) -> bool:
        """Whether the model is loaded."""
        return True

    async def _computed(self, encode: Any, items: list[Any]) -> list[Vector]:
        async with self._turn:
            return list(await asyncio.to_thread(encode, items))
