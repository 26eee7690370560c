"""SCIO report: what a run's closed loop screened, rewrote and accepted, as a page and a table."""

from __future__ import annotations

import time
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from jobs.command import Summary, run
from knowlip.corpus.verdicts import Thresholds, decided, tallied
from knowlip.errors import DataError
from knowlip.reporting import Section, render
from knowlip.reporting.sections.scio import verdict_elements, verdict_examples
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["ScioReportSettings", "scio_report"]

_PAGE, _TABLE = "scio.html", "scio.parquet"


class ScioReportSettings(JobSettings):
    """Count a run's SCIO verdicts by round, kind and scale, with histograms and texts before and after.

    Other thresholds show what they would have decided, from the recorded differences alone.
    """

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping

    run: str = "pretrain"
    """Name of the run, in runs/NAME."""
    itc_below: float | None = None
    """Decide again: a contrast difference below this speaks against a sub-text, or for its reconstruction; the paper's
    is 0. Without, as the run decided."""
    itm_above: float | None = None
    """Decide again: a matching difference above this speaks likewise; the paper's is 0."""
    examples: int = Field(12, ge=0, le=200)
    """Texts shown before and after."""


def scio_report(settings: ScioReportSettings) -> Summary:
    """Write scio.html and scio.parquet beside the verdicts.

    Raises:
        DataError: The run has no verdicts.
    """
    started = time.monotonic()
    workspace, folder = settings.opened(), f"runs/{settings.run}"
    if not workspace.exists(folder, "verdicts.parquet"):
        raise DataError(
            "has no verdicts.parquet", where=workspace.uri(folder), fix="name a run whose SCIO has screened"
        )
    verdicts = workspace.read_table(folder, "verdicts.parquet")
    told = "as the run decided"
    if settings.itc_below is not None or settings.itm_above is not None:
        thresholds = Thresholds(settings.itc_below or 0.0, settings.itm_above or 0.0)
        verdicts = decided(verdicts, thresholds)
        told = f"noise: ΔITC < {thresholds.itc:g} and ΔITM > {thresholds.itm:g}"
    counts = tallied(verdicts, _scales(workspace))
    totals = {name: pc.sum(counts[name]).as_py() or 0 for name in ("judged", "noise", "rewritten", "accepted")}
    if settings.dry_run:
        return Summary("Would report", totals)
    examples = verdict_examples(verdicts, _views(workspace, verdicts, settings.examples), settings.examples)
    sections = [Section("Verdicts", verdict_elements(verdicts, counts, "scio"))]
    sections += [Section("Texts", examples)] if examples else []
    page = render(f"SCIO of {settings.run}", sections, subtitle=f"{workspace.uri(folder)}; {told}")
    workspace.write_table(counts, folder, _TABLE)
    workspace.write_bytes(page.encode(), folder, _PAGE)
    return Summary("SCIO report", {**totals, "seconds": time.monotonic() - started}, where=workspace.uri(folder, _PAGE))


def _scales(workspace: Workspace) -> dict[str, str]:
    if not workspace.files("corpus"):
        return {}
    tiles = workspace.read_table("corpus", columns=["tile_id", "scale"])
    return dict(zip(tiles["tile_id"].to_pylist(), tiles["scale"].to_pylist(), strict=True))


def _views(workspace: Workspace, verdicts: pa.Table, most: int) -> dict[str, bytes]:
    """Read the views of the tiles that may be shown, and of no others."""
    rewritten = verdicts.filter(pc.is_valid(verdicts["reconstruction"]))
    order = [("accepted", "descending"), ("delta_itc", "ascending")]
    tiles = rewritten.sort_by(order)["tile_id"].slice(0, most)
    if not len(tiles) or not workspace.files("corpus"):
        return {}
    found = workspace.read_table("corpus", columns=["tile_id", "view"], where=pc.field("tile_id").isin(tiles))
    return dict(zip(found["tile_id"].to_pylist(), found["view"].to_pylist(), strict=True))


if __name__ == "__main__":
    run(ScioReportSettings, scio_report)
