"""Uploads that decode to far more than they weigh."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from serve_apps.problems import Problem
from serve_apps.uploads import decode_upload


@pytest.fixture
def deflated(tmp_path):
    """Function that writes a TIFF of few values, which weighs little, and gives its bytes."""

    def write(side: int, bands: int, *, block: int, interleave: str = "pixel", overview: int = 0) -> bytes:
        path: Path = tmp_path / "a.tif"
        shape = {"height": side, "width": side, "count": bands, "dtype": "float32"}
        blocks = {"tiled": True, "blockxsize": block, "blockysize": block, "sparse_ok": True}
        row = np.arange(side, dtype=np.float32) % 9 + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", driver="GTiff", compress="deflate", interleave=interleave, **shape, **blocks
            ) as sink:
                sink.write(np.tile(row, (side, 1)), 1)
            if overview:
                with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=str(overview)), rasterio.open(path, "r+") as sink:
                    sink.build_overviews([2])
        return path.read_bytes()

    return write


def test_a_tiff_of_a_few_bands_is_taken_by_its_first(deflated):
    decoded = decode_upload(deflated(512, 4, block=512)).pixels
    assert decoded.shape == (512, 512)
    assert len(np.unique(decoded)) == 9
    assert decode_upload(deflated(2100, 2, block=256, overview=256)).pixels.shape == (1050, 1050)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"side": 512, "bands": 400, "block": 512}, "400 bands"),
        ({"side": 512, "bands": 400, "block": 512, "interleave": "band"}, "400 bands"),
        ({"side": 4096, "bands": 8, "block": 4096}, "blocks are too large"),
        ({"side": 2100, "bands": 8, "block": 256, "overview": 4096}, "blocks are too large"),
    ],
    ids=["many bands", "many bands apart", "few bands in one large block", "a large block in an overview"],
)
def test_a_tiff_whose_blocks_hold_much_more_than_a_band_is_refused(deflated, image, reason):
    data = deflated(image.pop("side"), image.pop("bands"), **image)
    assert len(data) < 25e6
    with pytest.raises(Problem, match=reason) as caught:
        decode_upload(data)
    assert caught.value.status_code == 413
