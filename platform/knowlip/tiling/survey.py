"""Look at candidate scenes before any is tiled: what each is, its strips, or why it is set aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import Field

from knowlip.errors import SceneError
from knowlip.manifest import digest
from knowlip.scenes.bands import Band, Composite, chosen_bands
from knowlip.scenes.radiometry import Curve, Quantity, Transfer, decide_quantity, measure_transfer
from knowlip.scenes.reader import Scene, SceneReader, open_scene
from knowlip.settings import Section
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.strips import Strip, plan_strips
from knowlip.tiling.texture import ENL_BLOCK_PX, calm_looks

__all__ = ["Radiometry", "SceneSettings", "Survey", "band_radiometry", "distinct", "survey_scene"]


class SceneSettings(Section):
    """Which scenes, and how they become 8-bit."""

    paths: tuple[str, ...] = ()
    """Files, folders, globs, .txt lists, STAC .json, .SAFE folders, zips, s3:// prefixes; by default the workspace's
    own scenes/."""

    bands: tuple[str, ...] = ()
    """Polarisations (`VV`) or places in the file (`2`) to tile; all by default."""

    composite: Composite = "none"
    """`none`: a series of tiles a band; `span`: one series of the bands' total power."""

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
        detail: The same as a line a person can act on; of a scene that is tiled, what of it is not.
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
    """Look at one candidate; what is wrong with it becomes a reason, never an exception.

    A band without content is left out where others have some; the survey's ``detail`` then says so.
    """
    name = path.rstrip("/").rsplit("/", 1)[-1]
    try:
        scene = open_scene(path, gsd_m=scenes.gsd_m)
        scene, bands, lines = _usable(scene, scenes)
        strips = plan_strips(scene, grid)
    except SceneError as error:
        named = SceneError(error.what, where=error.where or name, fix=error.fix)
        return Survey(path, name, reason=error.code, detail=str(named))
    return Survey(path, name, scene, tuple(strips), bands, detail=" · ".join(lines))


def distinct(surveys: Iterable[Survey]) -> tuple[list[Survey], list[str]]:
    """Return the first survey of each scene, and a line for each file that has the same bytes as an earlier one."""
    first: dict[str, Survey] = {}
    lines = []
    for survey in surveys:
        before = first.setdefault(survey.key, survey)
        if before.path != survey.path:
            lines.append(f"{survey.name}: has the same bytes as {before.name}, which stands for both")
    return list(first.values()), lines


def _usable(scene: Scene, settings: SceneSettings) -> tuple[Scene, dict[int, Radiometry], list[str]]:
    """Return the scene with the bands that can be tiled, their radiometry, and a line a band that cannot."""
    chosen = chosen_bands(scene.bands, settings.bands, settings.composite)
    found: dict[int, Radiometry] = {}
    usable: list[Band] = []
    problems: list[SceneError] = []
    with scene.reading() as reader:
        for band in chosen:
            try:
                whole = _with_quantity(reader, band, settings)
                found[band.index] = band_radiometry(_of_bands(reader, (whole,)), whole, settings)
            except SceneError as error:
                if error.code == "unreachable":
                    raise
                where = f"{scene.name} {band.series}" if len(chosen) > 1 else scene.name
                problems.append(SceneError(error.what, where=where, fix=error.fix, code=error.code))
            else:
                usable.append(whole)
    if not usable:
        raise problems[0]
    lines = [f"{error} (its other bands are tiled)" for error in problems]
    return replace(scene, bands=tuple(usable)), found, lines


def _of_bands(reader: SceneReader, bands: tuple[Band, ...]) -> SceneReader:
    return SceneReader(replace(reader.scene, bands=bands), reader.source)


def _with_quantity(reader: SceneReader, band: Band, settings: SceneSettings) -> Band:
    """Decide what a composite's bands measure, by the first of them."""
    if not band.sources:
        return band
    sample = reader.sample(band.sources[0], seed=settings.seed)
    if not sample.blocks:
        return band
    quantity, _ = decide_quantity(sample, declared=settings.quantity, tagged=reader.scene.quantity)
    return replace(band, quantity=quantity)


def band_radiometry(reader: SceneReader, band: Band, settings: SceneSettings) -> Radiometry:
    """Decide how a band becomes 8-bit and how it speckles, from a seeded sample: the same in every process.

    Raises:
        SceneError: It has no valid pixels, they are all alike, the declared quantity cannot be true, or none of it can
            be decoded.
    """
    sample, scene = reader.sample(band.index, seed=settings.seed), reader.scene
    declared: Quantity = "amplitude" if band.sources else settings.quantity
    clip = (settings.clip_low, settings.clip_high)
    transfer = measure_transfer(
        sample, declared=declared, tagged=scene.quantity, curve=settings.curve, clip_percent=clip
    )
    if band.sources:
        transfer = replace(transfer, decided_by=f"{band.series} of bands of {band.quantity}")
    images = map(transfer.to_8bit, sample.stacked(ENL_BLOCK_PX))
    return Radiometry(transfer, calm_looks(images, transfer))
