"""How an artefact was made: settings, code version, inputs' digests, library versions, counts."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knowlip import __version__
from knowlip.cards import card
from knowlip.errors import DataError
from knowlip.workspace import Workspace

__all__ = ["CARD", "NAME", "Manifest", "digest", "inputs_digest"]

_LIBRARIES = ("ray", "torch", "deepspeed", "transformers", "timm", "rasterio", "pyproj", "pyarrow", "lancedb")
NAME = "manifest.json"
CARD = "README.md"


class Manifest(BaseModel):
    """What stands beside an artefact; written last, so that it also says "whole".

    Attributes:
        artefact: Folder below the workspace.
        job: Module that made it.
        settings: The settings that shape the result (never a secret: those are not settings).
        inputs: Artefact or file name to digest.
        counts: What was made, as the closing table shows it.
        seconds: Wall time of the run that finished it.
        code: Package version and git commit.
        libraries: Installed versions of what shapes results.
        python: Interpreter version.
        made_at: UTC time of writing.
    """

    model_config = ConfigDict(frozen=True)

    artefact: str
    job: str
    settings: dict[str, Any]
    inputs: dict[str, str] = Field(default_factory=dict)
    counts: dict[str, Any] = Field(default_factory=dict)
    seconds: float = 0.0
    code: dict[str, str] = Field(default_factory=lambda: {"knowlip": __version__, "commit": _commit()})
    libraries: dict[str, str] = Field(default_factory=lambda: _versions(_LIBRARIES))
    python: str = Field(default_factory=platform.python_version)
    made_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def recipe(self) -> str:
        """Digest of settings and inputs: two runs with one recipe make one result."""
        return digest({"settings": self.settings, "inputs": self.inputs})

    def write(self, workspace: Workspace) -> None:
        """Publish beside the artefact, after its card (``README.md``), which is left alone where it says the same."""
        told = card(self).encode()
        if told and not (workspace.exists(self.artefact, CARD) and workspace.read_bytes(self.artefact, CARD) == told):
            workspace.write_bytes(told, self.artefact, CARD)
        workspace.write_bytes(self.model_dump_json(indent=2).encode(), self.artefact, NAME)

    @classmethod
    def read(cls, workspace: Workspace, artefact: str) -> Manifest | None:
        """Return the manifest of an artefact, or nothing when it was never finished.

        Raises:
            DataError: The file is damaged.
        """
        if not workspace.exists(artefact, NAME):
            return None
        try:
            return cls.model_validate_json(workspace.read_bytes(artefact, NAME))
        except ValidationError as error:
            raise DataError(
                f"is no manifest ({error.errors()[0]['msg']})",
                where=workspace.uri(artefact, NAME),
                fix="remove it and run the job again",
            ) from error


def digest(value: Any) -> str:
    """Return 16 hex digits of the SHA-256 of a JSON-like value or of bytes; the same on every machine."""
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def inputs_digest(workspace: Workspace, *artefacts: str) -> dict[str, str]:
    """Digest the published files of artefacts by name and size: changes when a unit is added, redone or removed."""
    return {artefact: digest(_listing(workspace, artefact)) for artefact in artefacts}


def _listing(workspace: Workspace, artefact: str) -> list[tuple[str, int]]:
    names = workspace.files(artefact)
    infos = workspace.filesystem.get_file_info([workspace.path(artefact, name) for name in names])
    return [(name, info.size) for name, info in zip(names, infos, strict=True)]


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        # One by one: a look at all that is installed takes a third of a second.
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
