"""The downstream tasks by name: the columns each reads, its own settings, and what it must be told by the data."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from PIL import Image
from pydantic import Field

from jobs.train.labelled import Labelled
from jobs.train.settings import overlaid
from knowlip.benchmark.majority import majority_accuracy, ranked_answers
from knowlip.errors import DataError, SettingsError
from knowlip.settings import Section
from models.augment import Augmentation
from models.config import LossWeights
from models.heads.segmenter import SegmenterConfig
from models.heads.vitdet import DetectorConfig
from models.tasks import captioning, classification, detection, retrieval, segmentation, vqa
from models.tasks.base import CheckpointSettings, CheckpointTask

__all__ = ["DOWNSTREAM", "TaskName", "TuningSettings", "floors", "make_task"]

TaskName = Literal["classification", "detection", "segmentation", "retrieval", "captioning", "vqa"]


class TuningSettings(Section):
    """How a task sees its images, and what is special to it; what is left out is the task's own default."""

    start: str | None = None
    """First weights: `checkpoint`, `scratch`, `timm:NAME`, or a folder or .safetensors file of a vision transformer."""

    image_size: int | None = Field(None, ge=8, le=4096)
    """Pixels a side of the input, a multiple of the patch; the checkpoint's when left out."""

    fit: Literal["stretch", "pad"] | None = None
    """Stretch an image to the input, or pad it at its native scale."""

    augmentation: Augmentation | None = None
    """How training images vary."""

    backbone: str | None = None
    """Classification: a timm network from scratch in the tower's place, such as `resnet10t`: a floor."""

    label_smoothing: float | None = Field(None, ge=0, lt=1)
    """Classification: share of the target that is spread over all classes."""

    detector: DetectorConfig | None = None
    """Detection: the head."""

    segmenter: SegmenterConfig | None = None
    """Segmentation: the head."""

    max_tokens: int | None = Field(None, ge=8)
    """Retrieval, captioning, VQA: longest text; 35, for captions 100."""

    weights: LossWeights | None = None
    """Retrieval, captioning, VQA: weights of contrast, matching and writing; `itm: 0` and `mlm: 0` leave contrast."""

    reranked: int | None = Field(None, ge=0)
    """Retrieval: how many first results matching orders anew; 0 leaves the order of contrast."""

    beams: int | None = Field(None, ge=1)
    """Captioning: beam width."""


@dataclass(frozen=True)
class Downstream:
    """One task.

    Attributes:
        task: Its class.
        settings: What it is made from.
        columns: What it reads of its examples.
        told: What the examples tell it: its classes or answers.
        shown: Its figures in a closing table.
    """

    task: type[CheckpointTask]
    settings: type[CheckpointSettings]
    columns: Sequence[str]
    told: Callable[[Labelled], Mapping[str, Any]]
    shown: Sequence[str]


def make_task(name: TaskName, tuning: TuningSettings, data: Labelled, *, checkpoint: str, seed: int) -> CheckpointTask:
    """Make a task for a data set.

    Args:
        name: Which task.
        tuning: Its settings.
        data: The data set.
        checkpoint: Folder of the model that is tuned.
        seed: Of weights that start at random.

    Raises:
        DataError: The examples do not hold what the task learns.
    """
    kind = DOWNSTREAM[name]
    told = kind.told(data)
    own = {field: _completed(kind.settings, field, value) for field, value in given(name, tuning).items()}
    return kind.task(kind.settings.model_validate({"checkpoint": checkpoint, "seed": seed, **told, **own}))


def given(name: TaskName, tuning: TuningSettings) -> dict[str, Any]:
    """Return the settings that were given.

    Raises:
        SettingsError: One of them belongs to other tasks.
    """
    values = {field: value for field in tuning.model_fields_set if (value := getattr(tuning, field)) is not None}
    for field in values:
        if field not in DOWNSTREAM[name].settings.model_fields:
            owners = [task for task, kind in DOWNSTREAM.items() if field in kind.settings.model_fields]
            raise SettingsError(
                f"is no setting of {name}", where=f"tuning.{field}", fix=f"leave it out; {', '.join(owners)} has it"
            )
    return values


def _completed(kind: type[CheckpointSettings], field: str, value: Any) -> Any:
    """Fill up a section of which some settings were given with the task's defaults, not the section's."""
    if not isinstance(value, Section):
        return value
    return overlaid(kind.model_fields[field].default.model_dump(), value.model_dump(exclude_unset=True))


def floors(name: TaskName, data: Labelled, held: str) -> dict[str, float]:
    """Return what the most frequent training answer scores on a held-out split, where a task has answers."""
    column = {"classification": "label", "vqa": "answer"}.get(name)
    if column is None:
        return {}
    table = data.labels
    train, rest = (table.filter(pc.equal(table["split"], split)).to_pydict() for split in ("train", held))
    if name == "classification":
        for part in (train, rest):
            part["kind"] = ["label"] * len(part["split"])
    ranked = ranked_answers(train["kind"], train[column])
    return {"majority_accuracy": majority_accuracy(ranked, rest["kind"], rest[column])} if rest["kind"] else {}


def _classes(data: Labelled) -> dict[str, Any]:
    found = sorted({label for label in data.labels["label"].to_pylist() if label})
    found = list(data.card.classes) if data.card is not None and data.card.classes else found
    if len(found) < 2:
        raise DataError(f"have {len(found)} classes", where="examples", fix="classification needs two or more")
    return {"classes": tuple(found)}


def _categories(data: Labelled) -> dict[str, Any]:
    found = sorted({box["category"] for boxes in data.labels["boxes"].to_pylist() for box in boxes or ()})
    found = list(data.card.classes) if found and data.card is not None and data.card.classes else found
    if not found:
        raise DataError("have no boxes", where="examples", fix="detection needs examples with boxes")
    return {"classes": tuple(found)}


def _codes(data: Labelled) -> dict[str, Any]:
    if data.card is not None and data.card.codes:
        return {"classes": data.card.codes}
    found: set[int] = set()
    for mask in data.labels["mask"].to_pylist():
        if mask is not None:
            with Image.open(io.BytesIO(mask)) as opened:
                found.update(np.unique(np.asarray(opened)).tolist())
    codes = sorted(found - {0})
    if len(codes) < 2:
        raise DataError(f"have {len(codes)} mask values", where="examples", fix="segmentation needs two or more")
    return {"classes": {code: f"class {code}" for code in codes}}


def _answers(data: Labelled) -> dict[str, Any]:
    train = data.labels.filter(pc.equal(data.labels["split"], "train"))
    return {"answers": ranked_answers(train["kind"].to_pylist(), train["answer"].to_pylist())}


def _nothing(_: Labelled) -> dict[str, Any]:
    return {}


DOWNSTREAM: dict[str, Downstream] = {
    "classification": Downstream(
        classification.ClassificationTask,
        classification.ClassificationSettings,
        classification.COLUMNS,
        _classes,
        ("top1", "top3", "majority_accuracy"),
    ),
    "detection": Downstream(
        detection.DetectionTask, detection.DetectionSettings, detection.COLUMNS, _categories, ("map50", "recall50")
    ),
    "segmentation": Downstream(
        segmentation.SegmentationTask,
        segmentation.SegmentationSettings,
        segmentation.COLUMNS,
        _codes,
        ("oa", "miou"),
    ),
    "retrieval": Downstream(
        retrieval.RetrievalTask,
        retrieval.RetrievalSettings,
        retrieval.COLUMNS,
        _nothing,
        ("t2i_r1", "i2t_r1", "retrieval_mean"),
    ),
    "captioning": Downstream(
        captioning.CaptioningTask,
        captioning.CaptioningSettings,
        captioning.COLUMNS,
        _nothing,
        ("bleu4", "meteor", "cider", "spice"),
    ),
    "vqa": Downstream(vqa.VqaTask, vqa.VqaSettings, vqa.COLUMNS, _answers, ("accuracy", "majority_accuracy")),
}
"""What `jobs.finetune` can be asked for."""
