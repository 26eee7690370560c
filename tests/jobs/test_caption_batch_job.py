"""Captions by the Batch API: a wave a scale, each tile asked once, taken up again by whoever comes next."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from jobs.caption import CaptionSettings, caption
from knowlip.captioning.gate import EndpointError
from knowlip.records import CAPTIONS
from knowlip.workspace import Workspace
from tests.builders import pyramid, write_tiles
from tests.llm_server import COMPLETION_TOKENS, PROMPT_TOKENS, LlmServer, digest_of

pytestmark = pytest.mark.ray

KEY = "sk-canary-batch-55"
TILES = 21


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer(key=KEY).serving() as running:
        yield running


@pytest.fixture
def tiled(workspace_root: str, monkeypatch: pytest.MonkeyPatch, ray_cluster: None) -> Workspace:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    workspace = Workspace(workspace_root)
    write_tiles(workspace, list(pyramid("one")), "one-0")
    return workspace


def settings(workspace: Workspace, server: LlmServer, **changes: object) -> CaptionSettings:
    endpoint = {"base_url": server.url, "model": "gpt-4.1-mini", "image_px": 64, "tries": 2}
    batch = {"poll_s": 0.05, "requests_a_file": changes.pop("requests_a_file", 10)}
    shared = {"workspace": workspace.root, "captioner": "endpoint", "mode": "batch"}
    return CaptionSettings(**shared, endpoint=endpoint, batch=batch, **changes)


def status(workspace: Workspace) -> Counter[str]:
    rows = workspace.read_table("captions").to_pylist()
    assert len({row["tile_id"] for row in rows}) == len(rows)
    return Counter(row["status"] for row in rows)


@pytest.mark.slow
def test_each_scale_is_a_wave_and_each_tile_is_asked_once(tiled: Workspace, server: LlmServer) -> None:
    forecast = caption(settings(tiled, server, dry_run=True)).counts
    summary = caption(settings(tiled, server))
    table = tiled.read_table("captions")
    assert table.schema.equals(CAPTIONS)
    rows = table.to_pylist()
    assert len(rows) == TILES == server.asked.total() == summary.counts["captions"] == forecast["calls to a model"]
    assert set(server.asked.values()) == {1}
    assert all((row["parent_digest"] is None) == (row["scale"] == "L") for row in rows)
    assert len(server.batches) == 1 + 1 + 2  # at most ten requests a file
    usd = TILES * (PROMPT_TOKENS * 0.4 + COMPLETION_TOKENS * 1.6) / 1e6
    assert summary.counts["cost in USD"] == pytest.approx(usd / 2)
    assert not tiled.files("captions", "_batches", suffix=".json")
    assert caption(settings(tiled, server)).counts["units made now"] == 0
    # What was asked by batches is not asked again one by one.
    tiled.delete("captions", tiled.files("captions")[0])
    assert caption(settings(tiled, server).revised(mode="stream")).counts["captions"] == TILES == server.asked.total()


def test_batches_under_way_are_taken_up_by_the_next_run(tiled: Workspace, server: LlmServer) -> None:
    server.fetch_fails = True  # the first run ends while its batch is done but not fetched
    with pytest.raises(EndpointError, match="status 400"):
        caption(settings(tiled, server))
    (ledger,) = tiled.files("captions", "_batches", suffix=".json")
    place = ("captions", "_batches", ledger)
    values = json.loads(tiled.read_bytes(*place))
    tiled.write_bytes(json.dumps(values | {"batch_id": "of-another-account"}).encode(), *place)
    with pytest.raises(EndpointError, match=f"of-another-account is not known there.*{ledger}"):
        caption(settings(tiled, server))
    # A kill between handing in and noting the endpoint's name leaves this; the endpoint knows ours.
    tiled.write_bytes(json.dumps(values | {"batch_id": ""}).encode(), *place)
    server.fetch_fails = False
    assert caption(settings(tiled, server)).counts["captions"] == TILES
    assert set(server.asked.values()) == {1}
    assert len(server.batches) == 4


@pytest.mark.slow
def test_what_goes_wrong_is_mended_or_set_aside(tiled: Workspace, server: LlmServer) -> None:
    rows = {row["tile_id"]: row for row in tiled.read_table("tiles").to_pylist()}
    marks = {"one-S-0-0": "500", "one-S-0-1": "refusal", "one-S-0-2": "400", "one-S-0-3": "truncated"}
    server.marked = {digest_of(rows[tile_id]["image"]): misdeed for tile_id, misdeed in marks.items()}
    server.formats = ("json_object", "text")
    server.expires, server.batch_problem = 1, "token_limit_exceeded"
    server.misdeeds.extend(["prose"])
    summary = caption(settings(tiled, server))
    expected = {"ok": TILES - 4, "server_error": 1, "refusal": 1, "status_400": 1, "truncated": 1}
    assert status(tiled) == expected
    assert len(summary.set_aside) == 4
    server.marked = {}
    assert caption(settings(tiled, server, retry="failed")).counts["captions"] == TILES


@pytest.mark.slow
def test_a_budget_is_not_passed_by_batches(tiled: Workspace, server: LlmServer) -> None:
    budget = 15_000
    with pytest.raises(EndpointError, match="budget"):
        caption(settings(tiled, server, budget_tokens=budget))
    spent = server.prompt_tokens + server.completion_tokens
    assert 0 < spent <= budget
    assert status(tiled)["ok"] == server.asked.total()
    assert caption(settings(tiled, server)).counts["captions"] == TILES == server.asked.total()


@pytest.mark.slow
def test_a_wrong_key_and_a_batch_that_is_turned_down_stop_in_one_line(
    tiled: Workspace, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-88")
    with pytest.raises(EndpointError, match="refuses the key") as told:
        caption(settings(tiled, server))
    assert "sk-wrong-88" not in str(told.value)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.batch_problem = "model_not_found"
    with pytest.raises(EndpointError, match="model_not_found"):
        caption(settings(tiled, server))
    assert caption(settings(tiled, server)).counts["captions"] == TILES == server.asked.total()
