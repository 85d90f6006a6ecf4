"""The chart that most second views share: one line per site, the reference behind them."""

from __future__ import annotations

from probes.panels.plot import Level, Plot
from probes.panels.sites import behind, choose, per_site, span
from probes.record import Record


def site_plot(
    signal: str,
    unit: str,
    run: Record,
    reference: Record | None,
    *,
    log: bool = True,
    percent: bool = False,
    levels: tuple[Level, ...] = (),
    include: tuple[float, ...] = (),
) -> Plot:
    """A plot of a signal that there is one of per site; `include` are values that the axis must reach."""
    lines, note = choose(per_site(run, signal))
    lines_behind, band = behind(per_site(reference, signal) if reference else (), *span(run))
    return Plot(
        unit, lines, log=log, percent=percent, reference=lines_behind, band=band,
        levels=levels, include=include, note=note,
    )  # fmt: skip
