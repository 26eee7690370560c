"""One family of errors: what was wrong, where, and what to do about it, in one line."""

from __future__ import annotations

from typing import TypeVar

__all__ = [
    "CheckpointError",
    "DataError",
    "KnowlipError",
    "SceneError",
    "SettingsError",
    "WorkspaceError",
    "cause_of",
]

Kind = TypeVar("Kind", bound="KnowlipError")


class KnowlipError(Exception):
    """A problem that a person can act on.

    Args:
        what: What was wrong, with the offending value.
        where: The file, field or object it was found in.
        fix: What to do about it.
        code: A short machine-readable reason (``unreadable``, ``no_georeference`` …), by which summaries count.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "", code: str = "error") -> None:
        super().__init__(what, where, fix, code)
        self.what = what
        self.where = where
        self.fix = fix
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from keywords, so that the error survives Ray's pickling."""
        return _rebuild, (type(self), self.what, self.where, self.fix, self.code)

    def __str__(self) -> str:
        """Return ``where: what; fix`` on one line."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{line}; {self.fix}" if self.fix else line
        return " ".join(line.split())


class SettingsError(KnowlipError):
    """A setting is unknown, missing or out of range."""


class SceneError(KnowlipError):
    """A raster cannot be used as a SAR scene."""


class WorkspaceError(KnowlipError):
    """An artefact is missing, busy or made with other settings."""


class DataError(KnowlipError):
    """A table, annotation or caption does not hold what it should."""


class CheckpointError(KnowlipError):
    """A checkpoint folder does not fit the model that should take it."""


def cause_of(error: BaseException | None, kind: type[Kind]) -> Kind | None:
    """Find an error of ours among the causes of one, Ray's wrapping included; nothing where there is none."""
    while error is not None:
        if isinstance(error, kind):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return None


def _rebuild(kind: type[KnowlipError], what: str, where: str, fix: str, code: str) -> KnowlipError:
    return kind(what, where=where, fix=fix, code=code)
