"""A corpus small enough to train on in a test: bright blocks on speckle, and texts that say where they lie."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from knowlip.records import CORPUS, SUBTEXTS
from knowlip.workspace import Workspace

_COLUMNS, _ROWS = ("west", "centre", "east"), ("north", "middle", "south")


def block_pairs(count: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Return corpus rows without a split: a block of one of three sizes in one of nine places."""
    random = np.random.default_rng(seed)
    pairs = []
    for index in range(count):
        row, column, size = random.integers(3, size=3)
        image = random.gamma(4.0, 12.0, (32, 32)).clip(1, 255)
        edge = 3 + 2 * int(size)
        top, left = 1 + 10 * int(row), 1 + 10 * int(column)
        image[top : top + edge, left : left + edge] = 250
        stream = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(stream, "PNG")
        place, name = f"{_ROWS[row]} {_COLUMNS[column]}", ("small hut", "house", "large hall")[size]
        texts = (
            "bare ground under speckle",
            f"storage around a {name}",
            "flat terrain",
            f"a {name}",
            "one building",
            f"the building stands in the {place}",
            f"bright walls of a {name}",
            f"open ground around the {place}",
        )
        pairs.append(
            {
                "tile_id": f"tile-{index:04d}",
                "scale": "S",
                "place": "p",
                "view": stream.getvalue(),
                **dict(zip(SUBTEXTS, texts, strict=True)),
            }
        )
    return pairs


@pytest.fixture
def block_corpus(workspace_root: str) -> Workspace:
    """A workspace with a corpus of 40 training and 8 held-out pairs in two files."""
    workspace = Workspace(workspace_root)
    rows = [{**pair, "split": "train" if index < 40 else "val"} for index, pair in enumerate(block_pairs(48))]
    table = pa.Table.from_pylist(rows, schema=CORPUS)
    workspace.write_table(table.slice(0, 24), "corpus", "part-00000-test.parquet")
    workspace.write_table(table.slice(24), "corpus", "part-00001-test.parquet")
    return workspace
