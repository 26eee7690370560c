"""The deployments behind a gateway, and how they are asked: with a time limit, and with errors that mean something."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from knowlip.errors import KnowlipError, cause_of
from serve_apps.problems import Problem

__all__ = ["Services"]

_TRIES = 4
_PAUSE_S = 0.2
_SOON = {"Retry-After": "1"}


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

    async def ask(self, method: DeploymentHandle[Any], *args: Any) -> Any:
        """Ask a deployment and wait for its answer.

        A copy that dies takes its requests with it. All that can be asked here is reading, so it is asked again.

        Raises:
            Problem: 503 when too many wait or copies keep dying, 504 when it takes too long, and what was refused.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                for _ in range(_TRIES - 1):
                    try:
                        return await method.remote(*args)
                    except RayActorError:
                        await asyncio.sleep(_PAUSE_S)
                return await method.remote(*args)
        except BackPressureError as error:
            raise Problem(503, "too many requests wait already; try again", _SOON) from error
        except (RayActorError, DeploymentUnavailableError) as error:
            raise Problem(503, "a part of the service is being started again; try again", _SOON) from error
        except TimeoutError as error:
            raise Problem(504, f"no answer within {self.timeout_s:g} s") from error
        except (RayTaskError, KnowlipError) as error:
            # Over gRPC (RAY_SERVE_THROUGHPUT_OPTIMIZED) an error comes as it was raised, without Ray's wrapping.
            refused = cause_of(error, KnowlipError)
            if refused is None:
                raise
            raise _refusal(refused) from error

    async def ready(self) -> bool:
        """Whether every deployment answers."""
        await asyncio.gather(*(self.ask(handle.ready) for handle in self.all))
        return True


def _refusal(error: KnowlipError) -> Problem:
    if error.code == "unreachable":
        return Problem(503, "the archive cannot be read now; try again", _SOON)
    if error.code == "stale_index":
        return Problem(404, "the archive no longer holds this tile's image")
    return Problem(422, f"{error.what}; {error.fix}" if error.fix else error.what)
