"""Ask: put a workspace behind Ray Serve for a moment, search it and question it over real HTTP, keep the answers."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.serving import served
from knowlip.errors import KnowlipError
from knowlip.manifest import Manifest, digest
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["AskSettings", "ask"]

ANSWERS = "answers"


class AskSettings(JobSettings):
    """Serve a workspace on a free loopback port, ask it over HTTP, print the answers and stop serving."""

    searches: tuple[str, ...] = ("airport runway", "ships in a harbour")
    """Texts to search for."""

    k: int = Field(3, ge=1, le=200)
    """Tiles to return for each."""

    questions: int = Field(3, ge=0)
    """Held-out questions to ask, each about its image, which is uploaded."""

    timeout_s: float = Field(180, gt=0)
    """How long the applications may take to come up."""


def ask(settings: AskSettings) -> Summary:
    """Ask, or show the answers when the same model over the same index was asked before."""
    started = time.monotonic()
    workspace = settings.opened()
    made = {name: Manifest.read(workspace, name) for name in ("index", "runs/vqa", "runs/pretrain")}
    inputs = {name: manifest.recipe for name, manifest in made.items() if manifest}
    manifest = Manifest(artefact=ANSWERS, job="jobs.ask", settings=settings.shaping(), inputs=inputs)
    before = Manifest.read(workspace, ANSWERS)
    if settings.dry_run:
        return Summary("Would ask", {"searches": len(settings.searches), "questions": settings.questions})
    if before is None or before.recipe != manifest.recipe or settings.overwrite:
        with workspace.lock(ANSWERS), connected(), served(workspace, timeout_s=settings.timeout_s) as client:
            answers = _ask_all(settings, workspace, client)
        workspace.write_bytes(json.dumps(answers, indent=1).encode(), ANSWERS, "answers.json")
        counts = {name: len(answers[name]) for name in ("searches", "questions")}
        seconds = time.monotonic() - started
        manifest.model_copy(update={"counts": counts, "seconds": seconds}).write(workspace)
    answers = json.loads(workspace.read_bytes(ANSWERS, "answers.json"))
    _show(answers)
    return Summary(
        "Answers over HTTP", {name: len(found) for name, found in answers.items()}, where=workspace.uri(ANSWERS)
    )


def _ask_all(settings: AskSettings, workspace: Workspace, client: httpx.Client) -> dict[str, Any]:
    searches = [
        {"text": text, **_reply(client.post("/v1/search", json={"text": text, "k": settings.k}))}
        for text in settings.searches
    ]
    questions = [
        {
            **_reply(client.post("/v1/vqa", data={"question": row["question"]}, files={"image": row["view"]})),
            "right": row["answer"],
            "tile_id": row["tile_id"],
        }
        for row in _held_out(workspace, settings.questions)
    ]
    return {"searches": searches, "questions": questions}


def _held_out(workspace: Workspace, count: int) -> list[dict[str, Any]]:
    """Return some questions of the test split, of different kinds where there are."""
    if not workspace.files("datasets", "vqa"):
        return []
    columns = ["example_id", "tile_id", "split", "question", "answer", "kind", "view"]
    rows = [
        row for row in workspace.read_table("datasets", "vqa", columns=columns).to_pylist() if row["split"] == "test"
    ]
    rows.sort(key=lambda row: digest(row["example_id"]))
    turn = {
        row["example_id"]: sum(one["kind"] == row["kind"] for one in rows[:place]) for place, row in enumerate(rows)
    }
    return sorted(rows, key=lambda row: turn[row["example_id"]])[:count]


def _reply(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise KnowlipError(f"{response.status_code} {response.text[:300]}", where=str(response.url))
    return response.json()


def _show(answers: dict[str, Any]) -> None:
    for search in answers["searches"]:
        print(f"POST /v1/search {search['text']!r}")
        for feature in search["features"]:
            facts = feature["properties"]
            words = facts["texts"].get("target_category", "")[:90]
            print(f"  {facts['score']:.3f}  {facts['scale']}  {facts['city']}  {feature['id']}  {words}…")
    for asked in answers["questions"]:
        print(f"POST /v1/vqa {asked['question']!r} about {asked['tile_id']}")
        print(f"  {asked['answer']!r} (confidence {asked['confidence']:.2f}); right is {asked['right']!r}")


if __name__ == "__main__":
    run(AskSettings, ask)
