"""Asking an endpoint for every tile as soon as its parent is done, from async actors on Ray Data."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import ray.data
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy

from jobs.captioning.desk import ClusterGate, open_desk
from jobs.captioning.writing import write_unit
from knowlip.captioning.asking import EndpointCaptioner, Retry
from knowlip.captioning.budget import Budget
from knowlip.captioning.caption import Caption
from knowlip.captioning.chain import Observation
from knowlip.captioning.endpoint import Endpoint, EndpointSettings
from knowlip.captioning.gate import EndpointError, Turnstile
from knowlip.captioning.journal import Journal
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.prices import Price
from knowlip.captioning.secret import Key
from knowlip.captioning.units import CaptionUnit, TileImages
from knowlip.captioning.walk import describe_all
from knowlip.errors import SettingsError
from knowlip.workspace import Workspace

__all__ = ["Access", "Asked", "Asker", "access_to", "ask_all", "journal_of"]

UNITS_AT_ONCE = 2
"""Units that an actor works on together: while one ends with few tiles left, the other keeps its slots busy."""

ASKER_CPUS = 0.25


@dataclass(frozen=True)
class Access:
    """What it takes to ask.

    Attributes:
        endpoint: The model.
        key: Its key.
        price: Price of its tokens, if known.
    """

    endpoint: EndpointSettings
    key: Key
    price: Price | None


@dataclass(frozen=True)
class Asked:
    """What is asked of all askers.

    Attributes:
        workspace: Where tiles, journal and captions lie.
        recipe: Digest of the settings.
        endpoint: The model.
        price: Price of its tokens, if known.
        retry: Which replies are asked for again.
        slots: Tiles that one actor asks for at a time.
        budgeted: Whether the run has a budget.
    """

    workspace: Workspace
    recipe: str
    endpoint: EndpointSettings
    price: Price | None
    retry: Retry
    slots: int
    budgeted: bool


class Asker:
    """An actor that describes units.

    Args:
        asked: The work.
        units: All units, in the object store.
        desk: The run's desk.
    """

    def __init__(self, asked: Asked, units: ray.ObjectRef, desk: ActorHandle) -> None:
        self._asked = asked
        self._units: list[CaptionUnit] = ray.get(units)
        self._desk = desk
        self._key = Key(ray.get(desk.key.remote()))
        self._writer = JournalWriter(asked.workspace)
        self._captioner: EndpointCaptioner | None = None

    async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Describe one unit and publish what there is of it."""
        asked, unit = self._asked, self._units[int(row["unit"])]
        observations: list[Observation] = pickle.loads(row["seen"])  # noqa: S301 (pickled by this very job)
        captioner = self._opened()
        known = await asyncio.to_thread(_known, asked.workspace, observations)

        async def ask(seen: Observation, image: bytes, parent: Caption | None) -> Caption:
            return await captioner.caption(seen.request(image, parent), known)

        images = TileImages(asked.workspace, unit)
        captions, whole = await describe_all(
            observations, images.read, ask, model=asked.endpoint.model, width=asked.slots
        )
        await self._writer.flush()
        await asyncio.to_thread(write_unit, asked.workspace, unit.name, asked.recipe, captions)
        return {"unit": row["unit"], "captions": len(captions), "whole": whole}

    def _opened(self) -> EndpointCaptioner:
        """Make the client within the event loop that it works in."""
        if self._captioner is None:
            asked = self._asked
            gate = ClusterGate(asked.endpoint, self._desk, asked.budgeted)
            seed = ray.get_runtime_context().get_actor_id() or ""
            endpoint = Endpoint(asked.endpoint, self._key, gate, asked.price, seed=hash(seed))
            self._captioner = EndpointCaptioner(endpoint, self._writer, asked.retry, asked.slots)
        return self._captioner


def ask_all(
    workspace: Workspace,
    units: list[CaptionUnit],
    seen: ray.data.Dataset,
    *,
    recipe: str,
    access: Access,
    retry: Retry,
    budget: tuple[float | None, int | None],
) -> EndpointError | None:
    """Describe units by asking an endpoint.

    Args:
        workspace: Where tiles, journal and captions lie.
        units: The units.
        seen: What was observed on their tiles (`jobs.captioning.measuring.measured`).
        recipe: Digest of the settings.
        access: The model, the key and the price.
        retry: Which replies are asked for again.
        budget: Most US dollars and most tokens, over all runs.

    Returns:
        Why it ended before all was asked, or none.
    """
    endpoint = access.endpoint
    actors = min(endpoint.actors, len(units))
    asked = Asked(
        workspace,
        recipe,
        endpoint,
        access.price,
        retry,
        slots=math.ceil(endpoint.in_flight / actors),
        budgeted=any(limit is not None for limit in budget),
    )
    with journal_of(workspace) as journal:
        turnstile = Turnstile(Budget(*budget, spent=journal.spent()), where=endpoint.base_url)
        desk = open_desk(turnstile, access.key.reveal())
        pool = ActorPoolStrategy(
            size=actors, max_tasks_in_flight_per_actor=UNITS_AT_ONCE, max_concurrent_calls_per_actor=UNITS_AT_ONCE
        )
        seen.map(
            Asker, fn_constructor_args=(asked, ray.put(units), desk), compute=pool, num_cpus=ASKER_CPUS
        ).materialize()
        return ray.get(desk.reason.remote())


@contextmanager
def journal_of(workspace: Workspace) -> Iterator[Journal]:
    """Pack what earlier runs left open in the journal, and what this one leaves."""
    journal = Journal(workspace)
    journal.pack()
    try:
        yield journal
    finally:
        journal.pack()


def access_to(endpoint: EndpointSettings, budget_usd: float | None) -> Access:
    """Read the key and find the price.

    Raises:
        SettingsError: The key is missing, or there is a budget in dollars and the price is not known.
    """
    key = Key.from_environment(endpoint.key_variable, needed=endpoint.hosted)
    price = endpoint.priced()
    if price is None and budget_usd is not None:
        raise SettingsError(
            f"{budget_usd:g}: the price of {endpoint.model} is not known",
            where="budget_usd",
            fix="give it by --endpoint.price READ WRITTEN, in USD a million tokens",
        )
    return Access(endpoint, key, price)


def _known(workspace: Workspace, observations: list[Observation]) -> dict[str, Any]:
    """Read what the journal holds for a unit."""
    if not observations:
        return {}
    return Journal(workspace).read(observations[0].facts.scene_id, [one.facts.tile_id for one in observations])
