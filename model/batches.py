"""Sequences of the corpus, packed for the model without padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.attention import Layout, layout_of
from model.config import Mask
from model.corpus import SEQUENCES, encode

Ids = npt.NDArray[np.int64]

_TOKENS = tuple(encode(sequence.text) for sequence in SEQUENCES)


class Batch(NamedTuple):
    """Rows of the corpus, packed one after the other. The first character of a row is not
    predicted, and the last one is not read."""

    ids: Ids  # [B] indices into the corpus
    tokens: Ids  # [N] what the model reads
    targets: Ids  # [N] what it must predict there
    layout: Layout

    @staticmethod
    def of(ids: Ids, mask: Mask) -> Batch:
        rows = [_TOKENS[i] for i in ids]
        lengths = np.array([len(row) - 1 for row in rows])
        tokens, targets = (
            np.concatenate([row[:-1] for row in rows]),
            np.concatenate([row[1:] for row in rows]),
        )
        return Batch(ids, tokens, targets, layout_of(lengths, mask))


def draw(train: Ids, batch_size: int, rng: np.random.Generator) -> Iterator[Ids]:
    """Yield batches of row indices forever. Each epoch has a new random order, and its incomplete
    last batch is left out.

    Within a batch the shortest rows come first. That saves padding in attention and does not change
    what is learned."""
    while True:
        order = rng.permutation(train)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            yield shortest_first(order[start : start + batch_size])


def shortest_first(ids: Ids) -> Ids:
    """The rows sorted by length; rows of equal length are in the order of the corpus."""
    return np.array(sorted(ids.tolist(), key=lambda i: (len(_TOKENS[i]), i)))
