"""Each question about a run is answered with the right numbers, and only if it arises. No verdict
depends on an answer."""

import re
from dataclasses import replace

import numpy as np
import pytest

from probes.diagnosis.base import Finding
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.evidence import Evidence
from probes.diagnosis.notices import NOTICES, notices_on
from testing.knowable import ROWS
from tests.records import hand_made


def noise(points: int, seed: int = 0) -> np.ndarray:
    """Independent Gaussian noise of deviation 1."""
    return np.random.default_rng(seed).standard_normal(points)


def time(points: int) -> np.ndarray:
    """The share of the run at each point."""
    return np.arange(points) / points


def resting(points: int, seed: int = 0) -> np.ndarray:
    """A loss that falls and comes to rest."""
    return 1 + 2 * np.exp(-8 * time(points)) + 0.05 * noise(points, seed)


def line(points: int, seed: int = 0) -> np.ndarray:
    """A loss that falls along a line."""
    return 3 - time(points) + 0.05 * noise(points, seed)


def hill(points: int, seed: int = 0) -> np.ndarray:
    """A loss that falls, rises by half of that, and is low again."""
    return resting(points, seed) + np.exp(-(((time(points) - 0.6) / 0.12) ** 2))


def numbers(remark: str) -> list[float]:
    """The numbers in a sentence."""
    return [float(number) for number in re.findall(r"-?\d[\d.]*(?:e[-+]?\d+)?", remark)]


def remarked(
    loss: np.ndarray, steps: list[int] | None = None, lr=None, val=None, **facts
) -> tuple[str, ...]:
    """The answers on a record of a loss, and of a rate and a validation loss where given, without
    the one about checkpoints."""
    signals = {"loss": loss, "lr": lr, "val_loss": val}
    kept = {name: list(values) for name, values in signals.items() if values is not None}
    answers = notices_on(Evidence(hand_made(kept, steps=steps, **facts)))
    return tuple(answer for answer in answers if not answer.startswith("which checkpoint"))


def opening(answers: tuple[str, ...]) -> list[str]:
    """The part of each answer that holds the numbers, without the explanation."""
    return [answer.partition("; ")[0] for answer in answers]


def said(name: str, signals, steps=None, **facts) -> str:
    """The answer to the question of this name; "" if it does not arise."""
    (notice,) = (notice for notice in NOTICES if notice.name == name)
    return notice.answer(Evidence(hand_made(signals, steps=steps, **facts))) or ""


def test_remarks_begin_with_the_notes_of_the_table_of_what_can_be_known() -> None:
    """A note of that table can then be looked up among the remarks."""
    said = " ".join(
        beginning
        for notes in (
            remarked(line(200), lr=[0.01] * 200),
            remarked(hill(200), lr=np.linspace(0.01, 0, 200)),
        )
        for beginning in notes
    )
    notes = {rule.what[0] for row in ROWS for rule in row.rules if rule.kind == "note"}
    assert len(notes) == 4
    assert [note for note in notes if note not in said] == []


def test_a_constant_rate_is_remarked_unless_it_is_declared() -> None:
    """The remark gives the rate and the number of points."""
    assert opening(remarked(resting(100), lr=[0.01] * 100)) == [
        "lr is constant: 0.01 at all 100 points"
    ]
    assert remarked(resting(100), lr=[0.01] * 100, schedule="constant") == ()


def test_a_rate_that_starts_at_its_peak_is_remarked() -> None:
    """This holds only if the start of the run is in the log."""
    falling = np.linspace(0.01, 0, 100)
    assert opening(remarked(resting(100), lr=falling)) == ["lr starts at its peak: 0.01 at step 0"]
    assert remarked(resting(100), lr=falling, steps=list(range(200, 300))) == ()
    assert remarked(resting(100), lr=[0.001, *falling[1:]]) == ()


@pytest.mark.parametrize("lr", [[0.01] * 19, [0.0] * 30, None])
def test_a_rate_with_few_points_or_of_0_is_not_remarked(lr: list[float] | None) -> None:
    """Neither a rate with few points nor a rate of 0 shows a schedule."""
    assert remarked(resting(len(lr or [0] * 30)), lr=lr) == ()


def test_a_log_that_ends_before_its_schedule_is_remarked() -> None:
    """More than a tenth of the declared steps is missing, and the rate is still high."""
    warm = np.r_[np.linspace(0.001, 0.01, 20), np.linspace(0.01, 0.005, 80)]
    assert opening(remarked(resting(100), lr=warm, total_steps=200)) == [
        "the log ends before its schedule does: at step 99 of 200, with lr at 0.005"
    ]
    assert remarked(resting(100), lr=warm, total_steps=110) == ()
    assert remarked(resting(100), lr=[*warm[:-1], 0.0005], total_steps=200) == ()
    assert remarked(resting(100), lr=warm, total_steps="many") == ()


@pytest.mark.parametrize("points", [40, 100, 1000, 10_000])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_loss_that_is_still_falling_is_remarked(points: int, scale: float) -> None:
    """The remark is made in any unit and for any length, and gives the fall in each half."""
    (remark,) = remarked(scale * line(points))
    assert remark.startswith("the loss is still falling at its end: by ")
    assert [number / scale for number in numbers(remark)] == pytest.approx([0.5, 0.5], abs=0.1)


def test_more_steps_do_not_help_a_run_whose_validation_loss_has_risen() -> None:
    """More steps would lower the training loss and raise the validation loss."""
    val = [2.0 if row == 99 else 1.9 if row % 20 == 9 else None for row in range(100)]
    assert said("still-falling", {"loss": list(line(100)), "val_loss": val}) == ""
    assert said("still-falling", {"loss": list(line(100)), "val_loss": [1.9] * 100}) != ""


def test_a_rate_is_not_called_normal_if_the_loss_never_fell() -> None:
    """The fact alone is given."""
    assert remarked(flat(100, 0), lr=[1e-7] * 100) == ("lr is constant: 1e-07 at all 100 points",)
    falling = np.linspace(1e-7, 0, 100)
    assert remarked(flat(100, 0), lr=falling) == ("lr starts at its peak: 1e-07 at step 0",)


def flat(points: int, seed: int) -> np.ndarray:
    """A loss that does not change."""
    return 2 + 0.1 * noise(points, seed)


def climb(points: int, seed: int) -> np.ndarray:
    """A loss that rises along a line."""
    return 6 - line(points, seed)


@pytest.mark.parametrize("shape", [resting, flat, climb])
@pytest.mark.parametrize("points", [20, 50, 100, 1000])
def test_a_loss_that_rests_is_flat_or_rises_is_not_called_falling(shape, points: int) -> None:
    """At most one of a hundred such losses gets this remark."""
    said = [remarked(shape(points, seed)) for seed in range(100)]
    assert sum(map(bool, said)) <= 1, said


def test_a_loss_that_falls_twice_is_not_called_falling() -> None:
    """After a spike it falls as far again."""
    spiked = np.r_[resting(100), resting(100)]
    assert remarked(spiked) == ()


@pytest.mark.parametrize("points", [100, 1000])
def test_a_rise_that_came_back_is_remarked(points: int) -> None:
    """The remark gives the lowest, the highest and the last level."""
    (remark,) = remarked(hill(points))
    assert remark.startswith("the loss rose for long and came back: from 1")
    bottom, _, top, at, end = numbers(remark)
    assert [bottom, top, end, at / points] == pytest.approx([1.1, 2.0, 1.0, 0.6], abs=0.12)


def test_a_short_or_a_small_rise_is_not_remarked() -> None:
    """A spike is short, and a small rise gives back a fifteenth of what was learned."""
    spike = resting(1000) + (np.abs(time(1000) - 0.6) < 0.02)
    small = resting(1000) + 0.2 * np.exp(-(((time(1000) - 0.6) / 0.12) ** 2))
    assert [remarked(loss) for loss in (spike, small)] == [(), ()]


def test_smoothed_noise_is_rarely_remarked() -> None:
    """Smoothed noise drifts for longer than its points suggest. At most ten of a hundred flat
    curves get a remark."""
    smooth = [
        2 + np.convolve(0.3 * noise(209, seed), np.full(10, 0.1), mode="valid")
        for seed in range(100)
    ]
    assert sum(bool(remarked(loss)) for loss in smooth) <= 10


def test_remarks_are_for_runs_that_have_ended_and_can_be_judged() -> None:
    """The text of the diagnosis holds them."""
    record = hand_made({"loss": list(resting(40)), "lr": [0.01] * 40})
    diagnosis = diagnose(record)
    assert opening(diagnosis.remarks) == ["lr is constant: 0.01 at all 40 points"]
    assert "\nremark: lr is constant: 0.01 at all 40 points; this is normal" in str(diagnosis)
    assert diagnose(record, ended=False).remarks == ()
    assert diagnose(hand_made({"loss": [2.0] * 19, "lr": [0.01] * 19})).remarks == ()


def test_a_remark_is_no_alarm_and_changes_no_summary() -> None:
    """The verdict is healthy."""
    diagnosis = diagnose(hand_made({"loss": list(resting(40)), "lr": [0.01] * 40}))
    assert (diagnosis.verdict, diagnosis.alarm, diagnosis.cause) == ("healthy", False, None)
    assert replace(diagnosis, remarks=()).summary() == diagnosis.summary()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_loss_without_a_finite_value_or_a_fall_gets_no_remark(value: float) -> None:
    """Such a loss raises no error either."""
    assert remarked(np.full(40, value), val=[value] * 40) == ()


def test_a_rise_is_compared_with_the_highest_of_the_first_points() -> None:
    """In fine-tuning, for example, the first two points learn most of what there is to learn."""
    rises = 0.1 + 0.25 * np.exp(-(((time(60) - 0.5) / 0.2) ** 2)) + 0.005 * noise(60)
    assert remarked(rises) == ()
    (remark,) = remarked(np.r_[0.8, 0.5, rises])
    assert remark.startswith("the loss rose for long and came back: from 0.1")


# The questions one by one


def test_each_question_has_a_name_of_its_own_and_ends_with_a_question_mark() -> None:
    """The table in docs/diagnosis.md is written from these rows."""
    names = [notice.name for notice in NOTICES]
    assert sorted(set(names)) == sorted(names)
    assert [notice.question for notice in NOTICES if not notice.question.endswith("?")] == []


def test_what_reassures_is_left_out_beside_a_finding() -> None:
    """Which checkpoint to keep is answered beside any verdict."""
    val = [2.0, 1.5, 1.2, 1.1] + [None] * 36
    evidence = Evidence(hand_made({"loss": list(line(40)), "lr": [0.01] * 40, "val_loss": val}))
    finding = Finding("anything", "", 1, 2.0, 1.0, "above", "a test")
    assert len(notices_on(evidence)) == 3
    (answer,) = notices_on(evidence, [finding])
    assert answer.startswith("which checkpoint to keep: ")


def at(places: dict[int, float], points: int) -> list[float | None]:
    """A column that was measured at some rows only."""
    return [places.get(row) for row in range(points)]


VAL = {10: 2.0, 20: 1.0, 30: 0.52, 40: 0.50, 50: 0.51, 60: 0.49, 70: 0.55, 80: 0.61, 90: 0.70}


def test_evaluations_that_were_rounded_may_be_equal() -> None:
    """Then the answer does not speak of noise."""
    val = [3.0, 2.0, 1.5, 1.2] + [1.1] * 10
    assert said("checkpoint", {"val_loss": val}).endswith(
        "lowest at step 4: 1.1; 10 of 14 evaluations, between step 4 and step 13, are as low"
    )


def test_the_checkpoint_to_keep_has_the_lowest_validation_loss() -> None:
    """The answer counts the evaluations that are as good within their noise."""
    answer = said("checkpoint", {"val_loss": at(VAL, 100)})
    assert answer.startswith(
        "which checkpoint to keep: val_loss is lowest at step 60: 0.49; 3 of 9 evaluations, "
        "between step 40 and step 60, differ from it by no more than their noise, "
    )
    assert 3 < numbers(answer)[-1] < 8  # percent


@pytest.mark.parametrize("place", [0, 5])
def test_the_answer_says_if_the_first_or_the_last_evaluation_is_the_best(place: int) -> None:
    """After a best first evaluation, training was in vain; after a best last one, more may help."""
    values = [1.0, 1.5, 2.0, 2.6, 3.1, 3.7] if place == 0 else [3.7, 3.1, 2.6, 2.0, 1.5, 1.0]
    answer = said("checkpoint", {"val_loss": values})
    where = "first" if place == 0 else "last"
    assert f"lowest at step {place}, the {where} evaluation: 1" in answer


@pytest.mark.parametrize("val", [[2.0, 1.0], [1.0] * 30, []], ids=["two", "constant", "none"])
def test_no_checkpoint_is_named_without_three_different_evaluations(val: list[float]) -> None:
    """Such evaluations leave nothing to choose."""
    assert (
        said("checkpoint", {"loss": [2.0] * 30, "val_loss": val + [None] * (30 - len(val))}) == ""
    )


def test_a_metric_that_is_best_elsewhere_is_named_with_both_values() -> None:
    """A metric of the training data, one without a known direction, and one whose best value is at
    the same step are not named."""
    rising = {step: 0.5 + step / 200 for step in VAL}
    peaked = {step: 0.9 - abs(step - 60) / 100 for step in VAL}
    metrics = {"val_accuracy": rising, "val_f1": peaked, "val_charm": rising, "accuracy": rising}
    signals = {
        "val_loss": at(VAL, 100),
        "metric": {name: at(values, 100) for name, values in metrics.items()},
    }
    answer = said("checkpoint", signals)
    assert answer.endswith("; val_accuracy is best at step 90: 0.95, against 0.8 at step 60")
    answer = said("checkpoint", signals, metric_direction={"val_charm": "down"})
    assert answer.endswith("; val_charm is best at step 10: 0.55, against 0.8 at step 60")


def test_a_metric_alone_names_the_checkpoint() -> None:
    """A metric that never changes names none."""
    assert said("checkpoint", {"metric": {"val_wer": [30.0, 12.5, 14.0]}}) == (
        "which checkpoint to keep: val_wer is best at step 1: 12.5"
    )
    assert said("checkpoint", {"metric": {"val_wer": [30.0, 30.0, 30.0]}}) == ""


def spiked(*places: int, points: int = 400) -> np.ndarray:
    """A loss that rests, with single high points."""
    loss = resting(points)
    loss[list(places)] += np.linspace(2, 3, len(places)) if len(places) > 1 else 3
    return loss


def test_one_spike_is_normal() -> None:
    """The answer gives its step, its height and the usual level."""
    answer = said("spike", {"loss": list(spiked(300))})
    assert answer.startswith("the loss has a spike at step 300: ")
    assert numbers(answer)[1:3] == pytest.approx([4.0, 1.0], abs=0.2)


def test_spikes_are_counted_up_to_one_in_a_hundred_points() -> None:
    """Neighbouring high points are one spike. More spikes than that are not called normal."""
    answer = said("spike", {"loss": list(spiked(200, 201, 300))})
    assert answer.startswith("the loss has 2 spikes, the highest at step 300: ")
    assert said("spike", {"loss": list(spiked(*range(100, 400, 50)))}) == ""


@pytest.mark.parametrize("points", [20, 100, 1000])
def test_noise_has_no_spikes(points: int) -> None:
    """At most one of a hundred curves with Gaussian noise has one."""
    curves = [resting(points, seed) for seed in range(100)]
    assert sum(bool(said("spike", {"loss": list(curve)})) for curve in curves) <= 1


def test_a_jump_that_stays_is_no_spike() -> None:
    """A spike of a loss that never fell is not called normal either."""
    jump = resting(400) + 3 * (time(400) > 0.6)
    assert said("spike", {"loss": list(jump)}) == ""
    flat_loss = flat(400, 0)
    flat_loss[200] = 9
    assert said("spike", {"loss": list(flat_loss)}) == ""


def test_the_batch_of_the_highest_spike_is_named() -> None:
    """The answer lists at most eight rows. There is none if no batch was recorded at that step."""
    ids = {str(row): [float(100 * row + step) for step in range(400)] for row in range(10)}
    signals = {"loss": list(spiked(200, 300)), "batch_ids": ids}
    assert said("spike-batch", signals) == (
        "the batch of the highest spike of the loss, at step 300, held the rows 300, 400, 500, "
        "600, 700, 800, 900, 1000 and 2 more"
    )
    recorded = {site: [*values[:300], None, *values[301:]] for site, values in ids.items()}
    assert said("spike-batch", signals | {"batch_ids": recorded}) == ""
    assert said("spike-batch", {"loss": list(resting(400)), "batch_ids": ids}) == ""


EVERY_TENTH = [None] * 9


def evaluated(val: list[float]) -> list[float | None]:
    """Evaluations at every tenth row."""
    return [value for each in val for value in (*EVERY_TENTH, each)]


def test_validation_loss_below_training_loss_is_normal() -> None:
    """This holds up to a gap that dropout can explain, if validation loss ends near its lowest."""
    loss = resting(100)
    below = [0.8 * value for value in loss[9::10]]
    answer = said("validation-below-training", {"loss": list(loss), "val_loss": evaluated(below)})
    assert answer.startswith("validation loss is below training loss at 10 of 10 evaluations, in ")
    assert numbers(answer)[2] == pytest.approx(20, abs=5)
    for val in ([*below[:-1], 1.2], list(loss[9::10] * 1.1), list(loss[9::10] / 3)):
        signals = {"loss": list(loss), "val_loss": evaluated(val)}
        assert said("validation-below-training", signals) == ""


def test_a_training_loss_in_evaluation_mode_that_is_lower_answers_the_question() -> None:
    """The question does not arise if the log holds such a loss."""
    loss = resting(100)
    below = [0.8 * value for value in loss[9::10]]
    full = evaluated([0.7 * value for value in loss[9::10]])
    signals = {"loss": list(loss), "val_loss": evaluated(below), "train_loss": full}
    assert said("validation-below-training", signals) == ""


@pytest.mark.parametrize(("times", "factor"), [(8, 7.6), (16, 16.5), (3, 3.0), (130, 130.0)])
def test_a_training_loss_that_is_a_multiple_of_validation_loss(times: int, factor: float) -> None:
    """A power of two may be missed by 7 %, another number by 3 %."""
    val = [2.0, 1.6, 1.3, 1.1, 1.0, 0.95]
    loss = np.repeat(factor * np.array(val), 10)
    answer = said("times-validation", {"loss": list(loss), "val_loss": evaluated(val)})
    assert answer.startswith(
        f"training loss is about {times} times validation loss at all 6 evaluations; "
    )


@pytest.mark.parametrize(
    "factors",
    [[3.15] * 6, [1.0] * 6, [0.1] * 6, [2, 3, 4, 4, 5, 6], [8.0] * 3],
    ids=["no whole number", "equal", "a gap", "not constant", "three evaluations"],
)
def test_other_ratios_of_training_loss_to_validation_loss_say_nothing(factors) -> None:
    """They have other reasons than a sum."""
    val = [2.0, 1.6, 1.3, 1.1, 1.0, 0.95][: len(factors)]
    loss = np.repeat(np.array(factors) * val, 10)
    signals = {"loss": list(loss), "val_loss": evaluated(val)}
    assert said("times-validation", signals) == ""


def test_a_loss_that_falls_at_the_end_of_each_epoch() -> None:
    """The answer gives the height of the steps and their distance."""
    stairs = 2.0 - 0.3 * (np.arange(200) // 40) + 0.02 * noise(200)
    val = [1.0 if row % 40 == 39 else None for row in range(200)]
    answer = said("step-at-epoch", {"loss": list(stairs), "val_loss": val})
    assert answer.startswith("training loss falls in steps of about 0.")
    assert numbers(answer)[:2] == [pytest.approx(0.3, abs=0.03), 40]


def test_three_epochs_are_enough_for_steps() -> None:
    """Two of their ends lie within the log. The loss is logged every ten steps, and the ends of
    epochs lie between its points."""
    stairs = 2.0 - 0.4 * (np.arange(108) // 36) + 0.02 * noise(108)
    steps = sorted([*range(10, 1081, 10), 365, 725, 1085])
    losses = iter(stairs)
    loss = [None if step % 10 else float(next(losses)) for step in steps]
    val = [1.0 if step % 10 else None for step in steps]
    answer = said("step-at-epoch", {"loss": loss, "val_loss": val}, steps=steps)
    assert numbers(answer)[:2] == [pytest.approx(0.4, abs=0.03), 360]


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_that_falls_evenly_has_no_steps(seed: int) -> None:
    """A loss whose steps are elsewhere than at the evaluations gets no answer either."""
    val = [1.0 if row % 40 == 39 else None for row in range(200)]
    elsewhere = 2.0 - 0.3 * ((np.arange(200) + 20) // 40) + 0.02 * noise(200, seed)
    convex = np.exp(-np.arange(200) / 40)
    for loss in (resting(200, seed), line(200, seed), elsewhere, convex):
        assert said("step-at-epoch", {"loss": list(loss), "val_loss": val}) == ""


@pytest.mark.parametrize("growth", [2.0, 4.0])
def test_a_gradient_norm_that_grows_is_normal(growth: float) -> None:
    """It may grow up to five times while the loss falls."""
    norm = np.geomspace(1, growth, 100) * np.exp(0.05 * noise(100, 1))
    answer = said("gradient-norm", {"loss": list(resting(100)), "grad_norm": list(norm)})
    assert answer.startswith("the gradient norm grows, from 1")
    assert numbers(answer)[:2] == pytest.approx([1, growth], rel=0.15)
    assert said("gradient-norm", {"loss": list(flat(100, 0)), "grad_norm": list(norm)}) == ""


def test_a_gradient_norm_that_grows_more_or_hardly_is_not_mentioned() -> None:
    """More is not called normal, and a steady norm raises no question."""
    for growth in (1.0, 8.0, 100.0):
        norm = np.geomspace(1, growth, 100) * np.exp(0.05 * noise(100, 1))
        signals = {"loss": list(resting(100)), "grad_norm": list(norm)}
        assert said("gradient-norm", signals) == ""


def test_a_large_gradient_norm_that_does_not_grow_is_normal() -> None:
    """The answer gives its size."""
    norm = 50 * np.exp(0.05 * noise(100, 1))
    answer = said("gradient-norm", {"loss": list(resting(100)), "grad_norm": list(norm)})
    assert answer.startswith("the gradient norm is large, about ")
    assert numbers(answer)[0] == pytest.approx(50, rel=0.1)


def test_a_loss_that_oscillates_is_normal() -> None:
    """The answer gives the deviation of a single point in percent of the level. A loss with little
    noise, a loss near 0, and one that never fell get no answer."""
    wide = 1 + 2 * np.exp(-8 * time(400)) + 0.25 * noise(400)
    assert numbers(said("oscillation", {"loss": list(wide)}))[0] == pytest.approx(25, abs=5)
    near_zero = 1e-4 + np.exp(-20 * time(400)) + 1e-3 * np.abs(noise(400))
    for loss in (resting(400), near_zero, 1 + 0.25 * noise(400)):
        assert said("oscillation", {"loss": list(loss)}) == ""


def resumed(size: float, lasts: int = 30, lr: float = 0.1) -> dict[str, list[float]]:
    """A loss that falls and jumps at its 100th point, and the rate, which differs from there on."""
    jump = np.where((np.arange(200) >= 100) & (np.arange(200) < 100 + lasts), size, 0.0)
    return {"loss": list(resting(200) + jump), "lr": [0.1] * 100 + [lr] * 100}


def test_a_jump_where_the_run_was_resumed_is_answered() -> None:
    """The answer states the step, both levels, and where the loss is back. It raises no alarm."""
    answer = said("jump-after-resuming", resumed(0.5), resumed_at=[100])
    assert "where the run was resumed, at step 100" in answer
    _, before, after, back = numbers(answer)[:4]
    assert (before, after) == (pytest.approx(1.03, abs=0.05), pytest.approx(1.53, abs=0.05))
    assert 130 <= back <= 140
    assert diagnose(hand_made(resumed(0.5), resumed_at=[100])).verdict == "healthy"


def test_a_jump_that_stays_and_a_rate_that_changed_are_said() -> None:
    """The rate of a schedule that begins again explains the jump."""
    answer = said("jump-after-resuming", resumed(0.5, lasts=100, lr=0.2), resumed_at=[100])
    assert "it does not come back to its level before" in answer
    assert "lr goes from 0.1 to 0.2 there" in answer


def test_a_loss_that_is_lower_after_it_was_resumed_is_answered() -> None:
    """Rows that are seen again have a lower loss."""
    answer = said("jump-after-resuming", resumed(-0.4, lasts=100), resumed_at=[100])
    assert numbers(answer)[1] > numbers(answer)[2]
    assert "back" not in answer.partition("usual")[0]


def test_missing_steps_count_as_a_restart_where_the_loss_rises() -> None:
    """A loss that is lower after missing steps has gone on falling."""
    steps = [*range(100), *range(1000, 1100)]
    assert "steps are missing, at step 1000" in said("jump-after-resuming", resumed(0.5), steps)
    assert said("jump-after-resuming", resumed(-0.4, lasts=100), steps) == ""


@pytest.mark.parametrize(
    ("size", "facts"),
    [
        (0.5, {}),
        (0.0, {"resumed_at": [100]}),
        (0.1, {"resumed_at": [100]}),
        (0.5, {"resumed_at": [2]}),
        (0.5, {"resumed_at": [198]}),
        (0.5, {"resumed_at": "100"}),
        (0.5, {"resumed_at": ["100", None, float("nan")]}),
    ],
    ids=["not resumed", "no jump", "noise", "first points", "last points", "text", "no numbers"],
)
def test_without_a_clear_jump_at_a_restart_nothing_is_answered(size: float, facts) -> None:
    """A jump elsewhere, noise, and a step that is no number give no answer."""
    assert said("jump-after-resuming", resumed(size), **facts) == ""


def test_a_steep_fall_at_a_restart_is_no_jump() -> None:
    """The loss falls as much just before and just after it."""
    loss = list(5 * np.exp(-np.arange(60) / 10))
    assert said("jump-after-resuming", {"loss": loss}, resumed_at=[10]) == ""
