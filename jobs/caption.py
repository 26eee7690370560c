"""Caption: eight sub-texts a tile, parents before children (section 3.2), by measurement or by a model.

A unit of work is a large tile with all its descendants; its file appears whole, so a killed run repeats at most the
units that were open. What a model has answered is in a journal besides, and is never asked again.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

from pydantic import Field

from jobs.captioning.batching import BatchSettings, batch_all
from jobs.captioning.measuring import measured, write_measured
from jobs.captioning.streaming import Access, access_to, ask_all
from jobs.captioning.summing import captions_counted, foretold
from jobs.captioning.writing import open_units
from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import finished, unit_file
from knowlip.captioning import MeasuredCaptioner, prompts_digest
from knowlip.captioning.asking import Retry
from knowlip.captioning.checks import CHECKS_VERSION
from knowlip.captioning.claim import claimed
from knowlip.captioning.endpoint import EndpointSettings
from knowlip.captioning.gate import EndpointError
from knowlip.captioning.units import CaptionUnit, index, plan
from knowlip.errors import DataError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["CaptionSettings", "caption"]


class CaptionSettings(JobSettings):
    """Describe every tile in eight sub-texts."""

    short_flags: ClassVar[dict[str, str]] = {"--model": "--endpoint.model", "--base-url": "--endpoint.base-url"}

    captioner: Literal["measured", "endpoint"] = "measured"
    """Who writes: `measured` needs no key and no network, `endpoint` asks a vision-language model."""

    family: Literal["auto", "ground_target", "marine_target", "terrain"] = "auto"
    """Instruction family for all tiles, or `auto` to choose by content."""

    seed: int = 0
    """Changes the wording of the measured captioner, never the facts."""

    endpoint: EndpointSettings = EndpointSettings()

    mode: Literal["stream", "batch"] = "stream"
    """How an endpoint is asked: `stream` tile by tile, `batch` by its Batch API, one wave a scale: slower, cheaper."""

    batch: BatchSettings = BatchSettings()

    budget_usd: float | None = Field(default=None, gt=0.0)
    """Most US dollars that this workspace's captions may cost, over all runs; the job stops before it is passed."""

    budget_tokens: int | None = Field(default=None, gt=0)
    """Most tokens, read and written, over all runs."""

    retry: Retry = "none"
    """Ask again for tiles that were set aside (`failed`), or also those written without their parent (`orphans`)."""

    def shaping(self) -> dict[str, Any]:
        """Settings, prompts and wording that shape the texts; where the model runs and how fast is not among them."""
        shared = {"captioner": self.captioner, "family": self.family, "checks": CHECKS_VERSION}
        if self.captioner == "measured":
            return {**shared, "seed": self.seed, "wording": MeasuredCaptioner.version}
        return {**shared, "prompts": prompts_digest(), "model": self.endpoint.model, **self.endpoint.sampling()}


def caption(settings: CaptionSettings) -> Summary:
    """Caption all tiles of a workspace."""
    started = time.monotonic()
    workspace = settings.opened()
    units, recipe = plan(index(workspace)), settings.recipe()
    if settings.dry_run:
        return foretold(settings, workspace, units)
    access = access_to(settings.endpoint, settings.budget_usd) if settings.captioner == "endpoint" else None
    with workspace.lock("captions"):
        inputs = inputs_digest(workspace, "tiles")
        done = finished(workspace, "captions", recipe=recipe, overwrite=settings.overwrite)
        todo = open_units(workspace, units, done, recipe, settings.retry)
        stopped = _write(settings, workspace, todo, recipe, access) if todo else None
        for gone in done - {unit.name for unit in units}:  # their tiles are no longer there
            workspace.delete("captions", unit_file(gone, recipe))
        counts, set_aside = captions_counted(workspace, settings, units)
        if stopped:
            told = (
                f"{stopped.what}; {counts['captions']:,} of {sum(unit.count for unit in units):,} tiles are captioned"
            )
            raise EndpointError(told, where=stopped.where, fix=stopped.fix, code=stopped.code)
        manifest = Manifest(artefact="captions", job="jobs.caption", settings=settings.shaping(), inputs=inputs)
        before = Manifest.read(workspace, "captions")
        if todo or before is None or before.recipe != manifest.recipe:
            seconds = time.monotonic() - started
            manifest.model_copy(update={"counts": counts, "seconds": seconds}).write(workspace)
    if settings.strict and set_aside:
        raise DataError("; ".join(set_aside), where=workspace.uri("captions"), fix="tile again, or leave --strict out")
    return Summary("Captions", {**counts, "units made now": len(todo)}, set_aside, workspace.uri("captions"))


def _write(
    settings: CaptionSettings, workspace: Workspace, units: list[CaptionUnit], recipe: str, access: Access | None
) -> EndpointError | None:
    """Write the captions of units; returns why it ended early, if it did."""
    with connected():
        if access is None:
            write_measured(workspace, units, family=settings.family, recipe=recipe, seed=settings.seed)
            return None
        how: dict[str, Any] = {
            "recipe": recipe,
            "access": access,
            "retry": settings.retry,
            "budget": (settings.budget_usd, settings.budget_tokens),
        }
        with claimed(workspace, "captions"):
            if settings.mode == "batch":
                return batch_all(workspace, units, **how, family=settings.family, settings=settings.batch)
            return ask_all(workspace, units, measured(workspace, units, settings.family), **how)


if __name__ == "__main__":
    run(CaptionSettings, caption)
