"""The benchmark: each section measures something, targets are compared with whole intervals, and
README.md shows the figures of the file."""

import json
import sys
import tracemalloc
from dataclasses import replace

import pytest

import bench.__main__ as command
from bench import length, memory, products, recording_cost, report, step, suite, training
from bench.figures import Figure, Section
from bench.report import Report
from bench.rows import ROW_LENGTHS
from model import HEALTHY
from model.seeds import TEST_SEED
from probes import diagnose, read
from probes.record.signals import SIGNALS
from testing.marker_blocks import read_block

RATIO = Figure("step / peer", "x", "a peer", 0.7)
SPEEDUP = Figure("two / one", "x", "the same runs", 1.7, at_least=True)
WITHOUT_EVALUATION = replace(HEALTHY, eval_every=HEALTHY.steps)


@pytest.mark.parametrize(
    ("figure", "measured", "low", "high", "verdict"),
    [
        (RATIO, 0.65, 0.6, 0.7, "met"),
        (RATIO, 0.65, 0.6, 0.71, "inconclusive"),
        (RATIO, 0.77, 0.71, 0.8, "missed by 10 %"),
        (SPEEDUP, 1.9, 1.7, 2.0, "met"),
        (SPEEDUP, 1.53, 1.5, 1.6, "missed by 10 %"),
        (Figure("share", "%", "", 0.05), 0.081, 0.06, 0.1, "missed by 3.1 points"),
        (Figure("memory", "KiB", "", 64.0), 1564.0, None, None, "missed by 1,500 KiB"),
        (RATIO, None, None, None, "not measured"),
    ],
)
def test_a_target_is_met_or_missed_only_if_the_whole_interval_says_so(
    figure, measured, low, high, verdict
):
    """A missed target says by how much."""
    assert replace(figure, measured=measured, low=low, high=high).verdict == verdict


def test_a_report_is_read_as_it_was_written(tmp_path):
    """The file also holds the verdicts."""
    figures = (replace(RATIO, measured=0.6, low=0.5, high=0.65, note="n"), SPEEDUP)
    written = Report("2026-01-02", "abc", {"CPU": "Any", "cores": "2"}, figures)
    report.save(written, tmp_path)
    assert report.load(tmp_path) == written
    rows = json.loads((tmp_path / report.FILE).read_text(encoding="utf-8"))["figures"]
    assert [row["verdict"] for row in rows] == ["met", "not measured"]


def test_the_readme_shows_the_figures_of_the_file():
    """The README holds exactly what `python -m bench --readme` writes."""
    page = (report.ROOT / report.README).read_text(encoding="utf-8")
    assert read_block(page, report.BLOCK) == report.readme_block(report.load())


def test_the_table_of_all_figures_fits_a_terminal():
    """Every figure has a name of its own, and no line is longer than 120 characters."""
    planned = [figure for section in command.SECTIONS for figure in section.figures]
    planned += [Figure(f"+ {signal.name}", "%", "plain evaluation") for signal in SIGNALS]
    assert len({figure.name for figure in planned}) == len(planned)
    missed = [
        figure.with_value((figure.target or 2.0) * (0.5 if figure.at_least else 2.0))
        for figure in planned
    ]
    table = Report("2026-01-02", "abc", {}, tuple(missed)).table()
    assert max(map(len, table.splitlines())) <= 120


def test_a_section_that_fails_does_not_stop_the_others(monkeypatch, capsys):
    """The error is printed, the other figures are measured, nothing is written, and the exit code
    is 1."""

    def fails():
        yield SPEEDUP.with_value(1.9)
        raise RuntimeError("no second core")

    other = Figure("other", "s", "")
    sections = (
        Section("A", (SPEEDUP, RATIO), fails),
        Section("B", (other,), lambda: iter([other.with_value(2.0)])),
    )
    monkeypatch.setattr(command, "SECTIONS", sections)
    monkeypatch.setattr(report, "save", lambda found: pytest.fail("written"))
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert command.main() == 1
    shown = capsys.readouterr()
    assert "A: RuntimeError: no second core" in shown.err
    names = [line.split("  ")[0] for line in shown.out.splitlines()[3:6]]
    assert names == ["two / one", "step / peer", "other"]


# Each section, as short as possible


def test_a_step_is_timed_beside_its_matrix_products():
    """The recorded products are those of the weights and of attention, as many as the architecture
    needs."""
    seconds = step.time_in_turn({"a": lambda i: i, "b": lambda i: i}, warmup=1, rounds=2)
    assert {name: len(each) for name, each in seconds.items()} == {"a": 2, "b": 2}
    (recorded,) = products.record(WITHOUT_EVALUATION, 1)
    products.replay(recorded.products)
    model, tokens = HEALTHY.model, int(ROW_LENGTHS[recorded.batch_ids].sum())
    C, F, V, L = model.d_model, model.d_ff, model.vocab_size, model.n_layers
    of_weights = [product.flops for product in recorded.products if product.out.ndim == 2]
    assert sum(of_weights) == 6 * tokens * (L * (4 * C * C + 2 * C * F) + V * C)


def test_products_that_cannot_be_recorded_are_an_error(monkeypatch):
    """Otherwise the step would be compared with too little."""
    monkeypatch.setattr(products, "ALLOCATORS", ())
    with pytest.raises(products.MissingProductsError, match="products of 0 operations"):
        products.record(WITHOUT_EVALUATION, 1)


def test_the_cost_of_recording_is_measured(monkeypatch):
    """The cost is measured for one signal, for all signals, and for all signals written to disk."""
    monkeypatch.setattr(recording_cost, "STEP_SIGNALS", recording_cost.STEP_SIGNALS[:1])
    monkeypatch.setattr(recording_cost, "WARMUP_ROUNDS", 0)
    costs = recording_cost.step_costs(rounds=8)
    assert [name for name, _ in costs] == ["loss", "every signal", "every signal, on disk"]


def test_evaluations_take_a_share_of_the_run():
    """An evaluation that takes six steps and follows every third step takes two thirds."""
    share = recording_cost.evaluation_share(recording_cost.EVALUATION.with_value(6.0))
    assert share.measured == pytest.approx(2 / 3)


def test_the_peak_memory_is_measured_early_and_late():
    """Afterwards the tracing of memory is switched off again."""
    try:
        early, late = memory.peaks("traced", early=15, late=16)
    finally:
        tracemalloc.stop()
    assert early > 1024
    assert abs(late - early) < early


def test_long_runs_and_logs_are_measured(monkeypatch, tmp_path):
    """This test uses short runs and logs, to save time."""
    for name, value in {
        "RUNS": 1,
        "STEPS_PER_RUN": 30,
        "LINES": 40,
        "ROUNDS": 1,
        "START_ROUNDS": 1,
    }.items():
        monkeypatch.setattr(length, name, value)
    assert [figure.measured > 0 for figure in length.measure_page(tmp_path)] == [True, True]
    assert [figure.measured > 0 for figure in length.measure_loading(tmp_path)] == [True]
    assert [figure.measured > 0 for figure in length.measure_start(tmp_path)] == [True]
    measured = {each.name for each in length.measure_logs(tmp_path, "JSON lines", longest=400)}
    assert {figure.name for figure in length.log_figures("JSON lines", 400)} <= measured


@pytest.mark.parametrize("form", length.LOG_WRITERS)
def test_a_long_log_is_healthy_in_every_format(form, tmp_path):
    """Otherwise the time to judge it would mean nothing."""
    length.LOG_WRITERS[form](tmp_path / "log", 200)
    record = read(tmp_path / "log")
    assert diagnose(record).verdict == "healthy"
    assert len(record.series("val_loss")[1]) == 200 // length.LINES_PER_EVALUATION


def test_a_log_that_cannot_be_judged_gives_no_figure(tmp_path):
    """A command that fails fast is not a fast command."""
    (tmp_path / "log").write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="ended with exit code 2"):
        length.diagnose_in_process(tmp_path / "log")


def test_a_command_of_the_suite_is_timed(tmp_path):
    """A command that fails has no time."""
    assert suite.time_command([sys.executable, "-c", "pass"], tmp_path).cpu > 0
    with pytest.raises(suite.CommandFailedError, match="ended with exit code 3"):
        suite.time_command([sys.executable, "-c", "exit(3)"], tmp_path)


def test_all_experiments_of_the_test_files_are_trained(pytestconfig):
    """The benchmark trains the configs that conftest.py offers."""
    offered = pytestconfig.hook.pytest_probes_experiments(config=pytestconfig)[0]
    assert training.experiment_configs().keys() == offered.keys()
    assert {config.seed for config in training.experiment_configs().values()} == {TEST_SEED}
