"""The plugin under pytest-xdist: each experiment trains once for all workers, and no lost test
stays unnoticed."""

from __future__ import annotations

import pytest

from probes.plugin.worker_reports import ExpectedTests
from tests.conftest import OFFER, Project

MANY = """
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_healthy(run, number):
        assert run("healthy").diagnosis.verdict == "healthy"

    @pytest.mark.parametrize("number", range(4))
    def test_stuck(run, number):
        assert run("stuck").diagnosis.cause == "lr-zero"
"""
LOST_ON_THE_WAY = """
    import os, numpy, pytest
    ON_GW1 = os.environ["PYTEST_XDIST_WORKER"] == "gw1"

    def test_first():
        pass

    def test_last(record_property):
        record_property("scalar", numpy.float64(1.0))
        assert 0
"""


def test_workers_train_each_experiment_once_and_the_page_is_complete(project: Project) -> None:
    project.tests(MANY)
    result = project.run_on_workers()
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(
        ["healthy *trained*", "stuck *trained*", "dashboard: reports/dashboard.html"]
    )
    result.stdout.no_fnmatch_line("*sent no report*")
    assert (project.builds("healthy"), project.builds("stuck")) == (1, 1)
    assert project.page.exists()


def test_workers_retrain_once_per_session_with_the_same_bytes(project: Project) -> None:
    project.tests(MANY)
    project.run()
    before = [path.read_bytes() for path in project.kept("*.jsonl")]
    result = project.run_on_workers("--retrain", "--dashboard", "off")
    result.stdout.fnmatch_lines(
        ["probes: healthy to be trained*", "healthy *trained*", "stuck *trained*"]
    )
    assert (project.builds("healthy"), project.builds("stuck")) == (2, 2)
    assert [path.read_bytes() for path in project.kept("*.jsonl")] == before


def test_tests_that_workers_deselect_make_the_page_partial(project: Project) -> None:
    project.tests(MANY)
    result = project.run_on_workers("-k", "stuck", workers=1)
    result.stdout.fnmatch_lines(
        ["dashboard: * (partial: 4 tests deselected; no test used healthy)"]
    )
    assert project.builds("healthy") == 1


def test_a_failure_on_a_worker_prints_the_diagnosis(project: Project) -> None:
    project.tests("def test_stuck(run): assert run('stuck').diagnosis.verdict == 'healthy'")
    project.run_on_workers(workers=1).stdout.fnmatch_lines(
        ["*probes: stuck*", "cause 1: lr-zero*", "draw it: python -m probes *"]
    )


def test_without_a_cache_workers_share_a_folder(project: Project) -> None:
    project.tests(MANY)
    options = ("-p", "no:cacheprovider", "--dashboard", "off")
    project.run_on_workers(*options).assert_outcomes(passed=8)
    assert (project.builds("healthy"), project.builds("stuck")) == (1, 1)


def test_a_worker_does_not_clear_the_cache_another_trains_into(project: Project) -> None:
    project.tests(
        "def test_it(pytestconfig, run):\n"
        "    assert run('healthy') and not pytestconfig.option.cacheclear"
    )
    options = ("--cache-clear", "--dashboard", "off")
    project.run_on_workers(*options, workers=1).assert_outcomes(passed=1)


def test_a_worker_that_crashes_fails_the_session(project: Project) -> None:
    project.tests(
        "import os\ndef test_dies(run): run('healthy'); os._exit(0)\n"
        "def test_lives(run): run('stuck')"
    )
    result = project.run_on_workers(workers=1)
    result.stdout.fnmatch_lines(["worker gw? went down: *"])
    result.stdout.no_fnmatch_line("*sent no report*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_worker_that_crashes_after_its_last_test_fails_the_session(project: Project) -> None:
    project.conftest(
        OFFER.format(offers='offer("healthy")')
        + """
import os, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw0" and hasattr(session.config, "workerinput"):
        os._exit(0)
"""
    )
    project.tests(
        "import pytest\n@pytest.mark.parametrize('n', range(4))\n"
        "def test_it(run, n): run('healthy')"
    )
    result = project.run_on_workers("--max-worker-restart=0")
    result.stdout.fnmatch_lines(["worker gw0 went down: *"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_when_a_worker_crashes_in_training_another_trains(project: Project) -> None:
    project.conftest(
        """
        import os
        from pathlib import Path
        from probes import Experiment
        from tiny_specimen import TinySpecimen

        class Mortal(TinySpecimen):
            def _step(self, index, x, y):
                if index == 5 and not Path("died").exists():
                    Path("died").touch()
                    os._exit(0)
                return super()._step(index, x, y)

        def pytest_probes_experiments(config):
            return {"healthy": Experiment(Mortal, "1", "reference")}
        """
    )
    project.tests(MANY)
    result = project.run_on_workers("-k", "healthy", "--dashboard", "off")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["healthy *trained*"])


def test_a_lost_report_fails_the_session_and_names_the_test(project: Project) -> None:
    project.tests(LOST_ON_THE_WAY)
    result = project.run_on_workers(workers=1)
    result.stdout.fnmatch_lines(
        [
            "1 of the collected tests sent no report; it is not known whether they passed:",
            "  test_it.py::test_last",
        ]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_if_every_worker_runs_every_test_one_lost_report_fails_the_session(
    project: Project,
) -> None:
    project.tests(
        LOST_ON_THE_WAY.replace(
            "def test_last", "@pytest.mark.skipif(ON_GW1, reason='')\n    def test_last"
        )
    )
    result = project.run_on_workers("--dist=each")
    result.stdout.fnmatch_lines(
        ["1 of the collected tests sent no report; *", "  test_it.py::test_last"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_in_a_project_without_experiments_lost_reports_are_not_counted(project: Project) -> None:
    project.conftest("")
    project.tests(LOST_ON_THE_WAY)
    project.run_on_workers(workers=1).stdout.no_fnmatch_line("*sent no report*")


@pytest.mark.parametrize(("mode", "workers"), [("each", 2), ("loadscope", 1)])
def test_a_session_that_lost_no_report_says_nothing(
    project: Project, mode: str, workers: int
) -> None:
    project.tests(MANY + "\n    @pytest.mark.skip\n    def test_skipped(): pass\n")
    result = project.run_on_workers(f"--dist={mode}", workers=workers)
    result.stdout.no_fnmatch_line("*sent no report*")
    assert result.ret == pytest.ExitCode.OK


def test_a_session_that_stops_at_a_failure_has_lost_no_report(project: Project) -> None:
    project.tests(
        "import pytest\n@pytest.mark.parametrize('n', range(9))\n"
        "def test_it(run, n): assert not run('stuck')"
    )
    result = project.run_on_workers("-x", workers=1)
    result.stdout.no_fnmatch_line("*sent no report*")
    result.stdout.fnmatch_lines(["dashboard: *the session stopped early*"])
    assert result.ret != pytest.ExitCode.OK


def test_a_test_that_was_collected_twice_must_be_reported_twice() -> None:
    """The tests of each kind of worker are counted for themselves."""
    expected = ExpectedTests()
    expected.expect("a", ["x", "y", "x"])
    expected.expect("b", ["y"])
    expected.report("a", "x")
    expected.report("b", "y")
    assert expected.missing() == ["x", "y"]
    expected.report("a", "y")
    expected.report("a", "x")
    assert expected.missing() == []
