"""The bands of a scene: polarisations by their names, a choice of them, or their span."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from knowlip.errors import SceneError

__all__ = ["Band", "Composite", "chosen_bands", "named_bands"]

Composite = Literal["none", "span"]

_POLARISATION = re.compile(r"(?<![a-z])(hh|hv|vh|vv)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Band:
    """One band of a scene, which becomes a series of tiles of its own.

    Attributes:
        index: Place in the file, from 1.
        series: Its name: the polarisation where it is known, else ``b1``, ``b2`` …
        polarisation: HH, HV, VH, VV, or empty.
        sources: Bands of the file that a composite is made of; its own index is then 0.
        quantity: What the sources measure, once that is decided; only a composite needs to know while it is read.
    """

    index: int
    series: str
    polarisation: str
    sources: tuple[int, ...] = ()
    quantity: str = ""


def named_bands(source: DatasetReader, name: str, polarisation: str) -> tuple[Band, ...]:
    """Name the bands: by their own tags, else by the file's tag or name where there is only one."""
    found = []
    tagged = source.tags().get("polarisation", source.tags().get("POLARISATION", ""))
    for index in source.indexes:
        if source.colorinterp[index - 1] == ColorInterp.alpha:
            continue
        own = f"{source.descriptions[index - 1] or ''} {source.tags(index).get('polarisation', '')}"
        texts = (own, tagged, polarisation, name.replace("_", " ")) if source.count == 1 else (own,)
        shown = next((match[1].upper() for text in texts if (match := _POLARISATION.search(text))), "")
        found.append((index, shown))
    shown_twice = len({shown for _, shown in found}) < len(found)
    return tuple(Band(index, f"b{index}" if shown_twice or not shown else shown, shown) for index, shown in found)


def chosen_bands(bands: Sequence[Band], wanted: Sequence[str], composite: Composite) -> tuple[Band, ...]:
    """Choose among a scene's bands, and put them together where a composite is wanted.

    Args:
        bands: What the scene has.
        wanted: Series or polarisations (``VV``), or places in the file (``2``), case aside; none means all.
        composite: ``none`` for a series of tiles a band; ``span`` for one of their total power.

    Raises:
        SceneError: The scene has none of those wanted (code ``no_bands``).
    """
    names = {name.casefold() for name in wanted}
    chosen = tuple(
        band
        for band in bands
        if not names or names & {band.series.casefold(), band.polarisation.casefold(), str(band.index)}
    )
    if not chosen:
        offered = ", ".join(band.series for band in bands)
        raise SceneError(
            f"has bands {offered}, none of {', '.join(wanted)}", fix="change --scenes.bands", code="no_bands"
        )
    if composite == "none" or len(chosen) == 1:
        return chosen
    return (Band(0, composite, "", tuple(band.index for band in chosen)),)
