"""Questions put to any OpenAI-compatible vision model (section 4.5, Table 7), with the captions' client and journal."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from knowlip.benchmark.answers import parse, same
from knowlip.captioning.asking import cost_usd
from knowlip.captioning.caption import OK
from knowlip.captioning.endpoint import CallFailed, Endpoint, EndpointSettings, estimated_tokens
from knowlip.captioning.gate import Stopped
from knowlip.captioning.journal import Entry
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.pictures import data_url, fitted, side_px
from knowlip.errors import DataError
from knowlip.manifest import digest

__all__ = ["FOLDER", "Questioner", "answer_records", "drawn", "key_of", "names_of"]

FOLDER = ("evaluations", "_journal")
"""Where replies are kept, below the workspace."""

_SYSTEM = (
    "You look at a synthetic aperture radar (SAR) image and answer one question about it. "
    "Regions of the nine-grid are numbered 1 to 9, row by row from the upper left. "
    "Reply with the answer alone, without a sentence."
)
_FORMS = {
    "count": "Answer with a number.",
    "region": "Answer with the number of the region.",
    "category": "Name every kind, separated by commas, or none.",
    "landforms": "Name every one, separated by commas.",
}

_NAMED = ("category", "main_landform", "landforms", "region_landform")
"""Kinds whose answers are names."""


def drawn(rows: Iterable[Mapping[str, Any]], *, most: int) -> list[Mapping[str, Any]]:
    """Return at most so many questions of each kind, drawn by the digests of their ids; all where ``most`` is 0."""
    taken: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: digest(row["example_id"])):
        if row["question"] and (not most or len(taken[row["kind"]]) < most):
            taken[row["kind"]].append(row)
    return [row for held in taken.values() for row in held]


def names_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the names that the answers of each kind are made of.

    Args:
        rows: Questions of the training split.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["kind"] in _NAMED:
            found[row["kind"]].update(parse(row["answer"]).parts)
    return {kind: sorted(names) for kind, names in found.items()}


def key_of(row: Mapping[str, Any], settings: EndpointSettings, choices: Mapping[str, Sequence[str]]) -> str:
    """Return the key under which the reply to a question is kept."""
    asked = [_SYSTEM, _said(row, choices), digest(row["view"]), settings.model, settings.sampling()]
    return digest(asked)


@dataclass
class Questioner:
    """Asks a model; what was answered before is taken from the journal.

    Args:
        endpoint: The model.
        journal: Where replies are made durable.
        name: The data set, by which replies are filed.
        choices: The answers that a kind of question may have, told to the model; it never saw the data.
    """

    endpoint: Endpoint
    journal: JournalWriter
    name: str
    choices: Mapping[str, Sequence[str]]

    async def ask(self, rows: Sequence[Mapping[str, Any]], known: Mapping[str, Entry]) -> dict[str, Entry]:
        """Ask every question that the journal does not answer, and return the replies by example.

        It ends early, with what there is, when the budget is used up or the endpoint cannot be used; the gate says why.

        Args:
            rows: Questions with ``example_id``, ``view``, ``question`` and ``kind``.
            known: What the journal holds, by key.

        Raises:
            WorkspaceError: A reply could not be made durable.
        """
        slots, replies = asyncio.Semaphore(self.endpoint.settings.in_flight), dict[str, Entry]()

        async def one(row: Mapping[str, Any]) -> None:
            key = key_of(row, self.endpoint.settings, self.choices)
            entry = known.get(key)
            if entry is None or not entry.ok:
                async with slots:
                    entry = await self._ask(row, key)
                    await self.journal.append(self.name, entry)
            replies[str(row["example_id"])] = entry

        for result in await asyncio.gather(*(one(row) for row in rows), return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, Stopped):
                raise result
        return replies

    async def _ask(self, row: Mapping[str, Any], key: str) -> Entry:
        settings = self.endpoint.settings
        entry = Entry(str(row["example_id"]), key, settings.model, digest(_SYSTEM), OK)
        try:
            image = fitted(row["view"], longest_px=settings.image_px, most_kb=settings.image_kb)
        except DataError as error:
            return replace(entry, status=error.code, problem=error.what)
        said = _said(row, self.choices)
        content: list[dict[str, Any]] = [
            {"type": "text", "text": said},
            {"type": "image_url", "image_url": {"url": data_url(image)}},
        ]
        messages: list[dict[str, Any]] = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}]
        try:
            reply = await self.endpoint.complete(messages, read_tokens=estimated_tokens(_SYSTEM + said, side_px(image)))
        except CallFailed as failure:
            problem = self.endpoint.key.redact(failure.fault.what)
            return replace(entry, status=failure.fault.code, problem=problem)
        good = reply.text.strip() and reply.finish_reason != "refusal"
        return replace(
            entry,
            status=OK if good else "refusal",
            raw=self.endpoint.key.redact(reply.text),
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost_usd=cost_usd(self.endpoint.price, reply.prompt_tokens, reply.completion_tokens),
            latency_s=reply.latency_s,
        )


def answer_records(rows: Sequence[Mapping[str, Any]], replies: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """Return records for `knowlip.benchmark.metrics.answering_scores`, one an answered question.

    A refusal, or a call that failed for good, is a wrong answer; a question that was never asked has no record.

    Args:
        rows: Questions with ``example_id``, ``kind``, ``question``, ``answer`` and ``group``.
        replies: Of `Questioner.ask`.
    """
    records = []
    for row in rows:
        entry = replies.get(str(row["example_id"]))
        if entry is None:
            continue
        given = " ".join(entry.raw.split()) if entry.ok else ""
        record = {name: row[name] for name in ("example_id", "kind", "question", "answer", "group")}
        records.append({**record, "given": given, "status": entry.status, "right": same(given, str(row["answer"]))})
    return records


def _said(row: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> str:
    kind = str(row["kind"])
    form = _FORMS.get(kind, "Answer with one of the names.")
    named = f" The names are: {', '.join(choices[kind])}." if choices.get(kind) else ""
    return f"{row['question']} {form}{named}"
