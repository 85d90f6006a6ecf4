"""A panel: a question about a run, a sentence on how a healthy run looks, and one or two charts
that answer the question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from probes.charts.plot import Event, Plot
from probes.charts.svg import draw
from probes.diagnosis.base import Finding, PanelKey, ViewKey
from probes.diagnosis.detectors import SYMPTOMS
from probes.diagnosis.diagnose import Diagnosis
from probes.panels.describe import findings_sentence, not_finite_sentence, not_recorded_sentence
from probes.panels.legend import Legend, legend_of
from probes.panels.lines import step_range
from probes.record import Record
from probes.record.signals import BY_NAME

MAX_EVENTS = 3
"""Largest number of steps with findings that one chart marks."""


@dataclass(frozen=True)
class View:
    """One chart of a panel.

    key      identifies this chart; a symptom refers to its chart by this key
    signals  names of the signals that the chart shows
    plot     function that makes the plot from a run and a reference run, or None for no reference
    """

    key: ViewKey
    name: str
    signals: tuple[str, ...]
    plot: Callable[[Record, Record | None], Plot]

    def marks(self, finding: Finding) -> bool:
        """True if this chart marks a finding.

        Most symptoms name the chart that shows them. A symptom that can occur in any signal names
        no chart; it is marked in every chart of the signal that the site of the finding names.
        """
        symptom = SYMPTOMS.get(finding.symptom)
        if symptom is None:
            return False
        if symptom.view is not None:
            return symptom.view is self.key
        # A site with non-finite values is a signal (`lr`), a signal and one of its sites
        # (`spectral_norm.embed.weight`), a gradient (`embed.grad`) or a layer (`blocks.0`).
        name = finding.site.partition(".")[0]
        if finding.site.endswith(".grad"):
            return "grad_norm" in self.signals
        if name == "grad_norm_by_layer":
            return name in self.signals or "grad_norm" in self.signals
        return (name if name in BY_NAME else "activation") in self.signals


@dataclass(frozen=True)
class Drawing:
    """A view, drawn for one run. `svg` is "" if none of its signals was recorded."""

    name: str
    plot: Plot
    svg: str

    @property
    def legend(self) -> Legend:
        return legend_of(self.plot)


@dataclass(frozen=True)
class Panel:
    """A question about a run, with the charts that answer it.

    key           identifies this panel; part of its HTML ids
    healthy_look  a sentence on how the charts of a healthy run look
    views         one or two charts
    sentences     functions that return a sentence with the most important numbers of a run, or ""
    """

    key: PanelKey
    title: str
    question: str
    healthy_look: str
    views: tuple[View, ...]
    sentences: tuple[Callable[[Record], str], ...]

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals that the charts show."""
        return tuple(dict.fromkeys(signal for view in self.views for signal in view.signals))

    def findings_of(self, diagnosis: Diagnosis | None) -> list[Finding]:
        """The findings that at least one of the charts marks."""
        findings = diagnosis.findings if diagnosis else ()
        return [f for f in findings if any(view.marks(f) for view in self.views)]

    def draw(
        self,
        run: Record,
        reference: Record | None,
        diagnosis: Diagnosis | None,
        anchor: str = "run",
    ) -> tuple[Drawing, ...]:
        """Draw all views of a run as SVG, with ids that begin with `anchor`.

        If `diagnosis` is None, the charts contain no marks of findings.
        """
        first, last = step_range(run)
        drawings = []
        for index, view in enumerate(self.views):
            findings = [f for f in self.findings_of(diagnosis) if view.marks(f)]
            symptoms: dict[int, list[str]] = {}
            for finding in findings:
                symptoms.setdefault(finding.step, []).append(finding.symptom)
            plot = view.plot(run, reference)
            plot = replace(
                plot,
                span=(first, last),
                events=tuple(
                    Event(step, ", ".join(dict.fromkeys(symptoms[step])))
                    for step in sorted(symptoms)[:MAX_EVENTS]
                ),
                window=plot.window if any(f.onset is not None for f in findings) else None,
            )
            lines = ", ".join(line.label for line in plot.lines)
            description = f"{self.question} Steps {first} to {last}; {plot.axis}. Lines: {lines}."
            slug = f"{anchor}-{self.key}-{index}"
            svg = "" if plot.empty else draw(plot, slug, f"{self.title}: {view.name}", description)
            drawings.append(Drawing(view.name, plot, svg))
        return tuple(drawings)

    def shows(self, record: Record, diagnosis: Diagnosis | None) -> str:
        """The text below the charts: numbers, findings, and signals that were not finite or not
        recorded."""
        parts = (
            *(sentence(record) for sentence in self.sentences),
            findings_sentence(self.findings_of(diagnosis)),
            not_finite_sentence(record, self.signals),
            not_recorded_sentence(record, self.signals),
        )
        return " ".join(part for part in parts if part) or "No value is finite."
