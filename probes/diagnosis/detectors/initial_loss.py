"""Finds a loss at step 0 that is too high or too low for a model that knows nothing. Such a model
scores ln V plus a cost for the spread of its logits.

Independent Gaussian logits of variance s^2 raise the loss by s^2 / 2 nats above ln V (the mean of
ln sum exp). Tied logits at Xavier initialisation have s^2 = 2 d_model / (V + d_model), which is at
most 2, so a sound start lies within 1 nat above ln V. The band adds 0.2 nats for the variation
between random initialisations, and reaches 0.5 nats below ln V because the labels of a batch may
happen to be likely. It does not depend on any recorded or configured scale."""

from __future__ import annotations

from math import isfinite

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MAX_ABOVE_LN_V = 1.2
MAX_BELOW_LN_V = 0.5
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


def judge(evidence: Evidence) -> list[Finding]:
    ln_v, loss = evidence.uniform_loss(), evidence.at_start("loss")
    if not isfinite(loss):
        raise CannotJudgeError("loss at step 0 is infinite, which says nothing about its scale")
    if loss > ln_v + MAX_ABOVE_LN_V:
        return [HIGH.found(0, loss, limit=ln_v + MAX_ABOVE_LN_V)]
    if loss < ln_v - MAX_BELOW_LN_V:
        return [LOW.found(0, loss, limit=ln_v - MAX_BELOW_LN_V)]
    return []


DETECTOR = Detector("initial-loss", judge, (HIGH, LOW))
