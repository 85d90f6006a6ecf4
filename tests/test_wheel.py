"""The wheel, built and installed into an environment of its own: what it holds, and that it
works there."""

from __future__ import annotations

import re
import shutil
from math import nan
from pathlib import Path
from zipfile import ZipFile

import pytest

from testing.logs import csv_of, curve
from tests.installed import ROOT, Elsewhere

PASSES = "def test_it(): pass\n"


def test_the_wheel_holds_probes_and_nothing_else(wheel: Path) -> None:
    """The wheel has every file of the package, and no model, exercise or calibration."""
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {
        path
        for path in (ROOT / "probes").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == {path.relative_to(ROOT).as_posix() for path in package}
    assert {
        "probes/py.typed",
        "probes/report/templates/page.css",
        "probes/report/templates/page.js",
    } <= held


def test_the_entry_point_has_the_name_of_the_module(wheel: Path) -> None:
    """pytest then knows that a plugin in `pytest_plugins` and the installed one are the same."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert archive.read(name).decode().split("\n")[:2] == [
            "[pytest11]",
            "probes.plugin = probes.plugin",
        ]


def test_the_environment_uses_the_wheel(elsewhere: Elsewhere) -> None:
    """The package `model` is not there."""
    code = (
        "import importlib.util, probes; print(importlib.util.find_spec('model'), probes.__file__)"
    )
    assert elsewhere.run("-c", code).stdout.startswith(f"None {elsewhere.python.parents[1]}")


def test_in_a_project_without_experiments_the_plugin_does_nothing(elsewhere: Elsewhere) -> None:
    """The plugin loads neither NumPy nor pygal, and prints and writes nothing, also at the end of
    the session."""
    elsewhere.write(
        conftest="import sys\ndef pytest_unconfigure():\n"
        "    print({'jinja2', 'numpy', 'pygal'} & set(sys.modules))\n",
        test_it="def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('probes.plugin')\n",
    )
    done = elsewhere.pytest("-q")
    assert (
        re.sub(r"\d+\.\d+s", "...", done.stdout),
        done.stderr,
        done.returncode,
        elsewhere.files(),
    ) == (
        f".{' ' * 72}[100%]\n1 passed in ...\nset()\n",
        "",
        0,
        ["conftest.py", "test_it.py"],
    )


@pytest.mark.parametrize("conftest", ["pytest_plugins = ['probes.plugin']\n", ""])
def test_a_conftest_may_name_the_plugin_as_well(elsewhere: Elsewhere, conftest: str) -> None:
    """The plugin is loaded once either way, and offers the fixture `run`."""
    elsewhere.write(conftest=conftest, test_it="def test_it(run): assert callable(run)\n")
    done = elsewhere.pytest("-q")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def logs(elsewhere: Elsewhere) -> Path:
    """One log whose loss falls, and one whose loss becomes NaN."""
    folder, losses = elsewhere.project / "runs", curve(60)
    folder.mkdir()
    (folder / "good.csv").write_text(csv_of(step=range(60), loss=losses), encoding="utf-8")
    (folder / "bad.csv").write_text(
        csv_of(step=range(60), loss=[*losses[:40], *[nan] * 20]), encoding="utf-8"
    )
    return folder


def test_logs_are_tests_that_pass_and_fail(elsewhere: Elsewhere, logs: Path) -> None:
    """The table at the end names the cause."""
    elsewhere.write(test_it=PASSES)
    done = elsewhere.pytest("-v", "--diagnose", "runs")
    assert re.findall(r"^(\S+::\S+) (\w+)", done.stdout, re.MULTILINE) == [
        ("runs/bad.csv::diagnosis", "FAILED"),
        ("runs/good.csv::diagnosis", "PASSED"),
    ]
    assert "non-finite: non-finite at loss, step 40" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("log", "code", "said"), [("good", 0, "healthy"), ("bad", 1, "unhealthy: non-finite")]
)
def test_the_command_line_diagnoses(
    elsewhere: Elsewhere, logs: Path, log: str, code: int, said: str
) -> None:
    """The exit code is the verdict."""
    done = elsewhere.run("-m", "probes", "diagnose", f"runs/{log}.csv")
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(f"runs/{log}.csv: {said}")


def test_the_command_line_prints_the_reference_pages(elsewhere: Elsewhere) -> None:
    """A wheel has them, though it has no folder `docs`."""
    done = elsewhere.run("-m", "probes", "explain", "logs")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith((ROOT / "docs" / "logs.md").read_text(encoding="utf-8")[:100])


def test_the_command_line_draws(elsewhere: Elsewhere, logs: Path) -> None:
    """The page has the style sheet that the wheel contains."""
    done = elsewhere.run("-m", "probes", "render", "runs", "-o", "page.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "page.html\n", "")
    style = (ROOT / "probes" / "report" / "templates" / "page.css").read_text(encoding="utf-8")
    assert style.strip() in (elsewhere.project / "page.html").read_text(encoding="utf-8")


def test_a_specimen_is_watched(elsewhere: Elsewhere) -> None:
    """A copy of the example. The wheel requires every package that watching imports."""
    shutil.copy(ROOT / "examples" / "mlp.py", elsewhere.project)
    done = elsewhere.run("mlp.py", "--out", ".")
    assert (done.returncode, done.stderr) == (0, "")
    assert elsewhere.files() == ["mlp.html", "mlp.jsonl", "mlp.py", "mlp.sidecar.json"]
