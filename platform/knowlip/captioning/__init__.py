"""Captions: HCoT prompts, the chain over scales, measurements, and the captioner that needs nothing else."""

from knowlip.captioning.caption import OK, Caption, Captioner, Request
from knowlip.captioning.chain import Chain, decode
from knowlip.captioning.facts import Spot, TileFacts
from knowlip.captioning.hcot import OUTPUT_SCHEMA, instruction, prompt_digest, prompts_digest, system
from knowlip.captioning.measure import Levels, Measurements, grey_levels, measure
from knowlip.captioning.measured import MeasuredCaptioner
from knowlip.captioning.parsing import Parsed, parse
from knowlip.captioning.richness import mtld

__all__ = [
    "OK",
    "OUTPUT_SCHEMA",
    "Caption",
    "Captioner",
    "Chain",
    "Levels",
    "MeasuredCaptioner",
    "Measurements",
    "Parsed",
    "Request",
    "Spot",
    "TileFacts",
    "decode",
    "grey_levels",
    "instruction",
    "measure",
    "mtld",
    "parse",
    "prompt_digest",
    "prompts_digest",
    "system",
]
