"""The derivative of the loss along a direction, measured by two forward passes, must be the one
that the gradient predicts.

The loss is measured at the weights plus and minus a small step, and the difference is compared with
the product of gradient and step. There are two directions. The first is a fixed pattern of +1 and
-1 over all entries: an error of the gradient, in whatever entries, shows in it with about its own
norm, as in a random direction. The second, at thorough moments, is the gradient of each tensor plus
its signs, both at length 1, so that small tensors count as much as large ones.

If the gradient that the step used fails, further passes find out why. A fresh backward pass may
give the right gradient: then the step used another one. Two backward passes in a row may differ:
then the second one keeps something of the first. Otherwise every tensor is measured by itself, in
the order of the backward pass, so that the first wrong tensor shows where the error enters.

Source: central differences (Griewank and Walther 2008, section 1.1). Their error grows with the
square of the step; that of rounding falls with the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from probes.proofs.base import Array, Arrays, Moment, Proof
from probes.record.signals import Reading

USED, FRESH, REPEATED = "used", "fresh", "repeated"
"""Sites of the signal besides the names of tensors: the gradient that the step used, that of a
fresh backward pass, and that of a second one right after it."""
STEPS_ALONG = (3e-4, 6e-5)
"""L2 norms of the steps of each tensor along the gradient, for float32. The smaller one is tried if
the larger one gives a ratio that is not CLOSE_ENOUGH to 1, because the loss may be strongly
curved."""
PATTERN_STEPS = (2e-4, 1e-4)
"""Steps of each entry along the pattern, for float32."""
PATTERN_STEPS_OF_TENSOR = (1e-3, 2e-4)
"""The same for one tensor, whose part in the loss is smaller and less curved."""
CLOSE_ENOUGH = 3e-4
"""A smaller step is tried only if the ratio differs from 1 by more than this."""
SUSPICIOUS = 5e-4
"""The further passes are made if the ratio differs from 1 by more than this."""
ROUNDINGS_OF_LOSS = 2.0
"""Rounding error of the difference of two losses, in units of the precision, relative to the loss
or to 1. In healthy runs it is usually below a third of this."""
MAX_ROUNDING = 0.01
"""A step along the gradient is too small if rounding may change its result by more than this
share."""
LARGEST = 1e6
"""Largest ratio that is reported, also if the measured derivative is 0."""


def run(moment: Moment) -> Mapping[str, Reading]:
    """No reading if a value is not finite, if rounding hides the result, or if two passes of the
    same batch give two losses."""
    if not all(np.isfinite(grad).all() for grad in moment.grads.values()):
        return {}
    used = ratio(moment, moment.grads)
    if used is None:
        return {}
    found = {USED: used}
    if abs(used - 1) > SUSPICIOUS:
        moment.subject.set_weights(moment.before)
        losses = {moment.subject.loss_at(moment.step.batch_ids) for _ in range(2)}
        if len(losses) > 1:
            return {}
        found |= _examined(moment)
    return {"gradient_ratio": found}


def _examined(moment: Moment) -> dict[str, float]:
    """Passes at the weights before the step that find out what is wrong with its gradient."""
    subject, ids = moment.subject, moment.step.batch_ids
    subject.set_gradients({name: np.zeros_like(grad) for name, grad in moment.grads.items()})
    subject.gradient_at(ids)
    fresh = subject.gradients()
    subject.gradient_at(ids)
    square = _product(fresh, fresh)
    found = {REPEATED: _product(subject.gradients(), fresh) / square if square else 1.0}
    if (of_fresh := ratio(moment, fresh)) is None:
        return found
    found[FRESH] = of_fresh
    if abs(of_fresh - 1) > SUSPICIOUS:
        subject.set_weights(moment.before)
        for name in subject.backward_order(ids):
            if (of_tensor := ratio(moment, fresh, name)) is not None:
                found[name] = of_tensor
    return found


def ratio(moment: Moment, grads: Arrays, name: str | None = None) -> float | None:
    """The derivative that the gradient predicts, divided by the measured one. Only the tensor of
    the given name is moved, or all tensors if there is none. None if rounding hides the result.

    A gradient that is right along itself but not along the pattern lacks a part. The ratio is then
    the norm of the gradient divided by the sum of it and of the norm of this part."""
    own = grads if name is None else {name: grads[name]}
    along: float | None = 1.0
    if (name is not None or moment.thorough) and any(grad.any() for grad in own.values()):
        along = _along(moment, own)
    if along is None:
        return None
    lacking = _lacking(moment, own, PATTERN_STEPS if name is None else PATTERN_STEPS_OF_TENSOR)
    length = float(np.sqrt(_product(own, own)))
    return along * length / (length + lacking) if lacking else along


def _along(moment: Moment, grads: Arrays) -> float | None:
    direction = {name: _direction(grad) for name, grad in grads.items()}
    best = None
    for size in _fitted(STEPS_ALONG, moment):
        change, predicted, rounding = _difference(moment, direction, size, grads)
        if rounding > MAX_ROUNDING * abs(predicted):
            break
        # Move the measured change towards the predicted one by what rounding explains.
        change += float(np.clip(predicted - change, -rounding, rounding))
        found = float(np.clip(predicted / change if change else np.inf, -LARGEST, LARGEST))
        if best is None or abs(found - 1) < abs(best - 1):
            best = found
        if abs(best - 1) <= CLOSE_ENOUGH:
            break
    return best


def _lacking(moment: Moment, grads: Arrays, sizes: tuple[float, ...]) -> float:
    """About the norm of the part of the gradient that is lacking, or too much, less what rounding
    explains: the slope of the loss along the pattern without the predicted slope."""
    direction = {name: _pattern(grad) for name, grad in grads.items()}
    length, lacking = float(np.sqrt(_product(grads, grads))), np.inf
    for size in _fitted(sizes, moment):
        change, predicted, rounding = _difference(moment, direction, size, grads)
        error = max(0.0, abs(change - predicted) - rounding) / (2 * size)
        lacking = min(lacking, error)
        if lacking <= CLOSE_ENOUGH * length:
            break
    return lacking


def _difference(
    moment: Moment, direction: Arrays, size: float, grads: Arrays
) -> tuple[float, float, float]:
    """The change of the loss from minus to plus `size` along a direction, the change that the
    gradient predicts, and the rounding error of the first."""
    subject, before, ids = moment.subject, moment.before, moment.step.batch_ids
    ends = []
    for signed in (size, -size):
        moved = {
            name: before[name] + (signed * step).astype(before[name].dtype)
            for name, step in direction.items()
        }
        subject.set_weights({**before, **moved})
        ends.append((subject.loss_at(ids), moved))
    (high, plus), (low, minus) = ends
    # The weights were rounded, so the step that was made is the difference of the rounded ones.
    predicted = sum(
        float(np.vdot(grads[name].astype(np.float64), plus[name].astype(np.float64) - minus[name]))
        for name in direction
        if name in grads
    )
    return high - low, predicted, ROUNDINGS_OF_LOSS * _precision(moment) * max(1.0, abs(high))


def _fitted(sizes: tuple[float, ...], moment: Moment) -> list[float]:
    """Steps for the precision of the weights. The best step grows with its cube root, because the
    error of the curvature grows with the square of the step, and that of rounding with its
    inverse."""
    factor = (_precision(moment) / float(np.finfo(np.float32).eps)) ** (1 / 3)
    return [size * factor for size in sizes]


def _precision(moment: Moment) -> float:
    return max(float(np.finfo(weight.dtype).eps) for weight in moment.before.values())


def _direction(grad: Array) -> Any:
    """The gradient and its signs, each divided by its norm; 0 if the gradient is 0."""
    wide = grad.astype(np.float64)
    norm = np.sqrt(np.vdot(wide, wide))
    signs = np.sign(wide)
    return wide / norm + signs / np.sqrt(np.count_nonzero(signs)) if norm > 0 else wide


def _pattern(like: Array) -> Any:
    """+1 and -1 without a visible order, the same in every run (Weyl sequence of the golden
    ratio, squared)."""
    index = np.arange(1, like.size + 1, dtype=np.float64)
    return np.where((index * index * 0.6180339887498949) % 1 < 0.5, 1.0, -1.0).reshape(like.shape)


def _product(a: Arrays, b: Arrays) -> float:
    return sum(float(np.vdot(a[name].astype(np.float64), b[name])) for name in b)


PROOF = Proof("gradient", ("gradient_ratio",), ("loss_at", "gradient_at", "backward_order"), run)
