"""Which tiles are worth keeping (section 3.1, step 5): rules with thresholds, then optionally nearest neighbours.

Every rejection names its reason, the score that decided and what it was held against, so that thresholds can be argued
about and replayed from the tables alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from knowlip.errors import DataError
from knowlip.settings import Section
from knowlip.tiling.labels import default_labels, read_labels
from knowlip.tiling.texture import Quality

__all__ = ["NeighbourFilter", "Rejection", "ScreeningSettings", "screen"]


class ScreeningSettings(Section):
    """Thresholds of the quality screening."""

    nodata_max: float = Field(default=0.5, ge=0, le=1)
    """Largest share of pixels without data."""

    saturation_max: float = Field(default=0.6, ge=0, le=1)
    """Largest share of pixels at the upper clip limit."""

    entropy_min: float = Field(default=2.0, ge=0, le=8)
    """Smallest entropy of the view's values, bits: below, the tile is as good as constant."""

    structure_min: float = Field(default=1.2, ge=0)
    """Smallest dynamic range, in units of what the scene's speckle alone spans: below, a tile may lack structure …"""

    correlation_min: float = Field(default=0.15, ge=-1, le=1)
    """… if levels 1/32 of its side apart also correlate less than this (open water, even grass) …"""

    bright_density_min: float = Field(default=0.5, ge=0)
    """… and it does not hold at least this many bright scatterers a square kilometre (a ship in a
    tile of 1024 m is 0.95)."""

    keep_low_structure: bool = False
    """Keep tiles without structure."""

    judge: Literal["rules", "neighbours"] = "rules"
    """What decides about structure: the thresholds above, or the nearest `neighbours` among labelled tiles."""

    labels: str = ""
    """Labelled tiles (Parquet, made by `jobs.screen label`) for the neighbours; the package's simulated ones when
    empty."""

    neighbours: int = Field(default=15, ge=1)
    """How many of them vote."""

    neighbours_min: float = Field(default=0.5, ge=0, le=1)
    """Smallest share of their votes, weighed by likeness, that keeps a tile."""

    residual_max_m: float = Field(default=50.0, gt=0)
    """Largest residual of a footprint that was fitted to control points or RPCs, metres."""


@dataclass(frozen=True)
class Rejection:
    """Why a tile was set aside.

    Attributes:
        reason: ``corrupt_block``, ``nodata``, ``saturated``, ``low_entropy``, ``low_structure``, ``residual``,
            ``neighbours``, ``label`` (a person said so), or ``no_kept_child`` (medium and large tiles).
        score: The score that decided.
        threshold: What it was held against.
    """

    reason: str
    score: float
    threshold: float


def screen(
    quality: Quality, settings: ScreeningSettings, *, corrupt_share: float = 0.0, residual_m: float = 0.0
) -> Rejection | None:
    """Return why a tile is set aside, or nothing when it is kept.

    Args:
        quality: Its scores.
        settings: Thresholds.
        corrupt_share: Share of its pixels that could not be decoded.
        residual_m: Misfit of its footprint.
    """
    if corrupt_share > 0:
        return Rejection("corrupt_block", corrupt_share, 0.0)
    if residual_m > settings.residual_max_m:
        return Rejection("residual", residual_m, settings.residual_max_m)
    if quality.nodata_share > settings.nodata_max:
        return Rejection("nodata", quality.nodata_share, settings.nodata_max)
    if quality.saturation > settings.saturation_max:
        return Rejection("saturated", quality.saturation, settings.saturation_max)
    if settings.keep_low_structure:
        return None
    if quality.entropy < settings.entropy_min:
        return Rejection("low_entropy", quality.entropy, settings.entropy_min)
    if settings.judge == "neighbours":
        judge = _trained(settings.labels, settings.neighbours)
        return judge.reject(quality, threshold=settings.neighbours_min)
    patterned = quality.correlation >= settings.correlation_min
    if not patterned and quality.structure < settings.structure_min:
        scatterers = quality.bright_density >= settings.bright_density_min
        return None if scatterers else Rejection("low_structure", quality.structure, settings.structure_min)
    return None


class NeighbourFilter:
    """The paper's k-nearest-neighbour filter: a tile is worth what the labelled tiles most like it were.

    Args:
        qualities: Scores of labelled tiles.
        kept: Whether each was worth keeping.
        k: Neighbours that vote.

    Raises:
        DataError: There are fewer labels than neighbours, or only one kind of label.
    """

    def __init__(self, qualities: Sequence[Quality], kept: Sequence[bool], *, k: int = 15) -> None:
        labels = np.asarray(kept, dtype=bool)
        if len(labels) < k or labels.all() or not labels.any():
            raise DataError(
                f"{len(labels)} labels, {int(labels.sum())} of them kept",
                where="labels of the neighbour filter",
                fix=f"give at least {k}, of both kinds",
            )
        self._model: Pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier(k, weights="distance"))
        self._model.fit(_features(qualities), labels)

    def scores(self, qualities: Sequence[Quality]) -> NDArray[np.float64]:
        """Return the share of like tiles that were kept, 0 to 1, for each tile."""
        return np.asarray(self._model.predict_proba(_features(qualities))[:, 1], dtype=np.float64)

    def reject(self, quality: Quality, *, threshold: float = 0.5) -> Rejection | None:
        """Return a rejection where most like tiles were not kept."""
        score = float(self.scores([quality])[0])
        return Rejection("neighbours", score, threshold) if score < threshold else None


@lru_cache(maxsize=4)
def _trained(labels: str, k: int) -> NeighbourFilter:
    qualities, kept = read_labels(labels) if labels else default_labels()
    return NeighbourFilter(qualities, kept, k=k)


def _features(qualities: Sequence[Quality]) -> NDArray[np.float64]:
    names = [field.name for field in fields(Quality)]
    table = np.array([[getattr(quality, name) for name in names] for quality in qualities], dtype=np.float64)
    # Looks and densities span decades; their logarithms compare.
    for column in (names.index("enl"), names.index("bright_density"), names.index("contrast")):
        table[:, column] = np.log1p(table[:, column])
    return table
