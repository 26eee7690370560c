"""The road: every job in its order, with the settings that make it short enough for two cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.ask import AskSettings, ask
from jobs.caption import CaptionSettings, caption
from jobs.command import Summary
from jobs.corpus import CorpusSettings, corpus
from jobs.examples import ExamplesSettings, examples
from jobs.finetune import FinetuneSettings, finetune
from jobs.index import IndexSettings, index
from jobs.pretrain import PretrainSettings, pretrain
from jobs.report import ReportSettings, report
from jobs.simulate import SimulateSettings, simulate
from jobs.tile import TileSettings, tile
from knowlip.settings import JobSettings, read_settings

__all__ = ["Stage", "road"]


@dataclass(frozen=True)
class Stage:
    """One job of the road.

    Attributes:
        name: What the closing table calls it.
        job: The job.
        settings: What it is started with.
        makes: The artefact by which it is seen whether anything was left to do.
    """

    name: str
    job: Callable[[Any], Summary]
    settings: JobSettings
    makes: str


def road(root: str, scenes: tuple[str, ...], configs: Path, flags: tuple[str, ...] = ()) -> list[Stage]:
    """List the stages in order.

    Args:
        root: The workspace.
        scenes: A person's own rasters, tiled by the paper's extents; simulated ones when there are none.
        configs: Folder of the stages' settings; a stage without a file there takes its defaults.
        flags: What every stage is told besides (``--overwrite``).
    """

    def stage(
        name: str, job: Callable[..., Summary], kind: type[JobSettings], makes: str, *own: str, small: bool = True
    ) -> Stage:
        config = configs / f"{name}-demo.yaml"
        given = ["--config", str(config)] if small and config.exists() else []
        argv = [*given, "--workspace", root, *flags, *own]
        return Stage(name, job, read_settings(kind, argv, prog=f"python -m {job.__module__}"), makes)

    def task_stages(task: str) -> list[Stage]:
        return [
            stage(f"examples-{task}", examples, ExamplesSettings, f"datasets/{task}", "--task", task),
            stage(f"finetune-{task}", finetune, FinetuneSettings, f"runs/{task}", "--task", task),
        ]

    if scenes:
        start = [stage("tile", tile, TileSettings, "tiles", "--scenes", *scenes, small=False)]
    else:
        start = [stage("simulate", simulate, SimulateSettings, "scenes"), stage("tile", tile, TileSettings, "tiles")]
    return [
        *start,
        stage("caption", caption, CaptionSettings, "captions"),
        stage("corpus", corpus, CorpusSettings, "corpus"),
        stage("pretrain", pretrain, PretrainSettings, "runs/pretrain"),
        *task_stages("classification"),
        *task_stages("vqa"),
        stage("index", index, IndexSettings, "index"),
        stage("ask", ask, AskSettings, "answers"),
        stage("report", report, ReportSettings, "report.html"),
    ]
