"""Language data of an annotated data set: captions, or questions with answers, from its boxes or masks (Fig. 13)."""

from __future__ import annotations

import time
from typing import Any, Literal

import pyarrow as pa
import ray
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import finished, unit_file
from knowlip.benchmark.card import DatasetCard, describe
from knowlip.benchmark.datasets import shuffled, spoken_of
from knowlip.benchmark.splits import derived, read_split, write_split
from knowlip.errors import DataError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.records import EXAMPLES, conform
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["LanguageSettings", "language"]

_ROWS_AT_ONCE = 32


class LanguageSettings(JobSettings):
    """Build captions or questions from the boxes of a detection set, or questions from the masks of a segmentation set.

    Splits are the annotated data set's. Beside the questions stands what they can be answered by without looking.
    """

    of: str
    """The annotated data set, datasets/OF."""

    task: Literal["retrieval", "captioning", "vqa"] = "vqa"
    """What to build: descriptions in five wordings, or questions with answers."""

    name: str = ""
    """What the new data set is called; OF-TASK by default."""

    questions: int = Field(default=6, ge=1, le=50)
    """At most so many questions an image."""

    seed: int = 0
    """Changes what is asked, the wordings' order, and the order."""


def language(settings: LanguageSettings) -> Summary:
    """Build one data set from another."""
    started, workspace = time.monotonic(), settings.opened()
    name = settings.name or f"{settings.of}-{settings.task}"
    source, artefact = f"datasets/{settings.of}", f"datasets/{name}"
    card = DatasetCard.read(workspace, settings.of)
    if card.task not in ("detection", "segmentation"):
        raise DataError(f"is for {card.task}", where=workspace.uri(source), fix="give a set with boxes or masks")
    units = [unit.removesuffix(".parquet") for unit in workspace.files(source)]
    if settings.dry_run:
        return Summary(f"Would build {name}", {"from": settings.of, "units": len(units)})
    with workspace.lock(artefact):
        manifest = Manifest(
            artefact=artefact,
            job="jobs.language",
            settings=settings.shaping(),
            inputs=inputs_digest(workspace, source),
        )
        made = finished(workspace, artefact, recipe=manifest.recipe, overwrite=True)
        todo = sorted(set(units) - made)
        if todo:
            workspace.delete(artefact, "manifest.json")
            with connected():
                write = ray.remote(_write_unit)
                ray.get([write.remote(settings, workspace, unit, manifest.recipe, card.classes) for unit in todo])
        owners = workspace.read_table(artefact, columns=["example_id", "tile_id"]).to_pydict()
        if not owners["example_id"]:
            raise DataError(
                f"no example gives a {settings.task} example", where=workspace.uri(source), fix="see --task and --of"
            )
        pairs = dict(zip(owners["example_id"], owners["tile_id"], strict=True))
        splits = {
            scheme: write_split(
                workspace, artefact, scheme, derived(read_split(workspace, source, scheme, sha256=sha256), pairs)
            )
            for scheme, sha256 in card.splits.items()
        }
        made_card, counts = describe(workspace, name, task=settings.task, layout=settings.of, splits=splits)
        if todo:
            made_card.write(workspace)
            seconds = time.monotonic() - started
            manifest.model_copy(update={"counts": counts, "seconds": seconds}).write(workspace)
    return Summary(f"Language data {name}", {**counts, "units made now": len(todo)}, where=workspace.uri(artefact))


def _write_unit(
    settings: LanguageSettings, workspace: Workspace, unit: str, recipe: str, classes: tuple[str, ...]
) -> None:
    """Make the examples of one file of annotated ones."""
    made: list[dict[str, Any]] = []
    options = {"task": settings.task, "seed": settings.seed, "most": settings.questions}
    for batch in workspace.dataset("datasets", settings.of, f"{unit}.parquet").to_batches(batch_size=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            made += spoken_of(row, classes, **options)
    table = conform(pa.Table.from_pylist(shuffled(made, settings.seed), schema=EXAMPLES), EXAMPLES, where=unit)
    artefact = f"datasets/{settings.name or f'{settings.of}-{settings.task}'}"
    workspace.write_table(table, artefact, unit_file(unit, recipe))


if __name__ == "__main__":
    run(LanguageSettings, language)
