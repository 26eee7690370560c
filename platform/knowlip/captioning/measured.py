"""The measured captioner: eight true sub-texts from measurements and geography alone, without a key or a network.

Every number in a text was computed. The wording varies by a seed drawn from the tile's id, so the same tile always
reads the same, and two tiles that show different things read differently.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from knowlip.captioning import phrases
from knowlip.captioning.caption import Caption, Request
from knowlip.captioning.facts import TileFacts, compass
from knowlip.captioning.measure import Measurements
from knowlip.captioning.positions import region_name
from knowlip.captioning.reading import FUNCTIONS, Reading, read
from knowlip.captioning.wording import counted, joined, metres, sentence, share, spoken
from knowlip.manifest import digest
from knowlip.records import SUBTEXTS

__all__ = ["MeasuredCaptioner"]

NEAR_M = 200.0
"""Targets lie beside a way when most are within this distance of its middle, either way."""


@dataclass(frozen=True)
class MeasuredCaptioner:
    """Writes the eight sub-texts from what was measured (equations 1 to 3 with f measured, not asked).

    Args:
        seed: Changes the wording, never the facts.
    """

    seed: int = 0
    model: str = "measured"

    version: ClassVar[int] = 4
    """Raised when the same measurements shall give another text."""

    def caption(self, request: Request) -> Caption:
        """Describe one tile; never fails."""
        inherited = _function_in(request.parent) if request.parent else ""
        reading = read(request.facts, request.measured, request.ancestry)
        # The parent's function is said only where the parent's text said it: it is the lineage that speaks.
        writer = _Writer(request.facts, request.measured, reading, inherited, self._rng(request.facts.tile_id))
        return Caption(
            tile_id=request.facts.tile_id,
            prompt_digest=digest([self.model, self.version, self.seed, request.facts.tile_id, request.parent_digest]),
            model=self.model,
            scale=request.facts.scale,
            family=request.family,
            subtexts={name: getattr(writer, name)() for name in SUBTEXTS},
            reasoning=_reasoning(request.facts, request.measured, reading, inherited),
            parent_id=request.facts.parent_id,
            parent_digest=request.parent_digest,
            prompts=f"wording {self.version}",
        )

    def _rng(self, tile_id: str) -> random.Random:
        return random.Random(f"{self.seed}:{tile_id}")


@dataclass(frozen=True)
class _Writer:
    """One method a sub-text."""

    facts: TileFacts
    measured: Measurements
    reading: Reading
    inherited: str
    rng: random.Random

    def _say(self, templates: str | tuple[str, ...], **fields: object) -> str:
        return sentence(templates, fields, self.rng)

    def scene_background(self) -> str:
        """What is shown, where, and by which radar."""
        facts = self.facts
        radar = " ".join(
            part for part in (facts.sensor, f"{facts.band}-band" if facts.band else "", facts.polarisation) if part
        )
        by = f"imaged by {radar}" if radar else "a radar image"
        return self._say(
            phrases.BACKGROUND if facts.located else phrases.UNPLACED,
            scale=sentence(phrases.SCALE.get(facts.scale, phrases.SCALE["S"]), {}, self.rng).lower(),
            extent=metres(max(self.measured.height_m, self.measured.width_m)),
            place=facts.place or "an unnamed place",
            coordinates=facts.coordinates,
            imaged=f", {by} at {facts.gsd_m:.3g} m a pixel",
        )

    def regional_function(self) -> str:
        """What the ground is used for, and what surrounds it."""
        function = self.reading.function
        spot = {"airport": self.reading.airport, "port": self.reading.port}.get(function)
        text = (
            self._say(phrases.NAMED[function], name=spot.label)
            if spot is not None
            else self._say(phrases.FUNCTION[function])
        )
        if self.inherited and self.inherited != function:
            return f"{text} {self._say(phrases.INHERITED, function=self.inherited)}"
        return text

    def terrain_structure(self) -> str:
        """Texture, cover, water or aprons, and the longest strip."""
        texts = [self._say(phrases.GROUND, texture=self.measured.texture, parts=_cover(self.measured, self.reading))]
        if self.reading.basin:
            side = f", mostly to the {self.measured.basin_side}" if self.measured.basin_side else ""
            texts.append(
                self._say(phrases.BASIN[self.reading.basin], share=share(self.measured.basin_share), side=side)
            )
        texts.append(self._strip())
        return " ".join(texts)

    def _strip(self) -> str:
        if not self.measured.strips:
            return self._say(phrases.STRIP_NONE)
        strip, others = self.measured.strips[0], len(self.measured.strips) - 1
        return self._say(
            phrases.STRIP,
            way=self.reading.ways[0],
            length=metres(strip.length_m),
            width=metres(strip.width_m),
            bearing=_bearing(strip.heading_deg + self.measured.up_deg),
            more=f", with {spoken(others)} more" if others else "",
        )

    def target_category(self) -> str:
        """Which kinds of targets there are."""
        if not self.reading.counts:
            return self._say(phrases.CATEGORY_NONE, cover=_cover(self.measured, self.reading, most=1))
        return self._say(phrases.CATEGORY, kinds=joined([counted(2, kind)[4:] for kind, _ in self.reading.counts]))

    def target_quantity(self) -> str:
        """How many of each."""
        counts = self.reading.counts
        if not counts:
            return self._say(phrases.QUANTITY_NONE)
        total = len(self.reading.targets)
        return self._say(
            phrases.QUANTITY,
            counts=joined([counted(number, kind) for kind, number in counts]),
            were="was" if total == 1 else "were",
            total=f", {spoken(total)} targets in all" if len(counts) > 1 else "",
        )

    def target_location(self) -> str:
        """Where the strongest lies, and where most are."""
        if not self.measured.scatterers:
            return self._say(phrases.LOCATION_NONE, region=region_name(self.measured.bright_region or 5))
        regions = Counter(one.region for one in self.measured.scatterers)
        fullest, number = min(regions.items(), key=lambda item: (-item[1], item[0]))
        crowd = f"; {spoken(number)} of {spoken(len(self.reading.targets))} are in the {region_name(fullest)}"
        return self._say(
            phrases.LOCATION,
            kind=self.reading.targets[0],
            region=region_name(self.measured.scatterers[0].region),
            most=crowd if len(self.reading.targets) > number > 1 else "",
        )

    def target_structure(self) -> str:
        """Size, bearing and contrast of the strongest."""
        if not self.measured.scatterers:
            return self._say(phrases.STRUCTURE_NONE, variation=f"{self.measured.variation:.2f}")
        strongest = self.measured.scatterers[0]
        return self._say(
            phrases.STRUCTURE,
            kind=self.reading.targets[0],
            length=metres(strongest.length_m),
            width=metres(strongest.width_m),
            bearing=_bearing(strongest.heading_deg + self.measured.up_deg),
            contrast=f"{strongest.contrast_db:.0f}",
        )

    def spatial_layout(self) -> str:
        """How the targets lie to one another and to the longest way."""
        measured = self.measured
        if measured.pattern == "none":
            side = f", brighter to the {measured.bright_side}" if measured.bright_side else ""
            return self._say(phrases.LAYOUT_NONE, cover=_cover(measured, self.reading, most=1), side=side)
        kind = self.reading.counts[0][0]
        return self._say(
            phrases.PATTERN[measured.pattern],
            kind=kind,
            kinds=counted(2, kind)[4:] if len(self.reading.counts) == 1 else "targets",
            spacing=metres(measured.spacing_m) if measured.pattern != "single" else "",
            bearing=_bearing(measured.pattern_deg) if measured.pattern in ("pair", "row") else "",
            beside=self._beside(),
        )

    def _beside(self) -> str:
        """Say how the targets lie to the longest way: beside it, or on which side when most lie on one."""
        strips, scatterers = self.measured.strips, self.measured.scatterers
        if not strips:
            return ""
        away = [(one.col - strips[0].col, one.row - strips[0].row) for one in scatterers]
        reach_px = NEAR_M / self.measured.gsd_m
        if 2 * sum(abs(right) < reach_px and abs(down) < reach_px for right, down in away) >= len(away):
            return ", " + self._say(phrases.ALONGSIDE, way=self.reading.ways[0]).lstrip(", ")
        # Across the way, a target lies on one side or the other, or on the way itself.
        heading, half_px = math.radians(strips[0].heading_deg), strips[0].width_m / self.measured.gsd_m / 2
        across_px = [right * math.cos(heading) + down * math.sin(heading) for right, down in away]
        sides = [math.copysign(1.0, offset) for offset in across_px if abs(offset) > half_px]
        if len(sides) < len(away) or abs(sum(sides)) < len(sides):
            return ""
        bearing = strips[0].heading_deg + self.measured.up_deg + 90.0 * sides[0]
        return ", " + self._say(phrases.ONE_SIDE, way=self.reading.ways[0], wind=compass(bearing)).lstrip(", ")


def _cover(measured: Measurements, reading: Reading, most: int = 3) -> str:
    """List the ground by share, the largest first; what bright and mottled ground is depends on where it lies."""
    settled = reading.function not in ("agricultural", "natural")
    dark = {"water": "water", "apron": "pavement"}.get(reading.basin, "dark smooth ground")
    parts = [
        (measured.bright_share, "bright built-up ground" if settled else "bright rough ground"),
        (measured.rough_share, "mottled mixed ground" if settled else "mottled vegetation"),
        (measured.plain_share, "even open ground"),
        (measured.dark_share, dark),
    ]
    listed = [(value, name) for value, name in sorted(parts, key=lambda part: -part[0]) if value >= 0.02][:most]
    return joined([f"{share(value)} {name}" for value, name in listed]) or "no data"


def _bearing(degrees: float) -> int:
    """An axis has two ends: give the bearing below 180, to five degrees."""
    return int(round(degrees % 180.0 / 5.0) * 5) % 180


def _function_in(parent: Caption) -> str:
    """Find the function that the parent's text names."""
    text = parent.subtexts.get("regional_function", "").lower()
    named = [(text.find(name), name) for name in FUNCTIONS if name in text]
    return min(named)[1] if named else ""


def _reasoning(facts: TileFacts, measured: Measurements, reading: Reading, inherited: str) -> dict[str, str]:
    """Say on what each layer's part of the text rests."""
    strips = ", ".join(
        f"{way} {metres(strip.length_m)}" for way, strip in zip(reading.ways, measured.strips, strict=True)
    )
    levels = f"dark below {measured.levels.dark:.0f}, bright above {measured.levels.bright:.0f}"
    return {
        "earth_cognition": f"{facts.place or 'unnamed'} {facts.coordinates}".strip(),
        "social_priors": f"function {reading.function}" + (f", parent {inherited}" if inherited else ""),
        "sar_theory": f"{measured.texture} texture, {levels}",
        "instance_discrimination": joined([counted(number, kind) for kind, number in reading.counts]) or "no target",
        "calibration": f"strips: {strips}" if strips else "strips: none",
    }
