"""Projects on which tests run pytest inside pytest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from tests import installed, tiny_specimen

# How long an example takes is the machine's business, not a property of the code.
settings.register_profile("suite", deadline=None)
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
"""Imported before pytester looks: what an inner run is the first to import is forgotten again, but
NumPy cannot be imported twice, and pygal brings in a finder of package metadata that replaces
Python's own for good."""
OFFER = """
from functools import partial
from pathlib import Path
from probes import Experiment
from tiny_specimen import build

def offer(name, group="rest", fingerprint="1", remedies=None, **settings):
    log = Path(__file__).parent / f"{{name}}.builds"
    apply = remedies is not None and (lambda cause: build(Path("remedied"), **{{**settings, **remedies[cause]}}))
    return {{name: Experiment(partial(build, log, **settings), fingerprint, group, apply or None)}}

def pytest_probes_experiments(config):
    return {offers}
"""


@dataclass
class Project:
    """A folder with a conftest.py that offers tiny experiments, and tests that use them."""

    pytester: pytest.Pytester

    def offers(self, *offers: str) -> None:
        """Each is a call of `offer` as it stands in OFFER."""
        self.conftest(OFFER.format(offers="{**" + ", **".join(offers) + "}"))

    def conftest(self, source: str) -> None:
        self.pytester.makeconftest(source)

    def tests(self, source: str, name: str = "test_it") -> None:
        self.pytester.makepyfile(**{name: source})

    def run(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess("-p", "probes.plugin", *args)

    def run_on_workers(self, *args: str, workers: int = 2) -> pytest.RunResult:
        """On one where the second would have nothing to do with what is tested."""
        return self.run("-p", "xdist", f"-n{workers}", *args)

    def builds(self, name: str) -> int:
        """How often the experiment was built, and so trained."""
        log = self.pytester.path / f"{name}.builds"
        return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0

    def kept(self, pattern: str) -> list[Path]:
        """What lies in the store."""
        return sorted((self.pytester.path / ".pytest_cache/d/probes").glob(pattern))

    @property
    def page(self) -> Path:
        return self.pytester.path / "reports/dashboard.html"

    @property
    def document(self) -> Path:
        return self.pytester.path / "reports/diagnosis.json"


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Matrices here are so small that waiting for a second thread takes longer than the product."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def ours() -> None:
    for module in OURS:
        import_module(module)


@pytest.fixture
def project(ours: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that offers `healthy`, its reference, and `stuck`, whose learning rate is zero."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(
            name, raising=False
        )  # what these tests do is no news for whoever runs them
    shutil.copy(tiny_specimen.__file__, pytester.path)
    made = Project(pytester)
    made.offers('offer("healthy", "reference")', 'offer("stuck", lr=0.0)')
    return made


# What is built, away from here


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once."""
    return installed.build(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that holds the wheel and what it asks for."""
    return installed.install(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture
def elsewhere(python: Path, tmp_path: Path) -> installed.Elsewhere:
    """That environment, and an empty project."""
    return installed.Elsewhere(python, tmp_path)
