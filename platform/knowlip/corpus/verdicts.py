"""SCIO's verdicts as a table to count in, and to decide again at other thresholds (section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from knowlip.records import SCALES, SUBTEXTS

__all__ = ["AS_THE_PAPER", "Thresholds", "decided", "tallied"]

_COUNTS = ("judged", "noise", "rewritten", "accepted")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the differences of eq. 10, 11, 14 and 15 decide; zero in the paper.

    Attributes:
        itc: A contrast difference below this speaks for the change.
        itm: A matching difference above this speaks for the change.
    """

    itc: float = 0.0
    itm: float = 0.0

    def passed(self, itc: npt.ArrayLike, itm: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return where both differences speak for the change; one that is not a number does not."""
        return np.less(itc, self.itc) & np.greater(itm, self.itm)


AS_THE_PAPER = Thresholds()


def decided(verdicts: pa.Table, thresholds: Thresholds) -> pa.Table:
    """Decide again from the recorded differences; nothing is computed but comparisons.

    Noise that was not noise before has no reconstruction, so it stays unwritten; noise that no longer is one loses its
    own.

    Args:
        verdicts: Rows of `knowlip.records.VERDICTS`.
        thresholds: Where to decide.
    """

    def both(itc: str, itm: str) -> pa.ChunkedArray:
        return pc.and_(pc.less(verdicts[itc], thresholds.itc), pc.greater(verdicts[itm], thresholds.itm))

    noise = pc.fill_null(both("delta_itc", "delta_itm"), False)
    written = pc.and_(noise, pc.not_equal(pc.fill_null(verdicts["reconstruction"], ""), ""))
    better = pc.fill_null(both("reconstruction_delta_itc", "reconstruction_delta_itm"), False)
    tried = pc.and_(noise, pc.is_valid(verdicts["reconstruction"]))
    accepted = pc.if_else(tried, pc.and_(written, better), pa.scalar(None, pa.bool_()))
    for name, values in (("noise", noise), ("accepted", accepted)):
        place = verdicts.column_names.index(name)
        verdicts = verdicts.set_column(place, verdicts.schema.field(name), values)
    return verdicts


def tallied(verdicts: pa.Table, scales: Mapping[str, str]) -> pa.Table:
    """Count verdicts by round, kind of sub-text and scale.

    Args:
        verdicts: Rows of `knowlip.records.VERDICTS`.
        scales: Scale of each tile, ``L``, ``M`` or ``S``; tiles that are not named get none.

    Returns:
        ``round``, ``subtext``, ``scale``, ``judged``, ``noise``, ``rewritten``, ``accepted``, in reading order.
    """
    scale = pa.array([scales.get(tile, "") for tile in verdicts["tile_id"].to_pylist()], pa.string())
    flags = pa.table(
        {
            "round": verdicts["round"],
            "subtext": verdicts["subtext"],
            "scale": scale,
            "judged": pa.array([1] * len(verdicts), pa.int64()),
            "noise": pc.cast(pc.fill_null(verdicts["noise"], False), pa.int64()),
            "rewritten": pc.cast(pc.is_valid(verdicts["reconstruction"]), pa.int64()),
            "accepted": pc.cast(pc.fill_null(verdicts["accepted"], False), pa.int64()),
        }
    )
    keys = ["round", "subtext", "scale"]
    sums = flags.group_by(keys).aggregate([(name, "sum") for name in _COUNTS])
    sums = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names]).select([*keys, *_COUNTS])
    kinds, sizes = {name: n for n, name in enumerate(SUBTEXTS)}, {name: n for n, name in enumerate(SCALES)}
    order = sorted(
        range(len(sums)),
        key=lambda i: (
            sums["round"][i].as_py(),
            kinds.get(sums["subtext"][i].as_py(), len(kinds)),
            sizes.get(sums["scale"][i].as_py(), len(sizes)),
        ),
    )
    return sums.take(pa.array(order, pa.int64()))
