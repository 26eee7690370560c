"""What docs/how-to/model.md shows is what runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from models.tasks.classification import ClassificationSettings, ClassificationTask
from models.tasks.detection import Detection, DetectionSettings, DetectionTask
from models.tasks.segmentation import SegmentationSettings, SegmentationTask
from models.tuned import load_tuned

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "model.md"
Columns = dict[str, np.ndarray]


@pytest.mark.filterwarnings("ignore")  # the ONNX exporter's own
def test_the_page_runs_from_top_to_bottom(
    tiny_checkpoint: Path, block_columns: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = ClassificationTask(ClassificationSettings(checkpoint=str(tiny_checkpoint), classes=("one", "two")))
    task.build()
    task.export(tmp_path / "tuned", {})
    for name, view in zip(("ship.png", "apron.png"), block_columns["view"], strict=False):
        (tmp_path / name).write_bytes(view)
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    code = code.replace("workspace/demo/runs/pretrain/checkpoint", str(tiny_checkpoint))
    code = code.replace("workspace/demo/runs/classification/checkpoint", str(tmp_path / "tuned"))
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 (our own page)
    assert np.shape(names["vectors"]) == (2, 16)
    assert np.shape(names["shares"]) == (2,)
    assert {answer.answer for answer in names["seen"][0]} == {"one", "two"}
    assert sorted(path.name for path in (tmp_path / "exported").glob("*.onnx")) == ["image.onnx", "text.onnx"]


def test_what_is_seen_lies_in_the_images_own_pixels(tiny_checkpoint: Path, tmp_path: Path) -> None:
    images = [np.full((20, 70), 90, np.uint8), np.full((64, 48), 90, np.uint8)]
    common = {"checkpoint": str(tiny_checkpoint), "fit": "pad"}
    torch.manual_seed(0)
    detector = DetectionTask(DetectionSettings(classes=("ship",), **common))
    detector.build()
    detector.export(tmp_path / "detector", {})
    for image, found in zip(images, load_tuned(tmp_path / "detector").predict(images), strict=True):
        height, width = image.shape
        for one in found:
            assert isinstance(one, Detection)
            assert one.category == "ship"
            assert 0 <= one.box[0] < one.box[2] <= width
            assert 0 <= one.box[1] < one.box[3] <= height
    segmenter = SegmentationTask(SegmentationSettings(classes={3: "water", 7: "road"}, **common))
    segmenter.build()
    segmenter.export(tmp_path / "segmenter", {})
    masks = load_tuned(tmp_path / "segmenter").predict(images)
    assert [mask.shape for mask in masks] == [image.shape for image in images]
    assert set(np.unique(np.concatenate([mask.ravel() for mask in masks]))) <= {3, 7}
