"""The Batch API of an OpenAI-compatible endpoint: hand a file in, ask how it stands, fetch what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TypeVar

import openai

from knowlip.captioning.endpoint import EndpointSettings
from knowlip.captioning.faults import classify
from knowlip.captioning.gate import EndpointError
from knowlip.captioning.secret import Key

__all__ = ["BatchApi", "BatchState"]

_ENDED = ("completed", "failed", "expired", "cancelled")
_MARK = "knowlip"
_LISTED = 1000

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class BatchState:
    """How a batch stands.

    Attributes:
        status: The endpoint's word for it.
        done: Requests that are worked off.
        total: Requests.
        seconds: From handing in to the end, when it has ended.
        files: Files with its output and its errors, when it has ended.
        problem: Code of the error for which the whole batch was turned down.
    """

    status: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    files: tuple[str, ...] = ()
    problem: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED


@dataclass
class BatchApi:
    """Speaks to the endpoint; what fails for a moment is tried again by the client.

    Args:
        settings: Where.
        key: The key.
    """

    settings: EndpointSettings
    key: Key
    _client: openai.OpenAI = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._client = openai.OpenAI(
            base_url=self.settings.base_url,
            api_key=self.key.reveal() or "none",
            timeout=self.settings.timeout_s,
            max_retries=self.settings.tries - 1,
        )

    def hand_in(self, name: str, requests: IO[bytes]) -> str:
        """Hand a file of requests in.

        Args:
            name: Our name, by which `find` knows the batch again.
            requests: The file.

        Returns:
            The endpoint's name for the batch.

        Raises:
            EndpointError: The endpoint turned it down, or cannot be reached.
        """

        def work() -> str:
            uploaded = self._client.files.create(file=(f"{name}.jsonl", requests), purpose="batch")
            made = self._client.batches.create(
                input_file_id=uploaded.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_MARK: name},
            )
            return made.id

        return self._told(work)

    def find(self, name: str) -> str:
        """Return the endpoint's name for one of our batches; empty when it never came there."""

        def work() -> str:
            for seen, batch in enumerate(self._client.batches.list(limit=100)):
                if (batch.metadata or {}).get(_MARK) == name:
                    return batch.id
                if seen >= _LISTED:
                    break
            return ""

        return self._told(work)

    def state(self, batch_id: str) -> BatchState:
        """Say how a batch stands.

        Raises:
            EndpointError: The endpoint does not know it (code ``status_404``), or cannot be reached.
        """
        batch = self._told(lambda: self._client.batches.retrieve(batch_id))
        counts = batch.request_counts
        files = tuple(name for name in (batch.output_file_id, batch.error_file_id) if name)
        problems = (batch.errors.data if batch.errors else None) or []
        ended = batch.completed_at or batch.expired_at or batch.cancelled_at
        return BatchState(
            status=batch.status,
            done=(counts.completed + counts.failed) if counts else 0,
            total=counts.total if counts else 0,
            seconds=max(0.0, ended - batch.created_at) if ended else 0.0,
            files=files,
            problem=str(problems[0].code or problems[0].message or "") if problems else "",
        )

    def lines(self, files: tuple[str, ...]) -> Iterator[bytes]:
        """Yield the lines of a batch's files."""
        for name in files:
            yield from self._told(partial(self._fetched, name)).splitlines()

    def _fetched(self, name: str) -> bytes:
        return self._client.files.content(name).content

    def _told(self, work: Callable[[], ResultT]) -> ResultT:
        try:
            return work()
        except openai.OpenAIError as error:
            fault = classify(error)
            raise EndpointError(
                fault.what,
                where=self.settings.base_url,
                fix="check --endpoint.base-url and the key, and run again: what was handed in is kept",
                code=fault.code,
            ) from None  # the client's own error may repeat the key
