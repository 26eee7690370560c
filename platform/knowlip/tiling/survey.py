"""Look at candidate scenes before any is tiled: what each is, its strips, or why it is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from knowlip.errors import SceneError
from knowlip.manifest import digest
from knowlip.scenes.radiometry import Curve, Quantity, Transfer, measure_transfer
from knowlip.scenes.reader import Band, Scene, open_scene
from knowlip.settings import Section
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.strips import Strip, plan_strips
from knowlip.tiling.texture import calm_looks

__all__ = ["Radiometry", "SceneSettings", "Survey", "band_radiometry", "survey_scene"]


class SceneSettings(Section):
    """Which scenes, and how they become 8-bit."""

    paths: tuple[str, ...] = ()
    """Files, folders, globs, .txt lists, zips or s3:// prefixes; the workspace's own scenes/ by default."""

    quantity: Quantity = "auto"
    """What the pixels measure: `amplitude`, `power`, `db`, `complex`; `auto` tells by tags, sensor, type and values."""

    curve: Curve = "amplitude"
    """What 8-bit values are linear in: `amplitude` or `db`."""

    clip_low: float = Field(default=1.0, ge=0, lt=50)
    """Percentile of the scene's valid pixels that becomes 1."""

    clip_high: float = Field(default=99.5, gt=50, le=100)
    """Percentile of the scene's valid pixels that becomes 255."""

    gsd_m: float | None = Field(default=None, gt=0)
    """Ground sampling distance to assume, metres, where a file has no georeference."""

    seed: int = 0
    """Seed of the sample by which a scene's radiometry is decided."""


@dataclass(frozen=True)
class Radiometry:
    """How one band of a scene is read.

    Attributes:
        transfer: Its way to 8 bits.
        looks: Its equivalent number of looks, where the scene is calm.
    """

    transfer: Transfer
    looks: float


@dataclass(frozen=True)
class Survey:
    """What a look at one candidate found.

    Attributes:
        path: The candidate.
        name: Its file name.
        scene: What it is, or nothing where it cannot be used.
        strips: Its units of work.
        bands: Radiometry of each band, by its index.
        reason: Code of the reason why it was set aside.
        detail: The same as a line a person can act on.
    """

    path: str
    name: str
    scene: Scene | None = None
    strips: tuple[Strip, ...] = ()
    bands: Mapping[int, Radiometry] = field(default_factory=dict)
    reason: str = ""
    detail: str = ""

    @property
    def key(self) -> str:
        """The scene's id, or a digest of its path where it could not be read."""
        return self.scene.scene_id if self.scene else digest(self.path)

    def counts(self) -> dict[str, int]:
        """Return how many tiles of each scale are planned."""
        scales = [tile.window.scale for strip in self.strips for tile in strip.tiles]
        return {scale: scales.count(scale) for scale in ("L", "M", "S")}


def survey_scene(path: str, scenes: SceneSettings, grid: GridSettings) -> Survey:
    """Look at one candidate; what is wrong with it becomes a reason, never an exception."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    try:
        scene = open_scene(path, gsd_m=scenes.gsd_m)
        bands = {band.index: band_radiometry(scene, band, scenes) for band in scene.bands}
        strips = plan_strips(scene, grid)
    except SceneError as error:
        return Survey(path, name, reason=error.code, detail=str(error))
    return Survey(path, name, scene, tuple(strips), bands)


def band_radiometry(scene: Scene, band: Band, settings: SceneSettings) -> Radiometry:
    """Decide how a band becomes 8-bit and how it speckles, from a seeded sample: the same in every process.

    Raises:
        SceneError: It has no valid pixels, they are all alike, or the declared quantity cannot be true.
    """
    with scene.reading() as reader:
        sample = reader.sample(band.index, seed=settings.seed)
    choices: dict[str, Any] = {"declared": settings.quantity, "tagged": scene.quantity, "curve": settings.curve}
    try:
        transfer = measure_transfer(sample, clip_percent=(settings.clip_low, settings.clip_high), **choices)
    except SceneError as error:
        raise SceneError(error.what, where=scene.name, fix=error.fix, code=error.code) from error
    return Radiometry(transfer, calm_looks(map(transfer.to_8bit, sample.blocks), transfer))
