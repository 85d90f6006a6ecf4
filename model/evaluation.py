"""Losses over whole splits, also by verb class, from one forward pass over every row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from model.batches import Batch, shortest_first
from model.config import Mask
from model.corpus import COMPOSITIONAL_TENSES, SEQUENCES, Sequence, Split, verb_token_mask
from model.gpt import MiniGPT

Ids = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CHUNK_ROWS = 32
"""Rows per forward pass. The shortest rows come first, so that little time is spent on padding."""


class Evaluation:
    """Mean losses in nats per predicted token, for one split of the corpus and one mask.

    Calling it returns

        train_loss, val_loss                            over all tokens
        train_loss_by_class/<class>                     over the tokens of `verb_token_mask`
        val_loss_by_class/<class>                       the same
        val_loss_by_class_compositional/<class>         the same, in COMPOSITIONAL_TENSES only

    The classes are regular and irregular."""

    def __init__(self, split: Split, mask: Mask) -> None:
        self._chunks = {"train": _chunks(split.train, mask), "val": _chunks(split.val, mask)}
        self._groups = {
            name: tokens
            for part, chunks in self._chunks.items()
            for name, tokens in _groups(
                part, np.concatenate([chunk.ids for chunk in chunks])
            ).items()
        }

    def __call__(self, model: MiniGPT) -> Mapping[str, float]:
        losses = {part: self.token_losses(model, part) for part in self._chunks}
        return {
            name: float(losses[name.partition("_")[0]][tokens].mean(dtype=np.float64))
            for name, tokens in self._groups.items()
        }

    def token_losses(self, model: MiniGPT, part: str) -> npt.NDArray[np.float64]:
        """Loss of every predicted token of a split ("train" or "val"), rows sorted by length:
        [tokens]."""
        losses = [
            model.token_losses(chunk.tokens, chunk.targets, chunk.layout)
            for chunk in self._chunks[part]
        ]
        return np.concatenate(losses).astype(np.float64)


def _chunks(ids: Ids, mask: Mask) -> list[Batch]:
    by_length = shortest_first(ids)
    return [
        Batch.of(by_length[i : i + CHUNK_ROWS], mask) for i in range(0, len(by_length), CHUNK_ROWS)
    ]


def _groups(part: str, ids: Ids) -> dict[str, Bools]:
    """Name of a loss -> which tokens of the split it is a mean over."""
    rows = [SEQUENCES[i] for i in ids]
    words = [verb_token_mask(row) for row in rows]

    def tokens_of(wanted: Mapping[str, object]) -> Bools:
        return np.concatenate(
            [mask & _matches(row, wanted) for row, mask in zip(rows, words, strict=True)]
        )

    groups = {f"{part}_loss": np.ones(sum(map(len, words)), np.bool_)}
    for name, regular in (("regular", True), ("irregular", False)):
        groups[f"{part}_loss_by_class/{name}"] = tokens_of({"regular": regular})
        if part == "val":
            compositional = {"regular": regular, "compositional": True}
            groups[f"val_loss_by_class_compositional/{name}"] = tokens_of(compositional)
    return groups


def _matches(row: Sequence, wanted: Mapping[str, object]) -> bool:
    is_ = {"regular": row.row.regular, "compositional": row.row.tense in COMPOSITIONAL_TENSES}
    return all(is_[key] == value for key, value in wanted.items())
