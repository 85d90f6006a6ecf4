"""The table of signals is complete, and the error for a wrong name gives the right one."""

from typing import get_args

import pytest

from probes.record.signals import (
    BY_NAME,
    SIGNALS,
    Cadence,
    Scope,
    Signal,
    UnknownSignalError,
    signal_named,
)

FORMAT_1 = [
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
"""The signals with which version 1 of the format began."""

each_signal = pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)


@each_signal
def test_no_field_of_a_row_is_empty(signal: Signal) -> None:
    """Name, unit, scope, cadence, formula and source."""
    assert all(signal)


@each_signal
def test_every_row_has_a_scope_and_a_cadence_that_exist(signal: Signal) -> None:
    """Nothing else checks them at run time."""
    assert (signal.scope in get_args(Scope), signal.cadence in get_args(Cadence)) == (True, True)


def test_table_holds_the_signals_of_the_format() -> None:
    """Adding a signal keeps the format; renaming or removing one changes it."""
    assert [signal.name for signal in SIGNALS if signal.name in FORMAT_1] == FORMAT_1


def test_names_are_unique() -> None:
    """There are as many names as rows."""
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
def test_error_for_an_unknown_name_gives_the_nearest(wrong: str, right: str) -> None:
    """If no name is similar, the error lists all names."""
    with pytest.raises(UnknownSignalError) as refused:
        signal_named(wrong)
    assert (f"'{right}'" if right else "the signals are loss, ") in str(refused.value)


def test_known_name_gives_its_row() -> None:
    """The row holds the formula in words."""
    assert signal_named("lr").formula == "learning rate of the step's update"
