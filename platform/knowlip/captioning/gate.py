"""The gate that every call passes: rate, budget, and whether the job still goes on.

`Gate` is what a caller sees; `Turnstile` is the state behind it, plain arithmetic; `LocalGate` puts the two together in
one process. On a cluster the same state sits in actors.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from knowlip.captioning.budget import Budget, Hold, Verdict
from knowlip.captioning.faults import Fault
from knowlip.captioning.limiter import Limiter
from knowlip.errors import KnowlipError

__all__ = ["EndpointError", "Gate", "LocalGate", "Stopped", "Turnstile"]

GIVE_UP_AFTER = 16
"""Calls in a row that fail for good before the job stops: the endpoint is down, not the tile at fault."""


class EndpointError(KnowlipError):
    """A model's endpoint cannot be used, or the budget for it is used up."""


class Stopped(Exception):  # noqa: N818 (not an error: the job ends in order)
    """No further call may be made; what is in flight may end."""


class Gate(Protocol):
    """What a caller of the endpoint passes before and after each call."""

    async def enter(self, most: Hold, expected_tokens: int) -> int:
        """Wait until a call may start; returns the number to `leave` by.

        Args:
            most: The most that the call can cost.
            expected_tokens: What it will probably take.

        Raises:
            Stopped: The job is to end.
        """
        ...

    async def leave(self, number: int, spent: Hold, *, expected_tokens: int) -> None:
        """Say what the call took."""
        ...

    async def throttled(self, wait_s: float, *, refused: bool) -> None:
        """Tell everyone that the server wants a pause; ``refused`` when it turned a call away."""
        ...

    async def failed(self, fault: Fault) -> None:
        """Tell that a call failed for good.

        Raises:
            Stopped: The fault stops the job.
        """
        ...

    async def succeeded(self) -> None:
        """Tell that the endpoint answered."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether the job is to end."""
        ...


@dataclass
class Turnstile:
    """Budget and standing of one run.

    Args:
        budget: What may be spent.
        where: What to call the endpoint in an error.
        reason: Why no further call may be made; none while they may.
    """

    budget: Budget = field(default_factory=Budget)
    where: str = "endpoint"
    reason: EndpointError | None = None
    answers: int = 0
    _failures: int = 0

    def hold(self, most: Hold, now_s: float) -> tuple[Verdict, int]:
        """Ask the budget; when it is exhausted, or the run has stopped, so it says."""
        if self.reason:
            return Verdict.EXHAUSTED, 0
        verdict, number = self.budget.hold(most, now_s)
        if verdict is Verdict.EXHAUSTED:
            self._stop(
                "budget_exhausted", f"the budget is used up ({self._spent()})", "raise --budget-usd or --budget-tokens"
            )
        return verdict, number

    def failed(self, fault: Fault) -> None:
        """Stop the run when the fault says so, or when failures follow one another without an answer."""
        self._failures += 1
        if fault.stops:
            self._stop(fault.code, fault.what, "check the key in the environment and what it may use")
        elif not self.answers or self._failures >= GIVE_UP_AFTER:
            self._stop(
                fault.code, f"{fault.what}, {self._failures} times", "check --endpoint.base-url and --endpoint.model"
            )

    def succeeded(self) -> None:
        """The endpoint answers."""
        self.answers += 1
        self._failures = 0

    def _stop(self, code: str, what: str, fix: str) -> None:
        if self.reason is None:
            self.reason = EndpointError(what, where=self.where, fix=f"{fix}; what was paid for is kept", code=code)

    def _spent(self) -> str:
        spent, budget = self.budget.spent, self.budget
        usd = f"{spent.usd:.4f} of {budget.usd:g} USD" if budget.usd is not None else ""
        tokens = f"{spent.tokens:,} of {budget.tokens:,} tokens" if budget.tokens is not None else ""
        return " and ".join(part for part in (usd, tokens) if part) + " spent, another call might pass it"


@dataclass
class LocalGate:
    """A gate within one process."""

    limiter: Limiter = field(default_factory=Limiter)
    turnstile: Turnstile = field(default_factory=Turnstile)
    retry_s: float = 0.05

    @property
    def stopped(self) -> bool:
        """Whether the run is to end."""
        return self.turnstile.reason is not None

    async def enter(self, most: Hold, expected_tokens: int) -> int:
        """Wait for the budget, then for the pace."""
        verdict, number = self.turnstile.hold(most, time.monotonic())
        while verdict is Verdict.WAIT:
            await asyncio.sleep(self.retry_s)
            verdict, number = self.turnstile.hold(most, time.monotonic())
        if verdict is Verdict.EXHAUSTED:
            raise Stopped
        grant = self.limiter.acquire([expected_tokens], time.monotonic())
        await asyncio.sleep(grant.delays_s[0])
        return number

    async def leave(self, number: int, spent: Hold, *, expected_tokens: int) -> None:
        """Settle with the budget and correct the pace."""
        self.turnstile.budget.settle(number, spent)
        self.limiter.settle(expected_tokens, spent.tokens)

    async def throttled(self, wait_s: float, *, refused: bool) -> None:
        """Slow down, or only wait."""
        (self.limiter.throttled if refused else self.limiter.pause)(wait_s, time.monotonic())

    async def failed(self, fault: Fault) -> None:
        """Count, and stop where it is hopeless."""
        self.turnstile.failed(fault)
        if self.turnstile.reason:
            raise Stopped

    async def succeeded(self) -> None:
        """Count."""
        self.turnstile.succeeded()
