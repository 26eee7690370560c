"""Tasks with a head of their own on the vision tower: how it is made, written beside the checkpoint, and read again.

Shape letters: B batch, H W pixels.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from knowlip.errors import CheckpointError
from models.checkpoint import load_strictly, read_weights
from models.fitting import Fitting
from models.tasks.base import CheckpointSettings, CheckpointTask

__all__ = ["HEAD_SETTINGS", "HeadTask"]

HEAD_SETTINGS = "head.json"
"""What a head was made from: the task's name and its settings."""

_WEIGHTS = "head.safetensors"
_BEGINNING = {"checkpoint", "start", "seed", "image_size"}
"""Settings that say where the weights came from; they lie in the folder now."""


class HeadTask(CheckpointTask):
    """The base of classification, detection and segmentation.

    Args:
        settings: What it is made from.
    """

    name: ClassVar[str]

    def __init__(self, settings: CheckpointSettings) -> None:
        super().__init__(settings)
        self._network: nn.Module | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to the workers without the network."""
        return {**super().__getstate__(), "_network": None}

    @property
    def network(self) -> Any:
        """The tower with its head; `build` must have been called."""
        if self._network is None:
            raise RuntimeError("build() the task first")
        return self._network

    def build(self) -> nn.Module:
        """Put a new head on the checkpoint's vision tower."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self._network = self._headed()
        return self._network

    @abstractmethod
    def _headed(self) -> nn.Module:
        """Return the checkpoint's vision tower with a head of random weights."""

    @abstractmethod
    def predict(self, pixels_BHW: Tensor, fittings: Sequence[Fitting]) -> list[Any]:
        """Return what is seen in each image, in the image's own pixels.

        Args:
            pixels_BHW: 8-bit images on the input.
            fittings: Where each image lies on it.
        """

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint with the tuned tower, and beside it the head and what it was made from."""
        super().export(folder, manifest)
        save_file({name: value.detach().cpu().clone() for name, value in self._own().items()}, Path(folder) / _WEIGHTS)
        made = {"task": self.name, "settings": self.settings.model_dump(mode="json", exclude=_BEGINNING)}
        (Path(folder) / HEAD_SETTINGS).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")

    def restore(self) -> None:
        """Build the task with the head that lies beside its checkpoint, in evaluation mode.

        Raises:
            CheckpointError: The weights are missing or do not fit.
        """
        file = Path(self.settings.checkpoint) / _WEIGHTS
        network = self.build().eval()
        weights = read_weights(file)
        if weights.keys() != (own := self._own()).keys():
            names = sorted(weights.keys() ^ own.keys())
            raise CheckpointError(f"holds another head ({names[0]} differs)", where=str(file), fix="fine-tune it again")
        load_strictly(network, {**network.state_dict(), **weights}, where=str(file))

    def _own(self) -> dict[str, Tensor]:
        """Return the tensors that the checkpoint's tower does not hold."""
        tower, whole = (part.state_dict(keep_vars=True) for part in (self.model.network.vision, self.network))
        known = {id(value) for value in tower.values()}
        return {name: value for name, value in whole.items() if id(value) not in known}
