"""A rate that is 0 in somebody's log: throughout, long before the end, or only as it is written
down."""

from math import cos, exp, pi

import numpy as np
import pytest

from probes.diagnosis.detectors.schedule import DETECTOR, OF_LOG
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.evidence import Evidence
from probes.record import Record
from tests.judging import found, symptoms, why_not
from tests.records import FACTS, STEPS, changed, hand_made, sound


def noise(points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(points)


def flat(points: int, seed: int = 0) -> list[float]:
    return list(2 + 0.1 * noise(points, seed))


def falling(points: int) -> list[float]:
    return list(2 + 2 * np.exp(-np.arange(points) / 100) + 0.1 * noise(points))


def cosine(points: int, zeros: int, peak: float = 3e-4) -> list[float]:
    """To 0 in `points` points, where it stays."""
    return [0.5 * peak * (1 + cos(pi * i / points)) for i in range(points)] + [0.0] * zeros


def log(
    lr: list[float], loss: list[float] | None = None, every: int = 1, **facts: int | str
) -> Record:
    return hand_made(
        {"lr": lr, "loss": loss or flat(len(lr))}, steps=range(0, every * len(lr), every), **facts
    )


# A rate that never moves, or is 0, in a run that declares its schedule


def test_it_fires_when_the_rate_never_moves() -> None:
    """At the twentieth point, the first at which it could be known."""
    assert symptoms(DETECTOR, changed(lr=[0.01] * STEPS)) == [("lr-constant", "", 19)]


def test_it_fires_at_a_tenth_of_a_long_run() -> None:
    """A slow schedule is given time."""
    record = hand_made({"lr": [0.01] * 60}, **{**FACTS, "total_steps": 500})
    assert symptoms(DETECTOR, record) == [("lr-constant", "", 49)]


def test_it_counts_steps_and_not_points_of_a_sparse_log() -> None:
    """Logged every 50 steps of 10,000, a tenth is reached at the twentieth point."""
    record = hand_made(
        {"lr": [0.01] * 40}, steps=range(0, 2000, 50), **{**FACTS, "total_steps": 10_000}
    )
    assert symptoms(DETECTOR, record) == [("lr-constant", "", 1000)]


def test_it_fires_on_a_rate_of_zero() -> None:
    """Whatever schedule is declared, a constant one included."""
    runs = [{"schedule": "warmup-cosine"}, {"schedule": "constant"}]
    fired = [symptoms(DETECTOR, hand_made({"lr": [0.0] * STEPS}, **facts)) for facts in runs]
    assert fired == [[("lr-zero", "", 19)]] * 2


@pytest.mark.parametrize(
    "lr",
    [sound()["lr"], [0.01] * 19 + [0.02] * 21, [0.0, 0.001, *[0.01] * 38]],
    ids=["cosine", "moves at the last moment", "begins at zero"],
)
def test_it_stays_quiet_when_the_rate_moves(lr: list[float]) -> None:
    """Once is enough, and a first rate of zero is a warmup."""
    assert found(DETECTOR, changed(lr=lr)) == []


def test_it_stays_quiet_on_a_constant_rate_that_is_declared() -> None:
    """A constant rate is legitimate."""
    record = hand_made({"lr": [0.01] * STEPS}, **{**FACTS, "schedule": "constant"})
    assert found(DETECTOR, record) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(lr=None), "lr was not recorded"),
        (
            changed(lr=[0.01] * 19 + [None] * 21),
            "19 points of lr over 19 steps; 20 and a tenth of the 40 declared are needed",
        ),
        (hand_made({"lr": [0.01] * STEPS}), "the record does not state schedule"),
        (
            hand_made({"lr": [0.01] * STEPS}, total_steps="many"),
            "states total_steps as 'many', which is not a finite number",
        ),
        (
            hand_made({"lr": [0.01] * 40}, schedule="cosine", total_steps=500),
            "40 points of lr over 40 steps; 20 and a tenth of the 500",
        ),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """Too short, undeclared, or not logged."""
    assert reason in why_not(DETECTOR, record)


# 0 throughout


@pytest.mark.parametrize(
    "record",
    [
        log([0.0] * 1200),
        log([0.0] * 20),
        log([0.0] * 30, every=500),
        log([0.0] * 60, total_steps=100),
    ],
    ids=["long", "twenty points", "sparse", "half of what is declared"],
)
def test_a_log_whose_rates_are_all_zero_is_called_so_at_its_end(record: Record) -> None:
    """And not before: until then it may be a warmup, rounded."""
    assert symptoms(OF_LOG, record) == [("lr-zero", "", int(record.steps[-1]))]
    assert found(DETECTOR, record) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_that_falls_says_that_the_log_rounds_its_rates(seed: int) -> None:
    """5e-5 is 0.0 to four digits, and is no reason to worry."""
    losses = list(2 - 0.4 * np.arange(1200) / 1200 + 0.1 * noise(1200, seed))
    assert symptoms(OF_LOG, log([0.0] * 1200, losses)) == []


@pytest.mark.parametrize("zeros", [19, 100, 599])
def test_a_first_rate_of_zero_is_a_warmup(zeros: int) -> None:
    """Rounded, it lasts, and moves the loss only when it is nearly over."""
    record = log([0.0] * zeros + [1e-4] * 10)
    assert diagnose(record).shows("lr-zero") is False


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            log([0.0] * 40, total_steps=100),
            "every lr is 0 so far, or rounded to it: 40 points of lr over 40 steps; 20 and",
        ),
        (log([0.0] * 19), "19 points of lr over 19 steps; 20 are needed"),
        (hand_made({"lr": [0.0] * 600}), "loss was not recorded"),
        (
            hand_made({"lr": [0.0] * 60, "loss": [2.0] * 19 + [None] * 41}),
            "19 points of loss; 20 are needed",
        ),
    ],
)
def test_zeros_that_may_be_rounded_are_not_judged(record: Record, reason: str) -> None:
    """In a log that was cut in its warmup, or of whose loss nothing is known."""
    assert reason in why_not(OF_LOG, record)


def test_a_record_that_declares_its_schedule_rounds_nothing() -> None:
    """So its rates are judged along the way, whatever its loss does."""
    record = log([0.0] * 60, schedule="constant")
    assert (symptoms(DETECTOR, record), symptoms(OF_LOG, record)) == ([("lr-zero", "", 19)], [])


# 0 before the end


@pytest.mark.parametrize(
    ("record", "step", "onset"),
    [
        (log(cosine(300, 900)), 334, 300),
        (log(cosine(80, 20), every=50), 4450, 4000),
        (log(cosine(20, 8), every=500), 12000, 10000),
        (log([0.0, *cosine(100, 100)]), 113, 101),
        (log([0.05] * 50 + [0.0] * 50), 56, 50),
        (log([1e-5 * (100 - i) for i in range(100)] + [0.0] * 50), 112, 100),
    ],
    ids=["long", "sparse", "few points", "after a warmup", "from a constant", "linear"],
)
def test_a_schedule_that_ended_early_is_found_a_tenth_later(
    record: Record, step: int, onset: int
) -> None:
    """And where it came to 0 is said."""
    first = found(DETECTOR, record)[0]
    assert (first.symptom, first.step, first.onset) == ("lr-zero-early", step, onset)


def test_nothing_is_found_before_the_twentieth_point() -> None:
    """Though half of nineteen are 0; then they are as many as count."""
    record = log(cosine(10, 20))
    assert [f.step for f in found(DETECTOR, record)] == [19]
    assert "19 points of lr" in why_not(DETECTOR, record.prefix(18))


def test_it_is_found_again_the_longer_it_lasts() -> None:
    """So that its strength tells a tenth of the log from most of it."""
    assert [round(f.observed, 2) for f in found(DETECTOR, log(cosine(300, 900)))] == [0.10, 0.32]


@pytest.mark.parametrize(
    "lr",
    [
        cosine(300, 1),
        cosine(300, 30),
        cosine(30, 4),
        cosine(300, 0)[:200],
        cosine(30, 1) * 5,
        [*cosine(100, 0), *[1e-6] * 100],
        [0.0] * 60 + [1e-4] * 60,
        [round(rate, 5) for rate in cosine(300, 0)] + [0.0] * 100,
        [round(rate, 4) for rate in cosine(300, 0, 3e-3)] + [0.0] * 100,
        [float(np.float32(round(rate, 6))) for rate in cosine(300, 0)] + [0.0] * 100,
        [round(1e-3 / 10 ** (i // 30), 6) for i in range(300)],
        [round(1e-3 * exp(-i / 40), 6) for i in range(600)],
    ],
    ids=[
        "one row", "a tenth", "four points", "checkpoint", "restarts", "held small", "warmup", "5 decimals",
        "4 decimals", "6 decimals in float32", "divided by ten", "exponential",
    ],
)  # fmt: skip
def test_what_is_no_early_end(lr: list[float]) -> None:
    """A last row, a restart, a rate that is small and one that is written so."""
    assert not diagnose(log(lr)).shows("lr-zero-early")


def test_a_loss_that_goes_on_falling_is_moved_by_a_rate_that_is_not_logged() -> None:
    """Of another group of parameters, if it falls by more than its noise meanwhile."""
    loss = list(9 - np.arange(400) / 50 + 0.1 * noise(400))
    assert not diagnose(log(cosine(200, 200), loss)).shows("lr-zero-early")


def test_evaluations_after_the_end_are_no_training() -> None:
    """Many rows with a rate of 0 within a few steps."""
    record = hand_made(
        {"lr": cosine(100, 30), "loss": flat(130)}, steps=[*range(0, 1000, 10), *range(1000, 1030)]
    )
    assert not diagnose(record).shows("lr-zero-early")


def test_the_cause_says_where_the_schedule_came_to_zero() -> None:
    """In its remedy; the verdict is unhealthy."""
    diagnosis = diagnose(log(cosine(300, 900), falling(1200)))
    assert (diagnosis.cause, "come to 0 by step 300" in diagnosis.remedy) == (
        "schedule-ended-early",
        True,
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("schedule", [None, "constant", "cosine"])
def test_what_is_found_is_that_of_the_prefixes(seed: int, schedule: str | None) -> None:
    """Runs of 0, of a constant rate and of a moving one in any order."""
    rng = np.random.default_rng(seed)
    pieces = [[0.0] * 25, [1e-3] * 25, list(np.linspace(1e-3, 1e-5, 25)), [0.0] * 7]
    lr = [rate for i in rng.integers(0, 4, 4) for rate in pieces[i]]
    facts = {"total_steps": 60} | ({"schedule": schedule} if schedule else {})
    whole = hand_made({"lr": lr, "loss": flat(len(lr), seed)}, **facts)
    judged = {step: _judged(whole.prefix(step)) for step in whole.steps.tolist()}
    last = judged[len(lr) - 1]
    assert [judged[step] for step in judged] == [
        [f for f in last if f.step <= step] for step in judged
    ]


def _judged(record: Record) -> list:
    from probes.diagnosis.evidence import CannotJudgeError

    try:
        return list(DETECTOR.judge(Evidence(record)))
    except CannotJudgeError:
        return []
