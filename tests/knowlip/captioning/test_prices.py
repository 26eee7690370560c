"""Prices: the built-in table says what it is worth, and whoever knows better overrides it."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowlip.captioning.endpoint import EndpointSettings
from knowlip.captioning.prices import BUILT_IN, find_price
from knowlip.errors import SettingsError


def test_the_built_in_table_is_told_apart(tmp_path: Path) -> None:
    assert "ask your vendor" in BUILT_IN
    price = find_price("openai/gpt-4.1-mini-2025-04-14")
    assert price is not None
    assert (price.read, price.written, price.source) == (0.4, 1.6, BUILT_IN)
    assert price.times(0.5).source == BUILT_IN
    assert find_price("a-model-of-ours") is None


def test_a_file_goes_before_the_table_and_a_setting_before_the_file(tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text("gpt-4.1-mini: [1.0, 2.0]\na-model-of-ours: [0, 0]\n")
    dated = find_price("gpt-4.1-mini-2025-04-14", str(table))
    assert dated is not None
    assert (dated.read, dated.written, dated.source) == (1.0, 2.0, str(table))
    assert find_price("gpt-4o", str(table)).source == BUILT_IN
    settings = EndpointSettings(model="gpt-4.1-mini", prices=str(table))
    assert settings.priced().usd(1_000_000, 1_000_000) == 3.0
    given = settings.model_copy(update={"price": (5.0, 7.0)}).priced()
    assert (given.read, given.written, given.source) == (5.0, 7.0, "--endpoint.price")


@pytest.mark.parametrize("text", ["gpt-4o: 3", "- a", "gpt-4o: [-1, 2]", "a: [b, c]", "{"])
def test_a_file_that_is_no_table_is_one_line(tmp_path: Path, text: str) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text(text)
    with pytest.raises(SettingsError, match=r"prices\.yaml") as told:
        find_price("gpt-4o", str(table))
    assert "\n" not in str(told.value)


def test_a_price_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="two prices from 0"):
        EndpointSettings(price=(-1.0, 2.0))
