"""Asking an endpoint by its Batch API: one wave a scale, handed in as files, waited for, and journalled."""

from __future__ import annotations

import asyncio
import io
import math
import pickle
import time
from dataclasses import dataclass, field, replace

from pydantic import Field

from jobs.captioning.replays import Work
from jobs.captioning.streaming import Access, journal_of
from knowlip.captioning.asking import Retry
from knowlip.captioning.batch_api import BatchApi, BatchState
from knowlip.captioning.batches import FOLDER, Answer, Batch, BatchRequest, answers, open_batches
from knowlip.captioning.budget import Budget, Hold, Verdict
from knowlip.captioning.dialect import Dialect
from knowlip.captioning.gate import EndpointError, Turnstile
from knowlip.captioning.hcot import prompts_digest
from knowlip.captioning.journal import Journal
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.secret import Key
from knowlip.captioning.units import CaptionUnit
from knowlip.records import SCALES
from knowlip.settings import Section
from knowlip.workspace import Workspace

__all__ = ["BatchSettings", "batch_all"]

_IDLE_ROUNDS = 3
"""Rounds in a row that bring nothing, after which what still fails is set aside."""

_CROWDED = "token_limit_exceeded"
"""Why a batch is turned down when too many wait already."""


class BatchSettings(Section):
    """How requests are handed in with --mode batch."""

    poll_s: float = Field(default=30.0, gt=0.0)
    """Seconds between two looks at batches that are under way."""

    requests_a_file: int = Field(default=5_000, ge=1, le=50_000)
    """Most requests a file."""

    mb_a_file: float = Field(default=150.0, gt=0.0)
    """Most megabytes a file."""

    price_share: float = Field(default=0.5, gt=0.0)
    """What a token costs in a batch, as a share of its price otherwise; ask your vendor."""


def batch_all(
    workspace: Workspace,
    units: list[CaptionUnit],
    *,
    recipe: str,
    family: str,
    access: Access,
    retry: Retry,
    budget: tuple[float | None, int | None],
    settings: BatchSettings,
) -> EndpointError | None:
    """Describe units by batches; takes up what an earlier run, on whatever machine, left at the endpoint.

    Args:
        workspace: Where tiles, journal and captions lie.
        units: The units.
        recipe: Digest of the settings.
        family: Instruction family, or ``auto``.
        access: The model, the key and the price.
        retry: Which replies are asked for again.
        budget: Most US dollars and most tokens, over all runs.
        settings: How requests are handed in.

    Returns:
        Why it ended before all was asked, or none.
    """
    price = access.price.times(settings.price_share) if access.price else None
    work = Work(workspace, units, family, replace(access, price=price, key=Key("")), retry)
    with journal_of(workspace) as journal:
        # What waits at the endpoint may take a day: no hold is written off.
        limit = Budget(*budget, spent=journal.spent(), lost_after_s=math.inf)
        turnstile = Turnstile(limit, where=access.endpoint.base_url)
        try:
            Waves(work, BatchApi(access.endpoint, access.key), settings, turnstile, journal).run()
            stopped = None
        except EndpointError as error:
            stopped = error
        work.write(recipe)
    return stopped


@dataclass
class Waves:
    """One run of batches.

    Args:
        work: What is asked.
        api: The endpoint.
        settings: How requests are handed in.
        turnstile: The budget.
        journal: Where answers go.
    """

    work: Work
    api: BatchApi
    settings: BatchSettings
    turnstile: Turnstile
    journal: Journal
    _dialect: Dialect = field(init=False)
    _open: dict[str, tuple[Batch, object]] = field(default_factory=dict)
    _holds: dict[str, int] = field(default_factory=dict)
    _failing: dict[str, Answer] = field(default_factory=dict)
    _at_once: float = math.inf
    _progress: bool = False
    _told: str = ""

    def __post_init__(self) -> None:
        self._dialect = Dialect(self.work.access.endpoint)

    def run(self) -> None:
        """Take up what earlier runs left, then ask scale by scale.

        Raises:
            EndpointError: The endpoint turns everything down, or the budget is used up.
        """
        self._take_up()
        for scale in SCALES:
            idle = 0
            while idle < _IDLE_ROUNDS:
                self._progress, self._failing = False, {}
                if not self._hand_in_all(scale):
                    break
                self._collect_all()
                idle = 0 if self._progress else idle + 1
            else:
                self._write(list(self._failing.values()))
                self.journal.pack()

    def _take_up(self) -> None:
        """Go on waiting for batches of an earlier run; one that never came to the endpoint is forgotten."""
        for batch in open_batches(self.work.workspace):
            if batch.base_url != self.work.access.endpoint.base_url:
                continue
            if not batch.batch_id:
                batch = batch.named(self.api.find(batch.name))
            if batch.batch_id:
                batch.write(self.work.workspace)
                for request in batch.requests:
                    _, self._holds[request.custom_id] = self.turnstile.budget.hold(request.most, 0.0)
                self._open[batch.name] = batch, None
            else:
                batch.forget(self.work.workspace)
        self._collect_all()

    def _hand_in_all(self, scale: str) -> int:
        """Hand in all of a scale that is not answered; returns how many requests that were."""
        lines, kept, size, count = list[bytes](), list[BatchRequest](), 0, 0
        most_bytes = self.settings.mb_a_file * 1e6
        for row in self.work.to_ask(scale, self._dialect):
            line, request = bytes(row["line"]), pickle.loads(row["kept"])  # noqa: S301 (pickled by this very job)
            if kept and (len(kept) >= self.settings.requests_a_file or size + len(line) > most_bytes):
                self._hand_in(lines, kept)
                lines, kept, size = [], [], 0
            if not self._held(request):
                self._hand_in(lines, kept)
                lines, kept, size = [], [], 0
                self._hold_or_stop(request)
            lines.append(line)
            kept.append(request)
            size, count = size + len(line), count + 1
        self._hand_in(lines, kept)
        return count

    def _held(self, request: BatchRequest) -> bool:
        verdict, number = self.turnstile.hold(request.most, 0.0)
        if verdict is Verdict.GRANTED:
            self._holds[request.custom_id] = number
        return verdict is Verdict.GRANTED

    def _hold_or_stop(self, request: BatchRequest) -> None:
        """Wait until batches that end leave enough of the budget, or end in order."""
        while not self._held(request):
            if self.turnstile.reason is not None:
                self._collect_all()
                raise self.turnstile.reason
            self._collect_one()

    def _hand_in(self, lines: list[bytes], kept: list[BatchRequest]) -> None:
        if not kept:
            return
        while len(self._open) >= self._at_once:
            self._collect_one()
        access = self.work.access
        price = (access.price.read, access.price.written) if access.price else None
        endpoint = access.endpoint
        batch = Batch(endpoint.base_url, endpoint.model, prompts_digest(), endpoint.max_tokens, price, tuple(kept))
        batch.write(self.work.workspace)
        batch = batch.named(self.api.hand_in(batch.name, io.BytesIO(b"".join(lines))))
        batch.write(self.work.workspace)
        self._open[batch.name] = batch, self._dialect.state

    def _collect_all(self) -> None:
        """Wait for all that is under way, and make the journal quick to read."""
        while self._open:
            self._collect_one()
        self.journal.pack()

    def _collect_one(self) -> None:
        """Wait until a batch ends, and take what came of it."""
        while True:
            states = {name: self._state(batch) for name, (batch, _) in self._open.items()}
            self._tell(states)
            ended = [name for name, state in states.items() if state.ended]
            for name in ended:
                self._collect(name, states[name])
            if ended:
                return
            time.sleep(self.settings.poll_s)

    def _state(self, batch: Batch) -> BatchState:
        """Ask how a batch stands; one that is not known there may be another account's, so it is not paid for anew."""
        try:
            return self.api.state(batch.batch_id)
        except EndpointError as error:
            if error.code != "status_404":
                raise
            ledger = self.work.workspace.uri(*FOLDER, f"{batch.name}.json")
            fix = f"use the key that handed it in; if it is gone for good, remove {ledger}"
            raise EndpointError(f"batch {batch.batch_id} is not known there", where=error.where, fix=fix) from error

    def _tell(self, states: dict[str, BatchState]) -> None:
        done, total = sum(state.done for state in states.values()), sum(state.total for state in states.values())
        told = f"{len(states)} batches under way, {done:,} of {total:,} requests answered"
        if told != self._told:
            self._told = told
            print(told, flush=True)

    def _collect(self, name: str, state: BatchState) -> None:
        batch, spoken = self._open[name]
        if state.problem == _CROWDED:
            self._at_once = max(1, len(self._open) - 1)
            self._progress = self._progress or len(self._open) > 1
        found = list(answers(batch, self.api.lines(state.files), latency_s=state.seconds))
        works = any(one.entry and one.fault is None for one in found)
        lasting = [one for one in found if one.entry and not self._again(one, spoken, works=works)]
        self._write(lasting)
        self._progress = self._progress or bool(lasting)
        kept = {one.request.custom_id for one in lasting}
        for one in found:
            asked = one.request.custom_id
            self.turnstile.budget.settle(self._holds.pop(asked, 0), one.paid if asked in kept else Hold())
        batch.forget(self.work.workspace)
        del self._open[name]
        self._stop_if_hopeless(state, found)

    def _again(self, answer: Answer, spoken: object, *, works: bool) -> bool:
        """Whether a request that failed is asked again: for a passing fault, or in a plainer way.

        Args:
            answer: What became of it.
            spoken: State of the dialect in which it was asked.
            works: Whether others of its batch were answered: then the dialect is right, and the tile at fault.
        """
        fault = answer.fault
        if fault is None:
            return False
        if fault.again:
            self._failing[answer.request.custom_id] = answer
        elif fault.stops or spoken != self._dialect.state:
            return True
        elif not works and self._dialect.lowered(fault):
            self._progress = True
            return True
        return fault.again

    def _write(self, found: list[Answer]) -> None:
        """Make answers durable."""

        async def append() -> None:
            writer, redact = JournalWriter(self.work.workspace), self.api.key.redact
            entries = [(one.request.scene_id, one.entry) for one in found if one.entry]
            clean = [(scene, replace(one, raw=redact(one.raw), problem=redact(one.problem))) for scene, one in entries]
            await asyncio.gather(*(writer.append(scene, one) for scene, one in clean))
            await writer.close()

        asyncio.run(append())

    def _stop_if_hopeless(self, state: BatchState, found: list[Answer]) -> None:
        fault = next((one.fault for one in found if one.fault and one.fault.stops), None)
        what = fault.what if fault else ""
        if state.status == "failed" and state.problem != _CROWDED:
            what = f"the endpoint turned a batch down ({self.api.key.redact(state.problem)})"
        if what:
            fix = "mend it and run again; what was answered is kept"
            raise EndpointError(what, where=self.work.access.endpoint.base_url, fix=fix, code="batch_failed")
