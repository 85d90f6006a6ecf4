"""The trainings show what they are said to, and their logs hold the same in every format."""

from math import isnan, log

import numpy as np
import pytest

from probes.diagnosis.curves import centred_mean
from probes.diagnosis.diagnose import diagnose
from probes.readers import read
from testing.faults import CASES, GPT, SEEN, classes, own, rows_of
from testing.knowable import BY_NAME, SETS
from testing.log_files import FORMATS, VARIANTS, kept, noisy, thinned, write
from testing.logs import points
from testing.small_net import Adam, cosine


def series(name, signal):
    return np.array([row[signal] for row in rows_of(name) if signal in row])


def of(row):
    return [name for name, case in CASES.items() if case.row == row]


def level(values, begin, end):
    """Median over a part of a series, from and to shares of it."""
    return float(np.median(values[int(begin * len(values)) : int(end * len(values))]))


def risen(name):
    """Smoothed val_loss at the end above its minimum, as a share of that; 0 where it is its
    minimum."""
    smooth = centred_mean(series(name, "val_loss"))
    return float((smooth[-1] - smooth.min()) / max(abs(smooth.min()), 1e-12))


@pytest.mark.parametrize("name", of("diverged") + of("exploding-gradients"))
def test_what_diverges_ends_far_above_its_start(name):
    """By more than any noise, and still finite: another fault than NaN."""
    loss = series(name, "loss")
    assert np.isfinite(loss).all()
    assert level(loss, 0.9, 1) > 2 * level(loss, 0, 0.05)


@pytest.mark.parametrize("name", of("exploding-gradients"))
def test_gradients_explode(name):
    """By an order of magnitude, over the whole run."""
    norms = series(name, "grad_norm")
    assert level(norms, 0.5, 1) > 5 * level(norms, 0, 0.05)


@pytest.mark.parametrize("name", of("lr-too-high, under a schedule"))
def test_a_rate_that_is_too_high_for_a_while_does_harm_and_eases(name):
    """The loss rises by a quarter of what was learned and more, and ends between its lowest and its
    highest level."""
    loss = series(name, "loss")
    lowest = min(level(loss, i / 12, (i + 1) / 12) for i in range(4))
    highest = max(level(loss, i / 12, (i + 1) / 12) for i in range(4, 9))
    assert highest > lowest + 0.25 * (loss[0] - lowest)
    assert lowest < level(loss, 11 / 12, 1) < highest


@pytest.mark.parametrize(
    "name", of("lr-too-high, for good") + of("vanishing-gradients, all of them")
)
def test_what_was_learned_is_lost_for_good(name):
    """The loss was far below its start, and ends there again."""
    loss = series(name, "loss")
    assert (
        min(level(loss, i / 12, (i + 1) / 12) for i in range(12))
        < 0.75 * loss[0]
        < 0.95 * level(loss, 0.9, 1)
    )


@pytest.mark.parametrize("name", of("overfit") + of("shuffled-labels, memorised"))
def test_overfit_runs_rise_far_above_their_minimum_while_training_loss_falls(name):
    """A tenth and more: nothing that could be called a few percent."""
    loss = series(name, "loss")
    assert risen(name) > 0.1
    assert level(loss, 0.9, 1) < 0.2 * level(loss, 0, 0.1)


@pytest.mark.parametrize(
    "name",
    of("plateau, at ln K")
    + of("shuffled-labels, not yet memorised")
    + of("vanishing-gradients, early layers"),
)
def test_what_rests_at_ln_k_is_there_to_half_a_percent(name):
    """K is 2 or 4."""
    uniform = log(2 if name == "blind-of-two" else 4)
    assert np.mean(series(name, "loss")[100:]) == pytest.approx(uniform, rel=5e-3)


@pytest.mark.parametrize("name", [*of("plateau, elsewhere"), *of("learned before"), "zero-rate"])
def test_what_never_falls_does_not(name):
    """The later half is where the earlier one was, to five percent, the noise of batches."""
    loss = series(name, "loss")
    assert loss[len(loss) // 2 :].mean() == pytest.approx(loss[: len(loss) // 2].mean(), rel=0.05)


@pytest.mark.parametrize("name", of("loss-spike"))
def test_a_spike_stands_far_out_and_is_got_over(name):
    """Within two steps the loss doubles over all of the hundred before; at the end it is as low
    again."""
    loss = series(name, "loss")
    assert loss[701:703].max() > 2 * loss[600:700].max()
    assert level(loss, 0.9, 1) < 1.1 * np.median(loss[600:700])


def test_dead_gradients_are_exactly_zero_and_dead_losses_too():
    """As is what a trainer writes for NaN; an easy task gets to 0.0 through small numbers and keeps
    a gradient."""
    assert set(series("killed-units", "grad_norm")[501:]) == {0.0}
    assert set(series("masked", "loss")) == set(series("masked", "grad_norm")) == {0.0}
    filtered = rows_of("overflow-filtered")[-1]
    assert (filtered["loss"], isnan(filtered["grad_norm"])) == (0.0, True)
    easy, norms = series("easy", "loss"), series("easy", "grad_norm")
    assert (0 in easy, 0 < easy[easy > 0].min() < 2e-4, 0 in norms) == (True, True, False)


@pytest.mark.parametrize("name", of("non-finite"))
def test_what_overflows_stays_so(name):
    """From its first NaN on."""
    first, *_, last = series(name, "loss")
    assert (np.isfinite(first), isnan(last)) == (True, True)


@pytest.mark.parametrize("name", of("lr-too-low"))
def test_what_is_slow_is_still_falling(name):
    """In its last quarter, and not by half in all."""
    loss = series(name, "loss")
    assert 0.5 * loss[:50].mean() < loss[900:].mean() < loss[600:900].mean() < loss[300:600].mean()


def test_what_can_hardly_be_seen_is_there_beside_a_run_in_order():
    """A higher loss than the same data give at a good rate, on good labels, or on a schedule that
    goes on."""
    good = float(np.median([row["loss"] for row in classes(cosine(0.01), optimizer=Adam)[-120:]]))
    for name in ("constant-too-high", "wild-rate", "corrupted", "ended-early", "far-start"):
        assert level(series(name, "loss"), 0.9, 1) > 1.1 * good, name


def test_rates_are_what_their_rows_say():
    """Zero throughout, zero too soon, and never moved."""
    assert set(series("zero-rate", "lr")) == {0.0}
    assert (series("ended-early", "lr") == 0).mean() == pytest.approx(0.75)
    assert len(set(series("never-stepped", "lr"))) == 1


def test_a_policy_learns_while_its_loss_says_nothing():
    """Its sign changes hundreds of times."""
    loss, reward = series("bandit", "loss"), series("bandit", "reward")
    assert (np.diff(np.sign(loss)) != 0).sum() > 200
    assert level(reward, 0.5, 1) > 1.5 * reward[:20].mean()


def test_frequencies_alone_are_soon_learned():
    """Far from any ln K, and no further."""
    loss = series("blind-skewed", "loss")
    assert level(loss, 0.5, 0.75) == pytest.approx(level(loss, 0.75, 1), rel=0.02)
    assert 1.15 * log(2.5) < level(loss, 0.5, 1) < 0.85 * log(4)


@pytest.mark.parametrize("name", GPT)
def test_our_own_record_tells_what_the_table_says_it_does(name):
    """Of MiniGPT, which leaves one."""
    known = BY_NAME[CASES[name].row].cell(SETS["own record"])
    diagnosis = diagnose(own(name))
    assert (diagnosis.verdict, diagnosis.cause in (None, *known.causes)) == (known.verdict, True)


@pytest.mark.parametrize("name", of("healthy"))
def test_what_is_called_healthy_learns_and_is_not_overfit(name):
    """By its log alone, no detector asked: finite, lower at the end than at first, val_loss within
    3 % of its best."""
    loss = series(name, "loss")
    assert np.isfinite(loss).all()
    assert level(loss, 0.9, 1) < loss[: max(1, len(loss) // 100)].mean()
    assert risen(name) < 0.03


def test_losses_span_twelve_orders_of_magnitude_and_both_signs():
    """Nothing in the verdicts may depend on a unit."""
    ends = [float(np.median(series(name, "loss")[-20:])) for name in of("healthy")]
    assert (min(ends) < 0, min(end for end in ends if end > 0) < 1e-5, max(ends) > 1e5) == (
        True,
        True,
        True,
    )


def test_of_every_run_only_the_common_signals_are_kept():
    """And the reward by which a policy's log is known."""
    names = {name for case in CASES for row in rows_of(case) for name in row}
    assert names == {"step", "reward", *SEEN}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["killed-and-resumed", "overflow", "bandit"])
def test_a_log_is_read_back_the_same_from_every_format(name, form, tmp_path):
    """Steps that jump back, NaN and infinity included: they are counted, and not measured."""
    rows = rows_of(name)
    last = {int(row["step"]): row for row in rows}
    record = read(write(rows, tmp_path, form))
    for signal in SEEN:
        expected = {
            step: row[signal]
            for step, row in last.items()
            if signal in row and not isnan(row[signal])
        }
        assert points(record, signal) == pytest.approx(expected)


def test_thinning_keeps_the_last_of_every_so_many_points_of_each_signal():
    """As a trainer logs, and evaluations are rarer already."""
    rows = [
        {"step": i, "loss": float(i)} | ({"val_loss": float(i)} if i % 2 else {}) for i in range(12)
    ]
    assert thinned(rows, 3) == [
        {"step": 2, "loss": 2.0},
        {"step": 5, "loss": 5.0, "val_loss": 5.0},
        {"step": 8, "loss": 8.0},
        {"step": 11, "loss": 11.0, "val_loss": 11.0},
    ]


def test_noise_moves_losses_and_norms_by_its_size_and_nothing_else():
    """Relative to the value, so that zero stays zero and NaN stays NaN."""
    rows = [{"step": i, "loss": 100.0, "grad_norm": 0.0, "lr": 0.1} for i in range(400)]
    changed = noisy(rows)
    assert np.std([row["loss"] for row in changed]) == pytest.approx(5, rel=0.2)
    assert [row | {"loss": 100.0} for row in changed] == rows


def test_half_a_log_is_its_first_half_and_few_signals_are_those_asked_for():
    """A row without any of them is not written."""
    rows = [{"step": 0, "loss": 1.0, "lr": 0.1}, {"step": 1, "val_loss": 1.0}]
    assert VARIANTS["first half"](rows) == rows[:1]
    assert kept(rows, {"loss"}) == [{"step": 0, "loss": 1.0}]


LOOKS_SICK = {
    "steady-gap": lambda log: log("val_loss")[-1] > 1.5 * level(log("loss"), 0.9, 1),
    "past-its-best": lambda log: risen("past-its-best") > 0.01,
    "full-batch": lambda log: log("loss")[-1] > 0.4 and log("grad_norm")[-1] < 1e-9,
    "outlying-row": lambda log: (log("grad_norm") > 20 * np.median(log("grad_norm"))).sum() == 1,
    "half-precision": lambda log: np.isinf(log("grad_norm")).sum() == 3,
    "clipped": lambda log: np.median(log("grad_norm")) == 0.5,
    "dropout": lambda log: log("val_loss")[-1] < 0.97 * level(log("loss"), 0.9, 1),
    "density": lambda log: log("loss")[:20].mean() > 0 > log("loss")[-20:].mean(),
    "restarts": lambda log: (np.diff(log("lr")) > 0).sum() == 3,
    "high-peak": lambda log: level(log("loss"), 0.3, 0.4) > 1.05 * level(log("loss"), 0.1, 0.2),
    "mid-schedule": lambda log: log("lr")[-1] > 0.5 * log("lr").max(),
    "decayed-to-a-tenth": lambda log: set(log("lr")[600:]) == {0.1 * 0.1},
    "killed-and-resumed": lambda log: (np.diff(log("step")) < 0).sum() == 1,
    "fine-tuned": lambda log: log("loss")[0] < 0.6 * 1.386,
    "hard": lambda log: level(log("loss"), 0.9, 1) > 0.85 * level(log("loss"), 0, 0.1),
    "small-batches": lambda log: np.std(log("loss")[600:]) > 0.5 * np.mean(log("loss")[600:]),
}


@pytest.mark.parametrize("name", LOOKS_SICK)
def test_what_is_in_order_has_what_makes_it_look_sick(name):
    """Or it would try nothing."""
    assert LOOKS_SICK[name](lambda signal: series(name, signal))
