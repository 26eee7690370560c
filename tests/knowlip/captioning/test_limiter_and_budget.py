"""The pace and the purse, on a clock of the test's own."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlip.captioning.budget import Budget, Hold, Verdict
from knowlip.captioning.limiter import Limiter


def starts(
    limiter: Limiter, callers: int, seconds: float, *, tokens: int = 0, taken: int = 0, from_s: float = 0.0
) -> list[float]:
    """Let several callers ask one after another, each again as soon as its call has started and taken its tokens."""
    waiting = [(from_s, caller) for caller in range(callers)]
    started = []
    while waiting[0][0] < from_s + seconds:
        now_s, caller = heapq.heappop(waiting)
        (delay_s,) = limiter.acquire([tokens], now_s).delays_s
        started.append(now_s + delay_s)
        limiter.settle(tokens, taken or tokens)
        heapq.heappush(waiting, (now_s + max(delay_s, 1e-3), caller))
    return [at_s for at_s in started if at_s < from_s + seconds]


def test_a_limit_of_requests_holds_over_all_callers() -> None:
    assert len(starts(Limiter(requests_per_minute=600), 4, 60.0)) == pytest.approx(600, rel=0.01)


def test_a_limit_of_tokens_holds_and_is_corrected_by_what_was_taken() -> None:
    assert len(starts(Limiter(tokens_per_minute=60_000), 4, 60.0, tokens=1000)) == pytest.approx(60, rel=0.05)
    half = starts(Limiter(tokens_per_minute=60_000), 4, 60.0, tokens=1000, taken=500)
    assert len(half) == pytest.approx(120, rel=0.05)


def test_no_limit_lets_callers_go_without_asking() -> None:
    grant = Limiter().acquire([10] * 5, 0.0)
    assert grant.delays_s == (0.0,) * 5
    assert grant.free_s > 0


def test_a_refusal_pauses_all_cuts_the_rate_once_and_wears_off() -> None:
    limiter = Limiter(requests_per_minute=600)
    starts(limiter, 4, 10.0)
    for late_s in (0.0, 0.01, 0.3):  # calls that were in flight together are refused together
        limiter.throttled(2.0, 10.0 + late_s)
    after = starts(limiter, 4, 10.0, from_s=10.4)
    assert min(after) >= 12.0
    assert len(after) == pytest.approx(8.4 * 7 * 1.09, rel=0.1)  # seven a second, growing two per cent a second
    later = starts(limiter, 4, 60.0, from_s=60.0)
    assert len(later) == pytest.approx(600, rel=0.02)


def test_a_pause_that_the_headers_ask_for_leaves_the_rate() -> None:
    limiter = Limiter(requests_per_minute=600)
    limiter.pause(5.0, 0.0)
    assert min(starts(limiter, 2, 10.0)) == 5.0
    assert len(starts(limiter, 2, 60.0, from_s=10.0)) == pytest.approx(600, rel=0.02)


@given(
    limit=st.integers(0, 5000),
    calls=st.lists(st.tuples(st.integers(1, 900), st.floats(0.0, 1.0)), max_size=40),
    in_flight=st.integers(1, 8),
)
def test_a_budget_is_never_passed(limit: int, calls: list[tuple[int, float]], in_flight: int) -> None:
    budget, flying, spent = Budget(tokens=limit), list[tuple[int, int]](), 0
    for most, share in calls:
        verdict, number = budget.hold(Hold(tokens=most), 0.0)
        while verdict is Verdict.WAIT:
            done, cost = flying.pop(0)  # there is always one to wait for
            budget.settle(done, Hold(tokens=cost))
            spent += cost
            verdict, number = budget.hold(Hold(tokens=most), 0.0)
        if verdict is Verdict.EXHAUSTED:
            assert spent + most > limit
            continue
        flying.append((number, round(share * most)))
        assert spent + budget.held.tokens <= limit
        if len(flying) > in_flight:
            done, cost = flying.pop(0)
            budget.settle(done, Hold(tokens=cost))
            spent += cost
    assert budget.spent.tokens == spent <= limit


def test_what_nobody_settles_counts_as_spent() -> None:
    budget = Budget(usd=1.0, lost_after_s=60.0)
    assert budget.hold(Hold(usd=0.7), 0.0)[0] is Verdict.GRANTED
    assert budget.hold(Hold(usd=0.7), 10.0)[0] is Verdict.WAIT
    assert budget.hold(Hold(usd=0.7), 70.0)[0] is Verdict.EXHAUSTED
    assert budget.spent.usd == pytest.approx(0.7)
