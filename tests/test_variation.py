"""A verdict does not depend on the unit of the loss, or on how often, how long and how precisely it
was logged.

Where smoothing removes the signs of a fault, the fault may be missed, but there is no alarm about
another one."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from math import isfinite

import numpy as np
import pytest

from probes import diagnose, read
from testing.faults import classes, rows_of
from testing.log_files import noisy, thinned, write
from testing.small_net import Adam, Row, cosine

Rows = Sequence[Row]
SQUARED = ("regression", "in-millions", "steady-gap", "outlying-row", "blind-regression")
CLASSIFIED = ("cosine", "half-precision", "easy", "learned-before")
SOUND = (*SQUARED, *CLASSIFIED)
"""There is no alarm about these; `learned-before` and `blind-regression` are undetermined."""
SICK_SQUARED = (
    "ascending-regression",
    "overflow",
    "overfit-regression",
    "wild-step-regression",
    "growing-weights-regression",
    "zero-rate",
)
SICK = (*SICK_SQUARED, "peak-too-high", "blind", "killed-units", "masked-midway")


def judged(rows: Rows, folder) -> tuple[str, str, bool]:
    """Verdict, title (the cause and what else it may be), and whether there is an alarm."""
    diagnosis = diagnose(read(write(rows, folder, "JSON lines")))
    return diagnosis.verdict, diagnosis.title, diagnosis.alarm


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A function from a case to the judgement of its unchanged log, which is made once."""
    folder = tmp_path_factory.mktemp("logs")
    return cache(lambda name: judged(rows_of(name), folder))


def changed(rows: Rows, change: Callable[[float], float], *signals: str) -> list[Row]:
    """The rows with the finite values of some signals changed."""
    return [
        {name: change(v) if name in signals and isfinite(v) else v for name, v in row.items()}
        for row in rows
    ]


def test_unchanged_logs_are_judged_as_the_tests_below_expect(original):
    """The tests compare with these judgements, so they need several causes and no false alarm."""
    assert {name: original(name)[2] for name in SOUND + SICK} == dict.fromkeys(
        SOUND, False
    ) | dict.fromkeys(SICK, True)
    assert len({original(name)[1] for name in SICK}) >= 8


# Unit, numbering and digits


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("name", SQUARED + SICK_SQUARED)
def test_the_unit_of_the_loss_does_not_matter(name, scale, original, tmp_path):
    """A squared error in other units, and its gradient."""
    rows = changed(rows_of(name), lambda v: scale * v, "loss", "val_loss", "grad_norm")
    assert judged(rows, tmp_path) == original(name)


@pytest.mark.parametrize("name", SOUND + SICK)
def test_the_numbering_of_steps_does_not_matter(name, original, tmp_path):
    """A trainer may log every 500th step."""
    assert judged(
        [row | {"step": 500 * row["step"]} for row in rows_of(name)], tmp_path
    ) == original(name)


@pytest.mark.parametrize("name", SOUND + SICK)
def test_four_digits_are_enough(name, original, tmp_path):
    """All signals are rounded to four significant digits."""
    rows = changed(
        rows_of(name), lambda v: float(f"{v:.4g}"), "loss", "val_loss", "grad_norm", "lr"
    )
    assert judged(rows, tmp_path) == original(name)


@pytest.mark.parametrize("name", [name for name in SOUND + SICK if name != "in-millions"])
def test_four_decimals_are_enough(name, original, tmp_path):
    """Losses near 1 are rounded to four decimals."""
    assert judged(
        changed(rows_of(name), lambda v: round(v, 4), "loss", "val_loss"), tmp_path
    ) == original(name)


# Smoothing


def running(rows: Rows, width: int) -> list[Row]:
    """The rows with the mean of the last `width` losses as the loss."""
    losses = np.array([row["loss"] for row in rows])
    return [
        row | {"loss": float(losses[max(0, i + 1 - width) : i + 1].mean())}
        for i, row in enumerate(rows)
    ]


def averaged(rows: Rows, width: int) -> list[Row]:
    """Every n-th row, where n is `width`, with the mean loss since the previous such row.
    Evaluations keep their steps."""
    left = []
    for i, row in enumerate(running(rows, width), start=1):
        if i % width == 0:
            left.append(row)
        elif "val_loss" in row:
            left.append({name: row[name] for name in ("step", "val_loss")})
    return left


SMOOTHED = {
    "running mean of 10": lambda rows: running(rows, 10),
    "running mean of 50": lambda rows: running(rows, 50),
    "means of 10": lambda rows: averaged(rows, 10),
    "means of 50": lambda rows: averaged(rows, 50),
}
RUNNING, MEANS = list(SMOOTHED)[:2], list(SMOOTHED)[2:]
LOST = {
    "averaged, a jump is no jump between two points": {"wild-step-regression": [*SMOOTHED]},
    "of averages, the norm and the loss rise together": {
        "growing-weights-regression": [RUNNING[1], MEANS[1]]
    },
    "averaged, an exploding loss ends no higher than its noise": {
        "growing-weights-regression": MEANS[:1],
    },
    "the fall at the start is over within the first averages": {"peak-too-high": MEANS},
}
"""Why smoothing hides a fault -> case -> the smoothings that hide it."""
WHY = {
    (name, one): why
    for why, cases in LOST.items()
    for name, several in cases.items()
    for one in several
}


def smoothed(names: Sequence[str]) -> list:
    """(case, smoothing) pairs. Those in LOST, whose judgement changes, are expected to fail."""
    params = []
    for where in product(names, SMOOTHED):
        marks = (
            [pytest.mark.xfail(strict=True, reason=WHY[where], raises=AssertionError)]
            if where in WHY
            else []
        )
        params.append(pytest.param(*where, marks=marks, id=", ".join(where)))
    return params


@pytest.mark.parametrize(("name", "smoothing"), list(product(SOUND, SMOOTHED)))
def test_smoothing_a_healthy_loss_raises_no_alarm(name, smoothing, tmp_path):
    """Most trainers log a smoothed loss."""
    assert judged(SMOOTHED[smoothing](rows_of(name)), tmp_path)[1:] == ("", False)


@pytest.mark.parametrize(("name", "smoothing"), smoothed(SOUND))
def test_smoothing_keeps_the_verdict_of_a_healthy_loss(name, smoothing, original, tmp_path):
    """The verdict may become undetermined, because fewer points are left."""
    assert judged(SMOOTHED[smoothing](rows_of(name)), tmp_path)[0] in (
        original(name)[0],
        "undetermined",
    )


@pytest.mark.parametrize(("name", "smoothing"), smoothed(SICK))
def test_a_fault_is_named_in_a_smoothed_loss(name, smoothing, original, tmp_path):
    """The judgement is that of the unsmoothed loss."""
    assert judged(SMOOTHED[smoothing](rows_of(name)), tmp_path) == original(name)


# Length


@cache
def long(name: str) -> list[Row]:
    """The log of a training of 10,000 steps: "sound", or with a wild step at 7,500."""
    if name == "sound":
        return classes(
            cosine(0.01, steps=10_000, warmup=60),
            seed=3,
            optimizer=Adam,
            steps=10_000,
            eval_every=500,
        )
    return classes(
        lambda step: 5.0 if step == 7_500 else 0.05, seed=6, steps=10_000, eval_every=500
    )


@pytest.mark.parametrize("points", [20, 50, 200, 1000, 4000, 7_500, 10_000])
@pytest.mark.parametrize("name", ["sound", "wild step"])
def test_a_log_without_a_fault_raises_no_alarm_at_any_length(name, points, tmp_path):
    """One training is faulty only from its wild step on, so its log is cut before that step."""
    if (name, points) != ("wild step", 10_000):
        assert not judged(long(name)[:points], tmp_path)[2]


def test_a_spike_late_in_a_long_log_is_named(tmp_path):
    """The spike comes after 7,500 points without a spike."""
    assert judged(long("wild step"), tmp_path)[1] == "loss-spike"


@pytest.mark.parametrize("every", [10, 50, 250])
def test_a_long_log_without_a_fault_raises_no_alarm_at_any_cadence(every, tmp_path):
    """The shortest log has forty points. Each is judged with and without added noise."""
    rows = thinned(long("sound"), every)
    assert (judged(rows, tmp_path)[2], judged(noisy(rows), tmp_path)[2]) == (False, False)


def continued(name: str, length: int) -> list[Row]:
    """The log of a case, continued with rows that are drawn from its last quarter: the run goes on
    as it ended, with the same noise."""
    rows = rows_of(name)
    late, last = rows[len(rows) * 3 // 4 :], int(rows[-1]["step"])
    drawn = np.random.default_rng(0).integers(0, len(late), length - len(rows))
    return [*rows, *(late[j] | {"step": last + i} for i, j in enumerate(drawn.tolist(), start=1))]


@pytest.mark.parametrize(
    "name", ["regression", "cosine", "overfit-regression", "wild-step-regression", "killed-units"]
)
def test_twenty_thousand_points_are_judged_like_a_thousand(name, original, tmp_path):
    """The run goes on as it ended."""
    assert judged(continued(name, 20_000), tmp_path) == original(name)


def test_a_hundred_thousand_points_without_a_fault_raise_no_alarm(tmp_path):
    """The longest log has the most extreme noise."""
    assert judged(continued("regression-constant", 100_000), tmp_path) == ("healthy", "", False)
