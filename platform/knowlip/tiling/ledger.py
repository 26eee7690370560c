"""What tiling made of each scene: counts read from the tables themselves, and one row a scene, tiled or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from knowlip.errors import WorkspaceError
from knowlip.manifest import digest
from knowlip.records import SCALES, SCENES, conform
from knowlip.tiling.survey import Survey
from knowlip.workspace import Workspace

__all__ = [
    "REJECTED_TILES",
    "SCENE_LOG",
    "TILES",
    "closing_counts",
    "log_scenes",
    "planned_counts",
    "stored_counts",
]

TILES = "tiles"
REJECTED_TILES = "tiles/_rejected"
SCENE_LOG = "tiles/_scenes"


def log_scenes(workspace: Workspace, surveys: Sequence[Survey], *, recipe: str) -> None:
    """Publish one row a scene (`knowlip.records.SCENES`), each in a file of its own that a later run replaces."""
    kept, rejected = _tally(workspace, TILES, "scale"), _tally(workspace, REJECTED_TILES, "reason")
    for survey in surveys:
        row = {
            "scene_id": survey.scene.scene_id if survey.scene else "",
            "scene_name": survey.name,
            "status": "rejected" if survey.reason else "tiled",
            "reason": survey.reason or None,
            "detail": survey.detail or None,
            "kept": kept.get(survey.key, Counter()).total(),
            "rejected": rejected.get(survey.key, Counter()).total(),
        }
        if survey.scene:
            # What was said of the file while it could not be used is no longer true.
            workspace.delete(SCENE_LOG, f"{digest(survey.path)}-{recipe}.parquet")
        table = conform(pa.Table.from_pylist([row], schema=SCENES), SCENES, where=SCENE_LOG)
        workspace.write_table(table, SCENE_LOG, f"{survey.key}-{recipe}.parquet")


def closing_counts(workspace: Workspace, surveys: Sequence[Survey]) -> dict[str, Any]:
    """Count scenes and tiles for the closing table, over the scenes that were asked for."""
    keys = {survey.key for survey in surveys}
    kept, rejected = (
        sum((by for key, by in _tally(workspace, artefact, column).items() if key in keys), Counter[str]())
        for artefact, column in ((TILES, "scale"), (REJECTED_TILES, "reason"))
    )
    aside = sum(bool(survey.reason) for survey in surveys)
    return {
        "scenes tiled": len(surveys) - aside,
        "scenes set aside": aside,
        **{f"kept {scale}": kept[scale] for scale in SCALES},
        **{f"rejected: {reason}": count for reason, count in sorted(rejected.items())},
    }


def stored_counts(workspace: Workspace) -> dict[str, Any]:
    """Count scenes and tiles of a workspace, whichever run made them.

    Raises:
        WorkspaceError: It holds no tiles.
    """
    if not workspace.files(SCENE_LOG):
        raise WorkspaceError("holds no tiles", where=workspace.uri(TILES), fix="run jobs.tile first")
    scenes = workspace.read_table(SCENE_LOG, columns=["status", "reason"]).to_pylist()
    statuses = Counter(scene["status"] for scene in scenes)
    reasons = Counter(scene["reason"] for scene in scenes if scene["status"] == "rejected")
    kept, rejected = (
        sum(_tally(workspace, artefact, column).values(), Counter[str]())
        for artefact, column in ((TILES, "scale"), (REJECTED_TILES, "reason"))
    )
    return {
        "scenes tiled": statuses["tiled"],
        "scenes set aside": statuses["rejected"],
        **{f"scenes set aside: {reason}": count for reason, count in sorted(reasons.items())},
        **{f"kept {scale}": kept[scale] for scale in SCALES},
        **{f"rejected: {reason}": count for reason, count in sorted(rejected.items())},
    }


def planned_counts(surveys: Sequence[Survey]) -> dict[str, str]:
    """Say how many tiles of each scale a run would cut from each scene."""
    return {
        survey.name: ", ".join(f"{count:,} {scale}" for scale, count in survey.counts().items() if count)
        for survey in surveys
        if not survey.reason
    }


def _tally(workspace: Workspace, artefact: str, column: str) -> dict[str, Counter[str]]:
    """Count the rows of an artefact by scene and a column."""
    found: dict[str, Counter[str]] = {}
    if workspace.files(artefact):
        table = workspace.read_table(artefact, columns=["scene_id", column])
        for scene, value in zip(table["scene_id"].to_pylist(), table[column].to_pylist(), strict=True):
            found.setdefault(scene, Counter())[value] += 1
    return found
