"""Cut SAR scenes into tiles that know where they lie: ``python -m jobs.tile --workspace W --scenes a.tif folder/ …``.

Reads rasters; writes ``tiles/`` (kept), ``tiles/_rejected/`` (set aside, with reasons) and ``tiles/_scenes/``.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
import ray.data
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import finished, unit_file
from knowlip.errors import SceneError
from knowlip.manifest import Manifest
from knowlip.records import SCENES, conform
from knowlip.scenes.listing import find_scenes
from knowlip.settings import JobSettings
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.strips import Strip
from knowlip.tiling.survey import SceneSettings, Survey, survey_scene
from knowlip.tiling.table import tile_strip
from knowlip.workspace import Workspace

TILES, REJECTED, SCENE_LOG = "tiles", "tiles/_rejected", "tiles/_scenes"


class TileSettings(JobSettings):
    """Cut SAR scenes into tiles: 8-bit, the same ground extent for every sensor, with footprint, place and quality."""

    short_flags: ClassVar[dict[str, str]] = {"--scenes": "--scenes.paths"}

    scenes: SceneSettings = SceneSettings()
    tiling: GridSettings = GridSettings()
    screening: ScreeningSettings = ScreeningSettings()

    strip_mpx: float = Field(default=8.0, gt=0)
    """Scene pixels, in millions, that one task tiles at least."""

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape a tile; which scenes were asked for is not among them."""
        shaping = super().shaping()
        del shaping["scenes"]["paths"]
        return shaping


def tile(settings: TileSettings) -> Summary:
    """Run the job."""
    started = time.monotonic()
    workspace = settings.opened()
    surveys = _survey(settings, workspace)
    if settings.dry_run:
        return _plan(surveys)
    with workspace.lock(TILES):
        done = finished(workspace, TILES, recipe=settings.recipe(), overwrite=settings.overwrite)
        finished(workspace, REJECTED, recipe=settings.recipe(), overwrite=settings.overwrite)
        units = [unit for survey in surveys for unit in _units(survey) if unit["unit"] not in done]
        if units:
            with connected():
                _cut_all(units, settings, workspace)
        counts = _log_scenes(workspace, surveys, settings)
        Manifest(
            artefact=TILES,
            job="jobs.tile",
            settings=settings.shaping(),
            inputs={survey.name: survey.key for survey in surveys if survey.scene},
            counts=counts,
            seconds=time.monotonic() - started,
        ).write(workspace)
    aside = [survey.detail for survey in surveys if survey.reason]
    return Summary("tiles", counts, aside, workspace.uri(TILES))


def _survey(settings: TileSettings, workspace: Workspace) -> list[Survey]:
    paths = find_scenes(settings.scenes.paths or [workspace.uri("scenes")])
    look = partial(survey_scene, scenes=settings.scenes, grid=settings.tiling, strip_px=int(settings.strip_mpx * 1e6))
    with ThreadPoolExecutor() as pool:
        surveys = list(pool.map(look, paths))
    bad = [survey for survey in surveys if survey.reason]
    if bad and settings.strict:
        raise SceneError(bad[0].detail, code=bad[0].reason)
    # The same bytes under two names are one scene.
    return list({survey.key: survey for survey in reversed(surveys)}.values())[::-1]


def _units(survey: Survey) -> Iterable[dict[str, Any]]:
    """Name the strips of a scene; what a worker needs to cut one travels pickled."""
    for strip in survey.strips:
        yield {
            "unit": f"{survey.key}-{strip.name}",
            "stage": strip.stage,
            "task": pickle.dumps((survey.scene, strip, survey.bands[strip.band.index])),
        }


def _cut_all(units: list[dict[str, Any]], settings: TileSettings, workspace: Workspace) -> None:
    """Cut small and medium tiles, then large ones, which are kept where a child was."""
    cut = partial(_cut_unit, settings=settings, workspace=workspace)
    for stage in sorted({unit["stage"] for unit in units}):
        rows = [unit for unit in units if unit["stage"] == stage]
        ray.data.from_items(rows, override_num_blocks=len(rows)).map(cut).materialize()


def _cut_unit(unit: dict[str, Any], settings: TileSettings, workspace: Workspace) -> dict[str, Any]:
    """Tile one strip and publish it; the tiles' file comes last, and says that the strip is done."""
    scene, strip, radiometry = pickle.loads(unit["task"])  # noqa: S301 (pickled by this very job)
    with scene.reading() as reader:
        tables = tile_strip(
            reader,
            strip,
            radiometry,
            grid=settings.tiling,
            screening=settings.screening,
            parents_of_kept=_parents_of_kept(workspace, strip),
        )
    name = unit_file(unit["unit"], settings.recipe())
    workspace.write_table(tables.rejected_table(), REJECTED, name)
    workspace.write_table(tables.tiles_table(), TILES, name, row_group_size=64, use_dictionary=False)
    return {"unit": unit["unit"], "kept": len(tables.kept), "rejected": len(tables.rejected)}


def _parents_of_kept(workspace: Workspace, strip: Strip) -> set[str]:
    """Return which large tiles of a strip have a child that the first stage kept."""
    if strip.stage == 0 or not workspace.files(TILES):
        return set()
    parents = workspace.read_table(TILES, columns=["parent_id"])["parent_id"]
    return {tile.tile_id for tile in strip.tiles} & set(parents.to_pylist())


def _log_scenes(workspace: Workspace, surveys: list[Survey], settings: TileSettings) -> dict[str, Any]:
    """Publish one row a scene, and return the counts of the closing table."""
    kept = _tally(workspace, TILES, "scale")
    rejected = _tally(workspace, REJECTED, "reason")
    for survey in surveys:
        row = {
            "scene_id": survey.scene.scene_id if survey.scene else "",
            "scene_name": survey.name,
            "status": "rejected" if survey.reason else "tiled",
            "reason": survey.reason or None,
            "detail": survey.detail or None,
            "kept": sum(kept.get(survey.key, {}).values()),
            "rejected": sum(rejected.get(survey.key, {}).values()),
        }
        table = conform(pa.Table.from_pylist([row], schema=SCENES), SCENES, where=SCENE_LOG)
        workspace.write_table(table, SCENE_LOG, unit_file(survey.key, settings.recipe()))
    keys = {survey.key for survey in surveys}
    scales = sum((by for key, by in kept.items() if key in keys), Counter[str]())
    reasons = sum((by for key, by in rejected.items() if key in keys), Counter[str]())
    return {
        "scenes tiled": sum(not survey.reason for survey in surveys),
        "scenes set aside": sum(bool(survey.reason) for survey in surveys),
        **{f"kept {scale}": scales[scale] for scale in ("L", "M", "S")},
        **{f"rejected: {reason}": count for reason, count in sorted(reasons.items())},
    }


def _tally(workspace: Workspace, artefact: str, column: str) -> dict[str, Counter[str]]:
    """Count the rows of an artefact by scene and a column."""
    found: dict[str, Counter[str]] = {}
    if workspace.files(artefact):
        table = workspace.read_table(artefact, columns=["scene_id", column])
        for scene, value in zip(table["scene_id"].to_pylist(), table[column].to_pylist(), strict=True):
            found.setdefault(scene, Counter())[value] += 1
    return found


def _plan(surveys: list[Survey]) -> Summary:
    counts: dict[str, Any] = {}
    for survey in surveys:
        if not survey.reason:
            counts[survey.name] = ", ".join(f"{count} {scale}" for scale, count in survey.counts().items() if count)
    return Summary("tiles that would be cut", counts, [survey.detail for survey in surveys if survey.reason])


if __name__ == "__main__":
    run(TileSettings, tile)
