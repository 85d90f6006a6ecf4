"""Finds a model that sees the tokens after the one it predicts from.

Two signals show this. A proof changes tokens of a row and compares the logits before them. At every
step, a hook sums the weights that attention heads give to later keys, so it also shows a leak that
exists at some steps only. Both are exactly 0 without a leak: equal arrays give equal bits, and a
masked softmax gives exactly 0."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey, worsening
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MAX_INFLUENCE = 1e-4
"""100 times the resolution of a float32 logit, rounded up. 54 healthy runs of one to four layers
(choosing seeds and sampled configs) measured exactly 0. A mask that only subtracts 10 from a
score measured 3e-3, a leak of one head 0.4, a missing mask 1."""
MAX_ATTENTION = 1e-6
"""Healthy runs measured exactly 0. A mask that subtracts 10 from a score measured 2e-5."""
FUTURE_INFLUENCE = Symptom(
    name="future-influence",
    quantity="change of logits before a changed token, relative to those after it",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_INFLUENCE,
    criterion=(
        "a logit moves by more than 1e-4 of the largest change when a later token of its row "
        "changes"
    ),
    source="the logits of a causal model do not depend on later tokens; 1e-4 is above rounding",
    sentence={
        "en": "A changed token moves the logits before it, by {observed} of the largest change."
    },
)
FUTURE_ATTENTION = Symptom(
    name="future-attention",
    quantity="mean attention weight on keys after the query",
    unit="ratio",
    view=ViewKey.ATTENTION_ENTROPY,
    worse="above",
    limit=MAX_ATTENTION,
    criterion="in a training step a head gives more than 1e-6 of its weight to later keys",
    source="a softmax over the keys up to the query gives later keys exactly 0",
    sentence={"en": "The head {site} gives {observed} of its weight to tokens after the query."},
)


def require_causal(evidence: Evidence) -> None:
    """Raise CannotJudgeError unless the fact `causal` is True: the model predicts each token from
    all tokens before it and from no other."""
    if evidence.fact("causal") is not True:
        raise CannotJudgeError("the model is not causal: it need not predict the next token")


def judge_influence(evidence: Evidence) -> list[Finding]:
    require_causal(evidence)
    steps, values = evidence.series("future_influence")
    return [
        FUTURE_INFLUENCE.found(steps[i], float(values[i]))
        for i in worsening(values, MAX_INFLUENCE, "above")
    ]


def judge_attention(evidence: Evidence) -> list[Finding]:
    require_causal(evidence)
    findings = []
    for head in evidence.measured_sites("future_attention"):
        steps, weights = evidence.series("future_attention", head)
        findings += [
            FUTURE_ATTENTION.found(steps[i], float(weights[i]), site=head)
            for i in worsening(weights, MAX_ATTENTION, "above")
        ]
    return findings


INFLUENCE = Detector("future-influence", judge_influence, (FUTURE_INFLUENCE,))
ATTENTION = Detector("future-attention", judge_attention, (FUTURE_ATTENTION,))
