"""Finds a loss at step 0 that is too high or too low for a model that knows nothing. Such a model
scores ln V plus a cost for the spread of its logits.

Independent Gaussian logits of variance s^2 raise the loss by s^2 / 2 nats above ln V (the mean of
ln sum exp). Tied logits at Xavier initialisation have s^2 = 2 d_model / (V + d_model), which is at
most 2, so a sound start lies within 1 nat above ln V. The band adds 0.2 nats for the variation
between random initialisations, and reaches 0.5 nats below ln V because the labels of a batch may
happen to be likely. It does not depend on any recorded or configured scale."""

from __future__ import annotations

from contextlib import suppress
from math import isfinite

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.detectors import initial_activation
from probes.diagnosis.evidence import CannotJudgeError, Evidence, finite_number

MAX_ABOVE_LN_V = 1.2
MAX_BELOW_LN_V = 0.5
MAX_SHARE_OF_TOKENS = 0.2
"""By how much the tokens of a batch may differ from `tokens_per_batch`, which is a mean."""
MIN_TOKENS = 16
"""Smallest number of tokens per batch for telling a sum from a mean. For fewer tokens the bands of
the two lie close together."""
SOURCE = "a model that knows nothing scores ln V; band [ln V - 0.5, ln V + 1.2]"
HIGH = Symptom(
    name="initial-loss-high",
    quantity="loss at step 0",
    unit="nats per token",
    view=ViewKey.LOSS,
    worse="above",
    criterion=f"loss at step 0 above ln V + {MAX_ABOVE_LN_V}",
    source=SOURCE,
    sentence={
        "en": "The loss starts at {observed}. A model that knows nothing starts at {limit} at most."
    },
)
LOW = Symptom(
    name="initial-loss-low",
    quantity="loss at step 0",
    unit="nats per token",
    view=ViewKey.LOSS,
    worse="below",
    criterion=f"loss at step 0 below ln V - {MAX_BELOW_LN_V}",
    source=SOURCE,
    sentence={
        "en": (
            "The loss starts at {observed}. A model that knows nothing starts at {limit} at least."
        )
    },
)


SUMMED = Symptom(
    name="initial-loss-summed",
    quantity="loss at step 0",
    unit="nats",
    view=ViewKey.LOSS,
    worse="above",
    criterion=(
        "loss at step 0, divided by the number of tokens of a batch, within the band of a mean "
        f"loss, to {MAX_SHARE_OF_TOKENS:.0%}, while no activation is large"
    ),
    source=SOURCE + ", times the tokens of a batch",
    sentence={
        "en": (
            "The loss starts at {observed}, which is the sum over the tokens of a batch of what a "
            "model that knows nothing scores."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    ln_v, loss = evidence.uniform_loss(), evidence.at_start("loss")
    if not isfinite(loss):
        raise CannotJudgeError("loss at step 0 is infinite, which says nothing about its scale")
    if "step" in evidence.sites("loss_ratio"):
        # If the reported loss is not the mean, which is another fault, the mean itself is judged.
        loss /= evidence.at_start("loss_ratio", "step") or 1.0
    if _is_sum(evidence, loss, ln_v):
        return [SUMMED.found(0, loss, limit=ln_v + MAX_ABOVE_LN_V)]
    if loss > ln_v + MAX_ABOVE_LN_V:
        return [HIGH.found(0, loss, limit=ln_v + MAX_ABOVE_LN_V)]
    if loss < ln_v - MAX_BELOW_LN_V:
        return [LOW.found(0, loss, limit=ln_v - MAX_BELOW_LN_V)]
    return []


def _is_sum(evidence: Evidence, loss: float, ln_v: float) -> bool:
    """Whether the first loss fits a sum over the tokens of a batch, and the activations do not
    show another reason for its size."""
    tokens = finite_number(evidence.facts.get("tokens_per_batch"))
    if tokens is None or tokens < MIN_TOKENS:
        return False
    lowest = (ln_v - MAX_BELOW_LN_V) * tokens * (1 - MAX_SHARE_OF_TOKENS)
    highest = (ln_v + MAX_ABOVE_LN_V) * tokens * (1 + MAX_SHARE_OF_TOKENS)
    with suppress(CannotJudgeError):
        if initial_activation.judge(evidence):
            return False
    return lowest <= loss <= highest


DETECTOR = Detector("initial-loss", judge, (HIGH, LOW, SUMMED))
