"""Builds the wheel and installs it into an environment outside of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCES = (
    "probes",
    "model",
    "calibration",
    "bench",
    "studies",
    "exercise",
    "testing",
    "tests",
    "examples",
)
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


def dependencies(of: Distribution) -> dict[str, Distribution]:
    """All distributions that a distribution requires, directly or not, without its extras."""
    wanted = [Requirement(text) for text in of.requires or ()]
    names = [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    direct = {name: distribution(name) for name in names}
    return {
        name: found for one in direct.values() for name, found in dependencies(one).items()
    } | direct


@dataclass(frozen=True)
class Elsewhere:
    """An environment with the wheel and the packages that it requires, and a project outside of
    the repository."""

    python: Path
    project: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` in the project, without the environment variables of this
        process that name the repository."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "PYTEST"))
        }
        command = [str(self.python), *arguments]
        return subprocess.run(
            command, cwd=self.project, env=kept, capture_output=True, text=True, check=False
        )

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "pytest", "-p", "no:cacheprovider", *arguments)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.project / f"{name}.py").write_text(text, encoding="utf-8")

    def files(self) -> list[str]:
        return sorted(
            path.name for path in self.project.rglob("*") if "__pycache__" not in path.parts
        )


def build(copy: Path, built: Path) -> Path:
    """Build the wheel from a copy of the sources, so that no file is left in the repository.
    Nothing is downloaded."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, built], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = built.glob("*.whl")
    return path


def install(wheel: Path, home: Path) -> Path:
    """Make an environment with the wheel and only the packages that it requires; return its Python.

    pip installs the wheel by its name. The other packages are links to the installed ones.
    """
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/*/site-packages")
    (asking,) = distributions(path=[str(wheel)])
    for found in dependencies(asking).values():
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (packages / top).symlink_to(str(found.locate_file(top)))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    pip += ["--no-index", "--find-links", wheel.parent, "probes"]
    subprocess.run(pip, check=True)
    return python
