"""Figures say whether they are met, sections cost no other, and the README says what is on file."""

import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import bench.__main__ as bench_main
import model
from bench import looking, memory, report, scale, step, suite, training
from bench.figures import Figure, Section
from bench.overhead import Overhead
from bench.report import Report
from bench.scale import Measured
from calibration import readme
from calibration.conditions import Planned
from model import HEALTHY
from probes.record.signals import SIGNALS

RATIO = Figure("step / peer", "x", "a peer", 0.7)
SPEEDUP = Figure("two / one", "x", "the same runs", 1.7, at_least=True)
STEPS = replace(HEALTHY, eval_every=HEALTHY.steps)


@pytest.mark.parametrize(
    ("figure", "measured", "low", "high", "verdict"),
    [
        (RATIO, 0.65, 0.6, 0.7, "met"),
        (RATIO, 0.65, 0.6, 0.71, "inconclusive"),
        (RATIO, 0.71, 0.6, 0.69, "inconclusive"),
        (RATIO, 0.69, 0.71, 0.8, "inconclusive"),
        (RATIO, 0.77, 0.71, 0.8, "missed by 10 %"),
        (RATIO, 0.7, None, None, "met"),
        (SPEEDUP, 1.9, 1.7, 2.0, "met"),
        (SPEEDUP, 1.72, 1.6, 1.9, "inconclusive"),
        (SPEEDUP, 1.53, 1.5, 1.6, "missed by 10 %"),
        (Figure("looking", "%", "", 0.05), 0.081, 0.06, 0.1, "missed by 3.1 points"),
        (Figure("memory", "KiB", "", 64.0), 1564.0, None, None, "missed by 1,500 KiB"),
        (Figure("memory", "KiB", "", 64.0), -3.0, None, None, "met"),
        (Figure("larger step", "x", ""), 0.8, 0.7, 0.9, "–"),
        (RATIO, None, None, None, "not measured"),
    ],
)
def test_a_target_is_met_or_missed_only_when_the_whole_interval_says_so(
    figure, measured, low, high, verdict
):
    """And how far it was missed is said."""
    assert replace(figure, measured=measured, low=low, high=high).verdict == verdict


def test_a_ratio_is_that_of_the_medians_within_its_interval():
    """Ours over the peer's."""
    found = RATIO.ratio(ours=[0.5] * 59 + [9.0], peer=[1.0] * 60)
    assert (found.measured, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_row_shows_figure_measured_interval_target_verdict_and_peer():
    """In units."""
    assert replace(RATIO, measured=0.654, low=0.6, high=0.69).cells() == (
        "step / peer", "0.65 x", "0.60 to 0.69", "≤ 0.70 x", "met", "a peer",
    )  # fmt: skip
    assert SPEEDUP.failed("no second core").cells() == (
        "two / one", "–", "–", "≥ 1.70 x", "not measured", "no second core",
    )  # fmt: skip


def made(*figures: Figure) -> Report:
    return Report("2026-01-02", "abc", {"CPU": "Any", "cores": "2"}, figures)


def test_what_was_measured_is_read_as_it_was_written(tmp_path):
    """The file holds the verdict too, for those who read nothing else."""
    written = made(replace(RATIO, measured=0.6, low=0.5, high=0.65, note="n"), SPEEDUP)
    report.save(written, tmp_path)
    assert report.load(tmp_path) == written
    rows = json.loads((tmp_path / report.FILE).read_text(encoding="utf-8"))["figures"]
    assert [row["verdict"] for row in rows] == ["met", "not measured"]


def test_the_readme_shows_targets_and_ratios(tmp_path):
    """Between its markers, with the machine; what else is reported stays in the file."""
    (tmp_path / readme.README).write_text(
        "a\n<!-- cost -->\nx\n<!-- end of cost -->\nb\n", encoding="utf-8"
    )
    report.save(
        made(replace(RATIO, measured=0.6), Figure("runs", "/min", "", measured=31.0)), tmp_path
    )
    report.write_readme(tmp_path)
    text = (tmp_path / readme.README).read_text(encoding="utf-8")
    assert "| step / peer | 0.60 x | – | ≤ 0.70 x | met | a peer |" in text
    assert "at commit `abc` on 2026-01-02" in text
    assert "runs" not in text
    assert (
        text.startswith("a\n<!-- cost -->\n"),
        text.endswith("\n<!-- end of cost -->\nb\n"),
    ) == (True, True)


def test_the_readme_says_what_is_on_file():
    """Its figures are written by a command, never by hand."""
    text = (report.ROOT / readme.README).read_text(encoding="utf-8")
    assert readme.shown(text, report.BLOCK) == report.block(report.load())


def test_the_table_fits_a_terminal():
    """Every figure, measured and missed by far, each signal among them, in 120 columns."""
    planned = [figure for section in bench_main.SECTIONS for figure in section.figures]
    values = [(each.target or 2.0) * (0.5 if each.at_least else 2.0) for each in planned]
    wide = [
        replace(each, measured=value, low=0.99 * value, high=1.01 * value)
        for each, value in zip(planned, values, strict=True)
    ]
    wide += [
        Figure(f"+ {signal.name}", "%", "bare evaluation", measured=0.1, low=0.09, high=0.11)
        for signal in SIGNALS
    ]
    assert max(map(len, made(*wide).table().splitlines())) <= 120


def test_looking_is_judged_with_the_record_on_disk_and_signals_are_told_one_by_one(monkeypatch):
    """First what has a target; then each signal, at steps and at evaluations, under a name of its
    own."""
    cost = Overhead(0.03, 0.02, 0.04)
    monkeypatch.setattr(
        looking,
        "looking_costs",
        lambda: [("loss", cost), (looking.EVERY, cost), (looking.ON_DISK, cost)],
    )
    monkeypatch.setattr(
        looking, "evaluation_costs", lambda rounds: [("val_loss", cost), (looking.EVERY, cost)]
    )
    monkeypatch.setattr(
        looking, "_evaluation", lambda: replace(looking.EVALUATION, measured=6.0, low=3.0, high=9.0)
    )
    first, *others = looking.SECTION.measure()
    assert (first.name, first.measured, first.low, first.high, first.verdict) == (
        looking.OVERALL.name, 0.03, 0.02, 0.04, "met",
    )  # fmt: skip
    assert [figure.name for figure in others if figure.name.startswith("+")] == [
        "+ loss", "+ every signal", "+ val_loss", "+ every signal, at evaluations",
    ]  # fmt: skip


def test_the_share_of_evaluations_counts_the_steps_between_them():
    """One that takes six steps, after every third, takes two thirds of a run."""
    share = looking.share(replace(looking.EVALUATION, measured=6.0, low=3.0, high=9.0))
    assert (share.measured, share.low, share.high) == pytest.approx((2 / 3, 1 / 2, 3 / 4))


def test_an_evaluation_is_timed_beside_a_step(monkeypatch):
    """And takes longer."""
    monkeypatch.setattr(looking, "ROUNDS", 8)
    assert looking._evaluation().low > 1


def test_rows_of_scale_that_have_a_target_are_figures():
    """Under names of their own, whatever length they are of."""
    found = [
        Measured("diagnose CSV, 100,000 steps", 0.8, "s", 1.0),
        Measured("its peak memory", 60.0, "MiB"),
        Measured("diagnose CSV, 1,000,000 steps", 6.0, "s"),
        Measured("CPU over that of a tenth", 7.5, "x", 10.0),
        Measured("memory over that of a tenth", 1.2, "x", 1.1),
    ]
    shown = [figure.cells() for figure in scale.adapted(found, scale._of_log("CSV"))]
    assert [(name, measured, verdict) for name, measured, _, _, verdict, _ in shown] == [
        ("diagnose CSV, 100,000 steps", "0.8 s", "met"),
        ("CSV x 10, CPU", "7.50 x", "met"),
        ("CSV x 10, peak memory", "1.20 x", "missed by 9 %"),
    ]


def test_names_of_figures_are_their_own():
    """Two of one name would be one in the eyes of whoever reads the file."""
    names = [figure.name for section in bench_main.SECTIONS for figure in section.figures]
    assert len(names) == len(set(names))


def test_what_a_section_did_not_measure_is_listed(capsys):
    """After what it did."""
    section = Section("A section", (RATIO, SPEEDUP), lambda: iter([SPEEDUP.value(1.9)]))
    assert [figure.verdict for figure in bench_main.measure(section)] == ["met", "not measured"]
    assert "two / one: 1.90 x, met" in capsys.readouterr().err


def test_what_went_wrong_in_a_section_costs_no_other(monkeypatch, capsys):
    """It is told, the rest is measured, nothing is written and the exit code says so."""

    def fails():
        yield SPEEDUP.value(1.9)
        raise RuntimeError("no second core")

    other = Figure("other", "s", "")
    monkeypatch.setattr(
        bench_main,
        "SECTIONS",
        (
            Section("A", (SPEEDUP, RATIO), fails),
            Section("B", (other,), lambda: iter([other.value(2.0)])),
        ),
    )
    monkeypatch.setattr(report, "save", lambda found: pytest.fail("written"))
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    assert bench_main.main() == 1
    shown = capsys.readouterr()
    assert "A: RuntimeError: no second core" in shown.err
    assert [line.split("  ")[0] for line in shown.out.splitlines()[3:6]] == [
        "two / one",
        "step / peer",
        "other",
    ]


def test_all_that_was_measured_is_written(monkeypatch):
    """With the commit and the machine."""
    written = []
    monkeypatch.setattr(
        bench_main, "SECTIONS", (Section("A", (RATIO,), lambda: iter([RATIO.value(0.6)])),)
    )
    monkeypatch.setattr(report, "save", written.append)
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    assert bench_main.main() == 0
    assert written[0].figures == (RATIO.value(0.6),)
    assert written[0].machine["NumPy"] == np.__version__


def test_quick_leaves_out_what_is_slow_and_writes_nothing(monkeypatch, capsys):
    """It is listed as not measured."""
    slow = Section("Slow", (SPEEDUP,), lambda: pytest.fail("measured"), slow=True)
    monkeypatch.setattr(
        bench_main, "SECTIONS", (Section("Fast", (RATIO,), lambda: iter([RATIO.value(0.6)])), slow)
    )
    monkeypatch.setattr(report, "save", lambda found: pytest.fail("written"))
    monkeypatch.setattr(sys, "argv", ["bench.py", "--quick"])
    assert bench_main.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if "x  " in line] == ["step / peer", "two / one"]


def test_contenders_take_turns_and_nobody_follows_himself():
    """What slows the machine for a while slows all of them, and none finds the caches as he left
    them."""
    log: list[tuple[str, int]] = []
    contenders = {name: (lambda i, name=name: log.append((name, i))) for name in "ab"}
    seconds = step.interleaved(contenders, warmup=1, pairs=2)
    assert log == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert {name: len(each) for name, each in seconds.items()} == {"a": 2, "b": 2}


def test_memory_is_asked_early_and_late():
    """Where nothing grows with the steps, the two differ by what the interpreter caches."""
    done = subprocess.run(
        [sys.executable, "-c", "from bench.memory import peaks; print(*peaks('traced', 15, 30))"],
        cwd=memory.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    early, late = map(float, done.stdout.split())
    assert early > 1024
    assert abs(late - early) < early


def test_a_peak_is_that_since_the_last_was_asked():
    """What was freed before does not hide what comes later."""
    tracemalloc.start()
    try:
        held = bytearray(4 << 20)
        del held
        high, low = memory._traced(), memory._traced()
    finally:
        tracemalloc.stop()
    assert high - low >= 4096


def test_a_session_of_pytest_is_timed_and_one_that_fails_is_none(tmp_path):
    """Its cache and page lie where they were asked for."""
    took = suite.took(["tests/test_welford.py"], tmp_path)
    assert took.cpu > 0
    assert str(took) == f"CPU {took.cpu:.3g} s"
    assert (tmp_path / "cache" / "v").is_dir()
    with pytest.raises(
        suite.PytestFailedError,
        match=r"(?s)pytest tests/nothing.py failed:.*not found: tests/nothing.py",
    ):
        suite.took(["tests/nothing.py"], tmp_path)


def test_the_suite_is_timed_from_cold_and_from_what_it_has_left(monkeypatch):
    """Workers start as cold as the one process; `-k break` finds the records of the first."""
    asked = []

    def took(arguments, folder):
        asked.append((tuple(arguments), folder))
        return suite.Took(wall=float(len(asked)), cpu=2.0 * len(asked))

    monkeypatch.setattr(suite, "took", took)
    figures = {figure.name: figure.measured for figure in suite.SECTION.measure()}
    (whole, one), (workers, two), *warm = asked
    assert (whole, workers, one != two) == ((), ("-n", "2"), True)
    assert warm == [(("-k", "break"), one)] * suite.WARM_ROUNDS
    assert list(figures.values()) == [1.0, 2.0, 2.0, 5.0]


def test_a_run_of_a_calibration_is_trained_where_nobody_keeps_records(tmp_path):
    """Whole, and under the plan's name."""
    short = replace(HEALTHY, steps=15, eval_every=15)
    training._train(tmp_path, Planned("healthy-0", "healthy", short))
    (path,) = tmp_path.glob("healthy-0-*.jsonl")
    assert path.read_text(encoding="utf-8").splitlines()[-1] == '{"end":{"complete":true}}'


def test_all_experiments_of_the_test_files_are_trained(pytestconfig):
    """The same five, on the seed of the test files."""
    offered = pytestconfig.hook.pytest_probes_experiments(config=pytestconfig)[0]
    ours = {run.name: run.experiment().fingerprint for run in training.experiments()}
    if pytestconfig.getoption("seed") == model.seeds.TEST_SEED:
        assert ours == {name: experiment.fingerprint for name, experiment in offered.items()}
