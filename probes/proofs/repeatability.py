"""The same batch goes through the model twice. Both losses must be equal to the last bit.

If they differ, there is noise that should be off, such as dropout in a model that declares none, or
a mask that is drawn again for each pass. Two evaluations of a batch must give equal losses as well,
because no evaluation needs noise."""

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
