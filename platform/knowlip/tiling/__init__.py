"""The SRC grid, its pyramid of tiles, their texture, screening and storage (section 3.1)."""

from knowlip.tiling.encoding import decode_png, encode_png
from knowlip.tiling.geoparquet import with_geometry
from knowlip.tiling.grid import Grid, GridSettings, Window, lay_grid
from knowlip.tiling.screening import Rejection, ScreeningSettings, screen
from knowlip.tiling.texture import Quality, measure_quality
from knowlip.tiling.tile import Tile, area_average, stitch

__all__ = [
    "Grid",
    "GridSettings",
    "Quality",
    "Rejection",
    "ScreeningSettings",
    "Tile",
    "Window",
    "area_average",
    "decode_png",
    "encode_png",
    "lay_grid",
    "measure_quality",
    "screen",
    "stitch",
    "with_geometry",
]
