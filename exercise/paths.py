"""The files of a round, and the error that is raised when a round cannot be drawn or scored.

A round is one set of pages to diagnose, with its sealed answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

DRAW, REVEAL = "pytest -k break --blind", "pytest --reveal"
"""The commands of the exercise, as messages show them."""
DRAW_AGAIN = f"move diagnoses.toml away and draw another round with `{DRAW}`"


class RoundError(ValueError):
    """Raised when a round cannot be drawn or scored in its present state. The message says what is
    wrong, in which file, and what to do."""


@dataclass(frozen=True)
class Folder:
    """A folder that holds at most one round, and the scores of all earlier rounds."""

    path: Path

    @property
    def diagnoses(self) -> Path:
        """The form with the learner's answers."""
        return self.path / "diagnoses.toml"

    @property
    def seal(self) -> Path:
        return self.path / "seal.json"

    @property
    def score(self) -> Path:
        return self.path / "score.md"

    @property
    def records(self) -> Path:
        return self.path / "records"

    def page(self, run: str) -> Path:
        return self.path / f"{run}.html"

    def checked(self, path: Path, expected_sha256: str) -> Path:
        """Return the path if the file has the sealed hash. Raises RoundError when the file is
        missing, or when its sha256 is not the expected one."""
        if not path.is_file():
            raise RoundError(
                f"{path} is missing, but the seal covers it; put it back, or {DRAW_AGAIN}"
            )
        found = sha256_of(path.read_bytes())
        if found != expected_sha256:
            raise RoundError(
                f"{path} was changed after the round was drawn: its sha256 is {found[:12]}..., the "
                f"sealed one is {expected_sha256[:12]}...; restore the file, or {DRAW_AGAIN}"
            )
        return path


def sha256_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def run_names(causes: Sequence[str]) -> list[str]:
    """The names of the runs, one for each cause: 01, 02, 03."""
    return [f"{number:02}" for number in range(1, len(causes) + 1)]
