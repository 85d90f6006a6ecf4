"""Score a round: compare the learner's answers with the sealed causes, and show for each run which
panel, step and value reveal its cause."""

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
    "All revealed rounds, the oldest first. `pytest --reveal` adds to this page and never changes "
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
        """The cause that the automatic diagnosis names, or its verdict when it names no cause."""
        return self.diagnosis.cause or self.diagnosis.verdict

    @property
    def decisive(self) -> Finding | None:
        """The first finding that is evidence for the true cause; None when the automatic diagnosis
        does not name that cause."""
        for cause in self.diagnosis.causes:
            if cause.name == self.cause:
                return cause.evidence[0]
        return None

    @property
    def panel(self) -> str:
        """The first panel that shows the decisive finding, as "panel 1 (Loss)"; "" when no panel
        shows it."""
        for place, panel in enumerate(PANELS, start=1):
            if self.decisive in panel.findings_of(self.diagnosis):
                return f"panel {place} ({panel.title})"
        return ""

    @property
    def where_visible(self) -> str:
        """Where the true cause can be seen: panel, step, symptom, value and limit."""
        found = self.decisive
        if found is None:
            return f"the automatic diagnosis does not name this cause: {self.diagnosis.headline}"
        place = f"see {self.panel}" if self.panel else "no panel shows it"
        site = f" at {found.site}" if found.site else ""
        return (
            f"{place}, at step {number(found.step)}: {found.symptom}{site}, observed "
            f"{number(found.observed)}, limit {number(found.limit)} ({found.source})"
        )


@dataclass(frozen=True)
class Score:
    """A revealed round.

    answers_hash  sha256 of the learner's answers
    seed          the common seed of all runs
    added         True if this reveal added the round to score.md, False if an earlier one did
    """

    commitment: str
    answers_hash: str
    seed: int
    runs: Sequence[ScoredRun]
    added: bool = False

    @property
    def right(self) -> str:
        """How many answers are right, as "2/3"."""
        return f"{sum(run.right for run in self.runs)}/{len(self.runs)}"

    @property
    def automatic(self) -> str:
        """How many automatic diagnoses are right, as "2/3"."""
        return f"{sum(run.automatic == run.cause for run in self.runs)}/{len(self.runs)}"

    @property
    def chance(self) -> str:
        """A sentence that says how often guessing gets full marks."""
        n = len(self.runs)
        return f"Guessing the order of the causes gets {n}/{n} in one round of {factorial(n)}."

    def lines(self) -> Iterator[str]:
        """The lines to print."""
        yield f"blind round sha256:{self.commitment}"
        yield f"{self.right} right; the automatic diagnosis: {self.automatic}. {self.chance}"
        for run in self.runs:
            judged = "right" if run.right else f"not {run.answer.cause}"
            yield printable(f"{run.run}  {run.cause}, {judged}: {run.where_visible}")
        yield f"to see the runs with their diagnoses: pytest -k break --seed {self.seed}"
        yield (
            "added to score.md; commit it and seal.json"
            if self.added
            else "this round was revealed before; score.md already has it"
        )

    def section(self) -> str:
        """The round as a section of score.md. The section contains no time and no path, so a
        repeated reveal gives the same text."""
        rows = [
            (
                run.run,
                run.cause,
                run.answer.cause if run.right else f"{run.answer.cause} (miss)",
                run.answer.panel,
                run.answer.evidence,
                run.automatic,
                run.where_visible,
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
            f"{', '.join(sorted(causes))}: check out the version of this repository that drew the "
            f"round, or {DRAW_AGAIN}"
        )


def _score_runs(
    folder: Folder, truth: SealedAnswers, answers: Mapping[str, Answer]
) -> list[ScoredRun]:
    """Score the runs in the order of their numbers. Raises RoundError when a page or a record is
    missing or differs from the sealed one."""
    for run, sealed in truth.runs.items():
        folder.checked(folder.page(run), sealed.page)
    files = {
        run: folder.checked(folder.records / sealed.name, sealed.record)
        for run, sealed in truth.runs.items()
    }
    return [
        ScoredRun(run, truth.runs[run].cause, answers[run], diagnose(Record.load(files[run])))
        for run in sorted(truth.runs)
    ]


def _save(folder: Folder, sealed: Seal, score: Score) -> bool:
    """Write the hash of the answers into the seal, then add the round to score.md. Return False if
    score.md already had the round.

    Raises RoundError when the answers, or the seal, were changed after an earlier reveal."""
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
    """The text for a cell of a table, with line breaks, control characters, backslashes and HTML
    tags made harmless."""
    return printable(" ".join(text.split())).replace("\\", "\\\\").replace("<", "&lt;")
