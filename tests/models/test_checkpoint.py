"""The checkpoint folder: what is saved comes back, and what does not fit is refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import models
from knowlip.errors import CheckpointError
from models.checkpoint import save_checkpoint
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing

IMAGES = [np.random.default_rng(i).integers(1, 255, (40, 40), dtype=np.uint8) for i in range(3)]
TEXTS = ["scene background: airport", "target category: ship, cell 4", "quay"]


@pytest.fixture
def folder(network, tokenizer, tmp_path):
    queue = {"images": torch.randn(5, 24), "texts": torch.randn(5, 24), "ids": torch.arange(5)}
    return save_checkpoint(
        tmp_path / "run" / "checkpoint",
        network,
        tokenizer,
        Preprocessing(image_size=32),
        {"settings": {"epochs": 3}},
        queue=queue,
    )


def test_what_is_saved_comes_back(folder, network):
    first, second = models.load(folder), models.load(folder)
    for verb, arguments in (("encode_image", (IMAGES,)), ("encode_text", (TEXTS,)), ("match", (IMAGES, TEXTS))):
        assert np.array_equal(getattr(first, verb)(*arguments), getattr(second, verb)(*arguments))
    pixels = Preprocessing(image_size=32)(IMAGES)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(first.encode_image(IMAGES)), network.encode_image(pixels)[1], atol=0, rtol=0
        )
    assert first.manifest == {"settings": {"epochs": 3}}
    assert first.queue["ids"].tolist() == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "preprocessing.json",
        "queue.safetensors",
        "tokenizer.json",
    ]


def test_saving_replaces_a_folder_whole_and_leaves_nothing_beside_it(folder, network, tokenizer):
    save_checkpoint(folder, network, tokenizer, Preprocessing(image_size=32), {"second": True})
    assert models.load(folder).manifest == {"second": True}
    assert not (folder / "queue.safetensors").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]


def test_a_failed_save_leaves_the_older_checkpoint(folder, network, tokenizer, monkeypatch):
    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Preprocessing, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(folder, network, tokenizer, Preprocessing(image_size=32), {"second": True})
    monkeypatch.undo()
    assert models.load(folder).manifest == {"settings": {"epochs": 3}}
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]


def test_other_weights_are_refused_by_name(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["match_head.extra"] = torch.zeros(2)
    del weights["text_projection.bias"]
    weights["image_projection.weight"] = torch.zeros(24, 7)
    save_file(weights, path)
    with pytest.raises(CheckpointError) as caught:
        models.load(folder)
    line = str(caught.value)
    assert "\n" not in line
    assert str(folder) in line
    assert "missing text_projection.bias" in line
    assert "unexpected match_head.extra" in line
    assert "image_projection.weight (24, 7) instead of (24, 48)" in line


def test_another_architecture_is_refused_by_name(folder, make_config, tokenizer):
    deeper = make_config(vision={"image_size": 32, "patch": 8, "width": 48, "depth": 3, "heads": 4})
    config = deeper.with_vocabulary(tokenizer.vocab_size)
    assert isinstance(KnowLIP(config), KnowLIP)
    (folder / "config.json").write_text(config.model_dump_json())
    with pytest.raises(CheckpointError, match=r"missing vision\.blocks\.2\..* and \d+ more"):
        models.load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "preprocessing.json"])
def test_a_missing_or_damaged_file_is_named(folder, name):
    (folder / name).write_bytes(b"\x00garbage")
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        models.load(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        models.load(folder)


def test_a_foreign_tokenizer_is_refused(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary.update({f"##extra{index}": len(vocabulary) + index for index in range(5)})
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="the tokenizer has"):
        models.load(folder)
