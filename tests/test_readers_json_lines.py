"""JSON lines: a row per line, objects within a row, and a last line that is cut."""

from pathlib import Path

import pytest

from probes import read
from testing.logs import TRAINER_LOG, lines_of, points, reader_of, written

NESTED = [
    {"step": i, "train": {"loss": 4.0 - i}, "metrics": {"val_loss": 5.0 - i, "logs": {"lr": 0.1}}}
    for i in (1, 2)
]


def test_evaluations_stand_in_lines_of_their_own(tmp_path: Path) -> None:
    """LLaMA-Factory's `trainer_log.jsonl` states the planned total in every line."""
    record = read(written(tmp_path, TRAINER_LOG))
    assert points(record, "loss") == {10: 2.1735, 20: 1.6012, 40: 1.4411}
    assert (points(record, "val_loss"), points(record, "lr")[10]) == ({20: 1.5863}, 4.5e-05)
    assert (record.facts, record.complete) == ({"total_steps": 40}, True)


def test_objects_within_a_line_are_part_of_it(tmp_path: Path) -> None:
    """A cell is named by its path, `train/loss`, or by its own name within `metrics` and the
    like."""
    record = read(written(tmp_path, lines_of({"step": 0, "train": None}, *NESTED)))
    assert points(record, "loss") == {1: 3.0, 2: 2.0}
    assert points(record, "val_loss") == {1: 4.0, 2: 3.0}
    assert reader_of(record)["mapped"] == {
        "train/loss": "loss",
        "val_loss": "val_loss",
        "lr": "lr",
    }


def test_two_objects_within_a_line_may_have_cells_of_the_same_name(tmp_path: Path) -> None:
    """Both cells are kept. The loss within `best` is not read as the loss, and deep objects are
    dropped."""
    deep: dict[str, object] = {"loss": 9.0}
    for _ in range(5):
        deep = {"more": deep}
    row = {
        "best": {"loss": 0.5},
        "stats": {"f1": 0.5},
        "logs": {"f1": 0.25, "val_loss": 4.0},
        "more": deep,
    }
    rows = [row | {"step": step, "train_loss": 5.5 - step / 2} for step in (1, 2)]
    record = read(written(tmp_path, lines_of(*rows)))
    assert points(record, "loss") == {1: 5.0, 2: 4.5}
    assert points(record, "val_loss") == {1: 4.0, 2: 4.0}
    assert reader_of(record)["ignored"] == ["best/loss"]
    assert record.sites("metric") == ("f1", "logs/f1")


def test_the_first_lines_may_be_empty_objects(tmp_path: Path) -> None:
    """MMSegmentation begins its logs in this way."""
    record = read(written(tmp_path, '{}\n{}\n{"mode": "train", "iter": 10, "loss": 4.5}\n'))
    assert (points(record, "loss"), reader_of(record)["format"]) == ({10: 4.5}, "JSON lines")


def test_a_last_line_without_its_newline_is_whole_if_its_brace_is_closed(tmp_path: Path) -> None:
    record = read(written(tmp_path, TRAINER_LOG.rstrip("\n")))
    assert (len(record.steps), record.complete) == (3, True)


def test_a_cut_last_line_is_dropped(tmp_path: Path) -> None:
    """The record is then incomplete, and a note says why."""
    record = read(written(tmp_path, TRAINER_LOG[:-20]))
    assert (len(record.steps), record.complete) == (2, False)
    assert "the log ends in the middle of it" in reader_of(record)["stitched"][-1]


@pytest.mark.parametrize(
    "rows",
    [
        [{"loss": 4.0, "val_loss": [4.5]}],
        [{"step": i, "all": {"loss": [4.0, 3.0]}, "loss": None, "lr": 0.1} for i in range(2)],
    ],
    ids=["one line with a single loss", "several lines"],
)
def test_lists_in_a_line_do_not_make_it_an_object_of_lists(
    tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    assert reader_of(read(written(tmp_path, lines_of(*rows))))["format"] == "JSON lines"
