"""The exported encoders give what ours give, for any number of images and any length of text."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from knowlip.errors import SettingsError
from models.onnx_export import export_onnx
from models.preprocessing import Preprocessing
from models.text import Tokenizer, pad
from models.verbs import KnowlipModel


@pytest.fixture
def model(network, tokenizer):
    return KnowlipModel(network, tokenizer, Preprocessing(image_size=32))


def test_both_encoders_agree_with_ours(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    image_file, text_file = export_onnx(model, tmp_path)
    preprocessing, tokenizer = Preprocessing.from_folder(tmp_path), Tokenizer.from_folder(tmp_path)
    image_session = onnxruntime.InferenceSession(image_file, providers=["CPUExecutionProvider"])
    text_session = onnxruntime.InferenceSession(text_file, providers=["CPUExecutionProvider"])
    for count in (1, 3, 5):
        images = [np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8) for i in range(count)]
        (found,) = image_session.run(None, {"pixels": preprocessing(images).numpy()})
        np.testing.assert_allclose(found, model.encode_image(images), atol=1e-3)
        texts = ["airport 1 " * (1 + 3 * n) for n in range(count)]
        ids, mask = pad(tokenizer.plain(texts, 128), tokenizer.pad)
        (found,) = text_session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})
        np.testing.assert_allclose(found, model.encode_text(texts), atol=1e-3)


def test_without_the_extra_it_says_what_to_install(model, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(SettingsError, match=r"onnx and onnxscript not installed; pip install 'knowlip\[onnx\]'"):
        export_onnx(model, tmp_path)
