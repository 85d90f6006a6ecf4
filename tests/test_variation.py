"""A verdict depends neither on the unit of the loss nor on how often, how long and how precisely it
was logged.

Logs of real trainings are written down otherwise. What is smoothed away may be missed, and makes no
alarm."""

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
OF_SQUARES = ("regression", "in-millions", "steady-gap", "outlying-row", "blind-regression")
OF_CLASSES = ("cosine", "half-precision", "easy", "learned-before")
SOUND = (*OF_SQUARES, *OF_CLASSES)
"""No alarm; of `learned-before` and `blind-regression` there is no verdict."""
SICK_OF_SQUARES = (
    "ascending-regression", "overflow", "overfit-regression", "wild-step-regression", "growing-weights-regression",
    "zero-rate",
)  # fmt: skip
SICK = (*SICK_OF_SQUARES, "peak-too-high", "blind", "killed-units", "masked-midway")


def said(rows: Rows, folder) -> tuple[str, str, bool]:
    """Verdict, cause with what else it may be, and whether it is an alarm."""
    diagnosis = diagnose(read(write(rows, folder, "JSON lines")))
    return diagnosis.verdict, diagnosis.title, diagnosis.alarm


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """What is said of a case as it is, each once."""
    folder = tmp_path_factory.mktemp("logs")
    return cache(lambda name: said(rows_of(name), folder))


def changed(rows: Rows, change: Callable[[float], float], *signals: str) -> list[Row]:
    return [
        {name: change(v) if name in signals and isfinite(v) else v for name, v in row.items()}
        for row in rows
    ]


def test_the_originals_are_sick_and_sound(original):
    """Or nothing is held to anything."""
    assert {name: original(name)[2] for name in SOUND + SICK} == dict.fromkeys(
        SOUND, False
    ) | dict.fromkeys(SICK, True)
    assert len({original(name)[1] for name in SICK}) >= 8


# Unit, numbering and digits


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("name", OF_SQUARES + SICK_OF_SQUARES)
def test_the_unit_of_the_loss_does_not_matter(name, scale, original, tmp_path):
    """A loss of squares in other units, with its gradient."""
    rows = changed(rows_of(name), lambda v: scale * v, "loss", "val_loss", "grad_norm")
    assert said(rows, tmp_path) == original(name)


@pytest.mark.parametrize("name", SOUND + SICK)
def test_the_numbering_of_steps_does_not_matter(name, original, tmp_path):
    """Logged at every 500th."""
    assert said([row | {"step": 500 * row["step"]} for row in rows_of(name)], tmp_path) == original(
        name
    )


@pytest.mark.parametrize("name", SOUND + SICK)
def test_four_digits_are_enough(name, original, tmp_path):
    """Of everything that was measured."""
    rows = changed(
        rows_of(name), lambda v: float(f"{v:.4g}"), "loss", "val_loss", "grad_norm", "lr"
    )
    assert said(rows, tmp_path) == original(name)


@pytest.mark.parametrize("name", [name for name in SOUND + SICK if name != "in-millions"])
def test_four_decimals_are_enough(name, original, tmp_path):
    """Of losses near 1."""
    assert said(
        changed(rows_of(name), lambda v: round(v, 4), "loss", "val_loss"), tmp_path
    ) == original(name)


# Smoothing


def running(rows: Rows, width: int) -> list[Row]:
    """At every point the mean loss of the last so many."""
    losses = np.array([row["loss"] for row in rows])
    return [
        row | {"loss": float(losses[max(0, i + 1 - width) : i + 1].mean())}
        for i, row in enumerate(rows)
    ]


def averaged(rows: Rows, width: int) -> list[Row]:
    """At every so-many-th point the mean loss since the one before; evaluations stay at their
    steps."""
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
    "a jump that is averaged is no jump of two points": {"wild-step-regression": [*SMOOTHED]},
    "a norm and a loss of means rise together": {
        "growing-weights-regression": [RUNNING[1], MEANS[1]]
    },
    "an average over the jumps of an exploding loss ends no higher than its noise": {
        "growing-weights-regression": MEANS[:1],
    },
    "the fall at the start is over within the first means": {"peak-too-high": MEANS},
}
WHY = {
    (name, one): why
    for why, cases in LOST.items()
    for name, several in cases.items()
    for one in several
}


def smoothed(names: Sequence[str]) -> list:
    """(case, smoothing); those of which something else is said as yet are expected to fail."""
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
def test_a_smoothed_loss_without_fault_is_no_alarm(name, smoothing, tmp_path):
    """As trainers log it."""
    assert said(SMOOTHED[smoothing](rows_of(name)), tmp_path)[1:] == ("", False)


@pytest.mark.parametrize(("name", "smoothing"), smoothed(SOUND))
def test_smoothing_gives_no_verdict_where_there_was_none(name, smoothing, original, tmp_path):
    """Fewer points may allow less."""
    assert said(SMOOTHED[smoothing](rows_of(name)), tmp_path)[0] in (
        original(name)[0],
        "undetermined",
    )


@pytest.mark.parametrize(("name", "smoothing"), smoothed(SICK))
def test_a_fault_is_named_in_a_smoothed_loss(name, smoothing, original, tmp_path):
    """As in the loss of each step."""
    assert said(SMOOTHED[smoothing](rows_of(name)), tmp_path) == original(name)


# Length


@cache
def long(name: str) -> list[Row]:
    """Trainings of 20,000 steps."""
    if name == "sound":
        return classes(
            cosine(0.01, steps=20_000, warmup=60),
            seed=3,
            optimizer=Adam,
            steps=20_000,
            eval_every=500,
        )
    return classes(
        lambda step: 5.0 if step == 15_000 else 0.05, seed=6, steps=20_000, eval_every=500
    )


@pytest.mark.parametrize("points", [20, 50, 200, 1000, 5000, 15_000, 20_000])
@pytest.mark.parametrize("name", ["sound", "wild step"])
def test_no_length_of_a_log_without_fault_is_an_alarm(name, points, tmp_path):
    """Nor is the one before its wild step."""
    if (name, points) != ("wild step", 20_000):
        assert not said(long(name)[:points], tmp_path)[2]


def test_a_spike_late_in_a_long_log_is_named(tmp_path):
    """After 15,000 points without one."""
    assert said(long("wild step"), tmp_path)[1] == "loss-spike"


@pytest.mark.parametrize("every", [10, 50, 500])
def test_no_cadence_of_a_long_log_without_fault_is_an_alarm(every, tmp_path):
    """Down to forty points; with noise as well."""
    rows = thinned(long("sound"), every)
    assert (said(rows, tmp_path)[2], said(noisy(rows), tmp_path)[2]) == (False, False)


def continued(name: str, length: int) -> list[Row]:
    """The log of a case, made longer by drawing rows of its last quarter again: no training, but
    the noise of one."""
    rows = rows_of(name)
    late, last = rows[len(rows) * 3 // 4 :], int(rows[-1]["step"])
    drawn = np.random.default_rng(0).integers(0, len(late), length - len(rows))
    return [*rows, *(late[j] | {"step": last + i} for i, j in enumerate(drawn.tolist(), start=1))]


@pytest.mark.parametrize(
    "name", ["regression", "cosine", "overfit-regression", "wild-step-regression", "killed-units"]
)
def test_twenty_thousand_points_say_what_a_thousand_say(name, original, tmp_path):
    """Of a run that goes on as it ended."""
    assert said(continued(name, 20_000), tmp_path) == original(name)


def test_a_hundred_thousand_points_are_no_alarm(tmp_path):
    """Noise has its heaviest tail in the longest log."""
    assert said(continued("regression-constant", 100_000), tmp_path) == ("healthy", "", False)
