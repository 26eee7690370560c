"""The caption job against a model's endpoint: real HTTP, asked once, within its budget, and silent about its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.util.state import list_actors, list_jobs, list_runtime_envs, list_tasks, list_workers

from jobs.caption import CaptionSettings, caption
from knowlip.captioning import prompts_digest
from knowlip.captioning.gate import EndpointError
from knowlip.records import CAPTIONS, SUBTEXTS
from knowlip.workspace import Workspace
from tests.builders import pyramid, write_tiles
from tests.llm_server import COMPLETION_TOKENS, PROMPT_TOKENS, LlmServer

pytestmark = pytest.mark.ray

KEY = "sk-canary-2b7f61"
TILES = 21
DASHBOARD = {
    "actors": list_actors,
    "jobs": list_jobs,
    "runtime environments": list_runtime_envs,
    "tasks": list_tasks,
    "workers": list_workers,
}
"""What Ray's dashboard shows."""


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
    endpoint = {"base_url": server.url, "model": "gpt-4.1-mini", "in_flight": 8, "back_off_s": 0.01, "image_px": 64}
    return CaptionSettings(workspace=workspace.root, captioner="endpoint", endpoint=endpoint, **changes)


def status(workspace: Workspace) -> Counter[str]:
    rows = workspace.read_table("captions").to_pylist()
    assert len({row["tile_id"] for row in rows}) == len(rows)
    return Counter(row["status"] for row in rows)


def test_every_tile_is_asked_for_once_after_its_parent(tiled: Workspace, server: LlmServer) -> None:
    forecast = caption(settings(tiled, server, dry_run=True)).counts
    assert forecast["calls to a model"] == TILES
    assert not server.asked
    summary = caption(settings(tiled, server))
    table = tiled.read_table("captions")
    assert table.schema.equals(CAPTIONS)
    rows = table.to_pylist()
    assert len(rows) == TILES == server.asked.total() == summary.counts["captions"]
    assert all(row[name] for row in rows for name in SUBTEXTS)
    assert all((row["parent_digest"] is None) == (row["scale"] == "L") for row in rows)
    assert summary.counts["tokens"] == TILES * (PROMPT_TOKENS + COMPLETION_TOKENS)
    assert summary.counts["cost in USD"] == pytest.approx(TILES * (PROMPT_TOKENS * 0.4 + COMPLETION_TOKENS * 1.6) / 1e6)
    assert caption(settings(tiled, server)).counts["units made now"] == 0
    tiled.delete("captions", tiled.files("captions")[0])  # what was paid for is in the journal
    assert caption(settings(tiled, server)).counts["captions"] == TILES == server.asked.total()


@pytest.mark.slow
def test_what_failed_is_set_aside_and_asked_again_on_request(tiled: Workspace, server: LlmServer) -> None:
    server.misdeeds.extend(["refusal", "error", "truncated"])  # the large tile's comes first
    caption(settings(tiled, server))
    assert status(tiled)["ok"] == TILES - 2
    asked = server.asked.total()
    caption(settings(tiled, server))
    assert server.asked.total() == asked
    caption(settings(tiled, server, retry="failed"))
    assert status(tiled) == {"ok": TILES}
    assert server.asked.total() == asked + 2


@pytest.mark.slow
def test_claims_are_checked_and_doubts_come_with_evidence(tiled: Workspace, server: LlmServer) -> None:
    server.misdeeds.append("lie")  # about the large tile
    summary = caption(settings(tiled, server))
    rows = {row["scale"]: row for row in tiled.read_table("captions").to_pylist() if row["scale"] != "S"}
    (flag,) = rows["L"]["flags"]
    assert (flag["subtext"], flag["kind"], flag["claim"]) == ("target_quantity", "count", "60 targets")
    assert "were measured" in flag["evidence"]
    assert rows["M"]["flags"] == []
    assert rows["L"]["prompts"] == prompts_digest()
    assert summary.counts["captions with doubted claims"] == 1


def test_a_wrong_key_stops_the_job_in_one_line(
    tiled: Workspace, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-77")
    with pytest.raises(EndpointError) as told:
        caption(settings(tiled, server))
    assert "\n" not in str(told.value)
    assert "refuses the key" in str(told.value)
    assert "sk-wrong-77" not in str(told.value)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert caption(settings(tiled, server)).counts["captions"] == TILES


def test_a_budget_is_not_passed_and_more_of_it_goes_on(tiled: Workspace, server: LlmServer) -> None:
    budget = 15_000
    with pytest.raises(EndpointError, match="budget"):
        caption(settings(tiled, server, budget_tokens=budget))
    assert 0 < server.prompt_tokens + server.completion_tokens <= budget
    asked = server.asked.total()
    assert caption(settings(tiled, server)).counts["captions"] == TILES
    assert server.asked.total() == TILES > asked


def test_the_key_is_written_nowhere(tiled: Workspace, server: LlmServer, capfd: pytest.CaptureFixture[str]) -> None:
    caption(settings(tiled, server))
    said = capfd.readouterr()
    assert KEY not in said.out + said.err
    written = [path for path in Path(tiled.local()).rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    node = ray._private.worker._global_node
    logs = [path for path in Path(node.get_logs_dir_path()).rglob("*") if path.is_file()]
    assert any(path.name.startswith("worker") for path in logs)
    assert not [path for path in logs if KEY.encode() in path.read_bytes()]
    here = f"http://{node.webui_url}"
    shown = {name: repr(listed(here, detail=True, limit=5000)) for name, listed in DASHBOARD.items()}
    assert "_Desk" in shown["actors"]  # to which the key is entrusted
    assert not [name for name, text in shown.items() if KEY in text]
