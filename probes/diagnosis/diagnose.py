"""From a record to a verdict: run the detectors, rank the causes that account for what they
found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from probes.common.text import printable
from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.causes import CAUSES, VAL_FELL, Cause
from probes.diagnosis.curves import fell
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.notices import never_fell, remarks
from probes.record import Record
from probes.record.signals import BY_NAME as SIGNALS

Verdict = Literal["healthy", "unhealthy", "undetermined"]
CORE = ("loss", "train_loss")
"""Either will do; the first with enough points is taken."""
KEPT = ("symptom", "site", "limit", "source")
"""What a summary says of a finding."""
CORE_POINTS = 20
"""Points of loss below which nothing is said about a run; chosen so that a trend can be told from
noise."""


@dataclass(frozen=True)
class Suspect:
    """A cause whose needs are met: its evidence, and the first step from which it stays named
    first.

    or_else   names of causes that the run's signals cannot tell from this one
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
        """The name, and what else it may be."""
        return " or ".join((self.name, *self.or_else))

    @property
    def gist(self) -> str:
        """The decisive finding; where it was repeated because it got worse, since when and how bad
        it became."""
        first = self.evidence[0]
        worst = max(
            (f for f in self.evidence if f.symptom == first.symptom), key=lambda f: f.strength
        )
        if worst == first:
            return str(first)
        reach = "up to" if worst.worse == "above" else "down to"
        return (
            f"{worst.place} since step {first.step}, {reach} {worst.observed:.4g} at step {worst.step}, "
            f"limit {worst.limit:.4g}"
        )


@dataclass(frozen=True)
class Diagnosis:
    """The outcome of judging one record; `str()` of it is meant to be read when an assertion fails.

    verdict     healthy, unhealthy (a cause is named) or undetermined (no core that can be judged,
                or an unexplained finding)
    causes      ranked, the first is `cause`
    margin      strength of the first cause over that of the next one it does not explain; None when
                it is sole
    not_judged  detector -> why it could not judge
    reason      why the verdict is undetermined, "" otherwise
    core        whether there was enough of a loss to judge
    remarks     what is worth knowing of a run and is no fault
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
        return self.causes[0].name if self.causes else None

    @property
    def title(self) -> str:
        """The first cause with what else it may be, "" when there is none."""
        return self.causes[0].title if self.causes else ""

    @property
    def remedy(self) -> str:
        return self.causes[0].remedy if self.causes else ""

    @property
    def alarm(self) -> bool:
        """Whether somebody should look: a named cause, or a finding that none explains in a run
        with its core there.

        A loss that never fell is no alarm: a run that is dead looks like one that had learned
        before its log began."""
        return self.verdict == "unhealthy" or (self.core and bool(self.findings))

    @property
    def gist(self) -> str:
        """One line: the evidence of the first cause, why no verdict was possible, or what was
        checked."""
        if self.causes:
            return self.causes[0].gist
        if self.findings:
            return f"no cause explains {self.findings[0]}"
        asked = len(self.judged) + len(self.not_judged)
        return self.reason or f"{len(self.judged)} of {asked} detectors judged, none found anything"

    @property
    def headline(self) -> str:
        """The gist, after the first cause with what else it may be where there is one."""
        return f"{self.title}: {self.gist}" if self.causes else self.gist

    @property
    def why_not_judged(self) -> dict[str, list[str]]:
        """Why detectors could not judge -> which, so that each reason is given once."""
        found: dict[str, list[str]] = {}
        for name, why in self.not_judged.items():
            found.setdefault(why, []).append(name)
        return found

    def shows(self, symptom: str, before: int | None = None) -> bool:
        """Whether a symptom was found, at a step earlier than `before` when that is given."""
        return any(
            f.symptom == symptom and (before is None or f.step < before) for f in self.findings
        )

    def summary(self) -> dict[str, Any]:
        """What holds from machine to machine, in builtins: verdict, causes, symptoms, sites,
        limits, sources."""
        # Each once: how often a finding was repeated because it got worse is no such thing.
        limits = dict.fromkeys(tuple(getattr(f, name) for name in KEPT) for f in self.findings)
        return {
            "verdict": self.verdict,
            "causes": [cause.name for cause in self.causes],
            "findings": [dict(zip(KEPT, limit, strict=True)) for limit in limits],
            "judged": list(self.judged),
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
        for f, worst in _worst_of_each(self.findings):
            began = "" if f.onset is None else f", began at step {f.onset}"
            observed = f"{f.observed:.6g}" + (
                "" if worst is f else f" ({worst.observed:.6g} at step {worst.step})"
            )
            lines += [
                f"finding: {f.place}",
                f"  first step {f.step}{began}, observed {observed}, limit {f.limit:.6g}, {f.worse} is worse",
                f"  limit from: {f.source}",
            ]
        lines += [f"remark: {remark}" for remark in self.remarks]
        lines += [f"judged: {', '.join(self.judged)}"] if self.judged else []
        lines += [
            f"not judged: {', '.join(names)}: {why}" for why, names in self.why_not_judged.items()
        ]
        return "\n".join(lines)


def _worst_of_each(findings: Sequence[Finding]) -> list[tuple[Finding, Finding]]:
    """The first finding of each symptom at each site, and the worst that it became."""
    repeated: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        repeated.setdefault((finding.symptom, finding.site), []).append(finding)
    return [(same[0], max(same, key=lambda f: f.strength)) for same in repeated.values()]


@np.errstate(all="ignore")
def diagnose(record: Record, ended: bool = True) -> Diagnosis:
    """Judge a record by its facts and signals alone; its provenance is not looked at.

    A loss may be too large to be squared: what overflows on the way is far out, and no news for a
    terminal.

    `ended` is False for a run that is still going: nothing is said then that only its end tells.
    """
    evidence = Evidence(record)
    findings, judged, not_judged = _detect(
        evidence, [d for d in DETECTORS if ended or not d.at_end]
    )
    named = rank(findings)
    suspects = tuple(_suspect(cause, findings, evidence) for cause in named)
    core_gap, fallen = _core(evidence)
    verdict, reason = _verdict(named, findings, core_gap, fallen)
    return Diagnosis(
        verdict=verdict,
        causes=suspects,
        findings=tuple(findings),
        judged=judged,
        not_judged=not_judged,
        margin=_margin(named, suspects),
        reason=reason,
        core=not core_gap,
        remarks=remarks(evidence) if ended else (),
    )


def rank(findings: Sequence[Finding]) -> list[Cause]:
    """The causes whose needs are met and not excluded, strongest first; ties go to the earlier row
    of the table.

    A cause all of whose needs another named cause explains is a consequence and is ranked after it.
    """
    found = {f.symptom for f in findings}
    possible = [
        cause
        for cause in CAUSES
        if all(_strength(symptom, findings) >= least for symptom, least in cause.needs.items())
        and not found.intersection(cause.excluded)
    ]
    consequence = {
        cause.name: any(
            set(cause.needs) <= set(other.explains) for other in possible if other is not cause
        )
        for cause in possible
    }
    return sorted(
        possible, key=lambda cause: (consequence[cause.name], -_strength(cause.decisive, findings))
    )


def _detect(
    evidence: Evidence, detectors: Sequence[Detector]
) -> tuple[list[Finding], tuple[str, ...], dict[str, str]]:
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
    own.sort(key=lambda f: f.symptom != cause.decisive)
    strength, remedy = _strength(cause.decisive, findings), cause.remedy.format(onset=own[0].onset)
    seen = {signal for signal in SIGNALS if evidence.sites(signal)} | {f.symptom for f in findings}
    seen |= set() if never_fell(evidence) else {VAL_FELL}
    or_else = tuple(name for name, telling in cause.alike.items() if seen.isdisjoint(telling))
    return Suspect(
        cause.name,
        cause.meaning,
        remedy,
        strength,
        tuple(own),
        _certain_since(cause, findings),
        or_else,
    )


def _certain_since(cause: Cause, findings: Sequence[Finding]) -> int | None:
    """First step from which every longer prefix names the cause first; None for one that is not
    first in the end.

    Findings are never withdrawn, so the ranking changes only at the steps of findings: replaying
    those is replaying every prefix, in time linear in the record."""
    since = None
    for step in sorted({f.step for f in findings}):
        named = rank([f for f in findings if f.step <= step])
        if not named or named[0] is not cause:
            since = None
        elif since is None:
            since = step
    return since


def _strength(symptom: str, findings: Sequence[Finding]) -> float:
    """Strength of a symptom's strongest finding; minus infinity when there is none."""
    return max((f.strength for f in findings if f.symptom == symptom), default=float("-inf"))


def _margin(named: Sequence[Cause], suspects: Sequence[Suspect]) -> float | None:
    """Lead of the first cause over the next one that does not follow from it."""
    for cause, suspect in zip(named[1:], suspects[1:], strict=True):
        if not set(cause.needs) <= set(named[0].explains):
            return suspects[0].strength - suspect.strength
    return None


def _core(evidence: Evidence) -> tuple[str, bool]:
    """Why the core signal is missing ("" when it is not), and whether the loss fell."""
    recorded = [name for name in CORE if evidence.sites(name)]
    if not recorded:
        return "no loss was recorded", False
    try:
        losses = {name: evidence.series(name)[1] for name in recorded}
    except CannotJudgeError as why:
        return str(why), False
    name = max(recorded, key=lambda name: min(CORE_POINTS, len(losses[name])))
    if len(losses[name]) < CORE_POINTS:
        return f"{len(losses[name])} points of {name}; {CORE_POINTS} are needed", False
    return "", fell(losses[name])


def _verdict(
    named: Sequence[Cause], findings: Sequence[Finding], core_gap: str, fallen: bool
) -> tuple[Verdict, str]:
    if named:
        return "unhealthy", ""
    if findings:
        first = findings[0]
        return "undetermined", f"no cause explains {first.symptom}" + (
            f" at {printable(first.site)}" if first.site else ""
        )
    if core_gap or not fallen:
        return "undetermined", f"cannot judge: {core_gap or 'the loss never fell'}"
    return "healthy", ""
