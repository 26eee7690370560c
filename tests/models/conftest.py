"""A tiny model and sixteen made-up image-text pairs that a network can tell apart."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from knowlip.records import SUBTEXTS
from models.config import KnowLIPConfig
from models.knowlip import KnowLIP
from models.text import Tokenizer

PAIRS = 16
_THINGS = ["airport", "harbour", "city", "forest", "field", "river", "desert", "coast"]
_THINGS += ["island", "bridge", "tank", "ship", "aircraft", "runway", "quay", "road"]


def png(pixels: np.ndarray) -> bytes:
    """Return PNG bytes of an 8-bit image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tiny_config(**changes: object) -> KnowLIPConfig:
    """Return a model that fits a test."""
    return KnowLIPConfig.model_validate(
        {
            "vision": {"image_size": 32, "patch": 8, "width": 48, "depth": 2, "heads": 4},
            "text": {
                "vocab_size": 400,
                "width": 48,
                "layers": 2,
                "heads": 4,
                "max_tokens": 128,
                "positions": 128,
                "dropout": 0.0,
            },
            "projection": 24,
            "contrast": {
                "queue_size": 64,
                "momentum": 0.95,
                "alpha_warmup_steps": 40,
                "queue_warmup_steps": 40,
            },
            "mask": {"word": 0.0, "subtext": 0.3},
            **changes,
        }
    )


@pytest.fixture(scope="session")
def columns() -> dict[str, np.ndarray]:
    """Corpus columns of sixteen pairs: a bright square at one of sixteen places, and words about it."""
    generator = np.random.default_rng(7)
    views, rows = [], []
    for index in range(PAIRS):
        pixels = generator.gamma(4.0, 20.0, (64, 64))
        top, left = (index // 4) * 16, (index % 4) * 16
        pixels[top : top + 16, left : left + 16] += 150
        views.append(png(np.clip(pixels, 1, 255).astype(np.uint8)))
        rows.append([f"{kind.split('_')[1]} {_THINGS[index]} {index}" for kind in SUBTEXTS])
    columns = {
        "tile_id": np.array([f"tile-{index}" for index in range(PAIRS)], dtype=object),
        "view": np.array(views, dtype=object),
    }
    for j, kind in enumerate(SUBTEXTS):
        columns[kind] = np.array([row[j] for row in rows], dtype=object)
    return columns


@pytest.fixture(scope="session")
def tokenizer(columns: dict[str, np.ndarray]) -> Tokenizer:
    """A tokenizer learned from the pairs."""
    return Tokenizer.train([text for kind in SUBTEXTS for text in columns[kind]], vocab_size=400)


@pytest.fixture(scope="session")
def tokenizer_folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer, saved."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return folder


@pytest.fixture
def network(tokenizer: Tokenizer) -> KnowLIP:
    """An untrained tiny network in evaluation mode."""
    torch.manual_seed(3)
    return KnowLIP(tiny_config().with_vocabulary(tokenizer.vocab_size)).eval()


@pytest.fixture
def make_config():
    """`tiny_config`, for tests that change it."""
    return tiny_config


@pytest.fixture
def make_png():
    """`png`, for tests that make images."""
    return png
