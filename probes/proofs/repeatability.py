"""The same batch passes twice: the loss must be the same, to the last bit.

A loss that differs shows noise that somebody left on, such as dropout in a model that declares
none, or a mask that is drawn anew for each pass. The evaluation of a batch must repeat as well;
no model needs noise there."""

from __future__ import annotations

from collections.abc import Mapping

from probes.proofs.base import Moment, Proof
from probes.record.signals import Reading

TRAINING, EVALUATION = "training", "evaluation"


def run(moment: Moment) -> Mapping[str, Reading]:
    """The evaluation is repeated at thorough moments only."""
    passes = {TRAINING: moment.subject.loss_at}
    if moment.thorough:
        passes[EVALUATION] = moment.subject.evaluated
    return {
        "loss_repeat_error": {
            site: relative_difference(*(loss(moment.step.batch_ids) for _ in range(2)))
            for site, loss in passes.items()
        }
    }


def relative_difference(first: float, second: float) -> float:
    """|first - second| relative to the larger of the two; 0 if they are equal."""
    return 0.0 if first == second else abs(first - second) / max(abs(first), abs(second))


PROOF = Proof("repeatability", ("loss_repeat_error",), ("loss_at", "evaluated"), run)
