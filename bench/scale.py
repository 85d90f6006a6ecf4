"""How drawing, loading and judging bear length (`scripts/scale.py`): the rows that have a target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, Section
from scripts.scale import LINES, LOGS, RUNS, STEPS, Measured, drawing, judging, loading

ALONE = (
    Figure(f"render of {RUNS} runs of {STEPS} steps", "s", "CPU, judging too"),
    Figure("its page", "KB", ""),
    Figure(f"Record.load of {STEPS} steps", "s", "CPU"),
)
LONGER = {"CPU": "CPU", "memory": "peak memory"}
"""First word of a ratio's name -> what it is the ratio of."""


def _of_log(form: str) -> dict[str, Figure]:
    """Figures of one form of log, by the first word of their name in `scripts/scale.py`."""
    first = Figure(f"diagnose {form}, {LINES:,} steps", "s", "CPU")
    ratios = {word: Figure(f"{form} x 10, {what}", "x", f"{LINES:,} steps") for word, what in LONGER.items()}
    return {"diagnose": first, **ratios}


def adapted(found: Iterable[Measured], figures: dict[str, Figure]) -> Iterator[Figure]:
    """Those of the figures that were found with a target, by the key that their name starts with."""
    for one in found:
        for start, figure in figures.items():
            if one.target is not None and one.name.startswith(start):
                yield replace(figure, measured=one.value, target=one.target)


def _measure() -> Iterator[Figure]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        alone = {figure.name: figure for figure in ALONE}
        yield from adapted(drawing(folder), alone)
        yield from adapted(loading(folder), alone)
        for form in LOGS:
            yield from adapted(judging(folder, form), _of_log(form))


SECTION = Section(
    "Length", (*ALONE, *(figure for form in LOGS for figure in _of_log(form).values())), _measure, slow=True
)
