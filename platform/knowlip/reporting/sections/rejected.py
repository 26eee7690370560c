"""What was set aside, and why."""

from __future__ import annotations

import pyarrow.compute as pc

from knowlip.reporting.elements import Element, Section, Table
from knowlip.workspace import Workspace

__all__ = ["rejected_section"]

_EXAMPLES = 40


def rejected_section(workspace: Workspace) -> Section | None:
    """Return scenes and tiles that were set aside, with reasons."""
    elements: list[Element] = []
    if workspace.files("tiles", "_scenes"):
        scenes = workspace.read_table("tiles", "_scenes", where=pc.field("status") == "rejected").to_pylist()
        if scenes:
            rows = [(scene["scene_name"], scene["reason"], scene["detail"]) for scene in scenes]
            elements.append(Table(("scene", "reason", "what to do"), rows, "Scenes"))
    if workspace.files("tiles", "_rejected"):
        elements += _tiles(workspace)
    return Section("Set aside", elements) if elements else None


def _tiles(workspace: Workspace) -> list[Element]:
    columns = ["tile_id", "scene_name", "scale", "reason", "score", "threshold"]
    table = workspace.read_table("tiles", "_rejected", columns=columns)
    if not table.num_rows:
        return []
    kept = workspace.dataset("tiles").count_rows() if workspace.files("tiles") else 0
    reasons = table.group_by("reason").aggregate([("tile_id", "count")]).sort_by([("tile_id_count", "descending")])
    counts = [
        (reason, count, f"{100 * count / (kept + table.num_rows):.1f} %")
        for reason, count in zip(reasons["reason"].to_pylist(), reasons["tile_id_count"].to_pylist(), strict=True)
    ]
    examples = [tuple(row[name] for name in columns) for row in table.slice(0, _EXAMPLES).to_pylist()]
    return [
        Table(("reason", "tiles", "of all cut"), counts, "Tiles"),
        Table(tuple(columns), examples, f"The first {len(examples)} of them", folded=True),
    ]
