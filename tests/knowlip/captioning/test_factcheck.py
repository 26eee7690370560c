"""The fact check: true texts pass, and a lie of each kind is flagged where it stands, with the evidence."""

from __future__ import annotations

import numpy as np
import pytest

from knowlip.captioning import Chain, MeasuredCaptioner, TileFacts, measure
from knowlip.captioning.checks import CHECKS, Flag, check_texts, claims, flag_rows
from knowlip.captioning.facts import Spot
from knowlip.records import SUBTEXTS
from tests.builders import pyramid, speckled, tile_row

PORT = (Spot("USLGB", "Long Beach"),)
FACTS = TileFacts(
    "t", lon=-118.2, lat=33.75, extent_m=480.0, band="C", polarisation="VH", city="Long Beach", country="US", ports=PORT
)
INLAND = TileFacts("t", lon=11.6, lat=48.1, extent_m=400.0, band="X", polarisation="HH", city="Munich", country="DE")


@pytest.fixture(scope="module")
def sea():
    mean = np.full((240, 240), 18.0)
    mean[:60] = 100.0
    mean[120:128, 40:80] = 220.0
    mean[200:206, 180:200] = 220.0
    return measure(speckled(mean), 2.0)


@pytest.fixture(scope="module")
def field():
    return measure(speckled(np.full((200, 200), 90.0)), 2.0)


TRUE = {
    "scene_background": "A C-band VH image near Long Beach, at 33.75° N, 118.20° W.",
    "regional_function": "The Port of Long Beach serves shipping.",
    "terrain_structure": "Calm water covers 75% to the south; no road stands out.",
    "target_category": "The bright returns are vessels.",
    "target_quantity": "Two ships were counted.",
    "target_location": "One vessel lies in the middle left, the other in the lower-right corner.",
    "target_structure": "The larger one is 80 m long.",
    "spatial_layout": "The ships lie 300 m apart.",
}

LIES = [
    ("target_quantity", "Nine ships and four tanks were found.", "count", "2 clusters"),
    ("target_quantity", "There are 12 vessels and 3 buildings, fifteen targets in all.", "count", "2 clusters"),
    ("terrain_structure", "Open water covers 30% of the tile.", "share", "73%"),
    ("terrain_structure", "60% built-up ground and streets.", "share", "1%"),
    ("terrain_structure", "The ground is dry, without any water.", "water", "water covers"),
    ("scene_background", "An image near Los Angeles International Airport.", "place", "no airport lies here"),
    ("regional_function", "The port of call is Long Beach, close to the airport (LAX).", "place", "USLGB"),
    ("regional_function", "Rotterdam Harbour handles containers.", "place", "Long Beach"),
    ("scene_background", "Taken at 51.95° N, 4.14° E.", "coordinates", "33.75° N"),
    ("target_structure", "The runway is 2.4 km long.", "extent", "from corner to corner"),
    ("target_location", "The ships lie in the upper right.", "region", "middle-left"),
    ("scene_background", "An X-band image.", "radar", "C-band"),
    ("scene_background", "The polarisation is HH.", "radar", "VH"),
    ("regional_function", "An airfield with a long runway.", "function", "no airport"),
]


def test_what_is_true_passes(sea):
    assert check_texts(TRUE, FACTS, sea) == ()


@pytest.mark.parametrize(("subtext", "lie", "kind", "evidence"), LIES)
def test_a_lie_is_flagged_where_it_stands(sea, subtext, lie, kind, evidence):
    flags = check_texts({**TRUE, subtext: lie}, FACTS, sea)
    assert kind in {flag.kind for flag in flags}
    assert {flag.subtext for flag in flags} == {subtext}
    (flag,) = [flag for flag in flags if flag.kind == kind]
    assert evidence in flag.evidence
    assert flag.claim


def test_every_check_has_a_lie(sea):
    assert {kind for _, _, kind, _ in LIES} == set(CHECKS)


def test_water_and_ports_are_doubted_where_there_is_neither(field):
    said = {"terrain_structure": "A river winds through the fields.", "regional_function": "A busy harbour."}
    assert [(flag.subtext, flag.kind) for flag in check_texts(said, INLAND, field)] == [
        ("regional_function", "function"),
        ("terrain_structure", "water"),
    ]
    denied = {"terrain_structure": "There is no water.", "regional_function": "Farming, far from any coast."}
    assert check_texts(denied, INLAND, field) == ()


def test_a_count_may_be_a_little_off(sea):
    assert check_texts({"target_quantity": "Five vessels were counted."}, FACTS, sea) == ()
    assert check_texts({"target_quantity": "Several vessels can be seen."}, FACTS, sea) == ()
    assert check_texts({"target_quantity": "Six vessels were counted."}, FACTS, sea)


def test_a_parents_airport_may_be_named(field):
    around = TileFacts("l", airports=(Spot("MUC", "Munich Airport"),))
    said = {"regional_function": "Land beside Munich Airport (MUC)."}
    assert check_texts(said, INLAND, field, [around]) == ()
    assert check_texts({"regional_function": "Beside Frankfurt Airport (FRA)."}, INLAND, field, [around])


def test_what_the_measured_captioner_says_stands_the_check():
    port = [{"code": "USLGB", "name": "Long Beach", "lon": -118.15, "lat": 33.81}]
    for scene in ("one", "two"):
        rows = [row | {"ports": port if row["scale"] == "L" else []} for row in pyramid(scene)]
        chain, above = Chain(MeasuredCaptioner()), {}
        for row in rows:
            caption = chain.caption(row)
            facts = TileFacts.from_row(row)
            around = above.get(facts.parent_id, ())
            above[facts.tile_id] = (facts, *around)
            measured = _measured(row, rows)
            assert check_texts(caption.subtexts, facts, measured, around) == ()


def _measured(row, rows):
    from knowlip.captioning import decode, grey_levels

    root = next(one for one in rows if one["scale"] == "L")
    return measure(decode(row["image"]), row["gsd_m"], levels=grey_levels(decode(root["image"])))


def test_an_unplaced_tile_and_missing_texts_are_checked_as_far_as_possible(field):
    assert check_texts({}, TileFacts("t"), field) == ()
    unplaced = check_texts({"scene_background": "At 10.0° N, 20.0° E near Bern Airport."}, TileFacts("t"), field)
    assert unplaced == ()


def test_flags_become_rows(sea):
    flags = check_texts({"target_quantity": "Ninety-nine"}, FACTS, sea) or (Flag("a", "b", "c", "d"),)
    assert flag_rows(flags) == [{"subtext": "a", "kind": "b", "claim": "c", "evidence": "d"}]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Count: three vessels and 14 large buildings.", 17),
        ("Two ships, one crane: three targets in total.", 3),
        ("The count of targets is zero.", 0),
        ("No target could be counted.", 0),
        ("Many ships crowd the berth.", None),
        ("Sixty-four vessels and nineteen cranes.", 83),
        ("Forty buildings, a dozen tanks.", 52),
    ],
)
def test_counts_are_read(text, number):
    assert claims.counts(text) == number


def test_lengths_leave_the_pixel_out():
    assert [value for value, _ in claims.lengths_m("1.2 km by 350 m, seen at 10 m a pixel")] == [1200.0, 350.0]


def test_all_subtexts_are_known():
    assert all(name in SUBTEXTS for where, _ in CHECKS.values() for name in where)
    assert tile_row("t", np.ones((4, 4), np.uint8))["tile_id"] == "t"
