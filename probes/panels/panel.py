"""A panel: a question about a run, what healthy looks like, and one or two charts that answer
it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from probes.charts.plot import Event, Plot
from probes.charts.svg import draw
from probes.diagnosis.base import Finding, PanelKey, ViewKey
from probes.diagnosis.detectors import SYMPTOMS
from probes.diagnosis.diagnose import Diagnosis
from probes.panels.describe import found, not_finite, not_recorded
from probes.panels.legend import Legend, legend_of
from probes.panels.lines import step_range
from probes.record import Record
from probes.record.signals import BY_NAME

MAX_EVENTS = 3
"""Steps with findings that are marked in one chart."""


@dataclass(frozen=True)
class View:
    """One chart of a panel.

    key       the member under which symptoms refer to it
    signals   names of the signals that it shows
    plot      makes it from a run and, if given, a reference
    """

    key: ViewKey
    name: str
    signals: tuple[str, ...]
    plot: Callable[[Record, Record | None], Plot]

    def marks(self, finding: Finding) -> bool:
        """Whether this chart shows the symptom of a finding. A symptom of any signal is shown by the
        chart that shows the signal at the finding's site."""
        symptom = SYMPTOMS.get(finding.symptom)
        if symptom is None:
            return False
        if symptom.view is None:
            return not _signals_at(finding.site).isdisjoint(self.signals)
        return symptom.view is self.key


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

    key           the member under which symptoms refer to it, and part of its HTML ids
    healthy_look  how the charts of a healthy run look
    views         one or two charts
    describe      the run's own numbers, in words
    """

    key: PanelKey
    title: str
    question: str
    healthy_look: str
    views: tuple[View, ...]
    describe: Callable[[Record], str]

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals that the charts show."""
        return tuple(dict.fromkeys(signal for view in self.views for signal in view.signals))

    def findings_of(self, diagnosis: Diagnosis | None) -> list[Finding]:
        """The findings that one of the charts marks."""
        findings = diagnosis.findings if diagnosis else ()
        return [one for one in findings if any(view.marks(one) for view in self.views)]

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
        drawings = []
        for index, view in enumerate(self.views):
            findings = [one for one in self.findings_of(diagnosis) if view.marks(one)]
            plot = view.plot(run, reference)
            plot = replace(
                plot,
                span=(first, last),
                events=_events(findings),
                window=plot.window if any(f.onset is not None for f in findings) else None,
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
            found(self.findings_of(diagnosis)),
            not_finite(record, self.signals),
            not_recorded(record, self.signals),
        )
        return " ".join(part for part in parts if part) or "Nothing to say: no value is finite."


def _signals_at(site: str) -> set[str]:
    """The signals that show a site at which values are not finite.

    A site is a signal, such as `lr`, or a signal with one of its own sites, such as
    `spectral_norm.embed.weight`, or a gradient, such as `embed.grad`, or else a layer, which its
    activation shows.
    """
    name = site.partition(".")[0]
    if site.endswith(".grad"):
        return {"grad_norm"}
    if name == "grad_norm_by_layer":
        return {name, "grad_norm"}
    return {name if name in BY_NAME else "activation"}


def _events(findings: Sequence[Finding]) -> tuple[Event, ...]:
    """A mark for each of the first steps with findings."""
    symptoms: dict[int, list[str]] = {}
    for finding in findings:
        symptoms.setdefault(finding.step, []).append(finding.symptom)
    return tuple(
        Event(step, ", ".join(dict.fromkeys(symptoms[step])))
        for step in sorted(symptoms)[:MAX_EVENTS]
    )
