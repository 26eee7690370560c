"""Units walked with the journal at hand, on the cluster: what is left to ask of a scale, and what is answered."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import ray
import ray.data

from jobs.captioning.measuring import numbered, places
from jobs.captioning.streaming import Access
from jobs.captioning.writing import write_unit
from jobs.units import units_of_work
from knowlip.captioning.asking import Retry
from knowlip.captioning.batches import request_line
from knowlip.captioning.dialect import Dialect
from knowlip.captioning.journal import Journal
from knowlip.captioning.replaying import Replayed, replay
from knowlip.captioning.units import CaptionUnit, rows
from knowlip.records import SCALES
from knowlip.workspace import Workspace

__all__ = ["Work"]


@dataclass(frozen=True)
class Work:
    """What every task needs to know.

    Attributes:
        workspace: Where tiles, journal and captions lie.
        units: The units.
        family: Instruction family, or ``auto``.
        access: The model and its price in a batch, without the key: tasks do not call.
        retry: Which replies are asked for again.
        since: When the run began.
    """

    workspace: Workspace
    units: list[CaptionUnit]
    family: str
    access: Access
    retry: Retry
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    def to_ask(self, scale: str, dialect: Dialect) -> Iterator[dict[str, Any]]:
        """Yield the requests of one scale that are not answered: ``line`` to hand in, and ``kept``, pickled."""
        plan = ray.put((self, dialect))

        def asked(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
            work, spoken = ray.get(plan)
            for place in batch["unit"]:
                for line, kept in work._asked(work.units[int(place)], scale, spoken):
                    yield {"line": [line], "kept": [kept]}

        yield from places(self.units).map_batches(asked, batch_size=1).iter_rows()

    def write(self, recipe: str) -> None:
        """Publish what is answered; a unit need not have all."""
        plan = ray.put(self)

        def write(row: dict[str, Any]) -> dict[str, Any]:
            work = ray.get(plan)
            unit = work.units[int(row["unit"])]
            captions = [one.caption for one in work._walk(unit) if one.caption is not None]
            write_unit(work.workspace, unit.name, recipe, captions)
            return row

        units_of_work(numbered(self.units)).map(write).materialize()

    def _asked(self, unit: CaptionUnit, scale: str, dialect: Dialect) -> Iterator[tuple[bytes, bytes]]:
        above = SCALES[: SCALES.index(scale) + 1]
        part = CaptionUnit(unit.name, {one: unit.tiles[one] if one in above else () for one in SCALES}, unit.files)
        for one in self._walk(part):
            if one.caption is None and one.prompt is not None and one.seen.facts.scale == scale:
                line, kept = request_line(one.prompt, dialect, self.access.price, one.earlier)
                yield line, pickle.dumps(kept)

    def _walk(self, unit: CaptionUnit) -> Iterator[Replayed]:
        wanted = [tile_id for ids in unit.tiles.values() for tile_id in ids]
        return replay(
            rows(self.workspace, unit),
            Journal(self.workspace).read(unit.scene_id, wanted),
            self.access.endpoint,
            family=self.family,
            retry=self.retry,
            since=self.since,
        )
