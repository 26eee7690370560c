"""Cards that jobs leave in their artefacts: what it is, how it was made, what it holds, how to read it, its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import yaml

from knowlip import records

if TYPE_CHECKING:
    from knowlip.manifest import Manifest

__all__ = ["card"]

_TABLES: dict[str, tuple[str, pa.Schema, str, str]] = {
    "tiles": (
        "SAR tiles",
        records.TILES,
        "Tiles of SAR scenes, cut to equal ground at up to three scales, 8 bit, with footprint, places and texture.",
        "Images carry the rights of the scenes they were cut from; `tiles/_scenes/` lists those. Places are nearest "
        "names of a gazetteer, not boundaries. Tiles that were set aside lie in `tiles/_rejected/`, with reasons.",
    ),
    "captions": (
        "Captions of SAR tiles",
        records.CAPTIONS,
        "Eight sub-texts a tile, in a fixed order, from large tiles to small.",
        "No person wrote or checked these texts. Measured ones say what thresholds found, a language model's may be "
        "wrong in ways that sound right. Do not use them as ground truth, or where a wrong count or place does harm.",
    ),
    "corpus": (
        "Image-text pairs of SAR tiles",
        records.CORPUS,
        "Views of tiles with their sub-texts, shuffled into shards, split so that no ground is shared.",
        "The pairs are as good as their captions. Held-out figures say how a model does on other ground of the same "
        "scenes, not on other sensors.",
    ),
    "datasets": (
        "Labelled examples of SAR tiles",
        records.EXAMPLES,
        "Examples of a downstream task: from a published set, from a scene's truth, or from measurements.",
        "Answers that were measured hold what thresholds found. Near copies share a `group`; a split must not part it.",
    ),
}


_READ = "from knowlip.workspace import Workspace\n"


def card(manifest: Manifest) -> str:
    """Return the card of an artefact as Markdown with a YAML head, as model and dataset hubs read it.

    It follows from the manifest's settings, inputs, counts and code: the same code says the same of the same artefact.

    Returns:
        The card; empty for artefacts that are neither a table nor a model.
    """
    kind = manifest.artefact.partition("/")[0]
    if kind in _TABLES:
        return _dataset_card(manifest, *_TABLES[kind])
    return _model_card(manifest) if kind == "runs" else ""


def _dataset_card(manifest: Manifest, title: str, schema: pa.Schema, about: str, limits: str) -> str:
    return _joined(
        ["---", "license: other", "tags: [SAR, radar, remote-sensing]", "---"],
        [f"# {title}", about],
        ["## Reading it", "```python", _READ, f'table = Workspace("…").read_table("{manifest.artefact}")', "```"],
        ["## What it holds", *_table(manifest.counts)],
        ["## Columns", "| column | what |", "|---|---|", *_columns(schema)],
        _made(manifest),
        ["## Limits", limits],
    )


def _model_card(manifest: Manifest) -> str:
    name = manifest.artefact.partition("/")[2]
    task = manifest.settings.get("task", "pretraining")
    use = "import models\n\nmodel = models.load('checkpoint')"
    return _joined(
        ["---", "license: other", "library_name: knowlip", "tags: [SAR, radar, vision-language]", "---"],
        [f"# KnowLIP: {name}", f"A vision-language model of SAR images after {task}, by the method of SAR-KnowLIP."],
        [
            "## Using it",
            "```python",
            use,
            "```",
            "`checkpoint/` holds safetensors and JSON; nothing in it runs code.",
        ],
        ["## Figures", "Of the held-out split, where they are scores.", "", *_table(manifest.counts)],
        _made(manifest),
        [
            "## Limits",
            "It knows the ground, sensors and resolutions it was trained on. Its texts were written by machines and "
            "screened by itself. It is a research model: let nobody be targeted, judged or endangered on its word.",
        ],
    )


def _made(manifest: Manifest) -> list[str]:
    code = " ".join(f"{name} {version}" for name, version in manifest.code.items())
    libraries = ", ".join(f"{name} {version}" for name, version in manifest.libraries.items())
    settings = yaml.safe_dump(manifest.settings, sort_keys=False, allow_unicode=True).strip()
    inputs = [f"- `{name}` ({digest})" for name, digest in sorted(manifest.inputs.items())]
    return [
        "## How it was made",
        f"By `python -m {manifest.job}` ({code}; Python {manifest.python}, {libraries}), with these settings:",
        "",
        "```yaml",
        settings,
        "```",
        *(["", "from", "", *inputs] if inputs else []),
    ]


def _table(counts: dict[str, object]) -> list[str]:
    return ["| what | how many |", "|---|---|", *(f"| {name} | {_shown(value)} |" for name, value in counts.items())]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _columns(schema: pa.Schema) -> list[str]:
    return [f"| `{field.name}` | {(field.metadata or {}).get(b'about', b'').decode()} |" for field in schema]


def _joined(*blocks: list[str]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"
