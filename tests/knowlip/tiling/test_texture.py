"""Scores that tell speckle from structure, at one ground scale for all sensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from affine import Affine
from skimage.feature import graycomatrix, graycoprops

from knowlip.errors import DataError
from knowlip.scenes.radiometry import Sample, Transfer, measure_transfer
from knowlip.tiling.screening import NeighbourFilter, ScreeningSettings, screen
from knowlip.tiling.texture import Quality, calm_looks, measure_quality
from knowlip.tiling.tile import Tile

IDENTITY = Transfer("amplitude", "declared", 1.0, 255.0, "identity")

Speckle = Callable[..., np.ndarray]


def measured(amplitude: np.ndarray, looks: float = 4.0, gsd_m: float = 4.0) -> Quality:
    transfer = measure_transfer(Sample((amplitude,), None), declared="amplitude")
    tile = Tile(transfer.to_8bit(amplitude), Affine.scale(gsd_m), "", gsd_m)
    return measure_quality(tile, tile.view(), transfer, looks=looks)


def town(speckle: np.ndarray) -> np.ndarray:
    """Bright blocks between dark streets."""
    field = np.full(speckle.shape, 1.0, np.float32)
    field[::24], field[:, ::24] = 0.2, 0.2
    for dot in range(4):
        field[6 + dot // 2 : 200 : 48, 6 + dot % 2 : 200 : 32] = 12.0
    return field * speckle


def test_speckle_alone_is_told_from_a_town(speckle: Speckle) -> None:
    sea, land = measured(speckle(256, 256)), measured(town(speckle(256, 256)))
    assert abs(sea.correlation) < 0.05
    assert sea.structure == pytest.approx(1.0, abs=0.1)
    assert land.structure > 1.3
    assert land.bright_density > 30 > 2 > sea.bright_density
    settings = ScreeningSettings()
    rejection = screen(sea, settings)
    assert rejection is not None
    assert (rejection.reason, rejection.threshold) == ("low_structure", settings.structure_min)
    assert screen(land, settings) is None


@pytest.mark.parametrize("dark", [0, 60])
def test_texture_is_that_of_scikit_image(speckle: Speckle, dark: int) -> None:
    pixels = np.clip(town(speckle(256, 256)) * 20, 1, 255).astype(np.uint8)
    pixels[:dark] = 0
    tile = Tile(pixels, Affine.scale(4.0), "", 4.0)
    quality = measure_quality(tile, tile, IDENTITY, looks=4.0)
    levels = np.where(pixels > 0, (pixels.astype(int) - 1) // 8 + 1, 0).astype(np.uint8)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    matrix = graycomatrix(levels, [8], angles, levels=33, symmetric=True)[1:, 1:]
    for name in ("contrast", "homogeneity", "energy", "correlation"):
        assert getattr(quality, name) == pytest.approx(graycoprops(matrix, name).mean(), rel=1e-9)


def test_one_grey_level_has_no_texture() -> None:
    tile = Tile(np.full((256, 256), 90, np.uint8), Affine.scale(4.0), "", 4.0)
    quality = measure_quality(tile, tile, IDENTITY, looks=4.0)
    assert (quality.contrast, quality.homogeneity, quality.energy, quality.correlation) == (0.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("looks", [1.0, 4.0, 12.0])
def test_looks_are_estimated(speckle: Speckle, looks: float) -> None:
    amplitude = speckle(512, 512, looks=looks)
    transfer = Transfer("amplitude", "declared", 0.0, float(amplitude.max()), "amplitude")
    calm = calm_looks([transfer.to_8bit(amplitude)], transfer)
    assert calm == pytest.approx(looks, rel=0.3)


def test_ships_stand_out_of_a_calm_sea(speckle: Speckle) -> None:
    sea = speckle(1024, 1024, looks=16)
    assert measured(sea, looks=16, gsd_m=1.0).bright_density == 0
    sea[100:130, 200:320] *= 5
    sea[700:720, 600:660] *= 5
    quality = measured(sea, looks=16, gsd_m=1.0)
    assert quality.bright_density == pytest.approx(2 / 1.024**2, rel=0.01)
    assert screen(quality, ScreeningSettings(bright_density_min=1.5)) is None


def test_looks_come_from_the_calm_part(speckle: Speckle) -> None:
    amplitude = town(speckle(512, 512, looks=8))
    amplitude[:200] = speckle(200, 512, looks=8, seed=1)
    transfer = Transfer("amplitude", "declared", 0.0, float(amplitude.max()), "db")
    transfer = measure_transfer(Sample((amplitude,), None), declared="amplitude", curve="db", clip_percent=(0.1, 99.9))
    assert calm_looks([transfer.to_8bit(amplitude)], transfer) == pytest.approx(8, rel=0.35)


def test_texture_compares_across_resolutions(speckle: Speckle) -> None:
    """The same ground at 1 m and at 4 m has the same pattern, because it is measured at one ground scale."""
    fields = np.kron(np.random.default_rng(2).uniform(0.5, 2.0, (8, 8)), np.ones((128, 128))).astype(np.float32)
    fine = measured(fields * speckle(1024, 1024, looks=4), gsd_m=1.0)
    coarse = measured(fields[::4, ::4] * speckle(256, 256, looks=64), gsd_m=4.0)
    assert fine.correlation == pytest.approx(coarse.correlation, abs=0.05)


def test_no_data_makes_no_texture(speckle: Speckle) -> None:
    amplitude = speckle(256, 256)
    whole = measured(amplitude)
    amplitude[:, 128:] = np.nan
    half = measured(amplitude)
    assert half.nodata_share == 0.5
    assert half.contrast == pytest.approx(whole.contrast, rel=0.2)
    assert abs(half.correlation) < 0.05
    rejection = screen(half, ScreeningSettings(nodata_max=0.4))
    assert rejection is not None
    assert (rejection.reason, rejection.score, rejection.threshold) == ("nodata", 0.5, 0.4)


def test_an_empty_tile_has_scores_too() -> None:
    tile = Tile(np.zeros((64, 64), np.uint8), Affine.identity(), "", 1.0)
    transfer = Transfer("amplitude", "declared", 0.0, 1.0, "amplitude")
    quality = measure_quality(tile, tile, transfer, looks=1.0)
    assert quality.nodata_share == 1.0
    assert all(np.isfinite(value) for value in quality.record().values())


def test_reasons_name_what_decided(speckle: Speckle) -> None:
    quality = measured(town(speckle(256, 256)))
    settings = ScreeningSettings()
    assert screen(quality, settings, corrupt_share=0.1).reason == "corrupt_block"  # type: ignore[union-attr]
    assert screen(quality, settings, residual_m=80.0).reason == "residual"  # type: ignore[union-attr]
    strict = ScreeningSettings(entropy_min=8.0)
    assert screen(quality, strict).reason == "low_entropy"  # type: ignore[union-attr]
    assert screen(measured(speckle(256, 256)), ScreeningSettings(keep_low_structure=True)) is None


def test_neighbours_learn_what_was_kept(speckle: Speckle) -> None:
    seas = [measured(speckle(128, 128, seed=seed)) for seed in range(24)]
    towns = [measured(town(speckle(128, 128, seed=seed))) for seed in range(24)]
    learned = NeighbourFilter(seas[:16] + towns[:16], [False] * 16 + [True] * 16, k=5)
    assert (learned.scores(seas[16:]) < 0.5).all()
    assert (learned.scores(towns[16:]) > 0.5).all()
    rejection = learned.reject(seas[-1])
    assert rejection is not None
    assert rejection.reason == "neighbours"
    assert learned.reject(towns[-1]) is None


def test_one_kind_of_label_teaches_nothing(speckle: Speckle) -> None:
    with pytest.raises(DataError, match="labels"):
        NeighbourFilter([measured(speckle(64, 64))] * 20, [True] * 20, k=5)
