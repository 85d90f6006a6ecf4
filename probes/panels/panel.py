"""A panel: a question about a run, what healthy looks like, and one or two charts that answer
it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from probes.charts.plot import Event, Plot
from probes.charts.svg import draw
from probes.diagnosis.diagnose import Diagnosis
from probes.panels.describe import concerning, found, not_finite, not_recorded
from probes.panels.legend import Legend, legend_of
from probes.panels.lines import step_range
from probes.record import Record

MAX_EVENTS = 3
"""Steps with findings that are marked in one chart."""


@dataclass(frozen=True)
class View:
    """One chart of a panel. `plot` makes it from a run and, if given, a reference."""

    name: str
    plot: Callable[[Record, Record | None], Plot]


@dataclass(frozen=True)
class Drawing:
    """A view of a run, drawn. `svg` is "" when nothing that it shows was recorded."""

    name: str
    plot: Plot
    svg: str

    @property
    def legend(self) -> Legend:
        return legend_of(self.plot)


@dataclass(frozen=True)
class Panel:
    """A question about a run, with the charts that answer it.

    key           the part of an HTML id that tells this panel from the others
    healthy_look  how the charts of a healthy run look
    signals       names of the signals that the charts show
    views         one or two charts
    describe      the run's own numbers, in words
    concerns      words in the names of symptoms that this panel makes visible
    """

    key: str
    title: str
    question: str
    healthy_look: str
    signals: tuple[str, ...]
    views: tuple[View, ...]
    describe: Callable[[Record], str]
    concerns: frozenset[str]

    def draw(
        self,
        run: Record,
        reference: Record | None,
        diagnosis: Diagnosis | None,
        anchor: str = "run",
    ) -> tuple[Drawing, ...]:
        """Every view of a run as SVG, with ids that begin with `anchor`.

        Without a diagnosis nothing in a chart tells what was found.
        """
        first, last = step_range(run)
        events = self._events(diagnosis)
        began = any(f.onset is not None for f in concerning(diagnosis, self.concerns, self.signals))
        drawings = []
        for index, view in enumerate(self.views):
            plot = view.plot(run, reference)
            plot = replace(
                plot, span=(first, last), events=events, window=plot.window if began else None
            )
            lines = ", ".join(line.label for line in plot.lines)
            description = f"{self.question} Steps {first} to {last}; {plot.axis}. Lines: {lines}."
            slug = f"{anchor}-{self.key}-{index}"
            svg = "" if plot.empty else draw(plot, slug, f"{self.title}: {view.name}", description)
            drawings.append(Drawing(view.name, plot, svg))
        return tuple(drawings)

    def shows(self, record: Record, diagnosis: Diagnosis | None) -> str:
        """What this run shows: its numbers, its findings, and what was not finite or not
        recorded."""
        parts = (
            self.describe(record),
            found(concerning(diagnosis, self.concerns, self.signals)),
            not_finite(record, self.signals),
            not_recorded(record, self.signals),
        )
        return " ".join(part for part in parts if part) or "Nothing to say: no value is finite."

    def _events(self, diagnosis: Diagnosis | None) -> tuple[Event, ...]:
        symptoms: dict[int, list[str]] = {}
        for finding in concerning(diagnosis, self.concerns, self.signals):
            symptoms.setdefault(finding.step, []).append(finding.symptom)
        return tuple(
            Event(step, ", ".join(dict.fromkeys(symptoms[step])))
            for step in sorted(symptoms)[:MAX_EVENTS]
        )
