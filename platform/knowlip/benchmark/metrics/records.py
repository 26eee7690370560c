"""The shape of records and of the functions that score them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Record", "Scorer"]

Record = Mapping[str, Any]
"""What was given for one test example; ``example_id`` names it, and ``group`` what it must be resampled with."""

Scorer = Callable[[Sequence[Record]], dict[str, float]]
"""From records to named figures, shares between 0 and 1; no records give no figures."""
