"""docs/proofs.md lists the proofs and the methods that they need; their cost can be measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model import HEALTHY
from probes.proofs import LATER_STEPS, PROOFS, REQUIRED
from studies.proof_cost import TOGETHER, measure, table
from studies.proof_tables import EXPERIMENTS, PAGE, TABLES, method_meanings
from testing.marker_blocks import read_block

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("block", TABLES)
def test_tables_are_up_to_date(block: str) -> None:
    """`python -m studies.proof_tables` writes them."""
    assert read_block(TEXT, block) == TABLES[block]()


def test_every_proof_is_described() -> None:
    assert list(EXPERIMENTS) == [proof.name for proof in PROOFS]


def test_every_method_that_a_proof_needs_has_a_meaning() -> None:
    """The meanings are read from a docstring."""
    meanings = method_meanings()
    assert {*REQUIRED, *(method for proof in PROOFS for method in proof.needs)} <= meanings.keys()
    assert meanings["weights"] == "copies of all parameters"
    assert meanings["held_out"] == "ids of all rows of the validation split"


def test_the_page_gives_the_steps_of_a_run_of_unknown_length() -> None:
    """They are written by hand."""
    steps = ", ".join(map(str, (0, *LATER_STEPS[:-1]))) + f" and {LATER_STEPS[-1]}"
    assert f"after the steps {steps}." in TEXT


def test_cost_is_measured_for_each_proof_and_for_all_together() -> None:
    small = replace(
        HEALTHY,
        steps=8,
        eval_every=8,
        optimizer=replace(HEALTHY.optimizer, warmup_steps=2),
        model=replace(HEALTHY.model, d_model=16, n_heads=2, d_ff=32),
        data=replace(HEALTHY.data, batch_size=8),
    )
    seconds, run = measure(small)
    assert list(seconds) == [*(proof.name for proof in PROOFS), TOGETHER]
    assert min(run, *seconds.values()) > 0
    assert seconds[TOGETHER] > seconds["influence"]
    assert table({"loss": 0.05}, 2.0).splitlines()[-1] == "| loss | 50 ms | 2.5 % |"
