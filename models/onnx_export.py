"""The two encoders as ONNX files, for services that have no PyTorch.

Shape letters: B batch, C channels, H W pixels, L tokens, E shared embedding.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from knowlip.errors import SettingsError
from models.knowlip import KnowLIP
from models.verbs import KnowlipModel

__all__ = ["export_onnx"]

_OPSET = 18


class _ImageEncoder(nn.Module):
    def __init__(self, network: KnowLIP) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return unit embeddings (B, E) of pixels (B, C, H, W)."""
        return self.network.encode_image(pixels)[1]


class _TextEncoder(nn.Module):
    def __init__(self, network: KnowLIP) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return unit embeddings (B, E) of ids and mask (B, L)."""
        return self.network.encode_text(ids, mask)[1]


def export_onnx(model: KnowlipModel, folder: str | Path) -> tuple[Path, Path]:
    """Write ``image.onnx`` and ``text.onnx`` with tokenizer and preprocessing beside them.

    ``image.onnx`` takes ``pixels`` (B, C, H, W) float32 as `Preprocessing` makes them, ``text.onnx`` takes ``ids``
    (B, L) int64 and ``mask`` (B, L) bool; both give ``unit_embedding`` (B, E), of unit length. B and L are free.

    Args:
        model: What is exported.
        folder: Where the files go.

    Returns:
        The two files.

    Raises:
        SettingsError: The ``onnx`` extra is not installed.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(f"{' and '.join(missing)} not installed", where="onnx", fix="pip install 'knowlip[onnx]'")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vision, text = model.network.config.vision, model.network.config.text
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=2, max=text.max_tokens)
    pixels = torch.zeros(2, vision.channels, vision.image_size, vision.image_size, device=model.device)
    ids = torch.ones(2, min(12, text.max_tokens), dtype=torch.int64, device=model.device)
    image_file, text_file = folder / "image.onnx", folder / "text.onnx"
    _export(_ImageEncoder(model.network), {"pixels": pixels}, image_file, {"pixels": {0: batch}})
    _export(
        _TextEncoder(model.network),
        {"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)},
        text_file,
        {"ids": {0: batch, 1: length}, "mask": {0: batch, 1: length}},
    )
    model.tokenizer.save(folder)
    model.preprocessing.save(folder)
    return image_file, text_file


def _export(module: nn.Module, inputs: dict[str, Tensor], file: Path, shapes: dict[str, dict[int, object]]) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        torch.onnx.export(
            module.eval(),
            kwargs=inputs,
            f=str(file),
            input_names=list(inputs),
            output_names=["unit_embedding"],
            dynamic_shapes=shapes,
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
