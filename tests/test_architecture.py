"""The arrows between the parts never run back; the imports are walked to see it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import probes

ROOT = Path(__file__).parents[1]
MODEL = sorted((ROOT / "model").rglob("*.py"))
PROBES = sorted((ROOT / "probes").rglob("*.py"))
DRAWING = {ROOT / "probes" / "dashboard.py", *(ROOT / "probes" / "panels").glob("*.py")}
JUDGING = [
    *(ROOT / "probes" / "detectors").glob("*.py"),
    ROOT / "probes" / "diagnosis.py",
    ROOT / "probes" / "causes.py",
    ROOT / "probes" / "findings.py",
]


def imported(path: Path) -> Iterator[str]:
    """The top-level package of every import in a file, inside functions and under TYPE_CHECKING too."""
    package = path.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield package if node.level else (node.module or "").partition(".")[0]


def importing(paths: list[Path], *packages: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths if set(packages) & set(imported(path))]


def test_there_is_something_to_walk() -> None:
    """An empty list of files would let every other test here pass."""
    assert {"gpt.py", "config.py"} <= {path.name for path in MODEL}
    assert {"record.py", "plugin.py", "schedule.py"} <= {path.name for path in PROBES}


def test_the_model_knows_neither_probes_nor_pytest() -> None:
    """The specimen does not know that anybody is looking."""
    assert importing(MODEL, "probes", "pytest", "conftest") == []


def test_probes_do_not_know_the_model() -> None:
    """So the wheel works without it."""
    assert importing(PROBES, "model", "conftest") == []


def test_only_the_plugin_imports_pytest() -> None:
    """Everything else works outside a test session."""
    assert importing(PROBES, "pytest", "_pytest") == ["probes/plugin.py"]


def test_only_panels_and_dashboard_import_pygal() -> None:
    """Judging needs no drawing."""
    assert importing([path for path in PROBES if path not in DRAWING], "pygal") == []


def test_detectors_and_diagnosis_never_touch_the_provenance() -> None:
    """No attribute, name, key or argument of that name: a diagnosis that is told the answer proves nothing."""
    told = []
    for path in JUDGING:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (getattr(node, part, None) for part in ("attr", "id", "arg", "value"))
            if "provenance" in [name for name in names if isinstance(name, str)]:
                told.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert told == []


def test_nothing_that_is_judged_with_reaches_for_the_record_behind_the_evidence() -> None:
    """Detectors see what `Evidence` offers; its private record holds the provenance."""
    reached = [
        path.name
        for path in (ROOT / "probes" / "detectors").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    ]
    assert reached == []


@pytest.mark.parametrize("module", ["probes", "probes.plugin"])
def test_importing_is_light(module: str) -> None:
    """In a project that never asks for a run, neither numpy nor pygal is loaded."""
    code = f"import sys, {module}; print([name for name in ('numpy', 'pygal') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", sorted(probes.__all__))
def test_every_public_name_is_there(name: str) -> None:
    """Names are resolved on first use, so a wrong home would be seen only then."""
    assert getattr(probes, name).__name__ == name


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="module 'probes' has no attribute 'diagnoze'"):
        _ = probes.diagnoze
