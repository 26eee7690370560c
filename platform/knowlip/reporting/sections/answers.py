"""What the served model answered over HTTP."""

from __future__ import annotations

import json
from typing import Any

from knowlip.reporting.elements import Card, Cards, Element, Section, Table
from knowlip.reporting.pictures import data_uri
from knowlip.reporting.sections.tiles import views_of
from knowlip.workspace import Workspace

__all__ = ["answers_section"]

_FILE = ("answers", "answers.json")


def answers_section(workspace: Workspace) -> Section | None:
    """Return the questions and searches that were asked, with their answers."""
    if not workspace.exists(*_FILE):
        return None
    answers = json.loads(workspace.read_bytes(*_FILE))
    elements: list[Element] = []
    if answers.get("questions"):
        elements.append(Cards(_questions(workspace, answers["questions"]), "Questions about held-out images"))
    if answers.get("searches"):
        columns = ("asked", "found", "scale", "place", "similarity")
        elements.append(Table(columns, _searches(answers["searches"]), "Searches"))
    return Section("Asked over HTTP", elements) if elements else None


def _questions(workspace: Workspace, questions: list[dict[str, Any]]) -> list[Card]:
    views = views_of(workspace, {asked["tile_id"] for asked in questions}) if workspace.files("tiles") else {}
    return [
        Card(
            title=asked["question"],
            picture=data_uri(views[asked["tile_id"]]) if asked["tile_id"] in views else "",
            texts={"answer": f"{asked['answer']} ({asked['confidence']:.0%} sure)", "right answer": asked["right"]},
        )
        for asked in questions
    ]


def _searches(searches: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            search["text"] if not rank else "",
            feature["id"],
            feature["properties"]["scale"],
            feature["properties"]["city"] or "",
            f"{feature['properties']['score']:.3f}",
        )
        for search in searches
        for rank, feature in enumerate(search["features"])
    ]
