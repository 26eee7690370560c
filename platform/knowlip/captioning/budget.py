"""A hard budget: what a call may cost at most is held before it is made, so the limit is never passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Budget", "Hold", "Verdict"]


@dataclass(frozen=True)
class Hold:
    """The most that a call may take.

    Attributes:
        tokens: Tokens read and written.
        usd: Price.
    """

    tokens: int = 0
    usd: float = 0.0


class Verdict(Enum):
    """What the budget says to a call."""

    GRANTED = "granted"
    WAIT = "wait"
    EXHAUSTED = "exhausted"


@dataclass
class Budget:
    """Money and tokens that a job may spend.

    A call holds the most it can cost and settles what it did cost. While others hold what is left, one waits: they
    may settle for less. When even nothing held leaves too little, the budget is exhausted.

    Args:
        usd: Limit in US dollars; none for no limit.
        tokens: Limit in tokens; none for no limit.
        spent: What was spent before.
        lost_after_s: A hold that nobody settles for so long (its holder died) counts as spent.
    """

    usd: float | None = None
    tokens: int | None = None
    spent: Hold = field(default_factory=Hold)
    lost_after_s: float = 900.0
    _held: dict[int, tuple[float, Hold]] = field(default_factory=dict, repr=False)
    _number: int = 0

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.usd is not None or self.tokens is not None

    @property
    def held(self) -> Hold:
        """What open calls hold together."""
        holds = [hold for _, hold in self._held.values()]
        return Hold(sum(hold.tokens for hold in holds), sum(hold.usd for hold in holds))

    def hold(self, most: Hold, now_s: float) -> tuple[Verdict, int]:
        """Ask for the most that a call can cost; a grant comes with the number to settle it by."""
        self._write_off(now_s)
        if not self._fits(most, Hold()):
            return Verdict.EXHAUSTED, 0
        if not self._fits(most, self.held):
            return Verdict.WAIT, 0
        self._number += 1
        self._held[self._number] = (now_s, most)
        return Verdict.GRANTED, self._number

    def settle(self, number: int, spent: Hold) -> None:
        """Give a hold back, and say what the call did cost."""
        self._held.pop(number, None)
        self.spent = Hold(self.spent.tokens + spent.tokens, self.spent.usd + spent.usd)

    def _fits(self, most: Hold, held: Hold) -> bool:
        tokens = self.spent.tokens + held.tokens + most.tokens
        usd = self.spent.usd + held.usd + most.usd
        return (self.tokens is None or tokens <= self.tokens) and (self.usd is None or usd <= self.usd)

    def _write_off(self, now_s: float) -> None:
        lost = [number for number, (at_s, _) in self._held.items() if now_s - at_s > self.lost_after_s]
        for number in lost:
            self.settle(number, self._held[number][1])
