"""The closing tables of the caption job: what there is, and what it would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from jobs.captioning.writing import open_units
from jobs.command import Summary
from jobs.units import unit_file
from knowlip.captioning.caption import OK
from knowlip.captioning.forecast import forecast
from knowlip.captioning.prices import Price
from knowlip.captioning.units import CaptionUnit
from knowlip.records import SCALES
from knowlip.workspace import Workspace

if TYPE_CHECKING:
    from jobs.caption import CaptionSettings

__all__ = ["captions_counted", "foretold"]


def captions_counted(
    workspace: Workspace, settings: CaptionSettings, units: Sequence[CaptionUnit]
) -> tuple[dict[str, Any], list[str]]:
    """Count the captions that there are; returns the counts, and a line a reason for what was set aside."""
    columns = ["status", "prompt_tokens", "completion_tokens", "cost_usd"]
    if not workspace.files("captions"):
        return {"units": len(units), "captions": 0, "set aside": 0}, []
    table = workspace.read_table("captions", columns=[*columns, "flags"])
    status = Counter(table["status"].to_pylist())
    counts: dict[str, Any] = {"units": len(units), "captions": status.pop(OK, 0), "set aside": status.total()}
    counts["captions with doubted claims"] = pc.sum(pc.greater(pc.list_value_length(table["flags"]), 0)).as_py() or 0
    if settings.captioner == "endpoint":
        counts["tokens"] = sum(pc.sum(table[name]).as_py() or 0 for name in columns[1:3])
        counts["cost in USD"] = float(pc.sum(table["cost_usd"]).as_py() or 0.0)
        counts |= _priced(settings.endpoint.priced())
    return counts, [f"{number} tiles: {reason}" for reason, number in sorted(status.items())]


def _priced(price: Price | None) -> dict[str, str]:
    """Say by which price the cost was counted, and who says so."""
    if price is None:
        return {"price": "unknown, so no cost was counted: give it by --endpoint.price READ WRITTEN"}
    return {"USD a million tokens": f"{price.read:g} read, {price.written:g} written", "price from": price.source}


def foretold(settings: CaptionSettings, workspace: Workspace, units: list[CaptionUnit]) -> Summary:
    """Say what the job would do, and what an endpoint would take for it."""
    counts: dict[str, Any] = {f"tiles {scale}": sum(len(unit.tiles[scale]) for unit in units) for scale in SCALES}
    counts["units"] = len(units)
    if settings.captioner == "measured":
        return Summary("Captions (dry run)", {**counts, "calls to a model": 0, "tokens": 0, "cost in USD": 0})
    endpoint, recipe = settings.endpoint, settings.recipe()
    there = set(workspace.files("captions"))
    done = {unit.name for unit in units if unit_file(unit.name, recipe) in there}
    todo = open_units(workspace, units, done, recipe, settings.retry)
    price = endpoint.priced()
    if price and settings.mode == "batch":
        price = price.times(settings.batch.price_share)
    told = forecast(workspace, todo, endpoint, price, family=settings.family, retry=settings.retry)
    unknown = "unknown: give the price by --endpoint.price READ WRITTEN"
    asked = {
        "calls to a model": told.calls,
        "answered before": told.known,
        "prompts measured": told.prompts,
        "tokens read": told.read_tokens,
        "tokens written": told.written_tokens,
        "tokens written at most": told.most_written_tokens,
        "cost in USD": unknown if told.usd is None else told.usd,
        "cost in USD at most": unknown if told.most_usd is None else told.most_usd,
        **_priced(price),
    }
    return Summary("Captions (dry run)", {**counts, **asked})
