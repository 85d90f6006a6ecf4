"""docs/diagnosis.md lists the causes and symptoms that the code defines."""

from pathlib import Path

import pytest

from probes.diagnosis.causes import CAUSES
from probes.diagnosis.detectors import DETECTORS, SYMPTOMS
from studies.diagnosis_tables import PAGE, TABLES
from testing.marker_blocks import read_block

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("block", TABLES)
def test_tables_are_up_to_date(block: str) -> None:
    """`python -m studies.diagnosis_tables` writes them."""
    assert read_block(TEXT, block) == TABLES[block]()


def test_tables_name_every_cause_symptom_and_detector() -> None:
    """The tables write each name in code style."""
    names = {one.name for one in (*CAUSES, *SYMPTOMS.values(), *DETECTORS)}
    assert [name for name in sorted(names) if f"`{name}`" not in TEXT] == []


def test_readme_links_to_the_page() -> None:
    """A reader of a verdict finds what its cause means."""
    readme = Path(__file__).parents[1] / "README.md"
    assert "docs/diagnosis.md" in readme.read_text(encoding="utf-8")
