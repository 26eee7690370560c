"""A look into the model that a run kept, for its report: where it attends, and its features of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from knowlip.archive import fetched_checkpoint
from knowlip.workspace import Workspace

if TYPE_CHECKING:
    from models import KnowlipModel

__all__ = ["RunLook"]

_AT_ONCE = 64


class RunLook:
    """The model of a run; it opens when it is first looked into.

    Args:
        workspace: Where the run lies.
        artefact: Its folder.
    """

    def __init__(self, workspace: Workspace, artefact: str) -> None:
        self._workspace, self._artefact = workspace, artefact
        self._model: KnowlipModel | None = None

    @property
    def model(self) -> KnowlipModel:
        """The model.

        Raises:
            CheckpointError: The checkpoint is damaged.
        """
        if self._model is None:
            from models import load  # here, since a report without examples needs no torch

            self._model = load(fetched_checkpoint(self._workspace, f"{self._artefact}/checkpoint"))
        return self._model

    def attention(self, views: Sequence[bytes], texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return how much each patch of an image is looked at while its text is read (Fig. 16)."""
        from models.attention import attention_maps

        return attention_maps(self.model, list(views), list(texts))

    def features(self, views: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the class token (N, D) of images, which a classifier's head reads."""
        import torch

        model, found = self.model, []
        with torch.inference_mode():
            for start in range(0, len(views), _AT_ONCE):
                pixels = model.preprocessing(list(views[start : start + _AT_ONCE]), first=start)
                found.append(model.network.vision.forward_features(pixels.to(model.device))[:, 0].float().cpu())
        return np.concatenate([part.numpy() for part in found])
