"""Images: no data stays no data, bad bytes are named, and augmentation invents nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from knowlip.errors import CheckpointError, DataError
from models.augment import Augmentation, augment, speaks_of_directions
from models.preprocessing import Preprocessing


def test_no_data_neither_darkens_its_neighbours_nor_becomes_a_value():
    pixels = np.full((64, 64), 200, np.uint8)
    pixels[:, :28] = 0  # the border falls inside a resized pixel
    small = Preprocessing(image_size=8).resized(pixels)
    assert set(np.unique(small)) == {0, 200}
    assert (small[:, :3] == 0).all()
    assert (small[:, 4:] == 200).all()
    normal = Preprocessing(image_size=8, mean=0.3, std=0.2)([pixels])
    assert normal.shape == (1, 1, 8, 8)
    assert (normal[0, 0, :, :3] == 0).all()
    torch.testing.assert_close(normal[0, 0, 0, 7], torch.tensor((200 / 255 - 0.3) / 0.2))


def test_bytes_arrays_and_pillow_images_are_the_same(make_png):
    pixels = np.random.default_rng(0).integers(1, 256, (40, 40), dtype=np.uint8)
    preprocessing = Preprocessing(image_size=16, channels=3)
    batch = preprocessing([make_png(pixels), pixels, Image.fromarray(pixels), np.dstack([pixels] * 3)])
    assert batch.shape == (4, 3, 16, 16)
    for image in batch[1:]:
        torch.testing.assert_close(image, batch[0])


@pytest.mark.parametrize(
    "bad", [b"", b"not an image", np.zeros((4, 4)), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_what_is_no_image_is_named(bad):
    good = np.ones((8, 8), np.uint8)
    with pytest.raises(DataError, match="image 1"):
        Preprocessing(image_size=8)([good, bad])


def test_a_truncated_png_is_named(make_png):
    whole = make_png(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    with pytest.raises(DataError, match="does not decode"):
        Preprocessing(image_size=8)([whole[: len(whole) // 2]])


def test_preprocessing_is_kept_with_a_checkpoint(tmp_path):
    Preprocessing(image_size=96, mean=0.4).save(tmp_path)
    assert Preprocessing.from_folder(tmp_path) == Preprocessing(image_size=96, mean=0.4)
    (tmp_path / "preprocessing.json").write_text('{"image_size": 96, "std": 0}')
    with pytest.raises(CheckpointError, match="std"):
        Preprocessing.from_folder(tmp_path)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), turn=st.booleans(), may_turn=st.booleans(), shift=st.integers(0, 6))
def test_geometry_moves_pixels_and_changes_none(seed, turn, may_turn, shift):
    pixels = (1 + np.arange(15 * 15) % 255).reshape(15, 15).astype(np.uint8)
    exact = Augmentation(turn=turn, shift_px=shift, gain_db=0, speckle=0)
    varied = augment(pixels, exact, np.random.default_rng(seed), may_turn=may_turn)
    again = augment(pixels, exact, np.random.default_rng(seed), may_turn=may_turn)
    assert np.array_equal(varied, again)
    kept = varied[varied > 0]
    assert len(kept) >= (15 - shift) ** 2
    assert len(np.unique(kept)) == len(kept)
    if shift == 0:
        candidates = [np.rot90(m, k) for m in (pixels, pixels[:, ::-1]) for k in range(4)]
        assert any(np.array_equal(varied, c) for c in (candidates if turn and may_turn else candidates[:1]))


def test_speckle_and_gain_keep_mean_and_no_data():
    pixels = np.full((200, 200), 100, np.uint8)
    pixels[:50] = 0
    settings_ = Augmentation(turn=False, shift_px=0, gain_db=0, speckle=0.1)
    varied = augment(pixels, settings_, np.random.default_rng(0), may_turn=False).astype(float)
    assert (varied[:50] == 0).all()
    assert (varied[50:] >= 1).all()
    assert varied[50:].mean() == pytest.approx(100, abs=0.5)
    assert varied[50:].std() == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two ships in the north-eastern part", True),
        ("a quay along the left edge", True),
        ("runway heading 080°", True),
        ("three storage tanks and a grassland", False),
        ("Northrop hangar, bright scatterers", False),
    ],
)
def test_texts_that_a_flip_would_falsify_are_known(text, expected):
    assert speaks_of_directions(text) is expected
