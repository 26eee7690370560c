"""Classification: the head overfits, travels, and is read back."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

import models
from knowlip.errors import CheckpointError, DataError
from models.tasks.classification import ClassificationSettings, ClassificationTask
from models.tasks.protocol import Task

Columns = dict[str, np.ndarray]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def task(tiny_checkpoint: Path) -> ClassificationTask:
    settings = ClassificationSettings(checkpoint=str(tiny_checkpoint), classes=("one", "two", "none"))
    return pickle.loads(pickle.dumps(ClassificationTask(settings)))  # noqa: S301 (our own bytes: it must travel)


def train(task: ClassificationTask, columns: Columns, steps: int) -> None:
    network = task.network
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(steps):
        losses = task.losses(task.collate(columns, train=False, generator=generator()))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()


def test_overfits_eight_images_and_is_read_back(
    task: ClassificationTask, block_columns: Columns, tmp_path: Path
) -> None:
    assert isinstance(task, Task)
    task.build()
    train(task, block_columns, 30)
    batch = task.collate(block_columns, train=False, generator=generator())
    with torch.no_grad():
        task.evaluate(batch)
    assert task.metrics() == {"top1": 1.0, "top3": 1.0, "mean_recall": 1.0}
    assert task.metrics() == {}
    task.export(tmp_path / "tuned", {"made": "here"})
    seen = models.load_tuned(tmp_path / "tuned").predict(list(block_columns["view"]))
    assert [answers[0].answer for answers in seen] == list(block_columns["label"])
    assert all(sum(answer.confidence for answer in answers) == pytest.approx(1.0) for answers in seen)
    assert models.load(tmp_path / "tuned").encode_text(["left"]).shape == (1, 16)


def test_a_view_that_does_not_decode_is_set_aside(task: ClassificationTask, block_columns: Columns) -> None:
    block_columns["view"][2] = b"not an image"
    batch = task.collate(block_columns, train=True, generator=generator())
    assert batch["skipped"] == [("e2", "the image does not decode")]
    assert len(batch["pixels"]) == len(batch["labels"]) == 7
    assert "e2" not in batch["example_id"]


def test_training_images_vary_with_the_epoch_and_not_with_the_batch(
    task: ClassificationTask, block_columns: Columns
) -> None:
    first, again, later = (
        task.collate(block_columns, train=True, generator=torch.Generator().manual_seed(seed))["pixels"]
        for seed in (1, 1, 2)
    )
    part = {name: values[3:5] for name, values in block_columns.items()}
    alone = task.collate(part, train=True, generator=torch.Generator().manual_seed(1))["pixels"]
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert torch.equal(first[3:5], alone)


def test_an_unknown_label_is_one_clear_line(task: ClassificationTask, block_columns: Columns) -> None:
    block_columns["label"][0] = "up"
    with pytest.raises(DataError, match=r"examples: unknown labels \['up'\]"):
        task.collate(block_columns, train=False, generator=generator())


def test_a_folder_without_a_head_is_no_classifier(tiny_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no head\.json; fine-tune a classifier, detector or segmenter"):
        models.load_tuned(tiny_checkpoint)


def test_starts_from_an_external_vision_transformer(
    tiny_checkpoint: Path, block_columns: Columns, tmp_path: Path
) -> None:
    """timm's folder brings its own architecture; a single file must fit the checkpoint's tower."""
    donor = timm.create_model("test_vit", num_classes=5, img_size=32)
    (tmp_path / "external").mkdir()
    save_file(donor.state_dict(), tmp_path / "external" / "model.safetensors")
    (tmp_path / "external" / "config.json").write_text('{"architecture": "test_vit"}')
    named = {"checkpoint": str(tiny_checkpoint), "classes": ("one", "two")}
    task = ClassificationTask(ClassificationSettings(start=str(tmp_path / "external"), **named))
    network = task.build()
    assert torch.equal(network.vision.state_dict()["blocks.0.mlp.fc1.weight"], donor.blocks[0].mlp.fc1.weight)
    assert network.vision.patch_embed.proj.weight.shape[1] == 1
    task.export(tmp_path / "tuned", {})
    assert len(models.load_tuned(tmp_path / "tuned").predict([np.ones((40, 30), np.uint8)])[0]) == 2
    misfit = ClassificationSettings(start=str(tmp_path / "external" / "model.safetensors"), **named)
    with pytest.raises(CheckpointError, match="weights do not fit"):
        ClassificationTask(misfit).build()


def test_starts_from_scratch_and_from_another_size(tiny_checkpoint: Path, block_columns: Columns) -> None:
    named = {"checkpoint": str(tiny_checkpoint), "classes": ("one", "two", "none")}
    task = ClassificationTask(ClassificationSettings(start="scratch", image_size=64, fit="pad", seed=4, **named))
    network = task.build()
    batch = task.collate(block_columns, train=False, generator=generator())
    assert batch["pixels"].shape == (8, 64, 64)
    assert (batch["pixels"][:, :16] == 0).all()  # at native scale: what lies beside the image is no data
    assert torch.isfinite(task.losses(batch)["cross_entropy"])
    tuned = ClassificationTask(ClassificationSettings(**named)).build()
    assert not torch.equal(network.vision.blocks[0].mlp.fc1.weight, tuned.vision.blocks[0].mlp.fc1.weight)


def test_an_unknown_backbone_is_one_clear_line(tiny_checkpoint: Path) -> None:
    settings = ClassificationSettings(checkpoint=str(tiny_checkpoint), classes=("one", "two"), backbone="resnot")
    with pytest.raises(CheckpointError, match=r"backbone: timm has no 'resnot'; name another"):
        ClassificationTask(settings).build()
