"""The demo's settings made so small that a test can walk the whole road."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ARTEFACTS = ("scenes", "tiles", "captions", "corpus", "runs/pretrain", "datasets", "runs/vqa", "index", "answers")

_FINETUNE: dict[str, Any] = {
    "epochs": 1,
    "train": {"batch_size": 16},
    "scaling": {"workers": 1},
}
_CONFIGS: dict[str, dict[str, Any]] = {
    "simulate": {"kinds": ["airport", "port"], "scene": {"size_px": [1056, 1056]}},
    "tile": {"tiling": {"extent_m": 176, "medium": 3, "large": 6}},
    "pretrain": {
        "preset": "tiny",
        "model": {
            "vision": {"image_size": 32, "patch": 16, "width": 32, "depth": 1, "heads": 2},
            "text": {"width": 32, "layers": 1, "heads": 2},
        },
        "tokenizer": {"source": "corpus", "vocab_size": 500},
        "optimisation": {"learning_rate": 1e-3, "warmup_steps": 2},
        "train": {"batch_size": 16},
        "scio": {"phase_epochs": [1, 1, 1], "max_new_tokens": 8},
    },
    "finetune-classification": _FINETUNE,
    "finetune-vqa": _FINETUNE,
}


def write_configs(folder: Path) -> Path:
    """Write one STAGE-demo.yaml a stage, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for stage, settings in _CONFIGS.items():
        (folder / f"{stage}-demo.yaml").write_text(yaml.safe_dump(settings))
    return folder
