"""A run is called healthy only if its log shows that it learned and ended near its best."""

from typing import Any

import numpy as np
import pytest

from probes.diagnosis.diagnose import diagnose
from tests.records import hand_made

FALLS = np.geomspace(4, 1, 60)


def verdict(**signals: Any) -> tuple[str, str]:
    """Verdict, and the doubt."""
    rows = {
        name: v if isinstance(v, dict) else np.asarray(v).tolist() for name, v in signals.items()
    }
    diagnosis = diagnose(hand_made(rows))
    return diagnosis.verdict, diagnosis.doubt


@pytest.mark.parametrize(
    "signals",
    [
        {"loss": FALLS},
        {"val_loss": FALLS},
        {"loss": [2.3, 1.9, 1.5, 1.1, 0.8, 0.6, 0.5, 0.4, 0.35, 0.3]},
        {"loss": [3.0, 2.5, 2.2, 2.1, 2.0]},
        {"loss": [3.0, 2.5, 2.2, 2.1]},
        {"loss": [3.0, 2.5, 2.2], "val_loss": [2.9, 2.6, 2.4]},
        {"loss": [3.0, 1.3, 1.0]},
        {"loss": [3.0, 1.0, 1.02, 0.99, 1.01, 0.98, 1.0]},
    ],
    ids=[
        "falls",
        "validation alone",
        "ten points",
        "five points",
        "four points, 10 % and more",
        "three points of both",
        "three points that halve",
        "all at once",
    ],
)
def test_a_loss_that_fell_and_ended_near_its_best_is_healthy(signals: Any) -> None:
    """However short the log is, if chance does not explain the fall."""
    assert verdict(**signals) == ("healthy", "")


@pytest.mark.parametrize(
    ("signals", "doubt"),
    [
        ({"lr": [0.1] * 30}, "no loss was recorded"),
        ({"loss": [3.0, 2.5, 2.2]}, "too few points of loss"),
        ({"loss": [3.0, 2.9, 2.85, 2.82]}, "too few points of loss"),
        ({"loss": np.tile([1.0, 1.1], 20)}, "the loss never fell"),
        ({"loss": np.tile([1.0, 1.1], 20), "grad_norm": np.zeros(40)}, "grad_norm is always 0"),
        ({"loss": np.linspace(1, 0.97, 60)}, "loss hardly fell"),
        ({"loss": np.r_[FALLS, np.full(40, 1.4)]}, "loss ends above its lowest"),
        (
            {"loss": FALLS, "val_loss": np.r_[FALLS[:40], np.full(20, 1.18 * FALLS[39])]},
            "val_loss ends above its lowest",
        ),
        ({"loss": np.linspace(0.71, 0.67, 60)}, "loss is hardly below ln 2"),
        (
            {
                "loss": [3.0, 1.0, 1.01, 0.99, 1.0, 1.0, 0.99],
                "val_loss": [1.1, 1.2, 1.15, 1.2, 1.13, 1.15, 1.2],
            },
            "val_loss has not fallen",
        ),
        ({"loss": np.geomspace(4, 3, 60), "val_loss": np.full(60, 0.2)}, "val_loss has not fallen"),
        (
            {"loss": FALLS[::8], "val_loss": [3.0, 2.5, 2.4, 2.3, 2.32, 2.36, 2.4, 2.46]},
            "val_loss ends above its lowest",
        ),
        ({"loss": FALLS, "metric": {"val_f1": [0.0] * 60}}, "val_f1 is always 0"),
        ({"loss": [1.62, 1.62, 1.621, 1.62, 1.62, 1.62]}, "nothing moved"),
        (
            {"loss": FALLS, "val_loss": np.linspace(3.9, 3.95, 60)},
            "val_loss has not fallen",
        ),
    ],
    ids=[
        "no loss",
        "three points",
        "four points, 6 %",
        "level",
        "level, without a gradient",
        "3 %",
        "40 % above",
        "validation 15 % above",
        "near ln 2",
        "all before the first evaluation",
        "validation that does not move",
        "four rises to 7 %",
        "F1 of 0",
        "constant",
        "not carried over",
    ],
)
def test_a_log_that_does_not_show_it_is_undetermined(signals: Any, doubt: str) -> None:
    """The reason of the verdict says what is missing or worrying."""
    assert verdict(**signals) == ("undetermined", doubt)


TIME = np.linspace(0, 1, 60)
NOISE = np.random.default_rng(0).normal(0, 0.05, 60)


@pytest.mark.parametrize(
    ("loss", "doubt"),
    [
        (2 - 6 * (1 - np.exp(-8 * TIME)) + NOISE, ""),
        (2 - 6 * (1 - np.exp(-8 * TIME)) + 2 * (TIME > 0.6) + NOISE, "loss ends above its lowest"),
        (-1000 * np.exp(8 * TIME), "loss falls below 0 without end"),
    ],
    ids=["levels off", "comes back up", "without end"],
)
def test_a_loss_below_0_is_compared_with_what_was_learned(loss: Any, doubt: str) -> None:
    """It has no ratio scale. A density estimate levels off below 0."""
    assert verdict(loss=loss)[1] == doubt


@pytest.mark.parametrize(
    "val",
    [
        [2.0, 1.4, 1.1, 1.0, 1.02, 1.05, 1.08, 1.08, 1.09, 1.08],
        [2.0, 1.2, 1.0, 1.3, 1.0, 1.3, 1.0, 1.3, 1.0, 1.3, 1.0, 1.3],
        [2.0, 1.0, 1.6, 1.0, 1.6, 1.02, 1.6, 1.02, 1.6, 1.02, 1.6, 1.6],
        [2.0, 1.4, 0.9, 1.4, 1.2, 1.1, 1.05, 1.03, 1.02, 0.95],
        [1.0, 1.7],
    ],
    ids=["8 %", "waves", "waves that rise by less", "one dip", "two evaluations"],
)
def test_a_validation_loss_that_may_not_have_risen_raises_no_doubt(val: list[float]) -> None:
    """A few percent, waves of the same height, a single low evaluation, or too few evaluations."""
    signals = {"loss": np.geomspace(4, 1, 10 * len(val)), "val_loss": [None] * (10 * len(val))}
    signals["val_loss"][9::10] = val
    assert diagnose(hand_made({k: list(v) for k, v in signals.items()})).verdict == "healthy"


def test_a_validation_loss_that_rose_from_its_first_evaluation_raises_a_doubt() -> None:
    """The training loss fell, but by less than half since then."""
    signals = {"loss": np.geomspace(1.5, 1, 60).tolist(), "val_loss": [None] * 60}
    for rise, doubt in ((0.05, "val_loss rose from its first evaluation on"), (0.0, "")):
        signals["val_loss"][::2] = (1.4 + rise * TIME + 0.01 * NOISE)[::2].tolist()
        assert diagnose(hand_made(signals)).doubt == doubt


def test_noise_does_not_excuse_a_validation_loss_at_many_times_its_best() -> None:
    """It swings too widely for an alarm, but it does not end near its best."""
    val = [3.0, 0.4, 2.6, 0.1, 2.2, 0.5, 2.4, 0.6, 2.0, 0.7, 2.3, 0.8]
    diagnosis = diagnose(hand_made({"loss": np.geomspace(4, 1, 12).tolist(), "val_loss": val}))
    assert (diagnosis.findings, diagnosis.doubt) == ((), "val_loss ends above its lowest")


def test_a_reason_names_its_numbers_and_the_summary_does_not() -> None:
    """Observed values differ between machines."""
    diagnosis = diagnose(hand_made({"loss": np.r_[FALLS, np.full(40, 1.4)].tolist()}))
    assert diagnosis.reason.startswith("cannot judge: loss ends ")
    assert diagnosis.summary()["reason"] == "cannot judge: loss ends above its lowest"


@pytest.mark.parametrize(
    ("val", "doubt"),
    [
        ([3.3, 0.9, 1.4, 1.9, 0.6, 2.3, 0.2, 1.5, 0.14, 2.8], "the last val_loss is far above"),
        ([3.3, 0.9, 1.4, 1.9, 0.6, 2.3, 0.2, 1.5, 0.14, 0.2], ""),
        ([3.3, 0.9, 0.5, 0.3, 0.2, 0.05, 0.04, 0.05, 0.02, 0.05], ""),
    ],
    ids=["twenty times the best", "near the best", "at twice of nearly nothing"],
)
def test_a_last_evaluation_far_above_the_best_one(val: list[float], doubt: str) -> None:
    """However noisy the evaluations are, the last one measures the model at the end."""
    verdict_, found = verdict(loss=np.geomspace(2.3, 0.3, 10), val_loss=val)
    assert verdict_ == ("undetermined" if doubt else "healthy")
    assert found.startswith(doubt)


@pytest.mark.parametrize(("end", "healthy"), [(1.3, False), (1.1, True)])
def test_a_model_worse_than_counting_at_its_end_is_not_healthy(end: float, healthy: bool) -> None:
    """Its validation loss is compared with that of the best n-gram."""
    falling = np.geomspace(4, end, 40).tolist()
    ladder = {"val": {"ngram": 1.2}}
    diagnosis = diagnose(hand_made({"loss": falling, "val_loss": falling}, ladder=ladder))
    assert diagnosis.verdict == ("healthy" if healthy else "undetermined")
    assert ("above the 1.2 of the best n-gram" in diagnosis.reason) is not healthy
