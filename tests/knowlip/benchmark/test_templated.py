"""Templated text says what annotations hold, and no more."""

from __future__ import annotations

from knowlip.benchmark.content import Content
from knowlip.benchmark.templated import templated


def content(*targets: tuple[str, int], landform: str = "water") -> Content:
    return Content(targets, ((landform, 1.0),), {}, "truth")


def test_targets_are_named_by_place_and_number() -> None:
    texts = templated(content(("ship", 5), ("ship", 5), ("crane", 1)), tile_id="t")
    assert texts[0] == "There are 2 ships in the center of the image."
    assert texts[1] == "There is one crane at the edge of the image."
    assert set(texts[2:]) <= {"There are 2 ships in the image.", "There is one crane in the image."}
    assert len(texts) == 5


def test_many_are_not_counted() -> None:
    texts = templated(content(*[("aircraft", 5)] * 11), tile_id="t")
    assert texts[0] in (
        "There are many aircraft in the center of the image.",
        "There are a lot of aircraft in the center of the image.",
    )
    assert texts[1] == "There is no target at the edge of the image."


def test_a_tile_without_targets_is_named_by_its_landform() -> None:
    assert templated(content(landform="farmland"), tile_id="t") == ["A radar image of farmland."] * 5


def test_the_seed_decides_what_is_drawn() -> None:
    held = content(*[(f"kind{number}", number % 9 + 1) for number in range(12)])
    assert templated(held, tile_id="t", seed=1) == templated(held, tile_id="t", seed=1)
    assert templated(held, tile_id="t", seed=1) != templated(held, tile_id="t", seed=2)
