"""The proofs, and when they run. Each file of this folder holds one proof."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from probes.common.text import described
from probes.proofs import attention, gradient, influence, loss, repeatability, stretch, update
from probes.proofs.base import Arrays, Moment, Proof, ProvenStep, Subject
from probes.record.signals import Reading

PROOFS: tuple[Proof, ...] = (
    repeatability.PROOF,
    influence.PROOF,
    attention.PROOF,
    loss.PROOF,
    stretch.PROOF,
    gradient.PROOF,
    update.PROOF,
)
"""All proofs, in the order in which they run. A new proof needs one line here."""
LATER_STEPS = (16, 128, 1024)
"""Steps at which proofs are repeated if the length of the run is not known."""
REQUIRED = ("weights", "set_weights", "gradients", "set_gradients")
"""The methods of a subject that all proofs need."""
LOG = logging.getLogger("probes")


def steps_to_prove(total_steps: int) -> tuple[int, ...]:
    """The steps at which proofs run: the first step, those after one eighth and after one half of
    the run, and the last step. `total_steps` is 0 if it is not known."""
    if total_steps <= 0:
        return (0, *LATER_STEPS)
    return tuple(sorted({0, total_steps // 8, total_steps // 2, total_steps - 1}))


class Prover:
    """Runs the proofs of a subject at a few steps of its training, and then restores the subject.

    hooked   modules and parameters whose hooks are removed while proofs run
    signals  names of the signals to measure. Only proofs that measure one of them run"""

    def __init__(
        self,
        subject: Any,
        hooked: Iterable[Any] = (),
        total_steps: int = 0,
        signals: Iterable[str] | None = None,
    ) -> None:
        self._subject: Subject = subject
        self._hooked = tuple(hooked)
        wanted = None if signals is None else frozenset(signals)
        self._proofs = [
            proof
            for proof in PROOFS
            if all(hasattr(subject, method) for method in (*REQUIRED, *proof.needs))
            and (wanted is None or not wanted.isdisjoint(proof.signals))
        ]
        self._steps = frozenset(steps_to_prove(total_steps))
        self._thorough = frozenset((0, total_steps // 2 or LATER_STEPS[0]))
        self._before: Arrays = {}

    def prepare(self, step: int) -> None:
        """Copy the parameters if proofs will run at this step. Call it before the step begins."""
        if self._proofs and step in self._steps:
            self._before = self._subject.weights()

    def readings(self, step: ProvenStep) -> dict[str, Reading]:
        """The results of all proofs at this finished step; {} if no proof runs at it.

        A proof that raises an exception has no result. The log gets a warning, and the training
        goes on."""
        before, self._before = self._before, {}
        if not before:
            return {}
        found: dict[str, Reading] = {}
        with _undisturbed(self._subject, self._hooked), np.errstate(all="ignore"):
            moment = Moment(
                self._subject,
                step,
                before,
                after=self._subject.weights(),
                grads={name: np.array(grad) for name, grad in step.grads.items()},
                updates={name: np.array(update) for name, update in step.updates.items()},
                thorough=step.index in self._thorough,
            )
            for proof in self._proofs:
                self._subject.set_weights(before)
                try:
                    found.update(proof.run(moment))
                except Exception as error:
                    LOG.warning(
                        "proof %s failed at step %d: %s", proof.name, step.index, described(error)
                    )
        return found


@contextmanager
def _undisturbed(subject: Subject, hooked: Iterable[Any]) -> Iterator[None]:
    """Remove the hooks of modules and parameters. Afterwards restore the hooks, the weights and the
    gradients."""
    weights, gradients = subject.weights(), subject.gradients()
    hooks = [
        (part, name, getattr(part, name))
        for part in hooked
        for name in ("forward_hooks", "backward_hooks")
        if hasattr(part, name)
    ]
    for part, name, _ in hooks:
        setattr(part, name, ())
    try:
        yield
    finally:
        subject.set_weights(weights)
        subject.set_gradients(gradients)
        for part, name, own in hooks:
            setattr(part, name, own)
