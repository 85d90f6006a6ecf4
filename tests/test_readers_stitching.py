"""Steps that repeat, jump back or come late are put in order, and what was done is said."""

from math import inf, isnan, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import diagnose, read
from probes.readers.series import CAP, Stitcher, bucket_for, worth_keeping
from testing.logs import csv_of, curve, lines_of, made_of, points, written


def rows(stitcher: Stitcher) -> dict[int, dict[str, float]]:
    """Step -> signal -> value, steps increasing."""
    found: dict[int, dict[str, float]] = {}
    for signal, (steps, values) in stitcher.series().items():
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            found.setdefault(step, {})[signal] = value
    return dict(sorted(found.items()))


def test_a_resumed_run_replaces_what_came_after_the_step_it_was_resumed_from(
    tmp_path: Path,
) -> None:
    """The last writer wins, and what it did not reach again is gone as well."""
    text = csv_of(step=[10, 20, 30, 40, 20, 30], loss=[4, 3, 2, 1, 3.5, 2.5])
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {10: 4.0, 20: 3.5, 30: 2.5}
    assert made_of(record)["stitched"] == [
        "line 6: step 20 comes after step 40, so the run was resumed; what the log held from step 20 on was replaced"
    ]


def test_a_resumed_run_replaces_every_signal(tmp_path: Path) -> None:
    """The evaluations of the abandoned part too, before the resumed part has any."""
    rows = [{"step": step, "loss": 4.0, "val_loss": 5.0} for step in (1, 2, 3)]
    record = read(written(tmp_path, lines_of(*rows, {"step": 2, "loss": 3.0})))
    assert (points(record, "loss"), points(record, "val_loss")) == ({1: 4.0, 2: 3.0}, {1: 5.0})


def test_a_second_run_behind_the_first_is_the_one_that_is_read(tmp_path: Path) -> None:
    """The header in between included, as of two files that were joined."""
    first, second = csv_of(step=[0, 1, 2], loss=[4, 3, 2]), csv_of(step=[0, 1], loss=[5, 4])
    record = read(written(tmp_path, first + second))
    assert points(record, "loss") == {0: 5.0, 1: 4.0}
    assert made_of(record)["stitched"] == [
        "line 6: step 0 comes after step 2, so the log begins again; the run before it was left out"
    ]


def test_evaluations_behind_all_the_rest_are_put_in_place(tmp_path: Path) -> None:
    """They repeat nothing, so nobody resumed anything."""
    rows = [
        *({"step": i, "loss": 4.0} for i in range(4)),
        *({"step": i, "eval_loss": 3.0} for i in (1, 3)),
    ]
    record = read(written(tmp_path, lines_of(*rows)))
    assert (record.steps.tolist(), points(record, "val_loss"), made_of(record)["stitched"]) == (
        [0, 1, 2, 3],
        {1: 3.0, 3: 3.0},
        [],
    )


def test_a_step_logged_twice_keeps_the_last_value(tmp_path: Path) -> None:
    """And says so."""
    record = read(written(tmp_path, csv_of(step=[0, 1, 1, 2], loss=[4, 3, 2, 1])))
    assert points(record, "loss") == {0: 4.0, 1: 2.0, 2: 1.0}
    assert made_of(record)["stitched"] == [
        "values at a step that had them already replaced the earlier ones, in 1 rows"
    ]


def test_a_log_that_jumps_back_everywhere_is_told_of_in_few_words() -> None:
    """Ten places, then a count."""
    stitcher = Stitcher(["loss"])
    for i in range(100):
        stitcher.add(i - 2 * (i % 2), {"loss": 1.0}, f"line {i}")
    assert (len(stitcher.notes()), stitcher.notes()[-1][:40]) == (
        11,
        "the steps jumped back at 40 more places,",
    )


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["loss", "val_loss"])), max_size=40))
def test_steps_increase_whatever_their_order_was(log: list[tuple[int, str]]) -> None:
    """And the last row is always there."""
    stitcher = Stitcher(["loss", "val_loss"])
    for number, (step, signal) in enumerate(log):
        stitcher.add(step, {signal: float(number)}, "")
    for steps, _ in stitcher.series().values():
        assert (np.diff(steps) > 0).all()
    if log:
        step, signal = log[-1]
        assert rows(stitcher)[step][signal] == len(log) - 1


def test_a_row_without_a_loss_resumes_nothing() -> None:
    """An evaluation that counts its own batches and repeats the rate, as MMSegmentation writes
    it."""
    stitcher = Stitcher(["loss", "lr"])
    for step in (10, 20, 30):
        stitcher.add(step, {"loss": step / 10, "lr": 0.1}, "")
    stitcher.add(4, {"lr": 0.1}, "line 4")
    stitcher.add(40, {"loss": 4.0, "lr": 0.1}, "")
    assert rows(stitcher) == {step: {"loss": step / 10, "lr": 0.1} for step in (10, 20, 30, 40)}
    assert stitcher.notes() == ["1 rows without a loss whose step had been passed were left out"]
    stitcher.add(20, {"loss": 7.0, "lr": 0.1}, "line 6")
    assert list(rows(stitcher)) == [10, 20]


def test_where_no_loss_is_read_any_row_resumes() -> None:
    """There is nothing else to tell by."""
    stitcher = Stitcher(["lr"])
    for step in (10, 20, 30, 15):
        stitcher.add(step, {"lr": step / 100}, "line")
    assert rows(stitcher) == {10: {"lr": 0.1}, 15: {"lr": 0.15}}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([3.0, 1.0, 2.0, 9.0, 4.0], [0, 1, 3]),
        ([3.0, nan, nan, 2.0, inf, 5.0], [0, 1, 3, 5]),
        ([nan, nan], [0]),
        ([1.0, 1.0, 1.0], [0, 2]),
    ],
)
def test_of_a_bucket_the_first_lowest_highest_and_first_non_finite_are_kept(
    values: list[float], kept: list[int]
) -> None:
    """Of equals, the first and the last."""
    assert np.flatnonzero(worth_keeping(np.array([values]))[0]).tolist() == kept


def test_a_log_within_the_cap_is_not_thinned() -> None:
    """Every point of it is read."""
    assert (bucket_for(CAP, 1), bucket_for(CAP // 4, 4), bucket_for(CAP, 2) > 4) == (0, 0, True)


def test_a_thinned_run_that_was_resumed_is_cut_at_the_step() -> None:
    """In the thinned part as well."""
    stitcher = Stitcher(["loss"], bucket=10)
    for step in range(1000):
        stitcher.add(step, {"loss": float(step)}, "")
    stitcher.add(105, {"loss": -1.0}, "line 1001")
    found = rows(stitcher)
    assert (max(found), found[105], 0 in found, 99 in found) == (105, {"loss": -1.0}, True, True)


def test_a_step_logged_twice_at_the_end_of_a_bucket_is_still_one_step() -> None:
    """The last bucket stays whole until the next one is full."""
    stitcher = Stitcher(["loss"], bucket=10)
    for step, value in enumerate([0.0, 5.0, -5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]):
        stitcher.add(step, {"loss": value}, "")
    stitcher.add(9, {"loss": 2.0}, "")
    assert (list(rows(stitcher).items())[-1], stitcher.notes()[0][-36:]) == (
        (9, {"loss": 2.0}),
        "replaced the earlier ones, in 1 rows",
    )


def test_a_run_that_begins_again_is_thinned_as_if_it_were_the_first() -> None:
    """However long the one before it was."""
    again, fresh = Stitcher(["loss"], bucket=10), Stitcher(["loss"], bucket=10)
    for step, value in enumerate(curve(1000)):
        again.add(step, {"loss": value}, "")
    for step, value in enumerate(curve(1000)):
        again.add(step, {"loss": value}, "")
        fresh.add(step, {"loss": value}, "")
    assert rows(again) == rows(fresh)


def test_a_long_log_keeps_its_spike_and_its_nan(tmp_path: Path) -> None:
    """Three hundred thousand lines, in bounded rows and in seconds; that it was thinned is said."""
    losses: list[object] = list(curve(300_000))
    losses[123_457], losses[210_001] = 77.0, nan
    record = read(written(tmp_path, csv_of(step=range(300_000), loss=losses)))
    assert len(record.steps) <= CAP
    assert points(record, "loss")[123_457] == 77.0
    assert record.series("nonfinite_count", "loss")[0].tolist() == [210_001]
    assert "points were left out: of" in made_of(record)["stitched"][0]
    assert diagnose(record).cause == "non-finite"


@settings(max_examples=30)
@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=300), st.integers(5, 40))
def test_thinning_keeps_extremes_and_the_first_non_finite(values: list[float], bucket: int) -> None:
    """Each at the step where it was."""
    stitcher = Stitcher(["loss"], bucket)
    for step, value in enumerate(values):
        stitcher.add(step, {"loss": value}, "")
    kept = {step: row["loss"] for step, row in rows(stitcher).items()}
    finite = [value for value in values if not isnan(value) and abs(value) != inf]
    assert all(str(values[step]) == str(value) for step, value in kept.items())
    assert not finite or {min(finite), max(finite)} <= set(kept.values())
    lost = [step for step, value in enumerate(values) if isnan(value) or abs(value) == inf]
    assert not lost or lost[0] in kept
