"""Units of work: an artefact is a folder of files, a unit of work is one file, and a file that is there is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ray.data
from ray.data import DataContext

from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["finished", "unit_file", "units_of_work"]


def unit_file(unit: str, recipe: str) -> str:
    """Name the file that holds a unit made by a recipe (`knowlip.settings.JobSettings.recipe`)."""
    return f"{unit}-{recipe}.parquet"


def finished(workspace: Workspace, artefact: str, *, recipe: str, overwrite: bool = False) -> set[str]:
    """Return the units of an artefact that are done.

    Args:
        workspace: Where to look.
        artefact: Folder of the artefact.
        recipe: Digest of the settings that the caller works with.
        overwrite: Delete what was made with other settings, instead of refusing.

    Raises:
        WorkspaceError: The artefact holds units of another recipe, and ``overwrite`` is off.
    """
    names = workspace.files(artefact)
    foreign = [name for name in names if not name.endswith(f"-{recipe}.parquet")]
    if foreign and not overwrite:
        raise WorkspaceError(
            f"was made with other settings ({len(foreign)} files)",
            where=workspace.uri(artefact),
            fix="use the same settings, another --workspace, or --overwrite to replace it",
        )
    _remove(workspace, artefact, foreign)
    return {name.removesuffix(f"-{recipe}.parquet") for name in names if name not in set(foreign)}


def units_of_work(rows: list[dict[str, Any]]) -> ray.data.Dataset:
    """Return a dataset with one block a row, for tasks that publish what they make and return next to nothing.

    Ray Data holds tasks back lest their results fill the object store: one at a time in the first second, and a tenth
    of a second between two. Here nothing fills it, so all tasks are handed to Ray at once.
    """
    context = DataContext.get_current()
    held_back = context.op_resource_reservation_enabled
    context.op_resource_reservation_enabled = False
    try:
        return ray.data.from_items(rows, override_num_blocks=max(1, len(rows)))
    finally:
        context.op_resource_reservation_enabled = held_back


def _remove(workspace: Workspace, artefact: str, names: Iterable[str]) -> None:
    for name in names:
        workspace.delete(artefact, name)
