"""Eight bits from any quantity, alike all over a scene, and back to decibels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.errors import SceneError
from knowlip.scenes.radiometry import Sample, Transfer, decide_quantity, measure_transfer, valid_mask

RNG = np.random.default_rng(7)
POWER = RNG.gamma(4, 0.05 / 4, (12, 64, 64)).astype(np.float32)


def sample(blocks: np.ndarray, nodata: float | None = None) -> Sample:
    return Sample(tuple(blocks), nodata)


@pytest.mark.parametrize(
    ("pixels", "quantity"),
    [
        (10 * np.log10(POWER), "db"),
        (POWER, "power"),
        (RNG.gamma(1, 100.0, (12, 64, 64)).astype(np.float32), "power"),
        (np.sqrt(RNG.gamma(1, 1e4, (12, 64, 64))).astype(np.float32), "amplitude"),
        ((np.sqrt(POWER) * 1000).astype(np.uint16), "amplitude"),
        ((np.sqrt(POWER) * np.exp(1j * RNG.uniform(0, 6, POWER.shape))).astype(np.complex64), "complex"),
    ],
)
def test_quantities_are_told_apart(pixels: np.ndarray, quantity: str) -> None:
    found, decided_by = decide_quantity(sample(pixels))
    assert found == quantity
    assert decided_by.startswith(("dtype", "heuristic"))


def test_a_declaration_wins_over_tags_and_tags_over_values() -> None:
    assert decide_quantity(sample(POWER), declared="amplitude", tagged="power") == ("amplitude", "declared")
    assert decide_quantity(sample(POWER), tagged="amplitude") == ("amplitude", "tags")


def test_amplitude_power_and_decibels_of_one_scene_become_the_same_8_bits() -> None:
    forms = {"power": POWER, "amplitude": np.sqrt(POWER), "db": 10 * np.log10(POWER)}
    levels = [measure_transfer(sample(x), declared=kind).to_8bit(x).astype(int) for kind, x in forms.items()]
    assert np.abs(levels[0] - levels[1]).max() <= 1
    assert np.abs(levels[0] - levels[2]).max() <= 1


def test_valid_pixels_are_1_to_255_and_the_rest_0() -> None:
    raw = np.sqrt(POWER[0]).copy()
    raw[:5] = np.nan
    raw[5:10] = -99
    raw[10:15] = 0
    levels = measure_transfer(sample(raw[None], -99), declared="amplitude").to_8bit(raw)
    assert (levels[:15] == 0).all()
    assert levels[15:].min() == 1
    assert levels[15:].max() == 255


@pytest.mark.parametrize("nodata", [None, -99.0, float("nan"), 50.0])
@pytest.mark.parametrize("zero_is_nodata", [True, False])
def test_parts_of_an_image_are_each_masked_as_they_need(
    nodata: float | None, zero_is_nodata: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = np.random.default_rng(0).uniform(10.0, 100.0, (64, 32)).astype(np.float32)
    raw[9, 3], raw[17, 5:9], raw[40, 0], raw[50:52] = np.nan, 0.0, np.inf, -99.0
    raw[33, 7] = 50.0
    transfer = Transfer("db", "declared", 10.0, 100.0, "db", nodata, zero_is_nodata)
    whole = transfer.to_8bit(raw)
    monkeypatch.setattr("knowlip.scenes.radiometry._AT_ONCE_PX", 8 * 32)
    np.testing.assert_array_equal(transfer.to_8bit(raw), whole)
    valid = valid_mask(raw, nodata, zero_is_nodata=zero_is_nodata)
    assert 0 < (~valid).sum() < 100
    np.testing.assert_array_equal(whole > 0, valid)


def test_8_bit_sources_pass_through() -> None:
    raw = RNG.integers(0, 256, (4, 64, 64)).astype(np.uint8)
    transfer = measure_transfer(sample(raw))
    assert transfer.curve == "identity"
    assert (transfer.to_8bit(raw) == np.maximum(raw, 1)).all()


def test_solid_zeros_of_an_8_bit_scene_are_no_data_and_scattered_ones_are_dark() -> None:
    raw = RNG.integers(1, 256, (2, 64, 64)).astype(np.uint8)
    wedge = raw.copy()
    wedge[:, :, :30] = 0
    assert (measure_transfer(sample(wedge)).to_8bit(wedge)[:, :, :30] == 0).all()
    dark = raw.copy()
    dark[:, ::7, ::5] = 0
    assert measure_transfer(sample(dark)).to_8bit(dark).min() == 1


def test_zero_decibels_are_a_measurement() -> None:
    raw = np.round(RNG.normal(-3, 3, (6, 64, 64))).astype(np.float32)
    assert (measure_transfer(sample(raw)).to_8bit(raw) > 0).all()


@given(low=st.floats(0.01, 1), span=st.floats(0.5, 50), curve=st.sampled_from(["amplitude", "db"]))
@settings(max_examples=60, deadline=None)
def test_8_bits_go_back_to_decibels(low: float, span: float, curve: str) -> None:
    high = low * (1 + span)
    limits = (low, high) if curve == "amplitude" else (20 * np.log10(low), 20 * np.log10(high))
    transfer = Transfer("amplitude", "declared", *limits, curve)
    amplitude = np.linspace(low, high, 500).astype(np.float32)
    back = transfer.to_db(transfer.to_8bit(amplitude))
    if curve == "db":
        step_db = (limits[1] - limits[0]) / 254
        assert np.abs(back - 20 * np.log10(amplitude)).max() <= 0.51 * step_db + 1e-3
    else:
        step = (high - low) / 254
        assert np.abs(10 ** (back / 20) - amplitude).max() <= 0.51 * step + 1e-4 * high
    assert np.isnan(transfer.to_db(np.zeros(1, np.uint8))).all()


@pytest.mark.parametrize(
    ("pixels", "nodata", "code"),
    [
        (np.full((2, 32, 32), np.nan, np.float32), None, "all_nodata"),
        (np.full((2, 32, 32), -99, np.float32), -99, "all_nodata"),
        (np.full((2, 32, 32), 7, np.uint16), None, "constant"),
        (np.full((2, 32, 32), 0, np.uint8), None, "all_nodata"),
    ],
)
def test_what_holds_nothing_is_refused(pixels: np.ndarray, nodata: float | None, code: str) -> None:
    with pytest.raises(SceneError) as caught:
        measure_transfer(sample(pixels, nodata))
    assert caught.value.code == code


def test_a_declaration_that_cannot_be_true_is_refused() -> None:
    with pytest.raises(SceneError, match="negative values") as caught:
        measure_transfer(sample(10 * np.log10(POWER)), declared="amplitude")
    assert caught.value.code == "quantity"
