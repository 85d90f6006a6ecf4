"""Tables in the printed output of a training are read by the line of names above the numbers."""

from math import nan
from pathlib import Path

import pytest

from probes import diagnose, read
from probes.readers.printed_table import PrintedTable
from testing.logs import points, reader_of, written


def yolo(names: str, rows: list[list[float]], batch: str = "4.87G") -> str:
    """YOLO's output: in each epoch a line of names, a line of numbers, and the evaluation."""
    text = ""
    for epoch, values in enumerate(rows):
        numbers = "".join(f"{value:10.4g}" for value in values)
        text += (
            f"\n     Epoch   gpu_mem{names}    labels  img_size\n"
            f"     {epoch}/29 {batch:>9}{numbers}        52       640: 100%|####| 88/88 [00:21]\n"
            "               Class     Images     Labels          P          R     mAP@.5\n"
            "                 all        172        411      0.612      0.571      0.588\n"
        )
    return text


@pytest.mark.parametrize(
    "names", ["       box       obj       cls", "  box_loss  cls_loss  dfl_loss"]
)
def test_the_parts_of_yolos_loss_are_added(tmp_path: Path, names: str) -> None:
    rows = [[0.5, 0.25, 0.125], [0.25, 0.125, 0.125], [0.125, 0.125, 0.0]]
    record = read(written(tmp_path, "Starting training\n" + yolo(names, rows)))
    assert points(record, "loss") == {0: 0.875, 1: 0.5, 2: 0.25}
    assert reader_of(record)["step"] == "epoch"


def test_a_total_beside_the_parts_is_the_loss(tmp_path: Path) -> None:
    names = "       box       obj       cls     total"
    text = yolo(names, [[0.5, 0.25, 0.125, 0.875], [0.25, 0.125, 0.125, 0.5]])
    assert points(read(written(tmp_path, text)), "loss") == {0: 0.875, 1: 0.5}


def test_parts_that_become_nan_are_found(tmp_path: Path) -> None:
    rows = [[1.0 / (1 + i), 0.5, 0.25] for i in range(30)]
    names = "       box       obj       cls"
    sound = diagnose(read(written(tmp_path, yolo(names, rows))))
    rows[11:] = [[nan] * 3] * 19
    sick = diagnose(read(written(tmp_path, yolo(names, rows))))
    assert (sound.verdict, sick.cause, sick.findings[0].step) == ("healthy", "non-finite", 11)


def test_a_table_with_dashes_below_the_names_is_read(tmp_path: Path) -> None:
    """spaCy prints it. The loss of tok2vec is no part of the loss."""
    text = (
        "E    #       LOSS TOK2VEC  LOSS NER  LOSS TAGGER  ENTS_F  SCORE \n"
        "---  ------  ------------  --------  -----------  ------  ------\n"
    ) + "".join(
        f"  {i // 2}     {i * 200:3d}         30.00     {20 - i:.2f}         1.50   40.00    0.4\n"
        for i in range(4)
    )
    record = read(written(tmp_path, "Pipeline: ['tok2vec', 'ner']\n" + text + "Saved pipeline\n"))
    assert points(record, "loss") == {0: 21.5, 200: 20.5, 400: 19.5, 600: 18.5}
    assert reader_of(record)["step"] == "step"


@pytest.mark.parametrize(
    "line",
    [
        "Epoch  loss",
        "the loss  of a run  falls  with time: 3",
        "1.0  2.0  3.0  loss 4",
        "epoch: 3  loss: 2.5  acc: 0.5",
        "Name  Kind  Size",
        "loss  loss  loss",
    ],
)
def test_other_lines_begin_no_table(line: str) -> None:
    """Too few names, sentences, numbers, rows with names, names without a loss, equal names."""
    table = PrintedTable()
    assert table.cells(line) == {}
    assert table.cells("1  2  3") == {}


def test_a_table_with_bars_needs_no_rule(tmp_path: Path) -> None:
    text = "Using GPU 0\n epoch |  trn_loss |  val_loss |  lr\n" + "".join(
        f" {i:5d} | {4.5 - i} | {5.0 - i} | 1e-3\n" for i in range(3)
    )
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {0: 4.5, 1: 3.5, 2: 2.5}
    assert points(record, "val_loss") == {0: 5.0, 1: 4.0, 2: 3.0}


def test_a_table_ends_with_its_rows() -> None:
    table = PrintedTable()
    table.cells("epoch    loss    acc")
    assert table.cells("1    2.5    0.5") == {"epoch": 1.0, "loss": 2.5, "acc": 0.5}
    assert table.cells("Evaluation of the first epoch") == {}
    assert table.cells("2    1.5    0.5") == {}
