"""A SAR archive that answers, all at one address: ``serve run serve_apps.archive:app workspace=W``."""

from pydantic import Field
from ray.serve import Application

from serve_apps.parts import answering, gateway, searching
from serve_apps.settings import RetrievalSettings, ServeSettings, VqaSettings

__all__ = ["ArchiveSettings", "app"]


class ArchiveSettings(ServeSettings):
    """Search, captions and questions."""

    search_run: str | None = Field(None, pattern=r"^[\w.-]+$")
    """Training run whose checkpoint embeds the queries; by default the one that the index was made with."""
    vqa_run: str | None = Field(None, pattern=r"^[\w.-]+$")
    """Training run whose checkpoint answers; by default ``vqa`` where it was trained, else ``pretrain``."""


def app(args: ArchiveSettings) -> Application:
    """Return the application with every route."""
    shared = args.model_dump(exclude={"search_run", "vqa_run"})
    searches = searching(RetrievalSettings(**shared, run=args.search_run))
    answers = answering(VqaSettings(**shared, run=args.vqa_run))
    return gateway(args, {**answers, **searches, "checkpoints": answers["checkpoints"] | searches["checkpoints"]})
