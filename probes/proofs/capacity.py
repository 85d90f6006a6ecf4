"""One batch can be memorised: a model that cannot learn a single batch by heart has a fault, or is
too small. This proof takes as long as a short training, so it runs on demand only:

    assert capacity(lambda: build(HEALTHY)).memorised

It uses the gradient of the model but its own Adam, so a faulty optimizer or schedule of the run has
no influence (Karpathy 2019, A Recipe for Training Neural Networks: overfit one batch)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from probes.proofs.base import Ids, Subject

STEPS, RATE = 300, 5e-3
BETAS, EPS = (0.9, 0.95), 1e-8
"""Adam without weight decay and without clipping (Kingma and Ba 2015)."""
MAX_LEFT = 0.05
"""A batch is memorised if at most this share of the gap between its first loss and `floor` is
left."""


class Capacity(NamedTuple):
    """Losses of one batch, in nats per predicted token.

    first   before the training
    last    after it
    floor   the lowest loss of any model that predicts each token from those before it. It is above
            0 if rows have the same beginning
    """

    first: float
    last: float
    floor: float

    @property
    def memorised(self) -> bool:
        """Whether the model has learned all but MAX_LEFT of what can be learned."""
        return self.last - self.floor <= MAX_LEFT * (self.first - self.floor)


def capacity(build: Callable[[], Any], ids: Sequence[int], steps: int = STEPS) -> Capacity:
    """Train a fresh subject (`probes.proofs.base.Subject`) on the rows `ids` only.

    The subject needs the methods weights, set_weights, gradients, gradient_at and tokens."""
    subject: Subject = build()
    first = subject.gradient_at(ids)
    means = {name: np.zeros_like(grad) for name, grad in subject.gradients().items()}
    squares = {name: np.zeros_like(grad) for name, grad in means.items()}
    for step in range(1, steps + 1):
        weights, rate = dict(subject.weights()), RATE * (1 - (step - 1) / steps)
        for name, grad in subject.gradients().items():
            means[name] += (1 - BETAS[0]) * (grad - means[name])
            squares[name] += (1 - BETAS[1]) * (grad * grad - squares[name])
            mean = means[name] / (1 - BETAS[0] ** step)
            size = np.sqrt(squares[name] / (1 - BETAS[1] ** step)) + EPS
            weights[name] = weights[name] - rate * mean / size
        subject.set_weights(weights)
        last = subject.gradient_at(ids)
    return Capacity(first, last, floor_of(subject.tokens(ids)))


def floor_of(rows: Sequence[Ids]) -> float:
    """Mean conditional entropy of each token given all tokens before it in its row."""
    nexts = Counter(tuple(row[: end + 1].tolist()) for row in rows for end in range(1, len(row)))
    prefixes = Counter(tuple(row[:end].tolist()) for row in rows for end in range(1, len(row)))
    surprise = sum(count * np.log(prefixes[seen[:-1]] / count) for seen, count in nexts.items())
    return float(surprise / nexts.total())
