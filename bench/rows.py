"""Rows of the corpus, as the compared training steps read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.corpus import SEQUENCES, encode

Ids = npt.NDArray[np.int64]

TOKENS = tuple(encode(sequence.text) for sequence in SEQUENCES)
ROW_LENGTHS = np.array([len(tokens) - 1 for tokens in TOKENS])
"""Number of tokens of each row that the model reads: all but the last."""
LONGEST = np.flatnonzero(ROW_LENGTHS.max() == ROW_LENGTHS)


def use_longest_rows(specimen: Any) -> None:
    """Make an untrained specimen draw its batches from the longest rows only, so that no batch has
    padding that could be skipped."""
    train: Ids = specimen.split.train
    train[:] = np.resize(LONGEST, len(train))


def padded(ids: Ids, ignored_target: int) -> tuple[Ids, Ids]:
    """Return tokens and targets [B, T] of some rows, padded to the longest of them. The target of
    padding is `ignored_target`."""
    rows = [TOKENS[i] for i in ids]
    shape = (len(rows), int(ROW_LENGTHS[ids].max()))
    tokens, targets = np.zeros(shape, np.int64), np.full(shape, ignored_target, np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row) - 1], targets[i, : len(row) - 1] = row[:-1], row[1:]
    return tokens, targets
