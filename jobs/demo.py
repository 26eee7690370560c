"""Demo: the whole road in one process, from scenes to answers over HTTP and a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
from rich.console import Console
from rich.table import Table

from jobs.cluster import connected
from jobs.command import Summary, run, shown
from jobs.road import Stage, road
from knowlip.manifest import CARD, NAME
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["DemoSettings", "demo"]


class DemoSettings(JobSettings):
    """Walk the whole road: scenes, tiles, captions, corpus, pretraining, fine-tuning, index, answers over HTTP, report.

    Started again, also after being killed, it goes on where it was; what is finished is not done twice.
    """

    workspace: str = ""
    """Root of all artefacts; workspace/demo by default, or workspace/NAME after the first of your own scenes."""

    scenes: tuple[str, ...] = ()
    """Your own SAR rasters; three simulated scenes by default."""

    configs: str = str(Path(__file__).parent / "configs")
    """Folder of the stages' settings: STAGE-demo.yaml."""


def demo(settings: DemoSettings) -> Summary:
    """Walk the road; every stage is a job of its own."""
    workspace = Workspace(settings.workspace or _default_root(settings.scenes))
    flags = tuple(f"--{flag}" for flag in ("overwrite", "strict") if getattr(settings, flag))
    stages = road(workspace.root, settings.scenes, Path(settings.configs), flags)
    if settings.dry_run:
        return Summary("Would walk", {stage.name: workspace.uri(stage.makes) for stage in stages})
    table = Table("stage", "made", "where", "seconds", title="The road", title_justify="left")
    console = Console(soft_wrap=True)
    with connected():
        for number, stage in enumerate(stages, start=1):
            console.rule(f"{number}/{len(stages)} {stage.name}", align="left")
            table.add_row(*_walk(stage, workspace))
    console.print(table)
    return Summary("Demo", {"stages": len(stages)}, where=workspace.uri("report.html"))


def _default_root(scenes: tuple[str, ...]) -> str:
    if not scenes:
        return "workspace/demo"
    more = f"-and-{len(scenes) - 1}-more" if len(scenes) > 1 else ""
    return f"workspace/{Path(scenes[0]).stem}{more}"


def _walk(stage: Stage, workspace: Workspace) -> tuple[str, str, str, str]:
    """Run a stage, show its summary, and return its row of the closing table."""
    before, started = _files(workspace, stage.makes), time.monotonic()
    summary = stage.job(stage.settings)
    seconds = time.monotonic() - started
    summary.show(seconds)
    untouched = before and before == _files(workspace, stage.makes)
    made = ", ".join(f"{name} {shown(value)}" for name, value in list(summary.counts.items())[:2])
    return stage.name, made, workspace.uri(stage.makes), "done before" if untouched else f"{seconds:.1f}"


def _files(workspace: Workspace, artefact: str) -> dict[str, Any]:
    """Return the published files of an artefact with sizes and times.

    Working state starts with an underscore; manifest and card say how it was made, and by which code it was last seen.
    """
    place = workspace.path(artefact)
    single = workspace.filesystem.get_file_info(place)
    selector = pafs.FileSelector(place, allow_not_found=True, recursive=True)
    found = [single] if single.is_file else workspace.filesystem.get_file_info(selector)
    named = {info.path.removeprefix(place): (info.size, info.mtime_ns) for info in found if info.is_file}
    return {name: state for name, state in named.items() if "/_" not in name and not name.endswith((NAME, CARD))}


if __name__ == "__main__":
    run(DemoSettings, demo)
