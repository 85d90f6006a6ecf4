"""The causes a diagnosis can name, one row each: what a cause needs, what excludes it, what it
explains, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

VAL_FELL = "a fall of val_loss"
"""Between its evaluations: something was learned that holds for other rows as well."""


@dataclass(frozen=True)
class Cause:
    """One way for a run to go wrong.

    needs      symptom -> least strength of its finding (log10 of observed over limit); all must be
               present. The first is the decisive one: its strength is the cause's.
    excluded   symptoms in whose presence this cause is not named
    explains   further symptoms that follow from the cause and need no cause of their own
    remedy     a sentence; {onset} in it stands for the step at which the decisive finding began
    alike      another name -> signals, symptoms or VAL_FELL, any of which would tell the two apart;
               () when nothing does. Where none was recorded or found the run may be that as well,
               and the diagnosis says so
    """

    name: str
    meaning: str
    needs: Mapping[str, float]
    remedy: str
    excluded: tuple[str, ...] = ()
    explains: tuple[str, ...] = field(default=())
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def decisive(self) -> str:
        return next(iter(self.needs))

    def accounts_for(self, symptom: str) -> bool:
        return symptom in self.needs or symptom in self.explains


_STALLED = ("stalled-at-uniform", "stalled-at-unigram", "stalled-at-bigram", "loss-at-ln-k")

CAUSES: tuple[Cause, ...] = (
    Cause(
        "mask-leak",
        "the model sees what it is to predict: its loss is below what any model of the past alone can reach",
        needs={"loss-below-floor": 0.0},
        remedy="mask every position after the query's own, and check that no target reaches the input by another way",
        explains=("val-loss-rising", "loss-spike", "head-stuck", "dead-neurons"),
    ),
    Cause(
        "bad-init",
        "the weights start far too large, so the model is confidently wrong before it has seen anything",
        needs={"initial-loss-high": 0.0},
        remedy="initialise weights at Xavier or He scale; check for a factor applied twice",
        explains=(
            "initial-activation-large", "first-gradient-large", "head-stuck", "dead-neurons", "loss-spike",
            "non-finite", "val-loss-rising", *_STALLED,
        ),
    ),
    Cause(
        "no-warmup",
        "the first update, at the full learning rate, overwrites what the layers computed instead of refining it",
        needs={"first-update-large": 0.0, "lr-starts-at-peak": 0.0},
        remedy="raise the learning rate linearly from near zero over the first tenth of the run, or lower its peak",
        excluded=("initial-loss-high", "non-finite"),
        explains=("loss-spike", "head-stuck", "dead-neurons", "val-loss-rising", *_STALLED),
    ),
    Cause(
        "non-finite",
        "a value became NaN or infinite, and whatever is computed from it is lost",
        needs={"non-finite": 0.0},
        remedy="look at the named site at the named step: overflow, division by zero, log of zero, bad data",
        excluded=("initial-loss-high",),
        explains=(
            "first-gradient-large", "first-gradient-small", "first-update-large", "lr-starts-at-peak", "loss-zero",
            "loss-ends-high", "loss-ends-above-start", "loss-rises-with-lr", "loss-spike", "gradient-vanished",
        ),
    ),
    Cause(
        "loss-zero",
        "the loss is exactly 0 at once and stays so: no target counts, or the trainer writes 0 for a loss that was NaN",
        needs={"loss-zero": 0.0},
        remedy="check at step {onset} whether all labels are masked (ignore_index, collator, truncation); and for NaN",
        excluded=("non-finite",),
        explains=("gradient-vanished", "first-gradient-small"),
        alike={"non-finite": ("grad_norm", "val_loss")},
    ),
    Cause(
        "summed-loss",
        "the first gradient is over a hundred although the first loss is right: a sum stands where a mean belongs",
        needs={"first-gradient-large": 1.0},
        remedy="divide the loss by the number of predicted tokens before the backward pass",
        excluded=("initial-loss-high", "initial-activation-large", "non-finite"),
    ),
    Cause(
        "dead-gradient",
        "hardly any gradient arrives at the first step: degenerate data, an all-zero mask or a detached graph",
        needs={"first-gradient-small": 2.0},
        remedy="check that targets vary, that the loss mask is not all zero and that parameters require gradients",
        excluded=("non-finite",),
        explains=_STALLED,
    ),
    Cause(
        "lr-zero",
        "the learning rate is zero from the start: nothing can be learned",
        needs={"lr-zero": 0.0},
        remedy="set the base learning rate; check that the schedule multiplies it and does not replace it",
        explains=_STALLED,
    ),
    Cause(
        "schedule-ended-early",
        "the learning rate is 0 long before the run ends: the steps from there on change nothing",
        needs={"lr-zero-early": 0.0},
        remedy="give the schedule as many steps as are trained: it had come to 0 by step {onset}; or stop there",
        explains=_STALLED,
    ),
    Cause(
        "schedule-never-stepped",
        "a schedule is declared, but the learning rate never moves",
        needs={"lr-constant": 0.0},
        remedy="call the scheduler once per optimizer step, or declare the schedule as constant",
    ),
    Cause(
        "saturated-attention",
        "heads look at a single key though nothing was learned that needs it: a saturated softmax passes no gradient",
        needs={"head-stuck": 0.0},
        remedy="scale scores by 1/sqrt(d_head), check the scale of query and key weights, lower the learning rate",
        excluded=("initial-loss-high", "initial-activation-large", "non-finite", "loss-below-floor"),
        explains=("first-gradient-large", *_STALLED),
    ),
    Cause(
        "dead-neurons",
        "most of a layer's neurons are silent on every token: they pass no signal and get no gradient back",
        needs={"dead-neurons": 0.0},
        remedy="lower the learning rate or the scale of the layer's bias; check what precedes the activation",
        excluded=("initial-loss-high", "initial-activation-large", "non-finite", "loss-below-floor"),
        explains=_STALLED,
    ),
    Cause(
        "large-activations",
        "a layer's output starts at many times unit scale although the first loss is right: a norm hides it",
        needs={"initial-activation-large": 0.0},
        remedy="initialise the layer at Xavier or He scale, or scale its residual branch down",
        excluded=("initial-loss-high", "non-finite"),
        explains=(
            "first-gradient-large", "first-gradient-small", "head-stuck", "dead-neurons", "loss-spike", *_STALLED,
        ),
    ),
    Cause(
        "vanishing-gradients",
        "no gradient arrives any more, or next to none in the first layers: units are dead or saturated, or cut off",
        needs={"gradient-vanished": 0.0},
        remedy="look at the step before the first 0: units that are 0 or saturated everywhere, and what is detached",
        excluded=("non-finite",),
        explains=("loss-ends-high", "loss-ends-above-start", "loss-spike", "val-loss-rising", *_STALLED),
    ),
    Cause(
        "exploding-gradients",
        "the gradient norm grows by an order of magnitude and more before the loss rises, and takes the loss with it",
        needs={"grad-norm-rising": 0.0, "loss-ends-high": 0.0},
        remedy="clip the gradient norm, check that weight decay has its sign, and look at the growth from step {onset}",
        excluded=("initial-loss-high", "non-finite"),
        explains=("loss-ends-high", "loss-ends-above-start", "loss-spike", "val-loss-rising"),
    ),
    Cause(
        "lr-too-high",
        "the loss turns up as the learning rate goes up: what was learned at the lower rate is lost at the higher one",
        needs={"loss-rises-with-lr": 0.0},
        remedy="lower the peak rate to what it was around step {onset} at most, where the loss still fell",
        excluded=("initial-loss-high", "non-finite", "loss-below-floor", "first-update-large"),
        explains=("loss-ends-high", "loss-ends-above-start", "loss-spike", "val-loss-rising", "dead-neurons"),
    ),
    Cause(
        "diverged",
        "the loss ends above where it began, or all that was learned is lost for good: training made the model worse",
        needs={"loss-ends-high": 0.0},
        remedy="lower the learning rate by ten; check the sign of the update and of the loss, and look at step {onset}",
        excluded=("initial-loss-high", "non-finite"),
        explains=("loss-ends-above-start", "loss-spike", "val-loss-rising"),
        alike={"lr-too-high": (), "vanishing-gradients": ("grad_norm", "loss-ends-above-start")},
    ),
    Cause(
        "loss-spike",
        "the loss gives back a good part of what was learned: updates are too large, or a batch unlike the others",
        needs={"loss-spike": 0.0},
        remedy="look at the batch of the named step; lower the peak rate, clip gradients or lengthen the warmup",
        excluded=(
            "initial-loss-high", "initial-activation-large", "non-finite", "loss-below-floor", "lr-starts-at-peak",
        ),
        explains=("val-loss-rising",),
    ),
    Cause(
        "learns-nothing",
        "the loss rests where a model scores that knows nothing",
        needs={"stalled-at-uniform": 0.0},
        remedy="check that gradients reach the optimizer and its updates the weights the model uses; raise the rate",
        excluded=("initial-loss-high", "non-finite", "lr-zero", "first-gradient-small"),
        explains=("loss-at-ln-k",),
    ),
    Cause(
        "blind-to-input",
        "the loss rests where a model scores that knows how often each symbol occurs and does not see its input",
        needs={"stalled-at-unigram": 0.0},
        remedy="check that the tokens reach the first layer and that the layers after it pass them on",
        excluded=("initial-loss-high", "non-finite"),
        explains=("head-stuck", "loss-at-ln-k"),
    ),
    Cause(
        "blind-to-context",
        "the loss rests where a model scores that sees the last symbol and nothing before it",
        needs={"stalled-at-bigram": 0.0},
        remedy="check the attention mask, which may hide the past, and that attention's output is added to the stream",
        excluded=("initial-loss-high", "non-finite"),
        explains=("head-stuck", "loss-at-ln-k"),
    ),
    Cause(
        "plateau",
        "the loss rests where a model scores that knows nothing of its input",
        needs={"loss-at-ln-k": 0.0},
        remedy="check that inputs and gradients arrive and the rate is large enough; then that labels fit their inputs",
        excluded=("initial-loss-high", "non-finite"),
        alike={"shuffled-labels": ()},
    ),
    Cause(
        "overfit",
        "validation loss has risen for good while the training loss goes on falling: rows are learned by heart",
        needs={"val-loss-rising": 0.0},
        remedy="stop at step {onset}, where smoothed validation loss was lowest; or regularise, or train on more data",
        excluded=("initial-loss-high", "non-finite", "loss-below-floor", "lr-starts-at-peak"),
        alike={"shuffled-labels": (VAL_FELL,)},
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Cause] = {cause.name: cause for cause in CAUSES}
