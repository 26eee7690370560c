"""What an endpoint can do, found out by what it turns down: structured outputs, else JSON mode, else plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from knowlip.captioning.faults import Fault
from knowlip.captioning.hcot import OUTPUT_SCHEMA

if TYPE_CHECKING:
    from knowlip.captioning.endpoint import EndpointSettings

__all__ = ["Dialect"]

_WAYS = ("json_schema", "json_object", "text")
_TURNED_DOWN = (400, 404, 415, 422, 501)


@dataclass
class Dialect:
    """How an endpoint is asked.

    Args:
        settings: The endpoint.
    """

    settings: EndpointSettings
    _way: int = field(init=False)
    _dropped: set[str] = field(default_factory=set)
    _limit_field: str = "max_tokens"

    def __post_init__(self) -> None:
        self._way = 0 if self.settings.output == "auto" else _WAYS.index(self.settings.output)

    @property
    def way(self) -> str:
        """How it is asked for the eight texts."""
        return _WAYS[self._way]

    @property
    def state(self) -> tuple[object, ...]:
        """What is known by now; changes with every `lowered`."""
        return self._way, tuple(sorted(self._dropped)), self._limit_field

    def body(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the request as it goes over the wire."""
        settings = self.settings
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": list(messages),
            "temperature": settings.temperature,
            self._limit_field: settings.max_tokens,
        }
        if settings.seed is not None:
            body["seed"] = settings.seed
        if self.way == "json_schema":
            schema = {"name": "caption", "strict": True, "schema": OUTPUT_SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.way == "json_object":
            body["response_format"] = {"type": "json_object"}
        return {name: value for name, value in body.items() if name not in self._dropped}

    def lowered(self, fault: Fault) -> bool:
        """Ask for less when a call is turned down: without a parameter that is named, else in a plainer format.

        Returns:
            Whether another way is left to try.
        """
        if fault.status not in _TURNED_DOWN:
            return False
        if fault.parameter == "max_tokens" and self._limit_field == "max_tokens":
            self._limit_field = "max_completion_tokens"
            return True
        if fault.parameter in ("temperature", "seed") and fault.parameter not in self._dropped:
            self._dropped.add(fault.parameter)
            return True
        if self.settings.output == "auto" and self._way + 1 < len(_WAYS) and fault.status != 404:
            self._way += 1
            return True
        return False
