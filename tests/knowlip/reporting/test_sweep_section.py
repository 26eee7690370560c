"""A sweep's page: every trial is in the table, and those that reached something are lines of the picture."""

from __future__ import annotations

import re

import pytest

from knowlip.benchmark.trials import trials_table
from knowlip.errors import DataError
from knowlip.reporting import render
from knowlip.reporting.parallel import parallel_coordinates
from knowlip.reporting.sections import sweep_section


def outcome(rate: float, fit: str, value: float | None, status: str = "finished") -> dict[str, object]:
    config = {"optimisation.learning_rate": rate, "tuning.fit": fit}
    error = "out of memory <here>" if status == "failed" else None
    return {"config": config, "status": status, "epoch": 3, "value": value, "seconds": 1.5, "error": error}


OUTCOMES = [outcome(1e-4, "pad", 0.5), outcome(1e-2, "stretch", 0.9), outcome(1e-3, "pad", None, "failed")]


def test_the_page_shows_all_trials_the_best_first() -> None:
    table = trials_table(OUTCOMES)
    assert table["trial"].to_pylist() == [0, 1, 2]
    section = sweep_section(table, "top1", higher_is_better=True)
    assert [row[0] for row in section.elements[-1].rows] == [1, 0, 2]
    assert "out of memory &lt;here&gt;" in render("Sweep", [section])
    lower = sweep_section(table, "loss", higher_is_better=False)
    assert [row[0] for row in lower.elements[-1].rows] == [0, 1, 2]


def test_the_picture_has_an_axis_a_setting_and_a_line_a_trial() -> None:
    rows = [(one["config"], one["value"]) for one in OUTCOMES]
    svg = parallel_coordinates(rows, "top1", "sweep")
    texts = {re.sub(r"<[^>]*>", "", text).strip() for text in re.findall(r"<text.*?</text>", svg, re.DOTALL)}
    assert {"optimisation.learning_rate", "tuning.fit", "top1", "pad", "stretch", "0.0001", "0.01"} <= texts
    assert "2 trials over" in svg
    one = parallel_coordinates([({"a": 1.0}, 0.5)], "top1", "alone")
    assert "1 trials over a" in one


def test_a_trial_without_a_status_is_refused() -> None:
    with pytest.raises(DataError):
        trials_table([{**OUTCOMES[0], "status": None}])
