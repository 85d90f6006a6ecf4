"""The learner's answers in diagnoses.toml: for each run the cause, the first panel that shows the
cause, and the evidence."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from exercise.paths import DRAW, REVEAL, RoundError, run_names, sha256_of
from probes.common.text import did_you_mean
from probes.panels import PANELS

PANEL_TITLES = tuple(panel.title for panel in PANELS)


@dataclass(frozen=True)
class Answer:
    """The learner's diagnosis of one run."""

    cause: str
    panel: str
    evidence: str


KEYS = tuple(field.name for field in fields(Answer))


def template(causes: Sequence[str]) -> str:
    """An empty diagnoses.toml. Its comments list the causes and the panels to choose from."""
    head = [
        "# Which fault does each of the three runs have? Look at 01.html, 02.html and 03.html,",
        f"# fill in this form, commit it, and get your score with: {REVEAL}",
        "#",
        f"# cause     one of {', '.join(map(_quoted, sorted(causes)))}; each belongs to one page",
        "# panel     the first panel that shows the cause, one of",
        *(f"#           {_quoted(title)}" for title in PANEL_TITLES),
        "# evidence  what you saw there and at which step, in your own words",
    ]
    sections = [
        line for run in run_names(causes) for line in ("", f"[{run}]", *(f'{k} = ""' for k in KEYS))
    ]
    return "\n".join([*head, *sections]) + "\n"


def read(path: Path, causes: Sequence[str]) -> dict[str, Answer]:
    """Read the answers: name of a run -> answer.

    Raises RoundError when the file, a section or a key is missing, a value is empty, or a cause or
    panel is not one of the choices."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise RoundError(
            f"{path} is missing; put it back, or draw another round with `{DRAW}`"
        ) from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise RoundError(
            f'{path} is not valid TOML: {error}; a valid line is: cause = "{causes[0]}"'
        ) from error
    runs = run_names(causes)
    if unknown := [name for name in content if name not in runs]:
        raise RoundError(
            f"{path}: there is no run {unknown[0]!r}; the sections are {_sections(runs)}"
        )
    if missing := [run for run in runs if run not in content]:
        raise RoundError(
            f"{path}: the section {_sections(missing)} is missing; write it again, with the "
            f"keys {', '.join(KEYS)} below it"
        )
    answers = {run: _answer(f"{path}, [{run}]", content[run]) for run in runs}
    _check_complete(path, answers)
    for run, answer in answers.items():
        _check_choice(f"{path}, [{run}]", "cause", answer.cause, sorted(causes))
        _check_choice(f"{path}, [{run}]", "panel", answer.panel, PANEL_TITLES)
    return answers


def fingerprint(answers: Mapping[str, Answer]) -> str:
    """The sha256 of the answers. The comments and the layout of the file do not affect it."""
    content = {run: asdict(answer) for run, answer in answers.items()}
    return sha256_of(json.dumps(content, sort_keys=True).encode())


def _answer(where: str, section: object) -> Answer:
    if not isinstance(section, dict):
        raise RoundError(f"{where} is {section!r:.60}; it must be a section with {', '.join(KEYS)}")
    for key, value in section.items():
        _check_choice(where, "key", key, KEYS)
        if not isinstance(value, str):
            raise RoundError(f"{where}: {key} is {value!r:.60}; it must be a string in quotes")
    if missing := [key for key in KEYS if key not in section]:
        raise RoundError(f"{where}: {' and '.join(missing)} is missing; write the line again")
    return Answer(**{key: section[key].strip() for key in KEYS})


def _check_complete(path: Path, answers: Mapping[str, Answer]) -> None:
    gaps = []
    for run, answer in answers.items():
        if empty := [key for key, value in asdict(answer).items() if not value]:
            gaps.append(f"[{run}] {', '.join(empty)}")
    if gaps:
        raise RoundError(
            f"{path}: these answers are still empty: {'; '.join(gaps)}. Complete "
            "them; the true causes are revealed only when the form is complete"
        )


def _check_choice(where: str, what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        hint = did_you_mean(value, choices, most=1)
        choose = f"choose from {', '.join(choices)}"
        raise RoundError(
            f"{where}: there is no {what} {value!r:.60}; {' '.join(filter(None, (hint, choose)))}"
        )


def _sections(runs: Sequence[str]) -> str:
    return ", ".join(f"[{run}]" for run in runs)


def _quoted(text: str) -> str:
    return f'"{text}"'
