"""The captions of a unit as one file, and which units have all of theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from jobs.metrics import count
from jobs.units import unit_file
from knowlip.captioning.asking import Retry
from knowlip.captioning.caption import OK, Caption
from knowlip.captioning.units import CaptionUnit
from knowlip.records import CAPTIONS, conform
from knowlip.workspace import Workspace

__all__ = ["open_units", "write_unit"]


def write_unit(workspace: Workspace, unit: str, recipe: str, captions: Sequence[Caption]) -> None:
    """Publish the captions of a unit; it need not have all."""
    rows = [caption.to_row() for caption in captions]
    table = conform(pa.Table.from_pylist(rows, schema=CAPTIONS), CAPTIONS, where=f"captions of {unit}")
    workspace.write_table(table, "captions", unit_file(unit, recipe))
    for (status, model), number in Counter((caption.status, caption.model) for caption in captions).items():
        count("knowlip_captions", number, status=status, model=model)


def open_units(
    workspace: Workspace, units: Sequence[CaptionUnit], done: set[str], recipe: str, retry: Retry = "none"
) -> list[CaptionUnit]:
    """Return the units that have work left: no file, or one that lacks tiles, or one that holds what is asked again.

    Args:
        workspace: Where the captions lie.
        units: All units.
        done: Names of those that have a file.
        recipe: Digest of the settings.
        retry: ``failed`` reopens units with tiles that were set aside, ``orphans`` also those with tiles that were
            described without their parent.
    """
    return [unit for unit in units if unit.name not in done or _is_open(workspace, unit, recipe, retry)]


def _is_open(workspace: Workspace, unit: CaptionUnit, recipe: str, retry: Retry) -> bool:
    columns = ["status", "parent_id", "parent_digest"]
    table = workspace.read_table("captions", unit_file(unit.name, recipe), columns=columns)
    if table.num_rows < unit.count:
        return True
    failed = pc.any(pc.not_equal(table["status"], OK)).as_py()
    orphans = pc.any(pc.and_(pc.is_valid(table["parent_id"]), pc.is_null(table["parent_digest"]))).as_py()
    return bool((retry != "none" and failed) or (retry == "orphans" and orphans))
