"""What a record's key covers: a changed source is never answered from the cache, a changed panel trains nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from probes.gate import key


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that a test may change."""
    package = tmp_path / "probes"
    shutil.copytree(key.HERE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(key, "HERE", package)
    return package


@pytest.mark.parametrize("name", ["watching", "recorder", "record", "signals", "seen", "inspector", "spectral"])
def test_a_changed_writer_changes_the_key(copy: Path, name: str) -> None:
    before = key.surroundings()
    with open(copy / f"{name}.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert key.surroundings() != before


@pytest.mark.parametrize("name", ["panels/loss", "detectors/schedule", "diagnosis", "causes", "plugin", "store"])
def test_a_changed_reader_of_records_does_not(copy: Path, name: str) -> None:
    before = key.surroundings()
    with open(copy / f"{name}.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert key.surroundings() == before


@pytest.mark.parametrize(
    "statement",
    [
        "import probes.new",
        "from probes.new import x",
        "from probes import new",
        "from .new import x",
        "from . import new",
    ],
)
def test_a_module_that_a_writer_begins_to_import_is_a_writer(copy: Path, statement: str) -> None:
    (copy / "new.py").write_text("x = 1\n", encoding="utf-8")
    with open(copy / "spectral.py", "a", encoding="utf-8") as file:
        file.write(f"\n\ndef late():\n    {statement}\n")
    assert copy / "new.py" in key.writers()


def test_a_name_from_the_front_of_the_package_brings_in_whatever_stands_there(copy: Path) -> None:
    with open(copy / "spectral.py", "a", encoding="utf-8") as file:
        file.write("\nfrom probes import Recorder\n")
    assert copy / "__init__.py" in key.writers()


def test_a_diagnosis_made_while_training_does_not_make_detectors_writers(copy: Path) -> None:
    with open(copy / "watching.py", "a", encoding="utf-8") as file:
        file.write("\nfrom probes.diagnosis import diagnose\n")
    assert copy / "diagnosis.py" not in key.writers()


def test_another_fingerprint_is_another_key() -> None:
    assert key.key("a", "same") != key.key("b", "same")


def test_the_same_is_the_same_key() -> None:
    assert key.key("a", key.surroundings()) == key.key("a", key.surroundings())


@pytest.mark.parametrize("variable", key.KERNEL_VARIABLES)
def test_other_kernels_are_another_key(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    before = key.surroundings()
    monkeypatch.setenv(variable, "other")
    assert key.surroundings() != before


def test_another_numpy_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key.surroundings()
    monkeypatch.setattr(key, "version", lambda _: "0.0")
    assert key.surroundings() != before
