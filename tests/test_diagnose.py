"""A verdict is given only where one is possible, causes are ranked by the findings alone, and a
diagnosis shows its evidence."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from math import inf, nan
from typing import Any

import pytest
from hypothesis import example, given, settings

from probes.diagnosis import diagnose as module
from probes.diagnosis.base import Finding, Symptom
from probes.diagnosis.causes import Cause
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.diagnose import diagnose, rank
from probes.record import Record
from tests.records import FACTS, anything, changed, hand_made, sound, thorough
from tests.test_base import symptom

BAD_INIT = {"loss": [221.0, *sound()["loss"][1:]], "grad_norm": [500.0, *[1.0] * 39]}


# Verdict


def test_a_sound_run_is_healthy() -> None:
    """The loss falls and nothing is found."""
    diagnosis = diagnose(changed())
    assert (diagnosis.verdict, diagnosis.cause, diagnosis.alarm) == ("healthy", None, False)


def test_a_healthy_diagnosis_lists_the_detectors_that_judged_and_the_others() -> None:
    """Healthy never claims more than what was looked at."""
    diagnosis = diagnose(hand_made({"loss": sound()["loss"]}))
    assert diagnosis.verdict == "healthy"
    assert {"non-finite", "divergence", "loss-spike"} <= set(diagnosis.judged)
    assert diagnosis.not_judged["overfitting"] == "val_loss was not recorded"
    names = sorted(detector.name for detector in DETECTORS)
    assert sorted((*diagnosis.judged, *diagnosis.not_judged)) == names


def test_a_loss_that_does_not_fall_is_not_healthy() -> None:
    """It is no alarm either: a log that begins after convergence looks the same."""
    diagnosis = diagnose(hand_made({"loss": [4.2, 4.3] * 20}))
    expected = ("undetermined", "cannot judge: the loss never fell", False)
    assert (diagnosis.verdict, diagnosis.reason, diagnosis.alarm) == expected
    assert diagnose(hand_made({"loss": [4.2] * 40})).doubt == "nothing moved"


@pytest.mark.parametrize(
    ("loss", "alarm"), [(sound()["loss"], True), ([4.2] * 40, True), ([4.2] * 19, False)]
)
def test_an_unexplained_finding_is_an_alarm_when_there_is_enough_loss_to_judge(
    loss: list[float], alarm: bool
) -> None:
    """Whether the loss fell or not."""
    diagnosis = diagnose(
        hand_made({"loss": loss, "grad_norm": [30.0, *[1.0] * (len(loss) - 1)]}, vocab_size=64)
    )
    assert (diagnosis.verdict, diagnosis.cause, diagnosis.alarm) == ("undetermined", None, alarm)


def test_a_fall_is_not_undone_by_a_noisy_last_point() -> None:
    """The medians of the first and the last quarter decide."""
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
def test_a_fall_must_last_for_half_of_the_last_quarter(loss: list[float], verdict: str) -> None:
    """Ten of forty points; fewer than half of them count as noise."""
    assert diagnose(hand_made({"train_loss": loss})).verdict == verdict


TOO_FEW = "20 are needed, or five that fall one after the other: log more often"


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({"loss": [4.2, 4.1, 4.15]}, f"cannot judge: 3 points of loss; {TOO_FEW}"),
        ({"train_loss": [4.2] * 3}, f"cannot judge: 3 points of train_loss; {TOO_FEW}"),
        (
            {"loss": [4.2] * 3, "train_loss": [4.2, None, 4.1]},
            f"cannot judge: 3 points of loss; {TOO_FEW}",
        ),
        ({"lr": [0.1, 0.2]}, "cannot judge: no loss was recorded"),
        ({}, "cannot judge: no loss was recorded"),
    ],
)
def test_a_record_with_too_little_loss_cannot_be_judged(signals: Any, reason: str) -> None:
    """It is undetermined, the reason says what is missing, and it is no alarm."""
    diagnosis = diagnose(hand_made(signals))
    assert (diagnosis.verdict, diagnosis.reason, diagnosis.alarm) == ("undetermined", reason, False)


def test_either_training_loss_is_enough() -> None:
    """Five batch losses beside thirty evaluations do no harm."""
    falling = [4.0 - i / 10 for i in range(30)]
    record = hand_made({"loss": [*falling[:5], *[None] * 25], "train_loss": falling})
    assert diagnose(record).verdict == "healthy"


def test_a_short_record_may_still_be_unhealthy() -> None:
    """A cause that shows at step 0 needs no trend."""
    assert diagnose(changed(**BAD_INIT).prefix(0)).verdict == "unhealthy"


def test_a_finding_that_no_cause_explains_is_undetermined_and_an_alarm() -> None:
    """The reason names the symptom, and the headline shows the evidence."""
    diagnosis = diagnose(changed(loss=[1.0, *[0.9 - i / 100 for i in range(39)]]))
    assert (diagnosis.verdict, diagnosis.alarm, diagnosis.reason) == (
        "undetermined",
        True,
        "no cause explains initial-loss-low",
    )
    assert "initial-loss-low, step 0: 1, limit 3.659" in diagnosis.headline


def test_the_headline_of_a_repeated_finding_has_its_first_step_and_its_worst_value() -> None:
    """The worst value comes with its own step."""
    leak = thorough(train_loss=[*[1.0] * 30, 0.19, 0.1, 0.05, *[0.01] * 7])
    assert diagnose(leak).headline == (
        "mask-leak: loss-below-floor at train_loss since step 30, down to 0.01 at step 33, limit "
        "0.2"
    )


# What it looks at, and what it says


@pytest.mark.parametrize(
    "provenance", [{}, {"name": "healthy", "config": {"model": {"init_scale": 1.0}}}]
)
@pytest.mark.parametrize(
    "signals", [BAD_INIT, {"lr": [0.0] * 40}, {}], ids=["bad-init", "lr-zero", "sound"]
)
def test_provenance_changes_nothing(signals: Any, provenance: dict[str, Any]) -> None:
    """The diagnosis is the same to the byte if the provenance is that of another run or missing."""
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
    """A failed assertion prints it: symptom, site, first step, observed value, limit, source,
    remedy."""
    text = str(diagnose(hand_made({"nonfinite_count": {"blocks.0": [0.0, 0.0, 7.0]}}, **FACTS)))
    assert (
        "finding: non-finite at blocks.0\n  first step 2, observed 7, limit 0, above is worse\n  "
        "limit from: one such" in text
    )
    assert "remedy: check the named site" in text


def test_the_text_of_a_diagnosis_tells_a_repeated_finding_once() -> None:
    """The text gives the first and the worst value of the finding."""
    text = str(diagnose(thorough(train_loss=[*[1.0] * 30, 0.19, 0.1, 0.05, *[0.01] * 7])))
    assert text.count("finding: ") == 1
    assert "first step 30, observed 0.19 (0.01 at step 33), limit 0.19999, below is worse" in text


def test_the_text_of_a_diagnosis_says_what_was_not_judged_and_why() -> None:
    """Detectors with the same reason share a line."""
    said = str(diagnose(changed(lr=None)))
    assert "not judged: schedule, rate-of-log, rate-too-high: lr was not recorded" in said
    assert said.count("lr was not recorded") == 1


@pytest.mark.parametrize(("before", "shown"), [(None, True), (20, True), (19, False)])
def test_shows_looks_at_the_steps_before_the_one_given(before: int | None, shown: bool) -> None:
    """The finding is at step 19."""
    assert diagnose(changed(lr=[0.0] * 40)).shows("lr-zero", before=before) is shown


def test_shows_is_false_for_a_symptom_that_was_not_found() -> None:
    """The finding of another symptom is not enough."""
    assert not diagnose(changed(lr=[0.0] * 40)).shows("lr-constant")


@settings(max_examples=50)
@given(record=anything())
def test_the_summary_holds_builtins_and_nothing_observed(record: Record) -> None:
    """Observed values and steps differ between machines. JSON takes the summary as it is."""
    diagnosis = diagnose(record)
    summary = diagnosis.summary()
    kinds = {type(f["limit"]) for f in summary["findings"]} | {type(summary["reason"])}
    json.dumps(summary, allow_nan=False)
    assert (kinds <= {float, str}, "step" in summary["reason"]) == (True, False)


# Ranking


def finding(name: str, strength: float = 0.0, step: int = 0) -> Finding:
    """A finding of the given strength, in decades."""
    return Finding(name, "", step, 10.0**strength, 1.0, "above", "by hand")


@cache
def sign(name: str) -> Symptom:
    """One symptom for each name."""
    return symptom(name=name)


def cause(name: str, needs: Mapping[str, float], **more: Sequence[str]) -> Cause:
    """A cause that refers to symptoms by the names that `finding` takes."""
    related = {field: tuple(map(sign, names)) for field, names in more.items()}
    needed = {sign(one): least for one, least in needs.items()}
    return Cause(name, "optimisation", "a meaning", needed, "a remedy", **related)


@contextmanager
def table_of(monkeypatch: pytest.MonkeyPatch, *table: Cause) -> Iterator[None]:
    """Replaces the table of causes."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "CAUSES", table)
        yield


def named(findings: Sequence[Finding]) -> list[str]:
    """The causes that these findings give, in the order of their rank."""
    return [cause.name for cause in rank(findings)]


def test_the_stronger_cause_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strength of the decisive finding counts, not the order of the table."""
    with table_of(monkeypatch, cause("a", {"x": 0.0}), cause("b", {"y": 0.0})):
        assert named([finding("x", 1.0), finding("y", 2.0)]) == ["b", "a"]


def test_of_equally_strong_causes_the_earlier_row_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The order of the table is the order of precedence."""
    with table_of(monkeypatch, cause("a", {"x": 0.0}), cause("b", {"y": 0.0})):
        assert named([finding("y", 1.0), finding("x", 1.0)]) == ["a", "b"]


def test_a_cause_needs_all_its_symptoms(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two is not enough."""
    with table_of(monkeypatch, cause("a", {"x": 0.0, "y": 0.0})):
        assert named([finding("x", 5.0)]) == []


@pytest.mark.parametrize(("strength", "expected"), [(1.0, ["a"]), (0.99, [])])
def test_a_cause_needs_its_symptoms_at_their_strength(
    monkeypatch: pytest.MonkeyPatch, strength: float, expected: list[str]
) -> None:
    """A weaker finding does not count."""
    with table_of(monkeypatch, cause("a", {"x": 1.0})):
        assert named([finding("x", strength)]) == expected


def test_an_excluding_symptom_removes_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strength of the cause does not matter."""
    with table_of(monkeypatch, cause("a", {"x": 0.0}, excluded=("y",))):
        assert named([finding("x", 9.0), finding("y")]) == []


def test_a_cause_comes_after_the_cause_it_follows_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A huge gradient that a bad start explains does not outrank the start."""
    with table_of(
        monkeypatch, cause("loud", {"y": 0.0}), cause("root", {"x": 0.0}, explains=("y",))
    ):
        assert named([finding("x", 0.5), finding("y", 9.0)]) == ["root", "loud"]


def test_bad_init_explains_its_huge_gradient() -> None:
    """Both findings are its evidence, the decisive one first."""
    (suspect,) = diagnose(changed(**BAD_INIT)).causes
    assert [suspect.name, *(f.symptom for f in suspect.evidence)] == [
        "bad-init",
        "initial-loss-high",
        "first-gradient-large",
    ]


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        (BAD_INIT, "bad-init"),
        ({"grad_norm": [500.0, *[1.0] * 39]}, "summed-loss"),
        ({"grad_norm": [1e-5] * 40}, "dead-gradient"),
        ({"lr": [0.0] * 40}, "lr-zero"),
        ({"lr": [0.01] * 40}, "schedule-never-stepped"),
        ({"loss": [*sound()["loss"][:30], *[nan] * 10]}, "non-finite"),
        ({"loss": [inf, *sound()["loss"][1:]]}, "non-finite"),
    ],
)
def test_each_cause_is_named_from_its_record(
    signals: dict[str, list[float]], expected: str
) -> None:
    """The expected cause is the only one."""
    assert [suspect.name for suspect in diagnose(changed(**signals)).causes] == [expected]


# Margin and certainty


def test_the_margin_is_the_lead_over_the_next_cause() -> None:
    """The margin is measured in decades of strength."""
    diagnosis = diagnose(changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
    assert ([c.name for c in diagnosis.causes], diagnosis.margin) == (
        ["lr-zero", "summed-loss"],
        pytest.approx(8.30103),
    )


def test_the_margin_skips_causes_that_follow_from_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They do not compete with it."""
    table = (
        cause("root", {"lr-zero": 0.0}, explains=("first-gradient-large",)),
        cause("loud", {"first-gradient-large": 0.0}),
    )
    with table_of(monkeypatch, *table):
        diagnosis = diagnose(changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
    assert ([c.name for c in diagnosis.causes], diagnosis.margin) == (["root", "loud"], None)


def test_a_single_cause_has_no_margin() -> None:
    """The text of the diagnosis calls it sole."""
    diagnosis = diagnose(changed(**BAD_INIT))
    assert (diagnosis.margin, "sole" in str(diagnosis)) == (None, True)


def test_a_cause_is_certain_from_the_step_that_settles_it() -> None:
    """From that step on, the cause ranks before the stronger finding of another cause."""
    diagnosis = diagnose(changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
    assert [(c.name, c.certain_since) for c in diagnosis.causes] == [
        ("lr-zero", 19),
        ("summed-loss", None),
    ]


@settings(max_examples=50)
@given(record=anything())
@example(record=changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
@example(record=changed(loss=[9.0, nan, *sound()["loss"][2:]]))
@example(record=changed(grad_norm=[500.0, nan, *[1.0] * 38]))
def test_certain_since_agrees_with_the_diagnosis_of_every_prefix(record: Record) -> None:
    """It is computed by ranking the findings up to each step, without a diagnosis of each
    prefix."""
    first: int | None = None
    final = diagnose(record)
    for step in record.steps.tolist():
        if diagnose(record.prefix(step), ended=step == record.steps[-1]).cause != final.cause:
            first = None
        elif first is None:
            first = step
    assert [c.certain_since for c in final.causes[:1]] == ([first] if final.causes else [])


def test_a_loss_too_large_to_be_squared_causes_no_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Overflows on the way are expected."""
    diagnosis = diagnose(changed(loss=[1e200 * value for value in sound()["loss"]]))
    assert (diagnosis.core, len(recwarn)) == (True, 0)
