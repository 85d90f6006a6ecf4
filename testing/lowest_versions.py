"""Prints the lowest versions that pyproject.toml allows, as constraints for pip.

    python -m testing.lowest_versions > constraints.txt

`make lowest` runs tests with them, so that the bounds are true.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRA = "test"
"""The group of optional dependencies with which the tests run."""


def lowest(pyproject: Path = PYPROJECT) -> Iterator[str]:
    """Yield a constraint for each dependency of the package and of its tests.

    Raises ValueError for a dependency without a lower bound."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"][EXTRA]]:
        name, bound, version = requirement.partition(">=")
        if not bound:
            raise ValueError(f"{requirement} has no lower bound in {pyproject.name}")
        yield f"{name}=={version}"


if __name__ == "__main__":
    print("\n".join(lowest()))
