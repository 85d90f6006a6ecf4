"""docs/zoo.md lists the faults of the zoo and the harm that was measured."""

from __future__ import annotations

import pytest

from model import HEALTHY
from model.zoo import ZOO
from studies.zoo_harm import SEEDS
from studies.zoo_page import FAMILY_ONLY, NOT_MEASURED, PAGE, TABLES, fault_row, measured_harms
from testing.marker_blocks import read_block

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("block", TABLES)
def test_tables_are_up_to_date(block: str) -> None:
    """`python -m studies.zoo_page` writes them."""
    assert read_block(TEXT, block) == TABLES[block](measured_harms())


def test_tables_name_every_fault_once() -> None:
    assert [name for name in ZOO if TEXT.count(f"| `{name}` |") != 1] == []


def test_a_row_holds_the_harm_of_each_measured_dose() -> None:
    """The full dose is bold. A loss that is not a finite number has no ratio."""
    harms = {
        "2": {"label": "borderline", "val": 1.034, "train": 0.97, "seeds": 3},
        "30": {"label": "harmful", "val": None, "train": 4.0, "seeds": 6},
    }
    row = fault_row(ZOO["rate-ten-times-too-high"], harms)
    assert row[2:4] == (
        "2, 5, **10**, 30",
        "2: borderline, val x 1.03, train x 0.97 (3 seeds); "
        "30: harmful, val not finite, train x 4.00 (6 seeds)",
    )


def test_a_fault_without_a_dose_a_cause_and_a_label() -> None:
    row = fault_row(ZOO["betas-swapped"], {})
    assert row[2:5] == ("–", NOT_MEASURED, FAMILY_ONLY)


def test_a_cause_is_followed_by_the_others_that_are_right() -> None:
    row = fault_row(ZOO["no-bias-correction"], {})
    assert row[4] == "`no-bias-correction`; also right: `no-warmup`"


def test_the_page_gives_the_last_step_and_the_number_of_seeds() -> None:
    """These two numbers are written by hand."""
    assert f"has the steps 0 to {HEALTHY.steps - 1}." in TEXT
    assert len(SEEDS) == 6
