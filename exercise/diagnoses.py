"""What the learner writes down before the reveal: a cause for each run, the panel that showed it
first, evidence."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from exercise.paths import DRAW, REVEAL, BlindError, digest, names
from probes.panels import PANELS

PANEL_TITLES = tuple(panel.title for panel in PANELS)


@dataclass(frozen=True)
class Claim:
    """One diagnosis, in the learner's words."""

    cause: str
    panel: str
    evidence: str


KEYS = tuple(field.name for field in fields(Claim))


def template(causes: Sequence[str]) -> str:
    """An empty diagnoses.toml; what may be written in it stands in its comments."""
    quoted = [*map(_quoted, sorted(causes))]
    sections = (f"\n[{run}]\n" + "".join(f'{key} = ""\n' for key in KEYS) for run in names(causes))
    return (
        "# What ails the three runs? Look at 01.html, 02.html and 03.html, fill this in, commit it,\n"
        f"# then let it be scored: {REVEAL}\n#\n"
        f"# cause     one of {', '.join(quoted)}; each is behind one of the pages\n"
        "# panel     the first panel that showed it, one of\n"
        + "".join(f"#           {_quoted(title)}\n" for title in PANEL_TITLES)
        + "# evidence  what you saw there and at which step, in your own words\n"
        + "".join(sections)
    )


def read(path: Path, causes: Sequence[str]) -> dict[str, Claim]:
    """The diagnoses, one for each run. Raises BlindError for whatever is missing, empty, or not
    among the choices."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BlindError(
            f"{path} is missing; put it back, or draw another round with `{DRAW}`"
        ) from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise BlindError(
            f'{path} is not TOML: {error}; a line reads: cause = "{causes[0]}"'
        ) from error
    runs = names(causes)
    if unknown := [name for name in tree if name not in runs]:
        raise BlindError(
            f"{path}: there is no run {unknown[0]!r}; the sections are {_sections(runs)}"
        )
    if missing := [run for run in runs if run not in tree]:
        raise BlindError(
            f"{path}: {_sections(missing)} is missing; write it again, with {', '.join(KEYS)} below it"
        )
    claims = {run: _claim(f"{path}, [{run}]", tree[run]) for run in runs}
    _complete(path, claims)
    for run, claim in claims.items():
        _among(f"{path}, [{run}]", "cause", claim.cause, sorted(causes))
        _among(f"{path}, [{run}]", "panel", claim.panel, PANEL_TITLES)
    return claims


def fingerprint(claims: Mapping[str, Claim]) -> str:
    """A hash of what was claimed; comments and layout do not count."""
    return digest(
        json.dumps({run: asdict(claim) for run, claim in claims.items()}, sort_keys=True).encode()
    )


def _claim(where: str, section: object) -> Claim:
    if not isinstance(section, dict):
        raise BlindError(f"{where} is {section!r:.60}; it must be a section with {', '.join(KEYS)}")
    for key, value in section.items():
        _among(where, "key", key, KEYS)
        if not isinstance(value, str):
            raise BlindError(f"{where}: {key} is {value!r:.60}; it must be a text in quotes")
    if missing := [key for key in KEYS if key not in section]:
        raise BlindError(f"{where}: {' and '.join(missing)} is missing; write the line again")
    return Claim(**{key: section[key].strip() for key in KEYS})


def _complete(path: Path, claims: Mapping[str, Claim]) -> None:
    empty = {
        run: [key for key, value in asdict(claim).items() if not value]
        for run, claim in claims.items()
    }
    if gaps := [f"[{run}] {', '.join(keys)}" for run, keys in empty.items() if keys]:
        raise BlindError(
            f"{path}: still empty are {'; '.join(gaps)}. Nothing is revealed before all is written down"
        )


def _among(where: str, what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
        hint = f"did you mean {_quoted(near[0])}? " if near else ""
        raise BlindError(
            f"{where}: there is no {what} {value!r:.60}; {hint}choose from {', '.join(choices)}"
        )


def _sections(runs: Sequence[str]) -> str:
    return ", ".join(f"[{run}]" for run in runs)


def _quoted(text: str) -> str:
    return f'"{text}"'
