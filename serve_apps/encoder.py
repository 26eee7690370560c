"""The encoder deployment: texts and images to embeddings, batched as requests come in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ray import serve

from knowlip.archive import Version, fetched_checkpoint, placed_digest
from knowlip.errors import KnowlipError
from knowlip.workspace import Workspace
from serve_apps.batching import Batched
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
    then goes over to it; every embedding says which index it belongs to, so no request falls between the two. A copy
    that is started again begins with the index in use by then.

    Args:
        workspace: Where the checkpoint lies.
        version: The index whose checkpoint embeds the queries.
        follow_s: How often to look for a newer index, seconds; 0 stays with this one.
        device: Where the model goes.
        threads: How many it computes with on CPUs; 0 for all cores.
        batch_size: Most requests computed at once.

    Raises:
        CheckpointError: Other weights than those that made the index lie in its checkpoint's place.
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
    ) -> None:
        self.workspace, self.device, self.follow_s = workspace, device, follow_s
        take_threads(threads)
        self.held = self._begin(version)
        turn = asyncio.Lock()
        self._texts = Batched(self._counted, turn, most=batch_size)
        self._queries = Batched(self._embedding(lambda model, texts: model.encode_query(texts)), turn, most=batch_size)
        self._images = Batched(self._embedding(lambda model, images: model.encode_image(images)), turn, most=batch_size)
        self._pairs = Batched(self._matched, turn, most=batch_size)
        self._looked = time.monotonic()
        self._looking: asyncio.Task[None] | None = None

    async def texts(self, texts: list[str]) -> list[Embedded]:
        """Return the embeddings of texts, and how many tokens were read of each."""
        self._look()
        return await self._texts.each(texts)

    async def query(self, query: str) -> Embedded:
        """Return the embedding of what a query searches for."""
        self._look()
        return await self._queries(query)

    async def image(self, image: Picture) -> Embedded:
        """Return the embedding of an 8-bit image."""
        self._look()
        return await self._images(image)

    async def matches(self, images: list[Picture], text: str) -> list[float]:
        """Return the probability that a text describes an image (image-text matching), for each image."""
        return await self._pairs.each([Pair(image, text) for image in images])

    def version(self) -> Version:
        """Return the index that embeddings belong to now."""
        return self.held.version

    def ready(self) -> bool:
        """Whether the model is loaded."""
        return True

    def _embedding(
        self, encode: Callable[[KnowlipModel, list[Any]], NDArray[np.float32]]
    ) -> Callable[[list[Any]], list[Embedded]]:
        def embedded(asked: list[Any]) -> list[Embedded]:
            held = self.held
            with inference(self.device):
                return [Embedded(vector, held.version) for vector in encode(held.model, asked)]

        return embedded

    def _counted(self, texts: list[str]) -> list[Embedded]:
        held = self.held
        with inference(self.device):
            vectors = held.model.encode_text(texts)
        rows = held.model.tokenizer.plain(texts, held.model.network.config.text.max_tokens)
        return [Embedded(vector, held.version, len(row)) for vector, row in zip(vectors, rows, strict=True)]

    def _matched(self, pairs: list[Pair]) -> list[float]:
        with inference(self.device):
            return self.held.model.match([pair.image for pair in pairs], [pair.text for pair in pairs]).tolist()

    def _begin(self, version: Version) -> _Held:
        """Load the index in use now; the one that the application was deployed with where it cannot be loaded."""
        try:
            newest = Version.current(self.workspace) if self.follow_s else None
            if newest is not None and newest.digest != version.digest:
                return self._load(newest)
        except (KnowlipError, OSError) as error:
            _log.warning("begins with index %s: %s", version.digest, error)
        return self._load(version)

    def _load(self, version: Version) -> _Held:
        # Here, not above: the gateway and the index import this module, and have no use for torch.
        from models import load

        folder = fetched_checkpoint(self.workspace, version.checkpoint)
        model = load(folder, self.device)
        # After it was loaded: a training run may put other weights in their place at any time.
        version.check(self.workspace, placed_digest(str(folder)))
        with inference(self.device):
            model.encode_query(["the first text compiles what the others use"])
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
