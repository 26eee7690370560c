"""A corpus small enough to train on in a test: bright blocks on speckle, and texts that say where they lie."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from knowlip.records import CORPUS, EXAMPLES, SUBTEXTS
from knowlip.workspace import Workspace

_COLUMNS, _ROWS, _SIZES = ("west", "centre", "east"), ("north", "middle", "south"), ("hut", "house", "hall")


def _pairs(count: int) -> list[dict[str, object]]:
    """Return corpus rows: a block of one of three sizes in one of nine places, the last sixth held out."""
    random = np.random.default_rng(0)
    pairs = []
    for index in range(count):
        row, column, size = (int(draw) for draw in random.integers(3, size=3))
        image = random.gamma(4.0, 12.0, (32, 32)).clip(1, 255)
        edge = 3 + 2 * size
        top, left = 1 + 10 * row, 1 + 10 * column
        image[top : top + edge, left : left + edge] = 250
        stream = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(stream, "PNG")
        place, name = f"{_ROWS[row]} {_COLUMNS[column]}", _SIZES[size]
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
                "split": "train" if index < count * 5 // 6 else "val",
                "view": stream.getvalue(),
                **dict(zip(SUBTEXTS, texts, strict=True)),
            }
        )
    return pairs


def _example(pair: dict[str, object], **asked: str) -> dict[str, object]:
    common = {name: pair[name] for name in ("tile_id", "split", "view")}
    return {**common, "example_id": f"{pair['tile_id']}-{asked.get('kind')}", **asked}


@pytest.fixture(scope="module")
def block_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace of 48 pairs in two files, and of the classes and questions that go with them."""
    workspace = Workspace(str(tmp_path_factory.mktemp("blocks") / "workspace"))
    pairs = _pairs(48)
    table = pa.Table.from_pylist(pairs, schema=CORPUS)
    workspace.write_table(table.slice(0, 20), "corpus", "part-00000-test.parquet")
    workspace.write_table(table.slice(20), "corpus", "part-00001-test.parquet")
    sizes = [str(pair["target_category"]).split()[-1] for pair in pairs]
    classes = [_example(pair, kind="label", label=size) for pair, size in zip(pairs, sizes, strict=True)]
    asked = [
        _example(pair, kind="category", question="what building is this", answer=size)
        for pair, size in zip(pairs, sizes, strict=True)
    ]
    asked += [_example(pair, kind="count", question="how many buildings are there", answer="one") for pair in pairs]
    for name, rows in (("classification", classes), ("vqa", asked)):
        workspace.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), f"datasets/{name}", "part.parquet")
    return workspace


@pytest.fixture(scope="session")
def files_of() -> Callable[[Path], dict[Path, int]]:
    """List a folder's files with their times, to see whether anything was touched."""
    return lambda folder: {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
