"""Which column is read as which signal, by the table of names and by the caller's mapping."""

from pathlib import Path

import pytest

from probes import diagnose, read
from probes.readers import find
from probes.readers.column_mapping import how_it_was_read, mapping_of
from probes.record import ADVERSARIAL, RecordError
from probes.record.signals import UnknownSignalError
from testing.logs import csv_of, lines_of, points, reader_of, written


@pytest.mark.parametrize(
    ("names", "mapped"),
    [
        (["loss", "train_loss"], {"loss": "loss", "train_loss": "train_loss"}),
        (["train_loss", "loss"], {"loss": "loss", "train_loss": "train_loss"}),
        (
            ["train_loss_step", "train_loss_epoch"],
            {"train_loss_step": "loss", "train_loss_epoch": "train_loss"},
        ),
        (["train_loss_epoch"], {"train_loss_epoch": "loss"}),
        (["eval_a_loss", "eval_b_loss"], {"eval_a_loss": "val_loss"}),
        (["eval_a_loss", "eval_loss"], {"eval_loss": "val_loss"}),
        (["lr-Adam", "lr-Adam-momentum"], {"lr-Adam": "lr"}),
        (["test_loss", "val_loss"], {"val_loss": "val_loss"}),
        (["total_loss", "train_loss"], {"train_loss": "loss"}),
        (["fog - loss", "fog - loss__MIN", "fog - loss__MAX"], {"fog - loss": "loss"}),
    ],
)
def test_of_several_columns_for_a_signal_the_best_name_is_read(
    tmp_path: Path, names: list[str], mapped: dict[str, str]
) -> None:
    """If several columns have this name, the first of them is read. A training loss beside the
    batch loss is read as the loss of the full split."""
    record = read(written(tmp_path, csv_of(step=[0], **{column: [1.0] for column in names})))
    assert reader_of(record)["mapped"] == mapped


@pytest.mark.parametrize(
    "column", ["box_loss", "val_loss_step", "loss_scale", "epoch_time", "my_metric"]
)
def test_unknown_columns_are_ignored_and_listed(tmp_path: Path, column: str) -> None:
    """A wrong guess would be worse."""
    record = read(written(tmp_path, csv_of(step=[0], loss=[4.0], **{column: [1.0]})))
    assert (list(record.tables), reader_of(record)["ignored"]) == (["loss"], [column])


def test_a_column_whose_first_entry_is_no_number_is_no_signal(tmp_path: Path) -> None:
    """A word, a truth value or a list."""
    row = {"loss": 4.0, "lr": "fast", "grad_norm": True, "val_loss": [1.0]}
    record = read(written(tmp_path, lines_of(row)))
    assert reader_of(record)["ignored"] == ["lr", "grad_norm", "val_loss"]


def test_a_planned_total_is_ignored_when_epochs_are_counted(tmp_path: Path) -> None:
    """The planned total is a number of steps, not of epochs."""
    record = read(written(tmp_path, csv_of(epoch=[0, 1], max_steps=[500, 500], loss=[4.0, 3.0])))
    assert (record.facts, reader_of(record)["ignored"]) == ({}, ["max_steps"])


def test_the_provenance_says_how_each_column_was_read(tmp_path: Path) -> None:
    """Detectors never see the provenance."""
    record = read(written(tmp_path, csv_of(epoch=[0], step=[3], loss=[4.0], lr=[0.1], seconds=[7])))
    assert record.provenance["reader"] == {
        "format": "CSV",
        "step": "step",
        "mapped": {"loss": "loss", "lr": "lr"},
        "ignored": ["epoch", "seconds"],
        "stitched": [],
    }


YOLO = {
    "epoch": [1, 2],
    "train/box_loss": [1.0, 0.5],
    "train/cls_loss": [4.0, 2.0],
    "val/box_loss": [1.5, 1.0],
    "val/cls_loss": [4.5, 3.0],
    "lr/pg0": [0.1, 0.1],
}
TRAIN_PARTS = {name: YOLO[name] for name in ("epoch", "train/box_loss", "train/cls_loss")}


def test_a_loss_that_is_logged_in_parts_is_their_sum(tmp_path: Path) -> None:
    """YOLO logs it so. A note names the parts, and a search of a folder finds such a log."""
    record = read(written(tmp_path, csv_of(**YOLO)))
    assert points(record, "loss") == {1: 5.0, 2: 2.5}
    assert points(record, "val_loss") == {1: 6.0, 2: 4.0}
    assert (points(record, "lr"), reader_of(record)["ignored"]) == ({1: 0.1, 2: 0.1}, [])
    assert reader_of(record)["stitched"] == [
        "loss is logged in parts; their sum was read: train/box_loss, train/cls_loss",
        "val_loss is logged in parts; their sum was read: val/box_loss, val/cls_loss",
    ]
    assert find(tmp_path) == [tmp_path / "log"]


def test_the_two_parts_of_a_detector_are_added(tmp_path: Path) -> None:
    """SSD's loss is the sum of the losses for location and class. One of them alone is no loss."""
    record = read(written(tmp_path, csv_of(step=[1, 2], loss_l=[1.0, 0.5], loss_c=[4.0, 2.0])))
    assert points(record, "loss") == {1: 5.0, 2: 2.5}
    with pytest.raises(RecordError, match="has no column with a known name"):
        read(written(tmp_path, csv_of(step=[1, 2], loss_l=[1.0, 0.5])))


def test_parts_are_not_added_when_the_loss_is_there(tmp_path: Path) -> None:
    """The loss is a column of the log, or the caller names its column."""
    record = read(written(tmp_path, csv_of(**TRAIN_PARTS, loss=[3.0, 2.0])))
    assert points(record, "loss") == {1: 3.0, 2: 2.0}
    record = read(written(tmp_path, csv_of(**TRAIN_PARTS)), {"loss": "train/cls_loss"})
    assert points(record, "loss") == {1: 4.0, 2: 2.0}


@pytest.mark.parametrize("parts", [["box"], ["kl", "content"]], ids=["one part", "unknown parts"])
def test_losses_that_are_not_known_as_parts_are_not_added(tmp_path: Path, parts: list[str]) -> None:
    """Nothing says that their sum is what the training minimises."""
    columns = {f"train/{part}_loss": [1.0] for part in parts}
    with pytest.raises(RecordError, match="has no column with a known name"):
        read(written(tmp_path, csv_of(step=[1], **columns)))


def test_the_losses_of_a_gan_are_added_and_not_judged_as_a_loss(tmp_path: Path) -> None:
    """Their sum shows only whether the losses are finite."""
    rising = [1.0 + i for i in range(30)]
    columns = {"loss_g": rising, "loss_d": [1.0] * 30, "loss_kl": [0.5] * 30}
    record = read(written(tmp_path, csv_of(step=range(30), **columns)))
    assert points(record, "loss")[2] == 4.5
    assert record.facts["objective"] == ADVERSARIAL
    assert diagnose(record).verdict == "undetermined"
    columns["loss_g"] = [*rising[:20], *["nan"] * 10]
    diagnosis = diagnose(read(written(tmp_path, csv_of(step=range(30), **columns))))
    assert (diagnosis.cause, diagnosis.findings[0].step) == ("non-finite", 20)


def test_a_loss_beside_the_losses_of_a_gan_is_an_ordinary_loss(tmp_path: Path) -> None:
    columns = {"loss_g": [1.0, 2.0], "loss_d": [1.0, 1.0], "loss": [3.0, 2.0]}
    record = read(written(tmp_path, csv_of(step=range(2), **columns)))
    assert (points(record, "loss"), record.facts) == ({0: 3.0, 1: 2.0}, {})


def two_rows_of_parts(box: object, cls: object) -> str:
    """A CSV with losses 1 + 2 at step 1 and box + cls at step 2."""
    columns = {"step": [1, 2], "train/box_loss": [1.0, box], "train/cls_loss": [2.0, cls]}
    return csv_of(**columns)


def test_the_sum_is_a_gap_where_a_part_is_one_and_nan_where_a_part_is(tmp_path: Path) -> None:
    assert points(read(written(tmp_path, two_rows_of_parts("", 1.0))), "loss") == {1: 3.0}
    record = read(written(tmp_path, two_rows_of_parts("nan", 1.0)))
    assert record.series("nonfinite_count", "loss")[0].tolist() == [2]


def test_a_part_that_is_no_number_is_damage(tmp_path: Path) -> None:
    with pytest.raises(
        RecordError, match=r"line 3: column 'train/box_loss .* holds 'high'; it must be a number"
    ):
        read(written(tmp_path, two_rows_of_parts("high", 1.0)))


def test_rows_without_a_step_are_left_out(tmp_path: Path) -> None:
    """Where they belong is not known. A note says how many they are."""
    rows = [{"step": 1, "loss": 4.0}, {"loss": 3.0}, {"note": 1.0}]
    record = read(written(tmp_path, lines_of(*rows)))
    assert points(record, "loss") == {1: 4.0}
    assert reader_of(record)["stitched"] == ["1 rows have values but no 'step'; they were left out"]


def test_the_callers_mapping_goes_before_the_table(tmp_path: Path) -> None:
    path = written(tmp_path, csv_of(n=[7], mine=[4.0], loss=[3.0], other=[1.0]))
    record = read(path, {"loss": "mine", "val_loss": "other", "step": "n"})
    assert reader_of(record)["mapped"] == {"mine": "loss", "other": "val_loss"}
    assert reader_of(record)["ignored"] == ["loss"]
    assert points(record, "loss") == {7: 4.0}


def test_a_mapped_column_must_hold_numbers(tmp_path: Path) -> None:
    """The caller asked for it, so it cannot be ignored."""
    with pytest.raises(
        RecordError, match="log, line 2: column 'mine' holds 'high'; it must be a number, or empty"
    ):
        read(written(tmp_path, csv_of(step=[0], mine=["high"])), {"loss": "mine"})


def test_a_mapped_column_must_be_in_the_log(tmp_path: Path) -> None:
    """The message offers the nearest names, or lists the columns when none is near."""
    path = written(tmp_path, csv_of(step=[0], perplexity=[1.0]))
    with pytest.raises(
        RecordError, match=r"no column 'perplexiti', .* \(did you mean 'perplexity'\?\)"
    ):
        read(path, {"loss": "perplexiti"})
    with pytest.raises(RecordError, match=r"no column 'x', .* \(it has step, perplexity\)"):
        read(path, {"loss": "x"})


def test_a_mapped_signal_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UnknownSignalError, match="did you mean 'val_loss'"):
        read(written(tmp_path, csv_of(step=[0], loss=[1.0])), {"val_los": "loss"})


def test_a_mapped_signal_must_have_one_value_per_step(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="'activation' has one value per layer"):
        read(written(tmp_path, csv_of(step=[0], loss=[1.0])), {"activation": "loss"})


def test_a_signal_cannot_be_mapped_twice() -> None:
    with pytest.raises(RecordError, match="loss is given two columns, 'a' and 'b'"):
        mapping_of(["loss=a", "loss=b"])


def test_a_column_may_have_an_equals_sign_in_its_name() -> None:
    """The first one separates signal and column."""
    assert mapping_of(["loss=a=b"]) == {"loss": "a=b"}


def test_a_log_without_known_columns_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """There would be nothing to judge."""
    with pytest.raises(
        RecordError,
        match="has no column with a known name, only step, energy; "
        "map a column to a signal, for example",
    ):
        read(written(tmp_path, csv_of(step=[0], energy=[1.0])))


@pytest.mark.parametrize(
    "reader", [None, "CSV", [], {}, {"mapped": 1, "ignored": "x", "stitched": 2}], ids=repr
)
def test_a_provenance_of_any_type_is_described(reader: object) -> None:
    """A record may come from anywhere."""
    assert all(isinstance(line, str) for line in how_it_was_read(reader, columns=True))
    assert how_it_was_read(reader, columns=False) == []
