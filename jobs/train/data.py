"""What the loop reads: the pairs of a corpus or the examples of a downstream task, split by split.

A split that fits in memory is read once and held by the workers; a larger one is streamed anew each epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from ray.data import Dataset
from ray.data.expressions import col

from jobs.train.settings import ScalingSettings
from knowlip.errors import DataError
from knowlip.workspace import Workspace

__all__ = ["count", "held_in_memory", "open_split"]


def count(workspace: Workspace, artefact: str, splits: Sequence[str]) -> dict[str, int]:
    """Count the rows of each split, from one column of the files.

    Raises:
        WorkspaceError: The artefact is not there.
        DataError: The first split is empty.
    """
    held = workspace.read_table(artefact, columns=["split"])["split"]
    rows = {split: int(pc.sum(pc.equal(held, split)).as_py() or 0) for split in splits}
    if not rows[splits[0]]:
        raise DataError(
            f"has no rows of split {splits[0]!r} ({len(held)} in all)",
            where=workspace.uri(artefact),
            fix="make it from more tiles",
            code="empty",
        )
    return rows


def held_in_memory(workspace: Workspace, artefact: str, limit_mb: float) -> bool:
    """Tell whether an artefact's files are together no larger than a limit."""
    paths = [workspace.path(artefact, name) for name in workspace.files(artefact)]
    return sum(info.size for info in workspace.filesystem.get_file_info(paths)) <= limit_mb * 1e6


def open_split(
    workspace: Workspace,
    artefact: str,
    split: str,
    columns: Sequence[str],
    scaling: ScalingSettings,
    revise: Callable[[pa.Table], pa.Table] | None = None,
    *,
    only: Sequence[str] | None = None,
) -> Dataset:
    """Open a split for the workers.

    Args:
        workspace: Where the artefact lies.
        artefact: Folder of Parquet files with a column ``split``.
        split: Which rows.
        columns: Which columns; no others are read.
        scaling: How many workers there are, and what they may hold.
        revise: Changes the rows on the way (the texts, between the phases of SCIO).
        only: The examples of the split by their ids, where another split than the column's was chosen.
    """
    chosen = pc.field("split") == split if only is None else pc.field("example_id").isin(list(only))
    if held_in_memory(workspace, artefact, scaling.hold_mb):
        table = workspace.read_table(artefact, columns=list(columns), where=chosen)
        table = revise(table) if revise else table
        # One block a worker, of equal length: Ray Data then has nothing to cut and no task to start.
        share = max(1, len(table) // scaling.workers)
        slices = [table.slice(rank * share, share) for rank in range(scaling.workers)]
        rest = table.slice(scaling.workers * share)
        return ray.data.from_arrow([*(part for part in slices if len(part)), *([rest] if len(rest) else [])])
    paths = [workspace.path(artefact, name) for name in workspace.files(artefact)]
    rows = ray.data.read_parquet(paths, filesystem=workspace.filesystem, partitioning=None)
    there = col("split") == split if only is None else col("example_id").is_in(list(only))
    rows = rows.filter(expr=there).select_columns(list(columns))
    return rows.map_batches(revise, batch_format="pyarrow", zero_copy_batch=True) if revise else rows
