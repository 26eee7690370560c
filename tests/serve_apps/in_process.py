"""Deployments without Ray: what a gateway asks is answered in its own process."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

__all__ = ["Handle"]


class Handle:
    """Stands for the handle of a deployment.

    Args:
        deployed: An instance of the deployment's class.

    Attributes:
        asked: How often each method was.
    """

    def __init__(self, deployed: Any) -> None:
        self._deployed = deployed
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> SimpleNamespace:
        method = getattr(self._deployed, name)

        async def remote(*args: Any) -> Any:
            self.asked[name] += 1
            return await method(*args)

        return SimpleNamespace(remote=remote)
