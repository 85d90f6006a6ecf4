"""Batches that are not what the data set says are found in real trainings, and a sound training is
audited without a finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from model import HEALTHY, build
from model.batches import shortest_first
from model.train import Specimen
from model.zoo import ZOO
from probes import watch
from probes.diagnosis.detectors.data_audit import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from probes.recording.data_audit import mismatch, rows_of
from tests.judging import found, why_not
from tests.records import hand_made

SMALL = replace(
    HEALTHY,
    steps=70,
    eval_every=35,
    model=replace(HEALTHY.model, d_model=16, n_heads=2, d_ff=32),
    data=replace(HEALTHY.data, batch_size=16),
)
"""Two epochs of 32 batches, and the beginning of a third."""
FEW_STEPS = replace(SMALL, steps=16, eval_every=8)
NEVER_EVALUATED = replace(SMALL, eval_every=70)


@pytest.fixture(scope="module")
def healthy() -> Record:
    return watch(build(SMALL))


def names(specimen: Specimen) -> set[str]:
    return {finding.symptom for finding in found(DETECTOR, watch(specimen))}


def test_a_sound_training_is_fed_what_its_data_set_says(healthy: Record) -> None:
    """Every share is exactly 0, except those of the order of an epoch, which are near those of
    random order."""
    assert found(DETECTOR, healthy) == []
    sites = set(healthy.sites("data_mismatch"))
    assert sites == {
        "tokens", "targets", "rows", "held-out", "repeated", "sorted", "same-order", "evaluation",
        "validated",
    }  # fmt: skip
    for site in sites - {"sorted", "same-order"}:
        assert not healthy.series("data_mismatch", site)[1].any(), site
    assert healthy.series("data_mismatch", "sorted")[0].tolist() == [31, 63]
    assert healthy.series("data_mismatch", "sorted")[1].max() < 0.2
    assert healthy.series("data_mismatch", "same-order")[0].tolist() == [63]
    assert healthy.series("data_mismatch", "same-order")[1].max() < 0.2


@pytest.mark.parametrize(
    ("fault", "symptom", "cause"),
    [
        ("targets-not-shifted", "fed-other-data", "wrong-data"),
        ("labels-shuffled-in-a-share-of-places", "fed-other-data", "wrong-data"),
        ("inputs-replaced-in-a-share-of-places", "fed-other-data", "wrong-data"),
        ("one-batch-for-ever", "few-distinct-rows", "one-batch"),
        ("few-rows-in-training", "few-distinct-rows", "one-batch"),
        ("validation-rows-in-training", "held-out-rows-trained", "validation-in-training"),
        ("validated-on-training-rows", "training-rows-validated", "validation-in-training"),
    ],
)
def test_a_fault_of_the_zoo_is_found_within_few_steps(fault: str, symptom: str, cause: str) -> None:
    record = watch(ZOO[fault].build(FEW_STEPS))
    assert symptom in {finding.symptom for finding in found(DETECTOR, record)}
    assert diagnose(record).cause == cause


def test_rows_that_are_never_shuffled_are_found_after_an_epoch() -> None:
    assert names(ZOO["rows-never-shuffled"].build(NEVER_EVALUATED)) == {"rows-not-shuffled"}


def test_the_same_order_in_every_epoch_is_found_after_two_epochs() -> None:
    specimen = build(NEVER_EVALUATED)
    epoch = [next(specimen._batches) for _ in range(32)]
    specimen._batches = (batch for _ in range(3) for batch in epoch)
    (finding,) = found(DETECTOR, watch(specimen))
    assert (finding.symptom, finding.site, finding.step) == ("rows-not-shuffled", "same-order", 63)
    assert finding.observed == 1


def test_rows_drawn_with_replacement_are_wrong_data_and_not_one_batch() -> None:
    """Most rows of such an epoch are distinct."""
    specimen = build(replace(FEW_STEPS, steps=24))
    rng = np.random.default_rng(0)

    def drawn() -> Iterator[np.ndarray]:
        while True:
            yield shortest_first(rng.choice(specimen.split.train, 16))

    specimen._batches = drawn()
    diagnosis = diagnose(watch(specimen))
    assert diagnosis.shows("row-drawn-twice")
    assert not diagnosis.shows("few-distinct-rows")
    assert diagnosis.cause == "wrong-data"


def test_one_validation_row_in_one_batch_is_found() -> None:
    specimen = build(FEW_STEPS)
    batches = specimen._batches

    def with_one(at: int) -> Iterator[np.ndarray]:
        for index, ids in enumerate(batches):
            yield np.r_[ids[1:], specimen.split.val[:1]] if index == at else ids

    specimen._batches = with_one(7)
    (finding,) = found(DETECTOR, watch(specimen))
    assert (finding.symptom, finding.step) == ("held-out-rows-trained", 7)
    assert finding.observed == 1 / 16


def test_smaller_batches_than_the_config_says_are_found() -> None:
    specimen = build(FEW_STEPS)
    specimen._batches = (ids[:12] for ids in specimen._batches)
    (finding,) = found(DETECTOR, watch(specimen))
    assert (finding.symptom, finding.site, finding.observed) == ("fed-other-data", "rows", 0.25)


def test_a_record_without_an_audit_is_not_judged() -> None:
    """Such as any log of another trainer."""
    assert why_not(DETECTOR, hand_made({"loss": [2.0, 1.0]})) == "data_mismatch was not recorded"


def test_a_mismatch_is_the_share_of_places_that_differ() -> None:
    """A place that only one of the sequences has differs."""
    one, other = np.array([1, 2, 3, 4]), np.array([1, 2, 9])
    assert mismatch(one, one) == 0
    assert mismatch(one, other) == mismatch(other, one) == 0.5


def test_rows_are_told_apart_where_a_target_is_not_the_next_token() -> None:
    rows = [np.array([5, 6, 7]), np.array([8, 9])]
    tokens, targets = np.array([5, 6, 8]), np.array([6, 7, 9])
    assert rows_of(tokens, targets) == [row.tobytes() for row in rows]
