"""The measured captioner says what was measured, differently for different tiles and the same for the same tile."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from lexicalrichness import LexicalRichness

from knowlip.captioning import Chain, MeasuredCaptioner, mtld
from knowlip.captioning.richness import words
from knowlip.errors import DataError
from knowlip.records import FAMILIES, LAYERS, SUBTEXTS
from tests.builders import pyramid, speckled, tile_row

AIRPORT = [{"code": "LGB", "name": "Long Beach Airport", "lon": -118.15, "lat": 33.82}]
PORT = [{"code": "USLGB", "name": "Long Beach", "lon": -118.2, "lat": 33.75}]


def _sea(ships: int = 2) -> np.ndarray:
    mean = np.full((240, 240), 18.0)
    mean[:60] = 100.0
    for number in range(ships):
        mean[120 + 30 * number : 128 + 30 * number, 40:80] = 220.0
    return speckled(mean)


def _one(row: dict, **options: object) -> dict:
    return Chain(MeasuredCaptioner(), **options).caption(row).to_row()


def test_numbers_in_the_text_are_the_measured_ones() -> None:
    texts = _one(tile_row("sea", _sea(2), gsd_m=2.0, ports=PORT))
    assert texts["family"] == "marine_target"
    assert "two vessels" in texts["target_quantity"].lower()
    assert "vessels" in texts["target_category"].lower()
    assert re.search(r"7[0-9]%|6[5-9]%", texts["terrain_structure"])  # 180 of 240 rows are water
    length = int(re.search(r"(\d+) m (?:by|long)", texts["target_structure"])[1])
    assert 65 <= length <= 95
    assert "Long Beach (USLGB)" in texts["regional_function"]


def test_dark_ground_is_pavement_at_an_airport_and_water_at_a_port() -> None:
    mean = np.full((400, 400), 100.0)
    mean[:, 150:290] = 18.0
    image = speckled(mean)
    airport = _one(tile_row("a", image, airports=AIRPORT))
    port = _one(tile_row("p", image, ports=PORT))
    assert "pave" in airport["terrain_structure"]
    assert "water" not in airport["terrain_structure"]
    assert "LGB" in airport["regional_function"]
    assert "water" in port["terrain_structure"]
    assert "port" in port["regional_function"]
    assert "airport" not in port["regional_function"].lower()


def test_an_airport_is_named_where_it_is_and_nowhere_else() -> None:
    image = speckled(np.full((128, 128), 90.0))
    assert "LGB" not in " ".join(str(value) for value in _one(tile_row("far", image)).values())


def test_a_parents_airport_reaches_its_children_but_not_across_a_county() -> None:
    mean = np.full((256, 256), 100.0)
    mean[:, 100:180] = 18.0

    def child_of(extent_m: float) -> str:
        chain = Chain(MeasuredCaptioner())
        chain.caption(tile_row("m", speckled(mean), scale="M", airports=AIRPORT, extent_m=extent_m))
        child = tile_row("s", speckled(mean, seed=1), parent_id="m")
        return chain.caption(child).subtexts["regional_function"]

    assert "LGB" in child_of(2000.0)
    assert "LGB" not in child_of(16_000.0)


def test_no_targets_are_said_to_be_none() -> None:
    texts = _one(tile_row("field", speckled(np.full((200, 200), 90.0))))
    assert re.search(r"zero|no target|not one target", texts["target_quantity"].lower())
    assert all(texts[name].strip() for name in SUBTEXTS)


def test_the_same_tile_reads_the_same_and_another_seed_only_words_it_otherwise() -> None:
    row = tile_row("sea", _sea())
    first = MeasuredCaptioner(seed=0)
    texts = Chain(first).caption(row).subtexts
    assert texts == Chain(MeasuredCaptioner(seed=0)).caption(row).subtexts
    others = [Chain(MeasuredCaptioner(seed=seed)).caption(row).subtexts for seed in range(1, 6)]
    assert any(other != texts for other in others)
    numbers = {re.sub(r"[^\d]+", " ", text["target_structure"]).strip() for text in [texts, *others]}
    assert len({tuple(sorted(number.split())) for number in numbers}) == 1


def test_the_chain_records_lineage_and_marks_what_had_no_parent() -> None:
    captions = {one.tile_id: one for one in Chain(MeasuredCaptioner()).run(pyramid("one"))}
    large, medium, small = (captions[f"one-{scale}-0-0"] for scale in "LMS")
    assert (large.parent_id, large.parent_digest) == ("", "")
    assert (medium.parent_id, medium.parent_digest) == (large.tile_id, large.text_digest)
    assert (small.parent_id, small.parent_digest) == (medium.tile_id, medium.text_digest)
    orphan = Chain(MeasuredCaptioner()).caption(tile_row("orphan", _sea(), parent_id="nowhere"))
    assert (orphan.parent_id, orphan.parent_digest, orphan.status) == ("nowhere", "", "ok")


def test_a_parents_text_changes_its_childs_key() -> None:
    child = tile_row("s", _sea(), parent_id="m")
    alone = Chain(MeasuredCaptioner()).caption(child)
    chain = Chain(MeasuredCaptioner())
    chain.caption(tile_row("m", _sea(1), scale="M"))
    assert chain.caption(child).prompt_digest != alone.prompt_digest


def test_a_picture_that_does_not_decode_is_set_aside_and_its_children_go_on() -> None:
    chain = Chain(MeasuredCaptioner())
    broken = chain.caption(tile_row("m", _sea(), scale="M") | {"image": b"not a picture"})
    assert broken.status == "undecodable"
    assert broken.to_row()["scene_background"] is None
    child = chain.caption(tile_row("s", _sea(), parent_id="m"))
    assert (child.status, child.parent_digest) == ("ok", "")


def test_a_family_can_be_forced_and_an_unknown_one_is_refused() -> None:
    for family in FAMILIES:
        assert _one(tile_row("sea", _sea()), family=family)["family"] == family
    with pytest.raises(DataError, match="family"):
        Chain(MeasuredCaptioner(), family="space_target")


def test_rows_have_all_texts_and_all_layers() -> None:
    row = _one(tile_row("sea", _sea()))
    assert all(row[name] for name in SUBTEXTS)
    assert all(row[f"reasoning_{layer}"] for layer in LAYERS)


def test_texts_are_rich_and_tell_tiles_apart() -> None:
    rows = [row for scene in ("one", "two", "three") for row in pyramid(scene)]
    texts = [" ".join(one.subtexts.values()) for one in Chain(MeasuredCaptioner()).run(rows)]
    assert len(set(texts)) == len(texts)
    assert mtld([word for text in texts for word in words(text)]) > 50


def test_mtld_of_known_sequences() -> None:
    assert mtld([]) == 0.0
    assert mtld(list("abcdefgh")) == 8.0  # nothing repeats: one factor never completes
    assert mtld(["a"] * 10) == pytest.approx(2.0)  # a pair of equal words completes a factor
    lengths = [mtld((["a", "b", "c", "d", "e"] * 40)[:count]) for count in (50, 100, 200)]
    assert max(lengths) - min(lengths) < 1.5
    assert all(later <= former + 1.5 for former, later in pairwise(lengths))


def test_mtld_agrees_with_lexicalrichness() -> None:
    texts = [" ".join(one.subtexts.values()) for one in Chain(MeasuredCaptioner()).run(pyramid("one"))]
    for text in (texts[0], " ".join(texts)):
        tokens = words(text)
        oracle = LexicalRichness(" ".join(tokens), preprocessor=None, tokenizer=str.split)
        assert mtld(tokens) == pytest.approx(oracle.mtld(threshold=0.72), rel=1e-9)


def test_targets_on_one_side_of_a_way_are_said_to_lie_there() -> None:
    mean = np.full((420, 420), 95.0)
    mean[380:388, :] = 15.0  # a dark strip from edge to edge
    for col in (60, 200, 330):
        mean[60:70, col : col + 12] = 240.0
    north = _one(tile_row("north", speckled(mean), gsd_m=3.0))
    assert "north of the" in north["spatial_layout"] or "north side of the" in north["spatial_layout"]
    turned = _one(tile_row("turned", speckled(np.rot90(mean)), gsd_m=3.0))
    assert re.search(r"west(?: side)? of the", turned["spatial_layout"])
    mean[400:410, 200:212] = 240.0  # one on the other side
    both = _one(tile_row("both", speckled(mean), gsd_m=3.0))
    assert not re.search(r"(?:north|south)(?: side)? of the", both["spatial_layout"])
