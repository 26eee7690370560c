"""Text report: how long, rich, varied and true the captions are, as a page and as numbers (Figs. 8, 10 and 11)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, ClassVar

from pydantic import Field

from jobs.captioning.comparing import Sampled, figure_table, sampled
from jobs.captioning.features import Reader, laid_out
from jobs.command import Summary, run
from knowlip.captioning.textgroups import read_captions, read_sentences
from knowlip.errors import CheckpointError, DataError
from knowlip.reporting import Section, render
from knowlip.reporting.sections import texts as sections
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["TextReportSettings", "text_report"]

_FOLDER, _PAGE, _TABLE = ("captions", "_report"), "texts.html", "texts.parquet"
_TOTALS = ("words_a_caption", "mtld", "distinct_2", "duplicate_texts", "tokens_a_caption", "captions_cut")
_FEWEST = 4


class TextReportSettings(JobSettings):
    """Judge the captions of a workspace in numbers: captions/_report/texts.html and texts.parquet."""

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping

    run: str = Field(default="", pattern=r"^[\w.-]*$")
    """Training run whose checkpoint counts tokens and draws image and text features; empty for none."""
    max_tokens: int = Field(default=256, ge=16)
    """Longest text that a model reads; a run's own limit goes before."""
    human: tuple[str, ...] = ()
    """Files of human sentences to compare with, one a line."""
    truth: str = "scenes"
    """Folder with NAME.truth.geojson, out of which templated text is made; scenes without one are measured."""
    sample: int = Field(default=400, ge=_FEWEST)
    """Tiles that are compared with templated text, and drawn."""
    examples: int = Field(default=9, ge=0, le=200)
    """Tiles shown with their texts."""
    seed: int = 0
    """Changes which tiles are drawn."""


def text_report(settings: TextReportSettings) -> Summary:
    """Write the report.

    Raises:
        DataError: No caption can be used, or a file of sentences cannot be read.
        CheckpointError: The run has no checkpoint.
    """
    workspace, aside = settings.opened(), list[str]()
    human = {PurePath(path).name: read_sentences(path) for path in settings.human}
    captions = read_captions(workspace)
    if not captions.rows:
        raise DataError("holds no usable caption", where=workspace.uri("captions"), fix="run jobs.caption first")
    totals: dict[str, Any] = {"captions": len(captions.rows), "set aside": sum(captions.set_aside.values())}
    if settings.dry_run:
        return Summary("Would report on texts", totals)
    ids = sorted(row["tile_id"] for row in captions.rows)
    drawn = set(random.Random(settings.seed).sample(ids, min(settings.sample, len(ids))))
    samples = sampled(workspace, drawn, truth=settings.truth, seed=settings.seed)
    reader = _reader(workspace, settings, aside)
    counts = reader.count() if reader else None
    table = figure_table(workspace, captions, samples, human, counts, settings.seed)
    pages = sections.figures_sections(table)
    pages.insert(1, sections.lengths_section(captions, counts.tokens.astype(float) if counts else None))
    cards = [one.card for one in samples[: settings.examples]]
    extra = [_features(reader, samples, settings.seed), sections.doubts_section(captions)]
    pages += [section for section in (*extra, sections.samples_section(cards)) if section is not None]
    workspace.write_table(table, *_FOLDER, _TABLE)
    workspace.write_bytes(render("Texts", pages, subtitle=f"Workspace {workspace.uri()}").encode(), *_FOLDER, _PAGE)
    told = {row["figure"]: row["value"] for row in table.to_pylist() if row["group"] == "all"}
    totals |= {name: told[name] for name in _TOTALS if name in told}
    totals["doubted claims"] = sum(captions.doubts.values())
    return Summary("Text report", totals, aside, workspace.uri(*_FOLDER, _PAGE))


def _reader(workspace: Workspace, settings: TextReportSettings, aside: list[str]) -> Reader | None:
    """Open what counts tokens; where nothing is asked for and nothing there, say so and go on."""
    try:
        return Reader(workspace, settings.run, settings.max_tokens)
    except CheckpointError as error:
        if settings.run or settings.strict:
            raise
        aside.append(f"tokens: {error}; give --run NAME")
        return None


def _features(reader: Reader | None, samples: Sequence[Sampled], seed: int) -> Section | None:
    """Draw images, captions and templates of the same tiles in a checkpoint's space."""
    if reader is None or reader.model is None or len(samples) < _FEWEST:
        return None
    texts = {
        "captions": [" ".join(one.texts) for one in samples],
        "templates": [" ".join(one.template) for one in samples],
    }
    return sections.features_section(*laid_out(reader.features([one.view for one in samples], texts), seed))


if __name__ == "__main__":
    run(TextReportSettings, text_report)
