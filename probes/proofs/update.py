"""The optimizer moves every tensor that has a gradient, and its first step has the size that its
rule and the learning rate give.

Adam's first update is lr in every entry, because the bias-corrected moments are the gradient and
its square: lr g / |g| (Kingma and Ba 2015, section 2.1). Without bias correction it is
(1 - beta1) / sqrt(1 - beta2) of that. Decoupled weight decay adds a multiple of the weight, which a
least-squares fit of both parts takes into account."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from probes.proofs.base import Array, Moment, Proof
from probes.record.signals import Reading

MIN_SHARE_OF_RMS = 1e-2
"""Entries with a smaller gradient than this share of the tensor's root mean square are left out of
the fit: the eps in Adam's denominator may make their update smaller."""
MIN_ENTRIES = 16
"""A tensor with fewer entries is left out of the fit."""


def run(moment: Moment) -> Mapping[str, Reading]:
    """Returns no reading at a learning rate of 0. Tensors whose gradient is 0 are left out."""
    lr = moment.step.lr
    if not lr > 0:
        return {}
    moved = [name for name, grad in moment.grads.items() if grad.any() and name in moment.updates]
    found: dict[str, Reading] = {
        "update_per_rate": {name: _rms(moment.updates[name]) / lr for name in moved}
    }
    if moment.step.index == 0:
        scales = {
            name: _scale(moment.updates[name] / lr, moment.grads[name], moment.before[name])
            for name in moved
        }
        found["first_update_scale"] = {
            name: scale for name, scale in scales.items() if scale is not None
        }
    return found


def _scale(update: Array, grad: Array, weight: Array) -> float | None:
    """The factor a of the best fit update = -a sign(grad) - b weight; None for a small tensor."""
    kept = np.abs(grad) > MIN_SHARE_OF_RMS * _rms(grad)
    if np.count_nonzero(kept) < MIN_ENTRIES:
        return None
    parts = np.stack([np.sign(grad[kept]), weight[kept]], axis=1).astype(np.float64)
    factors = np.linalg.lstsq(parts, update[kept].astype(np.float64), rcond=None)[0]
    return -float(factors[0])


def _rms(values: Array) -> float:
    return float(np.linalg.norm(values.astype(np.float64)) / np.sqrt(values.size))


PROOF = Proof("update", ("update_per_rate", "first_update_scale"), (), run)
