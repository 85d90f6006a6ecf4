"""A proof is an experiment on a model in training. If the training loop is right, the result of
the experiment is known in advance.

A curve shows that a run is bad; a proof shows which part of the code is wrong, even if the curve
looks good. Proofs do not depend on a framework: they use the model through a `Subject`. Their
results are written into the record as signals, and the detectors judge them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from probes.record.signals import Reading

Array = npt.NDArray[np.floating[Any]]
Arrays = Mapping[str, Array]
Ids = npt.NDArray[np.integer[Any]]
BatchIds = Sequence[int] | npt.NDArray[np.integer[Any]]


class ProvenStep(Protocol):
    """The part of a finished step that proofs use (`probes.recording.protocols.Step`)."""

    @property
    def index(self) -> int: ...

    @property
    def loss(self) -> float: ...

    @property
    def evaluation(self) -> Mapping[str, float] | None: ...

    @property
    def lr(self) -> float: ...

    @property
    def batch_ids(self) -> BatchIds: ...

    @property
    def params(self) -> Arrays: ...

    @property
    def grads(self) -> Arrays: ...

    @property
    def updates(self) -> Arrays: ...


class Subject(Protocol):
    """A model in training on which proofs can experiment. The first four methods are required. The
    others are optional: a proof runs if the subject has the methods that the proof needs.

    A batch is given by the ids of its rows. All methods compute with the current weights.

    weights        copies of all parameters
    set_weights    write all parameters
    gradients      copies of the gradients of all trained parameters
    set_gradients  write these gradients
    loss_at        the loss that a training step would report for a batch, in nats per predicted
                   token. Forward pass only: no gradient is written
    gradient_at    the same loss; writes the gradient of every parameter, as a training step does
    backward_order the names of the trained parameters in the order in which the backward pass of a
                   batch fills their gradients. It may write gradients
    evaluated      the mean loss of a batch as an evaluation computes it
    tokens         the rows of a batch from the data set, not from what the model receives: one
                   array [T + 1] per row. A model predicts the last T tokens from the first T
    held_out       ids of all rows of the validation split
    logits_of      the logits [T, V] of each given row of tokens [T]. All rows are computed as one
                   batch, as in training. The arrays are copies
    attention_of   site -> attention weights [H, T, T] (head, query, key) of one row of tokens [T],
                   which is computed without other rows
    """

    def weights(self) -> Arrays: ...

    def set_weights(self, values: Arrays) -> None: ...

    def gradients(self) -> Arrays: ...

    def set_gradients(self, values: Arrays) -> None: ...

    def loss_at(self, ids: BatchIds) -> float: ...

    def gradient_at(self, ids: BatchIds) -> float: ...

    def backward_order(self, ids: BatchIds) -> Sequence[str]: ...

    def evaluated(self, ids: BatchIds) -> float: ...

    def tokens(self, ids: BatchIds) -> Sequence[Ids]: ...

    def held_out(self) -> BatchIds: ...

    def logits_of(self, rows: Sequence[Ids]) -> Sequence[Array]: ...

    def attention_of(self, row: Ids) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class Moment:
    """The model and the step that a proof examines, just after this step has ended.

    When a proof begins, the weights of the subject are those before the step's update. The step
    computed its loss and its gradient with them. Use the copies below rather than the arrays of
    `step`: an experiment may overwrite the memory of those.

    before    copies of the parameters before the step's update
    after     copies of the parameters after it
    grads     copies of the gradients that the step used, before clipping
    updates   copies of the change that the step reports for each parameter
    thorough  whether experiments that take long should run too
    """

    subject: Subject
    step: ProvenStep
    before: Arrays
    after: Arrays
    grads: Arrays
    updates: Arrays
    thorough: bool


class Proof(NamedTuple):
    """An experiment on a subject.

    name     name of the file that holds the experiment
    signals  names of the signals that it measures
    needs    the methods of a subject that it calls
    run      function that returns signal -> reading. It may change weights and gradients, because
             the caller restores them. It draws no random numbers
    """

    name: str
    signals: tuple[str, ...]
    needs: tuple[str, ...]
    run: Callable[[Moment], Mapping[str, Reading]]


def plain_weights(weights: Arrays) -> dict[str, Array]:
    """Weights for experiments whose result does not depend on what was learned.

    Every array with two or more axes is replaced by uniform numbers of Xavier variance, 2 /
    (sum of the first two axes) (Glorot and Bengio 2010), from a generator of its own with a fixed
    seed. Biases and scales are kept."""
    rng = np.random.default_rng(0)
    return {
        name: values
        if values.ndim < 2
        else ((rng.random(values.shape) - 0.5) * np.sqrt(12 * 2 / sum(values.shape[:2]))).astype(
            values.dtype
        )
        for name, values in weights.items()
    }
