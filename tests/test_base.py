"""Findings and the symptoms that they are made from."""

from math import inf, nan
from typing import Any

import pytest

from probes.diagnosis.base import Finding, PanelKey, Symptom, ViewKey


def symptom(**fields: Any) -> Symptom:
    """A symptom made for a test; any field may be replaced."""
    defaults = {
        "name": "head-stuck",
        "quantity": "attention entropy",
        "unit": "ratio",
        "view": ViewKey.ATTENTION_ENTROPY,
        "worse": "below",
        "criterion": "attention entropy below 0.01",
        "limit": 0.01,
        "source": "chosen for this test",
        "sentence": {"en": "{site}: {observed} < {limit} since {onset}, known at {step}"},
    }
    return Symptom(**(defaults | fields))


@pytest.mark.parametrize(
    ("observed", "limit", "worse", "strength"),
    [
        (100.0, 10.0, "above", 1.0),
        (0.001, 0.1, "below", 2.0),
        (5.0, 10.0, "above", pytest.approx(-0.30103)),
        (inf, 10.0, "above", 10.0),
        (nan, 10.0, "above", 10.0),
        (nan, 10.0, "below", 10.0),
        (0.0, 0.1, "below", 10.0),
        (-1.0, 0.1, "below", 10.0),
        (1e300, 1e-300, "above", 10.0),
        (1e-300, 1e300, "above", -10.0),
        (0.0, 1.0, "above", -10.0),
    ],
)
def test_strength_is_the_distance_from_the_limit_in_decades(
    observed: float, limit: float, worse: Any, strength: float
) -> None:
    """Strength is positive if the value is on the worse side of the limit, and it is always
    finite."""
    assert Finding("symptom", "", 0, observed, limit, worse, "source").strength == strength


def test_a_finding_takes_name_limit_side_and_source_from_its_symptom() -> None:
    """The rest is what the detector saw."""
    assert symptom().found(7, 0.001, site="attn.0", onset=3) == Finding(
        "head-stuck", "attn.0", 7, 0.001, 0.01, "below", "chosen for this test", 3
    )


def test_a_finding_may_carry_its_own_limit_and_source() -> None:
    """This is needed if the limit of a symptom depends on the run, or if several rules find the
    symptom."""
    finding = symptom(limit=None).found(7, 0.001, limit=0.5, source="another rule")
    assert (finding.limit, finding.source) == (0.5, "another rule")


def test_a_finding_without_any_limit_is_an_error() -> None:
    """The message names the symptom."""
    with pytest.raises(ValueError, match="the limit of head-stuck depends on the run"):
        symptom(limit=None).found(7, 0.001)


def test_the_sentence_of_a_symptom_is_filled_in_from_a_finding() -> None:
    """If the finding has no onset, the sentence gives its step instead."""
    late, early = (symptom().found(7, 0.00123456, site="attn.0", onset=o) for o in (3, None))
    assert symptom().sentence_for(late) == "attn.0: 0.001235 < 0.01 since 3, known at 7"
    assert symptom().sentence_for(early) == "attn.0: 0.001235 < 0.01 since 7, known at 7"


def test_every_view_belongs_to_a_panel_and_every_panel_has_a_view() -> None:
    """The value of a view is its panel and a name that is unique within it."""
    assert {view.panel for view in ViewKey} == set(PanelKey)
    assert len({view.value for view in ViewKey}) == len(ViewKey)
