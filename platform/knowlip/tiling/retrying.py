"""Cut tiles again that were set aside, on request: those that a replay would keep but that have no image, and those
whose pixels could not be read or were not looked at.

Only these tiles are cut, and only their rows change; the rest of a unit stays as it is. A run that dies meanwhile
leaves every tile in at least one table, and can be asked again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.records import IMAGE_COLUMNS, REJECTED, TILES, conform
from knowlip.tiling.geoparquet import with_geometry
from knowlip.tiling.ledger import REJECTED_TILES
from knowlip.tiling.ledger import TILES as KEPT_TILES
from knowlip.tiling.ordering import ROW_GROUP_TILES
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.strips import Strip
from knowlip.tiling.table import StripTables, tile_strip
from knowlip.tiling.units import Unit, UnitCutter

__all__ = ["Retry", "UnitRetrier", "units_to_retry"]

Retry = Literal["no_image", "corrupt_block", "low_structure_region", "outside_region"]

_KEEP = ScreeningSettings(nodata_max=1.0, saturation_max=1.0, keep_low_structure=True, residual_max_m=float("inf"))


def units_to_retry(units: Sequence[Unit], cutter: UnitCutter, reasons: Collection[Retry]) -> list[Unit]:
    """Return the units that hold tiles set aside for these reasons, and those of the larger tiles above them."""
    workspace = cutter.workspace
    stored, found = set(workspace.files(REJECTED_TILES)), []
    for unit in units:
        if (file := cutter.file_of(unit.name)) in stored:
            table = workspace.read_table(REJECTED_TILES, file, columns=["reason"])
            if set(reasons) & set(table["reason"].to_pylist()):
                found.append(unit)
    scenes = {unit.scene.scene_id for unit in found}
    above = [unit for unit in units if unit.strip.stage and unit.scene.scene_id in scenes and unit not in found]
    return found + above


@dataclass(frozen=True)
class UnitRetrier:
    """Cuts tiles of units again.

    Attributes:
        cutter: How units are cut.
        reasons: Why those tiles were set aside.
    """

    cutter: UnitCutter
    reasons: tuple[Retry, ...]

    def __call__(self, unit: Unit) -> StripTables:
        """Cut again what was set aside; a tile that a replay would keep is kept, others are screened.

        Returns:
            The rows of the tiles that were cut.
        """
        workspace, file = self.cutter.workspace, self.cutter.file_of(unit.name)
        rejected = workspace.read_table(REJECTED_TILES, file)
        reasons = dict(zip(rejected["tile_id"].to_pylist(), rejected["reason"].to_pylist(), strict=True))
        open_again = {tile for tile, reason in reasons.items() if reason in self.reasons}
        settled = {tile for tile in open_again if reasons[tile] == "no_image"}
        if unit.strip.stage:
            # A larger tile that was kept may lack what could not be read.
            again = self.cutter.needed(unit)
            settled = again if "corrupt_block" in self.reasons else again & reasons.keys()
        open_again -= settled
        made = StripTables()
        for wanted, screening in ((settled, _KEEP), (open_again, self.cutter.screening)):
            cut = self._cut(unit, wanted, screening)
            made.kept += cut.kept
            made.rejected += cut.rejected
        if made.kept or made.rejected:
            self._merge(file, rejected, made)
        return made

    def _cut(self, unit: Unit, wanted: set[str], screening: ScreeningSettings) -> StripTables:
        tiles = tuple(tile for tile in unit.strip.tiles if tile.tile_id in wanted)
        if not tiles:
            return StripTables()
        strip: Strip = replace(unit.strip, tiles=tiles, above=(), below=())
        with unit.scene.reading() as reader:
            return tile_strip(
                reader,
                strip,
                unit.radiometry,
                grid=self.cutter.grid,
                screening=screening,
                parents_of_kept=wanted,
            )

    def _merge(self, file: str, rejected: pa.Table, made: StripTables) -> None:
        workspace = self.cutter.workspace
        cut = pa.array([row["tile_id"] for row in (*made.kept, *made.rejected)], pa.string())
        kept = workspace.read_table(KEPT_TILES, file)
        for artefact, schema, old, new in (
            (KEPT_TILES, TILES, kept, made.tiles_table()),
            (REJECTED_TILES, REJECTED, rejected, made.rejected_table()),
        ):
            others = old.filter(pc.invert(pc.is_in(old["tile_id"], value_set=cut)))
            parts = [conform(part, schema, where=artefact).replace_schema_metadata(None) for part in (others, new)]
            packed = IMAGE_COLUMNS if artefact == KEPT_TILES else ()
            workspace.write_table(
                with_geometry(pa.concat_tables(parts)),
                artefact,
                file,
                row_group_size=ROW_GROUP_TILES,
                use_dictionary=False,
                packed=packed,
            )
