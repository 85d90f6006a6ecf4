"""One row goes through the model. Every head must give some weight to every token up to the
query's own, and the attention weights of a query must sum to 1.

If the parameters have their usual size (`plain_weights`), a softmax gives no key an attention
weight of exactly 0, so a weight of 0 comes from a mask. Nothing is measured if a second pass gives
other attention weights, as it does with dropout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from probes.proofs.base import Array, Moment, Proof, plain_weights
from probes.record.signals import Reading


def run(moment: Moment) -> Mapping[str, Reading]:
    if not moment.thorough:
        return {}
    row = max((row[:-1] for row in moment.subject.tokens(moment.step.batch_ids)), key=len)
    moment.subject.set_weights(plain_weights(moment.before))
    first, second = moment.subject.attention_of(row), moment.subject.attention_of(row)
    if not all(np.array_equal(first[site], second[site]) for site in first):
        return {}
    past = np.tri(len(row), dtype=bool)
    heads = {
        f"{site}.{head}": weights
        for site, pattern in first.items()
        for head, weights in enumerate(pattern)
    }
    return {
        "hidden_keys": {
            head: float((weights[past] == 0).mean()) for head, weights in heads.items()
        },
        "attention_sum_error": {head: _sum_error(weights) for head, weights in heads.items()},
    }


def _sum_error(weights: Array) -> float:
    """Largest distance from 1 of the sum of a query's weights. A query without any weight is left
    out, because its keys already count as hidden."""
    sums = weights.sum(axis=-1, dtype=np.float64)
    return float(np.abs(sums[sums != 0] - 1).max(initial=0))


PROOF = Proof("attention", ("hidden_keys", "attention_sum_error"), ("tokens", "attention_of"), run)
