"""Examples: labelled data of a downstream task, from exact truth where a scene has one and from measurements elsewhere.

A unit of work is one file of tiles. Splits are the corpus's, so nothing that was trained on is tested.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import lru_cache
from typing import Any, Literal

import pyarrow as pa
import ray
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import finished, unit_file
from knowlip.benchmark import SceneTruth, content_of, examples_of, read_truth, shuffled
from knowlip.captioning.facts import COLUMNS
from knowlip.errors import DataError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.records import EXAMPLES, SPLITS, conform
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["ExamplesSettings", "examples"]

_WINDOW = ("row_off", "col_off", "height", "width", "crs", "image", "view")
_ROWS_AT_ONCE = 32


class ExamplesSettings(JobSettings):
    """Build the data set of a downstream task from tiles."""

    task: Literal["classification", "vqa"] = "classification"
    """What to build: one label a tile, or questions with answers."""

    truth: str = "scenes"
    """Folder of the workspace with NAME.truth.geojson and NAME.landcover.tif; scenes without one are measured."""

    questions: int = Field(default=3, ge=1, le=50)
    """At most so many questions a tile."""

    seed: int = 0
    """Changes what is asked, and the order."""


def examples(settings: ExamplesSettings) -> Summary:
    """Build one data set of a workspace."""
    started = time.monotonic()
    workspace, artefact = settings.opened(), f"datasets/{settings.task}"
    units = {name.removesuffix(".parquet"): name for name in workspace.files("tiles")}
    splits = workspace.read_table("corpus", columns=["tile_id", "split"]).to_pydict()
    if settings.dry_run:
        return Summary(
            f"Examples for {settings.task} (dry run)", {"tiles": len(splits["tile_id"]), "units": len(units)}
        )
    with workspace.lock(artefact):
        inputs = inputs_digest(workspace, "tiles", "corpus")
        manifest = Manifest(artefact=artefact, job="jobs.examples", settings=settings.shaping(), inputs=inputs)
        # The corpus decides the splits, so examples of another corpus are not continued but replaced.
        done = finished(workspace, artefact, recipe=manifest.recipe, overwrite=True)
        todo = sorted(units.keys() - done)
        if todo:
            workspace.delete(artefact, "manifest.json")
            with connected():
                split = ray.put(dict(zip(splits["tile_id"], splits["split"], strict=True)))
                work = ray.data.from_items([{"unit": unit} for unit in todo], override_num_blocks=len(todo))

                def write(row: dict[str, Any]) -> dict[str, Any]:
                    _write_unit(settings, workspace, row["unit"], manifest.recipe, ray.get(split))
                    return row

                work.map(write).materialize()
        counts = _counts(workspace, artefact)
        if not counts["examples"]:
            raise DataError("no tile of the corpus gives an example", where=workspace.uri(artefact), fix="add scenes")
        if todo:
            seconds = time.monotonic() - started
            manifest.model_copy(update={"counts": counts, "seconds": seconds}).write(workspace)
    return Summary(
        f"Examples for {settings.task}", {**counts, "units made now": len(todo)}, where=workspace.uri(artefact)
    )


def _write_unit(
    settings: ExamplesSettings, workspace: Workspace, unit: str, recipe: str, split: dict[str, str]
) -> None:
    """Make the examples of one file of tiles."""

    @lru_cache(maxsize=4)
    def truth_of(scene_name: str) -> SceneTruth | None:
        return read_truth(workspace, settings.truth, scene_name)

    made: list[dict[str, Any]] = []
    options = {"task": settings.task, "seed": settings.seed, "most": settings.questions}
    source = workspace.dataset("tiles", f"{unit}.parquet")
    for batch in source.to_batches(columns=[*COLUMNS, *_WINDOW], batch_size=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            if row["tile_id"] in split:
                content = content_of(row, truth_of(row["scene_name"] or ""))
                made += examples_of(row, content, split=split[row["tile_id"]], **options)
    table = pa.Table.from_pylist(shuffled(made, settings.seed), schema=EXAMPLES)
    workspace.write_table(conform(table, EXAMPLES, where=unit), f"datasets/{settings.task}", unit_file(unit, recipe))


def _counts(workspace: Workspace, artefact: str) -> dict[str, Any]:
    table = workspace.read_table(artefact, columns=["split", "label", "kind", "answer"])
    by_split = Counter(table["split"].to_pylist())
    column = "label" if artefact.endswith("classification") else "kind"
    by_name = Counter(table[column].to_pylist()).most_common()
    named = ", ".join(f"{name} {number}" for name, number in by_name)
    return {"examples": len(table), **{split: by_split[split] for split in SPLITS}, f"{column}s": named}


if __name__ == "__main__":
    run(ExamplesSettings, examples)
