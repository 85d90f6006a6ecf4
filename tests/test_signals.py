"""The table of signals is complete, and a wrong name is answered with the right one."""

from dataclasses import fields
from typing import get_args

import pytest

from probes.record.signals import (
    BY_NAME,
    SIGNALS,
    Cadence,
    Scope,
    Signal,
    UnknownSignalError,
    known,
)

EXPECTED = [
    "loss",
    "train_loss",
    "val_loss",
    "train_loss_by_class",
    "val_loss_by_class",
    "val_loss_by_class_compositional",
    "lr",
    "grad_norm",
    "grad_norm_by_layer",
    "activation",
    "grad_activation_ratio",
    "update_weight_ratio",
    "spectral_norm",
    "dead_fraction",
    "attention_entropy",
    "nonfinite_count",
    "batch_ids",
]

each_signal = pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)


@each_signal
def test_every_row_says_everything(signal: Signal) -> None:
    """Name, unit, scope, cadence, formula and source: none is empty."""
    assert all(getattr(signal, field.name) for field in fields(signal))


@each_signal
def test_every_row_has_a_scope_and_a_cadence_that_exist(signal: Signal) -> None:
    """A typing mistake in the table would not be seen by anything else at run time."""
    assert (signal.scope in get_args(Scope), signal.cadence in get_args(Cadence)) == (True, True)


def test_the_table_holds_what_it_promises() -> None:
    """Renaming or dropping a signal is a change of the record's format."""
    assert [signal.name for signal in SIGNALS] == EXPECTED


def test_no_name_stands_twice() -> None:
    """The table by name is as long as the table."""
    assert len(BY_NAME) == len(SIGNALS)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("los", "loss"),
        ("gradnorm", "grad_norm"),
        ("learning_rate_", ""),
        ("val-loss", "val_loss"),
        ("LR", ""),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong: str, right: str) -> None:
    """Or, when none is near, with all of them."""
    with pytest.raises(UnknownSignalError) as refused:
        known(wrong)
    assert (f"'{right}'" if right else "the signals are loss, ") in str(refused.value)


def test_a_known_name_is_its_row() -> None:
    """The way from a name to its formula."""
    assert known("lr").formula == "learning rate of the step's update"
