"""The plan in the documentation is what the rates make, and its arithmetic is right."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("benchmarks_plan", ROOT / "benchmarks" / "plan.py")
plan = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(plan)
RATES = yaml.safe_load(plan.RATES.read_text())


def test_the_page_shows_what_the_rates_make():
    shown = plan.PAGE.read_text().partition(plan.MARKS[0])[2].partition(plan.MARKS[1])[0]
    assert shown.strip() == plan.table(RATES).strip(), "run `python benchmarks/plan.py --write`"


def test_every_rate_was_measured():
    assert all(value > 0 for value in RATES["measured"].values())


def test_hours_and_money_follow_from_the_rates():
    rates = copy.deepcopy(RATES)
    rates["measured"] |= {"tile_core_s": 3.6, "tile_mb": 1.0, "caption_kb": 2.0}
    rates["assumed"] |= {"tiles_per_small": 1.0, "epochs": 10, "train_tflop_per_pair": 1.0}
    rates["assumed"] |= {"gpu_peak_tflops": 100, "gpu_use": 0.5}
    rates["assumed"] |= {"caption_tokens_read": 900, "caption_tokens_written": 100}
    rates["assumed"] |= {"usd_per_million_read": 1.0, "usd_per_million_written": 10.0, "tokens_per_minute": 1_000_000}
    rates["cluster"]["cpu_node"] |= {"cores": 10, "nodes": 10, "usd_per_hour": 1.0}
    rates["cluster"]["gpu_node"] |= {"gpus": 1, "nodes": 4, "usd_per_hour": 3.0}
    rows = {row["stage"]: row for row in plan.plan(1_000_000, rates)}
    assert rows["tile"]["hours"] == pytest.approx(10.0)  # a million times 3.6 s on a hundred cores
    assert rows["tile"]["usd"] == pytest.approx(100.0)
    assert rows["tile"]["gb"] == pytest.approx(1000.0)
    assert rows["caption, endpoint"]["usd"] == pytest.approx(1900.0)
    assert rows["caption, endpoint"]["hours"] == pytest.approx(1000 / 60)
    assert rows["pretrain"]["hours"] == pytest.approx(1e6 * 10 / 50 / 3600 / 4)
    assert rows["pretrain"]["usd"] == pytest.approx(1e6 * 10 / 50 / 3600 * 3)
