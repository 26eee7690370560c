"""What the values or colours of a mask mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowlip.errors import DataError

__all__ = ["AIR_POLARSAR_SEG", "FUSAR_MAP", "SEN1FLOODS11", "TERRAMIND_LULC", "Legend", "read_legend"]

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Legend:
    """Names of mask values.

    Attributes:
        names: Class of each raw value, None for unknown. A colour's value is ``0xRRGGBB``.
        colours: Whether the values are colours.
    """

    names: Mapping[int, str | None]
    colours: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the legend's order; a class's code is its place counted from 1."""
        return tuple(dict.fromkeys(name for name in self.names.values() if name is not None))

    def codes(self, raw: NDArray[np.int64], *, where: str) -> NDArray[np.uint8]:
        """Return the code of each pixel, 0 where it is unknown.

        Args:
            raw: Values (rows, columns); of a legend of colours, ``0xRRGGBB``.
            where: The mask, for the error line.

        Raises:
            DataError: A value is none of the legend's (code ``unknown_value``).
        """
        values, places = np.unique(raw, return_inverse=True)
        unknown = [self._spelt(value) for value in values.tolist() if value not in self.names]
        if unknown:
            known = ", ".join(self._spelt(value) for value in self.names)
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise DataError(
                f"unknown label value {', '.join(unknown[:5])}{more}",
                where=where,
                fix=f"the legend knows {known}; give another by --options.legend",
                code="unknown_value",
            )
        number = {name: code for code, name in enumerate(self.classes, start=1)}
        table = np.array([number.get(self.names[value] or "", 0) for value in values.tolist()], np.uint8)
        codes: NDArray[np.uint8] = table[places].reshape(raw.shape)
        return codes

    def _spelt(self, value: int) -> str:
        return f"#{value:06x}" if self.colours else str(value)


def read_legend(path: Path) -> Legend:
    """Read a legend: JSON from values (``"3"``) or colours (``"#00ff00"``) to class names, null for unknown.

    Raises:
        DataError: It is no such file.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        keys = {str(key): None if name is None else str(name) for key, name in held.items()}
        colours = all(_COLOUR.fullmatch(key) for key in keys)
        names = {int(key[1:], 16) if colours else int(key): name for key, name in keys.items()}
    except (OSError, ValueError, AttributeError) as error:
        example = '{"0": null, "1": "water"} or {"#0000ff": "water"}'
        raise DataError(f"is no legend ({error})", where=str(path), fix=f"write JSON such as {example}") from error
    legend = Legend(names, colours)
    if not 2 <= len(legend.classes) <= 255:
        raise DataError(f"names {len(legend.classes)} classes", where=str(path), fix="2 to 255 are possible")
    return legend


SEN1FLOODS11 = Legend({-1: None, 0: "land", 1: "water"})

TERRAMIND_LULC = Legend(
    {
        0: None,
        1: "water",
        2: "trees",
        3: "flooded vegetation",
        4: "crops",
        5: "built area",
        6: "bare ground",
        7: "snow or ice",
        8: "clouds",
        9: "rangeland",
    }
)
"""ESRI's land cover, numbered without gaps."""

FUSAR_MAP = Legend(
    {0x000000: "background", 0xFF0000: "building", 0x00FF00: "vegetation", 0x0000FF: "water", 0xFFFF00: "road"},
    colours=True,
)

AIR_POLARSAR_SEG = Legend(
    {
        0x000000: None,
        0x0000FF: "industrial area",
        0x00FF00: "natural area",
        0xFF0000: "land use area",
        0x00FFFF: "water",
        0xFFFFFF: "other",
        0xFFFF00: "housing area",
    },
    colours=True,
)
