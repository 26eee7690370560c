"""The checkpoint folder: configuration, weights, tokenizer, preprocessing and manifest, one thing that `load` opens."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from knowlip.errors import CheckpointError
from models.config import KnowLIPConfig
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing
from models.text import Tokenizer

if TYPE_CHECKING:
    from models.verbs import KnowlipModel

__all__ = ["load", "load_strictly", "read_weights", "save_checkpoint"]

CONFIG, WEIGHTS, QUEUE, MANIFEST = "config.json", "model.safetensors", "queue.safetensors", "manifest.json"


def save_checkpoint(
    folder: str | Path,
    network: KnowLIP,
    tokenizer: Tokenizer,
    preprocessing: Preprocessing,
    manifest: Mapping[str, Any],
    *,
    queue: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint folder at once: it is complete or not there.

    Args:
        folder: Where; an older checkpoint there is replaced.
        network: Its weights are stored in float32.
        tokenizer: Its tokenizer.
        preprocessing: How images become its input.
        manifest: How it was made.
        queue: Frozen negatives for screening, from `FeatureQueue.snapshot`.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    draft.mkdir()
    try:
        (draft / CONFIG).write_text(network.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        save_file(_portable(network.state_dict()), draft / WEIGHTS)
        tokenizer.save(draft)
        preprocessing.save(draft)
        if queue is not None:
            save_file({name: tensor.contiguous() for name, tensor in queue.items()}, draft / QUEUE)
        (draft / MANIFEST).write_text(json.dumps(dict(manifest), indent=2, default=str) + "\n", encoding="utf-8")
        _replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def load(path: str | Path, device: str | torch.device = "cpu") -> KnowlipModel:
    """Open a checkpoint folder, strictly.

    Args:
        path: The folder.
        device: Where the network goes.

    Returns:
        The model with its public verbs, in evaluation mode.

    Raises:
        CheckpointError: A file is missing or damaged, or the weights do not fit the configuration.
    """
    from models.verbs import KnowlipModel

    folder = Path(path)
    network = KnowLIP(_read_config(folder))
    load_strictly(network, read_weights(folder / WEIGHTS), where=str(folder))
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer.vocab_size > network.config.text.vocab_size:
        raise CheckpointError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the model {network.config.text.vocab_size}",
            where=str(folder),
            fix="take the tokenizer that the model was trained with",
        )
    queue = read_weights(folder / QUEUE) if (folder / QUEUE).exists() else None
    return KnowlipModel(
        network=network.to(device).eval(),
        tokenizer=tokenizer,
        preprocessing=Preprocessing.from_folder(folder),
        manifest=_read_json(folder / MANIFEST),
        queue=queue,
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; nothing is ever unpickled.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = "is missing" if not path.exists() else f"cannot be read ({error})"
        raise CheckpointError(
            f"{path.name} {reason}", where=str(path.parent), fix="point at a folder that save_checkpoint wrote"
        ) from error


def load_strictly(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    where: str,
    may_lack: tuple[str, ...] = (),
    may_hold: tuple[str, ...] = (),
) -> dict[str, list[str]]:
    """Load weights and let nothing differ but what is allowed.

    Args:
        module: Takes the weights.
        weights: Name to tensor.
        where: The file or folder, for the error line.
        may_lack: Parts of names of the module's tensors that the weights need not have.
        may_hold: Parts of names of the weights' tensors that the module need not have.

    Returns:
        The names that were `lacking` and `left_over`, all allowed.

    Raises:
        CheckpointError: A tensor is missing, unexpected or of another shape; names the first few of each.
    """
    own = module.state_dict()
    lacking = sorted(name for name in own if name not in weights)
    left_over = sorted(name for name in weights if name not in own)
    misfit = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own)
        if name in weights and weights[name].shape != own[name].shape
    ]
    problems = [
        f"{title} {_few(names)}"
        for title, names in (
            ("missing", [name for name in lacking if not any(part in name for part in may_lack)]),
            ("unexpected", [name for name in left_over if not any(part in name for part in may_hold)]),
            ("of another shape", misfit),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            "weights do not fit: " + "; ".join(problems),
            where=where,
            fix="use the configuration that they were trained with",
            code="misfit",
        )
    module.load_state_dict({name: weights[name] for name in own if name in weights}, strict=False)
    return {"lacking": lacking, "left_over": left_over}


def _few(names: list[str], limit: int = 4) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in state.items()
    }


def _read_config(folder: Path) -> KnowLIPConfig:
    try:
        return KnowLIPConfig.model_validate_json((folder / CONFIG).read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"no {CONFIG}", where=str(folder), fix="point at a folder that save_checkpoint wrote"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{CONFIG}: {field}: {first['msg']}", where=str(folder)) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}", where=str(path.parent)) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} is no object", where=str(path.parent))
    return content


def _replace(draft: Path, folder: Path) -> None:
    """Put the finished draft in place; an older folder is moved aside first and removed after."""
    if not folder.exists():
        draft.replace(folder)
        return
    old = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.old"
    folder.replace(old)
    draft.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
