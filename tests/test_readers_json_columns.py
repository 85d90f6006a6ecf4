"""A JSON object of lists, and the variants of it that are read as well."""

import json
from pathlib import Path

import pytest

from probes import read
from probes.record import RecordError
from testing.logs import KERAS_HISTORY, points, reader_of, written


def test_a_history_of_keras_counts_positions(tmp_path: Path) -> None:
    """The history holds no steps. A null means that nothing was measured."""
    record = read(written(tmp_path, KERAS_HISTORY))
    assert points(record, "loss") == {0: 1.5626, 1: 1.1985, 2: 1.0476}
    assert points(record, "val_loss") == {0: 1.2789, 2: 1.0214}
    assert reader_of(record)["step"] == "position"


def test_steps_may_be_a_list_too(tmp_path: Path) -> None:
    columns = {"step": [5, 10], "train/loss": [4.0, 3.0]}
    record = read(written(tmp_path, json.dumps(columns, indent=1)))
    assert points(record, "loss") == {5: 4.0, 10: 3.0}


def test_a_column_of_pandas_is_an_object_with_positions_as_keys(tmp_path: Path) -> None:
    """Another object beside the columns, here `args`, is no column."""
    columns = {"loss": {"0": 1.5, "1": 1.25}, "val_loss": {"0": 2.0, "1": None}}
    record = read(written(tmp_path, json.dumps({**columns, "args": {"0": 7, "seed": 1}})))
    assert (points(record, "loss"), points(record, "val_loss")) == ({0: 1.5, 1: 1.25}, {0: 2.0})
    assert reader_of(record)["ignored"] == []


@pytest.mark.parametrize(
    "text",
    [
        '{"history": {"loss": [1.5, 1.25], "val_loss": [2.0, null]}, "params": {"layers": [9, 4]}}',
        '{"train": {"loss": [1.5, 1.25]}, "val": {"loss": [2.0, null], "accuracy": [0.5, 0.6]}}',
        '{"args": {"b": [0.9, 0.9, 0.5]}, "train_losses": [1.5, 1.25], "val_losses": [2.0, null]}',
        '{"history": {"loss": {"0": 1.5, "1": 1.25}, "val_loss": {"0": 2.0, "1": null}}}',
    ],
    ids=["beside settings", "one per split", "names in the plural", "of pandas"],
)
def test_an_object_of_lists_may_lie_within_another(tmp_path: Path, text: str) -> None:
    """A list of another length than the losses is no column."""
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "val_loss")) == ({0: 1.5, 1: 1.25}, {0: 2.0})


def test_of_two_objects_with_the_same_lists_the_first_is_read(tmp_path: Path) -> None:
    """The other is listed as ignored."""
    record = read(written(tmp_path, '{"a": {"loss": [1.5, 1.25]}, "b": {"loss": [9.5, 9.25]}}'))
    assert (points(record, "loss"), reader_of(record)["ignored"]) == ({0: 1.5, 1: 1.25}, ["b/loss"])


def test_lists_that_lie_too_deep_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="is an object without a list of values"):
        read(written(tmp_path, '{"a":' * 400 + '{"loss": [1.5, 1.25]}' + "}" * 400))


def test_an_object_on_one_line_may_hold_single_values_beside_its_lists(tmp_path: Path) -> None:
    """They could make it a line of JSON lines, but none of them is a loss."""
    columns = {"train_loss": [4.0, 3.0], "val_loss": [4.5, 4.0], "best_epoch": 1}
    record = read(written(tmp_path, json.dumps(columns)))
    assert reader_of(record)["format"] == "JSON object of lists"


@pytest.mark.parametrize("indent", [None, 2])
def test_rows_may_be_a_list_in_an_object(tmp_path: Path, indent: int | None) -> None:
    """The list may have any name; here it is `history`."""
    history = [
        {"step": i, "train": {"loss": 4.0 - i}, "metrics": {"val_loss": 5.0 - i}} for i in (1, 2)
    ]
    run = {"config": {"lr": 0.1, "layers": [{"width": 3}]}, "best": 1.0, "history": history}
    record = read(written(tmp_path, json.dumps(run, indent=indent)))
    assert points(record, "loss") == {1: 3.0, 2: 2.0}
    assert points(record, "val_loss") == {1: 4.0, 2: 3.0}
