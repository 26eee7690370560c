"""A SAR archive that answers, all at one address: ``serve run serve_apps.archive:app workspace=W``."""

from ray.serve import Application

from serve_apps.parts import answering, gateway, searching
from serve_apps.settings import RetrievalSettings, RunName, SearchSettings, VqaSettings

__all__ = ["ArchiveSettings", "app"]


class ArchiveSettings(SearchSettings):
    """Search, captions and questions."""

    search_run: RunName | None = None
    """Training run whose checkpoint embeds the queries; by default the one that the index was made with."""
    vqa_run: RunName | None = None
    """Training run whose checkpoint answers; by default ``vqa`` where it was trained, else ``pretrain``."""


def app(args: ArchiveSettings) -> Application:
    """Return the application with every route."""
    shared = args.model_dump(exclude={"search_run", "vqa_run", "follow_s"})
    searches = searching(RetrievalSettings(**shared, follow_s=args.follow_s, run=args.search_run))
    answers = answering(VqaSettings(**shared, run=args.vqa_run))
    return gateway(args, {**answers, **searches, "checkpoints": answers["checkpoints"] | searches["checkpoints"]})
