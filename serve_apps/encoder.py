"""The encoder deployment: texts and images to embeddings, batched as requests come in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ray import serve

from knowlip.archive import Version, fetched_checkpoint
from knowlip.errors import KnowlipError
from knowlip.workspace import Workspace
from serve_apps.messages import Embedded, Pair, Picture
from serve_apps.precision import inference, take_threads

if TYPE_CHECKING:
    from models import KnowlipModel

__all__ = ["Encoder"]

_log = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class _Held:
    model: KnowlipModel
    version: Version


@serve.deployment
class Encoder:
    """Holds both towers of a model.

    When the workspace's index is made anew by another checkpoint, the encoder loads that one beside the one in use and
    then goes over to it; every embedding says which index it belongs to, so no request falls between the two.

    Args:
        workspace: Where the checkpoint lies.
        version: The index whose checkpoint embeds the queries.
        follow_s: How often to look for a newer index, seconds; 0 stays with this one.
        device: Where the model goes.
        threads: How many it computes with on CPUs; 0 for all cores.
        batch_size: Most requests computed at once.
        batch_wait_s: How long a batch waits to fill, seconds.
    """

    def __init__(
        self,
        workspace: Workspace,
        version: Version,
        *,
        follow_s: float,
        device: str,
        threads: int,
        batch_size: int,
        batch_wait_s: float,
    ) -> None:
        self.workspace, self.device, self.follow_s = workspace, device, follow_s
        take_threads(threads)
        self.held = self._load(version)
        for method in (self.text, self.query, self.image, self.match):
            method.set_max_batch_size(batch_size)
            method.set_batch_wait_timeout_s(batch_wait_s)
        # One batch at a time; the event loop stays free to collect the next.
        self._turn = asyncio.Lock()
        self._looked = time.monotonic()
        self._looking: asyncio.Task[None] | None = None

    @serve.batch
    async def text(self, texts: list[str]) -> list[Embedded]:
        """Return the embedding of each text."""
        return await self._embedded(lambda model: model.encode_text(texts), texts)

    @serve.batch
    async def query(self, queries: list[str]) -> list[Embedded]:
        """Return the embedding of what each query searches for."""
        return await self._embedded(lambda model: model.encode_query(queries), queries)

    @serve.batch
    async def image(self, images: list[Picture]) -> list[Embedded]:
        """Return the embedding of each 8-bit image."""
        return await self._embedded(lambda model: model.encode_image(images))

    @serve.batch
    async def match(self, pairs: list[Pair]) -> list[float]:
        """Return the probability that each text describes its image (image-text matching)."""
        model = self.held.model
        images, texts = [pair.image for pair in pairs], [pair.text for pair in pairs]
        async with self._turn:
            return [float(value) for value in await asyncio.to_thread(self._compute, model.match, images, texts)]

    def version(self) -> Version:
        """Return the index that embeddings belong to now."""
        return self.held.version

    def ready(self) -> bool:
        """Whether the model is loaded."""
        return True

    async def _embedded(
        self, encode: Callable[[KnowlipModel], NDArray[np.float32]], texts: Sequence[str] = ()
    ) -> list[Embedded]:
        self._look()
        held = self.held
        async with self._turn:
            vectors = await asyncio.to_thread(self._compute, encode, held.model)
        counts = held.model.tokenizer.plain(texts, held.model.network.config.text.max_tokens) if texts else []
        tokens = [len(row) for row in counts] or [0] * len(vectors)
        return [Embedded(vector, held.version, count) for vector, count in zip(vectors, tokens, strict=True)]

    def _compute(self, function: Callable[..., Any], *args: Any) -> Any:
        with inference(self.device):
            return function(*args)

    def _load(self, version: Version) -> _Held:
        # Here, not above: the gateway and the index import this module, and have no use for torch.
        from models import load

        model = load(fetched_checkpoint(self.workspace, version.checkpoint), self.device)
        self._compute(model.encode_query, ["the first text compiles what the others use"])
        return _Held(model, version)

    def _look(self) -> None:
        """Look for a newer index now and then, beside the requests."""
        if self.follow_s and time.monotonic() - self._looked >= self.follow_s and self._looking is None:
            self._looking = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        try:
            version = await asyncio.to_thread(Version.current, self.workspace)
            if version is not None and version.digest != self.held.version.digest:
                self.held = await asyncio.to_thread(self._load, version)
                _log.warning("went over to index %s (%s)", version.digest, version.checkpoint)
        except (KnowlipError, OSError) as error:
            _log.warning("stays with index %s: %s", self.held.version.digest, error)
        finally:
            self._looked, self._looking = time.monotonic(), None
