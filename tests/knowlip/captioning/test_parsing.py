"""Replies are read whatever their wrapping, and what is no caption is recognised as what it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlip.captioning import parse
from knowlip.records import LAYERS, SUBTEXTS

TEXTS = {name: f"A true text about {name.replace('_', ' ')} of this tile." for name in SUBTEXTS}
REASONING = {layer: f"Because of {layer}." for layer in LAYERS}
REPLY = json.dumps({"reasoning": REASONING, **TEXTS})
LABELLED = "\n".join(
    f"{number}. **{name.replace('_', ' ').title()}**: {TEXTS[name]}" for number, name in enumerate(SUBTEXTS, 1)
)


@pytest.mark.parametrize(
    "reply",
    [REPLY, f"```json\n{REPLY}\n```", f"Here {{you}} are:\n{REPLY}\nDone.", json.dumps({**REASONING, **TEXTS})],
    ids=["bare", "fenced", "prose", "flat"],
)
def test_json_is_read_in_any_wrapping(reply: str) -> None:
    parsed = parse(reply)
    assert (parsed.status, parsed.subtexts, parsed.reasoning) == ("ok", TEXTS, REASONING)


def test_labelled_lines_are_read_as_the_paper_does() -> None:
    assert parse(LABELLED).subtexts == TEXTS
    running_on = LABELLED.replace("this tile.", "this\ntile.")
    assert parse(running_on).subtexts == TEXTS


@pytest.mark.parametrize(
    ("reply", "finish_reason", "status"),
    [
        ("", "stop", "empty"),
        ("  \n", "stop", "empty"),
        ("I'm sorry, but I can't help with identifying locations.", "stop", "refusal"),
        (REPLY, "content_filter", "refusal"),
        (REPLY[: len(REPLY) // 2], "length", "truncated"),
        ("The image shows an airport with two runways.", "stop", "unparsable"),
        ('{"scene_background": "only this"}', "stop", "incomplete"),
        (json.dumps({**TEXTS, "target_quantity": 3}), "stop", "incomplete"),
        ("[1, 2, 3]", "stop", "unparsable"),
    ],
)
def test_what_is_no_caption_has_a_reason(reply: str, finish_reason: str, status: str) -> None:
    parsed = parse(reply, finish_reason=finish_reason)
    assert parsed.status == status
    assert parsed.problem


def test_a_text_that_speaks_of_sorrow_is_no_refusal() -> None:
    texts = {**TEXTS, "scene_background": "Sorry Island lies off the coast."}
    assert parse(json.dumps(texts)).status == "ok"


def test_a_reply_that_repeats_the_prompt_is_an_echo() -> None:
    assert parse(REPLY, prompt=" ".join(TEXTS.values())).status == "echo"
    assert parse(REPLY, prompt="Describe this tile.").status == "ok"


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(reply: str) -> None:
    assert parse(reply).status in {"ok", "empty", "refusal", "unparsable", "incomplete"}
