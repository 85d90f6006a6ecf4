"""Columns are read as signals by one table of names, and by what the caller adds to it."""

from pathlib import Path

import pytest

from probes import read
from probes.readers import column_scan, find
from probes.readers.column_mapping import mapping_of
from probes.readers.column_names import EPOCH, NAMES, STEP, TOTAL, plain, role
from probes.record import RecordError
from probes.record.signals import BY_NAME, UnknownSignalError
from testing.logs import csv_of, lines_of, made_of, points, written


@pytest.mark.parametrize(
    ("column", "signal"),
    [
        ("loss", "loss"),
        ("Loss", "loss"),
        (" loss ", "loss"),
        ("train_loss", "loss"),
        ("train/loss", "loss"),
        ("Train Loss", "loss"),
        ("train_loss_step", "loss"),
        ("training-loss", "loss"),
        ("eval_loss", "val_loss"),
        ("val_loss", "val_loss"),
        ("val/loss", "val_loss"),
        ("validation/loss", "val_loss"),
        ("valid_loss", "val_loss"),
        ("eval_wikitext_loss", "val_loss"),
        ("test_loss", "val_loss"),
        ("avg_val_loss", "val_loss"),
        ("total_loss", "loss"),
        ("train_avg_loss", "loss"),
        ("bright-fog-1 - train/loss", "loss"),
        ("learning_rate", "lr"),
        ("lr", "lr"),
        ("lr-Adam", "lr"),
        ("lr-AdamW/pg1", "lr"),
        ("train/learning_rate", "lr"),
        ("grad_norm", "grad_norm"),
        ("gradient_norm", "grad_norm"),
        ("train/grad_norm", "grad_norm"),
        ("grad_2.0_norm_total", "grad_norm"),
    ],
)
def test_a_column_alone_is_read_as(tmp_path: Path, column: str, signal: str) -> None:
    """The names that people write, in their spellings."""
    record = read(written(tmp_path, csv_of(step=[3], **{column: [0.5]})))
    assert points(record, signal) == {3: 0.5}


@pytest.mark.parametrize(
    "column",
    [
        "step",
        "global_step",
        "current_steps",
        "trainer/global_step",
        "_step",
        "Step",
        "iteration",
        "iter",
    ],
)
def test_a_column_that_counts_steps(tmp_path: Path, column: str) -> None:
    """Is never mistaken for a signal."""
    record = read(written(tmp_path, csv_of(**{column: [5, 10]}, loss=[4.0, 3.0])))
    assert (points(record, "loss"), made_of(record)["step"]) == ({5: 4.0, 10: 3.0}, column)


def test_of_several_columns_that_count_steps_the_fullest_is_taken(tmp_path: Path) -> None:
    """As where one is written at evaluations alone."""
    text = csv_of(step=["", 1], global_step=[5, 10], loss=[4.0, 3.0])
    assert points(read(written(tmp_path, text)), "loss") == {5: 4.0, 10: 3.0}


def test_a_planned_total_is_ignored_where_steps_are_not_what_is_counted(tmp_path: Path) -> None:
    """Epochs do not add up to it."""
    record = read(written(tmp_path, csv_of(epoch=[0, 1], max_steps=[500, 500], loss=[4.0, 3.0])))
    assert (record.facts, made_of(record)["ignored"]) == ({}, ["max_steps"])


def test_ever_new_names_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number of them they are not even listed."""
    monkeypatch.setattr(column_scan, "MOST_COLUMNS", 3)
    rows = [{"loss": 4.0, f"x{i}": 1.0} for i in range(10)]
    assert made_of(read(written(tmp_path, lines_of(*rows))))["ignored"] == ["x0", "x1"]


@pytest.mark.parametrize(
    "column", ["box_loss", "val_loss_step", "accuracy", "loss_scale", "epoch_time", "my_metric"]
)
def test_what_is_not_known_is_ignored_and_listed(tmp_path: Path, column: str) -> None:
    """A guess would be worse."""
    record = read(written(tmp_path, csv_of(step=[0], loss=[4.0], **{column: [1.0]})))
    assert (list(record.tables), made_of(record)["ignored"]) == (["loss"], [column])


def test_what_was_mapped_is_said(tmp_path: Path) -> None:
    """Column by column, in the record's provenance, where no detector looks."""
    record = read(written(tmp_path, csv_of(epoch=[0], step=[3], loss=[4.0], lr=[0.1], seconds=[7])))
    assert record.provenance == {
        "reader": {
            "format": "CSV",
            "step": "step",
            "mapped": {"loss": "loss", "lr": "lr"},
            "ignored": ["epoch", "seconds"],
            "stitched": [],
        }
    }


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
def test_of_several_columns_for_a_signal_the_better_name_is_taken(
    tmp_path: Path, names: list[str], mapped: dict[str, str]
) -> None:
    """A training loss beside the batch's is the full split's; of equals, the first."""
    record = read(written(tmp_path, csv_of(step=[0], **{column: [1.0] for column in names})))
    assert made_of(record)["mapped"] == mapped


def test_a_column_of_words_is_no_signal(tmp_path: Path) -> None:
    """Nor is one of truths or of lists: by what stands in it first."""
    record = read(
        written(
            tmp_path, lines_of({"loss": 4.0, "lr": "fast", "grad_norm": True, "val_loss": [1.0]})
        )
    )
    assert made_of(record)["ignored"] == ["lr", "grad_norm", "val_loss"]


def test_an_epoch_that_repeats_counts_no_steps(tmp_path: Path) -> None:
    """Several batches an epoch are so many points, by their position."""
    rows = [{"epoch": i // 3, "loss": 4.0 - i} for i in range(4)]
    assert points(read(written(tmp_path, lines_of(*rows))), "loss") == {
        0: 4.0,
        1: 3.0,
        2: 2.0,
        3: 1.0,
    }


def test_steps_that_stay_the_same_count_nothing(tmp_path: Path) -> None:
    """As the number of steps in an epoch (Autoformer and its kin print it so)."""
    lines = [
        f"Epoch: {i}, Steps: 31 | Train Loss: {4.0 - i} Vali Loss: {4.5 - i} Test Loss: 9.0"
        for i in (1, 2, 3)
    ]
    record = read(written(tmp_path, "\n".join([*lines, ""])))
    assert (points(record, "loss"), points(record, "val_loss")) == (
        {0: 3.0, 1: 2.0, 2: 1.0},
        {0: 3.5, 1: 2.5, 2: 1.5},
    )
    assert made_of(record)["stitched"] == [
        "'step' is the same in every row, so it is the rows that are counted"
    ]
    assert points(read(written(tmp_path, csv_of(step=[7], epoch=[1], loss=[4.0]))), "loss") == {
        7: 4.0
    }
    assert points(
        read(written(tmp_path, csv_of(step=[7, 7], epoch=[1, 1], loss=[4.0, 3.0]))), "loss"
    ) == {7: 3.0}


def test_steps_in_fractions_count_nothing(tmp_path: Path) -> None:
    """As a part of an epoch that is called so; a single one among whole steps is damage."""
    record = read(written(tmp_path, csv_of(step=[0.5, 1.0, 1.5, 2.25], loss=[4.0, 3.0, 2.0, 1.0])))
    assert points(record, "loss") == {0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0}
    assert made_of(record)["stitched"] == [
        "'step' holds fractions, so it is the rows that are counted"
    ]
    record = read(
        written(
            tmp_path, csv_of(step=[0.5, 1.5, 2.5], iteration=[10, 20, 30], loss=[4.0, 3.0, 2.0])
        )
    )
    assert points(record, "loss") == {10: 4.0, 20: 3.0, 30: 2.0}


def test_an_epoch_in_two_rows_is_one_step(tmp_path: Path) -> None:
    """When one holds the training loss and the other validation's."""
    rows = [
        {"epoch": 1, "train_loss": 4.0},
        {"epoch": 1, "val_loss": 4.5},
        {"epoch": 2, "train_loss": 3.0},
    ]
    record = read(written(tmp_path, lines_of(*rows)))
    assert (points(record, "loss"), points(record, "val_loss")) == ({1: 4.0, 2: 3.0}, {1: 4.5})


def test_a_column_that_begins_again_in_every_epoch_counts_no_steps(tmp_path: Path) -> None:
    """As MMDetection's `iter` does, in whose evaluations it counts their rows: many epochs are not
    many runs."""
    rows = [
        {"mode": "train", "epoch": e, "iter": i, "loss": 9.0 - 3 * e - i / 50}
        for e in (1, 2)
        for i in (50, 100)
    ]
    rows.insert(2, {"mode": "val", "epoch": 1, "iter": 7, "bbox_mAP": 0.5})
    record = read(written(tmp_path, lines_of(*rows)))
    assert points(record, "loss") == {0: 5.0, 1: 4.0, 3: 2.0, 4: 1.0}
    assert made_of(record)["stitched"] == [
        "'iter' begins again in every epoch, so it is the rows that are counted"
    ]


def test_a_step_that_falls_where_the_epoch_does_not_rise_was_resumed(tmp_path: Path) -> None:
    """So does a restart from a checkpoint: it counts steps all the same."""
    rows = [
        {"epoch": e, "step": s, "loss": 9.0 - s}
        for e, s in ((0, 1), (0, 2), (1, 3), (1, 4), (1, 3), (2, 1))
    ]
    assert points(read(written(tmp_path, lines_of(*rows))), "loss") == {1: 8.0}


def test_another_counter_is_taken_where_one_begins_again(tmp_path: Path) -> None:
    """And nothing is left to be said."""
    rows = [
        {"epoch": e, "iter": i, "step": 2 * e + i, "loss": 9.0 - e - i}
        for e in (0, 1)
        for i in (1, 2)
    ]
    record = read(written(tmp_path, lines_of(*rows)))
    assert (list(points(record, "loss")), made_of(record)["stitched"]) == ([1, 2, 3, 4], [])


def test_of_several_runs_in_one_table_the_first_is_read_and_it_is_said(tmp_path: Path) -> None:
    """With what reads the next; of one run's extremes beside its mean there is nothing to say."""
    rows = [{"Step": 1, "a - loss": 4.0, "b - loss": 5.0, "b - loss__MIN": 4.9}]
    record = read(written(tmp_path, lines_of(*rows)))
    assert points(record, "loss") == {1: 4.0}
    assert made_of(record)["stitched"] == [
        "of 2 columns for loss only 'a - loss' was read; another run's is read by --map loss='b - loss'"
    ]


YOLO = {
    "epoch": [1, 2], "train/box_loss": [1.0, 0.5], "train/cls_loss": [4.0, 2.0], "val/box_loss": [1.5, 1.0],
    "val/cls_loss": [4.5, 3.0], "lr/pg0": [0.1, 0.1],
}  # fmt: skip


def test_a_loss_that_is_logged_in_parts_is_their_sum(tmp_path: Path) -> None:
    """As YOLO's; which they are is said, and a folder's search finds such a log."""
    record = read(written(tmp_path, csv_of(**YOLO)))
    assert (points(record, "loss"), points(record, "val_loss")) == (
        {1: 5.0, 2: 2.5},
        {1: 6.0, 2: 4.0},
    )
    assert (points(record, "lr"), made_of(record)["ignored"]) == ({1: 0.1, 2: 0.1}, [])
    assert made_of(record)["stitched"] == [
        "loss is logged in parts, whose sum was read: train/box_loss, train/cls_loss",
        "val_loss is logged in parts, whose sum was read: val/box_loss, val/cls_loss",
    ]
    assert find(tmp_path) == [tmp_path / "log"]


def test_parts_beside_their_sum_are_not_added_again(tmp_path: Path) -> None:
    """Nor one part alone, nor parts where a column was given, nor what a GAN's two networks
    lose."""
    parts = {name: YOLO[name] for name in ("epoch", "train/box_loss", "train/cls_loss")}
    assert points(read(written(tmp_path, csv_of(**parts, loss=[3.0, 2.0]))), "loss") == {
        1: 3.0,
        2: 2.0,
    }
    record = read(written(tmp_path, csv_of(**parts)), {"loss": "train/cls_loss"})
    assert points(record, "loss") == {1: 4.0, 2: 2.0}
    with pytest.raises(RecordError, match="has no column that is known here"):
        read(written(tmp_path, csv_of(step=[1], **{"train/box_loss": [1.0]})))
    with pytest.raises(RecordError, match="has no column that is known here"):
        read(written(tmp_path, csv_of(step=[1], **{"train/g_loss": [1.0], "train/d_loss": [0.5]})))


def test_a_sum_is_where_all_its_parts_are(tmp_path: Path) -> None:
    """A part that holds no number is damage, as anywhere; one that is NaN makes the sum NaN."""

    def rows(*last: object) -> str:
        return csv_of(
            **{"step": [1, 2], "train/box_loss": [1.0, last[0]], "train/cls_loss": [2.0, last[1]]}
        )

    assert points(read(written(tmp_path, rows("", 1.0))), "loss") == {1: 3.0}
    assert read(written(tmp_path, rows("nan", 1.0))).series("nonfinite_count", "loss")[
        0
    ].tolist() == [2]
    with pytest.raises(
        RecordError, match=r"line 3: column 'train/box_loss .* holds 'high'; it must be a number"
    ):
        read(written(tmp_path, rows("high", 1.0)))


def test_a_fraction_of_an_epoch_counts_no_steps(tmp_path: Path) -> None:
    """Steps are whole."""
    rows = [{"epoch": 0.5, "loss": 4.0}, {"epoch": 1.0, "loss": 3.0}]
    assert points(read(written(tmp_path, lines_of(*rows))), "loss") == {0: 4.0, 1: 3.0}


def test_rows_without_a_step_in_a_log_that_has_them_are_left_out(tmp_path: Path) -> None:
    """Where they belong is not known, and it is said."""
    record = read(
        written(tmp_path, lines_of({"step": 1, "loss": 4.0}, {"loss": 3.0}, {"note": 1.0}))
    )
    assert (points(record, "loss"), made_of(record)["stitched"]) == (
        {1: 4.0},
        ["1 rows have values but no 'step'; they were left out"],
    )


def test_a_mapping_adds_to_the_table(tmp_path: Path) -> None:
    """And comes before it."""
    path = written(tmp_path, csv_of(n=[7], mine=[4.0], loss=[3.0], other=[1.0]))
    record = read(path, {"loss": "mine", "val_loss": "other", "step": "n"})
    assert (made_of(record)["mapped"], made_of(record)["ignored"]) == (
        {"mine": "loss", "other": "val_loss"},
        ["loss"],
    )
    assert points(record, "loss") == {7: 4.0}


def test_a_mapped_column_that_holds_no_number_is_refused_with_its_line(tmp_path: Path) -> None:
    """It was asked for, so it cannot be passed over."""
    with pytest.raises(
        RecordError, match="log, line 2: column 'mine' holds 'high'; it must be a number, or empty"
    ):
        read(written(tmp_path, csv_of(step=[0], mine=["high"])), {"loss": "mine"})


def test_an_unknown_signal_in_a_mapping_is_an_error(tmp_path: Path) -> None:
    """With the nearest one."""
    with pytest.raises(UnknownSignalError, match="did you mean 'val_loss'"):
        read(written(tmp_path, csv_of(step=[0], loss=[1.0])), {"val_los": "loss"})


def test_a_signal_mapped_twice_is_an_error() -> None:
    """One of the two would be lost."""
    with pytest.raises(RecordError, match="loss is given two columns, 'a' and 'b'"):
        mapping_of(["loss=a", "loss=b"])


def test_a_column_may_have_an_equals_sign_in_its_name() -> None:
    """The first one separates."""
    assert mapping_of(["loss=a=b"]) == {"loss": "a=b"}


def test_a_log_with_no_column_that_is_known_says_what_to_do(tmp_path: Path) -> None:
    """It would be judged by nothing."""
    with pytest.raises(
        RecordError, match="has no column that is known here, only step, energy; name one, as --map"
    ):
        read(written(tmp_path, csv_of(step=[0], energy=[1.0])))


def test_the_table_names_only_signals_that_exist() -> None:
    """Of the whole run, and each of its names as it is compared."""
    signals = [signal for signal, _ in NAMES if signal not in (STEP, EPOCH, TOTAL)]
    assert [signal for signal in signals if BY_NAME[signal].scope != "run"] == []
    assert [
        name
        for _, names in NAMES
        for name in names
        if plain(name.replace("*", "x")) != name.replace("*", "x")
    ] == []


def test_a_name_that_nobody_knows_has_no_role() -> None:
    """So it takes nobody's place."""
    assert (role("energy"), role("train/loss"), role("_step")) == (None, "loss", STEP)


def test_the_page_lists_the_names_of_the_table() -> None:
    """Row by row."""
    page = (Path(__file__).parents[1] / "docs" / "logs.md").read_text(encoding="utf-8")
    listed = (
        page.partition("<!-- names -->")[2].partition("<!-- end of names -->")[0].splitlines()[3:]
    )
    assert listed == [
        f"| `{signal}` | {', '.join(f'`{name}`' for name in names)} |" for signal, names in NAMES
    ]
