"""How applications are put together: which checkpoint, which deployments, refused before anything starts."""

from __future__ import annotations

from typing import Any

from ray.serve import Application

from knowlip.archive import Version, checkpoint_digest
from serve_apps.answerer import Answerer
from serve_apps.encoder import Encoder
from serve_apps.gateway import Door, Gateway
from serve_apps.index import Index
from serve_apps.keys import read_keys
from serve_apps.services import Services
from serve_apps.settings import RetrievalSettings, ServeSettings, VqaSettings

__all__ = ["answering", "gateway", "searching"]


def searching(settings: RetrievalSettings) -> dict[str, Any]:
    """Return the deployments that search, as arguments of `Services`.

    Raises:
        WorkspaceError: There is no index.
        CheckpointError: There is no checkpoint, or another one made the index.
    """
    workspace = settings.opened()
    version = Version.in_use(workspace)
    folder = f"runs/{settings.run}/checkpoint" if settings.run else version.checkpoint
    digest = checkpoint_digest(workspace, folder)
    Version.in_use(workspace, checkpoint=digest)
    encoder = Encoder.options(**settings.model_options()).bind(
        workspace,
        version.model_copy(update={"checkpoint": folder}),
        follow_s=0.0 if settings.run else settings.follow_s,
        device=settings.device,
        threads=settings.threads,
        batch_size=settings.batch_size,
    )
    index = Index.options(**settings.light_options()).bind(workspace)
    return {"encoder": encoder, "index": index, "checkpoints": {"search": digest}}


def answering(settings: VqaSettings) -> dict[str, Any]:
    """Return the deployments that answer, as arguments of `Services`; the index only where there is one.

    Raises:
        CheckpointError: There is no checkpoint.
    """
    workspace = settings.opened()
    named = (settings.run,) if settings.run else ("vqa", "pretrain")
    folders = [f"runs/{run}/checkpoint" for run in named]
    folder = next((folder for folder in folders if workspace.exists(folder)), folders[-1])
    digest = checkpoint_digest(workspace, folder)
    parts: dict[str, Any] = {
        "answerer": Answerer.options(**settings.model_options()).bind(
            workspace,
            folder,
            device=settings.device,
            threads=settings.threads,
            batch_size=settings.batch_size,
        ),
        "checkpoints": {"vqa": digest, "captions": digest},
    }
    if Version.current(workspace) is not None:
        parts["index"] = Index.options(**settings.light_options()).bind(workspace)
    return parts


def gateway(settings: ServeSettings, parts: dict[str, Any]) -> Application:
    """Return the application: a gateway over some deployments.

    Raises:
        SettingsError: The API keys cannot be read.
    """
    door = Door(
        keys=read_keys(settings.api_keys_file),
        requests_per_minute=settings.requests_per_minute,
        cors_origins=settings.cors_origins,
        allow_public=settings.allow_public,
    )
    return Gateway.options(**settings.gateway_options()).bind(Services(**parts, timeout_s=settings.timeout_s), door)
