"""A model's reply, read: structured JSON, JSON within prose, or labelled lines; refusals and truncations recognised."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from knowlip.records import LAYERS, SUBTEXTS

__all__ = ["Parsed", "parse"]

_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m sorry|i am sorry|sorry|unfortunately|i can(?:no|['’])t|i am (?:un)?able|i['’]m unable|as an ai)\b",
    re.IGNORECASE,
)
_LABELS = {name: name.replace("_", r"[\s_-]+") for name in (*SUBTEXTS, *LAYERS)}
_LINE = re.compile(
    r"^[\s>#*\-\d.()]*(?P<label>" + "|".join(_LABELS.values()) + r")[\s*\"']*[:：]\s*(?P<text>.*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Parsed:
    """What a reply said.

    Attributes:
        status: ``ok``, ``empty``, ``refusal``, ``truncated``, ``unparsable``, ``incomplete`` or ``echo``.
        subtexts: The eight sub-texts that were found.
        reasoning: The layers' reasoning that was found.
        problem: One line for the model that asks again, empty when all is well.
    """

    status: str
    subtexts: dict[str, str] = field(default_factory=dict)
    reasoning: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def parse(reply: str, *, finish_reason: str = "stop", prompt: str = "") -> Parsed:
    """Read a reply.

    Args:
        reply: The text that came back.
        finish_reason: Why it ended, as the endpoint says.
        prompt: The prompt, to recognise a reply that only repeats it.
    """
    if finish_reason == "content_filter":
        return Parsed("refusal", problem="the endpoint's filter withheld the reply")
    if not reply.strip():
        return Parsed("empty", problem="the reply was empty")
    if finish_reason == "length":
        return Parsed("truncated", problem="the reply was cut at the token limit: be briefer")
    value = _json(reply)
    found, reasoning = _from_json(value) if value is not None else _from_lines(reply)
    missing = [name for name in SUBTEXTS if not found.get(name)]
    if len(missing) == len(SUBTEXTS):
        if _REFUSAL.match(reply):
            return Parsed("refusal", problem="the model declined")
        return Parsed("unparsable", problem="no JSON object with the eight keys was found")
    if missing:
        return Parsed("incomplete", found, reasoning, f"these keys are missing or empty: {', '.join(missing)}")
    if prompt and sum(_within(text, prompt) for text in found.values()) > len(SUBTEXTS) // 2:
        return Parsed("echo", found, reasoning, "the reply repeats the prompt")
    return Parsed("ok", found, reasoning)


def _json(reply: str) -> dict[str, Any] | None:
    """Return the first JSON object in a reply, bare, fenced or within prose."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", reply):
        try:
            value, _ = decoder.raw_decode(reply, match.start())
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict) and any(name in value for name in SUBTEXTS):
            return value
    return None


def _from_json(value: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    reasoning = value.get("reasoning")
    layers = reasoning if isinstance(reasoning, dict) else value
    return _texts(value, SUBTEXTS), _texts(layers, LAYERS)


def _texts(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    texts = {name: _flat(value.get(name)) for name in names}
    return {name: text for name, text in texts.items() if text}


def _flat(value: object) -> str:
    """A text, or a list of texts; anything else does not count."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = " ".join(value)
    return " ".join(value.split()) if isinstance(value, str) else ""


def _from_lines(reply: str) -> tuple[dict[str, str], dict[str, str]]:
    """Read ``label: text`` lines, with the text running on to the next label (the paper's regular expressions)."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in reply.splitlines():
        match = _LINE.match(line)
        if match:
            name = re.sub(r"[\s-]+", "_", match["label"].lower())
            current = found.setdefault(name, [])
            current.append(match["text"])
        elif current is not None and line.strip():
            current.append(line)
    texts = {name: " ".join(" ".join(lines).replace("**", "").split()).strip("\"', ") for name, lines in found.items()}
    return (
        {name: texts[name] for name in SUBTEXTS if texts.get(name)},
        {name: texts[name] for name in LAYERS if texts.get(name)},
    )


def _within(text: str, prompt: str) -> bool:
    return len(text) > 20 and " ".join(text.split()).lower() in " ".join(prompt.split()).lower()
