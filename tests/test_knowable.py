"""The trainings with faults show them, the table of what can be known is consistent, and the
diagnosis says exactly what can be known."""

from itertools import product
from math import isnan, log

import numpy as np
import pytest

from probes.diagnosis.causes import BY_NAME as CAUSES
from probes.diagnosis.curves import centred_mean
from probes.readers import read
from studies.knowable import (
    ALL_FOUR,
    OWN_RECORD,
    PAGE,
    UNCHANGED,
    diagnose_case,
    difference,
    names_all,
    with_tables,
)
from testing.faults import CASES, GPT, LOGGED, classes, rows_of
from testing.knowable import (
    BY_NAME,
    NAMES_IN_DIAGNOSES,
    ROWS,
    SETS,
    SOUND,
    Row,
    matches,
    named,
    note,
)
from testing.log_files import FORMATS, VARIANTS, kept, noisy, thinned, write
from testing.logs import points
from testing.small_net import Adam, cosine

CELLS = [(row, signals) for row in ROWS for signals in SETS]


# The table


def test_every_row_has_a_verdict_from_every_set_of_signals():
    """`cell` raises LookupError where no rule applies."""
    assert len([row.cell(SETS[signals]) for row, signals in CELLS]) == len(SETS) * len(ROWS)
    with pytest.raises(LookupError, match=r"overfit: no rule applies to loss$"):
        Row("overfit", "", (named("overfit", needs="val_loss", why=""),)).cell(SETS["loss"])


def test_the_last_rule_whose_signals_are_present_applies():
    """Rules go from few signals to many."""
    rules = (
        note("little", ""),
        named("b", needs="lr", why=""),
        named("c", needs="grad_norm lr", why=""),
    )
    row = Row("x", "", rules)
    known = [str(row.cell(SETS[signals])) for signals in ("loss, val_loss", "loss, lr", ALL_FOUR)]
    assert known == ["note: little", "`b`", "`c`"]


def test_runs_that_look_alike_get_the_same_verdict():
    """Otherwise the diagnosis would have to guess."""
    different = []
    for row, signals in CELLS:
        known = row.cell(SETS[signals])
        if known.like:
            other = BY_NAME[known.like].cell(SETS[signals])
            if (known.verdict, set(known.causes)) != (other.verdict, set(other.causes)):
                different.append((row.name, signals, known.like))
    assert different == []


def test_another_signal_never_turns_unhealthy_into_healthy():
    """Another signal may only rule out causes."""
    lost = [
        (row.name, fewer, more)
        for row, fewer, more in product(ROWS, SETS.values(), SETS.values())
        if fewer < more
        and row.cell(fewer).verdict == "unhealthy"
        and row.cell(more).verdict != "unhealthy"
    ]
    assert lost == []


def test_every_row_has_a_training_and_every_training_has_a_row():
    """A row without a training would be an opinion."""
    assert {case.row for case in CASES.values()} == set(BY_NAME)
    assert set(SOUND) <= set(BY_NAME)


def test_causes_are_matched_under_the_names_that_diagnoses_use():
    """Alternatives have to be named completely, in any order."""
    renamed = [cause for names in NAMES_IN_DIAGNOSES.values() for cause in names]
    assert [cause for cause in renamed if cause not in CAUSES] == []
    known = named("plateau", "shuffled-labels", why="")
    assert matches(known, "blind-to-input")
    assert not matches(known, None)
    assert names_all(known, "shuffled-labels", ["learns-nothing"])
    assert not names_all(known, "plateau", [])
    assert not names_all(known, "plateau", ["shuffled-labels", "lr-zero"])


def test_the_page_holds_the_table():
    """`python -m studies.knowable --write` writes it."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page)


# The trainings


def series(name, signal):
    return np.array([row[signal] for row in rows_of(name) if signal in row])


def of(*rows):
    return [name for name, case in CASES.items() if case.row in rows]


def level(values, begin, end):
    """The median between two shares of the series."""
    return float(np.median(values[int(begin * len(values)) : int(end * len(values))]))


def rise_of_validation(name):
    """The distance from the minimum of the smoothed validation loss to its end, as a share of the
    minimum."""
    smooth = centred_mean(series(name, "val_loss"))
    return float((smooth[-1] - smooth.min()) / max(abs(smooth.min()), 1e-12))


@pytest.mark.parametrize("name", of("diverged", "exploding-gradients"))
def test_a_diverging_loss_ends_far_above_its_start(name):
    """The loss stays finite, so this fault differs from a loss that becomes NaN."""
    loss = series(name, "loss")
    assert np.isfinite(loss).all()
    assert level(loss, 0.9, 1) > 2 * level(loss, 0, 0.05)
    if CASES[name].row == "exploding-gradients":
        norms = series(name, "grad_norm")
        assert level(norms, 0.5, 1) > 5 * level(norms, 0, 0.05)


@pytest.mark.parametrize("name", of("lr-too-high, under a schedule"))
def test_a_high_learning_rate_does_harm_that_passes(name):
    """The loss loses a quarter of what was learned and ends between its lowest and its highest
    level."""
    loss = series(name, "loss")
    lowest = min(level(loss, i / 12, (i + 1) / 12) for i in range(4))
    highest = max(level(loss, i / 12, (i + 1) / 12) for i in range(4, 9))
    assert highest > lowest + 0.25 * (loss[0] - lowest)
    assert lowest < level(loss, 11 / 12, 1) < highest


@pytest.mark.parametrize("name", of("lr-too-high, for good", "vanishing-gradients, all of them"))
def test_what_was_learned_is_lost_for_good(name):
    """The loss was far below its start, and ends near it."""
    loss = series(name, "loss")
    lowest = min(level(loss, i / 12, (i + 1) / 12) for i in range(12))
    assert lowest < 0.75 * loss[0] < 0.95 * level(loss, 0.9, 1)


@pytest.mark.parametrize("name", of("overfit", "shuffled-labels, memorised"))
def test_validation_loss_rises_while_training_loss_falls(name):
    """Validation loss ends more than a tenth above its minimum."""
    loss = series(name, "loss")
    assert rise_of_validation(name) > 0.1
    assert level(loss, 0.9, 1) < 0.2 * level(loss, 0, 0.1)


@pytest.mark.parametrize(
    "name",
    of(
        "plateau, at ln K",
        "shuffled-labels, not yet memorised",
        "vanishing-gradients, early layers",
    ),
)
def test_a_plateau_at_ln_k_is_there_within_half_a_percent(name):
    """The number of classes K is 2 or 4."""
    uniform = log(2 if name == "blind-of-two" else 4)
    assert np.mean(series(name, "loss")[100:]) == pytest.approx(uniform, rel=5e-3)


@pytest.mark.parametrize("name", [*of("plateau, elsewhere", "learned before"), "zero-rate"])
def test_a_loss_that_never_falls_stays_within_its_noise(name):
    """The means of both halves differ by less than 5 %."""
    loss = series(name, "loss")
    assert loss[len(loss) // 2 :].mean() == pytest.approx(loss[: len(loss) // 2].mean(), rel=0.05)


@pytest.mark.parametrize("name", of("loss-spike"))
def test_a_spike_is_twice_as_high_as_the_loss_before_it(name):
    """At the end the loss is as low as before."""
    loss = series(name, "loss")
    assert loss[701:703].max() > 2 * loss[600:700].max()
    assert level(loss, 0.9, 1) < 1.1 * np.median(loss[600:700])


def test_dead_gradients_and_masked_losses_are_exactly_zero():
    """A loss that was NaN and is filtered is zero as well. On an easy task the loss reaches 0.0
    through small numbers, and its gradient does not vanish."""
    assert set(series("killed-units", "grad_norm")[501:]) == {0.0}
    assert set(series("masked", "loss")) == set(series("masked", "grad_norm")) == {0.0}
    filtered = rows_of("overflow-filtered")[-1]
    assert (filtered["loss"], isnan(filtered["grad_norm"])) == (0.0, True)
    easy, norms = series("easy", "loss"), series("easy", "grad_norm")
    assert (0 in easy, 0 < easy[easy > 0].min() < 2e-4, 0 in norms) == (True, True, False)


@pytest.mark.parametrize("name", of("non-finite"))
def test_a_loss_that_overflows_is_nan_to_the_end(name):
    """The loss was finite at first."""
    first, *_, last = series(name, "loss")
    assert (np.isfinite(first), isnan(last)) == (True, True)


@pytest.mark.parametrize("name", of("lr-too-low"))
def test_a_slow_loss_still_falls_at_its_end(name):
    """Over the whole run it falls by less than half."""
    loss = series(name, "loss")
    quarters = loss[300:600].mean(), loss[600:900].mean(), loss[900:].mean()
    assert quarters[0] > quarters[1] > quarters[2] > 0.5 * loss[:50].mean()


def test_faults_that_a_loss_hardly_shows_cost_something():
    """The loss ends higher than at a good rate, with right labels, or under a whole schedule."""
    good = float(np.median([row["loss"] for row in classes(cosine(0.01), optimizer=Adam)[-120:]]))
    for name in ("constant-too-high", "wild-rate", "corrupted", "ended-early", "far-start"):
        assert level(series(name, "loss"), 0.9, 1) > 1.1 * good, name


def test_learning_rates_are_those_of_their_rows():
    """Zero throughout, zero too early, and constant."""
    assert set(series("zero-rate", "lr")) == {0.0}
    assert (series("ended-early", "lr") == 0).mean() == pytest.approx(0.75)
    assert len(set(series("never-stepped", "lr"))) == 1


def test_a_policy_learns_while_its_loss_does_not_show_it():
    """The loss changes its sign hundreds of times."""
    loss, reward = series("bandit", "loss"), series("bandit", "reward")
    assert (np.diff(np.sign(loss)) != 0).sum() > 200
    assert level(reward, 0.5, 1) > 1.5 * reward[:20].mean()


def test_a_model_without_inputs_learns_the_frequencies():
    """Their level is far from any ln K."""
    loss = series("blind-skewed", "loss")
    assert level(loss, 0.5, 0.75) == pytest.approx(level(loss, 0.75, 1), rel=0.02)
    assert 1.15 * log(2.5) < level(loss, 0.5, 1) < 0.85 * log(4)


@pytest.mark.parametrize("name", of("healthy"))
def test_a_healthy_run_learns_and_does_not_overfit(name):
    """The loss is finite and lower at the end; validation loss ends within 3 % of its minimum."""
    loss = series(name, "loss")
    assert np.isfinite(loss).all()
    assert level(loss, 0.9, 1) < loss[: max(1, len(loss) // 100)].mean()
    assert rise_of_validation(name) < 0.03


def test_losses_have_both_signs_and_span_twelve_orders_of_magnitude():
    """No verdict may depend on the unit of the loss."""
    ends = [float(np.median(series(name, "loss")[-20:])) for name in of("healthy")]
    assert min(ends) < 0
    assert min(end for end in ends if end > 0) < 1e-5
    assert max(ends) > 1e5


LOOKS_FAULTY = {
    "steady-gap": lambda log: log("val_loss")[-1] > 1.5 * level(log("loss"), 0.9, 1),
    "past-its-best": lambda log: rise_of_validation("past-its-best") > 0.01,
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


@pytest.mark.parametrize("name", LOOKS_FAULTY)
def test_a_healthy_run_has_the_property_that_makes_it_look_faulty(name):
    """A run without the property would test nothing."""
    assert LOOKS_FAULTY[name](lambda signal: series(name, signal))


# Their logs


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["killed-and-resumed", "overflow", "bandit"])
def test_a_log_is_read_back_from_every_format(name, form, tmp_path):
    """The steps of one log jump back. Values of NaN count as not measured."""
    rows = rows_of(name)
    assert {signal for row in rows for signal in row} <= {"step", "reward", *LOGGED}
    last = {int(row["step"]): row for row in rows}
    record = read(write(rows, tmp_path, form))
    for signal in LOGGED:
        expected = {
            step: row[signal]
            for step, row in last.items()
            if signal in row and not isnan(row[signal])
        }
        assert points(record, signal) == pytest.approx(expected)


def test_variants_of_a_log_are_thinned_noisy_cut_or_have_fewer_signals():
    """Thinning keeps the last of several points of each signal; noise is relative, so that zero
    stays zero; rows without a signal are left out."""
    rows = [
        {"step": i, "loss": float(i)} | ({"val_loss": float(i)} if i % 2 else {}) for i in range(12)
    ]
    assert thinned(rows, 3) == [
        {"step": 2, "loss": 2.0},
        {"step": 5, "loss": 5.0, "val_loss": 5.0},
        {"step": 8, "loss": 8.0},
        {"step": 11, "loss": 11.0, "val_loss": 11.0},
    ]
    level = [{"step": i, "loss": 100.0, "grad_norm": 0.0, "lr": 0.1} for i in range(400)]
    changed = noisy(level)
    assert np.std([row["loss"] for row in changed]) == pytest.approx(5, rel=0.2)
    assert [row | {"loss": 100.0} for row in changed] == level
    assert VARIANTS["first half"](rows) == rows[:6]
    assert kept(rows[:2], {"val_loss"}) == [{"step": 1, "val_loss": 1.0}]


# The diagnosis


@pytest.mark.parametrize("name", CASES)
def test_the_diagnosis_says_what_can_be_known(name, tmp_path):
    """Each set of signals gives neither more nor less, and names all causes that cannot be told
    apart. tests/test_folder.py diagnoses variants of the logs."""
    row, differences = BY_NAME[CASES[name].row], {}
    for signals, present in SETS.items():
        if diagnosis := diagnose_case(name, signals, UNCHANGED, tmp_path):
            if found := difference(row, row.cell(present), diagnosis):
                differences[signals] = f"{found}; can be known: {row.cell(present)}"
        else:
            assert (signals, name in GPT) == (OWN_RECORD, False)
    assert differences == {}
