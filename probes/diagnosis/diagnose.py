"""Diagnoses a record: runs the detectors, ranks the causes that explain their findings, and gives a
verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from probes.common.text import described, printable
from probes.diagnosis.base import Finding, Symptom
from probes.diagnosis.causes import CAUSES, Cause
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.detectors.instrument import IMPOSSIBLE
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.family import Family, FamilyError, OddSignal, sentence
from probes.diagnosis.health import TOO_FEW_POINTS, Doubt, doubts_on, has_judged_loss
from probes.diagnosis.notices import notices_on
from probes.record import Record

T = TypeVar("T")
Verdict = Literal["healthy", "unhealthy", "undetermined"]
MAX_LISTED = 10
"""`str()` of a diagnosis lists at most this many signals that are odd beside the family."""
SUMMARY_FIELDS = ("symptom", "site", "limit", "source")
"""Fields of a Finding that `Diagnosis.summary` contains."""


@dataclass(frozen=True)
class Suspect:
    """A cause that the findings of a run support, with its evidence.

    meaning         what is wrong, in words
    remedy          what to do
    strength        strength of the strongest decisive finding
    evidence        the findings that the cause explains, the decisive ones first
    certain_since   the earliest step for which this holds: the cause ranks first on the record up
                    to that step, and on the record up to any later step. None if it does not rank
                    first on the whole record
    or_else         names of other faults that cannot be ruled out with the signals of this run
    category        the part of the training in which the fault lies (`probes.diagnosis.causes`)
    """

    name: str
    meaning: str
    remedy: str
    strength: float
    evidence: tuple[Finding, ...]
    certain_since: int | None
    or_else: tuple[str, ...] = ()
    category: str = ""

    @property
    def title(self) -> str:
        """The name of the cause, followed by the faults that cannot be ruled out."""
        return " or ".join((self.name, *self.or_else))

    @property
    def gist(self) -> str:
        """The decisive finding in one line. If it was reported again because it became worse, the
        line gives its first step and its worst observed value."""
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
    """The diagnosis of one record. Its `str()` lists everything, for the message of an assertion.

    verdict      "unhealthy" if a cause is named; "undetermined" if a loss has too few points, the
                 loss never fell, no cause explains a finding, the record holds impossible values, a
                 signal lies beyond what the family shows, or a part of the diagnosis failed;
                 otherwise "healthy"
    causes       the suspected causes, ranked; the name of the first one is `cause`
    findings     the findings of all detectors
    judged       names of the detectors that could judge
    not_judged   name of a detector -> the reason why it could not judge
    margin       strength of the first cause minus that of the next cause that does not follow from
                 it; None if there is no such cause
    reason       why the verdict is undetermined; "" for other verdicts
    core         whether a loss has enough points to judge the run
    remarks      facts worth knowing that are not faults
    doubt        why a run without findings is undetermined, without numbers; else ""
    errors       part of the diagnosis that failed, such as a detector -> its exception, as text.
                 It is empty unless this package has a fault
    odd          signals beyond what the family of the run shows, the most deviating first
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
    doubt: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    odd: tuple[OddSignal, ...] = ()

    @property
    def cause(self) -> str | None:
        """The name of the first cause; None if there is no cause."""
        return self.causes[0].name if self.causes else None

    @property
    def title(self) -> str:
        """The title of the first cause (`Suspect.title`); "" if there is no cause."""
        return self.causes[0].title if self.causes else ""

    @property
    def remedy(self) -> str:
        """The remedy of the first cause. It is empty if there is no cause."""
        return self.causes[0].remedy if self.causes else ""

    @property
    def alarm(self) -> bool:
        """Whether the run needs attention: a cause is named, or a signal lies beyond what the
        family shows, or there is a finding that no cause explains and the loss has enough points to
        judge the run.

        A loss that never fell raises no alarm, because a log that begins after convergence looks
        the same."""
        return self.verdict == "unhealthy" or bool(self.odd) or (self.core and bool(self.findings))

    @property
    def gist(self) -> str:
        """One line: the evidence of the first cause, or which part of the diagnosis failed, or the
        finding that no cause explains, or why the run could not be judged, or how many detectors
        judged it."""
        if self.causes:
            return self.causes[0].gist
        if self.errors:
            return self.failure
        if self.findings:
            return wrong_record(self.findings) or f"no cause explains {self.findings[0]}"
        detectors = len(self.judged) + len(self.not_judged)
        return (
            self.reason
            or f"{len(self.judged)} of {detectors} detectors judged, none found anything"
        )

    @property
    def headline(self) -> str:
        """The gist. If a cause is named, its title comes first."""
        return f"{self.title}: {self.gist}" if self.causes else self.gist

    @property
    def is_too_short(self) -> bool:
        """Whether the run is undetermined because its losses have too few points."""
        return self.doubt.startswith(TOO_FEW_POINTS)

    @property
    def failure(self) -> str:
        """Which parts of the diagnosis failed and how, in one line; "" if none failed."""
        return "; ".join(f"{part} failed: {error}" for part, error in self.errors.items())

    @property
    def why_not_judged(self) -> dict[str, list[str]]:
        """Reason -> names of the detectors that could not judge for this reason."""
        detectors: dict[str, list[str]] = {}
        for name, why in self.not_judged.items():
            detectors.setdefault(why, []).append(name)
        return detectors

    def shows(self, symptom: str, before: int | None = None) -> bool:
        """Whether a symptom was found; if `before` is given, at a step earlier than `before`."""
        return any(
            f.symptom == symptom and (before is None or f.step < before) for f in self.findings
        )

    def summary(self) -> dict[str, Any]:
        """The parts of the diagnosis that are the same on every machine, as built-in types:
        verdict, causes, which detectors could judge, which failed, and the symptom, site, limit and
        source of the findings. A repeated finding is listed once."""
        findings = dict.fromkeys(
            tuple(getattr(f, name) for name in SUMMARY_FIELDS) for f in self.findings
        )
        return {
            "verdict": self.verdict,
            "causes": [cause.name for cause in self.causes],
            "findings": [dict(zip(SUMMARY_FIELDS, values, strict=True)) for values in findings],
            "judged": list(self.judged),
            "not_judged": dict(self.not_judged),
            "errors": dict(self.errors),
            "reason": self._reason_without_numbers,
        }

    @property
    def _reason_without_numbers(self) -> str:
        if self.odd and not self.causes:
            return f"odd beside its family: {', '.join(sorted({one.signal for one in self.odd}))}"
        return f"cannot judge: {self.doubt}" if self.doubt else self.reason

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
        repeated: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            repeated.setdefault((finding.symptom, finding.site), []).append(finding)
        for f, *later in repeated.values():
            worst = max((f, *later), key=lambda one: one.strength)
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
        lines += [f"odd beside its family: {one}" for one in self.odd[:MAX_LISTED]]
        if len(self.odd) > MAX_LISTED:
            lines += [f"odd beside its family: {len(self.odd) - MAX_LISTED} more summaries"]
        lines += [f"error: {name} failed: {error}" for name, error in self.errors.items()]
        lines += [f"remark: {remark}" for remark in self.remarks]
        lines += [f"judged: {', '.join(self.judged)}"] if self.judged else []
        lines += [
            f"not judged: {', '.join(names)}: {why}" for why, names in self.why_not_judged.items()
        ]
        return "\n".join(lines)


@np.errstate(all="ignore")  # no NumPy warning when the square of a huge loss overflows
def diagnose(
    record: Record, ended: bool = True, family: Family | Sequence[Record] = ()
) -> Diagnosis:
    """Diagnose a record from its facts and signals. Its provenance is not used.

    ended   False while the run goes on. Detectors that judge how a run ended, and remarks, are then
            left out
    family  healthy runs of the same config with other seeds, at least MIN_MEMBERS of
            `probes.diagnosis.family`, or the result of `family_of`. If a signal lies beyond what
            they show and no cause is named, the verdict is "undetermined". One healthy run in two
            hundred is expected to be called so (FALSE_ALARM_RATE)

    Raises FamilyError, a ValueError, if the runs are no family, a member is not healthy, or the run
    does not fit its family.

    If a detector or another part raises an exception that is not a CannotJudgeError, `errors` holds
    it, and the other parts still run. The verdict is then not "healthy"."""
    healthy_runs = family if isinstance(family, Family) else family_of(family) if family else None
    odd = healthy_runs.odd_signals(record) if healthy_runs else ()
    evidence = Evidence(record)
    findings: list[Finding] = []
    judged: list[str] = []
    not_judged: dict[str, str] = {}
    errors: dict[str, str] = {}
    for detector in DETECTORS:
        if detector.at_end and not ended:
            continue
        try:
            findings += list(detector.judge(evidence))
            judged.append(detector.name)
        except CannotJudgeError as why:
            not_judged[detector.name] = str(why)
        except Exception as error:
            errors[detector.name] = described(error)
    attempt = _Attempt(errors)
    causes = rank(findings)
    suspects = tuple(_suspect(cause, findings, evidence, attempt) for cause in causes)
    rivals = (
        suspect
        for cause, suspect in zip(causes, suspects, strict=True)
        if cause is not causes[0] and not cause.follows_from(causes[0])
    )
    rival = next(rivals, None)
    doubt = None if findings or errors else attempt("health", lambda: _first_doubt(evidence), None)
    core = attempt("core", lambda: has_judged_loss(evidence), False)
    remarks = (
        attempt("notices", lambda: notices_on(evidence, findings), tuple[str, ...]())
        if ended
        else ()
    )
    verdict, reason = _verdict(causes, findings, doubt.sentence if doubt else "", errors)
    if odd and healthy_runs and not causes:
        verdict, beyond = "undetermined", sentence(odd, healthy_runs.size)
        reason = f"{reason}; {beyond}" if reason else beyond
    return Diagnosis(
        verdict=verdict,
        causes=suspects,
        findings=tuple(findings),
        judged=tuple(judged),
        not_judged=not_judged,
        margin=None if rival is None else suspects[0].strength - rival.strength,
        reason=reason,
        doubt=doubt.kind if doubt else "",
        core=core,
        remarks=remarks,
        errors=errors,
        odd=odd,
    )


def family_of(members: Sequence[Record]) -> Family:
    """Make the family that `diagnose` compares runs with, to use it for several runs.

    Raises FamilyError, a ValueError, if the records are no family (`Family`) or a member is not
    healthy."""
    family = Family(members)
    for i, member in enumerate(members):
        diagnosis = diagnose(member)
        if diagnosis.verdict != "healthy":
            raise FamilyError(
                f"it is {diagnosis.verdict} ({diagnosis.headline}); a family holds healthy "
                "runs only",
                i,
            )
    return family


class _Attempt(NamedTuple):
    """Calls parts of the diagnosis that use the evidence of the run.

    errors   collects the exception of each part that fails, as text
    """

    errors: dict[str, str]

    def __call__(self, part: str, compute: Callable[[], T], otherwise: T) -> T:
        """The result of a part; `otherwise` if it fails or the evidence lacks what it needs."""
        try:
            return compute()
        except CannotJudgeError:
            return otherwise
        except Exception as error:
            self.errors[part] = described(error)
            return otherwise


def _first_doubt(evidence: Evidence) -> Doubt | None:
    """The weightiest reason why a run without findings cannot be called healthy."""
    try:
        return next(doubts_on(evidence), None)
    except CannotJudgeError as why:
        return Doubt(str(why), str(why))


def rank(findings: Sequence[Finding]) -> list[Cause]:
    """The causes whose needed symptoms were all found with the required strength and that no found
    symptom excludes, strongest first. Equally strong causes keep their order in the table CAUSES.

    Causes that follow from another cause in the list come last."""
    names = {f.symptom for f in findings}
    possible = [
        cause
        for cause in CAUSES
        if all(
            _strength(cause.deciding if symptom is cause.decisive else (symptom,), findings)
            >= least
            for symptom, least in cause.needs.items()
        )
        and not any(symptom.name in names for symptom in cause.excluded)
    ]
    follows = {
        cause.name: any(cause.follows_from(other) for other in possible if other is not cause)
        for cause in possible
    }
    return sorted(
        possible, key=lambda cause: (follows[cause.name], -_strength(cause.deciding, findings))
    )


def _suspect(
    cause: Cause, findings: Sequence[Finding], evidence: Evidence, attempt: _Attempt
) -> Suspect:
    own = [f for f in findings if cause.accounts_for(f.symptom)]
    deciding = {symptom.name for symptom in cause.deciding}
    own.sort(key=lambda f: f.symptom not in deciding)
    names = {f.symptom for f in findings}
    meaning, remedy = attempt(
        f"wording of {cause.name}", lambda: cause.reworded(evidence), None
    ) or (cause.meaning, cause.remedy.format(onset=own[0].onset))
    return Suspect(
        name=cause.name,
        meaning=meaning,
        remedy=remedy,
        strength=_strength(cause.deciding, findings),
        evidence=tuple(own),
        certain_since=_certain_since(cause, findings),
        or_else=attempt(
            f"rivals of {cause.name}",
            lambda: tuple(
                other
                for other, clues in cause.may_also_be.items()
                if not any(clue.present(evidence, names) for clue in clues)
            ),
            tuple[str, ...](),
        ),
        category=cause.category,
    )


def _certain_since(cause: Cause, findings: Sequence[Finding]) -> int | None:
    """The earliest step for which this holds: `cause` ranks first among the findings up to that
    step, and among the findings up to any later step. None if it does not rank first among all
    findings.

    Findings are never withdrawn, so the ranking changes only at steps that have a finding. It is
    therefore enough to rank the findings up to each of these steps."""
    since = None
    for step in sorted({f.step for f in findings}):
        causes = rank([f for f in findings if f.step <= step])
        if not causes or causes[0] is not cause:
            since = None
        elif since is None:
            since = step
    return since


def _strength(symptoms: Sequence[Symptom], findings: Sequence[Finding]) -> float:
    """Strength of the strongest finding of some symptoms; minus infinity if none was found."""
    names = {symptom.name for symptom in symptoms}
    return max((f.strength for f in findings if f.symptom in names), default=float("-inf"))


def wrong_record(findings: Sequence[Finding]) -> str:
    """Why the record must be wrong, whatever the model does; "" if nothing shows that."""
    place = next((f for f in findings if f.symptom == IMPOSSIBLE.name), None)
    if place is None:
        return ""
    if place.site.startswith("attention_entropy"):
        return f"attention sees other keys than its mask, or the record is wrong: {place}"
    return f"the record is wrong, not the model: {place}"


def _verdict(
    causes: Sequence[Cause], findings: Sequence[Finding], doubt: str, errors: Mapping[str, str]
) -> tuple[Verdict, str]:
    """The verdict, and the reason why it is undetermined ("" for other verdicts)."""
    if causes:
        return "unhealthy", ""
    if errors:
        return "undetermined", f"{', '.join(errors)} failed"
    if findings:
        first = findings[0]
        return "undetermined", wrong_record(findings) or f"no cause explains {first.symptom}" + (
            f" at {printable(first.site)}" if first.site else ""
        )
    return ("undetermined", f"cannot judge: {doubt}") if doubt else ("healthy", "")
