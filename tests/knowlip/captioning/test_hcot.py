"""Prompts carry a tile's facts, measurements and its parent's text, and change when any of them does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from knowlip.captioning import (
    OUTPUT_SCHEMA,
    Caption,
    Request,
    TileFacts,
    hcot,
    instruction,
    measure,
    prompt_digest,
    system,
)
from knowlip.errors import DataError
from knowlip.records import FAMILIES, LAYERS, SUBTEXTS
from tests.builders import png, speckled, tile_row

IMAGE = speckled(np.full((128, 128), 90.0))


def key_of(request: Request, **asked: Any) -> str:
    return prompt_digest(instruction(request), request.image, **asked)


@pytest.fixture
def request_one() -> Request:
    airports = [{"code": "LGB", "name": "Long Beach Airport", "lon": 0.0, "lat": 0.0}]
    facts = TileFacts.from_row(tile_row("t", IMAGE, airports=airports))
    return Request(facts, measure(IMAGE, 1.0), "ground_target", png(IMAGE))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_composes_five_layers_with_all_fields_filled(request_one: Request, family: str) -> None:
    prompt = instruction(replace(request_one, family=family))
    positions = [prompt.index(f"Layer {number}") for number in range(1, len(LAYERS) + 1)]
    assert positions == sorted(positions)
    assert "{" not in prompt.split("Answer with one JSON")[0]
    assert all(name in prompt for name in SUBTEXTS)
    assert "Long Beach Airport (LGB)" in prompt
    assert "33.81° N, 118.15° W" in prompt


def test_families_differ_and_radar_notes_follow_the_sensor(request_one: Request) -> None:
    prompts = {instruction(replace(request_one, family=family)) for family in FAMILIES}
    assert len(prompts) == 3
    c_band = instruction(request_one)
    x_band = instruction(replace(request_one, facts=replace(request_one.facts, band="X", polarisation="VH")))
    assert "At C band" in c_band
    assert "Co-polarised" in c_band
    assert "At X band" in x_band
    assert "Cross-polarised" in x_band


def test_the_parents_text_goes_in_and_changes_the_key(request_one: Request) -> None:
    texts = {name: f"about {name}" for name in SUBTEXTS}
    parent = Caption("p", "", "m", "M", "terrain", texts)
    with_parent = replace(request_one, parent=parent)
    assert "The medium image" in instruction(with_parent)
    assert "about spatial_layout" in instruction(with_parent)
    assert key_of(with_parent, model="m") != key_of(request_one, model="m")


def test_the_key_depends_on_image_model_and_sampling_and_on_nothing_else(request_one: Request) -> None:
    key = key_of(request_one, model="m", sampling={"temperature": 0.2})
    assert key == key_of(replace(request_one), model="m", sampling={"temperature": 0.2})
    other = replace(request_one, image=png(IMAGE[::-1].copy()))
    assert len({key, key_of(other, model="m", sampling={"temperature": 0.2})}) == 2
    assert key != key_of(request_one, model="n", sampling={"temperature": 0.2})
    assert key != key_of(request_one, model="m", sampling={"temperature": 0.3})


def test_braces_in_a_parents_text_or_a_name_do_no_harm(request_one: Request) -> None:
    parent = Caption("p", "", "m", "M", "terrain", dict.fromkeys(SUBTEXTS, "odd {city} {0} text"))
    facts = replace(request_one.facts, city="Brace {x}")
    prompt = instruction(replace(request_one, parent=parent, facts=facts))
    assert "odd {city} {0} text" in prompt
    assert "Brace {x}" in prompt


def test_an_unknown_family_is_refused(request_one: Request) -> None:
    with pytest.raises(DataError, match="family"):
        instruction(replace(request_one, family="space_target"))


def test_the_output_schema_is_closed_and_complete() -> None:
    assert set(OUTPUT_SCHEMA["required"]) == {"reasoning", *SUBTEXTS} == set(OUTPUT_SCHEMA["properties"])
    assert OUTPUT_SCHEMA["additionalProperties"] is False
    assert set(OUTPUT_SCHEMA["properties"]["reasoning"]["required"]) == set(LAYERS)
    assert "SAR" in system()


def test_an_edited_prompt_changes_the_keys_of_what_it_speaks_of_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tiles_to_ask: list[Request]
) -> None:
    requests = [replace(tiles_to_ask[0], family=family) for family in FAMILIES]
    before = [key_of(request, model="m") for request in requests]
    read = hcot._text
    edit = "## marine_target\nShips are bright"
    assert edit in read("sar_theory")
    monkeypatch.setattr(hcot, "_text", lambda name: read(name).replace(edit, "## marine_target\nVessels are bright"))
    hcot._sections.cache_clear()
    after = [key_of(request, model="m") for request in requests]
    hcot._sections.cache_clear()
    changed = [family for family, old, new in zip(FAMILIES, before, after, strict=True) if old != new]
    assert changed == ["marine_target"]
