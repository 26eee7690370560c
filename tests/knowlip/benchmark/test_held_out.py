"""Records beside the weights, and the figures that come of them: near-identical examples are resampled together."""

from __future__ import annotations

from typing import Any

import pytest

from knowlip.benchmark.held_out import read_figures, read_records, scored, write_records
from knowlip.benchmark.metrics import Interval, Record, classification_scores
from knowlip.workspace import Workspace

RUN = "runs/chips"


def record(number: int, right: bool) -> dict[str, Any]:
    return {"example_id": f"e{number:02d}", "label": "a", "ranked": ["a", "b"] if right else ["b", "a"]}


@pytest.fixture
def run(workspace_root: str) -> Workspace:
    """A run whose model was right on the first thirty of forty examples."""
    workspace = Workspace(workspace_root)
    folder = workspace.local(RUN, "checkpoint")
    folder.mkdir(parents=True)
    write_records(folder, [record(number, right=number < 30) for number in range(40)])
    return workspace


def test_records_are_read_as_they_were_written(run: Workspace) -> None:
    assert read_records(run, RUN) == [record(number, right=number < 30) for number in range(40)]
    assert read_records(run, "runs/none") == []


def test_figures_are_left_with_their_intervals(run: Workspace) -> None:
    figures = scored(run, RUN, classification_scores, groups={}, floors={"majority_accuracy": 0.4})
    assert figures["top1"].value == 0.75
    # Forty independent ones: about 0.75 ± 1.96 · √(0.75 · 0.25 / 40).
    assert (figures["top1"].low, figures["top1"].high) == pytest.approx((0.62, 0.88), abs=0.04)
    assert figures["majority_accuracy"] == Interval(0.4, 0.4, 0.4)
    assert read_figures(run, RUN) == figures
    assert read_figures(run, "runs/none") == {}
    assert str(figures["majority_accuracy"]) == "0.400"


def test_near_identical_examples_are_one_observation(run: Workspace) -> None:
    def width(groups: dict[str, str]) -> float:
        figure = scored(run, RUN, classification_scores, groups=groups, floors={})["top1"]
        return figure.high - figure.low

    four = {f"e{number:02d}": f"g{number // 10}" for number in range(40)}
    assert width(four) > 1.5 * width({})


def test_a_run_without_held_out_examples_has_floors_only(workspace_root: str) -> None:
    def never(_: list[Record]) -> dict[str, float]:
        raise AssertionError

    assert scored(Workspace(workspace_root), RUN, never, groups={}, floors={}) == {}
