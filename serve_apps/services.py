"""The deployments behind a gateway, and how they are asked: with a time limit, and with errors that mean something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from knowlip.errors import KnowlipError
from serve_apps.problems import Problem

__all__ = ["Services"]

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """Handles of the deployments that an application has; those that it lacks are missing from its routes.

    Attributes:
        encoder: Texts and images to embeddings.
        index: The archive.
        answerer: Questions and captions.
        checkpoints: Verb to digest of the checkpoint that computes it.
        timeout_s: How long one may take to answer, seconds.
    """

    encoder: DeploymentHandle[Any] | None = None
    index: DeploymentHandle[Any] | None = None
    answerer: DeploymentHandle[Any] | None = None
    checkpoints: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0

    @property
    def all(self) -> list[DeploymentHandle[Any]]:
        """The handles that are there."""
        return [handle for handle in (self.encoder, self.index, self.answerer) if handle is not None]

    async def reply(self, response: Awaitable[T]) -> T:
        """Wait for a deployment's answer.

        Raises:
            Problem: 503 when too many wait, 504 when it takes too long, and what the deployment refused.
        """
        try:
            return await asyncio.wait_for(_awaited(response), self.timeout_s)
        except BackPressureError as error:
            raise Problem(503, "too many requests wait already; try again", {"Retry-After": "1"}) from error
        except TimeoutError as error:
            raise Problem(504, f"no answer within {self.timeout_s:g} s") from error
        except RayTaskError as error:
            if isinstance(error.cause, KnowlipError):
                raise _refusal(error.cause) from error
            raise

    async def ready(self) -> bool:
        """Whether every deployment answers."""
        await asyncio.gather(*(self.reply(handle.ready.remote()) for handle in self.all))
        return True


async def _awaited(response: Awaitable[T]) -> T:
    return await response


def _refusal(error: KnowlipError) -> Problem:
    if error.code == "stale_index":
        return Problem(404, "the archive no longer holds this tile's image")
    return Problem(422, f"{error.what}; {error.fix}" if error.fix else error.what)
