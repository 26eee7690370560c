"""The folder of a run: what it was begun with, which phases are done, and what it leaves."""

from __future__ import annotations

import json
import posixpath
import uuid
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs
from ray.train import Checkpoint

from knowlip.errors import WorkspaceError
from knowlip.manifest import Manifest
from knowlip.workspace import Workspace

__all__ = ["RunFolder"]

_BEGUN = "begun.json"
_PHASES = "_phases"
_OPENS = "config.json"


@dataclass(frozen=True)
class RunFolder:
    """``runs/NAME`` of a workspace.

    Attributes:
        workspace: Where it lies.
        name: Name of the run.
    """

    workspace: Workspace
    name: str

    @property
    def artefact(self) -> str:
        """Folder below the workspace."""
        return f"runs/{self.name}"

    def begin(self, manifest: Manifest, *, overwrite: bool) -> Manifest | None:
        """Begin a run or go on with it.

        Args:
            manifest: Settings and inputs; what the run will be.
            overwrite: Delete a run of other settings or inputs, instead of refusing.

        Returns:
            The manifest of the run where it is finished already.

        Raises:
            WorkspaceError: The folder holds a run of other settings or inputs.
        """
        recipe = {"recipe": manifest.recipe}
        if self.workspace.exists(self.artefact, _BEGUN):
            begun = json.loads(self.workspace.read_bytes(self.artefact, _BEGUN))
            if begun == recipe:
                return Manifest.read(self.workspace, self.artefact)
            if not overwrite:
                raise WorkspaceError(
                    "was begun with other settings or inputs",
                    where=self.workspace.uri(self.artefact),
                    fix="give another --run, or --overwrite to replace it",
                )
            self.workspace.delete(self.artefact)
        self.workspace.write_bytes(json.dumps(recipe).encode(), self.artefact, _BEGUN)
        return None

    def finished(self, phase: str) -> Checkpoint | None:
        """Return the result of a phase, where it is done."""
        name = f"{phase}.json"
        if not self.workspace.exists(self.artefact, _PHASES, name):
            return None
        place = json.loads(self.workspace.read_bytes(self.artefact, _PHASES, name))["checkpoint"]
        return Checkpoint(self.workspace.path(self.artefact, place), self.workspace.filesystem)

    def finish(self, phase: str, checkpoint: Checkpoint) -> None:
        """Note that a phase is done."""
        place = posixpath.relpath(checkpoint.path, self.workspace.path(self.artefact))
        self.workspace.write_bytes(json.dumps({"checkpoint": place}).encode(), self.artefact, _PHASES, f"{phase}.json")

    def publish(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint's model to ``checkpoint/``, which `models.load` opens; it appears whole."""
        self._place(checkpoint.filesystem, posixpath.join(checkpoint.path, "model"))

    def adopt(self, part: str) -> None:
        """Copy the checkpoint of a run that lies within this one (a sweep's trial) to ``checkpoint/``."""
        self._place(self.workspace.filesystem, self.workspace.path(self.artefact, part, "checkpoint"))

    def tidy(self, keep: str) -> None:
        """Delete the training state of all phases but one."""
        selector = pafs.FileSelector(self.workspace.path(self.artefact, "_train"), allow_not_found=True)
        for info in self.workspace.filesystem.get_file_info(selector):
            if info.base_name != keep:
                self.workspace.delete(self.artefact, "_train", info.base_name)

    def complete(self, manifest: Manifest, counts: dict[str, Any], seconds: float) -> Manifest:
        """Write the manifest, last of all."""
        whole = manifest.model_copy(update={"counts": counts, "seconds": seconds})
        whole.write(self.workspace)
        return whole

    def _place(self, filesystem: pafs.FileSystem, source: str) -> None:
        """Copy a model's folder to ``checkpoint/``."""
        target = self.workspace.path(self.artefact, "checkpoint")
        if not self.workspace.is_local:
            # Nothing is renamed there, so the file without which no checkpoint opens goes first and comes last.
            self.workspace.delete(self.artefact, "checkpoint", _OPENS)
            found = filesystem.get_file_info(pafs.FileSelector(source, recursive=True))
            names = [posixpath.relpath(info.path, source) for info in found if info.type == pafs.FileType.File]
            for name in sorted(names, key=lambda name: name == _OPENS):
                # Not by pyarrow's copy_files, which says nothing of an upload that fails.
                with filesystem.open_input_stream(posixpath.join(source, name)) as stream:
                    self.workspace.write_bytes(stream.read(), self.artefact, "checkpoint", name)
            return
        draft = f"{target}.{uuid.uuid4().hex[:8]}.partial"
        self.workspace.filesystem.create_dir(draft, recursive=True)
        pafs.copy_files(source, draft, source_filesystem=filesystem, destination_filesystem=self.workspace.filesystem)
        self.workspace.delete(self.artefact, "checkpoint")
        self.workspace.filesystem.move(draft, target)
