"""The vocabulary of a diagnosis: a Detector looks for Symptoms and reports each as a Finding.

One rule keeps a diagnosis during a run equal to a diagnosis after it: **a finding, once raised, is
never withdrawn**. The findings of a detector on the first n steps of a record are exactly those
findings on the whole record whose step is among the n. Detectors that judge how a run ended cannot
keep this rule and run only on records of runs that have ended (`Detector.at_end`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from math import isfinite, log10
from typing import Literal

import numpy as np

from probes.common.text import printable
from probes.diagnosis.evidence import Evidence
from probes.record import Column

Side = Literal["above", "below"]
Language = Literal["en"]
"""Languages of the sentences for people."""
MAX_STRENGTH = 10.0
"""Strength of an observation that is infinitely far from its limit. It keeps ranks finite."""
WORSE_BY = 10**0.5
"""A finding is repeated when its observation has become worse by this factor, which is half a unit
of strength."""


class PanelKey(StrEnum):
    """The panels of the dashboard. A file in `probes/panels` registers under each member; the value
    is part of the ids in the page."""

    LOSS = "loss"
    LEARNING_RATE = "lr"
    GRADIENT_NORM = "gradient"
    ACTIVATIONS = "activations"
    SPECTRAL_NORM = "spectral"
    DEAD_UNITS = "dead"
    VERB_CLASSES = "classes"


class ViewKey(Enum):
    """The views of the panels: each is one chart."""

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
    """One observation that broke one limit.

    symptom   the name of a Symptom; `probes.diagnosis.detectors.SYMPTOMS` holds them by name
    site      where in the model; "" for the run as a whole
    step      the first step after which it could be known
    worse     on which side of `limit` the observation lies
    source    where the limit comes from
    onset     the step at which it began, where that is earlier than `step`
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
        """The symptom, and the site where there is one."""
        return f"{self.symptom} at {printable(self.site)}" if self.site else self.symptom


@dataclass(frozen=True, eq=False, kw_only=True)
class Symptom:
    """A sign that something is wrong with a run.

    name       kebab-case and unique: what `Finding.symptom` holds
    quantity   what the observed value and the limit of a finding measure
    unit       the unit of the quantity; "ratio" where it has none
    view       the view of a panel that shows it; None when any signal can show it: the view that
               draws the signal at the site of a finding then marks it
    worse      on which side of the limit an observation is a finding
    criterion  when it is found, in words
    limit      a number; None where it depends on the run and each finding carries its own
    source     where the limit comes from; a finding may carry a source of its own
    sentence   language -> what a person would say. Placeholders: {site}, {step}, {onset} (the step
               where there is no onset), {observed} and {limit}
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
        """A finding of this symptom. Limit and source are the symptom's own unless they are given.

        Raises ValueError when neither the symptom nor the caller states a limit."""
        limit = self.limit if limit is None else limit
        if limit is None:
            raise ValueError(f"the limit of {self.name} depends on the run; pass it to found()")
        return Finding(
            self.name, site, int(step), observed, limit, self.worse, source or self.source, onset
        )

    def sentence_for(self, finding: Finding, language: Language = "en") -> str:
        """The sentence with the finding's numbers in it."""
        return self.sentence[language].format(
            site=printable(finding.site),
            step=finding.step,
            onset=finding.step if finding.onset is None else finding.onset,
            observed=f"{finding.observed:.4g}",
            limit=f"{finding.limit:.4g}",
        )


@dataclass(frozen=True)
class Detector:
    """A function that looks for symptoms in the evidence of one run.

    judge      returns the findings, [] when there is nothing wrong. Raises CannotJudgeError when
               the evidence lacks what it needs
    symptoms   all that it can find
    at_end     whether it judges how a run ended. It then runs only on a record of a run that has
               ended, and its findings carry the last step of the record
    """

    name: str
    judge: Callable[[Evidence], Sequence[Finding]]
    symptoms: tuple[Symptom, ...]
    at_end: bool = False


def worsening(values: Column, limit: float, worse: Side) -> Iterator[int]:
    """Where in `values` [n] a finding is raised: at the first value beyond the limit, and at each
    later value that is worse by WORSE_BY than at the last finding.

    The strength of a symptom can thus grow during a run although no finding is withdrawn."""
    beyond = (values > limit) if worse == "above" else (values < limit)
    at = -1
    while (left := np.flatnonzero(beyond[at + 1 :])).size:
        at += 1 + int(left[0])
        yield at
        value = float(values[at])
        beyond = values > value * WORSE_BY if worse == "above" else values < value / WORSE_BY
