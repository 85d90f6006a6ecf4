"""From a record to a verdict: run the detectors, and rank the causes that account for what they
found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from probes.common.text import printable
from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.causes import CAUSES, Cause
from probes.diagnosis.curves import MIN_POINTS
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.remarks import remarks_on
from probes.record import Record

Verdict = Literal["healthy", "unhealthy", "undetermined"]
CORE_SIGNALS = ("loss", "train_loss")
"""Losses, one of which must have MIN_POINTS points for a run to be judged."""
SUMMARY_FIELDS = ("symptom", "site", "limit", "source")
"""Fields of a finding in a summary."""


@dataclass(frozen=True)
class Suspect:
    """A cause whose needs are met, with its evidence.

    evidence        the findings that it accounts for, the decisive ones first
    certain_since   the first step from which every longer prefix of the record names it first; None
                    when the whole record does not
    or_else         names of other faults that the signals of this run cannot tell from it
    """

    name: str
    meaning: str
    remedy: str
    strength: float
    evidence: tuple[Finding, ...]
    certain_since: int | None
    or_else: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name, followed by what else it may be."""
        return " or ".join((self.name, *self.or_else))

    @property
    def gist(self) -> str:
        """The decisive finding in one line; when it was repeated because it got worse, its first
        step and its worst observation."""
        first = self.evidence[0]
        worst = max(
            (f for f in self.evidence if f.symptom == first.symptom), key=lambda f: f.strength
        )
        if worst == first:
            return str(first)
        reach = "up to" if worst.worse == "above" else "down to"
        return (
            f"{worst.place} since step {first.step}, {reach} {worst.observed:.4g} at step "
            f"{worst.step}, limit {worst.limit:.4g}"
        )


@dataclass(frozen=True)
class Diagnosis:
    """The outcome of judging one record. `str()` of it is written for a failed assertion.

    verdict      healthy; unhealthy: a cause is named; undetermined: too little of a loss to judge,
                 a loss that never fell, or a finding that no cause explains
    causes       ranked; the first one is `cause`
    margin       strength of the first cause over that of the next one that does not follow from it;
                 None when there is no such cause
    not_judged   detector -> why it could not judge
    reason       why the verdict is undetermined; "" for other verdicts
    core         whether there was enough of a loss to judge
    remarks      facts worth knowing that are no fault
    """

    verdict: Verdict
    causes: tuple[Suspect, ...]
    findings: tuple[Finding, ...]
    judged: tuple[str, ...]
    not_judged: Mapping[str, str]
    margin: float | None
    reason: str
    core: bool
    remarks: tuple[str, ...] = ()

    @property
    def cause(self) -> str | None:
        """The name of the first cause."""
        return self.causes[0].name if self.causes else None

    @property
    def title(self) -> str:
        """The first cause with what else it may be; "" when there is none."""
        return self.causes[0].title if self.causes else ""

    @property
    def remedy(self) -> str:
        """The remedy of the first cause; "" when there is none."""
        return self.causes[0].remedy if self.causes else ""

    @property
    def alarm(self) -> bool:
        """Whether somebody should look at the run: a cause is named, or there is a finding that no
        cause explains and enough of a loss to judge.

        A loss that never fell is no alarm, since a log that begins after convergence looks the
        same."""
        return self.verdict == "unhealthy" or (self.core and bool(self.findings))

    @property
    def gist(self) -> str:
        """One line: the evidence of the first cause, why no verdict was possible, or what was
        checked."""
        if self.causes:
            return self.causes[0].gist
        if self.findings:
            return f"no cause explains {self.findings[0]}"
        detectors = len(self.judged) + len(self.not_judged)
        return (
            self.reason
            or f"{len(self.judged)} of {detectors} detectors judged, none found anything"
        )

    @property
    def headline(self) -> str:
        """The gist, after the title where a cause is named."""
        return f"{self.title}: {self.gist}" if self.causes else self.gist

    @property
    def why_not_judged(self) -> dict[str, list[str]]:
        """Reason -> the detectors that could not judge for this reason."""
        detectors: dict[str, list[str]] = {}
        for name, why in self.not_judged.items():
            detectors.setdefault(why, []).append(name)
        return detectors

    def shows(self, symptom: str, before: int | None = None) -> bool:
        """Whether a symptom was found, at a step earlier than `before` when that is given."""
        return any(
            f.symptom == symptom and (before is None or f.step < before) for f in self.findings
        )

    def summary(self) -> dict[str, Any]:
        """What is the same on every machine, in builtins: verdict, causes, what could not be
        judged, and the symptom, site, limit and source of the findings. A repeated finding is
        listed once."""
        findings = dict.fromkeys(
            tuple(getattr(f, name) for name in SUMMARY_FIELDS) for f in self.findings
        )
        return {
            "verdict": self.verdict,
            "causes": [cause.name for cause in self.causes],
            "findings": [dict(zip(SUMMARY_FIELDS, values, strict=True)) for values in findings],
            "not_judged": dict(self.not_judged),
            "reason": self.reason,
        }

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}" + (f" ({self.reason})" if self.reason else "")]
        for rank, cause in enumerate(self.causes, start=1):
            margin = "sole" if self.margin is None else f"margin {self.margin:.2f}"
            standing = f"strength {cause.strength:.2f}" + (f", {margin}" if rank == 1 else "")
            since = (
                "" if cause.certain_since is None else f", certain since step {cause.certain_since}"
            )
            lines += [
                f"cause {rank}: {cause.title} ({standing}{since})",
                f"  {cause.meaning}",
                f"  remedy: {cause.remedy}",
            ]
        for f, worst in _first_and_worst(self.findings):
            began = "" if f.onset is None else f", began at step {f.onset}"
            observed = f"{f.observed:.6g}" + (
                "" if worst is f else f" ({worst.observed:.6g} at step {worst.step})"
            )
            lines += [
                f"finding: {f.place}",
                f"  first step {f.step}{began}, observed {observed}, limit {f.limit:.6g}, "
                f"{f.worse} is worse",
                f"  limit from: {f.source}",
            ]
        lines += [f"remark: {remark}" for remark in self.remarks]
        lines += [f"judged: {', '.join(self.judged)}"] if self.judged else []
        lines += [
            f"not judged: {', '.join(names)}: {why}" for why, names in self.why_not_judged.items()
        ]
        return "\n".join(lines)


def _first_and_worst(findings: Sequence[Finding]) -> list[tuple[Finding, Finding]]:
    """The first and the worst finding of each symptom at each site."""
    repeated: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        repeated.setdefault((finding.symptom, finding.site), []).append(finding)
    return [(same[0], max(same, key=lambda f: f.strength)) for same in repeated.values()]


@np.errstate(all="ignore")  # a loss may be too large to be squared, which is no news for a terminal
def diagnose(record: Record, ended: bool = True) -> Diagnosis:
    """Judge a record by its facts and signals; its provenance is not looked at.

    `ended` is False for a run that still goes on: detectors that judge how a run ended are left out
    then, and so are remarks."""
    evidence = Evidence(record)
    findings, judged, not_judged = _run_detectors(
        evidence, [d for d in DETECTORS if ended or not d.at_end]
    )
    causes = rank(findings)
    suspects = tuple(_suspect(cause, findings, evidence) for cause in causes)
    missing, fell = _core(evidence)
    verdict, reason = _verdict(causes, findings, missing, fell)
    return Diagnosis(
        verdict=verdict,
        causes=suspects,
        findings=tuple(findings),
        judged=judged,
        not_judged=not_judged,
        margin=_margin(causes, suspects),
        reason=reason,
        core=not missing,
        remarks=remarks_on(evidence) if ended else (),
    )


def rank(findings: Sequence[Finding]) -> list[Cause]:
    """The causes whose needs are met and that no symptom excludes, strongest first. Of equal ones
    the earlier row of the table comes first.

    A cause that follows from another named cause comes after all that do not."""
    names = {f.symptom for f in findings}
    possible = [
        cause
        for cause in CAUSES
        if all(_strength(symptom.name, findings) >= least for symptom, least in cause.needs.items())
        and not any(symptom.name in names for symptom in cause.excluded)
    ]
    follows = {
        cause.name: any(cause.follows_from(other) for other in possible if other is not cause)
        for cause in possible
    }
    return sorted(
        possible, key=lambda cause: (follows[cause.name], -_strength(cause.decisive.name, findings))
    )


def _run_detectors(
    evidence: Evidence, detectors: Sequence[Detector]
) -> tuple[list[Finding], tuple[str, ...], dict[str, str]]:
    """The findings, the detectors that judged, and why the others could not."""
    findings: list[Finding] = []
    judged: list[str] = []
    not_judged: dict[str, str] = {}
    for detector in detectors:
        try:
            findings += detector.judge(evidence)
            judged.append(detector.name)
        except CannotJudgeError as why:
            not_judged[detector.name] = str(why)
    return findings, tuple(judged), not_judged


def _suspect(cause: Cause, findings: Sequence[Finding], evidence: Evidence) -> Suspect:
    own = [f for f in findings if cause.accounts_for(f.symptom)]
    own.sort(key=lambda f: f.symptom != cause.decisive.name)
    names = {f.symptom for f in findings}
    return Suspect(
        name=cause.name,
        meaning=cause.meaning,
        remedy=cause.remedy.format(onset=own[0].onset),
        strength=_strength(cause.decisive.name, findings),
        evidence=tuple(own),
        certain_since=_certain_since(cause, findings),
        or_else=tuple(
            other
            for other, clues in cause.alike.items()
            if not any(clue.present(evidence, names) for clue in clues)
        ),
    )


def _certain_since(cause: Cause, findings: Sequence[Finding]) -> int | None:
    """The first step from which every longer prefix names the cause first; None when the whole
    record does not.

    Findings are never withdrawn, so the ranking changes only at the steps of findings. Ranking the
    findings up to each of those steps covers every prefix, in time linear in the record."""
    since = None
    for step in sorted({f.step for f in findings}):
        causes = rank([f for f in findings if f.step <= step])
        if not causes or causes[0] is not cause:
            since = None
        elif since is None:
            since = step
    return since


def _strength(symptom: str, findings: Sequence[Finding]) -> float:
    """Strength of the strongest finding of a symptom; minus infinity when there is none."""
    return max((f.strength for f in findings if f.symptom == symptom), default=float("-inf"))


def _margin(causes: Sequence[Cause], suspects: Sequence[Suspect]) -> float | None:
    """Lead of the first cause over the next one that does not follow from it."""
    for cause, suspect in zip(causes[1:], suspects[1:], strict=True):
        if not cause.follows_from(causes[0]):
            return suspects[0].strength - suspect.strength
    return None


def _core(evidence: Evidence) -> tuple[str, bool]:
    """What is missing of a loss to judge the run by ("" when nothing is), and whether it fell."""
    recorded = [name for name in CORE_SIGNALS if evidence.sites(name)]
    if not recorded:
        return "no loss was recorded", False
    try:
        points = {name: len(evidence.series(name)[1]) for name in recorded}
    except CannotJudgeError as why:
        return str(why), False
    name = max(recorded, key=lambda name: min(MIN_POINTS, points[name]))
    if points[name] < MIN_POINTS:
        return f"{points[name]} points of {name}; {MIN_POINTS} are needed", False
    return "", evidence.curve(name).fell


def _verdict(
    causes: Sequence[Cause], findings: Sequence[Finding], missing: str, fell: bool
) -> tuple[Verdict, str]:
    """The verdict, and the reason where it is undetermined."""
    if causes:
        return "unhealthy", ""
    if findings:
        first = findings[0]
        return "undetermined", f"no cause explains {first.symptom}" + (
            f" at {printable(first.site)}" if first.site else ""
        )
    if missing or not fell:
        return "undetermined", f"cannot judge: {missing or 'the loss never fell'}"
    return "healthy", ""
