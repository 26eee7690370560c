"""What a fine-tuned classifier, detector or segmenter can be asked: what it sees in images."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from knowlip.errors import CheckpointError
from models.fitting import fit_image
from models.preprocessing import ImageLike, decode_view
from models.tasks.head import HEAD_SETTINGS, HeadTask

__all__ = ["TunedModel", "load_tuned"]

_KINDS = {
    "classification": ("ClassificationTask", "ClassificationSettings"),
    "detection": ("DetectionTask", "DetectionSettings"),
    "segmentation": ("SegmentationTask", "SegmentationSettings"),
}


class TunedModel:
    """A tower with the head that was tuned for a task.

    Args:
        task: Built, with its weights.
        batch_size: Most images that go through the network at once.
    """

    def __init__(self, task: HeadTask, *, batch_size: int = 32) -> None:
        self.task, self.batch_size = task, batch_size

    @torch.inference_mode()
    def predict(self, images: Sequence[ImageLike]) -> list[Any]:
        """Return what is seen in each image, in the image's own pixels.

        Returns:
            For each image, of a classifier: its classes as `Answer`, likeliest first; of a detector: its `Detection`,
            surest first; of a segmenter: a mask (H, W) uint8 of the codes of the data set's classes.

        Raises:
            DataError: An image does not decode; names its number.
        """
        model, seen = self.task.model, []
        for start in range(0, len(images), self.batch_size):
            part = images[start : start + self.batch_size]
            decoded = [decode_view(image, where=f"image {number}") for number, image in enumerate(part, start)]
            fitted = [fit_image(pixels, model.preprocessing, self.task.settings.fit) for pixels in decoded]
            pixels_BHW = torch.from_numpy(np.stack([pixels for pixels, _ in fitted])).to(model.device)
            seen += self.task.predict(pixels_BHW, [fitting for _, fitting in fitted])
        return seen


def load_tuned(folder: str | Path, device: str = "cpu") -> TunedModel:
    """Open what `jobs.finetune` made of a classifier, detector or segmenter.

    Args:
        folder: ``runs/NAME/checkpoint``.
        device: Where it computes.

    Raises:
        CheckpointError: The folder holds no tuned head, or something in it does not fit.
    """
    file = Path(folder) / HEAD_SETTINGS
    try:
        made = json.loads(file.read_text(encoding="utf-8"))
        names = _KINDS[made["task"]]
        kind, settings = (getattr(importlib.import_module(f"models.tasks.{made['task']}"), name) for name in names)
        task = kind(settings.model_validate({**made["settings"], "checkpoint": str(folder)}))
    except OSError as error:
        raise CheckpointError(
            f"no {HEAD_SETTINGS}", where=str(folder), fix="fine-tune a classifier, detector or segmenter"
        ) from error
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise CheckpointError(f"{HEAD_SETTINGS} cannot be read ({error})", where=str(folder)) from error
    task.restore()
    task.network.to(device)
    return TunedModel(task)
