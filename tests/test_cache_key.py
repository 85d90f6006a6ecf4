"""The key of a record: a change of the source that writes records changes it; a change of a
panel or a detector does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from probes.plugin import cache_key


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that a test may change."""
    package = tmp_path / "probes"
    shutil.copytree(cache_key.HERE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache_key, "HERE", package)
    return package


@pytest.mark.parametrize(
    "name",
    [
        "recording/watch",
        "recording/recorder",
        "record/record",
        "record/signals",
        "recording/hook_collector",
        "recording/spectral",
    ],
)
def test_a_changed_writer_changes_the_key(copy: Path, name: str) -> None:
    before = cache_key.environment()
    with open(copy / f"{name}.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert cache_key.environment() != before


@pytest.mark.parametrize(
    "name",
    [
        "panels/loss",
        "diagnosis/detectors/schedule",
        "diagnosis/diagnose",
        "plugin/__init__",
        "plugin/run_cache",
    ],
)
def test_a_change_in_panels_detectors_or_plugin_keeps_the_key(copy: Path, name: str) -> None:
    before = cache_key.environment()
    with open(copy / f"{name}.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert cache_key.environment() == before


@pytest.mark.parametrize(
    "statement",
    [
        "import probes.recording.new",
        "from probes.recording.new import x",
        "from probes.recording import new",
        "from .new import x",
        "from . import new",
    ],
)
def test_a_module_that_a_writer_imports_is_a_writer(copy: Path, statement: str) -> None:
    (copy / "recording" / "new.py").write_text("x = 1\n", encoding="utf-8")
    with open(copy / "recording" / "spectral.py", "a", encoding="utf-8") as file:
        file.write(f"\n\ndef late():\n    {statement}\n")
    assert copy / "recording" / "new.py" in cache_key.writers()


def test_an_import_from_the_package_makes_its_front_a_writer(copy: Path) -> None:
    with open(copy / "recording" / "spectral.py", "a", encoding="utf-8") as file:
        file.write("\nfrom probes import Recorder\n")
    assert copy / "__init__.py" in cache_key.writers()


def test_another_fingerprint_gives_another_key() -> None:
    assert cache_key.key("a", "same") != cache_key.key("b", "same")


def test_the_key_is_reproducible() -> None:
    assert cache_key.key("a", cache_key.environment()) == cache_key.key(
        "a", cache_key.environment()
    )


@pytest.mark.parametrize("variable", cache_key.KERNEL_VARIABLES)
def test_other_kernels_give_another_key(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    before = cache_key.environment()
    monkeypatch.setenv(variable, "other")
    assert cache_key.environment() != before


def test_another_numpy_gives_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_key.environment()
    monkeypatch.setattr(cache_key, "version", lambda _: "0.0")
    assert cache_key.environment() != before
