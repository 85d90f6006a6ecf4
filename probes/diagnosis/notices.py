"""Notices: questions that people ask about a run, each answered in one sentence from the log.

A notice is never a finding: no cause needs it and no verdict depends on it. Most notices say why
something that looks odd is normal (`Notice.reassures`). They are left out beside findings, so that
no notice contradicts a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.common.arrays import median
from probes.diagnosis.answers.checkpoint import checkpoint_to_keep
from probes.diagnosis.answers.learning_rate import (
    constant_rate,
    cut_schedule,
    rate_starts_at_peak,
)
from probes.diagnosis.answers.noise_and_gradients import grad_norm, oscillation
from probes.diagnosis.answers.shape_of_loss import (
    MIN_RISE_ERRORS,
    MIN_SHARE_GIVEN_BACK,
    came_back,
    largest_rise,
    still_falling,
)
from probes.diagnosis.answers.spikes import spike, spike_batch
from probes.diagnosis.answers.training_and_validation import (
    step_at_epochs,
    times_val,
    val_below_train,
)
from probes.diagnosis.base import Finding
from probes.diagnosis.curves import (
    MIN_SEGMENT_POINTS,
    Curve,
    noise_around_trend,
)
from probes.diagnosis.evidence import Evidence


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A question about a run, and how it is answered.

    name       kebab-case and unique
    question   what a person asks
    arises     the condition under which the question is answered, in words
    answer     returns the answer in one sentence with its numbers; None if the question does not
               arise
    reassures  whether the answer says that something is normal. Such an answer is left out of a
               diagnosis that has findings
    source     where the explanation or the threshold comes from; "" if it is plain arithmetic
    """

    name: str
    question: str
    arises: str
    answer: Callable[[Evidence], str | None]
    reassures: bool = True
    source: str = ""


def notices_on(evidence: Evidence, findings: Sequence[Finding] = ()) -> tuple[str, ...]:
    """The answers to all questions that arise for a run, in the order of NOTICES; () if the rules
    for a loss do not apply (`Evidence.no_loss_rules`)."""
    if evidence.no_loss_rules:
        return ()
    answers = (notice.answer(evidence) for notice in NOTICES if not (findings and notice.reassures))
    return (*filter(None, answers), *_worrying_remarks(evidence))


NOTICES: tuple[Notice, ...] = (
    Notice(
        name="checkpoint",
        question="Which checkpoint do I keep?",
        arises="validation loss, or a metric on held-out data, has three evaluations or more",
        answer=checkpoint_to_keep,
        reassures=False,
        source="the noise of an evaluation: second differences (Rice 1984), times sqrt(2)",
    ),
    Notice(
        name="spike",
        question="Is a spike of the loss normal?",
        arises=(
            "a point or a few rise by eight standard deviations and a fifth of what was learned, "
            "and come back within ten points; several, if they are at most one in a hundred points"
        ),
        answer=spike,
    ),
    Notice(
        name="spike-batch",
        question="Which batch caused the spike?",
        arises="there is such a spike, and `batch_ids` were recorded at its step",
        answer=spike_batch,
        reassures=False,
    ),
    Notice(
        name="times-validation",
        question="Why is training loss many times validation loss?",
        arises=(
            "the ratio does not change, and it is 4, 8, 16, ... within 7 %, or another whole "
            "number within 3 % although both losses fell by a third"
        ),
        answer=times_val,
        reassures=False,
        source=(
            "trainers that report the sum over accumulated batches: huggingface/transformers "
            "#34511, #35438"
        ),
    ),
    Notice(
        name="validation-below-training",
        question="Why is validation loss below training loss?",
        arises="it is at three of four evaluations, by 3 % to 45 % in the median",
        answer=val_below_train,
        source="the FAQ of Keras: why is my training loss much higher than my testing loss",
    ),
    Notice(
        name="step-at-epoch",
        question="Why does training loss fall in steps?",
        arises="it falls more at the evaluations, which have a constant distance, than beside them",
        answer=step_at_epochs,
        source="huggingface/transformers #18730, hiyouga/LlamaFactory #7485",
    ),
    Notice(
        name="gradient-norm",
        question="My gradient norm is large or grows: is that normal?",
        arises=("the loss fell, and the norm ends at 1.5 to 5 times its lowest level or above 10"),
        answer=grad_norm,
        source=(
            "298 healthy trainings of `studies.innocent_runs` (at most 3.7 times at their end) and "
            "six healthy public logs (at most 5.0 times at any time)"
        ),
    ),
    Notice(
        name="oscillation",
        question="Why does the loss oscillate?",
        arises=(
            "the loss fell, and in the second half its noise is 15 % to 100 % of its level and at "
            "least 5 % of what was learned"
        ),
        answer=oscillation,
    ),
    Notice(
        name="constant-rate",
        question="Should the learning rate be constant?",
        arises="the learning rate is the same at all points, twenty or more",
        answer=constant_rate,
    ),
    Notice(
        name="rate-starts-at-peak",
        question="Do I need a warmup?",
        arises="the log begins at step 0 or 1 with the highest learning rate",
        answer=rate_starts_at_peak,
        source="the sweep in docs/why.md; Goyal et al. 2017",
    ),
    Notice(
        name="schedule-cut",
        question="Was the run stopped too early?",
        arises="a tenth of the declared steps or more is missing, and the rate is still high",
        answer=cut_schedule,
    ),
    Notice(
        name="still-falling",
        question="Would more steps help?",
        arises=(
            "the loss falls about as fast in the second half of the log as in the first, and "
            "validation loss ends within 3 % of its lowest"
        ),
        answer=still_falling,
    ),
    Notice(
        name="came-back",
        question="Why did the loss rise and come back?",
        arises="a rise gives back a quarter of what was learned, for three segments or more",
        answer=came_back,
    ),
)
"""All questions, in the order in which their answers are listed."""


# Remarks that worry. They are no notices: each is to become a finding or a reason why a run cannot
# be judged.

MIN_RELATIVE_FALL = 0.01
"""A fall of the loss by less than this share of its start is remarked on as small."""
MIN_TIMES_BELOW_ZERO = 100
"""A loss counts as having no lower bound if it ends below 0 by more than this many times its start
level. The negative log-likelihood of a continuous density may also be below 0, but keeps its order
of magnitude."""
MIN_EVALUATIONS = 10
"""Minimum number of evaluations for using the median of the last quarter."""
FEW_EVALUATIONS_LAST, FEW_EVALUATIONS_MIN_RISE = 2, 1.2
"""With fewer than MIN_EVALUATIONS evaluations, remark only if the last 2 are more than 1.2 times
the minimum. The overfitting detector uses the same factor."""
MIN_FINAL_RISE = 1.1
"""Validation loss is remarked on only if the median of its last quarter is more than this many
times the minimum of the running median over three evaluations. Ordinary fluctuations stay below
it."""
MIN_RISE_FROM_FIRST = 1.03
"""Validation loss counts as rising from its first evaluation only if its last level is more than
this many times its first value. As for overfitting, a loss within 3 % of its minimum counts as
equal to it."""
MIN_RISE_FROM_FIRST_Z = 3.0
"""The rise from the first evaluation must exceed this many standard errors (`fall_z`)."""


def val_loss_never_fell(evidence: Evidence) -> bool:
    """Whether validation loss rose and was never below its first evaluation, although the training
    loss fell."""
    if evidence.no_loss_rules:
        return False
    val = evidence.curve_or_empty("val_loss")
    if not val.has_segments or not evidence.curve_or_empty(evidence.loss_signal).fell:
        return False
    rose = (
        val.segments.level[-1] > MIN_RISE_FROM_FIRST * val.values[0]
        and -val.fall_z > MIN_RISE_FROM_FIRST_Z
    )
    return bool(rose and 0 < val.values[0] <= val.values.min())


def _worrying_remarks(evidence: Evidence) -> tuple[str, ...]:
    """The remarks on a loss or a validation loss that does not end near its best."""
    loss = evidence.curve_or_empty(evidence.loss_signal)
    on_loss = (
        (*_on_high_end(loss), *_on_small_fall(loss), *_on_missing_floor(loss))
        if loss.has_segments
        else ()
    )
    val = evidence.curve_or_empty("val_loss")
    on_val = tuple(_on_end_of_validation(val))
    if evidence.cached(val_loss_never_fell):
        on_val = (
            f"val_loss rose from its first evaluation on: from {val.values[0]:.4g} at step "
            f"{val.steps[0]} to {val.values[-1]:.4g}; either the labels are unrelated to the "
            "inputs, or the first evaluation came too late",
        )
    return (*on_loss, *on_val)


def _on_high_end(loss: Curve) -> Iterator[str]:
    """Remark on a loss that ends far above its lowest level."""
    rise = largest_rise(loss)
    whole = min(rise.learned, rise.lowest) if rise.lowest > 0 else rise.learned
    if (
        rise.is_clear
        and rise.learned_is_clear
        and rise.ends_high
        and rise.is_sustained
        and rise.height > MIN_SHARE_GIVEN_BACK * whole
    ):
        yield f"the loss ends far above its lowest: {rise.text}"


def _on_small_fall(loss: Curve) -> Iterator[str]:
    """Remark on a loss that fell by only a tiny part of its level. Either the task was learned
    before the log began, or the loss contains a large constant."""
    segments, error = loss.segments, loss.level_error
    start, end = float(loss.values[:MIN_SEGMENT_POINTS].max()), float(segments.level[-1])
    least = MIN_RISE_ERRORS * float(np.hypot(error[0], error[-1]))
    if end > 0 and start - end < MIN_RELATIVE_FALL * start and segments.level[0] - end > least:
        yield (
            f"the loss fell by no more than {100 * (1 - end / start):.2g} %: from {start:.6g} to "
            f"{end:.6g}"
        )


def _on_missing_floor(loss: Curve) -> Iterator[str]:
    """Remark on a loss that is far below 0 and falls ever faster, so it has no lower bound."""
    level = loss.segments.level
    start, middle, end = (float(level[at]) for at in (0, len(level) // 2, -1))
    if end < -MIN_TIMES_BELOW_ZERO * abs(start) and end < 2 * middle < 0:
        yield (
            f"the loss falls below 0 without end: from {start:.4g} to {end:.4g}; a cross-entropy "
            "does this if its targets are not probabilities"
        )


def _on_end_of_validation(val: Curve) -> Iterator[str]:
    """Remark on a validation loss that ends above its minimum by more than its usual
    fluctuation."""
    steps, values = val.steps, val.values
    if len(values) <= FEW_EVALUATIONS_LAST or values.min() <= 0:
        return
    if len(values) < MIN_EVALUATIONS:
        lowest = int(values.argmin())
        if values[-FEW_EVALUATIONS_LAST:].min() > FEW_EVALUATIONS_MIN_RISE * values[lowest]:
            yield _ends_above(float(values[-1]), float(values[lowest]), int(steps[lowest]))
        return
    medians = median(sliding_window_view(values, 3))
    last = max(3, len(values) // 4)
    lowest = int(medians[: len(medians) - last + 1].argmin())
    end = float(median(values[-last:]))
    if (
        medians[-last:].min() > medians[lowest] + noise_around_trend(values)
        and end > MIN_FINAL_RISE * medians[lowest]
    ):
        yield _ends_above(end, float(medians[lowest]), int(steps[lowest + 1]))


def _ends_above(end: float, lowest: float, step: int) -> str:
    return (
        f"val_loss ends {100 * (end / lowest - 1):.0f} % above its lowest: at {end:.4g}, after "
        f"{lowest:.4g} around step {step}"
    )
