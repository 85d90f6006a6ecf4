"""Rows of the corpus that a contender trains on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.corpus import SEQUENCES, encode

Ids = npt.NDArray[np.int64]

TOKENS = tuple(encode(sequence.text) for sequence in SEQUENCES)
LENGTHS = np.array([len(tokens) - 1 for tokens in TOKENS])
"""Tokens of each row that are read: all but the last."""
LONGEST = np.flatnonzero(LENGTHS.max() == LENGTHS)


def full_length(specimen: Any) -> None:
    """Let a specimen that was not trained yet draw from the longest rows alone, where there is no
    padding to skip."""
    train: Ids = specimen.split.train
    train[:] = np.resize(LONGEST, len(train))


def padded(ids: Ids, ignore: int) -> tuple[Ids, Ids]:
    """Tokens and targets [B, T] of some rows, to the longest of them; targets of padding are
    `ignore`."""
    rows = [TOKENS[i] for i in ids]
    T = int(LENGTHS[ids].max())
    tokens, targets = np.zeros((len(rows), T), np.int64), np.full((len(rows), T), ignore, np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row) - 1], targets[i, : len(row) - 1] = row[:-1], row[1:]
    return tokens, targets
