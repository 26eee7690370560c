"""Review: experts judge a sample of the texts, and their judgements become figures (section 4.2, Fig. 9)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pydantic_settings import CliPositionalArg

from jobs.command import Summary, run
from knowlip.captioning import OK
from knowlip.captioning.reviewing import Review, agreements, drawn, parse_review, tallies, together
from knowlip.errors import DataError
from knowlip.manifest import digest
from knowlip.records import SUBTEXTS
from knowlip.reporting import render
from knowlip.reporting.review_sheet import review_page
from knowlip.reporting.sections.review import ACCURACIES, accuracy_table, review_sections
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["ReviewSettings", "review"]

_FOLDER = ("captions", "_review")
_ABOUT = ("family", "scale", "model", "prompts")
_UNSHOWN = ("quality", "transfer", "bbox", "affine", "view", "image")


class ReviewSettings(JobSettings):
    """Draw a sample of captioned tiles and write a review sheet, or score the judgements that were saved from it."""

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping

    action: CliPositionalArg[Literal["sheet", "score"]] = "sheet"
    """`sheet` draws tiles and writes the page, `score` takes the judgements that reviewers saved."""
    share: float = Field(default=0.02, gt=0.0, le=1.0)
    """Part of the tiles of each family and scale that is drawn, at least one of each (`sheet`)."""
    seed: int = 0
    """Changes which tiles are drawn (`sheet`)."""
    picture_px: int = Field(default=512, ge=64)
    """Most pixels a side of the pictures (`sheet`)."""
    judgements: tuple[str, ...] = ()
    """JSON files that the sheet saved, one a reviewer (`score`)."""


def review(settings: ReviewSettings) -> Summary:
    """Run the job.

    Raises:
        DataError: No caption can be used, or judgements cannot be read, or are of no sheet of this workspace.
    """
    workspace = settings.opened()
    return _score(settings, workspace) if settings.action == "score" else _sheet(settings, workspace)


def _sheet(settings: ReviewSettings, workspace: Workspace) -> Summary:
    columns = ["tile_id", *_ABOUT, *SUBTEXTS]
    table = workspace.read_table("captions", columns=columns, where=pc.field("status") == OK)
    rows = {row["tile_id"]: row for row in table.to_pylist()}
    if not rows:
        raise DataError("holds no usable caption", where=workspace.uri("captions"), fix="run jobs.caption first")
    chosen = drawn(list(rows.values()), settings.share, settings.seed)
    texts = {tile_id: {name: rows[tile_id][name] or "" for name in SUBTEXTS} for tile_id in chosen}
    sheet = digest(texts)[:8]
    counts = {"captions": len(rows), "tiles drawn": len(chosen), "texts to judge": len(chosen) * len(SUBTEXTS)}
    if settings.dry_run:
        return Summary("Would draw for review", counts)
    tiles = _tiles(workspace, chosen, "image")
    parents = _tiles(workspace, sorted({row["parent_id"] for row in tiles.values() if row["parent_id"]}), "view")
    shown = [tiles[tile_id] for tile_id in chosen if tile_id in tiles]
    page = review_page(sheet, shown, texts, parents, picture_px=settings.picture_px)
    sample = pa.Table.from_pylist([{**rows[row["tile_id"]], "sheet": sheet} for row in shown])
    workspace.write_table(sample, *_FOLDER, f"{sheet}.parquet")
    workspace.write_bytes(page.encode(), *_FOLDER, f"{sheet}.html")
    counts["MB"] = len(page) / 2**20
    return Summary("Review sheet", counts, where=workspace.uri(*_FOLDER, f"{sheet}.html"))


def _tiles(workspace: Workspace, wanted: Sequence[str], picture: str) -> dict[str, dict[str, Any]]:
    where = pc.field("tile_id").isin(pa.array(wanted, pa.string()))
    source = workspace.dataset("tiles")
    columns = [name for name in source.schema.names if name not in _UNSHOWN or name == picture]
    return {row["tile_id"]: row for row in source.to_table(columns=columns, filter=where).to_pylist()}


def _score(settings: ReviewSettings, workspace: Workspace) -> Summary:
    reviews = [_read(path) for path in settings.judgements]
    sheets = sorted({one.sheet for one in reviews})
    if len(sheets) != 1 or not workspace.exists(*_FOLDER, f"{sheets[0]}.parquet"):
        what = f"judgements are of sheets {sheets}" if sheets else "no judgements are given"
        fix = "give --judgements files of one sheet of this workspace"
        raise DataError(what, where=workspace.uri(*_FOLDER), fix=fix)
    if len({one.reviewer for one in reviews}) < len(reviews):
        raise DataError("two files are by one reviewer", where=", ".join(settings.judgements), fix="give one each")
    sample = workspace.read_table(*_FOLDER, f"{sheets[0]}.parquet", columns=["tile_id", *_ABOUT]).to_pylist()
    tiles = {row["tile_id"]: row for row in sample}
    everyone = [together(reviews), *reviews] if len(reviews) > 1 else reviews
    found = [tally for one in everyone for tally in tallies(one, tiles)]
    agreed = list(agreements(reviews))
    counts: dict[str, Any] = {"reviewers": len(reviews), "texts judged": everyone[0].judged}
    for tally in found:
        if (tally.reviewer, tally.group) == (everyone[0].reviewer, "all") and tally.interval:
            low, high = tally.interval
            counts[tally.kind.replace("_", " ")] = f"{tally.accuracy:.1%} ({low:.1%} to {high:.1%})"
    counts |= {f"kappa of {' and '.join(one.reviewers)}": one.kappa for one in agreed if one.kind == "all"}
    if settings.dry_run:
        return Summary("Would score", counts)
    page = render("Accuracy of the texts", review_sections(found, agreed, len(tiles)), subtitle=f"Sheet {sheets[0]}")
    workspace.write_table(accuracy_table(found), *_FOLDER, f"{sheets[0]}-{ACCURACIES}.parquet")
    workspace.write_bytes(page.encode(), *_FOLDER, f"{sheets[0]}-{ACCURACIES}.html")
    return Summary("Review", counts, where=workspace.uri(*_FOLDER, f"{sheets[0]}-{ACCURACIES}.html"))


def _read(path: str) -> Review:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"cannot be read ({error})", where=path, fix="give a file that a review sheet saved") from error
    return parse_review(document, where=path)


if __name__ == "__main__":
    run(ReviewSettings, review)
