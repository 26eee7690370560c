"""What the whole cluster shares when it asks an endpoint: the pace, the budget, and whether to go on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from jobs.metrics import count
from knowlip import __version__
from knowlip.captioning.budget import Hold, Verdict
from knowlip.captioning.endpoint import EndpointSettings
from knowlip.captioning.faults import Fault
from knowlip.captioning.gate import EndpointError, Stopped, Turnstile
from knowlip.captioning.limiter import Grant, Limiter
from knowlip.manifest import digest

__all__ = ["ClusterGate", "open_desk", "pacer"]

NAMESPACE = "knowlip"
POLL_S = 0.5
BUDGET_WAIT_S = 0.1


class _Pacer:
    """The one limiter of an endpoint; every job of the cluster that uses the endpoint shares it."""

    def __init__(self) -> None:
        self._limiter = Limiter()

    def configure(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        """Take the ceilings of a run that begins."""
        self._limiter.configure(requests_per_minute, tokens_per_minute)

    def acquire(self, tokens: list[int], started: int, correction: int) -> Grant:
        """Say when calls may start; `correction` is what earlier ones took beyond what was expected, tokens."""
        self._limiter.settle(0, correction)
        return self._limiter.acquire(tokens, time.monotonic(), started=started)

    def throttled(self, wait_s: float, refused: bool) -> None:
        """Pause, and go slower where the server refused."""
        (self._limiter.throttled if refused else self._limiter.pause)(wait_s, time.monotonic())


class _Desk:
    """Budget and standing of one run; it also hands the key to workers, so that no setting or argument holds it."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self._key = ""

    def entrust(self, key: str) -> None:
        """Take the key."""
        self._key = key

    def key(self) -> str:
        """Hand the key to a worker."""
        return self._key

    def hold(self, most: Hold) -> tuple[Verdict, int]:
        """Set the most that a call can cost aside, if the budget allows it."""
        return self._turnstile.hold(most, time.monotonic())

    def settle(self, number: int, spent: Hold) -> None:
        """Put what a call took in the place of what was held for it."""
        self._turnstile.budget.settle(number, spent)

    def failed(self, fault: Fault) -> bool:
        """Count a call that failed for good; say whether the run is to end."""
        self._turnstile.failed(fault)
        return self._turnstile.reason is not None

    def report(self, answers: int) -> bool:
        """Take the number of answers since the last report; say whether the run is to end."""
        if answers:
            self._turnstile.succeeded()
        return self._turnstile.reason is not None

    def reason(self) -> EndpointError | None:
        """Why the run is to end, if it is."""
        return self._turnstile.reason


def pacer(settings: EndpointSettings) -> ActorHandle:
    """Return the actor that paces all calls to an endpoint, started if it is not there."""
    name = f"pacer-{__version__}-{digest([settings.base_url, settings.model])}"
    handle = ray.remote(_Pacer).options(name=name, namespace=NAMESPACE, get_if_exists=True, num_cpus=0).remote()
    ray.get(handle.configure.remote(settings.requests_per_minute, settings.tokens_per_minute))
    return handle


def open_desk(turnstile: Turnstile, key: str) -> ActorHandle:
    """Start a run's desk and entrust it with the key."""
    handle = ray.remote(_Desk).options(num_cpus=0).remote(turnstile)
    ray.get(handle.entrust.remote(key))
    return handle


@dataclass
class ClusterGate:
    """A worker's gate (`knowlip.captioning.gate.Gate`): asks for all who wait in one message.

    Args:
        settings: The endpoint.
        desk: The run's desk.
        budgeted: Whether the run has a budget; without one, nothing is held.
    """

    settings: EndpointSettings
    desk: ActorHandle
    budgeted: bool
    _pacer: ActorHandle | None = field(default=None, repr=False)
    _turns: set[asyncio.Future[None]] = field(default_factory=set, repr=False)
    _waiting: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list, repr=False)
    _pumping: asyncio.Task[None] | None = field(default=None, repr=False)
    _polling: asyncio.Task[None] | None = field(default=None, repr=False)
    _free_until_s: float = 0.0
    _started: int = 0
    _correction: int = 0
    _answers: int = 0
    _reported: bool = False
    _stopped: bool = False

    @property
    def stopped(self) -> bool:
        """Whether the run is to end; known within half a second."""
        return self._stopped

    async def enter(self, most: Hold, expected_tokens: int) -> int:
        """Wait for the budget, then for the pace."""
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        if self._stopped:
            raise Stopped
        number = await self._hold(most) if self.budgeted else 0
        if time.monotonic() < self._free_until_s:
            self._started += 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._turns.add(turn)
            turn.add_done_callback(self._turns.discard)
            self._waiting.append((expected_tokens, turn))
            if self._pumping is None or self._pumping.done():
                self._pumping = asyncio.create_task(self._pump())
            await turn
        if self._stopped:
            await self.leave(number, Hold(), expected_tokens=expected_tokens)
            raise Stopped
        return number

    async def leave(self, number: int, spent: Hold, *, expected_tokens: int) -> None:
        """Settle with the budget; the pace is corrected with the next request for it."""
        self._correction += spent.tokens - expected_tokens
        count("knowlip_caption_tokens", spent.tokens, model=self.settings.model)
        count("knowlip_caption_usd", spent.usd, model=self.settings.model)
        if self.budgeted:
            await self.desk.settle.remote(number, spent)

    async def throttled(self, wait_s: float, *, refused: bool) -> None:
        """Slow everyone down, or only pause."""
        self._free_until_s = 0.0
        await self._ask("throttled", wait_s, refused)

    async def failed(self, fault: Fault) -> None:
        """Count at the desk, and stop where it is hopeless."""
        if await self.desk.failed.remote(fault):
            self._stopped = True
            raise Stopped

    async def succeeded(self) -> None:
        """Count; the first answer is reported at once, for it tells a bad tile from a bad endpoint."""
        self._answers += 1
        if not self._reported:
            self._reported = True
            await self.desk.report.remote(1)

    async def _hold(self, most: Hold) -> int:
        while not self._stopped:
            verdict, number = await self.desk.hold.remote(most)
            if verdict is Verdict.GRANTED:
                return int(number)
            if verdict is Verdict.EXHAUSTED:
                self._stopped = True
                break
            await asyncio.sleep(BUDGET_WAIT_S)
        raise Stopped

    async def _pump(self) -> None:
        """Ask the pacer for all who wait, until nobody waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken, self._waiting = self._waiting, []
            started, self._started = self._started, 0
            correction, self._correction = self._correction, 0
            try:
                grant = await self._ask("acquire", [tokens for tokens, _ in taken], started, correction)
            except Exception as error:
                for _, turn in taken:
                    if not turn.done():
                        turn.set_exception(error)
                raise
            self._free_until_s = time.monotonic() + grant.free_s
            for delay_s, (_, turn) in zip(grant.delays_s, taken, strict=True):
                if delay_s <= 0:
                    _open(turn)
                else:
                    loop.call_later(delay_s, _open, turn)

    async def _ask(self, method: str, *arguments: Any) -> Any:
        """Ask the pacer; one that ended with the job that started it is started again."""
        for _ in range(3):
            if self._pacer is None:
                self._pacer = await asyncio.to_thread(pacer, self.settings)
            with contextlib.suppress(RayActorError):
                return await getattr(self._pacer, method).remote(*arguments)
            self._pacer = None
        raise EndpointError("the limiter cannot be kept", where=self.settings.base_url, fix="look at the Ray cluster")

    async def _poll(self) -> None:
        """Report answers, and learn whether the run is to end."""
        while not self._stopped:
            answers, self._answers = self._answers, 0
            self._stopped = self._stopped or await self.desk.report.remote(answers)
            await asyncio.sleep(POLL_S)
        for turn in list(self._turns):  # whoever waits for a turn need not wait for its end
            _open(turn)


def _open(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
