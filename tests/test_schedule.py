"""A learning rate that is 0 or never moves is found, unless the log has only rounded it to 0."""

from math import cos, exp, pi

import numpy as np
import pytest

from probes.diagnosis.detectors.schedule import DETECTOR, DETECTOR_WITHOUT_SCHEDULE
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.evidence import Evidence
from probes.record import Record
from tests.judging import found, symptoms, why_not
from tests.records import FACTS, STEPS, changed, hand_made, sound


def noise(points: int, seed: int = 0) -> np.ndarray:
    """Independent Gaussian noise of deviation 1."""
    return np.random.default_rng(seed).standard_normal(points)


def flat(points: int, seed: int = 0) -> list[float]:
    """A noisy loss that does not fall."""
    return list(2 + 0.1 * noise(points, seed))


def falling(points: int) -> list[float]:
    """A noisy loss that falls."""
    return list(2 + 2 * np.exp(-np.arange(points) / 100) + 0.1 * noise(points))


def cosine(points: int, zeros: int, peak: float = 3e-4) -> list[float]:
    """A learning rate that falls to 0 in `points` points, followed by zeros."""
    return [0.5 * peak * (1 + cos(pi * i / points)) for i in range(points)] + [0.0] * zeros


def logged(
    lr: list[float], loss: list[float] | None = None, every: int = 1, **facts: int | str
) -> Record:
    """A record of a learning rate and a loss, with one row every few steps."""
    return hand_made(
        {"lr": lr, "loss": loss or flat(len(lr))}, steps=range(0, every * len(lr), every), **facts
    )


# A rate that never moves, or is 0, in a run that declares its schedule


def test_it_fires_when_the_rate_never_moves() -> None:
    """The detector fires at the twentieth point, the first at which it can tell that a rate is
    constant."""
    assert symptoms(DETECTOR, changed(lr=[0.01] * STEPS)) == [("lr-constant", "", 19)]


def test_it_fires_at_a_tenth_of_a_long_run() -> None:
    """A slow schedule may hold its first value for a while."""
    record = hand_made({"lr": [0.01] * 60}, **{**FACTS, "total_steps": 500})
    assert symptoms(DETECTOR, record) == [("lr-constant", "", 49)]


def test_it_counts_steps_and_not_points_of_a_sparse_log() -> None:
    """In a log of every 50th of 10,000 steps, the twentieth point is at a tenth of the run."""
    record = hand_made(
        {"lr": [0.01] * 40}, steps=range(0, 2000, 50), **{**FACTS, "total_steps": 10_000}
    )
    assert symptoms(DETECTOR, record) == [("lr-constant", "", 1000)]


def test_it_fires_on_a_rate_of_zero() -> None:
    """The detector fires for any declared schedule, including a constant one."""
    runs = [{"schedule": "warmup-cosine"}, {"schedule": "constant"}]
    fired = [symptoms(DETECTOR, hand_made({"lr": [0.0] * STEPS}, **facts)) for facts in runs]
    assert fired == [[("lr-zero", "", 19)]] * 2


@pytest.mark.parametrize(
    "lr",
    [sound()["lr"], [0.01] * 19 + [0.02] * 21, [0.0, 0.001, *[0.01] * 38]],
    ids=["cosine", "moves at the last moment", "begins at zero"],
)
def test_it_stays_quiet_when_the_rate_moves(lr: list[float]) -> None:
    """One change of the rate is enough, and a first rate of 0 is a warmup."""
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
    """The log is too short, or the schedule or the rate is missing."""
    assert reason in why_not(DETECTOR, record)


# 0 throughout


@pytest.mark.parametrize(
    "record",
    [
        logged([0.0] * 1200),
        logged([0.0] * 20),
        logged([0.0] * 30, every=500),
        logged([0.0] * 60, total_steps=100),
    ],
    ids=["long", "twenty points", "sparse", "half of what is declared"],
)
def test_a_log_whose_rates_are_all_0_is_judged_at_its_end(record: Record) -> None:
    """Before its end, such a log may be in a warmup whose rates were rounded to 0."""
    assert symptoms(DETECTOR_WITHOUT_SCHEDULE, record) == [("lr-zero", "", int(record.steps[-1]))]
    assert found(DETECTOR, record) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_loss_shows_that_the_rates_were_rounded(seed: int) -> None:
    """A rate of 5e-5 is 0.0 in four decimals."""
    losses = list(2 - 0.4 * np.arange(1200) / 1200 + 0.1 * noise(1200, seed))
    assert symptoms(DETECTOR_WITHOUT_SCHEDULE, logged([0.0] * 1200, losses)) == []


@pytest.mark.parametrize("zeros", [19, 100, 599])
def test_a_rate_of_0_at_first_is_a_warmup(zeros: int) -> None:
    """A rounded warmup may take long, and moves the loss only near its end."""
    record = logged([0.0] * zeros + [1e-4] * 10)
    assert diagnose(record).shows("lr-zero") is False


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            logged([0.0] * 40, total_steps=100),
            "every lr so far is 0, or was rounded to 0: 40 points of lr over 40 steps; 20 and",
        ),
        (logged([0.0] * 19), "19 points of lr over 19 steps; 20 are needed"),
        (hand_made({"lr": [0.0] * 600}), "loss was not recorded"),
        (
            hand_made({"lr": [0.0] * 60, "loss": [2.0] * 19 + [None] * 41}),
            "19 points of loss; 20 are needed",
        ),
    ],
)
def test_zeros_that_may_be_rounded_are_not_judged(record: Record, reason: str) -> None:
    """The log was cut in its warmup, or too little of the loss is known."""
    assert reason in why_not(DETECTOR_WITHOUT_SCHEDULE, record)


def test_rates_of_a_declared_schedule_are_not_rounded() -> None:
    """They are judged during the run, whatever the loss does."""
    record = logged([0.0] * 60, schedule="constant")
    assert (symptoms(DETECTOR, record), symptoms(DETECTOR_WITHOUT_SCHEDULE, record)) == (
        [("lr-zero", "", 19)],
        [],
    )


# 0 before the end


@pytest.mark.parametrize(
    ("record", "step", "onset"),
    [
        (logged(cosine(300, 900)), 334, 300),
        (logged(cosine(80, 20), every=50), 4450, 4000),
        (logged(cosine(20, 8), every=500), 12000, 10000),
        (logged([0.0, *cosine(100, 100)]), 113, 101),
        (logged([0.05] * 50 + [0.0] * 50), 56, 50),
        (logged([1e-5 * (100 - i) for i in range(100)] + [0.0] * 50), 112, 100),
    ],
    ids=["long", "sparse", "few points", "after a warmup", "from a constant", "linear"],
)
def test_a_rate_that_came_to_0_early_is_found_a_tenth_of_the_log_later(
    record: Record, step: int, onset: int
) -> None:
    """The onset is the step at which the rate came to 0."""
    first = found(DETECTOR, record)[0]
    assert (first.symptom, first.step, first.onset) == ("lr-zero-early", step, onset)


def test_nothing_is_found_before_the_twentieth_point() -> None:
    """Half of the first nineteen points are 0; at the twentieth there are enough."""
    record = logged(cosine(10, 20))
    assert [f.step for f in found(DETECTOR, record)] == [19]
    assert "19 points of lr" in why_not(DETECTOR, record.prefix(18))


def test_a_rate_of_0_is_reported_again_as_it_lasts() -> None:
    """The strength then shows whether the rate was 0 for a tenth of the log or for most of it."""
    assert [round(f.observed, 2) for f in found(DETECTOR, logged(cosine(300, 900)))] == [0.10, 0.32]


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
        "one row", "a tenth", "four points", "checkpoint", "restarts", "held small", "warmup",
        "5 decimals", "4 decimals", "6 decimals in float32", "divided by ten", "exponential",
    ],
)  # fmt: skip
def test_it_stays_quiet_on_a_schedule_that_does_not_end_early(lr: list[float]) -> None:
    """The cases are a last row of 0, a restart, a small rate and a rounded rate."""
    assert not diagnose(logged(lr)).shows("lr-zero-early")


def test_it_stays_quiet_on_a_rate_of_0_beside_a_falling_loss() -> None:
    """Another group of parameters is trained at a rate that is not logged."""
    loss = list(9 - np.arange(400) / 50 + 0.1 * noise(400))
    assert not diagnose(logged(cosine(200, 200), loss)).shows("lr-zero-early")


def test_it_stays_quiet_on_evaluations_after_the_end() -> None:
    """The log ends with many rows that have a rate of 0 within a few steps."""
    record = hand_made(
        {"lr": cosine(100, 30), "loss": flat(130)}, steps=[*range(0, 1000, 10), *range(1000, 1030)]
    )
    assert not diagnose(record).shows("lr-zero-early")


def test_the_remedy_names_the_step_at_which_the_rate_came_to_0() -> None:
    """The cause is a schedule that ended early."""
    diagnosis = diagnose(logged(cosine(300, 900), falling(1200)))
    assert (diagnosis.cause, "is 0 by step 300" in diagnosis.remedy) == (
        "schedule-ended-early",
        True,
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("schedule", [None, "constant", "cosine"])
def test_findings_are_never_withdrawn(seed: int, schedule: str | None) -> None:
    """The rates are zeros, constant or moving, in any order."""
    rng = np.random.default_rng(seed)
    pieces = [[0.0] * 25, [1e-3] * 25, list(np.linspace(1e-3, 1e-5, 25)), [0.0] * 7]
    lr = [rate for i in rng.integers(0, 4, 4) for rate in pieces[i]]
    facts = {"total_steps": 60} | ({"schedule": schedule} if schedule else {})
    whole = hand_made({"lr": lr, "loss": flat(len(lr), seed)}, **facts)
    judged = {step: found_or_none(whole.prefix(step)) for step in whole.steps.tolist()}
    last = judged[len(lr) - 1]
    assert [judged[step] for step in judged] == [
        [f for f in last if f.step <= step] for step in judged
    ]


def found_or_none(record: Record) -> list:
    """The findings of the detector; none when it cannot judge."""
    from probes.diagnosis.evidence import CannotJudgeError

    try:
        return list(DETECTOR.judge(Evidence(record)))
    except CannotJudgeError:
        return []
