"""Screen tiles again without reading a raster: ``python -m jobs.screen replay --workspace W …``.

``sheet`` lays kept and rejected tiles side by side; ``label`` takes the labels saved from it; ``replay`` applies labels
and thresholds; ``duplicates`` marks tiles that repeat others. Reads and writes below ``tiles/``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from jobs.command import Summary, run
from knowlip.errors import DataError
from knowlip.reporting.contact_sheet import sheet_groups, sheet_page, sheet_picture
from knowlip.settings import JobSettings
from knowlip.tiling import ledger
from knowlip.tiling.duplicates import DUPLICATE_TILES, DuplicateSettings, find_duplicates, hashed_tiles
from knowlip.tiling.labels import labels_table, parse_labels
from knowlip.tiling.replay import judge_again, replay, scored_tiles
from knowlip.tiling.screening import ScreeningSettings
from knowlip.workspace import Workspace

__all__ = ["LABELLED_TILES", "ScreenSettings", "screen_again"]

LABELLED_TILES = "tiles/_labels"
SHEETS = "tiles/_sheets"


class ScreenSettings(JobSettings):
    """Screen tiles that are already cut: look at them, label them, apply labels and thresholds, find repeats."""

    action: CliPositionalArg[Literal["sheet", "label", "replay", "duplicates"]]
    """`sheet` draws a contact sheet, `label` takes a sheet's labels, `replay` screens again, `duplicates` marks
    repeats."""

    screening: ScreeningSettings = ScreeningSettings()
    duplicates: DuplicateSettings = DuplicateSettings()

    labels: str = ""
    """The JSON file that a contact sheet saved (`label`)."""

    a_group: int = Field(default=48, ge=1)
    """How many tiles of each reason a contact sheet shows."""


def screen_again(settings: ScreenSettings) -> Summary:
    """Run the job."""
    workspace = settings.opened()
    workspace.dataset(ledger.TILES)
    if settings.action == "sheet":
        return _sheet(settings, workspace)
    actions = {"label": _label, "replay": _replay, "duplicates": _duplicates}
    with workspace.lock(ledger.TILES):
        return actions[settings.action](settings, workspace)


def _sheet(settings: ScreenSettings, workspace: Workspace) -> Summary:
    groups = sheet_groups(workspace, a_group=settings.a_group)
    if not settings.dry_run:
        workspace.write_bytes(sheet_picture(groups), SHEETS, "contact_sheet.png")
        workspace.write_bytes(sheet_page(groups).encode(), SHEETS, "contact_sheet.html")
    counts = {group.heading: group.total for group in groups}
    return Summary("contact sheet of small tiles", counts, where=workspace.uri(SHEETS, "contact_sheet.html"))


def _label(settings: ScreenSettings, workspace: Workspace) -> Summary:
    if not settings.labels:
        raise DataError("--labels names no file", where="jobs.screen label", fix="give --labels labels.json")
    source = Path(settings.labels)
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read ({error})", where=str(source), fix="give --labels labels.json") from error
    labels = parse_labels(document, where=str(source))
    qualities = {tile.tile_id: tile.quality.record() for tile in scored_tiles(workspace) if tile.quality}
    table = labels_table(labels, qualities, source=source.name)
    if not settings.dry_run:
        workspace.write_table(table, LABELLED_TILES, f"{source.stem}.parquet")
    counts = {"keep": sum(labels.values()), "reject": len(labels) - sum(labels.values())}
    return Summary("labels", counts, where=workspace.uri(LABELLED_TILES))


def _replay(settings: ScreenSettings, workspace: Workspace) -> Summary:
    verdicts = judge_again(scored_tiles(workspace), settings.screening, _labels(workspace))
    counts = replay(workspace, verdicts, dry_run=settings.dry_run)
    aside = []
    if counts["no image"]:
        aside.append(
            f"{counts['no image']} tiles would be kept but were never stored: cut them by jobs.tile --retry no_image"
        )
    if not settings.dry_run:
        applied = {"screening": settings.screening.model_dump(mode="json"), "counts": counts}
        workspace.write_bytes(json.dumps(applied, indent=1).encode(), ledger.TILES, "_screening.json")
    return Summary("tiles would be" if settings.dry_run else "tiles", counts, aside, workspace.uri(ledger.TILES))


def _labels(workspace: Workspace) -> dict[str, bool]:
    if not workspace.files(LABELLED_TILES):
        return {}
    rows: list[dict[str, Any]] = workspace.read_table(LABELLED_TILES, columns=["tile_id", "kept"]).to_pylist()
    return {row["tile_id"]: row["kept"] for row in rows}


def _duplicates(settings: ScreenSettings, workspace: Workspace) -> Summary:
    table = find_duplicates(hashed_tiles(workspace), settings.duplicates)
    if not settings.dry_run:
        workspace.write_table(table, DUPLICATE_TILES, "duplicates.parquet")
    counts = {"tiles": workspace.dataset(ledger.TILES).count_rows(), "repeat another": len(table)}
    return Summary("near duplicates", counts, where=workspace.uri(DUPLICATE_TILES))


if __name__ == "__main__":
    run(ScreenSettings, screen_again)
