"""A reported loss must be the mean cross-entropy of the predicted tokens, which is computed here
from the logits and the rows of the data set.

Both come from the same logits, so they agree up to the rounding of float32. They differ if the loss
is a sum, counts padding, is smoothed or has other targets. The loss is also divided by the number
that each of a few common mistakes gives: a ratio of 1 shows this mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from probes.proofs.base import Array, BatchIds, Ids, Moment, Proof, Subject
from probes.record.signals import Reading

STEP, REPEATED, EVALUATED, VAL_LOSS = "step", "repeated", "evaluated", "val_loss"
SUM, ROW_SUM, UNSHIFTED, SHIFTED_TWICE = (
    f"{STEP}.{name}" for name in ("sum", "row-sum", "unshifted", "shifted-twice")
)

CHUNK_ROWS = 32
"""Rows that the model computes at a time. The arrays of more rows do not fit into the cache of a
processor."""


def run(moment: Moment) -> Mapping[str, Reading]:
    subject, step, ids = moment.subject, moment.step, moment.step.batch_ids
    rows = subject.tokens(ids)
    surprise = surprise_of(subject, rows)
    mean = mean_of(surprise, [row[1:] for row in rows])
    tokens = sum(len(row) - 1 for row in rows)
    expected = {
        STEP: mean,
        SUM: mean * tokens,
        ROW_SUM: mean * tokens / len(rows),
        UNSHIFTED: mean_of(surprise, [row[:-1] for row in rows]),
        SHIFTED_TWICE: mean_of(surprise, [row[2:] for row in rows]),
    }
    ratios = {name: step.loss / value for name, value in expected.items() if value > 0}
    if moment.thorough and mean > 0:
        ratios[REPEATED] = subject.loss_at(ids) / mean
        ratios[EVALUATED] = subject.evaluated(ids) / mean
    reported = (step.evaluation or {}).get(VAL_LOSS)
    if reported is not None and hasattr(subject, "held_out"):
        # An evaluation comes after the update.
        subject.set_weights(moment.after)
        ratios[VAL_LOSS] = reported / mean_loss(subject, subject.held_out())
    return {"loss_ratio": {name: ratio for name, ratio in ratios.items() if isfinite(ratio)}}


def surprise_of(subject: Subject, rows: Sequence[Ids]) -> list[Array]:
    """-ln p of every token of the vocabulary after each position: for each row of tokens [T + 1]
    one float64 array [T, V]."""
    surprise = []
    for logits in subject.logits_of([row[:-1] for row in rows]):
        wide = np.asarray(logits, dtype=np.float64)
        wide -= wide.max(axis=1, keepdims=True)
        surprise.append(np.log(np.exp(wide).sum(axis=1, keepdims=True)) - wide)
    return surprise


def mean_of(surprise: Sequence[Array], targets: Sequence[Ids]) -> float:
    """Mean loss over all targets. The targets of a row belong to its first positions."""
    losses = [cells[np.arange(len(row)), row] for cells, row in zip(surprise, targets, strict=True)]
    return float(np.concatenate(losses).mean())


def mean_loss(subject: Subject, ids: BatchIds) -> float:
    """Mean cross-entropy of the predicted tokens of the given rows. The model computes CHUNK_ROWS
    rows of about equal length at a time."""
    rows = sorted(subject.tokens(ids), key=len)
    total = tokens = 0.0
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        count = sum(len(row) - 1 for row in chunk)
        total += count * mean_of(surprise_of(subject, chunk), [row[1:] for row in chunk])
        tokens += count
    return total / tokens


PROOF = Proof("loss", ("loss_ratio",), ("loss_at", "evaluated", "tokens", "logits_of"), run)
