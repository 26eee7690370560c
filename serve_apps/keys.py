"""API keys: who may call, and how often. Only hashes of keys are kept, and only they reach the cluster."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from knowlip.archive.keys import ENVIRONMENT, environment_keys
from knowlip.errors import SettingsError

__all__ = ["Keys", "Rate", "read_keys"]

_HASH = re.compile(r"[0-9a-f]{64}")
_SHORTEST = 16


@dataclass(frozen=True)
class Keys:
    """Hashes of the keys that open a service; with none, it is open.

    Attributes:
        hashes: SHA-256 of each key, hex.
    """

    hashes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether a key is asked for."""
        return bool(self.hashes)

    def holder(self, key: str | None) -> str | None:
        """Return the hash of a key that opens the service, or nothing; in the same time for every wrong key."""
        given = hashlib.sha256((key or "").encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for known in self.hashes:
            if hmac.compare_digest(known, given):
                found = known
        return found


def read_keys(file: str | None) -> Keys:
    """Return the keys of the environment (``KNOWLIP_API_KEYS``, separated by commas) and of a file of hashes.

    Raises:
        SettingsError: A key is too short, or the file does not hold hashes.
    """
    given = environment_keys()
    if any(len(key) < _SHORTEST for key in given):
        raise SettingsError(f"holds a key of less than {_SHORTEST} characters", where=ENVIRONMENT, fix="make it longer")
    return Keys(tuple(dict.fromkeys([hashlib.sha256(key.encode()).hexdigest() for key in given] + _hashes(file))))


def _hashes(file: str | None) -> list[str]:
    if not file:
        return []
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("cannot be read", where=file, fix="name a file of SHA-256 hashes") from error
    words = [line.split("#")[0].strip().lower() for line in lines]
    wrong = [number for number, word in enumerate(words, start=1) if word and not _HASH.fullmatch(word)]
    if wrong or not any(words):
        what = f"line {wrong[0]} is no SHA-256 hash" if wrong else "holds no hash"
        raise SettingsError(what, where=file, fix="put the hash of one key on each line: 64 hex digits")
    return [word for word in words if word]


@dataclass
class Rate:
    """How often each holder may call: a bucket that refills steadily.

    Attributes:
        per_minute: Calls a minute, and the most at once.
    """

    per_minute: int
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait_s(self, holder: str, now_s: float | None = None) -> float:
        """Take one call, or return the seconds until there is one to take.

        Args:
            holder: Who calls.
            now_s: The time, for tests.
        """
        now_s = time.monotonic() if now_s is None else now_s
        left, then_s = self._buckets.get(holder, (float(self.per_minute), now_s))
        left = min(self.per_minute, left + (now_s - then_s) * self.per_minute / 60)
        if left < 1:
            self._buckets[holder] = (left, now_s)
            return (1 - left) * 60 / self.per_minute
        self._buckets[holder] = (left - 1, now_s)
        return 0.0
