"""What a panel is: a title, the question it answers, what healthy looks like, and one or two views
of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from probes.charts.plot import Event, Plot
from probes.charts.svg import draw
from probes.diagnosis.diagnose import Diagnosis
from probes.panels.describe import absent, concerning, failures, found
from probes.panels.legend import Legend, legend_of
from probes.panels.site_lines import span
from probes.record import Record

EVENTS = 3
"""Steps of findings that are marked in one chart."""


@dataclass(frozen=True)
class View:
    """One way to look: `plot` makes a chart of a run, with the reference behind it when there is
    one."""

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
    """One of the seven.

    signals   what it draws, by name
    describe  a run's own numbers, in words
    concerns  words in the names of symptoms that this panel makes visible
    """

    key: str
    title: str
    question: str
    look_for: str
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
        """Every view as SVG. Without a diagnosis nothing in it tells what was found; ids begin with
        `anchor`."""
        first, last = span(run)
        events = self._events(diagnosis)
        began = any(f.onset is not None for f in concerning(diagnosis, self.concerns, self.signals))
        drawings = []
        for index, view in enumerate(self.views):
            plot = view.plot(run, reference)
            plot = replace(
                plot, span=(first, last), events=events, window=plot.window if began else None
            )
            description = f"{self.question} Steps {first} to {last}; {plot.axis}. {_named(plot)}"
            slug = f"{anchor}-{self.key}-{index}"
            svg = "" if plot.empty else draw(plot, slug, f"{self.title}: {view.name}", description)
            drawings.append(Drawing(view.name, plot, svg))
        return tuple(drawings)

    def shows(self, record: Record, diagnosis: Diagnosis | None) -> str:
        """What this run shows: its numbers, what was found, what was not finite, what was not
        recorded."""
        parts = (
            self.describe(record),
            found(concerning(diagnosis, self.concerns, self.signals)),
            failures(record, self.signals),
            absent(record, self.signals),
        )
        return " ".join(part for part in parts if part) or "Nothing to say: no value is finite."

    def _events(self, diagnosis: Diagnosis | None) -> tuple[Event, ...]:
        symptoms: dict[int, list[str]] = {}
        for finding in concerning(diagnosis, self.concerns, self.signals):
            symptoms.setdefault(finding.step, []).append(finding.symptom)
        return tuple(
            Event(step, ", ".join(dict.fromkeys(symptoms[step])))
            for step in sorted(symptoms)[:EVENTS]
        )


def _named(plot: Plot) -> str:
    """The lines of a chart, for those who cannot see it."""
    return f"Lines: {', '.join(line.label for line in plot.lines)}."
