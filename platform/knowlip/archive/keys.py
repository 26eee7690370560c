"""The keys that open a served archive, as the environment holds them."""

from __future__ import annotations

import os

__all__ = ["ENVIRONMENT", "environment_keys"]

ENVIRONMENT = "KNOWLIP_API_KEYS"
"""Keys, separated by commas."""


def environment_keys() -> list[str]:
    """Return the keys of the environment; none opens the archive to everybody."""
    return [key.strip() for key in os.environ.get(ENVIRONMENT, "").split(",") if key.strip()]
