"""Trainings and logs drawn by seed: the same log from the same seed, every family drawn, labels by
outcome, and files that the readers accept."""

from dataclasses import replace

import numpy as np
import pytest

from probes.readers import read
from studies.innocent_runs import fault_of, upper_bound
from testing.drawn_faults import FAULTS
from testing.drawn_logs import from_line, to_line, write_log
from testing.drawn_tasks import FAMILIES
from testing.drawn_trainings import Training, draw_plan, fall_of, train, why_not_healthy
from testing.small_net import constant

FAST = 5, 10, 14
"""Seeds of healthy trainings that take little time, in three formats."""


@pytest.fixture(scope="module")
def plan():
    """A distillation of 72 updates, which goes well."""
    return draw_plan(5)


def with_full_losses(plan, held, fitted=None):
    """A training with these full evaluations and an empty log."""
    none, fitted = np.zeros(0), held if fitted is None else fitted
    return Training(plan, none, none, none, none, {}, np.array(fitted), np.array(held))


def test_same_seed_writes_same_log(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    logs = [write_log(FAST[0], folder) for folder in (first, second)]
    texts = [next(folder.iterdir()).read_text() for folder in (first, second)]
    assert texts[0] == texts[1]
    assert replace(logs[0], path="") == replace(logs[1], path="")


@pytest.mark.parametrize("seed", FAST)
def test_log_is_readable_and_holds_what_its_description_says(seed, tmp_path):
    log = write_log(seed, tmp_path)
    record = read(tmp_path / f"healthy-{seed}.log")
    name = "val_loss" if log.writing.columns == "only validation loss" else "loss"
    assert len(record.series(name)[0]) == log.points
    assert log.label == "healthy"
    assert not why_not_healthy(with_full_losses(draw_plan(seed), log.full_held, log.full_train))


def test_every_family_is_drawn():
    drawn = {str(np.random.default_rng([seed, 21]).choice(list(FAMILIES))) for seed in range(200)}
    assert drawn == set(FAMILIES)
    assert draw_plan(5).task.family == draw_plan(5, attempt=1).task.family


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_of_each_loss_agrees_with_differences(family):
    task = FAMILIES[family](np.random.default_rng(3))
    rng = np.random.default_rng(0)
    out, y = rng.standard_normal((4 * task.views, task.outputs)), task.y[:4]
    _, gradient = task.loss(out, y)
    for at in [(0, 0), (1, task.outputs - 1), (3, 0)]:
        up, down = out.copy(), out.copy()
        up[at] += 1e-6
        down[at] -= 1e-6
        slope = (task.loss(up, y)[0] - task.loss(down, y)[0]) / 2e-6
        assert gradient[at] == pytest.approx(slope, rel=1e-4, abs=1e-7)


class TestRule:
    def test_training_that_ends_near_its_best_passes(self, plan):
        losses = [4.0, 3.0, 2.5, 2.5, 2.5]
        assert why_not_healthy(with_full_losses(plan, losses)) == ""

    def test_end_far_above_the_lowest_is_dropped(self, plan):
        losses = [4.0, 1.0, 1.3, 1.3, 1.3]
        assert why_not_healthy(with_full_losses(plan, losses)) == "ends above 1.2 times its lowest"

    def test_training_loss_alone_that_ends_high_is_dropped(self, plan):
        held, fitted = [4.0, 1.0, 1.0, 1.0, 1.0], [4.0, 1.0, 1.3, 1.3, 1.3]
        training = with_full_losses(plan, held, fitted)
        assert why_not_healthy(training) == "ends above 1.2 times its lowest"

    def test_giving_back_much_of_a_small_fall_is_dropped(self, plan):
        losses = [6.0, 5.0, 5.5, 5.5, 5.5]
        assert why_not_healthy(with_full_losses(plan, losses)) == "gives back a fifth of its fall"

    def test_negligible_rise_from_a_loss_near_zero_passes(self, plan):
        losses = [4.0, 1e-4, 3e-4, 3e-4, 3e-4]
        assert why_not_healthy(with_full_losses(plan, losses)) == ""

    def test_small_fall_is_dropped(self, plan):
        losses = [4.0, 3.9, 3.8, 3.8, 3.8]
        assert why_not_healthy(with_full_losses(plan, losses)) == "learnt too little"

    def test_rate_that_is_far_too_high_is_dropped(self, plan):
        training = train(replace(plan, optimizer="SGD", lr=constant(1e3)))
        assert why_not_healthy(training) in ("not finite", "ends above 1.2 times its lowest")

    def test_rate_of_zero_is_dropped(self, plan):
        training = train(replace(plan, lr=constant(0.0)))
        assert fall_of(training) == 0
        assert why_not_healthy(training) == "learnt too little"


@pytest.mark.parametrize("fault", ["NaN", "frozen", "zero loss", "dead"])
def test_fault_shows_in_the_log(fault, tmp_path):
    seed = next(seed for seed in range(len(FAULTS)) if fault_of(seed) == fault)
    log = write_log(seed, tmp_path, fault)
    record = read(tmp_path / f"{fault.replace(' ', '-')}-{seed}.log")
    name = "val_loss" if log.writing.columns == "only validation loss" else "loss"
    _, values = record.series(name)
    assert (log.label, log.fault) == ("sick", fault)
    if fault == "NaN":
        assert "nan" in (tmp_path / f"NaN-{seed}.log").read_text().lower()
    elif fault == "zero loss":
        assert values[-1] == 0
    elif fault == "frozen":
        assert np.ptp(values) <= 1e-9 * values[0]


def test_description_survives_the_index(tmp_path):
    log = write_log(FAST[0], tmp_path)
    assert from_line(to_line(log)) == log


def test_upper_bound_is_that_of_clopper_and_pearson():
    """The rule of three for no event, and a tabulated value."""
    assert upper_bound(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-6)
    assert upper_bound(5, 100) == pytest.approx(0.1023, abs=2e-4)
