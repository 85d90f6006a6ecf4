"""Where a round lies, what its files are called, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

DRAW, REVEAL = "pytest -k break --blind", "pytest --reveal"
"""The commands of the exercise, as messages give them."""


class BlindError(ValueError):
    """A round that cannot be drawn or scored as it lies there; the message says what, where, and
    what to do."""


@dataclass(frozen=True)
class Folder:
    """One folder that holds at most one round, and the scores of all rounds before it."""

    path: Path

    @property
    def diagnoses(self) -> Path:
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

    def checked(self, path: Path, expected: str) -> Path:
        """A file of the round whose content has this hash. Raises BlindError when it is missing or
        another."""
        if not path.is_file():
            raise BlindError(
                f"{path} is missing, and the seal covers it; put it back, or {ANOTHER}"
            )
        if (observed := digest(path.read_bytes())) != expected:
            raise BlindError(
                f"{path} was changed after the round was drawn: its sha256 is {observed[:12]}..., sealed is "
                f"{expected[:12]}...; put the file back as it was, or {ANOTHER}"
            )
        return path


ANOTHER = f"move diagnoses.toml away and draw another round with `{DRAW}`"


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def names(causes: Sequence[str]) -> list[str]:
    """What the runs are called, one for each cause: 01, 02, 03."""
    return [f"{number:02}" for number in range(1, len(causes) + 1)]
