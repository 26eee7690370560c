"""Settings of a served application: typed arguments of ``serve run``, or the environment (``KNOWLIP_WORKSPACE``)."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from ray.serve.config import BackpressureConfig

from knowlip.workspace import Workspace

__all__ = ["RetrievalSettings", "RunName", "SearchSettings", "ServeSettings", "VqaSettings"]

RunName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+$")]
"""A training run's name: its folder below ``runs/``."""


class ServeSettings(BaseSettings):
    """What every application takes."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="KNOWLIP_", env_ignore_empty=True, use_attribute_docstrings=True
    )

    workspace: str = "workspace"
    """Root of all artefacts: a folder, or a URI such as s3://bucket/prefix."""
    replicas: int = Field(1, ge=1)
    """Copies of each model, of the index and of the gateway; the fewest, where ``max_replicas`` allows more."""
    max_replicas: int | None = Field(None, ge=1)
    """Most copies of each model: they come and go with the requests that wait."""
    cpus: float = Field(0.5, gt=0)
    """CPU slots of each copy of a model."""
    gpus: float = Field(0, ge=0)
    """GPUs of each copy of a model."""
    threads: int = Field(0, ge=0)
    """Threads that each copy of a model computes with where it has no GPU; 0 takes all cores of its machine."""
    batch_size: int = Field(32, ge=1)
    """Most requests that go through a model at once."""
    queue: int = Field(256, ge=1)
    """Requests that may wait for a model; more are answered 503."""
    timeout_s: float = Field(30, gt=0)
    """How long a request may take, seconds; then it is answered 504."""
    api_keys_file: str | None = None
    """File of SHA-256 hashes of API keys in hex, one a line; keys themselves come from KNOWLIP_API_KEYS alone."""
    requests_per_minute: int = Field(600, ge=1)
    """Requests that one key may make, in each copy of the gateway; more are answered 429."""
    cors_origins: tuple[str, ...] = ()
    """Web origins whose pages may call the service; none by default."""
    allow_public: bool = False
    """Serve beyond this machine without API keys, to anyone who reaches the port."""

    def opened(self) -> Workspace:
        """Return the workspace, at a place that means the same in every process of this machine."""
        workspace = Workspace(self.workspace)
        return Workspace(str(workspace.local())) if workspace.is_local else workspace

    @property
    def device(self) -> str:
        """Where the models go."""
        return "cuda" if self.gpus else "cpu"

    @model_validator(mode="after")
    def _growing(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError("max_replicas is smaller than replicas")
        return self

    def model_options(self) -> dict[str, Any]:
        """Return the Ray Serve options of a deployment that holds a model."""
        return {
            **self._copies(),
            # What waits does so where batches are made: a router that finds a copy full asks again ever more seldom.
            "max_ongoing_requests": self.queue,
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

    def gateway_options(self) -> dict[str, Any]:
        """Return the Ray Serve options of the gateway: beyond its queue, 503 and when to come again."""
        backpressure = BackpressureConfig(status_code=503, retry_after_s=1)
        return {**self.light_options(), "backpressure_config": backpressure}

    def _copies(self) -> dict[str, Any]:
        if self.max_replicas in (None, self.replicas):
            return {"num_replicas": self.replicas}
        return {
            "autoscaling_config": {
                "min_replicas": self.replicas,
                "max_replicas": self.max_replicas,
                "target_ongoing_requests": self.batch_size,
                "upscale_delay_s": 5,
                "downscale_delay_s": 120,
            }
        }


class SearchSettings(ServeSettings):
    """What every application takes that searches."""

    follow_s: float = Field(30, ge=0)
    """How often to look for an index by a newer checkpoint and go over to it, seconds; 0 never does."""


class RetrievalSettings(SearchSettings):
    """Search over an archive."""

    run: RunName | None = None
    """Training run whose checkpoint embeds the queries; by default the one that the index was made with."""


class VqaSettings(ServeSettings):
    """Questions and captions."""

    run: RunName | None = None
    """Training run whose checkpoint answers; by default ``vqa`` where it was trained, else ``pretrain``."""
