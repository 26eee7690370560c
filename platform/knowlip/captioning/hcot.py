"""The hierarchical cognitive chain of thought: five layers of guidance, composed and filled for one tile (section 3.2).

The prompts are text files, ``prompts/VERSION/LAYER.md``. A file has sections headed ``## all``, ``## FAMILY`` and, in
the layer of SAR theory, ``## band B`` and ``## polarisation co|cross``; a prompt takes those that fit the tile.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Any

from knowlip.captioning.caption import Caption, Request
from knowlip.captioning.measure import Measurements
from knowlip.captioning.positions import region_name
from knowlip.captioning.wording import joined, metres, share
from knowlip.errors import DataError
from knowlip.manifest import digest
from knowlip.records import FAMILIES, LAYERS, SUBTEXTS

__all__ = ["OUTPUT_SCHEMA", "VERSION", "instruction", "prompt_digest", "prompts_digest", "system"]

VERSION = "v1"
"""Folder of the prompts in use."""

_SCALES = {"L": "large", "M": "medium", "S": "small"}
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_MOST_TARGETS = 12

OUTPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["reasoning", *SUBTEXTS],
    "properties": {
        "reasoning": {
            "type": "object",
            "additionalProperties": False,
            "required": list(LAYERS),
            "properties": {layer: {"type": "string"} for layer in LAYERS},
        },
        **{name: {"type": "string"} for name in SUBTEXTS},
    },
}
"""JSON schema of a reply, as structured outputs take it."""


def system() -> str:
    """Return the standing instruction."""
    return _text("system")


def instruction(request: Request) -> str:
    """Compose the five layers for a tile and fill in its facts, its measurements and its parent's text.

    Args:
        request: The tile; ``request.parent`` is T of the larger scale in equations 2 and 3.

    Raises:
        DataError: The request's family is unknown, or a prompt file asks for a fact that is not there.
    """
    if request.family not in FAMILIES:
        raise DataError(f"unknown family {request.family!r}", where="HCoT", fix=f"use one of {FAMILIES}")
    fields = _fields(request)
    wanted = ["all", request.family, *_radar_sections(request)]
    layers = [
        _fill("\n".join(_sections(layer)[name] for name in wanted if name in _sections(layer)), layer, fields)
        for layer in LAYERS
    ]
    parent = [_parent(request.parent)] if request.parent else []
    return "\n\n".join([*parent, *layers, _text("output")])


def prompt_digest(text: str, image: bytes, *, model: str, sampling: dict[str, Any] | None = None) -> str:
    """Digest of all that shapes a reply (prompt, image, model, sampling): the key by which it is paid for once."""
    return digest([system(), text, digest(image), model, sampling or {}])


@lru_cache(maxsize=1)
def prompts_digest() -> str:
    """Digest of the prompt files of this version."""
    return digest({name: _text(name) for name in ("system", *LAYERS, "parent", "output")})


@lru_cache(maxsize=16)
def _text(name: str) -> str:
    return resources.files("knowlip.captioning").joinpath("prompts", VERSION, f"{name}.md").read_text("utf-8").strip()


@lru_cache(maxsize=16)
def _sections(layer: str) -> dict[str, str]:
    """Split a layer's file at its headings."""
    parts = _HEADING.split(_text(layer))
    return {name.strip(): body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _fill(template: str, name: str, fields: dict[str, str]) -> str:
    try:
        return template.format_map(fields)
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"has an unknown field ({error})", where=f"prompt {VERSION}/{name}.md", fix=f"use {sorted(fields)}"
        ) from error


def _radar_sections(request: Request) -> list[str]:
    bands = [f"band {band}" for band in re.split(r"[^A-Za-z]+", request.facts.band) if band]
    polarisation = request.facts.polarisation.upper()
    if polarisation in ("HV", "VH"):
        return [*bands, "polarisation cross"]
    return [*bands, "polarisation co"] if polarisation in ("HH", "VV") else bands


def _fields(request: Request) -> dict[str, str]:
    facts, measured = request.facts, request.measured
    return {
        "coordinates": facts.coordinates or "unknown",
        "place": facts.place or "an unknown place",
        "airports": joined([spot.label for spot in facts.airports]) or "none",
        "ports": joined([spot.label for spot in facts.ports]) or "none",
        "extent": f"{metres(measured.width_m)} by {metres(measured.height_m)}",
        "scale": _SCALES.get(facts.scale, facts.scale),
        "acquired": f", acquired {facts.time:%Y-%m-%d %H:%M} UTC" if facts.time else "",
        "sensor": facts.sensor or "unknown",
        "band": facts.band or "unknown",
        "polarisation": facts.polarisation or "unknown",
        "gsd": f"{facts.gsd_m:.3g}",
        "ground": _ground(measured),
        "dark": f"{measured.levels.dark:.0f}",
        "bright": f"{measured.levels.bright:.0f}",
        "targets": _targets(measured),
        "strips": _strips(measured),
    }


def _ground(measured: Measurements) -> str:
    parts = [
        f"{share(measured.dark_share)} dark and smooth ({share(measured.basin_share)} in wide areas)",
        f"{share(measured.bright_share)} densely bright",
        f"{share(measured.rough_share)} mottled",
        f"{share(measured.plain_share)} even",
    ]
    return f"{joined(parts)}; texture {measured.texture}"


def _targets(measured: Measurements) -> str:
    found = measured.scatterers
    if not found:
        return "no strong scatterer"
    listed = [
        f"{metres(one.length_m)} x {metres(one.width_m)} in the {region_name(one.region)}, {one.contrast_db:.0f} dB"
        for one in found[:_MOST_TARGETS]
    ]
    rest = f"; and {len(found) - _MOST_TARGETS} weaker" if len(found) > _MOST_TARGETS else ""
    return f"{len(found)} strong scatterers ({'; '.join(listed)}{rest})"


def _strips(measured: Measurements) -> str:
    listed = [
        f"{metres(one.length_m)} long, {metres(one.width_m)} wide, bearing "
        f"{round(one.heading_deg + measured.up_deg) % 180}° in the {region_name(one.region)}"
        for one in measured.strips
    ]
    return "; ".join(listed) or "none"


def _parent(parent: Caption) -> str:
    text = "\n".join(f"- {name}: {parent.subtexts[name]}" for name in SUBTEXTS if parent.subtexts.get(name))
    return _text("parent").replace("{scale}", _SCALES.get(parent.scale, parent.scale)).replace("{text}", text)
