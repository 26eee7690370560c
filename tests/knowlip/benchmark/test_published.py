"""The paper's tables, held against each other and, where the paper lies beside the project, against its text."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from knowlip.benchmark.published import OURS, TABLES, published

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def paper() -> str:
    """Text of the paper (`KNOWLIP_PAPER`); the test is skipped where there is none."""
    path = Path(os.environ.get("KNOWLIP_PAPER", ROOT.parent / "shared" / "paper" / "sar-knowlip.md"))
    if not path.exists():
        pytest.skip(f"no paper at {path}: set KNOWLIP_PAPER")
    return path.read_text(encoding="utf-8")


def printed(text: str, number: int, columns: int) -> list[tuple[float, ...]]:
    """The rows of figures of a table, as the paper prints them."""
    after = text[text.index(f"TABLE {number}:") :]
    rows = []
    for line in after.splitlines()[1:]:
        if line.startswith("TABLE "):
            break
        cells = [re.sub(r"</?[a-z]+>", "", cell).strip() for cell in line.split("\t")]
        found = [cell for cell in cells if re.fullmatch(r"\d+(\.\d+)?", cell)]
        if len(found) == columns:
            rows.append(tuple(float(cell) for cell in found))
    return rows


@pytest.mark.parametrize("number", TABLES)
def test_every_figure_is_the_papers(paper: str, number: int) -> None:
    table = TABLES[number]
    rows = printed(paper, number, len(table.columns))
    assert len(rows) >= len(table.rows) > 3
    assert [row.values for row in table.rows] == rows[: len(table.rows)]
    for row in table.rows:
        stem = row.model.split(" + ")[0]
        assert stem.lower() in paper.lower(), stem


def test_tables_are_whole() -> None:
    assert [len(table.rows) for table in TABLES.values()] == [19, 16, 5, 4]
    for table in TABLES.values():
        assert all(len(row.values) == len(table.columns) for row in table.rows)
        assert all(0 < value <= 120 for row in table.rows for value in row.values)
        assert len({(row.model, row.backbone) for row in table.rows}) == len(table.rows)


def test_the_mean_recall_is_that_of_the_six() -> None:
    for row in TABLES[6].rows:
        assert np.mean(row.values[:6]) == pytest.approx(row.values[6], abs=0.02), row.model


def test_tables_agree_with_one_another() -> None:
    ours = next(row for row in TABLES[6].rows if (row.model, row.backbone) == (OURS, "ViT-Base"))
    assert TABLES[8].rows[-1].values == ours.values[-6:]
    assert TABLES[7].rows[-1].values == tuple(float(int(value)) for value in ours.values[-6:])


def test_figures_are_found_by_our_names() -> None:
    found = {
        row.model: value
        for _, row, value in published("classification", "top1", "SAR-ACD")
        if row.backbone == "ViT-Base"
    }
    assert found["SAR-KnowLIP"] == 91.11
    assert found["MAE"] == 63.81
    assert {number for number, *_ in published("vqa", "accuracy_count")} == {6, 7, 8}
    assert list(published("classification", "map50")) == []
