"""A strip as a unit of work: what a worker needs to cut it, and the files that say that it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from knowlip.errors import WorkspaceError
from knowlip.records import IMAGE_COLUMNS
from knowlip.scenes.reader import Scene
from knowlip.tiling.averaging import Part, parts_from, parts_table
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.ledger import REJECTED_TILES, TILES
from knowlip.tiling.ordering import ROW_GROUP_TILES
from knowlip.tiling.regions import RegionSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.strips import Strip
from knowlip.tiling.survey import Radiometry, Survey
from knowlip.tiling.table import StripTables, tile_strip
from knowlip.workspace import Workspace

__all__ = ["TILE_PARTS", "Unit", "UnitCutter", "units_of"]

TILE_PARTS = "tiles/_parts"
"""What strips saw of larger tiles, until these are put together."""


@dataclass(frozen=True)
class Unit:
    """One strip of one scene; a plain value that travels between processes.

    Attributes:
        scene: The scene.
        strip: Which of its tiles.
        radiometry: How the strip's band is read.
    """

    scene: Scene
    strip: Strip
    radiometry: Radiometry

    @property
    def name(self) -> str:
        """What stands for the unit in file names."""
        return self.sibling(self.strip.name)

    @property
    def below(self) -> set[str]:
        """Names of the units that its tiles are put together from."""
        return {self.sibling(name) for name, _, _ in self.strip.below}

    def sibling(self, strip: str) -> str:
        """Return the name of the unit of another strip of the same scene."""
        return f"{self.scene.scene_id}-{strip}"


def units_of(survey: Survey) -> Iterator[Unit]:
    """Yield the units of a scene, none of one that is set aside."""
    for strip in survey.strips:
        if survey.scene:
            yield Unit(survey.scene, strip, survey.bands[strip.band.index])


@dataclass(frozen=True)
class UnitCutter:
    """Cuts units and publishes their tiles.

    Attributes:
        workspace: Where the tiles go.
        file_of: From a unit's name to its file's.
        grid: The grid's settings.
        screening: Thresholds.
        regions: Which ground is worth reading.
    """

    workspace: Workspace
    file_of: Callable[[str], str]
    grid: GridSettings
    screening: ScreeningSettings
    regions: RegionSettings

    def __call__(self, unit: Unit) -> StripTables:
        """Tile one strip; the tiles' file comes last, and says that the unit is done."""
        parts: list[Part] = []
        with unit.scene.reading() as reader:
            tables = tile_strip(
                reader,
                unit.strip,
                unit.radiometry,
                grid=self.grid,
                screening=self.screening,
                regions=self.regions,
                parents_of_kept=self.needed(unit),
                keep_part=parts.append,
                stored=partial(self._stored, unit),
            )
        file = self.file_of(unit.name)
        if parts:
            self.workspace.write_table(parts_table(parts), TILE_PARTS, file, use_dictionary=False)
        self.workspace.write_table(tables.rejected_table(), REJECTED_TILES, file)
        self.workspace.write_table(
            tables.tiles_table(),
            TILES,
            file,
            row_group_size=ROW_GROUP_TILES,
            use_dictionary=False,
            packed=IMAGE_COLUMNS,
        )
        return tables

    def needed(self, unit: Unit) -> set[str]:
        """Return which tiles of a second-stage strip have a child, or a child's child, that the first stage kept."""
        found: set[str] = set()
        for name, _, _ in unit.strip.below:
            table = self.workspace.read_table(TILES, self.file_of(unit.sibling(name)), columns=["parent_id"])
            found.update(table["parent_id"].to_pylist())
        return unit.strip.with_ancestors(found)

    def _stored(self, unit: Unit, strip: str) -> dict[str, Part] | None:
        """Return what a strip saw of larger tiles; nothing once that is deleted."""
        try:
            return parts_from(self.workspace.read_table(TILE_PARTS, self.file_of(unit.sibling(strip))))
        except WorkspaceError:
            return None
