"""The causes a diagnosis can name, one row each: what a cause needs, what excludes it, what it explains, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cause:
    """One way for a run to go wrong.

    needs      symptom -> least strength of its finding (log10 of observed over limit); all must be present. The first
               is the decisive one: its strength is the cause's.
    excluded   symptoms in whose presence this cause is not named
    explains   further symptoms that follow from the cause and need no cause of their own
    """

    name: str
    meaning: str
    needs: Mapping[str, float]
    remedy: str
    excluded: tuple[str, ...] = ()
    explains: tuple[str, ...] = field(default=())

    @property
    def decisive(self) -> str:
        return next(iter(self.needs))

    def accounts_for(self, symptom: str) -> bool:
        return symptom in self.needs or symptom in self.explains


CAUSES: tuple[Cause, ...] = (
    Cause(
        "bad-init",
        "the weights start far too large, so the model is confidently wrong before it has seen anything",
        needs={"initial-loss-high": 0.0},
        remedy="initialise weights at Xavier or He scale; check for a factor applied twice",
        explains=("first-gradient-large", "non-finite"),
    ),
    Cause(
        "non-finite",
        "a value became NaN or infinite, and everything computed from it is lost",
        needs={"non-finite": 0.0},
        remedy="look at the named site at the named step: overflow, division by zero, log of zero, bad data",
        excluded=("initial-loss-high",),
        explains=("first-gradient-large", "first-gradient-small"),
    ),
    Cause(
        "summed-loss",
        "the first gradient is over a hundred although the first loss is right: a sum stands where a mean belongs",
        needs={"first-gradient-large": 1.0},
        remedy="divide the loss by the number of predicted tokens before the backward pass",
        excluded=("initial-loss-high", "non-finite"),
    ),
    Cause(
        "dead-gradient",
        "hardly any gradient arrives at the first step: degenerate data, an all-zero mask or a detached graph",
        needs={"first-gradient-small": 2.0},
        remedy="check that targets vary, that the loss mask is not all zero and that parameters require gradients",
        excluded=("non-finite",),
    ),
    Cause(
        "lr-zero",
        "the learning rate is zero from the start: nothing can be learned",
        needs={"lr-zero": 0.0},
        remedy="set the base learning rate; check that the schedule multiplies it and does not replace it",
    ),
    Cause(
        "schedule-never-stepped",
        "a schedule is declared, but the learning rate never moves",
        needs={"lr-constant": 0.0},
        remedy="call the scheduler once per optimizer step, or declare the schedule as constant",
    ),
)

BY_NAME: Mapping[str, Cause] = {cause.name: cause for cause in CAUSES}
