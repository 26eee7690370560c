"""The strips of scenes as tasks on a cluster: small tiles by Ray Data, larger ones once what is below them is cut."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import ray

from jobs.metrics import count
from jobs.units import units_of_work
from knowlip.tiling.table import StripTables
from knowlip.tiling.units import Unit

__all__ = ["spread"]

Work = Callable[[Unit], StripTables]


def spread(units: Sequence[Unit], work: Work) -> None:
    """Do work on units, all over the cluster.

    A row of larger tiles is put together from what the strips of small ones left behind, so it follows the last of
    these; the other strips, and those of other scenes, go on meanwhile.
    """
    small, waiting = ([unit for unit in units if bool(unit.strip.stage) == later] for later in (False, True))
    missing = {unit.name for unit in small}
    # A unit can be done again, so a lost node costs no more than its units.
    remote = ray.remote(_do).options(max_retries=-1)
    started = []
    for done in chain([None], _cut(small, work)):  # what waits for nothing starts before anything is done
        missing.discard(done)
        started += [remote.remote(_sealed(unit), work) for unit in waiting if not unit.below & missing]
        waiting = [unit for unit in waiting if unit.below & missing]
    ray.get(started)


def _cut(small: Sequence[Unit], work: Work) -> Iterator[str]:
    """Do work on units, and yield their names as they are done."""
    if small:
        rows = units_of_work([{"unit": _sealed(unit)} for unit in small])
        for row in rows.map(partial(_do_row, work=work)).iter_rows():
            yield row["unit"]


def _sealed(unit: Unit) -> bytes:
    return pickle.dumps(unit)


def _do_row(row: dict[str, Any], work: Work) -> dict[str, Any]:
    return _do(row["unit"], work)


def _do(sealed: bytes, work: Work) -> dict[str, Any]:
    unit: Unit = pickle.loads(sealed)  # noqa: S301 (pickled by this very job)
    tables = work(unit)
    for scale, number in Counter(tile["scale"] for tile in tables.kept).items():
        count("knowlip_tiles", number, scale=scale)
    for reason, number in Counter(tile["reason"] for tile in tables.rejected).items():
        count("knowlip_tiles_rejected", number, reason=reason)
    return {"unit": unit.name, "kept": len(tables.kept), "rejected": len(tables.rejected)}
