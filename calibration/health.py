"""Which runs of a sampled config count as healthy, by a rule that knows no detector and no
threshold of one."""

from __future__ import annotations

from collections.abc import Iterator

from probes.diagnosis.curves import centred_mean
from probes.record import Record

WITHIN = 0.03
"""How far above its minimum smoothed val may end: the rule by which HEALTHY's length was chosen
(docs/why.md)."""


def reasons_against(record: Record) -> str:
    """Why a run is not labelled healthy, "" when it is.

    It is when everything measured is finite, and smoothed val ends within 3 % of its minimum and
    below the best n-gram: the run is neither ruined, nor cut short, nor carried too far."""
    return "; ".join(_reasons(record))


def _reasons(record: Record) -> Iterator[str]:
    if any(
        record.series("nonfinite_count", site)[1].any() for site in record.sites("nonfinite_count")
    ):
        yield "not finite"
        return
    val = centred_mean(record.series("val_loss")[1])
    if val[-1] > (1 + WITHIN) * val.min():
        yield f"val ends {val[-1] / val.min() - 1:.0%} above its minimum"
    if val[-1] >= (ngram := float(record.facts["ladder"]["val"]["ngram"])):
        yield f"val ends at {val[-1]:.3g}, not below the n-gram's {ngram:.3g}"
