"""Causes are ranked and explained by the findings alone, and a verdict is given only where one is
possible."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf, nan
from typing import Any

import pytest
from hypothesis import example, given, settings

from probes.diagnosis import diagnose as module
from probes.diagnosis.base import Finding
from probes.diagnosis.causes import Cause
from probes.diagnosis.diagnose import diagnose, rank
from probes.record import Record
from tests.records import anything, changed, sound

BAD_INIT = {"loss": [221.0, *sound()["loss"][1:]], "grad_norm": [500.0, *[1.0] * 39]}


def finding(symptom: str, strength: float = 0.0, step: int = 0) -> Finding:
    return Finding(symptom, "", step, 10.0**strength, 1.0, "above", "by hand")


def cause(name: str, needs: Mapping[str, float], **more: Any) -> Cause:
    return Cause(name, "a meaning", needs, "a remedy", **more)


@contextmanager
def causes(monkeypatch: pytest.MonkeyPatch, *table: Cause) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(module, "CAUSES", table)
        yield


def named(findings: Sequence[Finding]) -> list[str]:
    return [cause.name for cause in rank(findings)]


# Ranking


def test_the_stronger_cause_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the strength of its decisive finding, whatever the order of the table."""
    with causes(monkeypatch, cause("a", {"x": 0.0}), cause("b", {"y": 0.0})):
        assert named([finding("x", 1.0), finding("y", 2.0)]) == ["b", "a"]


def test_of_equals_the_earlier_row_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the table is the order of precedence."""
    with causes(monkeypatch, cause("a", {"x": 0.0}), cause("b", {"y": 0.0})):
        assert named([finding("y", 1.0), finding("x", 1.0)]) == ["a", "b"]


def test_a_cause_needs_all_its_symptoms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a picture names nobody."""
    with causes(monkeypatch, cause("a", {"x": 0.0, "y": 0.0})):
        assert named([finding("x", 5.0)]) == []


@pytest.mark.parametrize(("strength", "expected"), [(1.0, ["a"]), (0.99, [])])
def test_a_cause_needs_its_symptoms_at_their_strength(
    monkeypatch: pytest.MonkeyPatch, strength: float, expected: list[str]
) -> None:
    """A weak finding may be there without being enough."""
    with causes(monkeypatch, cause("a", {"x": 1.0})):
        assert named([finding("x", strength)]) == expected


def test_an_excluding_symptom_removes_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """However strong the cause."""
    with causes(monkeypatch, cause("a", {"x": 0.0}, excluded=("y",))):
        assert named([finding("x", 9.0), finding("y")]) == []


def test_a_consequence_comes_after_what_it_follows_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A huge gradient that a bad start explains does not outrank the start, though it is
    stronger."""
    with causes(monkeypatch, cause("loud", {"y": 0.0}), cause("root", {"x": 0.0}, explains=("y",))):
        assert named([finding("x", 0.5), finding("y", 9.0)]) == ["root", "loud"]


def test_bad_init_explains_its_huge_gradient() -> None:
    """One cause, with both findings as its evidence, the decisive one first."""
    (suspect,) = diagnose(changed(**BAD_INIT)).causes
    assert [suspect.name, *(f.symptom for f in suspect.evidence)] == [
        "bad-init",
        "initial-loss-high",
        "first-gradient-large",
    ]


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        (BAD_INIT, "bad-init"),
        ({"grad_norm": [500.0, *[1.0] * 39]}, "summed-loss"),
        ({"grad_norm": [1e-5] * 40}, "dead-gradient"),
        ({"lr": [0.0] * 40}, "lr-zero"),
        ({"lr": [0.01] * 40}, "schedule-never-stepped"),
        ({"loss": [*sound()["loss"][:30], *[nan] * 10]}, "non-finite"),
        ({"loss": [inf, *sound()["loss"][1:]]}, "non-finite"),
    ],
)
def test_each_cause_is_named_from_its_record(
    signals: dict[str, list[float]], expected: str
) -> None:
    """And none beside it."""
    assert [suspect.name for suspect in diagnose(changed(**signals)).causes] == [expected]


# Margin and certainty


def test_the_margin_is_the_lead_over_the_next_cause() -> None:
    """In decades of strength."""
    diagnosis = diagnose(changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
    assert ([c.name for c in diagnosis.causes], diagnosis.margin) == (
        ["lr-zero", "summed-loss"],
        pytest.approx(8.30103),
    )


def test_the_margin_passes_over_what_the_first_cause_explains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A consequence is no rival."""
    table = (
        cause("root", {"lr-zero": 0.0}, explains=("first-gradient-large",)),
        cause("loud", {"first-gradient-large": 0.0}),
    )
    with causes(monkeypatch, *table):
        diagnosis = diagnose(changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
    assert ([c.name for c in diagnosis.causes], diagnosis.margin) == (["root", "loud"], None)


def test_a_cause_without_a_rival_is_sole() -> None:
    """There is no margin to speak of."""
    diagnosis = diagnose(changed(**BAD_INIT))
    assert (diagnosis.margin, "sole" in str(diagnosis)) == (None, True)


def test_a_cause_is_certain_from_the_step_that_settles_it() -> None:
    """A later, stronger cause takes the lead from there on."""
    diagnosis = diagnose(changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
    assert [(c.name, c.certain_since) for c in diagnosis.causes] == [
        ("lr-zero", 19),
        ("summed-loss", None),
    ]


@settings(max_examples=200)
@given(record=anything())
@example(record=changed(lr=[0.0] * 40, grad_norm=[500.0, *[1.0] * 39]))
@example(record=changed(loss=[9.0, nan, *sound()["loss"][2:]]))
@example(record=changed(grad_norm=[500.0, nan, *[1.0] * 38]))
def test_certain_since_is_what_every_longer_prefix_says(record: Record) -> None:
    """Replaying only the findings gives what diagnosing every prefix from scratch gives."""
    first: int | None = None
    final = diagnose(record)
    for step in record.steps.tolist():
        if diagnose(record.prefix(step), ended=step == record.steps[-1]).cause != final.cause:
            first = None
        elif first is None:
            first = step
    assert [c.certain_since for c in final.causes[:1]] == ([first] if final.causes else [])


def test_a_loss_too_large_to_be_squared_is_judged_in_silence(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """What overflows on the way is no news for a terminal."""
    diagnosis = diagnose(changed(loss=[1e200 * value for value in sound()["loss"]]))
    assert (diagnosis.core, len(recwarn)) == (True, 0)
