"""What is learned, in plain PyTorch: the KnowLIP model, its objectives, SCIO on a batch, and the tasks.

Names load when they are first used, so that ``import models`` stays cheap where no network is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from models import _torchvision_guard as _torchvision_guard  # before anything that imports torchvision

if TYPE_CHECKING:
    from models.checkpoint import load as load
    from models.checkpoint import save_checkpoint as save_checkpoint
    from models.config import KnowLIPConfig as KnowLIPConfig
    from models.config import presets as presets
    from models.knowlip import KnowLIP as KnowLIP
    from models.preprocessing import Preprocessing as Preprocessing
    from models.text import Tokenizer as Tokenizer
    from models.tuned import TunedModel as TunedModel
    from models.tuned import load_tuned as load_tuned
    from models.verbs import Answer as Answer
    from models.verbs import KnowlipModel as KnowlipModel

__all__ = [
    "Answer",
    "KnowLIP",
    "KnowLIPConfig",
    "KnowlipModel",
    "Preprocessing",
    "Tokenizer",
    "TunedModel",
    "load",
    "load_tuned",
    "presets",
    "save_checkpoint",
]

_HOME = {
    "Answer": "models.verbs",
    "KnowLIP": "models.knowlip",
    "KnowLIPConfig": "models.config",
    "KnowlipModel": "models.verbs",
    "Preprocessing": "models.preprocessing",
    "Tokenizer": "models.text",
    "TunedModel": "models.tuned",
    "load": "models.checkpoint",
    "load_tuned": "models.tuned",
    "presets": "models.config",
    "save_checkpoint": "models.checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
