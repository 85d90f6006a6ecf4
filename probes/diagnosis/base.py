"""The types of a diagnosis: a Detector looks for Symptoms and reports each one as a Finding.

A diagnosis during a run must agree with the diagnosis after it. For this, one rule holds: **a
finding is never withdrawn**. Given only the first n steps of a record, a detector returns the same
findings as on the whole record, except those at later steps. Detectors that judge how a run ended
cannot keep this rule. They run only on records of runs that have ended (`Detector.at_end`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from math import isfinite, log10
from typing import Literal, NamedTuple

import numpy as np

from probes.common.text import printable
from probes.diagnosis.evidence import Evidence
from probes.record import Column

Side = Literal["above", "below"]
Language = Literal["en"]
"""Languages in which `Symptom.sentence` is written."""
MAX_STRENGTH = 10.0
"""Strength of an observation that is infinitely far from its limit. A finite value keeps causes
comparable."""
REPEAT_FACTOR = 10**0.5
"""A finding is reported again when the observed value has become worse by this factor, which is
half a unit of strength."""


class PanelKey(StrEnum):
    """The panels of the dashboard. Each is defined by a file in `probes/panels`; the value of a
    member is part of the ids in the HTML page."""

    LOSS = "loss"
    LEARNING_RATE = "lr"
    GRADIENT_NORM = "gradient"
    ACTIVATIONS = "activations"
    SPECTRAL_NORM = "spectral"
    DEAD_UNITS = "dead"
    VERB_CLASSES = "classes"


class ViewKey(Enum):
    """The views of the panels. Each view is one chart."""

    LOSS = PanelKey.LOSS, "loss"
    RATE = PanelKey.LEARNING_RATE, "rate"
    UPDATE_WEIGHT_RATIO = PanelKey.LEARNING_RATE, "update-weight-ratio"
    GRADIENT_NORM = PanelKey.GRADIENT_NORM, "gradient-norm"
    ACTIVATION = PanelKey.ACTIVATIONS, "activation"
    GRAD_ACTIVATION_RATIO = PanelKey.ACTIVATIONS, "grad-activation-ratio"
    SPECTRAL_NORM = PanelKey.SPECTRAL_NORM, "spectral-norm"
    DEAD_NEURONS = PanelKey.DEAD_UNITS, "dead-neurons"
    ATTENTION_ENTROPY = PanelKey.DEAD_UNITS, "attention-entropy"
    ALL_TENSES = PanelKey.VERB_CLASSES, "all-tenses"
    COMPOSITIONAL_TENSES = PanelKey.VERB_CLASSES, "compositional-tenses"

    @property
    def panel(self) -> PanelKey:
        """The panel that holds the view."""
        panel, _ = self.value
        return panel


@dataclass(frozen=True)
class Finding:
    """One observed value that lies beyond its limit.

    symptom   the name of a Symptom; `probes.diagnosis.detectors.SYMPTOMS` holds them by name
    site      the place in the model; "" for the run as a whole
    step      the first step after which the symptom could be detected
    worse     the side of `limit` on which the observed value lies
    source    publication or reasoning from which the limit comes
    onset     the step at which the symptom began, if that is earlier than `step`
    """

    symptom: str
    site: str
    step: int
    observed: float
    limit: float
    worse: Side
    source: str
    onset: int | None = None

    @property
    def strength(self) -> float:
        """The distance from the limit in decades: log10(observed / limit), or log10(limit /
        observed) when below is worse. Clipped to [-MAX_STRENGTH, MAX_STRENGTH]."""
        above, under = (
            (self.observed, self.limit) if self.worse == "above" else (self.limit, self.observed)
        )
        if not isfinite(above) or not under > 0:
            return MAX_STRENGTH
        if above <= 0:
            return -MAX_STRENGTH
        return max(-MAX_STRENGTH, min(MAX_STRENGTH, log10(above) - log10(under)))

    def __str__(self) -> str:
        """Symptom, site, step, observed value and limit in one line, without the source."""
        began = "" if self.onset is None else f", began at step {self.onset}"
        return f"{self.place}, step {self.step}{began}: {self.observed:.4g}, limit {self.limit:.4g}"

    @property
    def place(self) -> str:
        """The symptom, followed by its site unless it concerns the whole run."""
        return f"{self.symptom} at {printable(self.site)}" if self.site else self.symptom


@dataclass(frozen=True, eq=False, kw_only=True)
class Symptom:
    """A sign that something is wrong with a run.

    name       kebab-case and unique: what `Finding.symptom` holds
    quantity   what the observed value and the limit of a finding measure
    unit       the unit of the quantity; "ratio" if it has none
    view       the view in which a finding is marked. None if the symptom can occur in any signal:
               a finding is then marked in the view that draws the signal at its site
    worse      the side of the limit on which an observed value is a finding
    criterion  the condition under which the symptom is found, in words
    limit      a number; None if the limit depends on the run and is set for each finding
    source     publication or reasoning from which the limit comes, unless a finding has its own
    sentence   language -> a sentence that describes a finding. Placeholders: {site}, {step},
               {onset} (equal to {step} if there is no onset), {observed} and {limit}
    """

    name: str
    quantity: str
    unit: str
    view: ViewKey | None
    worse: Side
    criterion: str
    source: str
    sentence: Mapping[Language, str]
    limit: float | None = None

    def found(
        self,
        step: int,
        observed: float,
        *,
        site: str = "",
        limit: float | None = None,
        source: str = "",
        onset: int | None = None,
    ) -> Finding:
        """Make a finding of this symptom. Limit and source default to those of the symptom.

        Raises ValueError when neither the symptom nor the caller gives a limit."""
        limit = self.limit if limit is None else limit
        if limit is None:
            raise ValueError(f"the limit of {self.name} depends on the run; pass it to found()")
        return Finding(
            self.name, site, int(step), observed, limit, self.worse, source or self.source, onset
        )

    def sentence_for(self, finding: Finding, language: Language = "en") -> str:
        """The sentence about a finding, with the numbers of the finding filled in."""
        return self.sentence[language].format(
            site=printable(finding.site),
            step=finding.step,
            onset=finding.step if finding.onset is None else finding.onset,
            observed=f"{finding.observed:.4g}",
            limit=f"{finding.limit:.4g}",
        )


class Detector(NamedTuple):
    """A function that looks for symptoms in the evidence of one run.

    judge      returns the findings, [] if nothing is wrong. Raises CannotJudgeError if the evidence
               lacks a signal or fact that the detector needs
    symptoms   all symptoms that the detector can find
    at_end     whether the detector judges how a run ended. Such a detector runs only on records of
               runs that have ended, and the step of its findings is the last step of the record
    """

    name: str
    judge: Callable[[Evidence], Sequence[Finding]]
    symptoms: tuple[Symptom, ...]
    at_end: bool = False


def worsening(values: Column, limit: float, worse: Side) -> Iterator[int]:
    """The indices of `values` [n] at which to report a finding: the first value beyond the limit,
    then each value that is worse than the last reported one by REPEAT_FACTOR.

    In this way the strength of a symptom can grow during a run although no finding is withdrawn."""
    beyond = (values > limit) if worse == "above" else (values < limit)
    at = -1
    while (left := np.flatnonzero(beyond[at + 1 :])).size:
        at += 1 + int(left[0])
        yield at
        value = float(values[at])
        beyond = (
            values > value * REPEAT_FACTOR if worse == "above" else values < value / REPEAT_FACTOR
        )
