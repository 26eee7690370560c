"""MoCo v3 (Chen et al., 2021) as a task of the training loop: two views of an image against those of all others.

Its crops are resized, which would smooth the speckle in training alone; here views differ by turns, whole-pixel
shifts, gain, speckle and patches without data.

Shape letters: B batch, K keys of all workers, C channels, H W pixels, E embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from knowlip.settings import Section
from models.augment import Augmentation
from models.collectives import Gathered, gather_rows
from models.tasks.protocol import Batch
from models.tasks.unlabelled import COLUMNS, UnlabelledSettings, UnlabelledTask, named
from models.tasks.views import row_generator

__all__ = ["COLUMNS", "MocoDesign", "MocoNetwork", "MocoSettings", "MocoTask"]


class MocoDesign(Section):
    """What is special to MoCo v3; the defaults are its paper's for ViT, except for the augmentation."""

    augmentation: Augmentation = Augmentation(shift_px=32, gain_db=2.0, speckle=0.2)
    """How the two views of an image vary."""
    erased: float = Field(0.25, ge=0, lt=1)
    """Share of the patches of a view that become no data."""
    temperature: float = Field(0.2, gt=0)
    """τ of the contrast."""
    momentum: float = Field(0.99, ge=0, lt=1)
    """Decay of the slow encoder, a step."""
    projection: int = Field(256, ge=8)
    """Width of the embedding."""
    hidden_width: int = Field(4096, ge=16)
    """Width inside projector and predictor."""


class MocoSettings(UnlabelledSettings):
    """What MoCo v3 is made from."""

    design: MocoDesign = MocoDesign()
    """What is special to it."""


class MocoNetwork(nn.Module):
    """A vision tower with projector and predictor, and the slow copy of the first two.

    Args:
        vision: A tower that gives states (B, 1 + N, D).
        design: Widths.
    """

    def __init__(self, vision: nn.Module, design: MocoDesign) -> None:
        super().__init__()
        self.vision = vision
        # A frozen random patch embedding keeps ViTs stable under contrast (section 4.1 of the MoCo v3 paper).
        vision.patch_embed.requires_grad_(False)
        self.project = _layers(int(vision.num_features), design.hidden_width, design.projection, 3)
        self.predict = _layers(design.projection, design.hidden_width, design.projection, 2)
        self.slow_vision = copy.deepcopy(vision).requires_grad_(False)
        self.slow_project = copy.deepcopy(self.project).requires_grad_(False)

    def queries(self, pixels_BCHW: Tensor) -> Tensor:
        """Return unit queries (B, E)."""
        states = self.vision.forward_features(pixels_BCHW)[:, 0]
        return functional.normalize(self.predict(self.project(states)).float(), dim=1)

    @torch.no_grad()
    def keys(self, pixels_BCHW: Tensor) -> Tensor:
        """Return unit keys (B, E) of the slow encoder."""
        states = self.slow_vision.forward_features(pixels_BCHW)[:, 0]
        return functional.normalize(self.slow_project(states).float(), dim=1)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Let the slow encoder follow."""
        for slow, fast in ((self.slow_vision, self.vision), (self.slow_project, self.project)):
            parameters = [list(module.parameters()) for module in (slow, fast)]
            torch._foreach_lerp_(parameters[0], [one.detach() for one in parameters[1]], 1.0 - decay)


class MocoTask(UnlabelledTask):
    """Tell an image's other view from those of other images.

    Args:
        settings: What it is made from.
    """

    name = "moco"
    best_metric = "instance_top1"
    higher_is_better = True

    settings: MocoSettings

    def _around(self, vision: nn.Module) -> nn.Module:
        self._network = MocoNetwork(vision, self.settings.design)
        return self._network

    def build(self) -> nn.Module:
        """Make the model, its projector and predictor, and the slow encoder, which starts at the same weights."""
        network = super().build()
        self._network.slow_vision.load_state_dict(self.student.vision.state_dict())
        return network

    def collate(
        self,
        columns: Mapping[str, np.ndarray],
        *,
        train: bool,  # noqa: ARG002 (without variation the two views would be one)
        generator: torch.Generator,
    ) -> Batch:
        """Return `pixels` and `others` (B, H, W) uint8, two views of each image, held-out ones too; and the ids."""
        other = torch.Generator().manual_seed((generator.initial_seed() + 1) % 2**63)
        first, second = (self._views(columns, self.settings.design.augmentation, draw) for draw in (generator, other))
        batch = named(columns, first)
        pixels, others = (
            self._erased(view.pixels, batch["tile_id"], draw) for view, draw in ((first, generator), (second, other))
        )
        return {**batch, "pixels": pixels, "others": others}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the contrast of both directions, 2 τ × cross-entropy each."""
        return {"contrast": self._contrast(batch)[0]}

    def after_step(self) -> None:
        """Let the slow encoder follow."""
        self._network.follow(self.settings.design.momentum)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Score a held-out batch, each worker's by itself: the loss, and how often the other view comes first."""
        loss, top1 = self._contrast(batch, alone=True)
        self._score(batch, contrast=loss, instance_top1=top1)

    def _contrast(self, batch: Batch, *, alone: bool = False) -> tuple[Tensor, Tensor]:
        pixels, others = self._pixels(batch["pixels"]), self._pixels(batch["others"])
        sides = ((self._network.queries(pixels), others), (self._network.queries(others), pixels))
        losses, hits = [], []
        for query_BE, answer in sides:
            own_BE = self._network.keys(answer)
            (keys_KE,), first = Gathered((own_BE,), 0) if alone else gather_rows(own_BE)
            logits_BK = query_BE @ keys_KE.T / self.settings.design.temperature
            labels_B = first + torch.arange(len(query_BE), device=query_BE.device)
            losses.append(2 * self.settings.design.temperature * functional.cross_entropy(logits_BK, labels_B))
            hits.append((logits_BK.argmax(dim=1) == labels_B).float().mean())
        return losses[0] + losses[1], (hits[0] + hits[1]) / 2

    def _erased(self, pixels_BHW: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
        """Take the data of some patches away."""
        patch, size = int(self.student.vision.patch_embed.patch_size[0]), pixels_BHW.shape[1]
        draws = [row_generator(generator, f"{name}/erased").random((size // patch,) * 2) for name in names]
        gone = torch.from_numpy(np.stack(draws) < self.settings.design.erased)
        gone_BHW = gone.repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)
        return pixels_BHW.masked_fill(gone_BHW, 0)


def _layers(entry: int, width: int, leave: int, depth: int) -> nn.Sequential:
    """Return linear layers with batch norms, as in MoCo v3: the last one without scale and activation."""
    sizes = [entry, *[width] * (depth - 1), leave]
    layers: list[nn.Module] = []
    for place, (first, second) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(first, second, bias=False))
        last = place == depth - 1
        layers.append(nn.BatchNorm1d(second, affine=not last))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
