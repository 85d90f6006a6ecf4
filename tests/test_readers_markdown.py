"""Tables in model cards and in terminals are read as logs."""

from pathlib import Path

import pytest

from probes import read
from probes.readers import find, markdown
from testing.logs import points, reader_of, written

CARD = """---
library_name: transformers
---
# my-model

It achieves the following results on the evaluation set:
- Loss: 1.4213
- Wer: 0.4162

| Setting | Value |
|:-------:|:-----:|
| seed    | 42    |

### Training results

| Training Loss | Epoch | Step | Validation Loss | Wer    |
|:-------------:|:-----:|:----:|:---------------:|:------:|
| No log        | 1.0   | 10   | 3.1494          | 1.0    |
| 3.0467        | 2.0   | 20   | **1.2670**      | 97.5%  |
| 0.6217        | 3.0   | 30   | 1.4213          | -      |

### Framework versions

| Loss | Step |
|------|------|
| 9.0  | 1    |
"""
PRETTY = """starting
+-------+--------+--------+
| epoch |  loss  |   lr   |
+-------+--------+--------+
|   1   | 4.0000 | 0.0100 |
|   2   | 3.0000 | 0.0100 |
+-------+--------+--------+
|   3   |  nan   | 0.0100 |
+-------+--------+--------+
done, loss: 1.0
"""
BOXES = """
┏━━━━━━━┳━━━━━━━━┓
┃ step  ┃ loss   ┃
┡━━━━━━━╇━━━━━━━━┩
│ 0     │ 4.0    │
│ 10    │ 3.0    │
│ 20    │ 2.0    │
└───────┴────────┘
"""
PANDAS = """|    |   epoch |   loss |
|---:|--------:|-------:|
|  0 |       1 |    4.0 |
|  1 |       2 |    3.0 |
|  2 |       3 |    2.0 |
|  3 |       4 |    1.0 |    5 |
|  4 |       5 |    0.5 |
"""
BARE = "Step | Training Loss\n--- | ---\n500 | 4.0\n1000 | 3.0\n1500 | 2.0"


def test_the_table_of_a_card_is_read(tmp_path: Path) -> None:
    """It is the first table with a loss. The text around it is skipped."""
    record = read(written(tmp_path, CARD, "README.md"))
    assert reader_of(record)["format"] == "Markdown table"
    assert points(record, "loss") == {20: 3.0467, 30: 0.6217}
    assert points(record, "val_loss") == {10: 3.1494, 20: 1.267, 30: 1.4213}
    assert reader_of(record)["ignored"] == ["Epoch"]
    assert record.sites("metric") == ("Wer",)


def test_tables_are_read_in_several_drawing_styles(tmp_path: Path) -> None:
    """The tables are drawn with `+---+`, with box-drawing lines, or without outer bars."""
    drawn = read(written(tmp_path, PRETTY, "pretty"))
    assert (points(drawn, "lr"), drawn.sites("nonfinite_count")) == (
        {1: 0.01, 2: 0.01, 3: 0.01},
        ("loss",),
    )
    assert points(read(written(tmp_path, BOXES, "boxes")), "loss") == {0: 4.0, 10: 3.0, 20: 2.0}
    assert points(read(written(tmp_path, BARE, "bare")), "loss") == {500: 4.0, 1000: 3.0, 1500: 2.0}


def test_a_table_ends_at_a_row_of_another_width(tmp_path: Path) -> None:
    """A column without a name is left out."""
    record = read(written(tmp_path, PANDAS))
    assert points(record, "loss") == {1: 4.0, 2: 3.0, 3: 2.0}
    assert reader_of(record)["ignored"] == []


@pytest.mark.parametrize(
    "text",
    [
        "| Loss | Step |\n|---|---|\n| 4.0 | 1 |\n| 3.0 | 2 |\n",
        "| Epoch | F1 |\n|---|---|\n" + "| 4.0 | 1 |\n" * 5,
        "| Loss | Step |\n" + "| 4.0 | 1 |\n" * 5,
        "Loss\n----\n4.0\n3.0\n2.0\n1.0\n",
        "| Loss | Step |\n|---|---|\n" + "| low | late |\n" * 5,
        "| Loss | Step |\n|---|---|\n" + "| 4.0 | 1 |\n" * 5 + "\0",
    ],
)
def test_other_tables_are_not_recognised(text: str) -> None:
    """These tables are too short, have no loss, no rule, no bars or no numbers, or are not text."""
    assert not markdown.recognises(text.encode())


def test_a_search_of_a_folder_leaves_out_model_cards(tmp_path: Path) -> None:
    """The log from which the table was made is found instead."""
    written(tmp_path, CARD, "README.md")
    log = written(tmp_path, "step,loss\n0,4.0\n1,3.0\n", "log.csv")
    assert find(tmp_path) == [log]


def test_printed_lines_with_a_short_table_at_the_end_are_read_as_lines(tmp_path: Path) -> None:
    """A table of two rows is no log."""
    lines = "".join(f"step {i} loss: {4 - i}\n" for i in range(4))
    record = read(
        written(tmp_path, f"{lines}| Loss | Step |\n|---|---|\n| 0.5 | 9 |\n| 0.6 | 9 |\n", "out")
    )
    assert points(record, "loss") == {0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0}


def test_a_model_card_of_two_epochs_is_a_log(tmp_path: Path) -> None:
    """A table of results has no training loss, validation loss and steps."""
    card = (
        "| Training Loss | Epoch | Step | Validation Loss |\n|---|---|---|---|\n"
        "| 0.35 | 1.0 | 125 | 0.36 |\n| 0.22 | 2.0 | 250 | 0.38 |\n"
    )
    record = read(written(tmp_path, card))
    assert points(record, "loss") == {125: 0.35, 250: 0.22}
    assert points(record, "val_loss") == {125: 0.36, 250: 0.38}
