"""Caption: eight sub-texts a tile, parents before children (section 3.2).

A unit of work is a large tile with all its descendants; its file appears whole, so a killed run repeats at most
the units that were open.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Literal

import pyarrow as pa
import ray

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import finished, unit_file
from knowlip.captioning import Chain, MeasuredCaptioner, prompts_digest
from knowlip.captioning.units import CaptionUnit, index, plan, rows
from knowlip.errors import DataError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.records import CAPTIONS, SCALES, conform
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["CaptionSettings", "caption"]


class CaptionSettings(JobSettings):
    """Describe every tile in eight sub-texts."""

    captioner: Literal["measured"] = "measured"
    """Who writes: `measured` needs no key and no network."""

    family: Literal["auto", "ground_target", "marine_target", "terrain"] = "auto"
    """Instruction family for all tiles, or `auto` to choose by content."""

    seed: int = 0
    """Changes the wording, never the facts."""

    def shaping(self) -> dict[str, Any]:
        """Settings and the version of wording and prompts: an edited prompt makes other captions."""
        return {**super().shaping(), "prompts": prompts_digest(), "wording": MeasuredCaptioner.version}


def caption(settings: CaptionSettings) -> Summary:
    """Caption all tiles of a workspace."""
    started = time.monotonic()
    workspace = settings.opened()
    units = plan(index(workspace))
    if settings.dry_run:
        return _foretold(units)
    recipe = settings.recipe()
    with workspace.lock("captions"):
        inputs = inputs_digest(workspace, "tiles")
        done = finished(workspace, "captions", recipe=recipe, overwrite=settings.overwrite)
        todo = [unit for unit in units if unit.name not in done]
        if todo:
            with connected():
                _fan_out(settings, workspace, todo, recipe)
        for gone in done - {unit.name for unit in units}:  # their tiles are no longer there
            workspace.delete("captions", unit_file(gone, recipe))
        manifest = Manifest(artefact="captions", job="jobs.caption", settings=settings.shaping(), inputs=inputs)
        status = Counter(workspace.read_table("captions", columns=["status"])["status"].to_pylist())
        counts = {"units": len(units), "captions": status.pop("ok", 0), "set aside": status.total()}
        before = Manifest.read(workspace, "captions")
        if todo or before is None or before.recipe != manifest.recipe:
            seconds = time.monotonic() - started
            manifest.model_copy(update={"counts": counts, "seconds": seconds}).write(workspace)
    set_aside = [f"{number} tiles: {reason}" for reason, number in sorted(status.items())]
    if settings.strict and set_aside:
        raise DataError("; ".join(set_aside), where=workspace.uri("captions"), fix="tile again, or leave --strict out")
    return Summary("Captions", {**counts, "units made now": len(todo)}, set_aside, workspace.uri("captions"))


def _fan_out(settings: CaptionSettings, workspace: Workspace, units: list[CaptionUnit], recipe: str) -> None:
    """Caption units on the cluster, one task a unit; each writes its own file."""
    plans = ray.put(units)

    def write(batch: dict[str, Any]) -> dict[str, Any]:
        for place in batch["unit"]:
            _write_unit(settings, workspace, ray.get(plans)[int(place)], recipe)
        return batch

    work = ray.data.from_items([{"unit": place} for place in range(len(units))], override_num_blocks=len(units))
    work.map_batches(write, batch_size=1).materialize()


def _write_unit(settings: CaptionSettings, workspace: Workspace, unit: CaptionUnit, recipe: str) -> None:
    chain = Chain(MeasuredCaptioner(seed=settings.seed), family=settings.family)
    written = [text.to_row() for text in chain.run(rows(workspace, unit))]
    table = conform(pa.Table.from_pylist(written, schema=CAPTIONS), CAPTIONS, where=f"captions of {unit.name}")
    workspace.write_table(table, "captions", unit_file(unit.name, recipe))


def _foretold(units: list[CaptionUnit]) -> Summary:
    counts: dict[str, Any] = {f"tiles {scale}": sum(len(unit.tiles[scale]) for unit in units) for scale in SCALES}
    asked = {"units": len(units), "calls to a model": 0, "tokens": 0, "cost in USD": 0}
    return Summary("Captions (dry run)", {**counts, **asked})


if __name__ == "__main__":
    run(CaptionSettings, caption)
