"""Rows are put in the order of their steps, and long logs are thinned."""

from math import inf, isnan, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import diagnose, read
from probes.readers import series
from probes.readers.series import MAX_POINTS, SeriesMerger, bucket_size, representatives
from testing.logs import csv_of, curve, lines_of, points, reader_of, written


def rows(merger: SeriesMerger) -> dict[int, dict[str, float]]:
    """Step -> signal -> value, with increasing steps."""
    found: dict[int, dict[str, float]] = {}
    for signal, (steps, values) in merger.series().items():
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            found.setdefault(step, {})[signal] = value
    return dict(sorted(found.items()))


# Resumed runs


def test_a_resumed_run_replaces_what_the_log_held_from_that_step_on(tmp_path: Path) -> None:
    """Values at later steps are dropped as well, even if the resumed run did not reach these
    steps."""
    text = csv_of(step=[10, 20, 30, 40, 20, 30], loss=[4, 3, 2, 1, 3.5, 2.5])
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {10: 4.0, 20: 3.5, 30: 2.5}
    assert reader_of(record)["stitched"] == [
        "line 6: step 20 comes after step 40, so the run was resumed; what the log held from step "
        "20 on was replaced"
    ]


@pytest.mark.parametrize(
    ("steps", "resumed_at"),
    [
        ([10, 20, 30, 40, 20, 30], [20]),
        ([10, 20, 30, 20, 30, 40, 30], [20, 30]),
        ([10, 20, 30, 20, 30, 15, 20], [15]),
        ([10, 20, 30, 10, 20, 30], None),
        ([10, 20, 30, 30, 40, 50], None),
    ],
    ids=["once", "twice", "the second time from before the first", "another run", "a repeated row"],
)
def test_the_steps_at_which_a_run_was_resumed_are_a_fact(
    tmp_path: Path, steps: list[int], resumed_at: list[int] | None
) -> None:
    """A run that begins again from its first step has no earlier points to compare with."""
    record = read(written(tmp_path, csv_of(step=steps, loss=range(len(steps), 0, -1))))
    assert record.facts.get("resumed_at") == resumed_at


def test_many_resumed_runs_are_kept_up_to_a_limit() -> None:
    """A log may go back by one step thousands of times."""
    merger = SeriesMerger(["loss"])
    for step in range(3 * series.MAX_RESUMES):
        merger.add(step + 2, {"loss": 1.0}, "line 1")
        merger.add(step + 1, {"loss": 1.0}, "line 1")
    merger.series()
    assert len(merger.resumed_at) <= series.MAX_RESUMES


def test_a_resumed_run_replaces_every_signal(tmp_path: Path) -> None:
    """Evaluations of the abandoned part are dropped as well, although the resumed part has none
    yet."""
    rows = [{"step": step, "loss": 4.0, "val_loss": 5.0} for step in (1, 2, 3)]
    record = read(written(tmp_path, lines_of(*rows, {"step": 2, "loss": 3.0})))
    assert (points(record, "loss"), points(record, "val_loss")) == ({1: 4.0, 2: 3.0}, {1: 5.0})


def test_of_two_runs_in_a_file_the_second_is_read(tmp_path: Path) -> None:
    """When two files were joined, there is a header between them."""
    first, second = csv_of(step=[0, 1, 2], loss=[4, 3, 2]), csv_of(step=[0, 1], loss=[5, 4])
    record = read(written(tmp_path, first + second))
    assert points(record, "loss") == {0: 5.0, 1: 4.0}
    assert reader_of(record)["stitched"] == [
        "line 6: step 0 comes after step 2, so the log begins again; the run before it was left out"
    ]


def test_evaluations_behind_all_other_rows_are_put_in_place(tmp_path: Path) -> None:
    """Their signal has not passed those steps, so the run was not resumed."""
    losses = [{"step": i, "loss": 4.0} for i in range(4)]
    evaluations = [{"step": i, "eval_loss": 3.0} for i in (1, 3)]
    record = read(written(tmp_path, lines_of(*losses, *evaluations)))
    assert (record.steps.tolist(), points(record, "val_loss")) == ([0, 1, 2, 3], {1: 3.0, 3: 3.0})
    assert reader_of(record)["stitched"] == []


def test_of_a_step_that_is_logged_twice_the_last_value_is_kept(tmp_path: Path) -> None:
    record = read(written(tmp_path, csv_of(step=[0, 1, 1, 2], loss=[4, 3, 2, 1])))
    assert points(record, "loss") == {0: 4.0, 1: 2.0, 2: 1.0}
    assert reader_of(record)["stitched"] == [
        "1 rows repeat a step; their values replaced the earlier ones"
    ]


def test_many_jumps_back_are_counted_instead_of_listed() -> None:
    """The note lists the first ten jumps."""
    merger = SeriesMerger(["loss"])
    for i in range(100):
        merger.add(i - 2 * (i % 2), {"loss": 1.0}, f"line {i}")
    notes = merger.notes()
    assert len(notes) == 11
    assert notes[-1].startswith("the steps jumped back at 40 more places")


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["loss", "val_loss"])), max_size=40))
def test_steps_increase_in_whatever_order_rows_come(log: list[tuple[int, str]]) -> None:
    """The last row is kept unless it alone would drop several points."""
    merger = SeriesMerger(["loss", "val_loss"])
    for number, (step, signal) in enumerate(log):
        merger.add(step, {signal: float(number)}, "")
    for steps, _ in merger.series().values():
        assert (np.diff(steps) > 0).all()
    if log:
        step, signal = log[-1]
        left_out = any("no row continues from there" in note for note in merger.notes())
        assert left_out or rows(merger)[step][signal] == len(log) - 1


def test_a_row_without_a_loss_does_not_resume_a_run() -> None:
    """MMSegmentation logs evaluations that count their own batches and repeat the learning rate."""
    merger = SeriesMerger(["loss", "lr"])
    for step in (10, 20, 30):
        merger.add(step, {"loss": step / 10, "lr": 0.1}, "")
    merger.add(4, {"lr": 0.1}, "line 4")
    merger.add(40, {"loss": 4.0, "lr": 0.1}, "")
    assert rows(merger) == {step: {"loss": step / 10, "lr": 0.1} for step in (10, 20, 30, 40)}
    assert merger.notes() == [
        "1 rows were left out: they have no loss, and their step lies before one that was read "
        "earlier"
    ]
    merger.add(20, {"loss": 7.0, "lr": 0.1}, "line 6")
    assert list(rows(merger)) == [10, 20]


def test_in_a_log_without_losses_any_row_resumes_the_run() -> None:
    """Without losses, nothing else shows that the run was resumed."""
    merger = SeriesMerger(["lr"])
    for step in (10, 20, 30, 15):
        merger.add(step, {"lr": step / 100}, "line")
    assert rows(merger) == {10: {"lr": 0.1}, 15: {"lr": 0.15}}


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=12), st.booleans()), max_size=8))
def test_rows_added_at_once_are_those_added_one_by_one(
    batches: list[tuple[list[int], bool]],
) -> None:
    """None of a batch is added when a step repeats or goes back."""
    at_once, one_by_one = (SeriesMerger(["loss", "lr"], bucket=5) for _ in range(2))
    step = 0
    for jumps, back in batches:
        steps = step + np.cumsum(np.array(jumps, dtype=np.int64)) - 3 * back
        places = np.arange(len(steps))
        columns = {
            "loss": (places, np.sqrt(steps + 9.0)),
            "lr": (places[::2], np.where(places[::2] % 3, 1.0, nan)),
        }
        added = at_once.extend(steps, columns)
        assert added or back or 0 in jumps
        for place, own_step in enumerate(steps.tolist() if added else []):
            row = {
                name: float(values[measured == place][0])
                for name, (measured, values) in columns.items()
                if place in measured
            }
            one_by_one.add(own_step, row, "")
        step = max(step, *steps.tolist(), 0)
    assert at_once.notes() == one_by_one.notes()
    for left, right in zip(at_once.series().values(), one_by_one.series().values(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_steps_that_fall_across_all_of_64_bits_are_not_added_at_once() -> None:
    """The difference between them does not fit 64 bits."""
    steps = np.array([2**63 - 1, -(2**63)])
    columns = {"loss": (np.arange(2), np.array([1.0, 2.0]))}
    assert not SeriesMerger(["loss"]).extend(steps, columns)


# Thinning


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([3.0, 1.0, 2.0, 9.0, 4.0], [0, 1, 3]),
        ([3.0, nan, nan, 2.0, inf, 5.0], [0, 1, 3, 5]),
        ([nan, nan], [0]),
        ([1.0, 1.0, 1.0], [0, 2]),
    ],
)
def test_the_first_lowest_highest_and_first_non_finite_value_are_kept(
    values: list[float], kept: list[int]
) -> None:
    """Of several equal lowest or highest values, the first and the last are kept."""
    assert np.flatnonzero(representatives(np.array([values]))[0]).tolist() == kept


def test_only_finite_values_are_lowest_and_highest() -> None:
    """If a bucket has no finite value, its first value is kept."""
    kept = representatives(np.array([[inf, 2.0, -inf, 1.0], [nan, nan, inf, nan]]))
    assert kept.tolist() == [[True, True, False, True], [True, False, False, False]]


def test_a_log_up_to_the_limit_is_not_thinned() -> None:
    assert bucket_size(MAX_POINTS, 1) == 0
    assert bucket_size(MAX_POINTS // 4, 4) == 0
    assert bucket_size(MAX_POINTS, 2) > 4


def test_a_thinned_run_that_was_resumed_is_cut_at_the_step() -> None:
    """The step lies in the part that is thinned."""
    merger = SeriesMerger(["loss"], bucket=10)
    for step in range(1000):
        merger.add(step, {"loss": float(step)}, "")
    for step in (105, 106):
        merger.add(step, {"loss": -1.0}, f"line {step}")
    found = rows(merger)
    assert (max(found), found[105], 0 in found, 99 in found) == (106, {"loss": -1.0}, True, True)


@pytest.mark.parametrize("step", [0, 5, 70], ids=["the first step", "an early one", "a late one"])
def test_one_row_at_an_earlier_step_does_not_discard_a_run(step: int) -> None:
    """It is a glitch if the run goes on behind it, and an evaluation if it is the last row."""
    notes = [
        f"line 100: step {step} comes after step 99, and no row continues from there; the row was "
        "left out"
    ]
    merger = SeriesMerger(["loss"])
    for own in range(100):
        merger.add(own, {"loss": 1.0}, f"line {own}")
    merger.add(step, {"loss": 7.0}, "line 100")
    assert (len(rows(merger)), merger.notes()) == (100, notes)
    merger.add(step, {"loss": 7.0}, "line 100")
    merger.add(100, {"loss": 2.0}, "line 101")
    assert (len(rows(merger)), rows(merger)[100]) == (101, {"loss": 2.0})


def test_two_rows_from_an_earlier_step_on_resume_the_run() -> None:
    merger = SeriesMerger(["loss"])
    for step in (*range(100), 50, 51):
        merger.add(step, {"loss": float(step)}, "line")
    assert max(rows(merger)) == 51


def test_a_step_that_is_far_too_large_is_replaced() -> None:
    """The rows behind it show that the run is not there."""
    merger = SeriesMerger(["loss"])
    for step in (*range(50), 50_000_000, *range(50, 100)):
        merger.add(step, {"loss": 1.0}, "line")
    assert list(rows(merger)) == list(range(100))


def test_a_step_that_is_logged_twice_at_the_end_of_a_bucket_is_one_step() -> None:
    """The last bucket is not thinned until the next one is full."""
    merger = SeriesMerger(["loss"], bucket=10)
    for step, value in enumerate([0.0, 5.0, -5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]):
        merger.add(step, {"loss": value}, "")
    merger.add(9, {"loss": 2.0}, "")
    assert list(rows(merger).items())[-1] == (9, {"loss": 2.0})
    assert merger.notes() == ["1 rows repeat a step; their values replaced the earlier ones"]


def test_a_run_that_begins_again_is_thinned_like_a_first_run() -> None:
    """The length of the run before it does not matter."""
    again, fresh = SeriesMerger(["loss"], bucket=10), SeriesMerger(["loss"], bucket=10)
    for step, value in enumerate(curve(1000)):
        again.add(step, {"loss": value}, "")
    for step, value in enumerate(curve(1000)):
        again.add(step, {"loss": value}, "")
        fresh.add(step, {"loss": value}, "")
    assert rows(again) == rows(fresh)


def test_a_long_log_keeps_its_spike_and_its_nan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is thinned to a bounded number of rows, and a note says so."""
    monkeypatch.setattr(series, "MAX_POINTS", 20_000)
    losses: list[object] = list(curve(30_000))
    losses[12_345], losses[21_001] = 77.0, nan
    record = read(written(tmp_path, csv_of(step=range(30_000), loss=losses)))
    assert len(record.steps) <= 20_000
    assert points(record, "loss")[12_345] == 77.0
    assert record.series("nonfinite_count", "loss")[0].tolist() == [21_001]
    assert "points were left out: of" in reader_of(record)["stitched"][0]
    assert diagnose(record).cause == "non-finite"


@settings(max_examples=30)
@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=300), st.integers(5, 40))
def test_thinning_keeps_the_extremes_and_the_first_non_finite_value(
    values: list[float], bucket: int
) -> None:
    """Each stays at its own step."""
    merger = SeriesMerger(["loss"], bucket)
    for step, value in enumerate(values):
        merger.add(step, {"loss": value}, "")
    kept = {step: row["loss"] for step, row in rows(merger).items()}
    finite = [value for value in values if not isnan(value) and abs(value) != inf]
    assert all(str(values[step]) == str(value) for step, value in kept.items())
    assert not finite or {min(finite), max(finite)} <= set(kept.values())
    lost = [step for step, value in enumerate(values) if isnan(value) or abs(value) == inf]
    assert not lost or lost[0] in kept


def test_a_row_that_goes_back_is_compared_with_the_last_step_of_any_signal() -> None:
    """The note about it names the later of the last steps."""
    merger = SeriesMerger(["loss", "lr"])
    for step in range(20):
        merger.add(step, {"loss": 1.0}, "")
    for step in range(25):
        merger.add(step, {"lr": 0.1}, "")
    merger.add(3, {"loss": 2.0, "lr": 0.2}, "line 50")
    assert merger.notes() == [
        "line 50: step 3 comes after step 24, and no row continues from there; the row was left out"
    ]
