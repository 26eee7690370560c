"""Batches that are under way: what was handed in, kept in the workspace until its answers are in the journal.

`captions/_batches/NAME.json` is written before anything is handed in, and deleted when every answer is journalled, so
that a run on any machine finds what an earlier one left at the endpoint.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from knowlip.captioning.asking import Prompt, correction, cost_usd, read
from knowlip.captioning.budget import Hold
from knowlip.captioning.dialect import Dialect
from knowlip.captioning.endpoint import Reply, estimated_tokens, read_completion
from knowlip.captioning.faults import Fault, by_status
from knowlip.captioning.journal import Entry
from knowlip.captioning.prices import Price
from knowlip.manifest import digest
from knowlip.workspace import Workspace

__all__ = ["FOLDER", "Answer", "Batch", "BatchRequest", "answers", "open_batches", "request_line"]

FOLDER = ("captions", "_batches")
ENDPOINT = "/v1/chat/completions"


@dataclass(frozen=True)
class BatchRequest:
    """One tile's part of a batch.

    Attributes:
        scene_id: Scene of the tile.
        tile_id: The tile.
        key: Digest of prompt, image, model and sampling.
        prompt: The prompt's text, by which a reply that repeats it is known.
        read_tokens: Estimate of the tokens read.
        most: The most that it can cost.
        earlier: A reply that could not be read, and is asked for once more.
    """

    scene_id: str
    tile_id: str
    key: str
    prompt: str
    read_tokens: int
    most: Hold
    earlier: Entry | None = None

    @property
    def custom_id(self) -> str:
        """Name by which the endpoint gives the answer back."""
        return f"{self.tile_id}.{self.key}"


@dataclass(frozen=True)
class Batch:
    """Requests that are handed in together.

    Attributes:
        base_url: The endpoint.
        model: The model.
        prompts: Digest of the prompt files.
        max_tokens: Most tokens of a reply.
        price: US dollars a million tokens read and written, the batch's discount within; none when unknown.
        requests: The requests.
        batch_id: The endpoint's name for it; empty until it is known that it was handed in.
        name: Our name for it, which the endpoint keeps as metadata.
    """

    base_url: str
    model: str
    prompts: str
    max_tokens: int
    price: tuple[float, float] | None
    requests: tuple[BatchRequest, ...]
    batch_id: str = ""
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def most(self) -> Hold:
        """The most that it can cost."""
        holds = [one.most for one in self.requests]
        return Hold(sum(hold.tokens for hold in holds), sum(hold.usd for hold in holds))

    def named(self, batch_id: str) -> Batch:
        """Return it with the endpoint's name."""
        return replace(self, batch_id=batch_id)

    def write(self, workspace: Workspace) -> None:
        """Publish; a later state replaces an earlier one."""
        workspace.write_bytes(json.dumps(asdict(self), ensure_ascii=False).encode(), *FOLDER, f"{self.name}.json")

    def forget(self, workspace: Workspace) -> None:
        """Remove: every answer is in the journal, or there never was a batch."""
        workspace.delete(*FOLDER, f"{self.name}.json")


@dataclass(frozen=True)
class Answer:
    """What became of one request.

    Attributes:
        request: The request.
        entry: What goes into the journal; none when it was not worked on, and may be asked again.
        fault: What it met, if it failed.
    """

    request: BatchRequest
    entry: Entry | None
    fault: Fault | None = None

    @property
    def paid(self) -> Hold:
        """What it cost, without an earlier reply."""
        if self.entry is None:
            return Hold()
        tokens = self.entry.prompt_tokens + self.entry.completion_tokens
        before = self.request.earlier
        if before is None:
            return Hold(tokens, self.entry.cost_usd)
        lost = before.prompt_tokens + before.completion_tokens
        return Hold(tokens - lost, self.entry.cost_usd - before.cost_usd)


def open_batches(workspace: Workspace) -> list[Batch]:
    """Return the batches that earlier runs left under way."""
    found = []
    for name in workspace.files(*FOLDER, suffix=".json"):
        values = json.loads(workspace.read_bytes(*FOLDER, name))
        values["price"] = tuple(values["price"]) if values["price"] else None
        values["requests"] = tuple(_request(one) for one in values["requests"])
        found.append(Batch(**values))
    return found


def _request(values: dict[str, Any]) -> BatchRequest:
    earlier = Entry(**values["earlier"]) if values["earlier"] else None
    return BatchRequest(**{**values, "most": Hold(**values["most"]), "earlier": earlier})


def request_line(
    prompt: Prompt, dialect: Dialect, price: Price | None, earlier: Entry | None
) -> tuple[bytes, BatchRequest]:
    """Return a request as a line of the file that is handed in, and what is kept of it."""
    messages, read_tokens = list(prompt.messages), prompt.read_tokens
    if earlier is not None:
        messages += correction(earlier.raw, earlier.problem)
        read_tokens += estimated_tokens(earlier.raw + earlier.problem)
    written = dialect.settings.max_tokens
    kept = BatchRequest(
        scene_id=prompt.request.facts.scene_id,
        tile_id=prompt.request.facts.tile_id,
        key=prompt.key,
        prompt=prompt.text,
        read_tokens=read_tokens,
        most=Hold(read_tokens + written, cost_usd(price, read_tokens, written)),
        earlier=earlier,
    )
    line = {"custom_id": kept.custom_id, "method": "POST", "url": ENDPOINT, "body": dialect.body(messages)}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n", kept


def answers(batch: Batch, lines: Iterator[bytes], *, latency_s: float = 0.0) -> Iterator[Answer]:
    """Read the files of a batch that ended; what it never came to is yielded too.

    Args:
        batch: The batch.
        lines: Lines of its output and of its errors.
        latency_s: Seconds from handing in to the end.
    """
    left = {one.custom_id: one for one in batch.requests}
    for line in lines:
        row = _row(line)
        request = left.pop(str(row.get("custom_id")), None)
        if request is not None:
            yield _answer(batch, request, row, latency_s)
    yield from (Answer(request, None) for request in left.values())


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _answer(batch: Batch, request: BatchRequest, row: Mapping[str, Any], latency_s: float) -> Answer:
    response = row.get("response")
    if not isinstance(response, Mapping):  # it expired, or was cancelled, before its turn
        return Answer(request, None)
    body, status = response.get("body"), int(response.get("status_code") or 0)
    if status != 200:
        error = body.get("error") if isinstance(body, Mapping) else None
        named = error if isinstance(error, Mapping) else {}
        fault = by_status(status, str(named.get("code") or ""), str(named.get("param") or ""))
        return Answer(request, _entry(batch, request, None, fault.code, fault.what), fault)
    try:
        reply = read_completion(body, request.read_tokens, batch.max_tokens, latency_s)
    except (TypeError, LookupError, AttributeError):
        fault = Fault("bad_reply", "the endpoint's answer was no chat completion", again=True)
        return Answer(request, _entry(batch, request, None, fault.code, fault.what), fault)
    parsed = read(reply.text, reply.finish_reason, request.prompt)
    return Answer(request, _entry(batch, request, reply, parsed.status, parsed.problem))


def _entry(batch: Batch, request: BatchRequest, reply: Reply | None, status: str, problem: str) -> Entry:
    """Make the journal's entry; with an earlier reply, it takes that one's place and carries its tokens on."""
    before = request.earlier
    price = Price(*batch.price) if batch.price else None
    tokens = (reply.prompt_tokens, reply.completion_tokens) if reply else (0, 0)
    return Entry(
        tile_id=request.tile_id,
        key=request.key,
        model=batch.model,
        prompts=batch.prompts,
        status=status,
        problem=problem,
        raw=reply.text if reply else "",
        finish_reason=reply.finish_reason if reply else "",
        asked=1 + (before.asked if before else 0),
        prompt_tokens=tokens[0] + (before.prompt_tokens if before else 0),
        completion_tokens=tokens[1] + (before.completion_tokens if before else 0),
        cost_usd=cost_usd(price, *tokens) + (before.cost_usd if before else 0.0),
        latency_s=(reply.latency_s if reply else 0.0) + (before.latency_s if before else 0.0),
        # The same answer read twice, after a kill, is one entry.
        entry_id=before.entry_id if before else digest([batch.name, request.custom_id]),
    )
