"""The comparison of a run with its family: healthy runs of the same config with other seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from model import BREAKS, HEALTHY, build
from model.config import Config
from model.train import Specimen
from model.zoo import ZOO
from probes import Experiment, Record, diagnose
from probes.cli import main
from probes.diagnosis.diagnose import family_of
from probes.diagnosis.family import (
    FALSE_ALARM_RATE,
    MIN_MEMBERS,
    Family,
    FamilyError,
    student_quantile,
)
from probes.plugin.run_cache import RunCache
from probes.recording.recorder import save
from probes.report import json_report, markdown
from probes.report.html import render
from probes.report.judged_run import JudgedRun, from_json, judge, to_json
from testing.trained_runs import FOLDER, load_or_train
from tests.conftest import ROOT, Project
from tests.records import hand_made

TINY = replace(
    HEALTHY,
    steps=60,
    eval_every=10,
    model=replace(HEALTHY.model, d_model=32, n_heads=2, n_layers=1, d_ff=128),
)
"""A config that trains in less than a second. Its runs end above the loss of the best n-gram model,
and are healthy only without the fact `ladder`."""
KEPT = FOLDER / "tests"
MEMBERS = 10
SEED = 80
"""Choosing seed of the runs that are compared with the family."""


def without_ladder(record: Record) -> Record:
    facts = {name: fact for name, fact in record.facts.items() if name != "ladder"}
    return replace(record, facts=facts)


def trained(seed: int) -> Record:
    config = replace(TINY, seed=seed)
    return without_ladder(load_or_train(f"family-of-tiny-{seed}", config, KEPT))


def trained_with(name: str, fingerprint: str, make: Callable[[Config], Specimen]) -> Record:
    """The record of a faulty run, trained only if it is not kept."""
    config = replace(TINY, seed=SEED)
    offered = Experiment(partial(make, config), f"{fingerprint} {config}", "zoo")
    return without_ladder(RunCache(KEPT, "tests").fetch(name, offered).record)


@pytest.fixture(scope="module")
def members() -> list[Record]:
    return [trained(seed) for seed in range(MEMBERS)]


@pytest.fixture(scope="module")
def family(members: list[Record]) -> Family:
    return family_of(members)


# What the comparison finds


@pytest.mark.parametrize("seed", [SEED, SEED + 1, SEED + 2])
def test_the_diagnosis_of_a_healthy_run_is_the_same_as_without_the_family(
    family: Family, seed: int
) -> None:
    run = trained(seed)
    assert diagnose(run, family=family) == diagnose(run)
    assert diagnose(run).verdict == "healthy"


@pytest.mark.parametrize(
    ("name", "dose", "signal"),
    [
        ("weight-decay-hundred-times-too-large", 100, "spectral_norm"),
        ("betas-swapped", 1, "spectral_norm"),
        ("momentum-of-a-thousand-steps", 1, "update_weight_ratio"),
        ("clipping-far-too-tight", 1e-4, "clip_norm"),
        ("rate-hundred-times-too-low", 0.3, "lr"),
    ],
)
def test_a_fault_without_a_first_principle_is_undetermined_with_its_signals(
    family: Family, name: str, dose: float, signal: str
) -> None:
    fault = ZOO[name]
    run = trained_with(
        f"tiny-{name}", fault.own_hash(dose), lambda config: fault.build(config, dose)
    )
    assert diagnose(run).verdict == "healthy"  # nothing shows without the family
    diagnosis = diagnose(run, family=family)
    assert (diagnosis.verdict, diagnosis.cause, diagnosis.alarm) == ("undetermined", None, True)
    assert signal in {odd.signal for odd in diagnosis.odd}
    assert signal in diagnosis.reason
    assert f"{MEMBERS} healthy runs of the same config do not show this: " in diagnosis.reason
    assert diagnosis.gist == diagnosis.reason
    assert diagnosis.odd[0].excess > 1


def test_an_odd_signal_has_numbers_that_a_person_understands(family: Family) -> None:
    fault = ZOO["weight-decay-hundred-times-too-large"]
    run = trained_with("tiny-" + fault.name, fault.own_hash(100), fault.build)
    odd = {str(one).partition(" is ")[0]: one for one in diagnose(run, family=family).odd}
    norm = odd["spectral_norm of blocks.0.ffn.up.weight in steps 52 to 59"]
    assert norm.is_ratio
    assert 0.05 < norm.observed < 0.5
    assert 0.7 < norm.low < 1 < norm.high < 1.4
    assert str(norm).endswith(
        f" is {norm.observed:.3g} times the healthy median "
        f"(healthy runs: {norm.low:.3g} to {norm.high:.3g})"
    )


def test_a_named_cause_keeps_its_verdict(family: Family) -> None:
    brk = BREAKS["bad-init"]
    run = trained_with("tiny-bad-init", "bad-init", lambda config: build(brk.apply(config)))
    diagnosis = diagnose(run, family=family)
    assert (diagnosis.verdict, diagnosis.cause) == ("unhealthy", brk.cause)
    assert diagnosis.reason == ""
    assert diagnosis.odd


def test_what_is_odd_stays_odd_while_the_run_goes_on(family: Family) -> None:
    fault = ZOO["weight-decay-hundred-times-too-large"]
    run = trained_with("tiny-" + fault.name, fault.own_hash(100), fault.build)
    earlier: set[str] = set()
    for step in (0, 7, 20, 40, 59):
        diagnosis = diagnose(run.prefix(step), ended=False, family=family)
        now = {str(one) for one in diagnosis.odd}
        assert earlier <= now
        earlier = now
    assert earlier


def test_the_provenance_is_not_used(members: list[Record], family: Family) -> None:
    named = [replace(one, provenance={"config": {"seed": 7}, "name": "same"}) for one in members]
    run = trained_with(
        "tiny-betas-swapped", ZOO["betas-swapped"].own_hash(1), ZOO["betas-swapped"].build
    )
    other = replace(run, provenance={"name": "other"})
    assert diagnose(other, family=family_of(named)) == diagnose(run, family=family)


def drawn(rng: np.random.Generator, factor: float = 1.0) -> Record:
    """A run whose signals are noise around a falling curve."""
    curve = np.exp(-np.linspace(0, 2, 40))

    def noisy(level: float) -> list[float]:
        shift = rng.normal(0, 0.05)
        return list(level * curve * np.exp(shift + rng.normal(0, 0.05, 40)))

    sites = [f"matrix.{i}" for i in range(6)]
    return hand_made(
        {
            "loss": noisy(4),
            "grad_norm": noisy(1),
            "update_weight_ratio": {site: noisy(0.01 * factor) for site in sites},
            "dead_fraction": {"ffn": list(rng.uniform(0, 0.02, 40))},
        },
        total_steps=40,
    )


def test_of_healthy_runs_at_most_one_in_a_hundred_is_odd() -> None:
    """The rate holds for runs that no family contains; 0.5 % are expected."""
    rng = np.random.default_rng(0)
    runs = [drawn(rng) for _ in range(60)]
    alarms = tests = 0
    for _ in range(15):
        order = rng.permutation(len(runs))
        family = Family([runs[i] for i in order[:12]])
        found = [bool(family.odd_signals(runs[i])) for i in order[12:]]
        alarms, tests = alarms + sum(found), tests + len(found)
    assert alarms / tests <= 2 * FALSE_ALARM_RATE


def test_a_signal_that_doubles_is_odd_and_one_that_the_run_lacks_is_not_compared() -> None:
    rng = np.random.default_rng(1)
    family = Family([drawn(rng) for _ in range(12)])
    assert {one.signal for one in family.odd_signals(drawn(rng, 2.0))} == {"update_weight_ratio"}
    few = drawn(rng, 2.0)
    tables = {name: few.tables[name] for name in ("loss", "grad_norm")}
    assert family.odd_signals(replace(few, tables=tables)) == ()


def test_values_below_zero_are_compared_by_differences() -> None:
    """The negative log-likelihood of a density crosses 0, so its ratios mean nothing."""
    rng = np.random.default_rng(3)

    def density(shift: float) -> Record:
        return hand_made({"loss": list(np.linspace(2, -2, 40) + shift + rng.normal(0, 0.05, 40))})

    family = Family([density(0.0) for _ in range(12)])
    assert family.odd_signals(density(0.0)) == ()
    odd = family.odd_signals(density(1.0))
    assert {(one.signal, one.is_ratio) for one in odd} == {("loss", False)}
    assert odd[0].observed - odd[0].high == pytest.approx(1, abs=0.3)


def test_a_run_without_rows_or_usable_facts_has_nothing_odd() -> None:
    rng = np.random.default_rng(4)
    family = Family([drawn(rng) for _ in range(12)])
    assert family.odd_signals(hand_made({})) == ()
    strange = replace(drawn(rng), facts={"total_steps": 40, "clip_norm": "none", "eps": True})
    assert family.odd_signals(strange) == ()
    with pytest.raises(FamilyError, match="member 5: its record is incomplete"):
        Family([*(drawn(rng) for _ in range(4)), hand_made({})])


def test_a_dead_fraction_is_compared_by_its_difference() -> None:
    """All members show 0, which has no ratio scale."""
    rng = np.random.default_rng(2)

    def with_dead(value: float) -> Record:
        values = drawn(rng).column("loss")
        return hand_made({"loss": list(values), "dead_fraction": {"ffn": [value] * 40}})

    family = Family([with_dead(0.0) for _ in range(12)])
    assert family.odd_signals(with_dead(0.01)) == ()
    odd = family.odd_signals(with_dead(0.4))
    assert {(one.signal, one.site, one.is_ratio) for one in odd} == {
        ("dead_fraction", "ffn", False)
    }
    assert (odd[0].observed, odd[0].low, odd[0].high) == (0.4, 0.0, 0.0)


@pytest.mark.parametrize(("freedom", "expected"), [(4, 4.604), (11, 3.106), (29, 2.756)])
def test_the_quantile_of_students_distribution(freedom: int, expected: float) -> None:
    assert student_quantile(0.995, freedom) == pytest.approx(expected, rel=0.02)


# What is refused


def refused(members: Sequence[Record], run: Record | None = None) -> FamilyError:
    with pytest.raises(FamilyError) as caught:
        diagnose(run or trained(SEED), family=members)
    assert isinstance(caught.value, ValueError)
    return caught.value


def test_a_family_of_too_few_runs_is_refused(members: list[Record]) -> None:
    error = refused(members[: MIN_MEMBERS - 1])
    assert "at least 5 healthy runs of one config" in str(error)


def test_a_member_that_does_not_fit_is_refused(members: list[Record]) -> None:
    other = replace(members[3], facts={**members[3].facts, "total_steps": 90})
    error = refused([*members[:3], other, *members[4:]])
    assert str(error).startswith("member 4: it does not fit the first member: total_steps is 90 in")
    assert error.member == 3
    assert "its record is incomplete" in str(refused([*members[:-1], members[-1].prefix(30)]))
    assert str(refused([*members, members[2]])) == "member 11: it is the same run as member 3"


def test_a_member_that_is_not_healthy_is_refused(members: list[Record]) -> None:
    brk = BREAKS["bad-init"]
    sick = trained_with("tiny-bad-init", "bad-init", lambda config: build(brk.apply(config)))
    error = refused([*members, sick])
    assert str(error).startswith(f"member 11: it is unhealthy ({brk.cause}")


def test_a_run_that_does_not_fit_is_refused(members: list[Record]) -> None:
    run = trained(SEED)
    for fact, message in {
        "vocab_size": "vocab_size is 9 instead of 64",
        "total_steps": "total_steps is 9 instead of 60",
    }.items():
        other = replace(run, facts={**run.facts, fact: 9})
        assert str(refused(members, other)) == f"the run does not fit its family: {message}"
    other = replace(run, facts={**run.facts, "sites": {**run.facts["sites"], "extra": "layer"}})
    assert "the fact sites differs at extra, which is new" in str(refused(members, other))


def test_a_run_with_other_sites_of_a_signal_is_refused(members: list[Record]) -> None:
    run = trained(SEED)
    table = run.tables["activation"]
    fewer = replace(table, sites=table.sites[1:], values=table.values[:, 1:])
    other = replace(run, tables={**run.tables, "activation": fewer})
    assert "activation was measured at other sites, at embed, which is missing" in str(
        refused(members, other)
    )


def test_a_run_is_not_compared_with_itself(members: list[Record]) -> None:
    assert str(refused(members, members[4])) == (
        "the run is member 5 of its family; leave it out there"
    )


# Outputs


@pytest.fixture(scope="module")
def swapped(family: Family) -> JudgedRun:
    fault = ZOO["betas-swapped"]
    run = trained_with("tiny-betas-swapped", fault.own_hash(1), fault.build)
    return judge(run, "swapped", family=family)


def test_a_run_keeps_its_odd_signals_on_the_way_to_the_controller(swapped: JudgedRun) -> None:
    sent = from_json(to_json(swapped))
    assert isinstance(sent, JudgedRun)
    assert sent.diagnosis == swapped.diagnosis
    assert sent.diagnosis.odd


def test_the_document_says_what_is_odd(swapped: JudgedRun) -> None:
    document = json.loads(json_report.document([swapped]))
    schema = json.loads((ROOT / "probes/schema/diagnosis.schema.json").read_bytes())
    jsonschema.validate(document, schema)
    (entry,) = document["runs"]
    assert (entry["verdict"], entry["alarm"]) == ("undetermined", True)
    assert "spectral_norm" in entry["reason"]
    assert entry["headline"] == entry["reason"]


def test_page_and_markdown_say_what_is_odd(swapped: JudgedRun, tmp_path: Path) -> None:
    render([swapped], tmp_path / "page.html")
    odd = str(swapped.diagnosis.odd[0])
    assert odd in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "spectral&#95;norm" in markdown.summary([swapped])


def test_the_summary_has_no_numbers(swapped: JudgedRun) -> None:
    reason = swapped.diagnosis.summary()["reason"]
    assert reason.startswith("odd beside its family: ")
    assert not any(letter.isdigit() for letter in reason)


@pytest.fixture
def folder(members: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `runs` with the members, and a run with swapped betas beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for i, member in enumerate(members):
        save(member, f"runs/{i}.jsonl")
    fault = ZOO["betas-swapped"]
    save(trained_with("tiny-betas-swapped", fault.own_hash(1), fault.build), "swapped.jsonl")
    return tmp_path


def test_the_command_line_compares_with_a_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", "swapped.jsonl"]) == 0
    assert main(["diagnose", "swapped.jsonl", "--family", "runs"]) == 3
    printed = capsys.readouterr().out
    assert f"swapped.jsonl: undetermined: {MEMBERS} healthy runs of the same config" in printed
    assert "odd beside its family: spectral_norm" in printed
    save(trained(SEED), folder / "runs" / "new.jsonl")
    assert main(["diagnose", "runs/new.jsonl", "--family", "runs"]) == 0  # it is no member


def test_the_command_line_names_the_member_that_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(trained(SEED).prefix(30), folder / "runs" / "cut.jsonl")
    assert main(["diagnose", "swapped.jsonl", "--family", "runs"]) == 4
    assert "probes: --family: runs/cut.jsonl: its record is incomplete" in capsys.readouterr().err
    assert main(["diagnose", "swapped.jsonl", "--family", "missing.jsonl"]) == 4
    assert "--family: missing.jsonl cannot be read" in capsys.readouterr().err


def test_a_run_of_another_config_is_an_error_of_that_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(SEED)
    save(replace(run, facts={**run.facts, "vocab_size": 9}), folder / "other.jsonl")
    assert main(["diagnose", "other.jsonl", "--family", "runs"]) == 2
    assert "other.jsonl: the run does not fit its family: vocab_size is 9" in (
        capsys.readouterr().err
    )


# The plugin

OFFERS = """
from functools import partial
from pathlib import Path
from probes import Experiment
from tiny_specimen import build

def experiment(name, family=None, **settings):
    log = Path(__file__).parent / f"{name}.builds"
    return Experiment(partial(build, log, **settings), str(settings), "rest", None, family)

def family(number):
    return experiment("family", seed=number + 1)

def pytest_probes_experiments(config):
    return {
        "healthy": experiment("healthy", family),
        "slow": experiment("slow", family, lr=0.07),
        "alone": experiment("alone", lr=0.07),
    }
"""
VERDICTS = """
    import pytest

    @pytest.mark.parametrize(
        ("name", "verdict"),
        [("healthy", "healthy"), ("slow", "undetermined"), ("alone", "healthy")],
    )
    def test_it(run, name, verdict):
        diagnosis = run(name).diagnosis
        assert (diagnosis.verdict, bool(diagnosis.odd)) == (verdict, verdict != "healthy")
"""


@pytest.fixture
def offering(project: Project) -> Project:
    project.conftest(OFFERS)
    project.tests(VERDICTS)
    return project


def test_experiments_are_compared_with_a_family_that_is_trained_once(offering: Project) -> None:
    result = offering.run("--family", "6")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["slow *undetermined *6 healthy runs of the same config*lr *"])
    assert offering.builds("family") == 6
    offering.run("--family", "6").assert_outcomes(passed=3)
    assert offering.builds("family") == 6
    reasons = {run["name"]: run["reason"] for run in entries(offering)}
    assert "lr at step 0" in reasons["slow"]
    assert not reasons["healthy"]


def test_workers_share_a_family(offering: Project) -> None:
    offering.run_on_workers("--family", "6").assert_outcomes(passed=3)
    assert offering.builds("family") == 6
    verdicts = {run["name"]: run["verdict"] for run in entries(offering)}
    assert verdicts == {"healthy": "healthy", "slow": "undetermined", "alone": "healthy"}


def entries(project: Project) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(project.document.read_bytes())["runs"]
    return runs


def test_without_the_option_no_family_is_trained(offering: Project) -> None:
    offering.run("-k", "healthy-healthy").assert_outcomes(passed=1)
    assert offering.builds("family") == 0


def test_a_family_that_is_not_healthy_is_an_error_of_the_test(offering: Project) -> None:
    offering.conftest(OFFERS.replace("seed=number + 1", "seed=number + 1, lr=0.0"))
    result = offering.run("--family", "6", "-k", "healthy-healthy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *FamilyError: experiment 'healthy': member 1: it is un*"])


@pytest.mark.parametrize(
    ("size", "message"),
    [("3", "*--family 3: a family has at least 5 runs*"), ("x", "*invalid int value*")],
)
def test_a_wrong_size_is_a_usage_error(offering: Project, size: str, message: str) -> None:
    result = offering.run("--family", size)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_project_without_a_family_is_told_so(project: Project) -> None:
    project.tests("def test_it(run): run('healthy')")
    result = project.run("--family", "6")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *FamilyError: *no experiment of this project offers a family*"])
