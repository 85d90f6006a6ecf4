"""A verdict is given where one is possible, and a diagnosis says what it rests on."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.records import FACTS, anything, changed, hand_made, sound, thorough

BAD_INIT = {"loss": [221.0, *sound()["loss"][1:]], "grad_norm": [500.0, *[1.0] * 39]}


def test_a_sound_run_is_healthy() -> None:
    """Enough loss, falling, and nothing found."""
    diagnosis = diagnose(changed())
    assert (diagnosis.verdict, diagnosis.cause, diagnosis.alarm) == ("healthy", None, False)


def test_a_healthy_diagnosis_says_who_judged_and_who_could_not() -> None:
    """Healthy is never more than what was looked at."""
    diagnosis = diagnose(hand_made({"loss": sound()["loss"]}))
    of_loss_alone = ("non-finite", "loss-zero", "at-ln-k", "loss-spike", "divergence")
    assert (diagnosis.verdict, diagnosis.judged, sorted(diagnosis.not_judged)) == (
        "healthy",
        of_loss_alone,
        sorted(detector.name for detector in DETECTORS if detector.name not in of_loss_alone),
    )


def test_a_loss_that_does_not_fall_is_not_healthy() -> None:
    """Nor is it sick: what had learned before its log began looks the same, so it is no alarm
    either."""
    diagnosis = diagnose(hand_made({"loss": [4.2] * 40}))
    expected = ("undetermined", "cannot judge: the loss never fell", False)
    assert (diagnosis.verdict, diagnosis.reason, diagnosis.alarm) == expected


@pytest.mark.parametrize(
    ("loss", "alarm"), [(sound()["loss"], True), ([4.2] * 40, True), ([4.2] * 19, False)]
)
def test_a_finding_that_none_explains_is_an_alarm_where_the_core_is_there(
    loss: list[float], alarm: bool
) -> None:
    """Whether the loss fell or not."""
    diagnosis = diagnose(
        hand_made({"loss": loss, "grad_norm": [30.0, *[1.0] * (len(loss) - 1)]}, vocab_size=64)
    )
    assert (diagnosis.verdict, diagnosis.cause, diagnosis.alarm) == ("undetermined", None, alarm)


def test_a_fall_is_not_undone_by_a_noisy_last_point() -> None:
    """However far it jumps: the medians of the first and the last quarter decide."""
    assert diagnose(hand_made({"train_loss": [*sound()["loss"][:-1], 1e3]})).verdict == "healthy"


@pytest.mark.parametrize(
    ("loss", "verdict"),
    [
        ([*[4.2] * 39, 0.01], "undetermined"),
        ([4.6, *[4.2] * 39], "healthy"),
        ([*[4.2] * 36, *[1.0] * 4], "undetermined"),
        ([*[4.2] * 34, *[1.0] * 6], "healthy"),
    ],
    ids=[
        "last point dips",
        "all is learned in one step",
        "less than half of a quarter",
        "more than half of a quarter",
    ],
)
def test_a_fall_takes_half_a_quarter_of_the_run(loss: list[float], verdict: str) -> None:
    """Ten of forty points at either end; fewer than half of them are noise."""
    assert diagnose(hand_made({"train_loss": loss})).verdict == verdict


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({"loss": [4.2, 4.1, 4.0, 3.9, 3.8, 3.7]}, "cannot judge: 6 points of loss; 20 are needed"),
        ({"train_loss": [4.2] * 3}, "cannot judge: 3 points of train_loss; 20 are needed"),
        (
            {"loss": [4.2] * 3, "train_loss": [4.2, None, 4.1]},
            "cannot judge: 3 points of loss; 20 are needed",
        ),
        ({"lr": [0.1, 0.2]}, "cannot judge: no loss was recorded"),
        ({}, "cannot judge: no loss was recorded"),
    ],
)
def test_a_record_without_its_core_cannot_be_judged(signals: Any, reason: str) -> None:
    """It is undetermined, says what is missing, and is no alarm."""
    diagnosis = diagnose(hand_made(signals))
    assert (diagnosis.verdict, diagnosis.reason, diagnosis.alarm) == ("undetermined", reason, False)


def test_either_loss_is_core_when_it_has_the_points() -> None:
    """A batch loss logged five times beside thirty evaluations hides nothing."""
    falling = [4.0 - i / 10 for i in range(30)]
    record = hand_made({"loss": [*falling[:5], *[None] * 25], "train_loss": falling})
    assert diagnose(record).verdict == "healthy"


def test_a_short_record_may_still_be_unhealthy() -> None:
    """A cause that is seen at step 0 needs no trend."""
    assert diagnose(changed(**BAD_INIT).prefix(0)).verdict == "unhealthy"


def test_a_finding_that_no_cause_explains_is_undetermined_and_an_alarm() -> None:
    """Something is wrong, and it is not known what: the reason names it, the headline shows the
    evidence."""
    diagnosis = diagnose(changed(loss=[1.0, *[0.9 - i / 100 for i in range(39)]]))
    assert (diagnosis.verdict, diagnosis.alarm, diagnosis.reason) == (
        "undetermined",
        True,
        "no cause explains initial-loss-low",
    )
    assert "initial-loss-low, step 0: 1, limit 3.659" in diagnosis.headline


def test_the_headline_of_a_finding_that_got_worse_says_since_when_and_how_bad() -> None:
    """The first step and the worst observation, each with its own step."""
    leak = thorough(train_loss=[*[1.0] * 30, 0.19, 0.1, 0.05, *[0.01] * 7])
    assert diagnose(leak).headline == (
        "mask-leak: loss-below-floor at train_loss since step 30, down to 0.01 at step 33, limit 0.2"
    )


# What it looks at, and what it says


@pytest.mark.parametrize(
    "provenance", [{}, {"name": "healthy", "config": {"model": {"init_scale": 1.0}}}]
)
@pytest.mark.parametrize(
    "signals", [BAD_INIT, {"lr": [0.0] * 40}, {}], ids=["bad-init", "lr-zero", "sound"]
)
def test_provenance_changes_nothing(signals: Any, provenance: dict[str, Any]) -> None:
    """Swapped for another run's or deleted: the same diagnosis, byte for byte."""
    record = replace(
        changed(**signals),
        provenance={"name": "bad-init", "config": {"model": {"init_scale": 100.0}}},
    )
    before, after = diagnose(record), diagnose(replace(record, provenance=provenance))
    assert (str(after), json.dumps(after.summary()), after) == (
        str(before),
        json.dumps(before.summary()),
        before,
    )


def test_the_text_of_a_diagnosis_holds_all_its_evidence() -> None:
    """It is what a failed assertion prints: symptom, site, first step, observed, limit, source,
    remedy."""
    text = str(diagnose(hand_made({"nonfinite_count": {"blocks.0": [0.0, 0.0, 7.0]}}, **FACTS)))
    assert (
        "finding: non-finite at blocks.0\n  first step 2, observed 7, limit 0, above is worse\n  limit from: one such"
        in text
    )
    assert "remedy: look at the named site" in text


def test_the_text_of_a_diagnosis_tells_a_finding_that_got_worse_once() -> None:
    """Where it was first seen, and the worst it became."""
    text = str(diagnose(thorough(train_loss=[*[1.0] * 30, 0.19, 0.1, 0.05, *[0.01] * 7])))
    assert text.count("finding: ") == 1
    assert "first step 30, observed 0.19 (0.01 at step 33), limit 0.19999, below is worse" in text


def test_the_text_of_a_diagnosis_says_what_was_not_judged_and_why() -> None:
    """Silence is not health. What one reason keeps from judging stands in one line."""
    said = str(diagnose(changed(lr=None)))
    assert "not judged: schedule, rate-of-log, rate-too-high: lr was not recorded" in said
    assert said.count("lr was not recorded") == 1


@pytest.mark.parametrize(("before", "shown"), [(None, True), (20, True), (19, False)])
def test_shows_looks_at_the_steps_before_the_one_given(before: int | None, shown: bool) -> None:
    """The finding is at step 19."""
    assert diagnose(changed(lr=[0.0] * 40)).shows("lr-zero", before=before) is shown


def test_shows_says_no_to_what_was_not_found() -> None:
    """Another symptom's finding is not enough."""
    assert not diagnose(changed(lr=[0.0] * 40)).shows("lr-constant")


@settings(max_examples=100)
@given(record=anything())
def test_the_summary_holds_builtins_and_nothing_observed(record: Record) -> None:
    """What moves from machine to machine is not in it, its reason included; JSON takes it as it
    is."""
    diagnosis = diagnose(record)
    summary = diagnosis.summary()
    kinds = {type(f["limit"]) for f in summary["findings"]} | {type(summary["reason"])}
    json.dumps(summary, allow_nan=False)
    assert (kinds <= {float, str}, "step" in summary["reason"]) == (True, False)
