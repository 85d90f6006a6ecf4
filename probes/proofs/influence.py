"""Tokens of a few rows are changed: the logits that may depend on them must move, and no others.

A model that predicts the next token of each row obeys five rules, whatever its weights are. A
logit does not depend on a later token. It depends on every earlier token, and on their order. It
does not depend on another row of the batch, nor on whether there are other rows.

All experiments use the same random weights (`plain_weights`), because the rules concern the code
and not what was learned: if training has made attention sharp, it can hide a token just as a mask
does. Two passes of the same tokens give equal bits, so every difference counts. If they do not, the
model is random and nothing is measured here (see `probes.proofs.repeatability`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from probes.proofs.base import Array, Arrays, Ids, Moment, Proof, Subject, plain_weights
from probes.record.signals import Reading

ROWS = 4
"""Number of rows in an experiment. They are neighbours from the middle of the step's batch, because
a model that sorts or groups rows by length computes neighbours together."""
MIN_TOKENS = 8
"""Shortest row that is used, in tokens."""
EMBEDDING_FACTOR = 512
"""The embedding is multiplied by this factor when the order of tokens is examined."""
SIGNALS = (
    "future_influence",
    "unreached_share",
    "row_influence",
    "order_influence",
    "company_influence",
)


def run(moment: Moment) -> Mapping[str, Reading]:
    subject = moment.subject
    ids = np.asarray(moment.step.batch_ids)
    rows = [row[:-1] for row in subject.tokens(ids) if len(row) > MIN_TOKENS]
    middle = max(0, len(rows) - ROWS) // 2
    rows = rows[middle : middle + ROWS]
    if len(rows) < 2 or len(vocabulary := np.unique(np.concatenate(rows))) < 2:
        return {}
    rows[0] = rows[0][: -len(rows[0]) // 8]  # shorter, so that it needs padding
    weights = plain_weights(moment.before)
    subject.set_weights(weights)
    logits = subject.logits_of(rows)
    if not all(map(np.array_equal, logits, subject.logits_of(rows))):
        return {}
    changes = _of_one_token(subject, rows, logits, vocabulary)
    if not changes:  # no logit depends on the token that the model reads there
        return {"unreached_share": 1.0}
    found = {name: max(change[name] for change in changes) for name in changes[0]}
    if moment.thorough:
        found["company_influence"] = _of_company(subject, rows[0], logits[0])
        order = _of_order(moment, weights, rows, logits[0].shape[1], vocabulary)
        found |= {} if order is None else {"order_influence": order}
    return found


def _of_one_token(
    subject: Subject, rows: Sequence[Ids], logits: Sequence[Array], vocabulary: Ids
) -> list[dict[str, float]]:
    """Change one token in every second row, then all tokens from a position on in the other rows.
    Return the signals of both passes; [] if a changed row does not move its own logits. The signal
    `row_influence` compares the rows that are not changed, the two others the changed rows."""
    found = []
    for parity in (0, 1):
        changed, begins = list(rows), {}
        for i in range(parity, len(rows), 2):
            T = len(rows[i])
            # Of four rows, the first has one changed token at 0 and the third at T/2. The second
            # is changed from T/4 on and the fourth from 3T/4 on.
            begins[i] = begin = i * T // len(rows)
            end = begin + 1 if parity == 0 else T
            changed[i] = _replaced(rows[i], slice(begin, end), vocabulary)
        moved = [
            np.abs(after - before).max(axis=1)
            for before, after in zip(logits, subject.logits_of(changed), strict=True)
        ]
        scale = min(float(moved[i][begin:].max()) for i, begin in begins.items())
        if not scale > 0:
            return []
        early = max(float(moved[i][:begin].max(initial=0)) for i, begin in begins.items())
        others = max(float(moved[i].max()) for i in range(len(rows)) if i not in begins)
        found.append(
            {
                "future_influence": early / scale,
                "row_influence": others / scale,
                "unreached_share": max(
                    float((moved[i][begin:] == 0).mean()) for i, begin in begins.items()
                ),
            }
        )
    return found


def _of_company(subject: Subject, row: Ids, together: Array) -> float:
    """Largest difference between the logits of a row in a batch and on its own, relative to their
    standard deviation."""
    (alone,) = subject.logits_of([row])
    return float(np.abs(alone - together).max() / np.std(together))


def _of_order(
    moment: Moment, weights: Arrays, rows: Sequence[Ids], V: int, vocabulary: Ids
) -> float | None:
    """How much the order of the tokens matters, as the larger of two ratios. None if no row can be
    used, or if a replaced token changes nothing.

    The first is the change of the later logits when two neighbouring tokens late in a row are
    exchanged, relative to their change when one of the two is replaced. It shows positions inside
    attention. The second is the change of the logits along a row of equal tokens, relative to their
    change when all are replaced. It shows positions that are added to the embeddings.

    Both are 0 in one layer without positions: a later query sees the same set of tokens. Deeper
    layers depend a little on the order, because under a causal mask each token attends to another
    set. A large embedding makes this dependence small: the output of each layer is added to the
    embedding, so it hardly changes what the next layer reads."""
    subject = moment.subject
    subject.set_weights(_with_large_embedding(weights, V))
    places = {i: at for i, row in enumerate(rows) if (at := _late_neighbours(row))}
    if not places:
        return None
    exchanged, replaced = [], []
    for i, at in places.items():
        exchanged.append(rows[i].copy())
        exchanged[-1][[at, at + 1]] = rows[i][[at + 1, at]]
        replaced.append(_replaced(rows[i], slice(at, at + 1), vocabulary))
    logits = subject.logits_of([rows[i] for i in places])
    by_order, by_token = (
        _root_of_squares(
            after[at + 2 :] - before[at + 2 :]
            for at, before, after in zip(
                places.values(), logits, subject.logits_of(changed), strict=True
            )
        )
        for changed in (exchanged, replaced)
    )
    equal, others = subject.logits_of([np.full_like(rows[0], token) for token in vocabulary[:2]])
    by_position, by_all = (
        _root_of_squares([equal[1:] - equal[:1]]),
        _root_of_squares([others[1:] - equal[:1]]),
    )
    if not (by_token > 0 and by_all > 0):
        return None
    return max(by_order / by_token, by_position / by_all)


def _with_large_embedding(weights: Arrays, V: int) -> Arrays:
    """The weights with the embedding multiplied by EMBEDDING_FACTOR. It is the first matrix with
    one row per token of the vocabulary."""
    for name, values in weights.items():
        if values.ndim == 2 and len(values) == V:
            return {**weights, name: values * values.dtype.type(EMBEDDING_FACTOR)}
    return weights


def _root_of_squares(changes: Iterable[Array]) -> float:
    return float(np.sqrt(sum(np.square(change).sum(dtype=np.float64) for change in changes)))


def _late_neighbours(row: Ids) -> int:
    """The last position after the first whose token differs from the next one, with at least one
    token after the two; 0 if there is none."""
    differs = np.flatnonzero(row[1:-2] != row[2:-1])
    return int(differs[-1]) + 1 if len(differs) else 0


def _replaced(row: Ids, where: slice, vocabulary: Ids) -> Ids:
    """The row with every token in `where` replaced by the next one of the vocabulary."""
    changed = row.copy()
    next_one = (np.searchsorted(vocabulary, row[where]) + 1) % len(vocabulary)
    changed[where] = vocabulary[next_one]
    return changed


PROOF = Proof("influence", SIGNALS, ("tokens", "logits_of"), run)
