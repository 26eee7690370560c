"""What a tuned model gave for held-out examples, as Figs. 12 and 14 to 16 show it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from knowlip.benchmark.held_out import read_figures, read_records
from knowlip.benchmark.metrics import Record
from knowlip.manifest import Manifest
from knowlip.reporting.drawing import SERIES
from knowlip.reporting.elements import Card, Cards, Element, Figure, Table
from knowlip.reporting.overlays import detections_drawn, heat_map
from knowlip.reporting.pictures import data_uri, thumbnail
from knowlip.reporting.plane import tsne
from knowlip.reporting.scatter import scatter
from knowlip.workspace import Workspace

__all__ = ["Look", "held_out_elements"]

_EXAMPLES = 6
_VIEW_PX = 256
_LEAST_POINTS = 10
_MOST_POINTS = 400


class Look(Protocol):
    """Looks into the model that a run kept; the network is not this package's."""

    def attention(self, views: Sequence[bytes], texts: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Return how much each patch of an image is looked at while its text is read."""
        ...

    def features(self, views: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """Return features (N, D) of images."""
        ...


def held_out_elements(workspace: Workspace, artefact: str, look: Look | None) -> list[Element]:
    """Return a run's held-out figures with their intervals, and examples of what it gave.

    Args:
        workspace: Where it lies.
        artefact: Folder of the run.
        look: Into its model; without, what needs it is left out.
    """
    elements: list[Element] = []
    figures = read_figures(workspace, artefact)
    if figures:
        rows = [(name, one.value, one.low, one.high) for name, one in figures.items()]
        caption = "Of the checkpoint that was kept; 95 % bootstrap intervals over groups of near-identical examples"
        elements.append(Table(("held-out figure", "value", "from", "to"), rows, caption, folded=len(rows) > _EXAMPLES))
    manifest, records = Manifest.read(workspace, artefact), read_records(workspace, artefact)
    if manifest is None or not records:
        return elements
    task = manifest.settings["task"]
    if manifest.settings["tuning"].get("backbone"):
        look = None  # another network took the model's place
    examples = _Examples(workspace, artefact, manifest.settings["data"] or task, look)
    known = examples.names()  # a data set may have been made anew, or deleted
    records = [record for record in records if record["example_id"] in known]
    return elements + (_SHOWN[task](examples, records) if records else [])


class _Examples:
    """The pictures of a run's data set, and a look into its model."""

    def __init__(self, workspace: Workspace, artefact: str, data: str, look: Look | None) -> None:
        self.workspace, self.artefact, self.data, self.look = workspace, artefact, data, look

    def names(self) -> set[str]:
        """Return the names of all examples that are there."""
        folder = f"datasets/{self.data}"
        if not self.workspace.files(folder):
            return set()
        return set(self.workspace.read_table(folder, columns=["example_id"])["example_id"].to_pylist())

    def classes(self) -> list[str]:
        """Return the names of a segmenter's classes, in the order of its outputs."""
        head = json.loads(self.workspace.read_bytes(self.artefact, "checkpoint", "head.json"))
        return list(head["settings"]["classes"].values())

    def views(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the views of some examples by name."""
        wanted = pc.field("example_id").isin(sorted(set(names)))
        columns = ["example_id", "view"]
        table = self.workspace.read_table(f"datasets/{self.data}", columns=columns, where=wanted)
        return {row["example_id"]: row["view"] for row in table.to_pylist()}


def _detections(examples: _Examples, records: Sequence[Record]) -> list[Element]:
    chosen = sorted(records, key=lambda record: (-len(record["truths"]), record["example_id"]))[:_EXAMPLES]
    views, cards = examples.views(record["example_id"] for record in chosen), []
    for record in chosen:
        picture, counts = detections_drawn(views[record["example_id"]], record["given"], record["truths"])
        facts = [f"{count} {kind}" for kind, count in counts.items()]
        cards.append(Card(record["example_id"], data_uri(picture), facts))
    return [Cards(cards, "Detections (as Fig. 12): right ones green, false ones red, missed targets yellow")]


def _retrieved(examples: _Examples, records: Sequence[Record]) -> list[Element]:
    known = examples.names()
    asked = [record for record in records if record["direction"] == "t2i" and record["first"] in known]
    chosen = _both_ways(asked, right=lambda record: record["rank"] == 0)
    views = examples.views(record["first"] for record in chosen)
    cards = [
        Card(
            title=record["text"],
            picture=data_uri(thumbnail(views[record["first"]], _VIEW_PX)),
            facts=["right" if record["rank"] == 0 else f"a right one stands at place {record['rank'] + 1}"],
        )
        for record in chosen
    ]
    return [Cards(cards, "The first image for a text (as Fig. 14)")] if cards else []


def _captioned(examples: _Examples, records: Sequence[Record]) -> list[Element]:
    chosen = records[:_EXAMPLES]
    views = examples.views(record["example_id"] for record in chosen)
    cards = [
        Card(
            title=record["example_id"],
            picture=data_uri(thumbnail(views[record["example_id"]], _VIEW_PX)),
            texts={"written": record["given"], "a right one": record["references"][0]},
        )
        for record in chosen
    ]
    return [Cards(cards, "Captions")]


def _answered(examples: _Examples, records: Sequence[Record]) -> list[Element]:
    chosen = _both_ways(records, right=lambda record: record["right"], kind=lambda record: record["kind"])
    found = examples.views(record["example_id"] for record in chosen)
    views = [found[record["example_id"]] for record in chosen]
    elements: list[Element] = [Cards(_answers(chosen, views), "Questions (as Fig. 15)")]
    if examples.look is not None:
        texts = [f"{record['question']} {record['given']}" for record in chosen]
        seen = [heat_map(view, grid) for view, grid in zip(views, examples.look.attention(views, texts), strict=True)]
        heading = "Where the model looks while it reads question and answer (as Fig. 16)"
        elements.append(Cards(_answers(chosen, seen), heading, small=True))
    return elements


def _answers(chosen: Sequence[Record], pictures: Sequence[bytes]) -> list[Card]:
    return [
        Card(
            title=record["question"],
            picture=data_uri(thumbnail(picture, _VIEW_PX)),
            texts={"answer": record["given"], "right answer": record["answer"]},
        )
        for record, picture in zip(chosen, pictures, strict=True)
    ]


def _classified(examples: _Examples, records: Sequence[Record]) -> list[Element]:
    chosen = _both_ways(records, right=lambda record: record["ranked"][0] == record["label"])
    views = examples.views(record["example_id"] for record in chosen)
    cards = [
        Card(
            title=record["label"],
            picture=data_uri(thumbnail(views[record["example_id"]], _VIEW_PX)),
            facts=["right" if record["ranked"][0] == record["label"] else "wrong"],
            texts={"ranked": ", ".join(record["ranked"])},
        )
        for record in chosen
    ]
    return [Cards(cards, "Classes", small=True), *_plane(examples, records)]


def _plane(examples: _Examples, records: Sequence[Record]) -> list[Element]:
    """Draw the features of held-out images, those of the most frequent classes each in a colour."""
    if examples.look is None or len(records) < _LEAST_POINTS:
        return []
    step = -(-len(records) // _MOST_POINTS)
    some = records[::step]
    views = examples.views(record["example_id"] for record in some)
    places = tsne(examples.look.features([views[record["example_id"]] for record in some]))
    common = [label for label, _ in Counter(record["label"] for record in some).most_common()]
    named = common if len(common) <= len(SERIES) else common[: len(SERIES) - 1]
    labels = np.array([record["label"] if record["label"] in named else "others" for record in some])
    series = {label: places[labels == label] for label in (*sorted(named), "others") if (labels == label).any()}
    caption = "Features of the class token in the plane, by t-SNE"
    return [Figure(scatter(series, f"plane-{examples.artefact.replace('/', '-')}"), caption)]


def _segmented(examples: _Examples, records: Sequence[Record]) -> list[Element]:
    confusion = np.sum([record["confusion"] for record in records], axis=0, dtype=np.int64)
    right, given, both = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    rows = [
        (name, 100.0 * right[place] / max(confusion.sum(), 1), 100.0 * both[place] / union if union else None)
        for place, name in enumerate(examples.classes())
        for union in (int(right[place] + given[place] - both[place]),)
    ]
    return [Table(("class", "of all pixels, %", "intersection over union, %"), rows, "By class")]


def _both_ways(
    records: Sequence[Record], *, right: Callable[[Record], bool], kind: Callable[[Record], str] = lambda _: ""
) -> list[Record]:
    """Choose right and wrong ones in turn, of different kinds first; no choice flatters a model."""
    seen: Counter[tuple[bool, str]] = Counter()
    ranked = []
    for place, record in enumerate(sorted(records, key=lambda record: str(record["example_id"]))):
        way = (right(record), kind(record))
        ranked.append((seen[way], way[1], way[0], place, record))
        seen[way] += 1
    return [record for *_, record in sorted(ranked, key=lambda one: one[:4])[:_EXAMPLES]]


_SHOWN: Mapping[str, Callable[[_Examples, Sequence[Any]], list[Element]]] = {
    "classification": _classified,
    "detection": _detections,
    "segmentation": _segmented,
    "retrieval": _retrieved,
    "captioning": _captioned,
    "vqa": _answered,
}
