"""Rows are joined into blocks, and objects within a row become its cells."""

from collections.abc import Iterator

import pytest

from probes.readers import base
from probes.readers.base import Block, Row, blocks_from_points, blocks_from_rows, flat
from probes.record import RecordError


def test_rows_before_damage_are_yielded_first() -> None:
    """A search of a folder reads only the beginning of a log."""

    def rows() -> Iterator[Row]:
        yield Row(1, {"loss": 4.0})
        yield Row(2, {"a": 1}, "summary")
        yield Row(3, {"loss": 3.0})
        raise RecordError("line 4")

    found = blocks_from_rows(rows())
    assert [next(found) for _ in range(3)] == [
        Block([1], {"loss": [4.0]}),
        Row(2, {"a": 1}, "summary"),
        Block([3], {"loss": [3.0]}),
    ]
    with pytest.raises(RecordError, match="line 4"):
        next(found)


def test_blocks_stay_small_when_no_two_rows_share_a_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most of the cells of one large block would be empty."""
    monkeypatch.setattr(base, "MAX_BLOCK_CELLS", 50)
    blocks = list(blocks_from_points(range(100), [{f"x{i}": i} for i in range(100)]))
    assert max(len(block.numbers) * len(block.columns) for block in blocks) <= 50
    rows = [row for block in blocks for row in block.rows()]
    assert [row.number for row in rows] == list(range(100))
    assert all(row.cells[f"x{row.number}"] == row.number for row in rows)


def test_objects_in_any_point_become_columns() -> None:
    """A point may lack an object that others have."""
    points = [{"step": 0, "train": None}, {"step": 1, "train": {"loss": 4.0}}]
    (block,) = blocks_from_points([1, 2], points)
    assert block.columns == {
        "step": [0, 1],
        "train": [None, None],
        "train/loss": [None, 4.0],
    }


@pytest.mark.parametrize(
    ("cells", "flattened"),
    [
        ({"val": {"loss": 1.0}}, {"val/loss": 1.0}),
        ({"Metrics": {"loss": 1.0}}, {"loss": 1.0}),
        (
            {"logs": {"f1": 1.0}, "stats": {"f1": 2.0}, "metrics": {"logs": {"f1": 3.0}}},
            {"f1": 1.0, "stats/f1": 2.0, "metrics/f1": 3.0},
        ),
        ({"logs": {"f1": 1.0, "stats": {"f1": 2.0}}}, {"f1": 1.0, "stats/f1": 2.0}),
        ({"a": {"b": {"c": {"d": 1, "e": {"f": 2}}}}}, {"a/b/c/d": 1}),
    ],
)
def test_cells_of_inner_objects_are_named_by_path_or_by_name(
    cells: dict[str, object], flattened: dict[str, object]
) -> None:
    """A cell keeps its own name within an object that only groups cells. Deep objects are
    dropped."""
    assert flat(cells) == flattened


def test_damaged_rows_do_not_end_a_block() -> None:
    """They come before the block, in their order. Reading many small blocks would be slow."""
    rows = [Row(i, {"loss": i}) if i % 3 else Row(i, {}, "damaged", f"{i}") for i in range(1, 10)]
    *damaged, block = blocks_from_rows(rows)
    assert [row.error for row in damaged if isinstance(row, Row)] == ["3", "6", "9"]
    assert block == Block([1, 2, 4, 5, 7, 8], {"loss": [1, 2, 4, 5, 7, 8]})
