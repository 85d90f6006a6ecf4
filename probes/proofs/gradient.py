"""The derivative of the loss along a direction, measured by two forward passes, must equal the
one that the gradient predicts.

The loss is measured at the weights plus and minus a small step, and the difference is compared with
the product of gradient and step. There are two directions. The first is a fixed pattern of +1 and
-1 over all entries. An error in any entries of the gradient changes the derivative along it by
about the norm of the error, as along a random direction. The second direction is used at thorough
moments only. In each tensor it is the sum of the gradient and its signs, both scaled to norm 1, so
that small tensors count as much as large ones.

If the gradient that the step used is wrong, further passes find out why. If a fresh backward pass
gives the right gradient, the step used another one. If two backward passes in a row differ, the
second still holds a part of the first. Otherwise every tensor is measured separately, in the order
of the backward pass, so that the first wrong tensor shows where the error begins.

Source: central differences (Griewank and Walther 2008, section 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from probes.proofs.base import Array, Arrays, Moment, Proof
from probes.record.signals import Reading

USED, FRESH, REPEATED = "used", "fresh", "repeated"
"""Sites of the signal besides the names of tensors: the gradient that the step used, that of a
fresh backward pass, and that of a second one right after it."""
PATTERN_STEP, ALONG_STEP = 2e-4, 3e-4
"""The first step to try, in float32. PATTERN_STEP is the step of each entry along the pattern,
ALONG_STEP the L2 norm of the step of each tensor along the gradient."""
TENSOR_STEP = 1e-3
"""The step along the pattern if only one tensor is moved. It is larger than PATTERN_STEP, because
the loss changes less and is less curved along one tensor."""
HALVINGS = 8
"""How often the step may be halved if the loss is strongly curved."""
SUSPICIOUS = 5e-4
"""If the error is larger than this share of the gradient, a smaller step is tried, and then the
further passes are made."""
MAX_SPREAD = 0.1
"""A slope has converged if its errors at three steps, each half of the one before, differ by at
most this share of the last one. Two steps are too few: if a softmax is saturated, the slope jumps
up and down as the step is halved."""
ROUNDINGS_OF_LOSS = 2.0
"""Rounding error of the difference of two losses, in units of eps times the loss, or of eps if the
loss is below 1. In healthy runs the error is usually below a third of this."""


def run(moment: Moment) -> Mapping[str, Reading]:
    """Returns no reading if a value is not finite, if rounding or a strong curvature hides the
    result, or if two passes of the same batch give different losses."""
    if not all(np.isfinite(grad).all() for grad in moment.grads.values()):
        return {}
    used = error_of(moment, moment.grads)
    if used is None:
        return {}
    found = {USED: used}
    if used > SUSPICIOUS:
        moment.subject.set_weights(moment.before)
        losses = {moment.subject.loss_at(moment.step.batch_ids) for _ in range(2)}
        if len(losses) > 1:
            return {}
        found |= _examined(moment)
    return {"gradient_error": found}


def _examined(moment: Moment) -> dict[str, float]:
    """Find out what is wrong with the gradient of a step, by further passes with the weights before
    the step."""
    subject, ids = moment.subject, moment.step.batch_ids
    subject.set_gradients({name: np.zeros_like(grad) for name, grad in moment.grads.items()})
    subject.gradient_at(ids)
    fresh = subject.gradients()
    subject.gradient_at(ids)
    again = subject.gradients()
    difference = _norm({name: again[name] - grad for name, grad in fresh.items()})
    found = {REPEATED: _share(difference, _norm(fresh))}
    if (of_fresh := error_of(moment, fresh)) is None:
        return found
    found[FRESH] = of_fresh
    if of_fresh > SUSPICIOUS:
        subject.set_weights(moment.before)
        for name in subject.backward_order(ids):
            if (of_tensor := error_of(moment, fresh, name)) is not None:
                found[name] = of_tensor
    return found


def error_of(moment: Moment, grads: Arrays, name: str | None = None) -> float | None:
    """The error of a gradient, e / (e + g), where e is the norm of its wrong part and g its norm.
    It is 0 if the gradient is right, and 1 if the gradient is 0 and should not be. With a name,
    only the tensor of this name is moved, otherwise all tensors. None if it cannot be measured."""
    own = grads if name is None else {name: grads[name]}
    first = PATTERN_STEP if name is None else TENSOR_STEP
    directions = [({part: _pattern(grad) for part, grad in own.items()}, first)]
    if (name is not None or moment.thorough) and any(grad.any() for grad in own.values()):
        directions.append(({part: _along(grad) for part, grad in own.items()}, ALONG_STEP))
    length = _norm(own)
    wrong = [_wrong_slope(moment, grads, *each, length) for each in directions]
    known = [slope for slope in wrong if slope is not None]
    return _share(max(known), length) if known else None


def _wrong_slope(
    moment: Moment, grads: Arrays, direction: Arrays, first: float, length: float
) -> float | None:
    """The difference between the measured slope of the loss along a direction and the one that the
    gradient predicts, minus what rounding explains. The step is halved until the slope converges;
    None if it does not."""
    first *= float(np.cbrt(_precision(moment) / np.finfo(np.float32).eps))
    slopes: list[float] = []
    for size in (first, 2 * first, *(first * 0.5**halving for halving in range(1, HALVINGS + 1))):
        change, predicted, rounding = _difference(moment, direction, size, grads)
        slope, noise = abs(change - predicted) / (2 * size), rounding / (2 * size)
        if slope <= SUSPICIOUS * length + noise:
            return max(0.0, slope - noise)
        slopes.insert(0 if size > first else len(slopes), (change - predicted) / (2 * size))
        if len(slopes) > 2 and np.ptp(slopes[-3:]) <= MAX_SPREAD * slope:
            return slope - noise
    return None


def _difference(
    moment: Moment, direction: Arrays, size: float, grads: Arrays
) -> tuple[float, float, float]:
    """The change of the loss from minus to plus `size` along a direction, the change that the
    gradient predicts, and the rounding error of the measured change."""
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


def _precision(moment: Moment) -> float:
    return max(float(np.finfo(weight.dtype).eps) for weight in moment.before.values())


def _along(grad: Array) -> Any:
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


def _norm(arrays: Arrays) -> float:
    """L2 norm of all arrays together."""
    return float(np.sqrt(sum(np.vdot(wide, wide) for wide in _wide(arrays))))


def _wide(arrays: Arrays) -> list[Any]:
    return [array.astype(np.float64) for array in arrays.values()]


def _share(wrong: float, length: float) -> float:
    return wrong / (wrong + length) if wrong else 0.0


PROOF = Proof("gradient", ("gradient_error",), ("loss_at", "gradient_at", "backward_order"), run)
