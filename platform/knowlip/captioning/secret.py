"""A key that is read from the environment and shown nowhere."""

from __future__ import annotations

import os

from knowlip.errors import SettingsError

__all__ = ["Key"]

_SHORTEST = 6


class Key:
    """An endpoint's key. It prints as stars, and takes itself out of any text that repeats it.

    Args:
        value: The key; empty for an endpoint that needs none.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def from_environment(cls, variable: str, *, needed: bool) -> Key:
        """Read the key.

        Raises:
            SettingsError: It is needed and not there.
        """
        value = os.environ.get(variable, "").strip()
        if needed and not value:
            raise SettingsError(
                f"{variable} is not set", where="endpoint", fix=f"put the key into the environment: export {variable}=…"
            )
        return cls(value)

    def reveal(self) -> str:
        """Return the key itself, for the one who signs a call."""
        return self._value

    def redact(self, text: str) -> str:
        """Take the key out of a text."""
        return text.replace(self._value, "***") if len(self._value) >= _SHORTEST else text

    def __repr__(self) -> str:
        """Show that there is a key, and not which."""
        return "Key(***)" if self._value else "Key()"
