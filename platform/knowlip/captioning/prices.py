"""What a model's tokens cost: a table that the user can override."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from knowlip.errors import SettingsError

__all__ = ["BUILT_IN", "Price", "find_price"]

BUILT_IN = "built-in table, as remembered in late 2025, unchecked: ask your vendor, override by --endpoint.price"
"""What a price of our own table is worth."""

_TABLE = TypeAdapter(dict[str, tuple[float, float]])
_VERSION = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|-\d{8}|-latest|-preview)$")


@dataclass(frozen=True)
class Price:
    """Price of a model's tokens.

    Attributes:
        read: US dollars a million prompt tokens.
        written: US dollars a million completion tokens.
        source: Who says so.
    """

    read: float
    written: float
    source: str = ""

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of a call."""
        return (self.read * prompt_tokens + self.written * completion_tokens) / 1e6

    def times(self, share: float) -> Price:
        """Return the price with a discount (0.5 for half)."""
        return Price(self.read * share, self.written * share, self.source)


def find_price(model: str, table: str = "") -> Price | None:
    """Look a model's price up: as it is named, then without its provider (``openai/…``) and its version's date.

    Args:
        model: The model's name at the endpoint.
        table: A YAML file of ``model: [read, written]`` that goes before the built-in one.

    Returns:
        The price, or none when nobody knows it.

    Raises:
        SettingsError: The file cannot be read.
    """
    own = resources.files("knowlip.captioning").joinpath("prices.yaml").read_text("utf-8")
    tables = [(BUILT_IN, _read(own, "prices.yaml"))]
    if table:
        try:
            tables.insert(0, (table, _read(Path(table).read_text("utf-8"), table)))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot be read ({error})", where=table, fix="give a YAML file of prices") from error
    bare = model.rpartition("/")[2]
    for source, known in tables:
        for name in (model, bare, _VERSION.sub("", bare)):
            if name in known:
                return Price(*known[name], source)
    return None


def _read(text: str, where: str) -> dict[str, tuple[float, float]]:
    try:
        prices = _TABLE.validate_python(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise SettingsError("is no table of prices", where=where, fix="write `model: [read, written]` lines") from error
    if any(price < 0 for pair in prices.values() for price in pair):
        raise SettingsError("has a price below zero", where=where, fix="give US dollars a million tokens")
    return prices
