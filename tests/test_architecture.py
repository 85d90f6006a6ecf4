"""The imports between files and folders: every arrow points from a later stage to an earlier
one."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import probes

ROOT = Path(__file__).parents[1]
APPARATUS = ("probes", "model", "exercise", "bench", "studies", "calibration", "testing")
"""Top-level packages whose imports are walked; the tests may import anything."""
LAYERS = (
    {"probes.common", "probes.help_topics"},
    {"probes.record"},
    {"probes.proofs"},
    {"probes.recording", "probes.readers"},
    {"probes.diagnosis"},
    {"probes.charts"},
    {"probes.panels"},
    {"probes.report"},
    {"probes.compare", "probes.watch_log"},
    {"probes.plugin", "probes.cli"},
    {"probes"},
    {"probes.__main__"},
)
"""The parts of `probes` from the first stage to the last; a part imports only parts of earlier
layers."""
PYGAL_FOLDER, PYTEST_FOLDER = "probes/charts/", "probes/plugin/"
MAY_USE = {
    "model": set(),
    "probes": set(),
    "exercise": {"probes"},
    "testing": {"probes", "model"},
    "bench": {"probes", "model", "testing"},
    "studies": {"probes", "model", "testing"},
    "calibration": {"probes", "model", "testing"},
}
"""Top-level package -> the others it may import."""


def modules() -> dict[str, Path]:
    """Dotted name -> file, of everything that is walked."""
    found = {}
    for top in APPARATUS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imported(path: Path, type_checking: bool = True) -> frozenset[str]:
    """Every module that a file imports, also inside functions: for `from a import b`, a.b when that
    is a module."""
    return frozenset(_imports(path, type_checking))


def _imports(path: Path, type_checking: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if (
            not type_checking
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            skipped.update(inner for child in node.body for inner in ast.walk(child))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)


def importing(prefix: str, *packages: str, type_checking: bool = True) -> list[str]:
    """The files below `prefix` that import one of some top-level packages."""
    found = []
    for path in MODULES.values():
        name = path.relative_to(ROOT).as_posix()
        tops = {module.partition(".")[0] for module in imported(path, type_checking)}
        if name.startswith(prefix) and tops & set(packages):
            found.append(name)
    return found


def part(module: str) -> str:
    """The part of the house that a module belongs to: its folder in `probes`, or the file where it
    lies at the top."""
    return (
        ".".join(module.split(".")[:2])
        if module.startswith("probes.")
        else module.partition(".")[0]
    )


def arrows(by_part: bool) -> dict[str, set[str]]:
    """Who imports whom, between files or between parts."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        start = part(module) if by_part else module
        ends = {part(end) if by_part else end for end in imported(path) if end in MODULES}
        found.setdefault(start, set()).update(ends - {start})
    return found


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle of a graph; [] when there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        for end in sorted(graph.get(node, ())):
            if found := walk(end, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])


def test_there_is_something_to_walk() -> None:
    """An empty list of files would let every other test here pass."""
    assert {
        "model.gpt",
        "probes.record.record",
        "probes.plugin",
        "probes.diagnosis.detectors.schedule",
    } <= set(MODULES)
    assert "probes.record" in set(imported(MODULES["probes.diagnosis.evidence"]))


def test_a_circle_is_found() -> None:
    """The tests below rely on it."""
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("by_part", [False, True], ids=["files", "folders"])
def test_there_is_no_circle(by_part: bool) -> None:
    """The package's own front resolves its names lazily: it imports modules only for type checkers
    and in `watch`."""
    graph = {start: ends - {"probes"} for start, ends in arrows(by_part).items()}
    assert circle(graph) == []


def test_every_part_imports_only_earlier_stages() -> None:
    """LAYERS lists each part of `probes`, and no arrow points to the same layer or a later one."""
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    parts = {
        start: ends
        for start, ends in arrows(by_part=True).items()
        if start.partition(".")[0] == "probes"
    }
    assert set(parts) <= set(layer)
    backwards = [
        f"{start} -> {end}"
        for start, ends in parts.items()
        for end in ends
        if layer.get(end, -1) >= layer[start]
    ]
    assert backwards == []


@pytest.mark.parametrize("top", MAY_USE)
def test_packages_beside_each_other_keep_apart(top: str) -> None:
    """`model` imports neither `probes` nor pytest, `probes` does not import `model`, and no
    package imports `studies`."""
    forbidden = {*APPARATUS, "tests", "conftest"} - MAY_USE[top] - {top}
    assert importing(f"{top}/", *forbidden) == []


def test_the_model_does_not_import_pytest() -> None:
    """The specimen runs without a test session."""
    assert importing("model/", "pytest", "_pytest") == []


def test_only_the_plugin_imports_pytest() -> None:
    """Everything else works outside a test session; for type checkers any file may."""
    files = importing("probes/", "pytest", "_pytest", type_checking=False)
    assert files == [name for name in files if name.startswith(PYTEST_FOLDER)] != []


def test_only_charts_import_pygal() -> None:
    """A diagnosis draws nothing, so it must not load pygal."""
    files = importing("probes/", "pygal")
    assert files == [name for name in files if name.startswith(PYGAL_FOLDER)] != []


def test_only_the_pages_use_templates() -> None:
    """Jinja and its type for HTML are used in one file: no other can write unescaped HTML."""
    assert importing("probes/", "jinja2", "markupsafe") == ["probes/report/document.py"]


def test_diagnosis_never_touches_the_provenance() -> None:
    """No file of the diagnosis has an attribute, name, key or argument called provenance. A
    diagnosis that knows the answer beforehand proves nothing."""
    told = []
    for module, path in MODULES.items():
        if not module.startswith("probes.diagnosis"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (getattr(node, field, None) for field in ("attr", "id", "arg", "value"))
            if "provenance" in [name for name in names if isinstance(name, str)]:
                told.append(f"{module}:{getattr(node, 'lineno', 0)}")
    assert told == []


def test_no_detector_reaches_for_the_record_behind_the_evidence() -> None:
    """Detectors see what `Evidence` offers; its private record holds the provenance."""
    reached = [
        module
        for module, path in MODULES.items()
        if module.startswith("probes.diagnosis.detectors")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    ]
    assert reached == []


@pytest.mark.parametrize("module", ["probes", "probes.plugin"])
def test_importing_is_light(module: str) -> None:
    """In a project that never asks for a run, no large package is loaded."""
    code = f"import sys, {module}; print(sorted({{'jinja2', 'numpy', 'pygal'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", sorted(probes.__all__))
def test_every_public_name_is_there(name: str) -> None:
    """Names are resolved on first use, so a wrong home would be seen only then."""
    assert getattr(probes, name).__name__ == name


@pytest.mark.parametrize("name", probes.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """Every public name occurs in the README or on a page of docs/."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    assert any(re.search(rf"\b{name}\b", page.read_text(encoding="utf-8")) for page in pages)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """`probes` raises AttributeError for an unknown name, as every module does."""
    with pytest.raises(AttributeError, match="module 'probes' has no attribute 'diagnoze'"):
        _ = probes.diagnoze
