"""Which runs are trained to judge by, on which seeds, how far that is, and which of them count as
healthy."""

import ast
import dataclasses
from math import inf, nan
from pathlib import Path

import pytest

from calibration import conditions, judge, sampler
from calibration.conditions import Planned, plan
from calibration.health import reasons_against
from calibration.progress import Progress, duration
from model import HEALTHY
from model.config import leaves
from model.seeds import CHOOSING_SEEDS, JUDGING_FROM
from probes.record import Record
from tests.records import hand_made

ROOT = Path(__file__).parents[1]
PHASES = pytest.mark.parametrize("phase", ["choosing", "judging"])


@PHASES
def test_a_sampled_config_is_within_the_ranges(phase):
    """As they were fixed; a config that cannot be trained would not even have been made."""
    for each in sampler.sample(phase):
        model, optimizer, config = each.config.model, each.config.optimizer, each.config
        assert model.d_model in (32, 48, 64, 96, 128)
        assert model.n_layers in (1, 2, 3, 4)
        assert model.n_heads in (1, 2, 4, 8)
        assert model.d_ff == 4 * model.d_model
        assert config.data.batch_size in (16, 24, 32, 48, 64)
        assert 4e-3 <= optimizer.lr_max * (model.d_model / 64) ** 0.5 <= 2.4e-2
        assert 80 <= config.steps <= 240
        assert (optimizer.warmup_steps + 0.5) / config.steps >= 0.05
        assert (optimizer.warmup_steps - 0.5) / config.steps <= 0.25
        assert config.steps // config.eval_every >= 40


def test_the_judging_stream_is_the_one_that_was_fixed():
    """Its first config, so that a range changed later does not go unseen."""
    drawn = {name: leaves(sampler.sample("judging", 1000)[0].config)[name] for name in judge.DRAWN}
    assert drawn == {
        "model.d_model": 96,
        "model.n_layers": 2,
        "model.n_heads": 1,
        "data.batch_size": 32,
        "optimizer.lr_max": pytest.approx(0.0045637348532),
        "optimizer.warmup_steps": 38,
        "steps": 177,
    }


@PHASES
def test_no_config_is_drawn_twice(phase):
    """Each comes from a stream of its own."""
    drawn = [each.config for each in sampler.sample(phase)]
    assert len(set(drawn)) == len(drawn)


@PHASES
def test_the_same_configs_are_drawn_every_time_however_many(phase):
    """The first ones of a longer stream are the shorter stream."""
    assert sampler.sample(phase, configs=5) == sampler.sample(phase, configs=9)[:5]


def test_a_fresh_range_draws_fresh_configs():
    """Those of a range that was judged have been seen."""
    seen, fresh = (
        {each.config for each in sampler.sample("judging", first)} for first in (1000, 2000)
    )
    assert not seen & fresh


def test_choosing_and_judging_share_no_config_and_no_seed():
    """Nothing that helped to choose judges."""
    choosing, judging = ({run.config for run in plan(phase)} for phase in ("choosing", "judging"))
    assert not {config.seed for config in choosing} & {config.seed for config in judging}
    anonymous = [
        {dataclasses.replace(each.config, seed=0) for each in sampler.sample(p)}
        for p in ("choosing", "judging")
    ]
    assert not anonymous[0] & anonymous[1]


def test_choosing_stays_within_the_choosing_seeds():
    """And judging begins where `model.seeds` says."""
    low, high = conditions.seed_range("choosing")
    assert (low, high) == (CHOOSING_SEEDS[0], CHOOSING_SEEDS[-1])
    assert conditions.seed_range("judging")[0] == JUDGING_FROM


def test_sampled_configs_share_no_seed_with_the_healthy_runs_that_judge():
    """So that the one is evidence beside the other."""
    seeds = {
        kind: {run.config.seed for run in plan("judging") if run.condition == kind}
        for kind in ("healthy", "sampled")
    }
    assert not seeds["healthy"] & seeds["sampled"]


@PHASES
def test_runs_are_planned_the_longest_first_under_names_of_their_own(phase):
    """And no name holds the word by which the experiments of the breaks are selected."""
    runs = plan(phase)
    assert [run.work for run in runs] == sorted((run.work for run in runs), reverse=True)
    assert len({run.name for run in runs}) == len(runs)
    assert not [run.name for run in runs if "break" in run.name]


def test_training_looks_at_nothing():
    """The files that train import nothing that judges, so a record can be there long before the
    detectors are final."""
    judging = {"diagnosis", "outcome", "health", "detectors", "tally", "judge", "diagnose"}
    for name in ("conftest", "test_train", "conditions", "progress", "sampler"):
        tree = ast.parse((ROOT / "calibration" / f"{name}.py").read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        words = {
            part
            for node in imports
            for part in ast.unparse(node).replace(".", " ").replace(",", " ").split()
        }
        assert not words & judging, name


def test_the_time_left_comes_from_the_work_done_in_this_session():
    """Runs that were there before tell nothing of the pace."""
    now = [0.0]
    runs = [Planned(name, "healthy", HEALTHY) for name in "abcd"]
    progress = Progress(runs, there=["a"], clock=lambda: now[0])
    assert str(progress) == "1 of 4 runs trained"
    now[0] = 60.0
    progress.done("b")
    assert str(progress) == "2 of 4 runs trained, about 2 min left"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(40, "40 s"), (700, "12 min"), (3899, "1 h 05 min"), (3599, "1 h 00 min")],
)
def test_a_duration_is_as_exact_as_an_estimate(seconds, words):
    """Hours and minutes, or minutes, or seconds."""
    assert duration(seconds) == words


def evaluated(*val: float, **signals) -> Record:
    return hand_made({"val_loss": list(val), **signals}, ladder={"val": {"ngram": 1.0}})


def test_a_run_that_ends_near_its_minimum_and_below_the_n_gram_is_labelled_healthy():
    """Its last five evaluations are 2 % above the best five."""
    assert reasons_against(evaluated(*[0.9] * 5, *[0.918] * 5)) == ""


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (evaluated(*[0.9] * 5, *[0.936] * 5), "val ends 4% above its minimum"),
        (evaluated(*[2.0] * 5, *[1.0] * 5), "val ends at 1, not below the n-gram's 1"),
        (evaluated(*[0.9] * 9, inf), "not finite"),
        (evaluated(*[0.9] * 10, nonfinite_count={"embed": [0.0] * 9 + [1.0]}), "not finite"),
        (evaluated(*[0.9] * 9, nan), "not finite"),
    ],
)
def test_a_run_that_is_ruined_cut_short_or_carried_too_far_is_not(record, reason):
    """Each half of the rule alone."""
    assert reasons_against(record) == reason
