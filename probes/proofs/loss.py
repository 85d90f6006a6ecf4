"""The reported losses against the mean cross-entropy of the predicted tokens, computed here from
the logits and the rows of the data set.

Both come from the same logits, so they agree to the rounding of float32. A loss that is a sum, that
counts padding, that is smoothed or that has other targets is another number. If it is one of a few
common mistakes, the ratio to the number of this mistake is 1."""

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
"""Larger batches need more memory than a processor caches."""


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
    """-ln p of every token at every place of each row of tokens [T + 1]: float64 [T, V] each."""
    surprise = []
    for logits in subject.logits_of([row[:-1] for row in rows]):
        wide = np.asarray(logits, dtype=np.float64)
        wide -= wide.max(axis=1, keepdims=True)
        surprise.append(np.log(np.exp(wide).sum(axis=1, keepdims=True)) - wide)
    return surprise


def mean_of(surprise: Sequence[Array], targets: Sequence[Ids]) -> float:
    """Mean loss over all targets. Those of a row stand at its first places."""
    losses = [cells[np.arange(len(row)), row] for cells, row in zip(surprise, targets, strict=True)]
    return float(np.concatenate(losses).mean())


def mean_loss(subject: Subject, ids: BatchIds) -> float:
    """Mean cross-entropy of the predicted tokens of the given rows, of which CHUNK_ROWS of about
    equal length pass the model at a time."""
    rows = sorted(subject.tokens(ids), key=len)
    total = tokens = 0.0
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        count = sum(len(row) - 1 for row in chunk)
        total += count * mean_of(surprise_of(subject, chunk), [row[1:] for row in chunk])
        tokens += count
    return total / tokens


PROOF = Proof("loss", ("loss_ratio",), ("loss_at", "evaluated", "tokens", "logits_of"), run)
