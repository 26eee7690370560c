"""Requests that wait for a model or the index are computed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Batched"]


Request = TypeVar("Request")
Result = TypeVar("Result")


class Batched(Generic[Request, Result]):
    """A computation of many that is asked for one by one or several at once, and takes all that wait at its turn.

    `ray.serve.batch` closes a batch a few milliseconds after its first request, whether or not the one before is still
    computed. A model that takes longer than that would compute most of a crowd's requests singly.

    Args:
        compute: From requests to as many results, in a thread; one that fails fails all of its batch.
        turn: Held while something is computed: what shares it is computed one after the other.
        most: Requests computed at once.
    """

    def __init__(self, compute: Callable[[list[Request]], Sequence[Result]], turn: asyncio.Lock, *, most: int) -> None:
        self._compute, self._turn, self._most = compute, turn, most
        self._waiting: list[tuple[Request, asyncio.Future[Result]]] = []
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Result:
        """Return the result of one request; who no longer waits for it costs nothing."""
        return await self._placed(request)

    async def each(self, requests: Sequence[Request]) -> list[Result]:
        """Return the results of several requests, which take their places one behind the other.

        What is left of them costs nothing once one failed, or nobody waits for them any more.
        """
        results = [self._placed(request) for request in requests]
        try:
            return await asyncio.gather(*results)
        finally:
            for result in results:
                result.cancel()

    def _placed(self, request: Request) -> asyncio.Future[Result]:
        """Let a request wait for its turn."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, result))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return result

    async def _work(self) -> None:
        while self._waiting:
            async with self._turn:
                wanted = [(request, result) for request, result in self._waiting if not result.done()]
                batch, self._waiting = wanted[: self._most], wanted[self._most :]
                if batch:
                    await self._answer(batch)

    async def _answer(self, batch: list[tuple[Request, asyncio.Future[Result]]]) -> None:
        try:
            found = await asyncio.to_thread(self._compute, [request for request, _ in batch])
            answers = list(zip(batch, found, strict=True))
        except Exception as error:
            for _, result in batch:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), answer in answers:
            if not result.done():
                result.set_result(answer)
