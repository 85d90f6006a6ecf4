"""What a cell says: numbers in their spellings, gaps, and values that are not finite."""

from array import array
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probes import read
from probes.readers.cells import numbers_in, packed, whole_number, whole_numbers_in
from probes.record import RecordError
from testing.logs import csv_of, lines_of, points, written


@pytest.mark.parametrize("spelling", ["NaN", "nan", "NAN", "inf", "-inf", "Infinity", "-Infinity"])
def test_a_value_that_is_not_finite_is_an_observation(tmp_path: Path, spelling: str) -> None:
    """In CSV, and as a string in JSON, it is counted at the site `loss` of nonfinite_count."""
    for text in (
        csv_of(step=[0, 1], loss=[4.0, spelling]),
        lines_of({"loss": 4.0}, {"loss": spelling}),
    ):
        assert read(written(tmp_path, text)).series("nonfinite_count", "loss")[0].tolist() == [1]


def test_nan_and_infinity_without_quotes_in_json_are_observations(tmp_path: Path) -> None:
    """`json.dump` writes them so, although JSON has no such numbers."""
    text = '{"loss": NaN, "grad_norm": Infinity}\n{"loss": 4.0, "grad_norm": 1.0}\n'
    record = read(written(tmp_path, text))
    assert record.sites("nonfinite_count") == ("loss", "grad_norm")
    assert points(record, "grad_norm") == {0: inf, 1: 1.0}


@pytest.mark.parametrize("nothing", ["", " ", "null", "None", "N/A", "-"])
def test_an_empty_cell_was_not_measured(tmp_path: Path, nothing: str) -> None:
    """An empty cell is a gap, not a NaN."""
    text = csv_of(step=[0, 1, 2], loss=[nothing, 4.0, nothing], lr=[0.1, 0.1, 0.1])
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), record.sites("nonfinite_count")) == ({1: 4.0}, ())


def test_a_word_for_nothing_may_be_the_first_entry_of_a_column(tmp_path: Path) -> None:
    """A column whose first entry is any other word is ignored."""
    record = read(written(tmp_path, lines_of({"loss": "null"}, {"loss": 4.0})))
    assert points(record, "loss") == {1: 4.0}


def test_numbers_in_json_may_be_texts(tmp_path: Path) -> None:
    """A program that cannot write NumPy's numbers as JSON writes them so."""
    rows = [{"step": "1", "loss": "4.5"}, {"step": "2", "loss": "nan"}]
    record = read(written(tmp_path, lines_of(*rows)))
    assert record.series("loss")[1].tolist()[0] == 4.5
    assert (record.steps.tolist(), record.sites("nonfinite_count")) == ([1, 2], ("loss",))


@pytest.mark.parametrize(
    "cell", ["tensor(4.5)", "tensor(4.5, device='cuda:0')", "tensor([4.5], requires_grad=True)"]
)
def test_a_tensor_of_one_number_is_that_number(tmp_path: Path, cell: str) -> None:
    """csv.writer writes a tensor as Python shows it."""
    record = read(written(tmp_path, f'step,loss\n0,"{cell}"\n1,3.0\n'))
    assert points(record, "loss") == {0: 4.5, 1: 3.0}


def test_a_tensor_of_several_numbers_is_none(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="must be a number"):
        read(written(tmp_path, 'step,loss\n0,4.0\n1,"tensor([4.5, 3.0])"\n'))


@pytest.mark.parametrize(
    ("cells", "positions", "values"),
    [
        ([1.5, 2, nan, -inf], [0, 1, 2, 3], [1.5, 2.0, nan, -inf]),
        ([None, 0.5, None, 3], [1, 3], [0.5, 3.0]),
        ([None, None], [], []),
        ([2**53 + 1], [0], [2.0**53]),
    ],
)
def test_the_numbers_of_a_column_come_with_their_positions(
    cells: list[Any], positions: list[int], values: list[float]
) -> None:
    """None is a gap; NaN is a number here."""
    found = numbers_in(cells)
    assert found is not None
    np.testing.assert_array_equal(found[0], positions)
    np.testing.assert_array_equal(found[1], values)


@pytest.mark.parametrize("odd", [True, "nan", "", [1.0], 10**400])
def test_a_column_with_anything_else_is_not_read_at_once(odd: Any) -> None:
    """It has to be read cell by cell, which knows what a word means."""
    assert numbers_in([1.0, odd]) is None


@pytest.mark.parametrize("cells", [[0, 5, 2**63 - 1], [0.0, 5.0, -(2.0**63)]])
def test_whole_numbers_are_exact_up_to_64_bits(cells: list[Any]) -> None:
    found = whole_numbers_in(cells)
    assert found is not None
    assert (found.tolist(), found.dtype) == (cells, np.int64)


@pytest.mark.parametrize(
    "cells", [[1, None], [1, 2.0], [True, 1], [0.5], [nan], [inf], [2.0**63], [2**63], ["1"], []]
)
def test_other_columns_are_not_read_as_whole_numbers_at_once(cells: list[Any]) -> None:
    """A cell is missing, no whole number or too large, or the types are mixed."""
    assert whole_numbers_in(cells) is None


@pytest.mark.parametrize(
    ("cells", "packs"),
    [
        ([1.5, nan, inf], True),
        ([3, -(2**63)], True),
        ([3, 2.5], False),
        ([2.5, None], False),
        ([True, False], False),
        ([2**63, 1], False),
        (["1.5"], False),
    ],
)
def test_numbers_of_one_type_are_packed_and_keep_their_type(cells: list[Any], packs: bool) -> None:
    """Any other column stays as it is."""
    kept = packed(cells)
    assert isinstance(kept, array) == packs
    assert [(type(cell), repr(cell)) for cell in kept] == [
        (type(cell), repr(cell)) for cell in cells
    ]


def test_a_whole_number_just_outside_64_bits_is_refused() -> None:
    """Its nearest float is the smallest number of 64 bits."""
    assert whole_number(-(2**63)) == -(2**63)
    with pytest.raises(ValueError, match="at most 64 bits"):
        whole_number(-(2**63) - 1)
