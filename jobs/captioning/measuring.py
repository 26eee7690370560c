"""Measuring tiles on the cluster, one task a unit: all of captioning that takes processors."""

from __future__ import annotations

import pickle
from typing import Any

import ray
import ray.data

from jobs.captioning.writing import write_unit
from jobs.units import units_of_work
from knowlip.captioning.chain import Chain, Observer
from knowlip.captioning.measured import MeasuredCaptioner
from knowlip.captioning.units import CaptionUnit, rows
from knowlip.workspace import Workspace

__all__ = ["measured", "numbered", "places", "write_measured"]


def measured(workspace: Workspace, units: list[CaptionUnit], family: str) -> ray.data.Dataset:
    """Return a dataset with one row a unit: its place in the list, and its tiles' observations, pickled."""
    plans = ray.put(units)

    def observe(row: dict[str, Any]) -> dict[str, Any]:
        observer = Observer(family)
        unit = ray.get(plans)[int(row["unit"])]
        return {"unit": row["unit"], "seen": pickle.dumps([observer.observe(tile) for tile in rows(workspace, unit)])}

    return places(units).map(observe)


def write_measured(workspace: Workspace, units: list[CaptionUnit], *, family: str, recipe: str, seed: int) -> None:
    """Describe units by measurement; each task publishes the file of its unit."""
    plans = ray.put(units)

    def write(row: dict[str, Any]) -> dict[str, Any]:
        unit = ray.get(plans)[int(row["unit"])]
        chain = Chain(MeasuredCaptioner(seed=seed), family=family)
        write_unit(workspace, unit.name, recipe, list(chain.run(rows(workspace, unit))))
        return row

    units_of_work(numbered(units)).map(write).materialize()


def places(units: list[CaptionUnit]) -> ray.data.Dataset:
    """Return a dataset with one block a unit: its place in the list."""
    return ray.data.from_items(numbered(units), override_num_blocks=len(units))


def numbered(units: list[CaptionUnit]) -> list[dict[str, int]]:
    """Return a row a unit, with its place in the list."""
    return [{"unit": place} for place in range(len(units))]
