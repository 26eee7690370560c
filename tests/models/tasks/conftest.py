"""A checkpoint small enough to tune in a test, and images with something to learn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import save_checkpoint
from models.config import KnowLIPConfig, TextConfig, VisionConfig
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing
from models.text import Tokenizer
from tests.models.tasks.simulated import simulated_rows

WORDS = ["how many blocks are there one two", "where is the block left right", "what land is it water forest field"]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of random weights."""
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(WORDS * 4, 100)
    config = KnowLIPConfig(
        vision=VisionConfig(image_size=32, patch=8, width=32, depth=2, heads=2),
        text=TextConfig(width=32, layers=2, heads=2, max_tokens=48, positions=48, dropout=0.0, vocab_size=100),
        projection=16,
    ).with_vocabulary(tokenizer.vocab_size)
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    return save_checkpoint(folder, KnowLIP(config), tokenizer, Preprocessing(image_size=32), {"made": "in a test"})


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def block_columns() -> dict[str, np.ndarray]:
    """Eight images of one or two bright blocks, with a class, a question and an answer each."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for index in range(8):
        image = random.integers(20, 60, (32, 32))
        image[8:24, 2:14] = 240
        if index % 2:
            image[8:24, 18:30] = 240
        number = "two" if index % 2 else "one"
        rows.append(
            {
                "example_id": f"e{index}",
                "tile_id": f"t{index}",
                "view": png(image),
                "label": number,
                "question": "how many blocks are there",
                "answer": number,
                "kind": "count",
            }
        )
    return {name: np.array([row[name] for row in rows], dtype=object) for name in rows[0]}


@pytest.fixture(scope="session")
def simulated_columns() -> dict[str, np.ndarray]:
    """Eight chips of a simulated airport, with the columns that every task reads."""
    rows = simulated_rows()
    columns = {name: np.empty(len(rows), dtype=object) for name in rows[0]}
    for name, values in columns.items():
        values[:] = [row[name] for row in rows]
    return columns


@pytest.fixture(scope="session")
def chip_checkpoint(simulated_columns: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of random weights whose tokenizer knows the chips' words."""
    texts = [text for some in simulated_columns["texts"] for text in some]
    tokenizer = Tokenizer.train([*texts, *simulated_columns["question"], *simulated_columns["answer"]], 300)
    config = KnowLIPConfig(
        vision=VisionConfig(image_size=64, patch=8, width=64, depth=2, heads=4),
        text=TextConfig(width=64, layers=2, heads=4, max_tokens=64, positions=64, dropout=0.0, vocab_size=300),
        projection=32,
    ).with_vocabulary(tokenizer.vocab_size)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("chips") / "checkpoint"
    return save_checkpoint(folder, KnowLIP(config), tokenizer, Preprocessing(image_size=64), {"made": "in a test"})
