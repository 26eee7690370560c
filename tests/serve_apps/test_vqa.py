from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
import rasterio
import requests
from PIL import Image
from rasterio.io import MemoryFile

import models

pytestmark = pytest.mark.ray
VQA = "/ask/v1/vqa"


def encoded(kind="PNG", side=80, seed=0):
    pixels = np.random.default_rng(seed).integers(1, 255, (side, side), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def tiff(pixels, **profile):
    with MemoryFile() as file:
        height, width = pixels.shape
        with file.open(driver="GTiff", height=height, width=width, count=1, dtype=pixels.dtype.name, **profile) as sink:
            sink.write(pixels, 1)
        return file.read()


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return models.load(tiny_checkpoint)


def test_a_question_about_an_upload_is_answered_as_the_model_does(post, model):
    picture = encoded()
    reply = post(VQA, files={"image": ("a.png", picture)}, data={"question": "How many ships?"})
    assert reply.status_code == 200, reply.text
    expected = model.answer([picture], ["How many ships?"])[0]
    answer = reply.json()
    assert answer["answer"] == expected.answer
    assert answer["confidence"] == pytest.approx(expected.confidence, abs=1e-3)
    assert answer["question"] == "How many ships?"


def test_an_answer_is_chosen_among_candidates(post, model):
    candidates = ["one", "two", "airport runway"]
    body = {"question": "What is seen?", "candidates": candidates, "tile_id": "los-0004"}
    answer = post(VQA, data=body).json()
    assert answer["answer"] in candidates
    assert 1 / 3 <= answer["confidence"] <= 1
    assert {one["answer"] for one in answer["ranked"]} == set(candidates)
    shares = [one["confidence"] for one in answer["ranked"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert answer["ranked"][0]["answer"] == answer["answer"]


def test_many_questions_at_once_get_their_own_answers(post, model):
    from concurrent.futures import ThreadPoolExecutor

    pictures = [encoded(seed=seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        replies = list(
            pool.map(
                lambda picture: post(VQA, files={"image": picture}, data={"question": "Is there water?"}), pictures
            )
        )
    expected = model.answer(pictures, ["Is there water?"] * 6)
    assert [reply.json()["answer"] for reply in replies] == [answer.answer for answer in expected]


def test_an_image_is_described(post, model):
    picture = encoded(seed=3)
    reply = post("/ask/v1/captions", files={"image": picture})
    assert reply.status_code == 200
    assert reply.json()["text"] == model.write([picture])[0]
    assert 0 <= reply.json()["confidence"] <= 1


@pytest.mark.parametrize(
    "picture",
    [
        encoded("JPEG"),
        encoded("TIFF"),
        tiff(np.random.default_rng(0).gamma(1.0, 0.05, (90, 70)).astype(np.float32)),
        tiff(np.random.default_rng(0).normal(-12, 3, (90, 70)).astype(np.float32), nodata=-99.0),
        tiff(np.random.default_rng(0).integers(10, 4000, (90, 70)).astype(np.uint16), compress="deflate"),
    ],
    ids=["jpeg", "tiff", "float power", "float dB", "16-bit"],
)
def test_every_kind_of_image_is_taken(post, picture):
    reply = post(VQA, files={"image": picture}, data={"question": "What is seen?"})
    assert reply.status_code == 200, reply.text


def bomb():
    """A PNG header that promises 60,000 × 60,000 pixels."""
    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunk = b"IHDR" + header
    start = b"\x89PNG\r\n\x1a\n" + len(header).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return start + encoded()[33:]


def wide_tiff():
    with MemoryFile() as file:
        with file.open(
            driver="GTiff", height=9000, width=9000, count=1, dtype="uint8", tiled=True, sparse_ok=True
        ) as sink:
            sink.update_tags(note="no block was written")
        return file.read()


VRT = b'<VRTDataset rasterXSize="5" rasterYSize="5"><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>'
ASK = {"question": "What is seen?"}
WRONG = {
    "nothing to look at": (None, ASK, 422, "either an image or a tile_id"),
    "both": (encoded(), ASK | {"tile_id": "los-0000"}, 422, "either"),
    "no question": (encoded(), {}, 422, "question: field required"),
    "empty question": (encoded(), {"question": " "}, 422, "question"),
    "long question": (encoded(), {"question": "why " * 1000}, 422, "question"),
    "1 MB question": (encoded(), {"question": "w" * 2**20}, 422, "question"),
    "control characters": (encoded(), {"question": "a\x07b"}, 422, "control characters"),
    "too many candidates": (encoded(), ASK | {"candidates": ["x"] * 65}, 422, "candidates"),
    "unknown tile": (None, ASK | {"tile_id": "nobody"}, 404, "no tile nobody"),
    "a GDAL path for an image": (b"/vsicurl/http://127.0.0.1:1/a.tif", ASK, 415, "neither"),
    "a GDAL path for a tile": (None, ASK | {"tile_id": "/vsizip/etc/passwd"}, 422, "tile_id"),
    "a path for a tile": (None, ASK | {"tile_id": "../../etc/passwd"}, 422, "tile_id"),
    "text": (b"hello", ASK, 415, "neither PNG nor JPEG nor TIFF"),
    "empty file": (b"", ASK, 415, "neither"),
    "VRT": (VRT, ASK, 415, "neither"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ASK, 415, "neither"),
    "zip": (b"PK\x03\x04" + bytes(100), ASK, 415, "neither"),
    "cut PNG": (encoded()[:200], ASK, 422, "does not decode as PNG"),
    "cut TIFF": (encoded("TIFF")[:3000], ASK, 422, "does not decode as TIFF"),
    "PNG bomb": (bomb(), ASK, 413, "megapixels"),
    "wide TIFF": (wide_tiff(), ASK, 413, "megapixels"),
    "constant image": (tiff(np.full((40, 40), 7, np.uint16)), ASK, 422, "every valid pixel is 7"),
    "no valid pixel": (tiff(np.full((40, 40), np.nan, np.float32)), ASK, 422, "no valid pixel"),
    "26 MB": (b"\x89PNG\r\n\x1a\n" + bytes(25 * 2**20), ASK, 413, "bytes"),
    "30 MB": (b"\x89PNG\r\n\x1a\n" + bytes(30 * 2**20), ASK, 413, "bytes"),
}


@pytest.mark.parametrize("case", WRONG, ids=list(WRONG))
def test_wrong_questions_are_answered_with_a_reason(post, case):
    picture, fields, status, reason = WRONG[case]
    files = {"image": ("x", picture)} if picture is not None else None
    reply = post(VQA, files=files, data=fields)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reason in reply.json()["detail"]


def test_the_service_still_works_after_all_that(post, address):
    assert requests.get(f"{address}/ask/readyz", timeout=60).status_code == 200
    assert post(VQA, files={"image": encoded()}, data=ASK).status_code == 200


def test_a_tiff_reads_nothing_but_itself(tmp_path):
    """An overview file beside an upload's name must not be looked for: uploads have no name on any disk."""
    from serve_apps.uploads import decode_upload

    pixels = np.random.default_rng(1).integers(1, 255, (3000, 2500), dtype=np.uint8)
    decoded = decode_upload(tiff(pixels)).pixels
    assert decoded.shape == (1500, 1250)
    with rasterio.Env():
        np.testing.assert_array_equal(decode_upload(tiff(pixels[:200, :100])).pixels, pixels[:200, :100])
