"""Break the seal: compare what was written with what the runs are, and show where each miss could
have been seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import factorial
from pathlib import Path

from exercise import diagnoses, seal
from exercise.diagnoses import Claim
from exercise.paths import ANOTHER, DRAW, BlindError, Folder
from probes.charts.scale import number
from probes.common.text import printable
from probes.diagnosis.base import Finding
from probes.diagnosis.diagnose import Diagnosis, diagnose
from probes.panels import PANELS
from probes.record import Record

TITLE = (
    "# Blind diagnoses\n\n"
    "Every round that was revealed, oldest first. `pytest --reveal` adds to this page and never changes it.\n"
)


@dataclass(frozen=True)
class Mark:
    """One run: what it is, what the learner said, and what the automatic diagnosis of its record
    says."""

    run: str
    truth: str
    claim: Claim
    diagnosis: Diagnosis

    @property
    def right(self) -> bool:
        return self.claim.cause == self.truth

    @property
    def automatic(self) -> str:
        return self.diagnosis.cause or self.diagnosis.verdict

    @property
    def decisive(self) -> Finding | None:
        """What shows the true cause; None when the automatic diagnosis does not name it."""
        return next(
            (
                suspect.evidence[0]
                for suspect in self.diagnosis.causes
                if suspect.name == self.truth
            ),
            None,
        )

    @property
    def panel(self) -> str:
        """`panel 1 (Loss)`: the first one that makes the decisive finding visible; "" when there is
        none."""
        return next(
            (
                f"panel {place} ({panel.title})"
                for place, panel in enumerate(PANELS, start=1)
                if self.decisive in panel.findings_of(self.diagnosis)
            ),
            "",
        )

    @property
    def where(self) -> str:
        """Where the true cause can be seen, in a sentence."""
        if self.decisive is None:
            return f"the automatic diagnosis does not show it either: {self.diagnosis.headline}"
        found, place = self.decisive, f"see {self.panel}" if self.panel else "no panel draws it"
        return (
            f"{place}, at step {number(found.step)}: {found.symptom}{f' at {found.site}' if found.site else ''}, "
            f"observed {number(found.observed)}, limit {number(found.limit)} ({found.source})"
        )


@dataclass(frozen=True)
class Score:
    """A round, revealed.

    diagnoses  the hash of what was claimed
    seed       on which all the runs were trained
    added      whether score.md had to be told
    """

    commitment: str
    diagnoses: str
    seed: int
    marks: Sequence[Mark]
    added: bool = False

    @property
    def right(self) -> str:
        return f"{sum(mark.right for mark in self.marks)}/{len(self.marks)}"

    @property
    def automatic(self) -> str:
        return f"{sum(mark.automatic == mark.truth for mark in self.marks)}/{len(self.marks)}"

    @property
    def chance(self) -> str:
        of = factorial(len(self.marks))
        return f"Guessing an order of the causes gets {len(self.marks)}/{len(self.marks)} one time in {of}."

    def lines(self) -> Iterator[str]:
        """What to print."""
        yield f"blind round sha256:{self.commitment}"
        yield f"{self.right} right; the automatic diagnosis: {self.automatic}. {self.chance}"
        for mark in self.marks:
            said = "right" if mark.right else f"not {mark.claim.cause}"
            yield printable(f"{mark.run}  {mark.truth}, {said}: {mark.where}")
        yield f"see them with all that was found: pytest -k break --seed {self.seed}"
        yield (
            "added to score.md; commit it, and seal.json too"
            if self.added
            else "revealed before: score.md has it"
        )

    def entry(self) -> str:
        """The round in score.md. It says nothing of when or where, so that a repeated reveal would
        write it again."""
        rows = (
            (mark.run, mark.truth, f"{mark.claim.cause}{'' if mark.right else ' (miss)'}", mark.claim.panel,
             mark.claim.evidence, mark.automatic, mark.where)
            for mark in self.marks
        )  # fmt: skip
        head = (
            "run",
            "cause",
            "said",
            "seen first in",
            "because",
            "automatic diagnosis",
            "where it shows",
        )
        table = [head, ("---",) * len(head), *rows]
        return (
            f"\n## {self.right}\n\nThe automatic diagnosis of the same records: {self.automatic}. {self.chance}\n\n"
            + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in table)
            + f"\nRound sha256:{self.commitment}, diagnoses sha256:{self.diagnoses}, seed {self.seed}\n"
        )


def reveal(path: Path, causes: Sequence[str]) -> Score:
    """Score the round in the folder against its seal, once; a repeated reveal gives the same score.

    Raises BlindError, and has written nothing, while a diagnosis is missing or unusable, when a
    file of the round is missing or not what was sealed, or when the diagnoses are not those that
    were revealed before."""
    folder = Folder(path)
    sealed = seal.read(folder.seal)
    said = diagnoses.read(folder.diagnoses, sorted(causes))
    answers = sealed.open(folder.seal)
    _same_causes(folder, answers, causes)
    marks = _marks(folder, answers, said)
    score = Score(sealed.commitment, diagnoses.fingerprint(said), answers.seed, marks)
    return replace(score, added=_keep(folder, sealed, score))


def _same_causes(folder: Folder, answers: seal.Answers, causes: Sequence[str]) -> None:
    drawn = sorted(answer.cause for answer in answers.runs.values())
    if drawn != sorted(causes):
        raise BlindError(
            f"{folder.seal} was drawn when the causes were {', '.join(drawn)}; now they are "
            f"{', '.join(sorted(causes))}: check out the version that drew it, or {ANOTHER}"
        )


def _marks(folder: Folder, answers: seal.Answers, said: Mapping[str, Claim]) -> list[Mark]:
    """Every run marked. Raises BlindError when a page or a record is not the one that was
    sealed."""
    for run, answer in answers.runs.items():
        folder.checked(folder.page(run), answer.page)
    records = {
        run: Record.load(folder.checked(folder.records / answer.name, answer.record))
        for run, answer in answers.runs.items()
    }
    return [
        Mark(run, answers.runs[run].cause, said[run], diagnose(records[run]))
        for run in sorted(answers.runs)
    ]


def _keep(folder: Folder, sealed: seal.Seal, score: Score) -> bool:
    """Note in the seal what was revealed, then in score.md how it went, unless it stands there
    already (False)."""
    if sealed.revealed and sealed.revealed != score.diagnoses:
        raise BlindError(
            f"{folder.diagnoses} was edited after its reveal: the sha256 of what it says is "
            f"{score.diagnoses[:12]}..., revealed was {sealed.revealed[:12]}...; put it back with "
            f"`git checkout -- {folder.diagnoses.name}` in its folder. The score stands; for another try, draw another "
            f"round with `{DRAW}`"
        )
    before = folder.score.read_text(encoding="utf-8") if folder.score.exists() else ""
    scored = f"Round sha256:{score.commitment}," in before
    if scored and not sealed.revealed:
        raise BlindError(
            f"{folder.seal} was changed after the reveal: it says that nothing was revealed, but {folder.score.name} "
            f"has the score of this round; put the seal back with `git checkout -- {folder.seal.name}` in its folder"
        )
    seal.write(replace(sealed, revealed=score.diagnoses), folder.seal)
    if not scored:
        with open(folder.score, "a", encoding="utf-8", newline="\n") as file:
            file.write(("" if before else TITLE) + score.entry())
    return not scored


def _cell(text: str) -> str:
    """A cell of a table: no bar ends it, no line either, and nothing in it is markup."""
    return (
        printable(" ".join(text.split()))
        .replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("<", "&lt;")
    )
