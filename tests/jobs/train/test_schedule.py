"""The learning rate rises, then falls, and never leaves its bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.train.schedule import Schedule
from jobs.train.settings import OptimisationSettings


def test_the_papers_schedule() -> None:
    schedule = Schedule(OptimisationSettings(), steps_per_epoch=1000, epochs=36)
    assert schedule.rate(0) == 1e-6
    assert schedule.rate(1500) == pytest.approx((3e-4 + 1e-6) / 2)
    assert schedule.rate(3000) == 3e-4
    assert schedule.rate(3999) == 3e-4
    assert schedule.rate(4000) == pytest.approx(3e-4 * 0.9)
    assert schedule.rate(3000 + 20 * 1000) == pytest.approx(3e-4 * 0.9**20)
    assert schedule.rate(10**6) == 1e-6


def test_cosine_ends_at_the_floor_and_constant_stays() -> None:
    settings = {"learning_rate": 1e-3, "warmup_steps": 10}
    cosine = Schedule(OptimisationSettings(schedule="cosine", **settings), steps_per_epoch=10, epochs=11)
    assert cosine.rate(60) == pytest.approx((1e-3 + 1e-6) / 2)
    assert cosine.rate(110) == pytest.approx(1e-6)
    constant = Schedule(OptimisationSettings(schedule="constant", **settings), steps_per_epoch=10, epochs=11)
    assert constant.rate(110) == 1e-3


def test_polynomial_and_multistep_are_those_of_the_downstream_tasks() -> None:
    settings = {"learning_rate": 1e-3, "warmup_steps": 10, "floor": 0.0}
    polynomial = Schedule(OptimisationSettings(schedule="polynomial", **settings), steps_per_epoch=10, epochs=11)
    assert polynomial.rate(10) == 1e-3
    assert polynomial.rate(60) == pytest.approx(1e-3 * 0.5**0.9)
    assert polynomial.rate(110) == 0.0
    steps = Schedule(OptimisationSettings(schedule="multistep", **settings), steps_per_epoch=10, epochs=36)
    assert [steps.rate(step) for step in (10, 269, 270, 331, 332, 360)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5]
    )


@given(
    step=st.integers(0, 5000),
    warmup=st.integers(0, 500),
    shape=st.sampled_from(["exponential", "cosine", "polynomial", "multistep", "constant"]),
)
def test_stays_in_its_bounds_and_falls_after_the_warm_up(step: int, warmup: int, shape: str) -> None:
    settings = OptimisationSettings(warmup_steps=warmup, schedule=shape)
    schedule = Schedule(settings, steps_per_epoch=100, epochs=40)
    here, there = schedule.rate(step), schedule.rate(step + 1)
    assert settings.floor <= here <= settings.learning_rate
    assert there >= here if step < warmup else there <= here


def test_a_schedule_that_would_rise_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"floor 0\.01 is above learning_rate 0\.001"):
        OptimisationSettings(learning_rate=1e-3, floor=1e-2)
