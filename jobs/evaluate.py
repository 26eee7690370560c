"""Evaluate: put a data set's questions to any OpenAI-compatible vision model (section 4.5, Table 7)."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from jobs.captioning.streaming import Access, access_to
from jobs.command import Summary, run
from knowlip.benchmark.asking import FOLDER, Questioner, answer_records, drawn, key_of, names_of
from knowlip.benchmark.held_out import write_figures
from knowlip.benchmark.majority import language_floors
from knowlip.benchmark.metrics import Interval, answering_scores, intervals
from knowlip.captioning.budget import Budget
from knowlip.captioning.endpoint import Endpoint, EndpointSettings
from knowlip.captioning.gate import EndpointError, LocalGate, Turnstile
from knowlip.captioning.journal import Entry, Journal
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.limiter import Limiter
from knowlip.errors import DataError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["EvaluateSettings", "evaluate"]

_COLUMNS = ["example_id", "split", "kind", "question", "answer", "group"]


class EvaluateSettings(JobSettings):
    """Ask a vision model a data set's held-out questions, and score it beside what needs no image."""

    short_flags: ClassVar[dict[str, str]] = {"--model": "--endpoint.model", "--base-url": "--endpoint.base-url"}

    data: str = "vqa"
    """The data set of questions, datasets/NAME."""

    split: Literal["train", "val", "test"] = "test"
    """Which of its questions."""

    most: int = Field(default=0, ge=0)
    """At most so many questions of each kind, drawn by their digests; 0 for all."""

    told_names: bool = True
    """Tell the model which categories and landforms there are: it cannot know how the data set calls them."""

    endpoint: EndpointSettings = EndpointSettings(max_tokens=64, temperature=0.0)

    budget_usd: float | None = Field(default=None, gt=0.0)
    """Most US dollars that this workspace's evaluations may cost, over all runs."""

    budget_tokens: int | None = Field(default=None, gt=0)
    """Most tokens, read and written, over all runs."""

    def shaping(self) -> dict[str, Any]:
        """What decides the answers; where the model runs and how fast is not among it."""
        own = {name: getattr(self, name) for name in ("data", "split", "most", "told_names")}
        return {**own, "model": self.endpoint.model, **self.endpoint.sampling()}


def evaluate(settings: EvaluateSettings) -> Summary:
    """Ask, score and keep the answers."""
    started, workspace = time.monotonic(), settings.opened()
    endpoint = settings.endpoint.model_copy(update={"output": "text"})
    table = workspace.read_table("datasets", settings.data, columns=[*_COLUMNS, "view"])
    questions = table.to_pylist()
    rows = drawn([row for row in questions if row["split"] == settings.split], most=settings.most)
    if not rows:
        raise DataError(f"has no questions of {settings.split!r}", where=f"datasets/{settings.data}", fix="see --split")
    choices = names_of(row for row in questions if row["split"] == "train") if settings.told_names else {}
    artefact = f"evaluations/{settings.data}-{re.sub(r'[^A-Za-z0-9.]+', '-', endpoint.model)}"
    if settings.dry_run:
        known = Journal(workspace, FOLDER).read(settings.data)
        asked = sum(key_of(row, endpoint, choices) in known for row in rows)
        return Summary(f"Would ask {endpoint.model}", {"questions": len(rows), "in the journal": asked})
    access = access_to(endpoint, settings.budget_usd)
    with workspace.lock("evaluations"):
        gate = _gate(settings, Journal(workspace, FOLDER))
        replies = asyncio.run(_asked(settings, workspace, access, gate, rows, choices))
        Journal(workspace, FOLDER).pack()
        if gate.turnstile.reason:
            stopped = gate.turnstile.reason
            told = f"{stopped.what}; {len(replies):,} of {len(rows):,} questions are answered"
            raise EndpointError(told, where=stopped.where, fix=stopped.fix, code=stopped.code)
        records = answer_records(rows, replies)
        workspace.write_table(pa.Table.from_pylist(records), artefact, "answers.parquet")
        figures = intervals(records, answering_scores)
        floors = language_floors(table.select(_COLUMNS).to_pydict(), held=settings.split)
        figures |= {name: Interval(value, value, value) for name, value in floors.items()}
        write_figures(workspace, artefact, figures)
        shown = {name: str(one) for name, one in figures.items()}
        refused = sum(record["status"] != "ok" for record in records)
        spent = Journal(workspace, FOLDER).spent()
        counts = {"questions": len(records), "without an answer": refused, **shown}
        counts |= {"tokens so far": spent.tokens, "USD so far": spent.usd}
        manifest = Manifest(
            artefact=artefact,
            job="jobs.evaluate",
            settings=settings.shaping(),
            inputs=inputs_digest(workspace, f"datasets/{settings.data}"),
        )
        manifest.model_copy(update={"counts": counts, "seconds": time.monotonic() - started}).write(workspace)
    return Summary(f"{endpoint.model} on {settings.data}", counts, where=workspace.uri(artefact))


def _gate(settings: EvaluateSettings, journal: Journal) -> LocalGate:
    journal.pack()
    budget = Budget(settings.budget_usd, settings.budget_tokens, spent=journal.spent())
    limiter = Limiter()
    limiter.configure(settings.endpoint.requests_per_minute, settings.endpoint.tokens_per_minute)
    return LocalGate(limiter, Turnstile(budget, where=settings.endpoint.base_url))


async def _asked(
    settings: EvaluateSettings,
    workspace: Workspace,
    access: Access,
    gate: LocalGate,
    rows: list[dict[str, Any]],
    choices: dict[str, list[str]],
) -> dict[str, Entry]:
    endpoint = Endpoint(access.endpoint, access.key, gate, access.price)
    writer = JournalWriter(workspace, folder=FOLDER)
    known = Journal(workspace, FOLDER).read(settings.data)
    try:
        return await Questioner(endpoint, writer, settings.data, choices).ask(rows, known)
    finally:
        await writer.close()
        await endpoint.close()


if __name__ == "__main__":
    run(EvaluateSettings, evaluate)
