"""Open the seal of a round: compare the learner's answers with the truth, and say for each run
where its fault can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import factorial
from pathlib import Path

from exercise import diagnoses, seal
from exercise.diagnoses import Answer
from exercise.paths import DRAW, DRAW_AGAIN, Folder, RoundError
from exercise.seal import Seal, SealedAnswers
from probes.charts.scale import number
from probes.common.markdown import markdown_table
from probes.common.text import printable
from probes.diagnosis.base import Finding
from probes.diagnosis.diagnose import Diagnosis, diagnose
from probes.panels import PANELS
from probes.record import Record

TITLE = (
    "# Blind diagnoses\n\n"
    "Every revealed round, the oldest first. `pytest --reveal` adds to this page and never changes "
    "it.\n"
)
HEAD = (
    "run",
    "cause",
    "your answer",
    "seen first in",
    "evidence",
    "automatic diagnosis",
    "where it shows",
)


@dataclass(frozen=True)
class ScoredRun:
    """One run: its true cause, the learner's answer, and the automatic diagnosis of its record."""

    run: str
    cause: str
    answer: Answer
    diagnosis: Diagnosis

    @property
    def right(self) -> bool:
        return self.answer.cause == self.cause

    @property
    def automatic(self) -> str:
        """The automatic diagnosis: its cause, or its verdict when it names none."""
        return self.diagnosis.cause or self.diagnosis.verdict

    @property
    def decisive(self) -> Finding | None:
        """The finding that shows the true cause; None when the automatic diagnosis does not name
        that cause."""
        for cause in self.diagnosis.causes:
            if cause.name == self.cause:
                return cause.evidence[0]
        return None

    @property
    def panel(self) -> str:
        """The first panel that shows the decisive finding, as "panel 1 (Loss)"; "" when there is
        none."""
        for place, panel in enumerate(PANELS, start=1):
            if self.decisive in panel.findings_of(self.diagnosis):
                return f"panel {place} ({panel.title})"
        return ""

    @property
    def where(self) -> str:
        """Where the true cause can be seen: panel, step, symptom, value and limit."""
        found = self.decisive
        if found is None:
            return f"the automatic diagnosis does not show it either: {self.diagnosis.headline}"
        place = f"see {self.panel}" if self.panel else "no panel draws it"
        site = f" at {found.site}" if found.site else ""
        return (
            f"{place}, at step {number(found.step)}: {found.symptom}{site}, observed "
            f"{number(found.observed)}, limit {number(found.limit)} ({found.source})"
        )


@dataclass(frozen=True)
class Score:
    """A revealed round.

    answers_hash  hash of the learner's answers
    seed          the seed of all runs
    added         whether the round was added to score.md now, not by an earlier reveal
    """

    commitment: str
    answers_hash: str
    seed: int
    runs: Sequence[ScoredRun]
    added: bool = False

    @property
    def right(self) -> str:
        return f"{sum(run.right for run in self.runs)}/{len(self.runs)}"

    @property
    def automatic(self) -> str:
        return f"{sum(run.automatic == run.cause for run in self.runs)}/{len(self.runs)}"

    @property
    def chance(self) -> str:
        n = len(self.runs)
        return f"Guessing the order of the causes gets {n}/{n} in one round of {factorial(n)}."

    def lines(self) -> Iterator[str]:
        """The lines to print."""
        yield f"blind round sha256:{self.commitment}"
        yield f"{self.right} right; the automatic diagnosis: {self.automatic}. {self.chance}"
        for run in self.runs:
            judged = "right" if run.right else f"not {run.answer.cause}"
            yield printable(f"{run.run}  {run.cause}, {judged}: {run.where}")
        yield f"to see the runs with their diagnoses: pytest -k break --seed {self.seed}"
        yield (
            "added to score.md; commit it and seal.json"
            if self.added
            else "revealed before: score.md has this round"
        )

    def section(self) -> str:
        """The round as a section of score.md. It holds no time and no path, so that a repeated
        reveal gives the same text."""
        rows = [
            (
                run.run,
                run.cause,
                run.answer.cause if run.right else f"{run.answer.cause} (miss)",
                run.answer.panel,
                run.answer.evidence,
                run.automatic,
                run.where,
            )
            for run in self.runs
        ]
        table = "\n".join(markdown_table(HEAD, [tuple(map(_plain, row)) for row in rows]))
        return (
            f"\n## {self.right}\n\n"
            f"The automatic diagnosis of the same records: {self.automatic}. {self.chance}\n\n"
            f"{table}\n\n"
            f"Round sha256:{self.commitment}, diagnoses sha256:{self.answers_hash}, "
            f"seed {self.seed}\n"
        )


def reveal(path: Path, causes: Sequence[str]) -> Score:
    """Score the round in the folder. A repeated reveal gives the same score.

    Raises RoundError, and writes nothing, when an answer is missing or unusable, when a file of the
    round is missing or was changed, or when the answers differ from those of an earlier reveal."""
    folder = Folder(path)
    sealed = seal.read(folder.seal)
    answers = diagnoses.read(folder.diagnoses, sorted(causes))
    truth = sealed.open(folder.seal)
    _check_causes(folder, truth, causes)
    runs = _score_runs(folder, truth, answers)
    score = Score(sealed.commitment, diagnoses.fingerprint(answers), truth.seed, runs)
    return replace(score, added=_save(folder, sealed, score))


def _check_causes(folder: Folder, truth: SealedAnswers, causes: Sequence[str]) -> None:
    sealed = sorted(run.cause for run in truth.runs.values())
    if sealed != sorted(causes):
        raise RoundError(
            f"{folder.seal} was drawn when the causes were {', '.join(sealed)}; now they are "
            f"{', '.join(sorted(causes))}: check out the version that drew it, or {DRAW_AGAIN}"
        )


def _score_runs(
    folder: Folder, truth: SealedAnswers, answers: Mapping[str, Answer]
) -> list[ScoredRun]:
    """Raise RoundError when a page or a record is not the sealed one."""
    for run, sealed in truth.runs.items():
        folder.check(folder.page(run), sealed.page)
    files = {
        run: folder.check(folder.records / sealed.name, sealed.record)
        for run, sealed in truth.runs.items()
    }
    return [
        ScoredRun(run, truth.runs[run].cause, answers[run], diagnose(Record.load(files[run])))
        for run in sorted(truth.runs)
    ]


def _save(folder: Folder, sealed: Seal, score: Score) -> bool:
    """Write the hash of the answers into the seal, then the round into score.md. Return False when
    score.md has the round already."""
    if sealed.revealed and sealed.revealed != score.answers_hash:
        raise RoundError(
            f"{folder.diagnoses} was edited after its reveal: the sha256 of its answers is "
            f"{score.answers_hash[:12]}..., the revealed one was {sealed.revealed[:12]}...; "
            f"restore it with `git checkout -- {folder.diagnoses.name}` in its folder. The score "
            f"stands; for another try, draw another round with `{DRAW}`"
        )
    before = folder.score.read_text(encoding="utf-8") if folder.score.exists() else ""
    scored = f"Round sha256:{score.commitment}," in before
    if scored and not sealed.revealed:
        raise RoundError(
            f"{folder.seal} was changed after the reveal: it says that nothing was revealed, but "
            f"{folder.score.name} has the score of this round; restore the seal with `git checkout "
            f"-- {folder.seal.name}` in its folder"
        )
    seal.write(replace(sealed, revealed=score.answers_hash), folder.seal)
    if not scored:
        with open(folder.score, "a", encoding="utf-8", newline="\n") as file:
            file.write(("" if before else TITLE) + score.section())
    return not scored


def _plain(text: str) -> str:
    """The text of a cell without line breaks, control characters and HTML tags."""
    return printable(" ".join(text.split())).replace("\\", "\\\\").replace("<", "&lt;")
