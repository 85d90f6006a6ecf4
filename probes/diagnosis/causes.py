"""The table of causes that a diagnosis can name. For each cause it lists the symptoms that the
cause needs, those that exclude it, those that follow from it, and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from probes.diagnosis.base import Symptom
from probes.diagnosis.detectors import (
    at_chance,
    at_ln_k,
    attention_sum,
    blind,
    data_audit,
    dead_neurons,
    divergence,
    exploding_gradients,
    first_update,
    floor,
    frozen,
    future,
    initial_activation,
    initial_gradient,
    initial_loss,
    instrument,
    loss_spike,
    loss_zero,
    nonfinite,
    overfitting,
    random_loss,
    rate_too_high,
    reported_loss,
    rows,
    schedule,
    schedule_followed,
    stalled,
    stuck_heads,
    train_eval,
    vanishing_gradients,
    wrong_gradient,
    wrong_update,
    zero_updates,
)
from probes.diagnosis.evidence import Evidence
from probes.diagnosis.health import val_loss_never_fell
from probes.record.signals import signal_named

Category = Literal[
    "optimisation", "initialisation", "architecture", "backward", "data", "loss", "numerics",
    "capacity",
]  # fmt: skip
"""The part of a training in which a fault lies. `backward` is the computation of the gradient.
`capacity` concerns how much the model can learn, compared with the size of its data."""


class Clue(NamedTuple):
    """A condition that rules out one of two causes that otherwise look the same.

    text      the condition in words, for `explain`
    present   function of the evidence and of the names of the symptoms found: whether the
              condition is met
    """

    text: str
    present: Callable[[Evidence, Collection[str]], bool]


def recorded(signal: str) -> Clue:
    """Make the clue that a signal was recorded. Raises UnknownSignalError for an unknown name."""
    signal_named(signal)
    return Clue(f"{signal} was recorded", lambda evidence, _: bool(evidence.sites(signal)))


def found(symptom: Symptom) -> Clue:
    """Make the clue that a symptom was found."""
    return Clue(f"{symptom.name} was found", lambda _, names: symptom.name in names)


LEARNED_FOR_HELD_OUT = Clue(
    "val_loss fell, and no accuracy on held-out rows is at chance",
    lambda evidence, names: (
        not evidence.cached(val_loss_never_fell) and at_chance.HELD_OUT_AT_CHANCE.name not in names
    ),
)
"""The model learned something that holds for rows it was not trained on."""


class Cause(NamedTuple):
    """One way for a run to go wrong.

    category     the part of the training in which the fault lies
    meaning      what is wrong, in words
    needs        symptom -> minimum strength of its strongest finding, in decades beyond the limit.
                 All these symptoms must be found. The first one is decisive: its strength is the
                 strength of the cause
    instead      symptoms of which each can take the place of the decisive one
    excluded     symptoms that exclude this cause: if one of them is found, the cause is not named
    explains     further symptoms that follow from this cause and need no separate cause
    remedy       what to do; {onset} stands for the step at which the decisive finding began
    reworded     function of the evidence that returns a more precise meaning and remedy, if the
                 evidence allows one; otherwise None
    may_also_be  name of another fault that looks the same -> clues that rule it out. The diagnosis
                 names the other fault as well unless one of the clues is present; if there are no
                 clues, it always does
    """

    name: str
    category: Category
    meaning: str
    needs: dict[Symptom, float]
    remedy: str
    instead: tuple[Symptom, ...] = ()
    excluded: tuple[Symptom, ...] = ()
    explains: tuple[Symptom, ...] = ()
    reworded: Callable[[Evidence], tuple[str, str] | None] = lambda _: None
    may_also_be: Mapping[str, tuple[Clue, ...]] = MappingProxyType({})

    @property
    def decisive(self) -> Symptom:
        return next(iter(self.needs))

    @property
    def deciding(self) -> tuple[Symptom, ...]:
        """The decisive symptom and those that can take its place."""
        return (self.decisive, *self.instead)

    def accounts_for(self, symptom: str) -> bool:
        """Whether the cause needs or explains the symptom of this name."""
        own = (*self.needs, *self.instead, *self.explains)
        return any(one.name == symptom for one in own)

    def follows_from(self, other: Cause) -> bool:
        """Whether another cause explains all symptoms that this one needs."""
        return set(self.needs) <= set(other.explains)


LOSS_AT_REST = (
    stalled.AT_UNIFORM, stalled.AT_UNIGRAM, stalled.AT_BIGRAM, at_ln_k.AT_LN_K,
    at_chance.AT_CHANCE, frozen.FROZEN,
)  # fmt: skip
"""Symptoms of a loss that stays at a level which a model reaches with little or no learning."""

WRONG_TRAINING = (
    overfitting.VAL_RISING, loss_spike.SPIKE, stuck_heads.STUCK, dead_neurons.DEAD,
    divergence.ENDS_HIGH, divergence.ENDS_ABOVE_START, rate_too_high.RISES_WITH_LR,
    floor.BELOW_FLOOR, train_eval.MISMATCH, *LOSS_AT_REST,
)  # fmt: skip
"""Symptoms that follow if a model is trained or evaluated on the wrong data or the wrong loss."""
NOT_THE_MEAN = (reported_loss.NOT_MEAN, reported_loss.SUMMED, reported_loss.OTHER)
"""Symptoms of a reported loss that is not the mean loss of the rows in `batch_ids`."""

CONSEQUENCES = (
    *LOSS_AT_REST, loss_spike.SPIKE, divergence.ENDS_HIGH, divergence.ENDS_ABOVE_START,
    rate_too_high.RISES_WITH_LR, exploding_gradients.RISING, vanishing_gradients.VANISHED,
    stuck_heads.STUCK, dead_neurons.DEAD, overfitting.VAL_RISING,
)  # fmt: skip
"""Symptoms that may follow from any fault of the code that updates the weights. If a proof shows
such a fault, they need no other cause."""

CAUSES: tuple[Cause, ...] = (
    Cause(
        "mask-leak",
        "architecture",
        "the model sees what it should predict: later tokens influence a prediction, or the loss "
        "is lower than a model that sees only the past can reach",
        needs={floor.BELOW_FLOOR: 0.0},
        instead=(future.FUTURE_INFLUENCE, future.FUTURE_ATTENTION),
        remedy=(
            "mask every position after the query's own, and check that no target reaches the input "
            "in another way"
        ),
        explains=(
            random_loss.RANDOM, overfitting.VAL_RISING, loss_spike.SPIKE, stuck_heads.STUCK,
            dead_neurons.DEAD, reported_loss.NOT_MEAN, instrument.IMPOSSIBLE,
        ),
    ),
    Cause(
        "random-loss",
        "architecture",
        "the same batch with the same weights gives another loss each time: noise is on where the "
        "model declares none",
        needs={random_loss.RANDOM: 0.0},
        remedy=(
            "look for dropout or a random mask that is left on, above all in evaluations; a model "
            "that is meant to have dropout must state the fact `dropout`"
        ),
        explains=(reported_loss.NOT_MEAN, train_eval.MISMATCH),
    ),
    Cause(
        "validation-in-training",
        "data",
        "the model trains on rows that are not in the training split, or is validated on rows that "
        "are in it: the validation loss does not measure what it has learned for new rows",
        needs={data_audit.HELD_OUT: 0.0},
        instead=(data_audit.VALIDATED_ON_TRAINED,),
        remedy=(
            "draw batches from the training split only, and check that no row is in both parts of "
            "the split"
        ),
        explains=(
            data_audit.FED, data_audit.EVALUATED, data_audit.REPEATED, data_audit.ORDER,
            *NOT_THE_MEAN, *WRONG_TRAINING,
        ),
    ),
    Cause(
        "one-batch",
        "data",
        "the batches repeat a few rows of the training split, and the model learns them by heart",
        needs={data_audit.FEW_ROWS: 0.0},
        remedy=(
            "draw the next batch at each step, and check that the sampler goes through all rows of "
            "the training split"
        ),
        explains=(data_audit.ORDER, *WRONG_TRAINING),
    ),
    Cause(
        "wrong-data",
        "data",
        "the model does not receive the data of the data set: it gets other tokens or targets, "
        "other rows in an evaluation, or rows in another order",
        needs={data_audit.FED: 0.0},
        instead=(
            reported_loss.OTHER, data_audit.EVALUATED, data_audit.REPEATED, data_audit.ORDER,
        ),
        remedy=(
            "compare a batch with its rows: the targets must be the tokens shifted by one. Check "
            "that each epoch draws each row once, in a new order, and that an evaluation passes "
            "each validation row once"
        ),
        explains=(reported_loss.NOT_MEAN, *WRONG_TRAINING),
    ),
    Cause(
        "wrong-loss",
        "loss",
        "the reported loss is not the mean cross-entropy of the predicted tokens",
        needs={reported_loss.NOT_MEAN: 0.0},
        remedy=(
            "check that the mean is over each predicted token once, without padding; that nothing "
            "is added to the loss and no target is smoothed; and which weights the loss uses"
        ),
        explains=WRONG_TRAINING,
    ),
    Cause(
        "rows-mixed",
        "architecture",
        "other rows of the batch, or the padding, influence the logits of a row",
        needs={rows.ROW_INFLUENCE: 0.0},
        instead=(rows.COMPANY_INFLUENCE,),
        remedy=(
            "check the axis of every normalisation and softmax and the order of axes in reshapes; "
            "hide padding from every query"
        ),
        explains=(
            blind.UNREACHED, blind.ORDER_IGNORED, loss_spike.SPIKE, overfitting.VAL_RISING,
            *LOSS_AT_REST,
        ),
    ),
    Cause(
        "blind-attention",
        "architecture",
        "tokens that should influence a prediction do not: a mask hides them, or the output of "
        "attention is lost",
        needs={blind.UNREACHED: 0.0},
        instead=(blind.HIDDEN_KEYS,),
        remedy=(
            "compare the mask with a lower triangle that includes the diagonal, and check that the "
            "output of every head is added to the residual stream"
        ),
        explains=(
            blind.ORDER_IGNORED, overfitting.VAL_RISING, stuck_heads.STUCK, *LOSS_AT_REST,
        ),
    ),
    Cause(
        "wrong-softmax",
        "architecture",
        "the attention weights of a query do not sum to 1, so attention is no mean over the keys",
        needs={attention_sum.NOT_A_MEAN: 0.0},
        remedy=(
            "let the softmax run over the axis of the keys, and add the mask to the scores before "
            "it"
        ),
        excluded=(future.FUTURE_ATTENTION,),
        explains=(
            future.FUTURE_INFLUENCE, rows.ROW_INFLUENCE, rows.COMPANY_INFLUENCE, floor.BELOW_FLOOR,
            stuck_heads.STUCK, overfitting.VAL_RISING, *LOSS_AT_REST,
        ),
    ),
    Cause(
        "order-blind",
        "architecture",
        "the predictions of the model do not depend on the order of the tokens",
        needs={blind.ORDER_IGNORED: 0.0},
        remedy=(
            "check that positions reach the model: rotary angles applied to queries and keys, or "
            "position embeddings added, along the axis of time"
        ),
        explains=(overfitting.VAL_RISING, *LOSS_AT_REST),
    ),
    Cause(
        "bad-init",
        "initialisation",
        "the weights start far too large, so the model is confidently wrong before it has seen "
        "anything",
        needs={initial_loss.HIGH: 0.0},
        remedy="initialise weights at Xavier or He scale; check for a factor applied twice",
        explains=(
            initial_activation.LARGE, initial_gradient.LARGE, stuck_heads.STUCK, dead_neurons.DEAD,
            loss_spike.SPIKE, nonfinite.NON_FINITE, overfitting.VAL_RISING, *LOSS_AT_REST,
        ),
    ),
    Cause(
        "no-warmup",
        "optimisation",
        "the first update, at the full learning rate, overwrites what the layers computed instead "
        "of refining it",
        needs={first_update.LARGE: 0.0, first_update.AT_PEAK: 0.0},
        remedy=(
            "raise the learning rate linearly from near zero over the first tenth of the run, or "
            "lower its peak"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE),
        explains=(
            loss_spike.SPIKE, stuck_heads.STUCK, dead_neurons.DEAD, overfitting.VAL_RISING,
            *LOSS_AT_REST,
        ),
    ),
    Cause(
        "non-finite",
        "numerics",
        "a value became NaN or infinite, and everything computed from it is lost",
        needs={nonfinite.NON_FINITE: 0.0},
        remedy=(
            "check the named site at the named step for overflow, division by zero, log of zero "
            "and bad data"
        ),
        excluded=(initial_loss.HIGH,),
        explains=(
            initial_gradient.LARGE, initial_gradient.SMALL, first_update.LARGE,
            first_update.AT_PEAK, loss_zero.ZERO_LOSS, divergence.ENDS_HIGH,
            divergence.ENDS_ABOVE_START, rate_too_high.RISES_WITH_LR, loss_spike.SPIKE,
            vanishing_gradients.VANISHED, zero_updates.UPDATE_ZERO,
        ),
    ),
    Cause(
        "wrong-gradient",
        "backward",
        "the backward pass does not compute the derivative of the loss",
        needs={wrong_gradient.WRONG: 0.0},
        instead=(wrong_gradient.REPLACED,),
        remedy=(
            "compare the backward pass of the named tensor, and of the layer whose gradient is "
            "filled before it, with central differences; then check what else changes gradients "
            "before the optimizer reads them"
        ),
        excluded=(wrong_gradient.STALE, nonfinite.NON_FINITE),
        explains=(*CONSEQUENCES, wrong_update.UNTRAINED),
    ),
    Cause(
        "stale-gradient",
        "optimisation",
        "the gradient of a step still holds gradients of earlier passes",
        needs={wrong_gradient.STALE: 0.0},
        remedy="set all gradients to zero before each backward pass",
        excluded=(nonfinite.NON_FINITE,),
        explains=CONSEQUENCES,
    ),
    Cause(
        "weights-overwritten",
        "optimisation",
        "something other than the optimizer changes the weights",
        needs={wrong_update.OVERWRITTEN: 0.0},
        remedy=(
            "look for code that writes the named tensor around the named step: a reset, a copy, an "
            "average of weights, or a load of a checkpoint"
        ),
        explains=(*CONSEQUENCES, nonfinite.NON_FINITE),
    ),
    Cause(
        "untrained-parameter",
        "optimisation",
        "a tensor has a gradient, but the optimizer does not move it",
        needs={wrong_update.UNTRAINED: 0.0},
        remedy="pass the named tensors to the optimizer; check how its groups select parameters",
        excluded=(nonfinite.NON_FINITE,),
        explains=(overfitting.VAL_RISING, *LOSS_AT_REST),
    ),
    Cause(
        "no-bias-correction",
        "optimisation",
        "Adam does not correct the bias of its moments, so its first updates have the wrong size",
        needs={wrong_update.NO_CORRECTION: 0.0},
        remedy="divide the moments by 1 - beta^t, with t the number of the step from 1",
        excluded=(nonfinite.NON_FINITE,),
        explains=CONSEQUENCES,
    ),
    Cause(
        "schedule-not-followed",
        "optimisation",
        "the weights do not change at the learning rate that is declared or reported",
        needs={wrong_update.OTHER_SCALE: 0.0},
        instead=(schedule_followed.OFF,),
        remedy=(
            "compare the rate that the optimizer receives with the declared schedule, and check "
            "the sign and the factors of its update"
        ),
        excluded=(schedule.ZERO, schedule.ZERO_EARLY, schedule.CONSTANT, nonfinite.NON_FINITE),
        explains=(*CONSEQUENCES, first_update.LARGE, first_update.AT_PEAK),
    ),
    Cause(
        "loss-zero",
        "loss",
        "the loss suddenly becomes exactly 0 and stays 0: no target is counted, or the trainer "
        "writes 0 for a loss that was NaN",
        needs={loss_zero.ZERO_LOSS: 0.0},
        remedy=(
            "check at step {onset} whether all labels are masked (ignore_index, collator, "
            "truncation) or a value is NaN"
        ),
        excluded=(nonfinite.NON_FINITE,),
        explains=(vanishing_gradients.VANISHED, initial_gradient.SMALL, frozen.FROZEN),
        may_also_be={"non-finite": (recorded("grad_norm"), recorded("val_loss"))},
    ),
    Cause(
        "summed-loss",
        "loss",
        "the loss is summed over tokens instead of averaged: it, or its gradient, is about a "
        "hundred times too large or more",
        needs={initial_gradient.LARGE: 1.0},
        instead=(reported_loss.SUMMED, initial_loss.SUMMED),
        remedy="divide the loss by the number of predicted tokens before the backward pass",
        excluded=(initial_loss.HIGH, initial_activation.LARGE, nonfinite.NON_FINITE),
        explains=(train_eval.MISMATCH, initial_gradient.LARGE, wrong_gradient.WRONG),
    ),
    Cause(
        "dead-gradient",
        "backward",
        "the gradient of the first step is almost zero: degenerate data, an all-zero mask or a "
        "detached graph",
        needs={initial_gradient.SMALL: 2.0},
        remedy=(
            "check that targets vary, that the loss mask is not all zero and that parameters "
            "require gradients"
        ),
        excluded=(nonfinite.NON_FINITE, wrong_gradient.REPLACED),
        explains=(zero_updates.UPDATE_ZERO, vanishing_gradients.VANISHED, *LOSS_AT_REST),
    ),
    Cause(
        "lr-zero",
        "optimisation",
        "the learning rate is zero from the start: nothing can be learned",
        needs={schedule.ZERO: 0.0},
        remedy=(
            "set the base learning rate; check that the schedule multiplies it and does not "
            "replace it"
        ),
        explains=LOSS_AT_REST,
    ),
    Cause(
        "schedule-ended-early",
        "optimisation",
        "the learning rate reaches 0 long before the run ends: the steps after that change nothing",
        needs={schedule.ZERO_EARLY: 0.0},
        remedy=(
            "give the schedule as many steps as the run has, since its rate is 0 by step {onset}; "
            "or stop there"
        ),
        explains=LOSS_AT_REST,
    ),
    Cause(
        "schedule-never-stepped",
        "optimisation",
        "a schedule is declared, but the learning rate never moves",
        needs={schedule.CONSTANT: 0.0},
        remedy="call the scheduler once per optimizer step, or declare the schedule as constant",
    ),
    Cause(
        "saturated-attention",
        "architecture",
        "attention heads attend to a single key although the model has not learned to do so: their "
        "softmax is saturated and passes no gradient",
        needs={stuck_heads.STUCK: 0.0},
        remedy=(
            "scale scores by 1/sqrt(d_head), check the scale of query and key weights, lower the "
            "learning rate"
        ),
        excluded=(
            initial_loss.HIGH, initial_activation.LARGE, nonfinite.NON_FINITE, floor.BELOW_FLOOR,
        ),
        explains=(initial_gradient.LARGE, *LOSS_AT_REST),
    ),
    Cause(
        "dead-neurons",
        "capacity",
        "most of a layer's neurons are inactive on every token: they pass on no signal and get no "
        "gradient",
        needs={dead_neurons.DEAD: 0.0},
        remedy=(
            "lower the learning rate or the scale of the layer's bias; check what precedes the "
            "activation"
        ),
        excluded=(
            initial_loss.HIGH, initial_activation.LARGE, nonfinite.NON_FINITE, floor.BELOW_FLOOR,
        ),
        explains=LOSS_AT_REST,
    ),
    Cause(
        "large-activations",
        "initialisation",
        "a layer's output starts at many times unit scale although the first loss is right, "
        "because a normalisation hides the scale",
        needs={initial_activation.LARGE: 0.0},
        remedy="initialise the layer at Xavier or He scale, or scale its residual branch down",
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE),
        explains=(
            initial_gradient.LARGE, initial_gradient.SMALL, stuck_heads.STUCK, dead_neurons.DEAD,
            loss_spike.SPIKE, *LOSS_AT_REST,
        ),
    ),
    Cause(
        "vanishing-gradients",
        "backward",
        "the gradient is 0, or almost 0 in the first layers: units are dead, saturated or detached",
        needs={vanishing_gradients.VANISHED: 0.0},
        remedy=(
            "look at the step before the first 0 for units that are 0 or saturated everywhere, and "
            "for detached tensors"
        ),
        excluded=(nonfinite.NON_FINITE,),
        explains=(
            divergence.ENDS_HIGH, divergence.ENDS_ABOVE_START, loss_spike.SPIKE,
            overfitting.VAL_RISING, zero_updates.UPDATE_ZERO, *LOSS_AT_REST,
        ),
    ),
    Cause(
        "no-updates",
        "optimisation",
        "no step changes the weights, although the learning rate is above 0",
        needs={zero_updates.UPDATE_ZERO: 0.0},
        remedy=(
            "check that the optimizer holds the parameters of the model in use, that the gradient "
            "scaler does not skip every step, and that the weights have enough digits for the "
            "update (not bfloat16 alone)"
        ),
        excluded=(nonfinite.NON_FINITE,),
        explains=(overfitting.VAL_RISING, *LOSS_AT_REST),
        may_also_be={"lr-zero": (recorded("lr"),)},
    ),
    Cause(
        "exploding-gradients",
        "optimisation",
        "the gradient norm grows by an order of magnitude or more, and the loss rises after it",
        needs={exploding_gradients.RISING: 0.0, divergence.ENDS_HIGH: 0.0},
        remedy=(
            "clip the gradient norm, check the sign of weight decay, and look at the growth from "
            "step {onset} on"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE),
        explains=(
            divergence.ENDS_HIGH, divergence.ENDS_ABOVE_START, loss_spike.SPIKE,
            overfitting.VAL_RISING,
        ),
    ),
    Cause(
        "lr-too-high",
        "optimisation",
        "the loss starts to rise as the learning rate rises: what was learned at the lower rate "
        "is lost at the higher one",
        needs={rate_too_high.RISES_WITH_LR: 0.0},
        remedy=(
            "lower the peak rate to its value around step {onset}, where the loss still fell, or "
            "further"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE, floor.BELOW_FLOOR, first_update.LARGE),
        explains=(
            divergence.ENDS_HIGH, divergence.ENDS_ABOVE_START, loss_spike.SPIKE,
            overfitting.VAL_RISING, dead_neurons.DEAD,
        ),
    ),
    Cause(
        "diverged",
        "optimisation",
        "the loss ends above where it began, or all that was learned is lost and not learned "
        "again: training made the model worse",
        needs={divergence.ENDS_HIGH: 0.0},
        remedy=(
            "divide the learning rate by ten; check the sign of the update and of the loss, and "
            "look at step {onset}"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE),
        explains=(divergence.ENDS_ABOVE_START, loss_spike.SPIKE, overfitting.VAL_RISING),
        may_also_be={
            "lr-too-high": (),
            "vanishing-gradients": (recorded("grad_norm"), found(divergence.ENDS_ABOVE_START)),
        },
    ),
    Cause(
        "loss-spike",
        "optimisation",
        "a sudden rise of the loss undoes a large part of what was learned: updates are too large, "
        "or a batch was unlike the others",
        needs={loss_spike.SPIKE: 0.0},
        remedy=(
            "look at the batch of the named step; lower the peak rate, clip gradients or lengthen "
            "the warmup"
        ),
        excluded=(
            initial_loss.HIGH, initial_activation.LARGE, nonfinite.NON_FINITE, floor.BELOW_FLOOR,
            first_update.AT_PEAK,
        ),
        explains=(overfitting.VAL_RISING,),
    ),
    Cause(
        "learns-nothing",
        "optimisation",
        "the loss stays at the level of a model that knows nothing",
        needs={stalled.AT_UNIFORM: 0.0},
        remedy=(
            "check that gradients reach the optimizer and that its updates reach the weights in "
            "use; raise the learning rate"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE, schedule.ZERO, initial_gradient.SMALL),
        explains=(at_ln_k.AT_LN_K, at_chance.AT_CHANCE, frozen.FROZEN),
    ),
    Cause(
        "blind-to-input",
        "architecture",
        "the loss stays at the level of a model that knows how often each symbol occurs but does "
        "not see its input",
        needs={stalled.AT_UNIGRAM: 0.0},
        instead=(blind.INPUT_IGNORED,),
        remedy=(
            "check that the tokens reach the first layer and that the layers after it pass them on"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE),
        explains=(stuck_heads.STUCK, at_ln_k.AT_LN_K, at_chance.AT_CHANCE),
    ),
    Cause(
        "blind-to-context",
        "architecture",
        "the loss stays at the level of a model that sees the last symbol and nothing before it",
        needs={stalled.AT_BIGRAM: 0.0},
        remedy=(
            "check that the attention mask does not hide the past, and that the output of "
            "attention is added to the residual stream"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE),
        explains=(stuck_heads.STUCK, at_ln_k.AT_LN_K, at_chance.AT_CHANCE),
    ),
    Cause(
        "plateau",
        "optimisation",
        "the loss stays at the level of a model that does not see its input",
        needs={at_ln_k.AT_LN_K: 0.0},
        instead=(at_chance.AT_CHANCE, frozen.FROZEN),
        remedy=(
            "check that inputs and gradients arrive and that the learning rate is large enough; "
            "then that labels fit their inputs"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE),
        may_also_be={
            "shuffled-labels": (found(frozen.FROZEN),),
            "lr-zero": (recorded("lr"), found(at_ln_k.AT_LN_K), found(at_chance.AT_CHANCE)),
        },
    ),
    Cause(
        "train-eval-mismatch",
        "loss",
        "the loss of a batch and the loss of the training split are not the same function of the "
        "model",
        needs={train_eval.MISMATCH: 0.0},
        remedy=(
            "evaluate a training batch at once with both code paths: compare tokens, targets, mask "
            "and dropout"
        ),
        excluded=(nonfinite.NON_FINITE,),
    ),
    Cause(
        "overfit",
        "capacity",
        "validation loss has risen for good although the training loss has not: rows are learned "
        "by heart",
        needs={overfitting.VAL_RISING: 0.0},
        instead=(at_chance.HELD_OUT_AT_CHANCE,),
        remedy=(
            "stop at step {onset}, where smoothed validation loss was lowest; or regularise, or "
            "train on more data"
        ),
        excluded=(initial_loss.HIGH, nonfinite.NON_FINITE, floor.BELOW_FLOOR, first_update.AT_PEAK),
        reworded=lambda evidence: (
            at_chance.learned_by_heart(evidence) or overfitting.metric_best_later(evidence)
        ),
        may_also_be={
            "shuffled-labels": (LEARNED_FOR_HELD_OUT,),
            "diverged": (recorded("loss"), recorded("train_loss")),
        },
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Cause] = {cause.name: cause for cause in CAUSES}
