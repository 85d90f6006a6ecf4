"""The factor by which each matrix stretches one vector: a lower bound of its spectral norm.

It is computed without the code that measures the spectral norm, so that each can show an error of
the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from probes.proofs.base import Array, Moment, Proof
from probes.record.signals import Reading

ROUNDS = 4
"""Products with W and its transpose. Each brings the vector nearer to the singular vector of the
largest singular value."""


def run(moment: Moment) -> Mapping[str, Reading]:
    if moment.step.evaluation is None and moment.step.index > 0:
        return {}  # no spectral norm was measured after this step
    return {
        "stretch": {
            name: stretch_of(weight)
            for name, weight in moment.after.items()
            if weight.ndim == 2 and weight.any() and np.isfinite(weight).all()
        }
    }


def stretch_of(weight: Array) -> float:
    """|W v| / |v| for a vector v that begins as the longest row of W [m, n]."""
    vector = weight[np.einsum("ij,ij->i", weight, weight).argmax()].astype(np.float64)
    for _ in range(ROUNDS):
        vector /= np.linalg.norm(vector)
        image = weight @ vector
        vector = weight.T @ image
    return float(np.linalg.norm(image))


PROOF = Proof("stretch", ("stretch",), (), run)
