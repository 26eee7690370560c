"""A limit of requests and tokens a minute, which gives way to what the server says and comes back by itself.

Starts are paced evenly (generic cell rate algorithm): a burst that a server forgives once is a refusal on the next.
Everything is pure arithmetic on a clock that the caller gives, so one limiter can stand for a whole cluster.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Grant", "Limiter"]

FREE_S = 0.25
"""How long a caller may go on without asking while nothing is limited."""

BURST_S = 0.25
"""How much of the limit may be used at once after a pause."""

CUT = 0.7
"""Share of the rate that is kept when the server refuses."""

GROWTH_A_SECOND = 1.02
"""How a rate that was cut comes back: to the old one within some twenty seconds."""

WATCHED_S = 10.0


@dataclass(frozen=True)
class Grant:
    """When calls may start.

    Attributes:
        delays_s: One a call: seconds from now.
        free_s: Seconds for which any further call may start without asking.
    """

    delays_s: tuple[float, ...]
    free_s: float = 0.0


@dataclass
class _Pace:
    """One paced quantity."""

    per_minute: float | None
    next_s: float = -math.inf

    def start(self, now_s: float) -> float:
        """When the next unit may start."""
        return now_s if self.per_minute is None else max(now_s, self.next_s - BURST_S)

    def take(self, amount: float, at_s: float) -> None:
        """Book an amount from a moment on."""
        if self.per_minute is not None:
            self.next_s = max(self.next_s, at_s) + amount * 60.0 / self.per_minute


@dataclass
class Limiter:
    """Paces the calls of everyone who uses one endpoint.

    Args:
        requests_per_minute: Ceiling; none for none.
        tokens_per_minute: Ceiling; none for none.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    _requests: _Pace = field(init=False, repr=False)
    _tokens: _Pace = field(init=False, repr=False)
    _paused_until_s: float = -math.inf
    _grown_at_s: float = -math.inf
    _before_cut: float = 0.0
    _starts: deque[tuple[float, int]] = field(default_factory=deque, repr=False)

    def __post_init__(self) -> None:
        self._requests = _Pace(self.requests_per_minute)
        self._tokens = _Pace(self.tokens_per_minute)

    def configure(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        """Take the ceilings of a run that begins; they hold for all who share the endpoint."""
        if (requests_per_minute, tokens_per_minute) != (self.requests_per_minute, self.tokens_per_minute):
            self.requests_per_minute, self.tokens_per_minute = requests_per_minute, tokens_per_minute
            self._requests.per_minute, self._tokens.per_minute = requests_per_minute, tokens_per_minute

    def acquire(self, tokens: Sequence[int], now_s: float, *, started: int = 0) -> Grant:
        """Ask to start calls.

        Args:
            tokens: One a call: the tokens it is expected to take.
            now_s: The clock.
            started: Calls that were started freely since the last time.
        """
        self._watch(started, now_s)
        self._grow(now_s)
        delays = []
        for amount in tokens:
            at_s = max(self._paused_until_s, self._requests.start(now_s), self._tokens.start(now_s))
            self._requests.take(1, at_s)
            self._tokens.take(amount, at_s)
            self._watch(1, at_s)
            delays.append(at_s - now_s)
        limited = self._requests.per_minute or self._tokens.per_minute or self._paused_until_s > now_s
        return Grant(tuple(delays), 0.0 if limited else FREE_S)

    def settle(self, expected: int, taken: int) -> None:
        """Correct the pace by what calls really took."""
        if self._tokens.per_minute is not None and math.isfinite(self._tokens.next_s):
            self._tokens.next_s += (taken - expected) * 60.0 / self._tokens.per_minute

    def throttled(self, wait_s: float, now_s: float) -> None:
        """The server refused: wait as long as it says, then go slower.

        Refusals that arrive together (calls that were in flight) cut the rate once.
        """
        already = now_s < self._paused_until_s + 1.0
        self._paused_until_s = max(self._paused_until_s, now_s + wait_s)
        if not already:
            seen = self._rate(now_s)
            self._before_cut = max(seen, self._requests.per_minute or 0.0)
            self._requests.per_minute = max(1.0, CUT * min(seen, self._requests.per_minute or math.inf))
        self._grown_at_s = self._paused_until_s
        self._requests.next_s = max(self._requests.next_s, self._paused_until_s)

    def pause(self, wait_s: float, now_s: float) -> None:
        """The server says that nothing remains until then: wait without going slower."""
        self._paused_until_s = max(self._paused_until_s, now_s + wait_s)

    def _watch(self, started: int, now_s: float) -> None:
        if started:
            self._starts.append((now_s, started))
        while self._starts and self._starts[0][0] < now_s - WATCHED_S:
            self._starts.popleft()

    def _rate(self, now_s: float) -> float:
        """Calls a minute that were started lately."""
        done = [(at_s, count) for at_s, count in self._starts if at_s <= now_s]
        span_s = max(1.0, now_s - done[0][0]) if done else 1.0
        return max(1.0, 60.0 * sum(count for _, count in done) / span_s)

    def _grow(self, now_s: float) -> None:
        """Come back from a cut: to the ceiling, or, where there is none, to no limit well above the old rate."""
        rate = self._requests.per_minute
        if rate is None or rate == self.requests_per_minute or now_s <= self._grown_at_s:
            return
        rate *= GROWTH_A_SECOND ** (now_s - self._grown_at_s)
        self._grown_at_s = now_s
        if self.requests_per_minute is not None:
            self._requests.per_minute = min(rate, self.requests_per_minute)
        else:
            self._requests.per_minute = rate if rate < 2.0 * self._before_cut else None
