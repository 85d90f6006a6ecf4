"""Notices: questions that people ask about a run, each answered in one sentence from the log.

A notice is never a finding: no cause needs it and no verdict depends on it. Most notices say why
something that looks odd is normal (`Notice.reassures`). They are left out beside findings, so that
no notice contradicts a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from probes.common.text import described
from probes.diagnosis.answers.checkpoint import checkpoint_to_keep
from probes.diagnosis.answers.learning_rate import (
    constant_rate,
    cut_schedule,
    rate_starts_at_peak,
)
from probes.diagnosis.answers.noise_and_gradients import grad_norm, oscillation
from probes.diagnosis.answers.resumed import jump_after_resuming
from probes.diagnosis.answers.shape_of_loss import (
    came_back,
    still_falling,
)
from probes.diagnosis.answers.spikes import spike, spike_batch
from probes.diagnosis.answers.training_and_validation import (
    step_at_epochs,
    times_val,
    val_below_train,
)
from probes.diagnosis.base import Finding
from probes.diagnosis.evidence import CannotJudgeError, Evidence


class Notice(NamedTuple):
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


FAILED = "this question could not be answered, because of an error in probes: "
"""The beginning of the remark that replaces the answer of a notice that failed."""


def notices_on(evidence: Evidence, findings: Sequence[Finding] = ()) -> tuple[str, ...]:
    """The answers to all questions that arise for a run, in the order of NOTICES; () if the rules
    for a loss do not apply (`Evidence.no_loss_rules`).

    If a notice raises an exception, its answer says so. No verdict depends on a notice, so the
    exception changes no verdict."""
    if evidence.no_loss_rules:
        return ()
    answers = []
    for notice in NOTICES:
        if findings and notice.reassures:
            continue
        try:
            answers.append(notice.answer(evidence))
        except CannotJudgeError:
            continue
        except Exception as error:
            answers.append(f"{FAILED}{notice.question} {described(error)}")
    return tuple(filter(None, answers))


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
            "one or a few points rise by eight standard deviations and by a fifth of what was "
            "learned, and the loss comes back within ten points; if this happens more than once, "
            "it happens at most once in a hundred points"
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
            "the ratio of the two losses stays the same; it is within 7 % of 4, 8, 16, ..., or it "
            "is within 3 % of another whole number and the highest validation loss is at least "
            "1.5 times the lowest"
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
        arises="it is lower at three quarters of the evaluations, by 3 % to 45 % in the median",
        answer=val_below_train,
        source="the FAQ of Keras: why is my training loss much higher than my testing loss",
    ),
    Notice(
        name="step-at-epoch",
        question="Why does training loss fall in steps?",
        arises="evaluations are evenly spaced, and it falls more at them than just before or after",
        answer=step_at_epochs,
        source="huggingface/transformers #18730, hiyouga/LlamaFactory #7485",
    ),
    Notice(
        name="jump-after-resuming",
        question="Why does the loss jump after resuming?",
        arises=(
            "the log shows a restart (steps that go back, a second header, a sentence about a "
            "checkpoint, or a distance of ten times the usual steps), and the medians of five "
            "points before and after it differ by six standard errors and by 2 %"
        ),
        answer=jump_after_resuming,
        reassures=False,
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
        source="a sweep of learning rates on HEALTHY; Goyal et al. 2017",
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
