"""Report: one HTML page that shows what a workspace holds."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar

from pydantic import Field

from jobs.command import Summary, run
from jobs.looking import RunLook
from knowlip.archive import Archive, Version, checkpoint_digest, fetched_checkpoint
from knowlip.errors import KnowlipError, WorkspaceError
from knowlip.reporting import Section, render
from knowlip.reporting.sections import (
    answers_section,
    benchmark_section,
    map_section,
    overview_section,
    rejected_section,
    run_sections,
    scio_section,
    search_section,
    tiles_section,
)
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["ReportSettings", "report"]

_FILE = "report.html"


class ReportSettings(JobSettings):
    """Write report.html: what was made, tiles with their texts, a map, training curves, what tuned models gave for
    held-out examples, and what a search finds.

    Every part appears where its artefact is there; a workspace with nothing but tiles has a report too.
    """

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping

    title: str = "SAR archive"
    """Heading of the page."""
    queries: tuple[str, ...] = ("airport runway", "ships in a harbour", "dense buildings", "open water")
    """What to look for in the index, in words."""
    k: int = Field(4, ge=1, le=50)
    """Tiles shown a query."""


def report(settings: ReportSettings) -> Summary:
    """Write the report.

    Raises:
        WorkspaceError: The workspace holds nothing to report.
    """
    started = time.monotonic()
    workspace = settings.opened()
    searched, aside = _search(workspace, settings)
    found = [
        overview_section(workspace),
        benchmark_section(workspace),
        searched,
        answers_section(workspace),
        tiles_section(workspace),
        map_section(workspace),
        rejected_section(workspace),
        *run_sections(workspace, partial(RunLook, workspace)),
        scio_section(workspace),
    ]
    sections = [section for section in found if section is not None]
    if not sections:
        raise WorkspaceError("holds nothing to report", where=workspace.uri(), fix="run a job first, such as jobs.tile")
    if settings.dry_run:
        return Summary("Would report", {"sections": ", ".join(section.title for section in sections)})
    page = render(settings.title, sections, subtitle=f"Workspace {workspace.uri()}").encode()
    workspace.write_bytes(page, _FILE)
    counts = {"sections": len(sections), "MB": len(page) / 2**20, "seconds": time.monotonic() - started}
    return Summary("Report", counts, aside, where=workspace.uri(_FILE))


def _search(workspace: Workspace, settings: ReportSettings) -> tuple[Section | None, list[str]]:
    """Search in this process with the checkpoint that made the index; say why where that cannot be done."""
    version = Version.current(workspace)
    if version is None or not settings.queries:
        return None, []
    from models import load  # here, since a report without a search needs no torch

    try:
        archive = Archive.open(workspace, checkpoint=checkpoint_digest(workspace, version.checkpoint))
        model = load(fetched_checkpoint(workspace, version.checkpoint))
        return search_section(archive, settings.queries, model.encode_query, k=settings.k), []
    except KnowlipError as error:
        if settings.strict:
            raise
        return None, [f"search: {error}"]


if __name__ == "__main__":
    run(ReportSettings, report)
