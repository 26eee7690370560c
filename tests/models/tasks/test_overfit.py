"""Each head learns eight simulated images by heart: what it gets wrong after that, is wrong in the code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import models
from knowlip.scenes.simulate import LANDCOVER
from models.heads.segmenter import SegmenterConfig
from models.heads.vitdet import DetectorConfig
from models.tasks.base import CheckpointTask
from models.tasks.captioning import PROMPT, CaptioningSettings, CaptioningTask
from models.tasks.classification import ClassificationSettings, ClassificationTask
from models.tasks.detection import DetectionSettings, DetectionTask
from models.tasks.protocol import Task
from models.tasks.retrieval import RetrievalSettings, RetrievalTask
from models.tasks.segmentation import SegmentationSettings, SegmentationTask
from models.tasks.vqa import VqaSettings, VqaTask

Columns = dict[str, np.ndarray]
CLASSES = ("aircraft", "storage tank")
COVERS = {code: LANDCOVER[code] for code in (2, 5, 7)}

pytestmark = pytest.mark.slow


def overfitted(task: CheckpointTask, columns: Columns, steps: int, rate: float) -> dict[str, float]:
    """Train on the same eight images, through the methods that the loop calls, and score them."""
    task = pickle.loads(pickle.dumps(task))  # noqa: S301 (our own bytes: it must travel)
    assert isinstance(task, Task)
    network = task.build().train()
    optimiser = torch.optim.AdamW(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    for step in range(steps):
        chance = torch.Generator().manual_seed(step)
        losses = task.losses(task.collate(columns, train=False, generator=chance))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        task.after_step()
    network.eval()
    task.evaluate(task.collate(columns, train=False, generator=torch.Generator().manual_seed(0)))
    return task.metrics() | {"task": task}  # type: ignore[dict-item]


def test_classification(chip_checkpoint: Path, simulated_columns: Columns) -> None:
    task = ClassificationTask(ClassificationSettings(checkpoint=str(chip_checkpoint), classes=CLASSES))
    assert overfitted(task, simulated_columns, 40, 2e-3)["top1"] == 1.0


def test_a_small_residual_network(chip_checkpoint: Path, simulated_columns: Columns, tmp_path: Path) -> None:
    settings = ClassificationSettings(checkpoint=str(chip_checkpoint), classes=CLASSES, backbone="test_resnet")
    figures = overfitted(ClassificationTask(settings), simulated_columns, 60, 5e-3)
    assert figures["top1"] == 1.0
    figures["task"].export(tmp_path / "tuned", {})
    seen = models.load_tuned(tmp_path / "tuned").predict(list(simulated_columns["view"]))
    assert [answers[0].answer for answers in seen] == list(simulated_columns["label"])


def test_detection(chip_checkpoint: Path, simulated_columns: Columns, tmp_path: Path) -> None:
    head = DetectorConfig(width=32, anchors_px=(8, 16, 24, 32, 64), proposals=32, pooled=5, head_width=128)
    settings = DetectionSettings(checkpoint=str(chip_checkpoint), classes=CLASSES, detector=head)
    figures = overfitted(DetectionTask(settings), simulated_columns, 120, 2e-3)
    assert figures["map50"] >= 0.9
    records = figures["task"].scored
    figures["task"].export(tmp_path / "tuned", {})
    seen = models.load_tuned(tmp_path / "tuned").predict(list(simulated_columns["view"]))
    for record, found in zip(records, seen, strict=True):
        assert [one.category for one in found] == [one["category"] for one in record["given"]]
        boxes, expected = [one.box for one in found], [one["box"] for one in record["given"]]
        np.testing.assert_allclose(boxes, expected, atol=1e-3)


def test_segmentation(chip_checkpoint: Path, simulated_columns: Columns, tmp_path: Path) -> None:
    settings = SegmentationSettings(
        checkpoint=str(chip_checkpoint), classes=COVERS, segmenter=SegmenterConfig(layers=1)
    )
    figures = overfitted(SegmentationTask(settings), simulated_columns, 80, 2e-3)
    assert figures["miou"] >= 0.9
    figures["task"].export(tmp_path / "tuned", {})
    seen = models.load_tuned(tmp_path / "tuned").predict(list(simulated_columns["view"]))
    for mask, codes in zip(simulated_columns["mask"], seen, strict=True):
        known = np.asarray(Image.open(io.BytesIO(mask)))
        assert (codes == known)[known > 0].mean() > 0.9


def test_retrieval(chip_checkpoint: Path, simulated_columns: Columns) -> None:
    settings = RetrievalSettings(checkpoint=str(chip_checkpoint), reranked=4)
    figures = overfitted(RetrievalTask(settings), simulated_columns, 150, 3e-3)
    assert (figures["t2i_r1"], figures["i2t_r1"]) == (1.0, 1.0)


def test_captioning(chip_checkpoint: Path, simulated_columns: Columns) -> None:
    task = CaptioningTask(CaptioningSettings(checkpoint=str(chip_checkpoint), max_tokens=60, beams=1))
    figures = overfitted(task, simulated_columns, 120, 3e-3)
    tuned: Any = figures["task"]
    right = {name: some[0] for name, some in zip(*(simulated_columns[n] for n in ("example_id", "texts")), strict=True)}
    assert {record["example_id"]: record["given"] for record in tuned.scored} == right
    assert figures["bleu4"] == pytest.approx(1.0)
    for beams in (1, 3):
        given = tuned.model.write(list(simulated_columns["view"]), PROMPT, max_new_tokens=60, beams=beams)
        assert given == list(right.values())


def test_visual_question_answering(chip_checkpoint: Path, simulated_columns: Columns) -> None:
    answers = {"count": ("no", "one", "two", "three", "four", "five", "six")}
    task = VqaTask(VqaSettings(checkpoint=str(chip_checkpoint), answers=answers))
    assert overfitted(task, simulated_columns, 80, 3e-3)["accuracy"] == 1.0
