"""Columns of metrics, such as accuracy, are read in every format, without harm to the losses."""

import json
from math import nan
from pathlib import Path

import pytest

from probes import diagnose, read
from probes.readers import metric_columns, series
from probes.readers.metric_columns import directions_of
from probes.record import Record, RecordError
from testing.logs import KERAS, csv_of, curve, lines_of, points, reader_of, written


def metric(record: Record, site: str) -> dict[int, float]:
    """Step -> value of a metric, for the steps at which it was measured."""
    steps, values = record.series("metric", site)
    return dict(zip(steps.tolist(), values.tolist(), strict=True))


ROWS = [
    {"step": 10, "loss": 2.0, "train/acc": 0.25},
    {"step": 20, "loss": 1.5, "train/acc": 0.5},
    {"step": 20, "eval_loss": 1.75, "eval_f1": 0.375},
]
CARD = """\
| Step | Training Loss | Validation Loss | Wer |
|---|---|---|---|
| 10 | 2.0 | 2.5 | 90.5 |
| 20 | 1.5 | 2.0 | No log |
| 30 | 1.0 | 1.5 | **70.5** |
"""
LINES = """\
step 10: loss 2.0, train_acc: 0.25
step 20: loss 1.5, train_acc: 0.5
step 20: val loss 1.75, f1 = 0.375
"""


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        (lines_of(*ROWS), {"train/acc": {10: 0.25, 20: 0.5}, "eval_f1": {20: 0.375}}),
        (
            json.dumps({"log_history": ROWS}),
            {"train/acc": {10: 0.25, 20: 0.5}, "eval_f1": {20: 0.375}},
        ),
        (
            csv_of(step=[10, 20], loss=[2.0, 1.5], eval_f1=["", 0.375]),
            {"eval_f1": {20: 0.375}},
        ),
        (
            json.dumps({"loss": [2.0, 1.5], "val_accuracy": [0.25, 0.5], "epoch": [1, 2]}),
            {"val_accuracy": {1: 0.25, 2: 0.5}},
        ),
        (KERAS, {"accuracy": {0: 0.4361, 1: 0.5769, 2: 0.6308},
                 "val_accuracy": {0: 0.5454, 1: 0.6012, 2: 0.6421}}),
        (CARD, {"Wer": {10: 90.5, 30: 70.5}}),
        (LINES, {"train_acc": {10: 0.25, 20: 0.5}, "val_f1": {20: 0.375}}),
    ],
    ids=["JSON lines", "trainer state", "CSV", "JSON columns", "Keras", "Markdown", "lines"],
)  # fmt: skip
def test_metrics_are_read_in_every_format(
    tmp_path: Path, text: str, metrics: dict[str, dict[int, float]]
) -> None:
    """Each metric has the steps at which it was measured and the name that the log gives it."""
    record = read(written(tmp_path, text))
    assert {site: metric(record, site) for site in record.sites("metric")} == metrics
    assert {name for name, signal in reader_of(record)["mapped"].items() if signal == "metric"} == (
        set(metrics)
    )


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        ("Epoch: [1][20/90]  Loss 2.5 (2.6)  Acc@1 50.25 (49.0)  Acc@5 75.0 (74.0)",
         {"Acc@1": 50.25, "Acc@5": 75.0}),
        ("Test set: Average loss: 2.5, Accuracy: 9850/10000 (98%)", {"val_Accuracy": 0.985}),
        ("epoch 1 train loss 2.5 acc 0.5 | val loss 2.75 acc 0.25", {"acc": 0.5, "val_acc": 0.25}),
        ("Epoch 1 | loss: 2.5 | mAP@0.5: 0.25 | best acc: 0.75", {"mAP@0.5": 0.25}),
    ],
)  # fmt: skip
def test_metrics_are_read_from_printed_lines(
    tmp_path: Path, line: str, metrics: dict[str, float]
) -> None:
    """A name may be followed by a colon or not, and a value may be a number of right answers. If a
    word for an evaluation stands before a metric, the metric was measured in that evaluation. The
    highest value so far is not a metric."""
    record = read(written(tmp_path, f"{line}\n"))
    assert {site: metric(record, site).popitem()[1] for site in record.sites("metric")} == metrics


def test_metrics_on_lines_of_their_own_belong_to_the_row_above(tmp_path: Path) -> None:
    """Unless they are of another epoch, or a setting in source code. Steps and losses stay as they
    are without such lines."""
    epochs = [
        f"Epoch {epoch}/9\nTrain loss: {4.0 - epoch}\n * Acc@1 {epoch * 8}\nVal F1: 0.{epoch}\n"
        for epoch in (1, 2, 3)
    ]
    lines = ["accuracy = 0.5\n", *epochs, "Epoch 4: accuracy: 0.75\n"]
    record = read(written(tmp_path, "".join(lines)))
    assert points(record, "loss") == {1: 3.0, 2: 2.0, 3: 1.0}
    assert {site: metric(record, site) for site in record.sites("metric")} == {
        "Acc@1": {1: 8.0, 2: 16.0, 3: 24.0},
        "Val F1": {1: 0.1, 2: 0.2, 3: 0.3},
    }


def test_a_metric_on_a_line_of_its_own_is_no_row(tmp_path: Path) -> None:
    """Where rows are counted, it does not move the steps of the losses."""
    text = "".join(f"loss {loss}\nval acc 0.5\n" for loss in (3.0, 2.0, 1.0))
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {0: 3.0, 1: 2.0, 2: 1.0}
    assert metric(record, "val acc") == {0: 0.5, 1: 0.5, 2: 0.5}


def test_a_metric_that_is_not_a_number_was_not_measured(tmp_path: Path) -> None:
    """An AUC is NaN if a batch holds one class only. It is no fault of the run, and a word in its
    column is no damage."""
    aucs: list[object] = [0.5, nan, "inf", "failed", *[0.75] * 36]
    record = read(written(tmp_path, csv_of(step=range(40), loss=curve(40), auc=aucs)))
    assert metric(record, "auc") == {0: 0.5, **dict.fromkeys(range(4, 40), 0.75)}
    assert "nonfinite_count" not in record.tables
    assert diagnose(record).verdict == "healthy"


def test_a_metric_never_shows_that_a_run_was_resumed(tmp_path: Path) -> None:
    """An evaluation may count its own batches, also in a row with a loss of training."""
    rows = [{"step": step, "loss": 4.0 - step / 10, "acc": 0.5} for step in range(1, 10)]
    behind = {"step": 3, "acc": 0.25}
    record = read(written(tmp_path, lines_of(*rows, behind)))
    assert metric(record, "acc") == dict.fromkeys(range(1, 10), 0.5)
    assert list(points(record, "loss")) == list(range(1, 10))
    assert reader_of(record)["stitched"] == [
        "1 rows were left out: they have no loss, and their step lies before one that was read "
        "earlier"
    ]


def test_a_resumed_run_replaces_its_metrics(tmp_path: Path) -> None:
    """Metrics are replaced in the same way as signals."""
    rows = [{"step": step, "loss": 4.0, "acc": step / 10} for step in (1, 2, 3)]
    record = read(written(tmp_path, lines_of(*rows, {"step": 2, "loss": 3.0})))
    assert metric(record, "acc") == {1: 0.1}


def test_further_metrics_are_ignored_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the user named come first. The extremes of a curve are no metrics."""
    monkeypatch.setattr(metric_columns, "MAX_METRICS", 2)
    names = ["acc", "f1", "auc", "f1__MAX", "mine"]
    path = written(tmp_path, csv_of(step=[1], loss=[4.0], **{name: [0.5] for name in names}))
    record = read(path, metrics={"mine": "down"})
    assert record.sites("metric") == ("mine", "acc")
    assert record.facts == {"metric_direction": {"mine": "down"}}
    assert reader_of(record)["ignored"] == ["f1", "auc", "f1__MAX"]
    assert reader_of(record)["stitched"] == [
        "2 of 4 metrics were ignored, because at most 2 are read: f1, auc"
    ]


def test_many_points_of_metrics_are_thinned_apart_from_the_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest value stays, and the loss keeps all its points."""
    monkeypatch.setattr(series, "MAX_METRIC_POINTS", 80)
    accuracies = [0.5] * 400
    accuracies[123] = 0.75
    record = read(written(tmp_path, csv_of(step=range(400), loss=curve(400), acc=accuracies)))
    assert len(points(record, "loss")) == 400
    kept = metric(record, "acc")
    assert (len(kept) <= 100, kept[123]) == (True, 0.75)
    (note,) = reader_of(record)["stitched"]
    assert "of 20 neighbouring points of a metric" in note


def test_the_user_names_metrics_and_their_directions(tmp_path: Path) -> None:
    """The user can also change the direction that the name of a metric implies."""
    path = written(tmp_path, csv_of(step=[1], loss=[4.0], score=[0.5], error=[0.25]))
    record = read(path, metrics=directions_of(["score:up", "error:up"]))
    assert record.sites("metric") == ("score", "error")
    assert record.facts["metric_direction"] == {"score": "up", "error": "up"}


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("score", "'score' is not of the form NAME:up or NAME:down, such as my_score:up"),
        (":up", "':up' is not of the form"),
        ("score:upp", "'upp' is not a direction of 'score'; did you mean 'up'?"),
        ("score:7", "'7' is not a direction of 'score'; it must be up or down"),
    ],
)
def test_a_wrong_direction_is_an_error(pair: str, said: str) -> None:
    """The error says which directions are right."""
    with pytest.raises(RecordError, match=f"^{said}".replace("?", r"\?")):
        directions_of([pair])


def test_a_name_with_two_directions_is_an_error() -> None:
    """This also holds if both directions are equal."""
    with pytest.raises(RecordError, match="'a:b' is given two directions"):
        directions_of(["a:b:up", "a:b:up"])


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("scor", r"no column 'scor', which is to be a metric \(did you mean 'score'.*\?\)"),
        ("zzz", r"no column 'zzz', which is to be a metric \(it has word, score\)"),
        ("loss", "column 'loss' is read as loss, so it cannot be a metric"),
        ("step", "column 'step' is read as step, so it cannot be a metric"),
        ("word", "column 'word' cannot be a metric: its first entry is not a number"),
    ],
)
def test_a_column_that_cannot_be_a_metric_is_an_error(
    tmp_path: Path, column: str, said: str
) -> None:
    """The error gives the nearest right name."""
    path = written(tmp_path, csv_of(step=[1], loss=[4.0], word=["a"], score=[0.5]))
    with pytest.raises(RecordError, match=said):
        read(path, metrics={column: "up"})
