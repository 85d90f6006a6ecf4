"""Finds a model that does not see what it should see: its input, one of the earlier tokens, or the
order of the tokens.

If the record states the fact `attention_window`, the model limits its view on purpose. It is then
not judged whether it sees every token."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey, worsening
from probes.diagnosis.detectors.future import require_causal
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MAX_HIDDEN = 1e-3
"""A row of 40 tokens has 820 pairs of a query and a key, so one hidden pair exceeds this limit.
Healthy runs measured exactly 0."""
MIN_ORDER_INFLUENCE = 0.02
"""54 healthy runs (choosing seeds and sampled configs) with rotary positions measured at least
0.12, six times this limit. 14 of them without positions measured at most 0.0028, a seventh of it.
Positions on the queries alone measured 0.003."""
UNREACHED = Symptom(
    name="position-unreached",
    quantity="share of positions whose logits do not depend on an earlier token",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_HIDDEN,
    criterion="the logits at a position stay equal to the last bit if an earlier token changes",
    source=(
        "a causal model uses the whole prefix; healthy runs measured exactly 0, a window of 8 "
        "tokens 0.2, a hidden first token 0.9"
    ),
    sentence={
        "en": "A changed token does not move the logits at {observed} of the positions from it on."
    },
)
INPUT_IGNORED = Symptom(
    name="input-ignored",
    quantity="share of positions whose logits do not depend on a token",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_HIDDEN,
    criterion="no logit moves if tokens change, not even at the position of a changed token",
    source="logits depend on the token that the model reads, whatever the weights are",
    sentence={"en": "No logit moves when tokens change: the model does not see its input."},
)
HIDDEN_KEYS = Symptom(
    name="keys-hidden",
    quantity="share of the keys up to the query that get no attention weight",
    unit="ratio",
    view=ViewKey.ATTENTION_ENTROPY,
    worse="above",
    limit=MAX_HIDDEN,
    criterion=(
        "a head gives a weight of exactly 0 to a key up to the query's own, at weights of Xavier "
        "scale"
    ),
    source=(
        "a softmax over all keys up to the query gives none of them 0; healthy runs measured "
        "exactly 0, a query that does not see itself 0.05"
    ),
    sentence={
        "en": (
            "The head {site} should see all tokens up to the query, but it gives no weight to a "
            "share of {observed} of them."
        )
    },
)
ORDER_IGNORED = Symptom(
    name="order-ignored",
    quantity="change of logits by exchanged tokens, relative to that by a replaced token",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="below",
    limit=MIN_ORDER_INFLUENCE,
    criterion=(
        "exchanging two neighbouring tokens moves later logits by less than 0.02 of what replacing "
        "one of them does, and the logits along a row of equal tokens differ as little"
    ),
    source=(
        "without positions a layer sees a set of tokens; runs with rotary positions measured 0.12 "
        "and more, without positions 0.003 and less"
    ),
    sentence={
        "en": (
            "Exchanging two tokens moves later logits by only {observed} of what replacing one of "
            "them does: the model hardly sees the order of tokens."
        )
    },
)


def judge_view(evidence: Evidence) -> list[Finding]:
    require_causal(evidence)
    if evidence.facts.get("attention_window") is not None:
        raise CannotJudgeError("the model states attention_window: it need not see every token")
    places = [("unreached_share", "", UNREACHED)] if evidence.sites("unreached_share") else []
    places += [("hidden_keys", head, HIDDEN_KEYS) for head in evidence.sites("hidden_keys")]
    if not places:
        raise CannotJudgeError("neither unreached_share nor hidden_keys was recorded")
    findings = []
    for signal, site, symptom in places:
        steps, shares = evidence.series(signal, site)
        findings += [
            (INPUT_IGNORED if signal == "unreached_share" and shares[i] == 1 else symptom).found(
                steps[i], float(shares[i]), site=site
            )
            for i in worsening(shares, MAX_HIDDEN, "above")
        ]
    return findings


def judge_order(evidence: Evidence) -> list[Finding]:
    require_causal(evidence)
    steps, ratios = evidence.series("order_influence")
    return [
        ORDER_IGNORED.found(steps[i], float(ratios[i]))
        for i in worsening(ratios, MIN_ORDER_INFLUENCE, "below")
    ]


VIEW = Detector("blind-attention", judge_view, (UNREACHED, INPUT_IGNORED, HIDDEN_KEYS))
ORDER = Detector("order-blind", judge_order, (ORDER_IGNORED,))
