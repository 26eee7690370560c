"""Cut SAR scenes into tiles that know where they lie: ``python -m jobs.tile --workspace W --scenes a.tif folder/ …``.

Reads rasters; writes ``tiles/`` (kept), ``tiles/_rejected/`` (set aside, with reasons) and ``tiles/_scenes/``.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.cutting import spread
from jobs.units import finished, unit_file
from knowlip.errors import SceneError
from knowlip.manifest import Manifest
from knowlip.scenes.listing import find_scenes
from knowlip.settings import JobSettings
from knowlip.tiling import ledger
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.regions import RegionSettings, read_region
from knowlip.tiling.retrying import Retry, UnitRetrier, units_to_retry
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, Survey, distinct, survey_scene
from knowlip.tiling.units import TILE_PARTS, Unit, UnitCutter, units_of
from knowlip.workspace import Workspace


class TileSettings(JobSettings):
    """Cut SAR scenes into tiles: 8-bit, the same ground extent for every sensor, with footprint, place and quality."""

    short_flags: ClassVar[dict[str, str]] = {"--scenes": "--scenes.paths", "--regions": "--regions.geojson"}
    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping | {"summary", "retry"}

    scenes: SceneSettings = SceneSettings()
    tiling: GridSettings = GridSettings()
    screening: ScreeningSettings = ScreeningSettings()
    regions: RegionSettings = RegionSettings()

    retry: tuple[Retry, ...] = ()
    """Cut tiles again that were set aside for these reasons: `no_image` (a replay would keep them), `corrupt_block`,
    `low_structure_region` or `outside_region` (read them after all). Scenes that were set aside are always tried."""

    summary: bool = False
    """Count what the workspace holds, by scale and reason, and do nothing."""

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape a tile; which scenes were asked for is not among them."""
        shaping = super().shaping()
        del shaping["scenes"]["paths"]
        if self.regions.geojson:
            shaping["regions"]["geojson"] = read_region(self.regions.geojson).wkt
        return shaping


def tile(settings: TileSettings) -> Summary:
    """Run the job."""
    started = time.monotonic()
    workspace, recipe = settings.opened(), settings.recipe()
    if settings.summary:
        return Summary("tiles", ledger.stored_counts(workspace), where=workspace.uri(ledger.TILES))
    surveys, repeats = _survey(settings, workspace)
    aside = [*(survey.detail for survey in surveys if survey.detail), *repeats]
    if settings.dry_run:
        return Summary("tiles that would be cut", ledger.planned_counts(surveys), aside)
    with workspace.lock(ledger.TILES):
        done = finished(workspace, ledger.TILES, recipe=recipe, overwrite=settings.overwrite)
        finished(workspace, ledger.REJECTED_TILES, recipe=recipe, overwrite=settings.overwrite)
        units = [unit for survey in surveys for unit in units_of(survey)]
        _cut_all(units, done, settings, workspace)
        workspace.delete(TILE_PARTS)
        ledger.log_scenes(workspace, surveys, recipe=recipe)
        counts = ledger.closing_counts(workspace, surveys)
        Manifest(
            artefact=ledger.TILES,
            job="jobs.tile",
            settings=settings.shaping(),
            inputs={survey.name: survey.key for survey in surveys if survey.scene},
            counts=counts,
            seconds=time.monotonic() - started,
        ).write(workspace)
    return Summary("tiles", counts, aside, workspace.uri(ledger.TILES))


def _survey(settings: TileSettings, workspace: Workspace) -> tuple[list[Survey], list[str]]:
    """Look at all candidates; returns what each is, and a line for each that another one repeats byte by byte."""
    paths = find_scenes(settings.scenes.paths or [workspace.uri("scenes")])
    look = partial(survey_scene, scenes=settings.scenes, grid=settings.tiling)
    with ThreadPoolExecutor() as pool:
        surveys = list(pool.map(look, paths))
    bad = [survey for survey in surveys if survey.detail]
    if bad and settings.strict:
        raise SceneError(bad[0].detail, code=bad[0].reason or "bands")
    return distinct(surveys)


def _cut_all(units: list[Unit], done: set[str], settings: TileSettings, workspace: Workspace) -> None:
    """Cut what is not done, and what was set aside where that is asked for."""
    cutter = UnitCutter(
        workspace=workspace,
        file_of=partial(unit_file, recipe=settings.recipe()),
        grid=settings.tiling,
        screening=settings.screening,
        regions=settings.regions,
    )
    new, old = ([unit for unit in units if (unit.name in done) == there] for there in (False, True))
    again = units_to_retry(old, cutter, settings.retry) if settings.retry else []
    if new or again:
        with connected():
            spread(new, cutter)
            spread(again, UnitRetrier(cutter, settings.retry))


if __name__ == "__main__":
    run(TileSettings, tile)
