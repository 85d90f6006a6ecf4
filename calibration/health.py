"""Which runs of a sampled config count as healthy, by a rule that uses no detector and none of
their thresholds."""

from __future__ import annotations

from collections.abc import Iterator

from probes.diagnosis.curves import centred_mean
from probes.record import Record

MAX_OVER_MINIMUM = 0.03
"""How far above its minimum the smoothed validation loss may end. The length of HEALTHY was chosen
by the same rule (docs/why.md)."""


def reasons_against(record: Record) -> str:
    """Return why a run is not labelled healthy, "" if it is.

    A run is labelled healthy if everything that was measured is finite, and if its smoothed
    validation loss ends within 3 % of its minimum and below the loss of the best n-gram. So it is
    neither ruined, nor too short, nor too long."""
    return "; ".join(_reasons(record))


def _reasons(record: Record) -> Iterator[str]:
    if any(
        record.series("nonfinite_count", site)[1].any() for site in record.sites("nonfinite_count")
    ):
        yield "not finite"
        return
    val = centred_mean(record.series("val_loss")[1])
    if val[-1] > (1 + MAX_OVER_MINIMUM) * val.min():
        yield f"val ends {val[-1] / val.min() - 1:.0%} above its minimum"
    if val[-1] >= (ngram := float(record.facts["ladder"]["val"]["ngram"])):
        yield f"val ends at {val[-1]:.3g}, not below the n-gram's {ngram:.3g}"
