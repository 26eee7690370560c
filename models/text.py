"""Texts as WordPieces: the tokenizer, and the eight sub-texts of a tile as one sequence.

A tile's text is ``[CLS] k₁ s₁ k₂ s₂ … k₈ s₈ [SEP]``, where k is a marker of the sub-text's kind, so that a masked
sub-text says what is missing; empty sub-texts are left out. What is too long is cut sub-text by sub-text, so that the
last ones are never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from knowlip.errors import CheckpointError, DataError
from knowlip.records import SUBTEXTS

__all__ = ["MARKERS", "SPECIAL", "TokenText", "Tokenizer", "pad"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARKERS = tuple(f"[{name}]" for name in SUBTEXTS)
"""Tokens that open the sub-texts; a foreign BERT vocabulary lends its ``[unused1]`` to ``[unused8]``."""
_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class TokenText:
    """The eight sub-texts of a tile as tokens.

    Attributes:
        pieces: Token ids of each sub-text; empty where the tile has none.
        words: For each token, which word of its sub-text it belongs to.
        cut: Share of the tokens that did not fit.
    """

    pieces: tuple[tuple[int, ...], ...]
    words: tuple[tuple[int, ...], ...]
    cut: float = 0.0

    @property
    def present(self) -> tuple[int, ...]:
        """Indices of the sub-texts that are not empty."""
        return tuple(kind for kind, piece in enumerate(self.pieces) if piece)

    def replaced(self, kind: int, ids: Sequence[int]) -> TokenText:
        """Return the text with one sub-text's tokens replaced; no ids leave it out (eq. 10)."""
        pieces = (*self.pieces[:kind], tuple(ids), *self.pieces[kind + 1 :])
        words = (*self.words[:kind], tuple(range(len(ids))), *self.words[kind + 1 :])
        return replace(self, pieces=pieces, words=words)

    def without(self, kinds: Iterable[int]) -> TokenText:
        """Return the text without some of its sub-texts."""
        text = self
        for kind in kinds:
            text = text.replaced(kind, ())
        return text

    def fitted(self, max_tokens: int) -> TokenText:
        """Return the text cut, longest sub-texts first, to a sequence of at most `max_tokens`."""
        lengths = [len(piece) for piece in self.pieces]
        kept = _kept(lengths, max_tokens)
        total = sum(lengths)
        return TokenText(
            pieces=tuple(piece[:length] for piece, length in zip(self.pieces, kept, strict=True)),
            words=tuple(words[:length] for words, length in zip(self.words, kept, strict=True)),
            cut=(total - sum(kept)) / total if total else self.cut,
        )


class Tokenizer:
    """A lower-casing WordPiece tokenizer with BERT's five special tokens and a marker for each sub-text.

    Args:
        backend: A `tokenizers.Tokenizer`; truncation and padding that it carries are dropped.

    Raises:
        CheckpointError: One of the special tokens is missing, or there are no tokens for the markers.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        own = backend.token_to_id(MARKERS[0]) is not None
        markers = MARKERS if own else tuple(f"[unused{index + 1}]" for index in range(len(MARKERS)))
        missing = [token for token in SPECIAL + markers if backend.token_to_id(token) is None]
        if missing:
            raise CheckpointError(f"tokenizer has no {', '.join(missing)}", fix="use a BERT-like WordPiece tokenizer")
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True  # "[SEP]" in a caption is text, not structure
        self._backend = backend
        self.pad, self.unk, self.cls, self.sep, self.mask = (backend.token_to_id(token) for token in SPECIAL)
        self.markers = tuple(backend.token_to_id(token) for token in markers)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn a vocabulary of at most `vocab_size` pieces from texts; the same texts give the same one."""
        texts = list(texts)
        learner = _wordpiece(models.WordPiece(unk_token=SPECIAL[1]))  # type: ignore[call-arg]
        normalise = normalizers.BertNormalizer(lowercase=True).normalize_str
        letters = sorted({letter for text in texts for letter in normalise(text) if not letter.isspace()})
        # The trainer numbers "##x" pieces in the order of a hash map, and breaks ties of merges by number. Naming them
        # beforehand makes the vocabulary the same each time.
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab_size,
            special_tokens=[*SPECIAL, *MARKERS, *letters, *(f"##{letter}" for letter in letters)],
            show_progress=False,
        )
        learner.train_from_iterator(texts, trainer)
        vocabulary = learner.get_vocab(with_added_tokens=True)
        backend = _wordpiece(models.WordPiece(vocabulary, unk_token=SPECIAL[1]))  # type: ignore[call-arg]
        backend.add_special_tokens([*SPECIAL, *MARKERS])
        return cls(backend)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Tokenizer:
        """Open the tokenizer of a checkpoint folder.

        Raises:
            CheckpointError: There is no readable `tokenizer.json`.
        """
        try:
            backend = tokenizers.Tokenizer.from_str((Path(folder) / _FILE).read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError("no tokenizer.json", where=str(folder), fix="save a tokenizer there") from error
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(f"tokenizer.json cannot be read: {error}", where=str(folder)) from error
        return cls(backend)

    @classmethod
    def packaged(cls) -> Tokenizer:
        """Open the tokenizer of the `weights` extra (30,522 pieces).

        Raises:
            CheckpointError: The extra is not installed.
        """
        from models.initialise import packaged_folder

        return cls.from_folder(packaged_folder())

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json` into a folder."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / _FILE).write_text(self._backend.to_str(pretty=False), encoding="utf-8")

    @property
    def vocab_size(self) -> int:
        """Number of WordPieces, the special ones included."""
        return self._backend.get_vocab_size()

    @property
    def structure(self) -> list[int]:
        """Ids that never stand in a written text: padding, unknown, `[CLS]`, `[MASK]` and the markers."""
        return [self.pad, self.unk, self.cls, self.mask, *self.markers]

    @cached_property
    def _pieces(self) -> list[str]:
        return [self._backend.id_to_token(index) or "" for index in range(self.vocab_size)]

    def piece(self, token: int) -> str:
        """Return the WordPiece of a token id."""
        return self._pieces[token]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, without special tokens and uncut."""
        return [list(e.ids) for e in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        return self._backend.decode(list(ids), skip_special_tokens=True)

    def subtexts(self, rows: Sequence[Sequence[str | None]], max_tokens: int) -> list[TokenText]:
        """Tokenise the eight sub-texts of each tile and cut them to fit.

        Args:
            rows: Eight texts a tile, in the order of `knowlip.records.SUBTEXTS`; None or blank where there is none.
            max_tokens: Longest sequence, special tokens included.

        Raises:
            DataError: A row has not eight sub-texts.
        """
        for row in rows:
            if len(row) != len(SUBTEXTS):
                raise DataError(
                    f"{len(row)} sub-texts instead of {len(SUBTEXTS)}", where="captions", fix="caption again"
                )
        flat = [text or "" for row in rows for text in row]
        encodings = self._backend.encode_batch(flat, add_special_tokens=False)
        kinds = len(SUBTEXTS)
        whole = [_whole(encodings[start : start + kinds]) for start in range(0, len(encodings), kinds)]
        return [text.fitted(max_tokens) for text in whole]

    def sequence(self, text: TokenText) -> list[int]:
        """Return the ids of a tile's text: `[CLS]`, each sub-text after its marker, `[SEP]`."""
        ids = [self.cls]
        for kind in text.present:
            ids += [self.markers[kind], *text.pieces[kind]]
        return [*ids, self.sep]

    def plain(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Return `[CLS] text [SEP]` for free texts such as queries, cut at the end."""
        return [[self.cls, *ids[: max_tokens - 2], self.sep] for ids in self.encode(texts)]

    def prompt(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Return what the decoder completes: the texts with their `[MASK]`, or with one appended.

        ``[MASK]`` in a text is where words are to be written; a text without one is followed by one (a question and
        its answer); an empty text becomes the eight masks of a whole description.
        """
        return [self._prompt(text.strip(), max_tokens) for text in texts]

    def openers(self, prompt: Sequence[int]) -> list[int]:
        """Return what the decoder reads before it writes each span: the marker that stands before the mask.

        Without a marker, as in a free prompt, it is `[CLS]`.
        """
        openers, last = [], self.cls
        for token in prompt:
            last = token if token in self.markers else last
            if token == self.mask:
                openers.append(last)
        return openers

    def decoder_inputs(self, prompt: Sequence[int], targets: Sequence[int]) -> list[int]:
        """Return what the decoder reads (T) to write `targets` (T): spans in order, a `[SEP]` after each (eq. 6)."""
        openers = [*self.openers(prompt), self.cls]
        inputs, span = [openers[0]], 0
        for token in targets[:-1]:
            span += token == self.sep
            inputs.append(openers[span] if token == self.sep else token)
        return inputs[: len(targets)]

    def _prompt(self, text: str, max_tokens: int) -> list[int]:
        if not text:
            return self.sequence(TokenText(((self.mask,),) * len(SUBTEXTS), ((0,),) * len(SUBTEXTS)))
        first, *rest = self.encode(text.split("[MASK]"))
        if not rest:
            return [self.cls, *first[: max_tokens - 4], self.sep, self.mask, self.sep]
        ids = list(first)
        for part in rest:
            ids += [self.mask, *part]
        return [self.cls, *ids[: max_tokens - 2], self.sep]


def pad(rows: Sequence[Sequence[int]], value: int, *, multiple: int = 8) -> tuple[Tensor, Tensor]:
    """Return ids (B, L) padded on the right to a multiple, and the mask (B, L) that is True at tokens."""
    longest = max((len(row) for row in rows), default=0)
    length = max(multiple, -(-longest // multiple) * multiple)
    ids = torch.full((len(rows), length), value, dtype=torch.int64)
    mask = torch.zeros((len(rows), length), dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.int64)
        mask[index, : len(row)] = True
    return ids, mask


def _wordpiece(model: models.WordPiece) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


def _whole(encodings: Sequence[tokenizers.Encoding]) -> TokenText:
    return TokenText(
        pieces=tuple(tuple(encoding.ids) for encoding in encodings),
        words=tuple(tuple(0 if word is None else word for word in encoding.word_ids) for encoding in encodings),
    )


def _kept(lengths: Sequence[int], max_tokens: int) -> list[int]:
    """Cut the longest sub-texts to one common length, the largest at which all fit."""
    room = max_tokens - 2 - sum(length > 0 for length in lengths)
    cap = _common_length(lengths, room)
    kept = [min(length, cap) for length in lengths]
    spare = room - sum(kept)
    for kind, length in enumerate(lengths):  # what rounding left over goes to the first that were cut
        if spare > 0 and length > kept[kind]:
            kept[kind] += 1
            spare -= 1
    return kept


def _common_length(lengths: Sequence[int], room: int) -> int:
    """Return the largest cap for which the sum of min(length, cap) is at most `room`."""
    if sum(lengths) <= room:
        return max(lengths, default=0)
    left, cap = room, 0
    for done, length in enumerate(sorted(lengths)):
        cap = left // (len(lengths) - done)
        if length > cap:
            return cap
        left -= length
    return cap
