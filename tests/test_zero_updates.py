"""Updates that are exactly 0 in every matrix are found. A run whose weights stand still for a
harmless reason is not."""

from collections.abc import Sequence

import numpy as np
import pytest

from probes.diagnosis.detectors.zero_updates import DETECTOR, MIN_ROWS
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.judging import found, why_not
from tests.records import hand_made

ROWS = 60
RNG = np.random.default_rng(0)
NOISE = 0.02 * RNG.standard_normal(ROWS)
AT_REST = 2.5 + NOISE
FALLS = np.geomspace(4, 1, ROWS) + NOISE
FALLS_AND_RESTS = np.r_[np.geomspace(4, 2, 30), np.full(30, 2.0)] + NOISE
MOVES = np.full(ROWS, 1e-3)
STOPS = np.r_[MOVES[:30], np.zeros(30)]
NEVER = np.zeros(ROWS)
RATE = np.full(ROWS, 0.1)


def run(
    loss: np.ndarray,
    *updates: np.ndarray,
    lr: np.ndarray | None = RATE,
    grad_norm: np.ndarray | None = None,
) -> Record:
    """A record of a loss and of the update/weight ratio of one or more matrices."""
    signals: dict[str, Sequence[float] | dict[str, Sequence[float]]] = {
        "loss": loss.tolist(),
        "update_weight_ratio": {f"w{i}": ratio.tolist() for i, ratio in enumerate(updates)},
    }
    if lr is not None:
        signals["lr"] = lr.tolist()
    if grad_norm is not None:
        signals["grad_norm"] = grad_norm.tolist()
    return hand_made(signals)


def test_it_fires_on_a_run_without_any_update() -> None:
    """All updates are exactly 0 although the learning rate is not, so nothing trains."""
    record = run(AT_REST, NEVER, NEVER)
    (finding,) = found(DETECTOR, record)
    assert (finding.symptom, finding.step, finding.onset) == ("update-zero", ROWS - 1, 0)
    assert (finding.site, finding.observed) == ("", 0.0)
    assert diagnose(record).title == "no-updates"


def test_without_a_rate_the_rate_may_be_0() -> None:
    """The log cannot tell the two causes apart."""
    assert diagnose(run(AT_REST, NEVER, lr=None)).title == "no-updates or lr-zero"


def test_it_explains_a_loss_that_is_equal_at_all_points() -> None:
    """The frozen loss needs no cause of its own."""
    diagnosis = diagnose(run(np.full(ROWS, 2.345678), NEVER))
    assert diagnosis.cause == "no-updates"
    assert {f.symptom for f in diagnosis.findings} == {"update-zero", "loss-frozen"}
    assert diagnosis.margin is None


def test_it_fires_where_updates_are_lost_while_the_gradient_remains() -> None:
    """In bfloat16 the updates of a lower rate may be too small to change a weight."""
    (finding,) = found(DETECTOR, run(FALLS_AND_RESTS, STOPS, grad_norm=np.full(ROWS, 0.7)))
    assert finding.onset == 30


def test_it_stays_quiet_on_a_run_that_has_converged() -> None:
    """The gradient is small as well, so the updates round to 0."""
    norms = np.r_[np.geomspace(1, 1e-4, 30), np.full(30, 1e-7)]
    diagnosis = diagnose(run(FALLS_AND_RESTS, STOPS, grad_norm=norms))
    assert diagnosis.verdict == "healthy"


def test_without_gradient_norms_such_an_end_cannot_be_judged() -> None:
    """The run has converged, or its updates are lost."""
    diagnosis = diagnose(run(FALLS_AND_RESTS, STOPS))
    assert (diagnosis.verdict, diagnosis.doubt) == (
        "undetermined",
        "no update changes the weights at the end",
    )
    assert "from step 30 on" in diagnosis.reason


@pytest.mark.parametrize(
    "record",
    [
        run(FALLS, MOVES, NEVER),
        run(AT_REST, MOVES, NEVER),
        run(FALLS, NEVER),
        run(FALLS, np.r_[0.0, MOVES[1:]], lr=np.r_[0.0, RATE[1:]]),
        run(FALLS, np.r_[MOVES[1:], 0.0], lr=np.r_[RATE[1:], 0.0]),
        run(AT_REST, np.r_[MOVES[:25], np.zeros(35)], lr=np.r_[RATE[:25], np.full(35, 0.01)]),
        run(AT_REST, np.where(np.arange(ROWS) % 25 == 0, 1e-3, 0.0)),
        run(AT_REST, np.r_[np.zeros(17), MOVES[17:]]),
        run(AT_REST, np.r_[MOVES[MIN_ROWS - 1 :], np.zeros(MIN_ROWS - 1)]),
        run(np.r_[AT_REST[:30], np.zeros(30)], STOPS),
    ],
    ids=[
        "a frozen layer beside one that moves",
        "the same, at rest",
        "others move that were not recorded",
        "first step of a warmup at rate 0",
        "last step of a schedule at rate 0",
        "a rate far below its peak",
        "accumulated gradients",
        "skipped steps at the start",
        "few rows",
        "nothing left to learn",
    ],
)
def test_it_stays_quiet_where_weights_stand_still_for_a_harmless_reason(record: Record) -> None:
    """A frozen layer, a rate near 0, accumulation, and a loss of 0 are no fault."""
    assert found(DETECTOR, record) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (hand_made({"loss": AT_REST.tolist()}), "update_weight_ratio was not recorded"),
        (
            run(AT_REST, NEVER, lr=np.zeros(ROWS)),
            "0 rows of update_weight_ratio at a learning rate above a tenth of its peak; 20 are "
            "needed",
        ),
        (
            hand_made(
                {
                    "loss": [2.5 if i % 3 == 0 else None for i in range(ROWS)],
                    "update_weight_ratio": {"w": STOPS.tolist()},
                }
            ),
            "no update since step 30, and 10 points of loss since then; 20 are needed to see "
            "whether it falls",
        ),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """The reason names the missing signal, or how many rows it needs."""
    assert why_not(DETECTOR, record) == reason
