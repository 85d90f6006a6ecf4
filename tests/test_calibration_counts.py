"""What is kept of a diagnosis, how it is counted, and how sure a count is."""

import dataclasses
import json
from math import inf

import pytest

from calibration import rates, tables
from calibration.conditions import Planned
from calibration.outcome import Outcome, outcome
from calibration.tally import LABELLED, UNLABELLED, by_config, grouped, summary, tally
from model import BREAKS, HEALTHY
from tests.outcomes import HAND, entry, of
from tests.records import changed, thorough


@pytest.mark.parametrize(("count", "bound"), [(0, 0.0099), (2, 0.0208)])
def test_the_one_sided_bound_is_clopper_and_pearsons(count, bound):
    """0 of 300 is the rule of three's 1 %; 2 of 300 are 2.1 %."""
    assert rates.at_most(count, 300) == pytest.approx(bound, abs=5e-5)


def test_the_two_sided_interval_is_clopper_and_pearsons():
    """100 of 100: the lower end is the hundredth root of 2.5 %."""
    assert rates.exact(100, 100) == pytest.approx((0.025 ** (1 / 100), 1.0))


def test_alarms_that_share_a_config_are_less_sure_than_alarms_that_do_not():
    """The bootstrap draws configs, not runs."""
    spread = rates.over_groups([(1, 4)] * 8 + [(0, 4)] * 32)
    gathered = rates.over_groups([(4, 4)] * 2 + [(0, 4)] * 38)
    assert gathered.low < spread.low < 0.05 < spread.high < gathered.high


def test_the_bootstrap_says_the_same_every_time():
    """It is seeded, or the README would never be up to date."""
    groups = [(i % 3, 4 + i % 5) for i in range(40)]
    assert rates.over_groups(groups) == rates.over_groups(groups)


def test_an_outcome_says_what_was_named_since_when_and_by_which_detectors():
    """Of a hand-made record whose val loss falls below its floor halfway."""
    planned = Planned(
        "mask-leak-7", "mask-leak", dataclasses.replace(HEALTHY, seed=7), BREAKS["mask-leak"].cause
    )
    judged = outcome(planned, thorough(val_loss=[2.0] * 20 + [0.01] * 20))
    assert (judged.said, judged.right, judged.certain_since, judged.seed) == (
        "mask-leak",
        True,
        20,
        7,
    )
    assert judged.found == ("floor",)


def test_an_outcome_says_which_detectors_could_not_judge():
    """And why not, as the diagnosis does."""
    judged = outcome(
        Planned("bad-init-7", "bad-init", HEALTHY, "bad-init"), changed(loss=[60.0, *[3.0] * 39])
    )
    assert judged.silent["floor"].startswith("no floor is stated")


def test_a_healthy_outcome_is_right_and_carries_the_label():
    """The label is of the rule, not of the diagnosis."""
    judged = outcome(Planned("healthy-7", "healthy", HEALTHY), thorough())
    assert (judged.said, judged.right, judged.alarm) == ("healthy", True, False)
    assert judged.unlabelled.startswith("val ends at 1.")


def test_a_headline_is_kept_where_something_is_to_be_explained():
    """Of a run that is called right by default it would say nothing."""
    right, wrong = (
        of("healthy-1", "healthy", headline="all well"),
        of("healthy-2", "overfit", headline="val rises"),
    )
    assert ("headline" in right.row(), "headline" in wrong.row()) == (False, True)


def test_a_row_holds_what_json_can_say():
    """A margin that is not finite is null, as one that is not there."""
    row = json.loads(
        json.dumps(
            of("healthy-2", "overfit", margin=inf, found=("overfitting",)).row(), allow_nan=False
        )
    )
    assert row["margin"] is None
    assert Outcome.of_row(row) == of("healthy-2", "overfit", found=("overfitting",))


def test_a_condition_is_counted_with_its_deadline_and_margins():
    """What was named wrong counts for none of them."""
    counted = tally("mask-leak", grouped(HAND)["mask-leak"])
    assert (counted.right, counted.runs) == (3, 4)
    assert (counted.certain_since, counted.certain_by) == ((30, 70), BREAKS["mask-leak"].certain_by)
    assert (counted.margins, counted.sole) == ((1.0, 2.0), 1)


def test_sampled_runs_are_parted_by_their_label():
    """Only those that are labelled healthy count against the diagnosis."""
    groups = grouped(HAND)
    assert {name: len(groups[name]) for name in (LABELLED, UNLABELLED)} == {
        LABELLED: 2,
        UNLABELLED: 1,
    }
    (config,) = by_config(HAND)
    assert (config.labelled, config.runs, config.alarms, config.said) == (
        2,
        3,
        1,
        {"undetermined": 1},
    )


def test_the_confusion_matrix_has_a_row_for_what_was_trained_and_a_column_for_what_was_said():
    """Causes first, then the verdicts in which none is named."""
    matrix = {table.title: table for table in tables.tables(HAND, entry().configs)}[
        "Confusion matrix"
    ]
    assert matrix.head == ("condition", "mask-leak", "overfit", "healthy", "undetermined")
    assert matrix.rows[:2] == (("healthy", "0", "1", "4", "0"), ("mask-leak", "3", "1", "0", "0"))


def test_alarms_and_misses_are_listed_with_what_caused_them():
    """The exact count is not enough."""
    by_title = {table.title: table.rows for table in tables.tables(HAND, entry().configs)}
    assert [row[:3] for row in by_title["Alarms in healthy runs"]] == [
        ("healthy-1004", "overfit", "val rises"),
        ("sampled-07-1301", "undetermined", "no cause explains it"),
    ]
    assert by_title["Misses"] == (("mask-leak-1003", "mask-leak", "overfit", "val rises"),)


@pytest.mark.parametrize(("wrong", "word"), [(0, "yes"), (2, "accepted"), (3, "no")])
def test_a_target_is_reached_accepted_or_missed(wrong, word):
    """Nothing is rounded in its favour."""
    runs = [of(f"healthy-{seed}", "overfit" if seed < wrong else "healthy") for seed in range(300)]
    assert tables.accuracy({"healthy": runs}).rows[0][-1].startswith(f"{word}: {wrong}, ")


def test_without_an_alarm_the_bootstrap_over_configs_claims_nothing():
    """It would say 100 to 100 %, however few the configs."""
    assert tally(LABELLED, [of("sampled-07-1300", "healthy")]).interval is None
    low, high = tally(
        LABELLED, [of("sampled-07-1300", "healthy"), of("sampled-08-1304", "overfit")]
    ).interval
    assert (low, high) == (0.0, 1.0)


def test_no_answer_is_right_for_a_run_that_is_neither_broken_nor_labelled_healthy():
    """Nothing is known of it, so it counts for nothing."""
    assert summary(HAND)[UNLABELLED]["right"] is None


def test_the_summary_is_for_machines():
    """Builtins, and the rates with their intervals."""
    healthy = json.loads(json.dumps(summary(HAND)))["healthy"]
    assert (healthy["runs"], healthy["alarms"], healthy["said"]) == (
        5,
        1,
        {"healthy": 4, "overfit": 1},
    )
    assert healthy["found_by"] == {"overfitting": 1}
