"""Captions: BLEU-4, METEOR, CIDEr and SPICE by pycocoevalcap (section 4.4, Table 6).

METEOR and the Penn Treebank tokenizer are Java programs that come with pycocoevalcap. SPICE needs Stanford CoreNLP's
jars besides, which it would fetch: it is only run where they lie in ``KNOWLIP_SPICE_JARS`` already. What cannot
be run is left out of the figures, and `unavailable` says why.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from knowlip.benchmark.metrics.records import Record
from knowlip.errors import DataError

__all__ = ["caption_records", "caption_scores", "unavailable"]

SPICE_JARS = "KNOWLIP_SPICE_JARS"
"""Environment variable: a folder with Stanford CoreNLP 3.6's jars."""

_WORD = re.compile(r"[a-z0-9]+(?:[-'.][a-z0-9]+)*")
_ORDERS = 4
_SENTENCE = ("meteor", "cider", "spice")


def unavailable() -> dict[str, str]:
    """Return the metrics that cannot be run here, with the reason."""
    missing = {}
    if shutil.which("java") is None:
        missing["meteor"] = "no java on the PATH; install a JRE such as default-jre-headless"
    folder = os.environ.get(SPICE_JARS, "")
    if "meteor" in missing or not list(Path(folder).glob("stanford-corenlp-*.jar") if folder else []):
        missing["spice"] = f"{SPICE_JARS} names no folder with stanford-corenlp-*.jar (and java must be there)"
    return missing


def caption_records(given: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Score captions one by one, once, so that figures of any selection of them are sums.

    Args:
        given: Caption of each example.
        references: Right captions of each, one or several.

    Returns:
        Records with ``example_id``, ``given``, ``references``, ``bleu`` (clipped and possible n-grams, lengths) and the
        sentence's ``meteor``, ``cider`` and ``spice`` as far as they can be run. CIDEr weighs n-grams by how rare they
        are among these references.

    Raises:
        DataError: METEOR's Java program died.
    """
    names = sorted(given)
    if not names:
        return []
    guesses, truths = _tokenised({name: [given[name]] for name in names}), _tokenised(references)
    scores = _sentence_scores(truths, guesses, names)
    records = []
    for place, name in enumerate(names):
        record: dict[str, Any] = {"example_id": name, "given": given[name], "references": list(references[name])}
        record["bleu"] = _bleu_counts(guesses[name][0], truths[name])
        records.append({**record, **{metric: values[place] for metric, values in scores.items()}})
    return records


def caption_scores(records: Sequence[Record]) -> dict[str, float]:
    """Return ``bleu4``, ``cider``, and ``meteor`` and ``spice`` where they could be run.

    Args:
        records: Of `caption_records`.
    """
    if not records:
        return {}
    means = {name: float(np.mean([record[name] for record in records])) for name in _SENTENCE if name in records[0]}
    return {"bleu4": _bleu([record["bleu"] for record in records]), **means}


def _tokenised(texts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Split into words as the Penn Treebank does, punctuation dropped; in Python where there is no Java."""
    if shutil.which("java") is None:
        return {name: [" ".join(_WORD.findall(text.lower())) for text in some] for name, some in texts.items()}
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    with _quiet():
        tokenised = PTBTokenizer().tokenize({name: [{"caption": t} for t in some] for name, some in texts.items()})
    return {str(name): list(some) for name, some in tokenised.items()}


def _sentence_scores(
    truths: Mapping[str, list[str]], guesses: Mapping[str, list[str]], names: Sequence[str]
) -> dict[str, list[float]]:
    from pycocoevalcap.cider.cider import Cider

    # In one order for all: pycocoevalcap returns scores in the order of the keys.
    gts, res = {name: truths[name] for name in names}, {name: guesses[name] for name in names}
    scores = {"cider": [float(value) for value in Cider().compute_score(gts, res)[1]]}
    missing = unavailable()
    if "meteor" not in missing:
        scores["meteor"] = _meteor(gts, res)
    if "spice" not in missing:
        from pycocoevalcap.spice.spice import Spice

        with _quiet():
            scores["spice"] = [float(value["All"]["f"]) for value in Spice().compute_score(gts, res)[1]]
    return scores


def _meteor(gts: Mapping[str, list[str]], res: Mapping[str, list[str]]) -> list[float]:
    """Return each sentence's METEOR.

    Raises:
        DataError: Its Java program died.
    """
    from pycocoevalcap.meteor import meteor as program

    with (
        _meteor_home(Path(program.__file__).parent) as home,
        patch.object(program, "__file__", str(home / "meteor.py")),
    ):
        return _scored(program.Meteor(), gts, res)


@contextlib.contextmanager
def _meteor_home(installed: Path) -> Iterator[Path]:
    """Give METEOR a path without a space: it looks for its data by its own, and quotes a space in that twice."""
    if " " not in str(installed):
        yield installed
        return
    with tempfile.TemporaryDirectory(prefix="knowlip-meteor-") as folder:
        yield Path(shutil.copytree(installed, Path(folder) / "meteor"))


def _scored(meteor: Any, gts: Mapping[str, list[str]], res: Mapping[str, list[str]]) -> list[float]:
    try:
        return [float(value) for value in meteor.compute_score(gts, res)[1]]
    except (OSError, ValueError) as error:
        meteor.meteor_p.kill()
        said = meteor.meteor_p.stderr.read().decode(errors="replace").strip().splitlines() or ["without a word"]
        raise DataError(
            f"its Java program ended early ({said[-1]})",
            where="METEOR",
            fix="give it 2 GB of memory, or take java off the PATH to leave METEOR out",
        ) from error
    finally:
        # A score that fails keeps the lock, for which `Meteor` would then wait for ever when it is collected.
        if meteor.lock.locked():
            meteor.lock.release()
        for pipe in (meteor.meteor_p.stdin, meteor.meteor_p.stdout, meteor.meteor_p.stderr):
            with contextlib.suppress(OSError):  # a broken pipe cannot be flushed
                pipe.close()


def _bleu_counts(guess: str, truths: Sequence[str]) -> dict[str, Any]:
    """Return clipped matches and possible n-grams of each order, the guess's length and the closest reference's."""
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    cooked = cook_test(guess, cook_refs(list(truths), eff="closest"), eff="closest")
    return {
        "matched": cooked["correct"],
        "possible": cooked["guess"],
        "length": cooked["testlen"],
        "closest": cooked["reflen"],
    }


def _bleu(counts: Sequence[Mapping[str, Any]]) -> float:
    """Return corpus BLEU-4 with the brevity penalty; zero where an order never matches."""
    matched = np.sum([one["matched"] for one in counts], axis=0)
    possible = np.sum([one["possible"] for one in counts], axis=0)
    length, closest = (sum(one[name] for one in counts) for name in ("length", "closest"))
    if length == 0 or (matched[:_ORDERS] == 0).any():
        return 0.0
    precision = float(np.exp(np.log(matched / np.maximum(possible, 1)).mean()))
    return precision * float(np.exp(min(0.0, 1.0 - closest / length)))


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the libraries' progress lines out of the log."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
