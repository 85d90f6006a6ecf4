"""AdamW over one flat buffer, the learning-rate schedule, and clipping by global norm."""

from __future__ import annotations

from math import cos, inf, pi, sqrt

import numpy as np

from model import config, memory
from model.params import Array, Params

SMALLEST_SAFE_SQUARE = 1e-30
"""A sum of squares below this may lack terms that were rounded to 0 in float32, whose smallest
normal number is 1e-38."""


def learning_rate(step: int, steps: int, optimizer: config.Optimizer) -> float:
    """lr_max (step + 1) / warmup_steps during the warmup, then a cosine that ends at lr_max *
    lr_min_ratio.

    The last step of the warmup and the first step after it both have lr_max; the last step of the
    run has the minimum. Source: Goyal et al. 2017 (warmup), Loshchilov and Hutter 2017 (cosine)."""
    if step < optimizer.warmup_steps:
        return optimizer.lr_max * (step + 1) / optimizer.warmup_steps
    progress = (step - optimizer.warmup_steps) / max(1, steps - 1 - optimizer.warmup_steps)
    lr_min = optimizer.lr_max * optimizer.lr_min_ratio
    return lr_min + (optimizer.lr_max - lr_min) * (1 + cos(pi * progress)) / 2


def global_norm(flat_grad: Array) -> float:
    """L2 norm of the whole gradient, in float64 where its square leaves float32's range; NaN when
    an entry is NaN."""
    square = float(np.vdot(flat_grad, flat_grad))
    if not SMALLEST_SAFE_SQUARE < square < inf:
        wide = flat_grad.astype(np.float64)
        square = float(np.vdot(wide, wide))
    return sqrt(square)


class AdamW:
    """Adam with decoupled weight decay on matrices only (Kingma and Ba 2015; Loshchilov and Hutter
    2019).

    `update` is a flat buffer: what the last step added to the parameters.
    """

    def __init__(self, params: Params, optimizer: config.Optimizer) -> None:
        self.params, self.config = params, optimizer
        self.update: Array = memory.zeros(params.flat.size, params.flat.dtype)
        self._m: Array = memory.zeros(params.flat.size, params.flat.dtype)
        self._v: Array = memory.zeros(params.flat.size, params.flat.dtype)
        self._scratch: Array = memory.zeros(params.flat.size, params.flat.dtype)
        self._count = 0

    def bias_correction(self, beta: float) -> float:
        """The sum of the weights of a moving average that began at 0 (Kingma and Ba 2015)."""
        return 1 - beta**self._count

    def step(self, lr: float) -> float:
        """Clip the gradient, update the parameters, and return the norm of the gradient before
        clipping."""
        grad, update, scratch, c = self.params.flat_grad, self.update, self._scratch, self.config
        norm = global_norm(grad)
        scale = 1.0 if norm <= c.clip_norm else c.clip_norm / norm
        self._count += 1

        self._m *= c.beta1  # m = beta1 m + (1 - beta1) g
        np.multiply(grad, (1 - c.beta1) * scale, out=scratch)
        self._m += scratch

        self._v *= c.beta2  # v = beta2 v + (1 - beta2) g^2
        np.multiply(grad, sqrt(1 - c.beta2) * scale, out=scratch)
        scratch *= scratch
        self._v += scratch

        np.divide(self._v, self.bias_correction(c.beta2), out=scratch)  # sqrt(v-hat) + eps
        np.sqrt(scratch, out=scratch)
        scratch += c.eps
        np.divide(self._m, scratch, out=update)
        update *= -lr / self.bias_correction(c.beta1)

        decayed = slice(0, self.params.n_decayed)
        np.multiply(self.params.flat[decayed], lr * c.weight_decay, out=scratch[decayed])
        update[decayed] -= scratch[decayed]
        self.params.flat += update
        return norm
