"""What a batch's files say, and what is kept of a batch while it is under way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knowlip.captioning import Request
from knowlip.captioning.asking import Prompt
from knowlip.captioning.batches import Answer, Batch, answers, open_batches, request_line
from knowlip.captioning.budget import Hold
from knowlip.captioning.dialect import Dialect
from knowlip.captioning.endpoint import EndpointSettings
from knowlip.captioning.faults import by_status
from knowlip.captioning.prices import Price
from knowlip.workspace import Workspace
from tests.llm_server import COMPLETION_TOKENS, PROMPT_TOKENS, LlmServer

SETTINGS = EndpointSettings(base_url="http://127.0.0.1:9/v1", model="stub")
PRICE = Price(1.0, 2.0)


def handed_in(requests: list[Request], earlier: list | None = None) -> tuple[Batch, list[dict]]:
    """A batch and its lines, decoded."""
    lines, kept = [], []
    for request, before in zip(requests, earlier or [None] * len(requests), strict=True):
        line, one = request_line(Prompt(request, SETTINGS), Dialect(SETTINGS), PRICE, before)
        lines.append(json.loads(line))
        kept.append(one)
    return Batch(SETTINGS.base_url, "stub", "p", 1600, (1.0, 2.0), tuple(kept)), lines


def answered(batch: Batch, lines: list[dict], misdeeds: dict[int, str]) -> list[Answer]:
    server, out = LlmServer(), []
    for place, line in enumerate(lines):
        misdeed = misdeeds.get(place, "")
        if misdeed == "gone":
            continue
        row = {"custom_id": line["custom_id"], "error": None}
        if misdeed == "expired":
            row |= {"response": None, "error": {"code": "batch_expired"}}
        elif misdeed.isdigit():
            row["response"] = {"status_code": int(misdeed), "body": {"error": {"code": None, "param": "seed"}}}
        else:
            row["response"] = {"status_code": 200, "body": server.reply(line["body"], misdeed)}
        out.append(json.dumps(row).encode())
    found = {one.request.custom_id: one for one in answers(batch, iter([*out, b"no json", b"{}"]))}
    return [found[line["custom_id"]] for line in lines]


def test_answers_become_entries_and_what_came_to_nothing_does_not(tiles_to_ask: list[Request]) -> None:
    batch, lines = handed_in(tiles_to_ask[:8])
    misdeeds = {1: "refusal", 2: "truncated", 3: "echo", 4: "400", 5: "500", 6: "expired", 7: "gone"}
    found = answered(batch, lines, misdeeds)
    statuses = [one.entry.status if one.entry else None for one in found]
    assert statuses == ["ok", "refusal", "truncated", "echo", "status_400", "server_error", None, None]
    assert [one.fault.again if one.fault else None for one in found] == [None] * 4 + [False, True, None, None]
    assert found[4].fault.parameter == "seed"
    first = found[0].entry
    assert (first.prompt_tokens, first.completion_tokens) == (PROMPT_TOKENS, COMPLETION_TOKENS)
    assert found[0].paid.usd == pytest.approx((PROMPT_TOKENS + 2 * COMPLETION_TOKENS) / 1e6)
    assert found[7].paid == Hold()
    assert batch.most.tokens > 8 * 1600


def test_the_same_answer_read_twice_is_one_entry(tiles_to_ask: list[Request]) -> None:
    batch, lines = handed_in(tiles_to_ask[:1])
    one, other = (answered(batch, lines, {})[0].entry for _ in range(2))
    assert one.entry_id == other.entry_id


def test_a_second_try_is_told_what_was_wrong_and_carries_the_first_ones_tokens(tiles_to_ask: list[Request]) -> None:
    batch, lines = handed_in(tiles_to_ask[:1])
    (first,) = answered(batch, lines, {0: "prose"})
    assert (first.entry.status, first.entry.asked) == ("unparsable", 1)
    batch, lines = handed_in(tiles_to_ask[:1], [first.entry])
    assert "That cannot be used" in lines[0]["body"]["messages"][-1]["content"]
    (second,) = answered(batch, lines, {})
    assert (second.entry.status, second.entry.asked) == ("ok", 2)
    assert second.entry.entry_id == first.entry.entry_id  # it takes the first one's place in the journal
    assert second.entry.completion_tokens == 2 * COMPLETION_TOKENS
    assert second.paid.tokens == PROMPT_TOKENS + COMPLETION_TOKENS


def test_a_batch_under_way_is_found_again_as_it_was(tiles_to_ask: list[Request], tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    batch, lines = handed_in(tiles_to_ask[:2])
    (first, _) = answered(batch, lines, {0: "prose"})
    batch, _ = handed_in(tiles_to_ask[:2], [first.entry, None])
    batch.write(workspace)
    batch.named("batch_1").write(workspace)
    assert open_batches(workspace) == [batch.named("batch_1")]
    batch.forget(workspace)
    assert open_batches(workspace) == []


def test_a_dialect_asks_for_less_step_by_step() -> None:
    dialect = Dialect(SETTINGS)
    assert dialect.lowered(by_status(400, parameter="max_tokens"))
    assert dialect.lowered(by_status(400, parameter="seed"))
    assert dialect.lowered(by_status(400, parameter="response_format"))
    body = dialect.body([])
    assert (body["max_completion_tokens"], body["response_format"]) == (1600, {"type": "json_object"})
    assert "seed" not in body
    assert dialect.lowered(by_status(400))
    assert "response_format" not in dialect.body([])
    assert not dialect.lowered(by_status(400))
    assert not dialect.lowered(by_status(500))
