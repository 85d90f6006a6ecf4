"""Records in memory: how they are built row by row, and what can be read from them."""

from __future__ import annotations

from math import inf, nan

import pytest

from probes.record import Builder, RecordError, UnknownSiteError
from probes.record.signals import UnknownSignalError
from tests.records import assert_same, changed, hand_made


def test_value_of_the_run_that_is_not_finite_is_counted() -> None:
    """NaN in a column means "not measured"; nonfinite_count says that the loss was measured."""
    steps, counts = hand_made({"loss": [nan], "lr": [0.1]}).series("nonfinite_count", "loss")
    assert (steps.tolist(), counts.tolist()) == ([0], [1.0])


def test_value_that_is_not_finite_at_a_site_is_counted_there() -> None:
    """The value is counted at the site `signal.site`, after the sites that the writer counted
    itself."""
    builder = Builder({}, {})
    builder.append(0, {"activation": {"a": inf, "b": 1.0}, "nonfinite_count": {"inner": 3}})
    table = builder.record(complete=True).tables["nonfinite_count"]
    assert dict(zip(table.sites, table.values[0], strict=True)) == {"inner": 3, "activation.a": 1}


def test_loss_comes_after_the_sites_that_were_counted() -> None:
    """Sites are in the order of computation, and the loss is computed last."""
    record = hand_made({"loss": [nan], "nonfinite_count": {"embed": [3.0], "block": [9.0]}})
    assert record.sites("nonfinite_count") == ("embed", "block", "loss")


@pytest.mark.parametrize("step", [0, 1, -1])
def test_steps_must_increase(step: int) -> None:
    """The message names the refused step and the last one."""
    builder = Builder({}, {})
    builder.append(1, {"loss": 4.0})
    with pytest.raises(RecordError, match=f"step {step} comes after step 1"):
        builder.append(step, {"loss": 4.0})


def test_steps_may_leave_gaps() -> None:
    """A run may be logged every fifty steps."""
    assert hand_made({"loss": [4.0, 3.0, 2.0]}, steps=[0, 50, 99]).steps.tolist() == [0, 50, 99]


def test_prefix_is_the_record_as_it_stood_after_a_step() -> None:
    """It has the rows up to and including the step, the same facts, and is marked incomplete."""
    record = hand_made({"loss": [4.0, 3.0, 2.0]}, steps=[0, 50, 99], vocab_size=64)
    assert_same(
        record.prefix(60),
        hand_made({"loss": [4.0, 3.0]}, steps=[0, 50], complete=False, vocab_size=64),
    )


def test_prefix_has_no_signals_and_sites_that_were_measured_later() -> None:
    """The prefix holds what a reader could know after these steps."""
    record = hand_made(
        {
            "loss": [4.0, 3.0],
            "val_loss": [None, 3.5],
            "activation": {"a": [1.0, 1.0], "b": [None, 2.0]},
        }
    )
    assert (record.prefix(0).sites("val_loss"), record.prefix(0).sites("activation")) == (
        (),
        ("a",),
    )


def test_prefix_to_the_end_is_the_record_itself() -> None:
    """It leaves nothing out, so it is not marked incomplete."""
    record = changed()
    assert record.prefix(10**6) is record


def test_prefix_before_the_first_step_is_empty() -> None:
    """A record without rows and signals."""
    assert (len(changed().prefix(-1).steps), changed().prefix(-1).tables) == (0, {})


def test_series_has_only_what_was_measured() -> None:
    """It leaves gaps out. An infinite value was measured."""
    steps, values = hand_made({"loss": [1.0] * 4, "val_loss": [None, 3.5, None, inf]}).series(
        "val_loss"
    )
    assert (steps.tolist(), values.tolist()) == ([1, 3], [3.5, inf])


@pytest.mark.parametrize("signal", ["val_loss", "loss"])
@pytest.mark.parametrize("step", [2, 10**6])
def test_columns_cannot_be_written(signal: str, step: int) -> None:
    """This also holds for the columns of a prefix and for those of a signal that was not
    measured."""
    column = (
        hand_made({"loss": [1.0] * 4, "activation": {"a": [None, None, None, 1.0]}})
        .prefix(step)
        .column(signal)
    )
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 0.0


def test_unknown_signal_is_an_error() -> None:
    """An empty series would hide a misspelt name."""
    with pytest.raises(UnknownSignalError, match="did you mean 'val_loss'"):
        changed().series("val_los")


def test_site_that_was_not_measured_is_an_error_that_names_the_nearest() -> None:
    """An empty series would hide a misspelt site."""
    builder = Builder({}, {})
    builder.append(0, {"activation": {"blocks.0": 1.0, "embed": 1.0}})
    with pytest.raises(
        UnknownSiteError,
        match=r"activation was not measured at 'block\.0'; did you mean 'blocks.0'",
    ):
        builder.record(complete=True).series("activation", "block.0")


def test_signal_without_sites_is_not_in_the_record() -> None:
    """A signal without sites was not measured."""
    record = hand_made({"loss": [4.0], "activation": {}, "batch_ids": {}})
    assert list(record.tables) == ["loss"]
