"""One call to an endpoint, and all that can go wrong on the way: over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knowlip.captioning import Caption, Request
from knowlip.captioning.asking import EndpointCaptioner
from knowlip.captioning.budget import Budget
from knowlip.captioning.endpoint import Endpoint, EndpointSettings
from knowlip.captioning.gate import LocalGate, Stopped, Turnstile
from knowlip.captioning.journal import Entry, Journal
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.limiter import Limiter
from knowlip.captioning.prices import Price
from knowlip.captioning.secret import Key
from knowlip.errors import SettingsError
from knowlip.workspace import Workspace
from tests.llm_server import COMPLETION_TOKENS, PROMPT_TOKENS, LlmServer, digest_of

KEY = "sk-canary-0123456789abcdef"


def ask(
    server: LlmServer,
    folder: Path,
    requests: list[Request],
    *,
    gate: LocalGate | None = None,
    known: dict[str, Entry] | None = None,
    key: str = "",
    price: Price | None = None,
    retry: Any = "none",
    slots: int = 8,
    **settings: Any,
) -> tuple[list[Caption | BaseException], LocalGate]:
    """Ask for all tiles at once; returns a caption, or what was raised, a tile."""
    gate = gate or LocalGate()
    chosen = {"tries": 3, "back_off_s": 0.02, "timeout_s": 5.0, "model": "stub"} | settings

    async def run() -> list[Caption | BaseException]:
        writer = JournalWriter(Workspace(str(folder)))
        endpoint = Endpoint(EndpointSettings(base_url=server.url, **chosen), Key(key), gate, price)
        captioner = EndpointCaptioner(endpoint, writer, retry, slots)
        calls: list[Coroutine[Any, Any, Caption]] = [captioner.caption(one, known or {}) for one in requests]
        try:
            return await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await writer.close()
            await endpoint.close()

    return asyncio.run(run()), gate


def one_of(outcome: tuple[list[Caption | BaseException], LocalGate]) -> Caption:
    (caption,), _ = outcome
    assert isinstance(caption, Caption), caption
    return caption


def journal(folder: Path) -> dict[str, Entry]:
    return Journal(Workspace(str(folder))).read("scene")


def test_a_reply_becomes_a_caption_and_an_entry(llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]) -> None:
    request = tiles_to_ask[0]
    caption = one_of(ask(llm, tmp_path, [request], price=Price(1.0, 10.0)))
    assert caption.status == "ok"
    assert digest_of(request.image) in caption.subtexts["target_location"]
    assert caption.reasoning["sar_theory"] == "Because of sar_theory."
    assert (caption.prompt_tokens, caption.completion_tokens) == (PROMPT_TOKENS, COMPLETION_TOKENS)
    assert caption.cost_usd == pytest.approx((PROMPT_TOKENS + 10 * COMPLETION_TOKENS) / 1e6)
    sent = llm.prompts[0]
    assert sent["response_format"]["type"] == "json_schema"
    assert (sent["temperature"], sent["seed"], sent["max_tokens"]) == (0.2, 0, 1600)
    (entry,) = journal(tmp_path).values()
    assert (entry.key, entry.tile_id, entry.status) == (caption.prompt_digest, "tile-0", "ok")


def test_what_is_in_the_journal_is_not_asked_again(llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]) -> None:
    first = one_of(ask(llm, tmp_path, tiles_to_ask[:1]))
    again = one_of(ask(llm, tmp_path, tiles_to_ask[:1], known=journal(tmp_path)))
    assert again == first
    assert llm.asked.total() == 1
    one_of(ask(llm, tmp_path, tiles_to_ask[:1], known=journal(tmp_path), temperature=0.9))
    assert llm.asked.total() == 2  # other sampling is another text


@pytest.mark.parametrize("misdeed", ["429", "500", "503", "408", "409", "reset", "half", "html", "invalid_json"])
def test_what_passes_is_tried_again(llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request], misdeed: str) -> None:
    llm.misdeeds.extend([misdeed, misdeed])
    assert one_of(ask(llm, tmp_path, tiles_to_ask[:1])).status == "ok"
    assert llm.asked.total() == 3


def test_a_slow_reply_times_out_and_is_tried_again(llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]) -> None:
    llm.misdeeds.append("slow")
    assert one_of(ask(llm, tmp_path, tiles_to_ask[:1], timeout_s=0.5)).status == "ok"


@pytest.mark.parametrize(("misdeed", "code"), [("500", "server_error"), ("400", "status_400"), ("reset", "timeout")])
def test_a_tile_that_always_fails_is_set_aside_and_the_others_go_on(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request], misdeed: str, code: str
) -> None:
    llm.marked[digest_of(tiles_to_ask[3].image)] = misdeed
    captions, _ = ask(llm, tmp_path, tiles_to_ask)
    statuses = {caption.tile_id: caption.status for caption in captions if isinstance(caption, Caption)}
    assert statuses.pop("tile-3") == code
    assert set(statuses.values()) == {"ok"}
    assert len(statuses) == 11
    asked = llm.asked[digest_of(tiles_to_ask[3].image)]
    assert asked == (1 if misdeed == "400" else 3)


@pytest.mark.parametrize(
    ("misdeed", "status", "asked"),
    [
        ("refusal", "refusal", 1),
        ("refusal_field", "refusal", 1),
        ("filtered", "refusal", 1),
        ("truncated", "truncated", 1),
        ("empty", "empty", 1),
        ("echo", "echo", 1),
        ("prose", "unparsable", 2),
        ("wrong_schema", "incomplete", 2),
    ],
)
def test_a_reply_that_is_no_caption_is_set_aside_with_its_text(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request], misdeed: str, status: str, asked: int
) -> None:
    llm.always = misdeed
    caption = one_of(ask(llm, tmp_path, tiles_to_ask[:1]))
    assert caption.status == status
    assert llm.asked.total() == asked
    assert (caption.raw.strip() != "") == (misdeed not in ("empty", "filtered"))
    assert caption.completion_tokens == asked * COMPLETION_TOKENS
    if asked == 2:  # the second time it was told what was wrong
        assert "That cannot be used" in llm.prompts[1]["messages"][-1]["content"]
    asked_again = ask(llm, tmp_path, tiles_to_ask[:1], known=journal(tmp_path))
    assert one_of(asked_again).status == status
    assert llm.asked.total() == asked
    llm.always = ""
    assert one_of(ask(llm, tmp_path, tiles_to_ask[:1], known=journal(tmp_path), retry="failed")).status == "ok"


def test_a_reply_that_cannot_be_read_once_is_read_the_second_time(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]
) -> None:
    llm.misdeeds.append("prose")
    caption = one_of(ask(llm, tmp_path, tiles_to_ask[:1]))
    assert caption.status == "ok"
    assert caption.completion_tokens == 2 * COMPLETION_TOKENS


@pytest.mark.parametrize(
    ("formats", "misdeed", "asked"),
    [(("json_object", "text"), "", 13), (("text",), "lines", 14)],
    ids=["JSON mode", "regular expressions"],
)
def test_an_endpoint_is_asked_as_it_can_answer(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request], formats: tuple[str, ...], misdeed: str, asked: int
) -> None:
    llm.formats, llm.always = formats, misdeed
    captions, _ = ask(llm, tmp_path, tiles_to_ask)
    assert [caption.status for caption in captions if isinstance(caption, Caption)] == ["ok"] * 12
    assert len(llm.arrivals) == asked  # the first call found out for all


def test_parameters_that_are_turned_down_by_name_are_left_out(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]
) -> None:
    llm.refuses = ("max_tokens", "temperature", "seed")
    assert one_of(ask(llm, tmp_path, tiles_to_ask[:1])).status == "ok"
    assert llm.prompts[0]["max_completion_tokens"] == 1600


@pytest.mark.parametrize(("misdeed", "code"), [("403", "forbidden"), ("402", "unpaid"), ("quota", "unpaid")])
def test_what_no_call_can_pass_stops_everything(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request], misdeed: str, code: str
) -> None:
    llm.always = misdeed
    outcomes, gate = ask(llm, tmp_path, tiles_to_ask)
    assert all(isinstance(outcome, Stopped) for outcome in outcomes)
    assert gate.turnstile.reason is not None
    assert gate.turnstile.reason.code == code
    assert llm.asked.total() == 1
    assert not journal(tmp_path)  # nothing was answered, so nothing is set aside


def test_a_wrong_key_stops_in_one_line_that_does_not_hold_it(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]
) -> None:
    llm.key = "sk-the-right-one"
    _, gate = ask(llm, tmp_path, tiles_to_ask, key=KEY)
    reason = str(gate.turnstile.reason)
    assert "refuses the key (status 401)" in reason
    assert "\n" not in reason
    assert KEY not in reason


def test_an_endpoint_that_is_not_there_stops_everything(tmp_path: Path, tiles_to_ask: list[Request]) -> None:
    nobody = LlmServer(port=9)
    outcomes, gate = ask(nobody, tmp_path, tiles_to_ask)
    assert all(isinstance(outcome, Stopped) for outcome in outcomes)
    assert "cannot be reached" in str(gate.turnstile.reason)


@pytest.mark.parametrize("misdeed", ["wrong_usage", "no_usage"])
def test_usage_that_cannot_be_is_estimated(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request], misdeed: str
) -> None:
    llm.always = misdeed
    caption = one_of(ask(llm, tmp_path, tiles_to_ask[:1], price=Price(1.0, 1.0)))
    assert 500 < caption.prompt_tokens < 5000
    assert 100 < caption.completion_tokens < 1600
    assert 0 < caption.cost_usd < 0.01


def test_a_budget_is_never_passed_and_what_was_paid_is_kept(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]
) -> None:
    gate = LocalGate(turnstile=Turnstile(Budget(tokens=9000)))
    outcomes, _ = ask(llm, tmp_path, tiles_to_ask, gate=gate)
    assert llm.prompt_tokens + llm.completion_tokens <= 9000
    captions = [one for one in outcomes if isinstance(one, Caption)]
    assert len(captions) == len(journal(tmp_path)) == llm.asked.total() >= 3
    assert all(isinstance(one, Caption | Stopped) for one in outcomes)
    assert gate.turnstile.reason is not None
    assert gate.turnstile.reason.code == "budget_exhausted"


def test_refusals_of_rate_slow_everyone_down_and_nothing_is_lost(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]
) -> None:
    llm.per_minute, llm.window_s = 5, 0.5
    captions, _ = ask(llm, tmp_path, tiles_to_ask, gate=LocalGate(Limiter()))
    assert [caption.status for caption in captions if isinstance(caption, Caption)] == ["ok"] * 12
    assert llm.asked.total() == 12
    assert llm.refused <= 12


def test_a_text_written_without_its_parent_is_kept_until_orphans_are_asked_for(
    llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]
) -> None:
    orphan = one_of(ask(llm, tmp_path, tiles_to_ask[:1]))
    with_parent = replace(tiles_to_ask[0], parent=Caption("p", "", "m", "M", "terrain", orphan.subtexts))
    kept = one_of(ask(llm, tmp_path, [with_parent], known=journal(tmp_path), retry="failed"))
    assert (kept.prompt_digest, kept.parent_digest) == (orphan.prompt_digest, "")
    fresh = one_of(ask(llm, tmp_path, [with_parent], known=journal(tmp_path), retry="orphans"))
    assert fresh.parent_digest == with_parent.parent_digest
    assert "within a larger one" in fresh.subtexts["spatial_layout"]


def test_the_image_is_reduced_to_the_limit(llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]) -> None:
    one_of(ask(llm, tmp_path, tiles_to_ask[:1], image_px=32))
    url = llm.prompts[0]["messages"][1]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    assert len(url) < 2000


@pytest.mark.parametrize("url", ["ftp://x/v1", "http://user:secret@x/v1", "http://x/v1?key=secret"])
def test_an_address_holds_no_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"key comes from the environment|http"):
        EndpointSettings(base_url=url)


def test_a_hosted_model_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
        Key.from_environment("OPENAI_API_KEY", needed=True)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    key = Key.from_environment("OPENAI_API_KEY", needed=True)
    assert KEY not in f"{key!r} {key}"
    assert key.redact(f"wrong: {KEY}!") == "wrong: ***!"
