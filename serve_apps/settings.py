"""Settings of a served application: typed arguments of ``serve run``, or the environment (``KNOWLIP_WORKSPACE``)."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from knowlip.workspace import Workspace

__all__ = ["RetrievalSettings", "ServeSettings", "VqaSettings"]

_NAME = r"^[\w.-]+$"


class ServeSettings(BaseSettings):
    """What every application takes."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="KNOWLIP_", env_ignore_empty=True, use_attribute_docstrings=True
    )

    workspace: str = "workspace"
    """Root of all artefacts: a folder, or a URI such as s3://bucket/prefix."""
    replicas: int = Field(1, ge=1)
    """Copies of each model, and of the gateway."""
    cpus: float = Field(0.5, gt=0)
    """CPU slots of each copy of a model."""
    gpus: float = Field(0, ge=0)
    """GPUs of each copy of a model."""
    batch_size: int = Field(32, ge=1)
    """Most requests that go through a model at once."""
    batch_wait_s: float = Field(0.003, ge=0)
    """How long a batch waits to fill, seconds."""
    queue: int = Field(256, ge=1)
    """Requests that may wait for a model; more are answered 503."""
    timeout_s: float = Field(30, gt=0)
    """How long a request may take, seconds; then it is answered 504."""

    def opened(self) -> Workspace:
        """Return the workspace, at a place that means the same in every process of this machine."""
        workspace = Workspace(self.workspace)
        return Workspace(str(workspace.local())) if workspace.is_local else workspace

    @property
    def device(self) -> str:
        """Where the models go."""
        return "cuda" if self.gpus else "cpu"

    def model_options(self) -> dict[str, Any]:
        """Return the Ray Serve options of a deployment that holds a model."""
        return {
            "num_replicas": self.replicas,
            # Twice a batch, so that one fills while another is computed.
            "max_ongoing_requests": 2 * self.batch_size,
            "max_queued_requests": self.queue,
            "ray_actor_options": {"num_cpus": self.cpus, "num_gpus": self.gpus},
        }

    def light_options(self) -> dict[str, Any]:
        """Return the Ray Serve options of a deployment that computes little."""
        return {
            "num_replicas": self.replicas,
            "max_ongoing_requests": self.queue,
            "max_queued_requests": self.queue,
            "ray_actor_options": {"num_cpus": 0.1},
        }


class RetrievalSettings(ServeSettings):
    """Search over an archive."""

    run: str | None = Field(None, pattern=_NAME)
    """Training run whose checkpoint embeds the queries; by default the one that the index was made with."""


class VqaSettings(ServeSettings):
    """Questions and captions."""

    run: str | None = Field(None, pattern=_NAME)
    """Training run whose checkpoint answers; by default ``vqa`` where it was trained, else ``pretrain``."""
