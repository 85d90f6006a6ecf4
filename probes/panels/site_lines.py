"""From a record's columns to the lines of a chart: one line per site, coloured so that its name can
be read off it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from probes.charts.plot import SCALAR_POINTS, SITE_POINTS, Area, Level, Line, Plot, Role
from probes.common.text import one_line
from probes.record import Column, Record, Steps

COLOURS = 8
DASHES = 4
MOST_SITES = 24
"""Lines that a chart holds; of more sites those that reach furthest up and furthest down are
drawn."""
MOST_REFERENCES = 4
"""Reference lines that are told apart behind a chart; more become one band from the lowest to the
highest."""


def span(record: Record) -> tuple[int, int]:
    """The first and the last step of a record."""
    return (int(record.steps[0]), int(record.steps[-1])) if len(record.steps) else (0, 0)


def measured(record: Record, signal: str, site: str = "") -> tuple[Steps, Column]:
    """A signal's measurements; one that failed is NaN or infinite.

    In a record NaN alone means "not measured"; where the count of non-finite values at this very
    place says otherwise, the measurement is taken back in."""
    steps, values = record.steps, record.column(signal, site)
    taken = ~np.isnan(values)
    for place in (site, f"{signal}.{site}") if site else (signal,):
        taken = taken | (record.column("nonfinite_count", place) > 0)
    return steps[taken], values[taken]


def scalar(
    record: Record, signal: str, label: str, colour: int, dash: int = 0, role: Role = "line"
) -> Line:
    """The line of a signal there is one of; without points when it was not recorded."""
    steps, values = measured(record, signal)
    return Line(label, steps, values, colour, dash, role, SCALAR_POINTS)


def per_site(record: Record, signal: str) -> tuple[Line, ...]:
    """One line per site of a signal, in the order of the record."""
    sites = record.sites(signal)
    labels = shortest(sites)
    codes, groups = encode(labels), grouped(labels)
    return tuple(
        Line(label, *measured(record, signal, site), colour, dash, group=group, short=short)
        for site, label, (colour, dash), (group, short) in zip(
            sites, labels, codes, groups, strict=True
        )
    )


def shortest(names: tuple[str, ...], longest: int = 40) -> tuple[str, ...]:
    """The names without the last dotted part that all of them share, cut in the middle when they
    are too long."""
    tails = {name.rpartition(".")[2] for name in names}
    if len(names) > 1 and len(tails) == 1 and all("." in name for name in names):
        names = tuple(name.rpartition(".")[0] for name in names)
    return tuple(_elided(one_line(name, 10_000), longest) for name in names)


def _elided(name: str, longest: int) -> str:
    half = longest // 2
    return name if len(name) <= longest else f"{name[: half - 1]}…{name[-half:]}"


def encode(names: Sequence[str]) -> list[tuple[int, int]]:
    """(colour, dash) for every name.

    `blocks.0.attn.q` is of layer `blocks.0` and kind `attn.q`. Whichever of layer and kind has more
    members takes the colours and the other the dashes, so that the same kind, or the same layer,
    looks alike wherever it occurs."""
    parts = [_split(name) for name in names]
    layers = list(dict.fromkeys(layer for layer, _ in parts if layer)) or [""]
    kinds = list(dict.fromkeys(kind for _, kind in parts))
    places = [(kinds.index(kind), layers.index(layer) if layer else 0) for layer, kind in parts]
    if len(kinds) < len(layers):
        places = [(layer, kind) for kind, layer in places]
    return [(colour % COLOURS, (dash + colour // COLOURS) % DASHES) for colour, dash in places]


def grouped(names: Sequence[str]) -> list[tuple[str, str]]:
    """(group, name within it) for every name; the group is the layer and what else all its names
    begin with."""
    members: dict[str, list[str]] = {}
    for layer, kind in map(_split, names):
        members.setdefault(layer, []).append(kind)
    shared = {layer: _shared(kinds) if layer else "" for layer, kinds in members.items()}
    return [
        (f"{layer}.{shared[layer]}".strip("."), kind.removeprefix(shared[layer]))
        for layer, kind in map(_split, names)
    ]


def _shared(kinds: Sequence[str]) -> str:
    """The dotted beginning, last dot included, that several names have in common."""
    parts = zip(*(kind.split(".")[:-1] for kind in kinds), strict=False)
    common = [ranks[0] for ranks in takewhile(lambda ranks: len(set(ranks)) == 1, parts)]
    return "".join(f"{part}." for part in common) if len(kinds) > 1 else ""


def _split(name: str) -> tuple[str, str]:
    """("blocks.0", "attn.q") for "blocks.0.attn.q"; ("", name) when no part of a name is a layer's
    number."""
    parts = name.split(".")
    for index, part in enumerate(parts[:-1]):
        if part.isdecimal():
            return ".".join(parts[: index + 1]), ".".join(parts[index + 1 :])
    return "", name


def choose(lines: tuple[Line, ...]) -> tuple[tuple[Line, ...], str]:
    """At most MOST_SITES of the lines, and a sentence about the others."""
    if len(lines) <= MOST_SITES:
        return lines, ""
    finite = [line.values[np.isfinite(line.values)] for line in lines]
    failed = [len(values) < len(line.values) for values, line in zip(finite, lines, strict=True)]
    peaks = [max(values, default=-np.inf) for values in finite]
    dips = [min(values, default=np.inf) for values in finite]
    up = sorted(range(len(lines)), key=lambda i: (not failed[i], -peaks[i], i))[: MOST_SITES // 2]
    down = [i for i in sorted(range(len(lines)), key=lambda i: (dips[i], i)) if i not in up][
        : MOST_SITES - len(up)
    ]
    kept = sorted({*up, *down})
    return tuple(
        lines[i] for i in kept
    ), f"{len(kept)} of {len(lines)} are drawn: the highest and the lowest."


def behind(lines: tuple[Line, ...], first: int, last: int) -> tuple[tuple[Line, ...], Area | None]:
    """The reference's lines as they stand behind a chart of steps [first, last]: few as lines, many
    as one band."""
    inside = tuple(
        line for line in (line.between(first, last) for line in lines) if len(line.steps)
    )
    if len(inside) <= MOST_REFERENCES:
        return tuple(line.thinned() for line in inside), None
    steps = inside[0].steps
    if not all(np.array_equal(line.steps, steps) for line in inside):
        steps = np.unique(np.concatenate([line.steps for line in inside]))
    low, high = np.full(len(steps), np.inf), np.full(len(steps), -np.inf)
    for line in inside:
        at = np.searchsorted(steps, line.steps)
        values = np.where(np.isfinite(line.values), line.values, np.nan)
        low[at] = np.fmin(low[at], values)
        high[at] = np.fmax(high[at], values)
    there = np.isfinite(low) & np.isfinite(high)
    return (), envelope(steps[there], low[there], high[there])


def envelope(steps: Steps, low: Column, high: Column) -> Area | None:
    """A band of at most SITE_POINTS steps that covers all of [low, high]."""
    if not len(steps):
        return None
    if len(steps) <= SITE_POINTS:
        return Area("reference, lowest to highest", steps, low, high, "reference")
    starts = np.linspace(0, len(steps), SITE_POINTS, endpoint=False).astype(int)
    lows, highs = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    return Area("reference, lowest to highest", steps[starts], lows, highs, "reference")


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
    """A plot of a signal that there is one of per site; `include` are values that the axis must
    reach."""
    lines, note = choose(per_site(run, signal))
    lines_behind, band = behind(per_site(reference, signal) if reference else (), *span(run))
    return Plot(
        unit, lines, log=log, percent=percent, reference=lines_behind, band=band,
        levels=levels, include=include, note=note,
    )  # fmt: skip
