"""Trainings with one fault, made from the trainings that `testing.drawn_trainings` draws. A fault
counts by its outcome, which a rule without detectors reads off the full evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from testing.drawn_tasks import Rng, TaskNet, Values
from testing.drawn_trainings import Plan, Training, end_of, fall_of
from testing.small_net import Array, Schedule

MIN_END = 1.5
"""A loss that rose and stayed ends above this multiple of its lowest value,"""
MIN_RISE = 0.25
"""and above it by this share of the distance between its first value and the task's floor."""
MIN_OVERFIT = 1.3
"""An overfitted model's held-out loss ends above this multiple of its lowest value."""
NO_FALL = 0.02
"""A loss that fell by less than this share of what the task allows learned nothing."""
MIN_LEARNED = 0.1
"""A loss fell before it rose if it fell by this share of what the task allows."""
DEAD_BIAS = -1e6


class Fault(NamedTuple):
    """inject(plan, rng) returns the plan with the fault, or None where the fault makes no sense.
    happened(training) says whether the fault had its effect. `means` says both in words.
    needs_validation says whether a log without a validation loss cannot show the fault."""

    means: str
    inject: Callable[[Plan, Rng], Plan | None]
    happened: Callable[[Training], bool]
    needs_validation: bool = False


# Outcomes


def rose(training: Training) -> bool:
    """Both full losses became non-finite or ended far above their lowest value."""

    def high(losses: Array) -> bool:
        if not np.isfinite(losses).all():
            return True
        lowest, first = float(losses.min()), float(losses[0])
        possible = max(first - training.plan.task.floor, 0.0)
        end = end_of(losses)
        return end > MIN_END * lowest and end - lowest > MIN_RISE * possible

    return high(training.full_train) and high(training.full_held)


def rose_after_learning(training: Training) -> bool:
    """The loss fell at first, and both full losses became non-finite or ended far above their
    lowest value."""
    held = training.full_held
    lowest = float(np.nanmin(np.where(np.isfinite(held), held, np.nan)))
    possible = float(held[0]) - training.plan.task.floor
    fell = float(held[0]) - lowest
    return rose(training) and possible > 0 and fell > MIN_LEARNED * possible


def overfitted(training: Training) -> bool:
    """The held-out loss rose while the training loss fell on."""
    held, fitted = training.full_held, training.full_train
    if not (np.isfinite(held).all() and held.min() > 0):
        return False
    lowest_at = int(held.argmin())
    risen = end_of(held) > MIN_OVERFIT * float(held[lowest_at])
    return risen and end_of(fitted) < float(fitted[lowest_at])


def never_fell(training: Training) -> bool:
    """Neither full loss fell, and neither rose much."""
    fitted = training.full_train
    possible = float(fitted[0]) - training.plan.task.floor
    fell = (float(fitted[0]) - float(fitted.min())) / possible if possible > 0 else 1.0
    return not rose(training) and fell < NO_FALL and fall_of(training) < NO_FALL


def held_out_never_fell(training: Training) -> bool:
    """The held-out loss never fell."""
    return bool(np.isfinite(training.full_held).all()) and fall_of(training) < NO_FALL


def not_finite(training: Training) -> bool:
    return not np.isfinite(training.loss).all()


def equal(training: Training) -> bool:
    """The logged loss has one value, to nine digits."""
    return bool(np.ptp(training.loss) <= 1e-9 * abs(training.loss[0]))


def did_not_move(training: Training) -> bool:
    """The full training loss has one value, to nine digits."""
    return bool(np.ptp(training.full_train) <= 1e-9 * abs(training.full_train[0]))


def zero_at_end(training: Training) -> bool:
    return bool((training.loss[-len(training.loss) // 5 :] == 0).all())


# Injections


def times(lr: Schedule, factor: float, start: int = 0) -> Schedule:
    return lambda step: lr(step) * (factor if step >= start else 1.0)


def rate_too_high(plan: Plan, rng: Rng) -> Plan:
    return replace(plan, lr=times(plan.lr, 10 ** rng.uniform(1.3, 3)))


def rate_rises_late(plan: Plan, rng: Rng) -> Plan:
    start = int(plan.steps * rng.uniform(0.3, 0.8))
    return replace(plan, lr=times(plan.lr, 10 ** rng.uniform(1.3, 3), start))


def rate_too_low(plan: Plan, rng: Rng) -> Plan:
    return replace(plan, lr=times(plan.lr, 10 ** rng.uniform(-6, -3)))


def shuffled_labels(plan: Plan, rng: Rng) -> Plan | None:
    if plan.task.views > 1:
        return None
    order = rng.permutation(len(plan.task.y))
    return replace(plan, task=replace(plan.task, y=plan.task.y[order]))


def few_rows(plan: Plan, rng: Rng) -> Plan:
    """Keep 16 to 160 rows, and nothing that prevents learning them by heart in 1,000 updates or
    more."""
    rows = int(16 * 10 ** rng.random())
    task = replace(plan.task, x=plan.task.x[:rows], y=plan.task.y[:rows], penalty=0.0)
    return replace(
        plan,
        task=task,
        steps=max(plan.steps, 1000),
        batch=min(plan.batch, max(2, rows // 4)),
        dropout=0.0,
        decay=0.0,
        augmentation=0.0,
    )


def nan_weight(plan: Plan, rng: Rng) -> Plan:
    """A weight becomes NaN in the first two thirds, so that the shortest log of three rows shows
    it."""
    at = int(plan.steps * rng.uniform(0.1, 0.65))

    def before(step: int, net: TaskNet) -> None:
        if step == at:
            net.params[0][0, 0] = np.nan

    return replace(plan, before=before)


def explosion(plan: Plan, rng: Rng) -> Plan:
    """One update throws the network so far away that its hidden units die."""
    at, size, direction = int(plan.steps * rng.uniform(0.2, 0.8)), rng.uniform(3, 30), rng.random()

    def before(step: int, net: TaskNet) -> None:
        if step == at:
            for bias in net.params[1:-2:2]:
                bias += DEAD_BIAS
            wild = np.random.default_rng(int(direction * 1e9)).standard_normal(len(net.params[-1]))
            net.params[-1] += size * wild

    return replace(plan, before=before)


def dead(plan: Plan, rng: Rng) -> Plan | None:
    """All outputs are 0 and no gradient arrives: the loss rests at ln K."""
    if not plan.task.labelled:
        return None

    def before(step: int, net: TaskNet) -> None:
        if step == 0:
            net.frozen = tuple(range(len(net.params)))
            net.params[-2][:] = 0
            for bias in net.params[1:-2:2]:
                bias += DEAD_BIAS

    return replace(plan, task=replace(plan.task, penalty=0.0), before=before, decay=0.0)


def frozen(plan: Plan, rng: Rng) -> Plan:
    """Every batch holds all rows, and no update changes the network."""
    rows = min(len(plan.task.x), 256)
    task = replace(plan.task, x=plan.task.x[:rows], y=plan.task.y[:rows])
    return replace(
        plan, task=task, batch=rows, lr=times(plan.lr, 0.0), dropout=0.0, augmentation=0.0
    )


def masked_labels(plan: Plan, rng: Rng) -> Plan:
    """From some step on, often the first, no label takes part in the loss."""
    at = 0 if rng.random() < 0.6 else int(plan.steps * rng.uniform(0.1, 0.7))

    def nothing(out: Array, _: Values) -> tuple[float, Array]:
        return 0.0, np.zeros_like(out)

    def before(step: int, net: TaskNet) -> None:
        if step == at:
            net.task = replace(net.task, loss=nothing)

    return replace(plan, task=replace(plan.task, penalty=0.0), before=before)


FAULTS: Mapping[str, Fault] = {
    "rate too high": Fault(
        "The learning rate is 20 to 1,000 times too high. The loss is not finite, or ends above "
        "1.5 times its lowest value.",
        rate_too_high,
        rose,
    ),
    "rate rises late": Fault(
        "The learning rate becomes 20 to 1,000 times higher in the middle. The loss fell before; "
        "then it is not finite, or ends above 1.5 times its lowest value.",
        rate_rises_late,
        rose_after_learning,
    ),
    "rate too low": Fault(
        "The learning rate is a thousand to a million times too low. The loss falls by less than "
        "2 % of what the task allows.",
        rate_too_low,
        never_fell,
    ),
    "shuffled labels": Fault(
        "The targets are shuffled. The held-out loss falls by less than 2 % of what the task "
        "allows.",
        shuffled_labels,
        held_out_never_fell,
        needs_validation=True,
    ),
    "overfit": Fault(
        "There are 16 to 160 training rows. The held-out loss ends above 1.3 times its lowest "
        "value while the training loss falls on.",
        few_rows,
        overfitted,
        needs_validation=True,
    ),
    "NaN": Fault(
        "A weight becomes NaN in the first two thirds. The loss is NaN from then on.",
        nan_weight,
        not_finite,
    ),
    "explosion": Fault(
        "One update is so large that all hidden units die. The loss ends above 1.5 times its "
        "lowest value.",
        explosion,
        rose_after_learning,
    ),
    "dead": Fault(
        "All outputs and gradients are 0 from the start. The loss rests at ln K.",
        dead,
        did_not_move,
    ),
    "frozen": Fault(
        "Every batch holds all rows and no update changes the weights. The logged loss has one "
        "value.",
        frozen,
        equal,
    ),
    "zero loss": Fault(
        "No label takes part in the loss. The logged loss is exactly 0 to the end.",
        masked_labels,
        zero_at_end,
    ),
}
