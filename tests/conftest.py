"""Fixtures: small projects in which pytest runs inside of pytest, and an environment with the
wheel."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from probes.common.text import described
from probes.diagnosis import diagnose, notices
from tests import installed, tiny_specimen

# How long it takes to draw and to test an example depends on the load of the machine. In the suite
# the examples are the same each time, so that a change is red only for what it changed; `make fuzz`
# draws others.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("search", settings.get_profile("suite"), derandomize=False)
settings.load_profile("suite")

ROOT = Path(__file__).parent.parent
OURS = (
    "filelock",
    "probes.report.html",
    "probes.diagnosis",
    "probes.panels",
    "probes.plugin.run_cache",
    "probes.recording.watch",
)
"""Modules that are imported before pytester runs an inner session. After it, pytester removes the
modules that it imported first; but a process cannot import NumPy twice, and pygal replaces Python's
finder of package metadata for good."""
OFFER = """
from functools import partial
from pathlib import Path
from probes import Experiment
from tiny_specimen import build

def offer(name, group="rest", fingerprint="1", remedies=None, **settings):
    log = Path(__file__).parent / f"{{name}}.builds"
    def heal(cause):
        return build(Path("remedied"), **{{**settings, **remedies[cause]}})
    apply = None if remedies is None else heal
    return {{name: Experiment(partial(build, log, **settings), fingerprint, group, apply)}}

def pytest_probes_experiments(config):
    return {offers}
"""


@dataclass
class Project:
    """A folder with a conftest.py that offers tiny experiments, and tests that use them."""

    pytester: pytest.Pytester

    def offers(self, *offers: str) -> None:
        """Write a conftest.py that offers experiments. Each argument is a call of `offer` in
        OFFER."""
        self.conftest(OFFER.format(offers="{**" + ", **".join(offers) + "}"))

    def conftest(self, source: str) -> None:
        self.pytester.makeconftest(source)

    def tests(self, source: str, name: str = "test_it") -> None:
        self.pytester.makepyfile(**{name: source})

    def run(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess("-p", "probes.plugin", *args)

    def run_on_workers(self, *args: str, workers: int = 2) -> pytest.RunResult:
        """Run on workers of pytest-xdist."""
        return self.run("-p", "xdist", f"-n{workers}", *args)

    def builds(self, name: str) -> int:
        """How often the experiment was built, and so trained."""
        log = self.pytester.path / f"{name}.builds"
        return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0

    def kept(self, pattern: str) -> list[Path]:
        """The files in the cache of runs that match a pattern."""
        return sorted((self.pytester.path / ".pytest_cache/d/probes").glob(pattern))

    @property
    def page(self) -> Path:
        return self.pytester.path / "reports/dashboard.html"

    @property
    def document(self) -> Path:
        return self.pytester.path / "reports/diagnosis.json"


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Use one thread in BLAS, because a second one only costs time with matrices this small."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(autouse=True)
def no_diagnosis_fails() -> Iterator[None]:
    """No part of any diagnosis raises an unexpected exception, whatever a test diagnoses.

    A test module that makes a part fail overrides this fixture."""
    errors: list[str] = []

    def recorded(error: BaseException) -> str:
        errors.append(described(error))
        return errors[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnose, "described", recorded)
        patch.setattr(notices, "described", recorded)
        yield
    assert errors == []


@pytest.fixture(scope="session")
def ours() -> None:
    """Import the modules above once."""
    for module in OURS:
        import_module(module)


@pytest.fixture
def project(ours: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that offers `healthy`, its reference, and `stuck`, whose learning rate is zero."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # idle threads would cost each worker CPU time
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)  # the tests of a build must not annotate that build
    shutil.copy(tiny_specimen.__file__, pytester.path)
    made = Project(pytester)
    made.offers('offer("healthy", "reference")', 'offer("stuck", lr=0.0)')
    return made


# The wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once per session."""
    return installed.build(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and the packages that it requires."""
    return installed.install(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture
def elsewhere(python: Path, tmp_path: Path) -> installed.Elsewhere:
    """The environment with the wheel, and an empty project outside this repository."""
    return installed.Elsewhere(python, tmp_path)
