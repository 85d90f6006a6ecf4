"""Each format, as its trainer writes it, gives the values and steps that stand in it."""

import json
from math import inf
from pathlib import Path

import pytest

from probes import read
from probes.record import Record, RecordError
from probes.recording.recorder import save
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    STATE,
    TRAINER_LOG,
    TRAINER_STATE,
    csv_of,
    lines_of,
    made_of,
    points,
    written,
)
from tests.records import changed


@pytest.mark.parametrize(
    "text", [TRAINER_STATE, json.dumps(STATE), json.dumps(STATE["log_history"])]
)
def test_trainer_state_gives_loss_rate_norm_and_evaluations(tmp_path: Path, text: str) -> None:
    """Indented, on one line, and the bare log_history."""
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {10: 2.1735, 20: 1.6012, 30: 1.4877, 40: 1.4411}
    assert points(record, "val_loss") == {20: 1.5862963199615479, 40: 1.3862963199615479}
    assert points(record, "lr") == {10: 4.500000000000001e-05, 20: 3e-05, 30: 1.5e-05, 40: 0.0}
    assert points(record, "grad_norm") == {10: 2.8125, 20: 1.2265625, 30: 1.1015625, 40: 0.98}


def test_the_summary_of_a_trainer_is_no_point_of_a_curve(tmp_path: Path) -> None:
    """Its train_loss is the mean of the whole run; that it was left out is said."""
    record = read(written(tmp_path, TRAINER_STATE))
    assert (record.sites("train_loss"), made_of(record)["stitched"]) == (
        (),
        ["entry 7: it sums up the run and was left out"],
    )


def test_trainer_state_states_the_planned_total_and_nothing_else(tmp_path: Path) -> None:
    """No fact is invented, a vocabulary least of all."""
    assert read(written(tmp_path, TRAINER_STATE)).facts == {"total_steps": 40}


@pytest.mark.parametrize(("reached", "complete"), [(40, True), (20, False)])
def test_a_trainer_that_stopped_before_its_total_is_incomplete(
    tmp_path: Path, reached: int, complete: bool
) -> None:
    """As the state of a checkpoint in the middle of the run."""
    history = [entry for entry in STATE["log_history"] if entry["step"] <= reached]
    state = {**STATE, "log_history": history, "global_step": reached}
    assert read(written(tmp_path, json.dumps(state))).complete is complete


@pytest.mark.parametrize(("last", "complete"), [(37, False), (38, False), (39, True), (40, True)])
def test_a_planned_run_is_complete_whether_steps_count_from_0_or_from_1(
    tmp_path: Path, last: int, complete: bool
) -> None:
    """The last of forty steps is 39 or 40."""
    rows = [{"step": step, "loss": 4.0, "total_steps": 40} for step in (0, last)]
    assert read(written(tmp_path, lines_of(*rows))).complete is complete


def test_last_log_of_a_trainer_may_come_before_its_last_step(tmp_path: Path) -> None:
    """What counts is the step that the trainer reached, not the one it logged last."""
    state = {**STATE, "log_history": STATE["log_history"][:5], "global_step": 45, "max_steps": 45}
    assert read(written(tmp_path, json.dumps(state))).complete


def test_json_lines_of_a_trainer(tmp_path: Path) -> None:
    """Evaluations in lines of their own, and a planned total in every line."""
    record = read(written(tmp_path, TRAINER_LOG))
    assert points(record, "loss") == {10: 2.1735, 20: 1.6012, 40: 1.4411}
    assert (points(record, "val_loss"), points(record, "lr")[10]) == ({20: 1.5863}, 4.5e-05)
    assert (record.facts, record.complete) == ({"total_steps": 40}, True)


@pytest.mark.parametrize("totals", [(40, 80), (10, 10), (0, 0), (None, None)])
def test_a_total_that_is_no_plan_is_no_fact(tmp_path: Path, totals: tuple[int | None, ...]) -> None:
    """One that moves, is passed, or is nothing."""
    rows = [
        {"step": 10 * i, "loss": 3.0, "total_steps": total}
        for i, total in enumerate(totals, start=1)
    ]
    assert read(written(tmp_path, lines_of(*rows))).facts == {}


def test_sparse_rows_of_lightning_are_one_row_a_step(tmp_path: Path) -> None:
    """Batch loss, the epoch's mean, validation and rate stand in rows of their own."""
    record = read(written(tmp_path, LIGHTNING))
    assert record.steps.tolist() == [9, 19, 24, 29, 49]
    assert points(record, "loss") == {9: 2.3058958053588867, 19: 1.9120283126831055, 29: 1.7}
    assert points(record, "train_loss") == {24: 2.0511, 49: 1.72}
    assert points(record, "val_loss") == {24: 1.8012, 49: 1.61}
    assert points(record, "lr") == {9: 0.001, 19: 0.001, 29: 0.0005}


def test_keras_logs_count_epochs(tmp_path: Path) -> None:
    """There is no other step in them."""
    record = read(written(tmp_path, KERAS))
    assert points(record, "loss") == {0: 1.5626, 1: 1.1985, 2: 1.0476}
    assert points(record, "val_loss") == {0: 1.2789, 1: 1.1323, 2: 1.0214}
    assert (points(record, "lr")[2], made_of(record)["step"]) == (0.0005, "epoch")


def test_an_object_of_lists_counts_positions(tmp_path: Path) -> None:
    """And a null in it was not measured."""
    record = read(written(tmp_path, KERAS_HISTORY))
    assert points(record, "loss") == {0: 1.5626, 1: 1.1985, 2: 1.0476}
    assert (points(record, "val_loss"), made_of(record)["step"]) == (
        {0: 1.2789, 2: 1.0214},
        "position",
    )


def test_a_table_that_pandas_wrote_is_an_object_of_lists(tmp_path: Path) -> None:
    """Each column an object whose names are the places."""
    text = '{"loss": {"0": 1.5, "1": 1.25}, "val_loss": {"0": 2.0, "1": null}, "args": {"0": 7, "seed": 1}}'
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "val_loss")) == ({0: 1.5, 1: 1.25}, {0: 2.0})
    assert made_of(record)["ignored"] == []


@pytest.mark.parametrize(
    "text",
    [
        '{"history": {"loss": [1.5, 1.25], "val_loss": [2.0, null]}, "params": {"layers": [64, 64, 4]}}',
        '{"train": {"loss": [1.5, 1.25]}, "val": {"loss": [2.0, null], "accuracy": [0.5, 0.6]}}',
        '{"args": {"betas": [0.9, 0.99, 0.5]}, "train_losses": [1.5, 1.25], "val_losses": [2.0, null]}',
        '{"history": {"loss": {"0": 1.5, "1": 1.25}, "val_loss": {"0": 2.0, "1": null}}}',
    ],
    ids=["beside settings", "by split", "in the plural", "of pandas"],
)
def test_an_object_of_lists_may_lie_within_another(tmp_path: Path, text: str) -> None:
    """A list of another length than the losses' is no column of theirs."""
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "val_loss")) == ({0: 1.5, 1: 1.25}, {0: 2.0})


def test_of_two_objects_with_the_same_lists_the_first_is_read(tmp_path: Path) -> None:
    """And the other is listed as ignored; what lies too deep is not looked for."""
    record = read(written(tmp_path, '{"a": {"loss": [1.5, 1.25]}, "b": {"loss": [9.5, 9.25]}}'))
    assert (points(record, "loss"), made_of(record)["ignored"]) == ({0: 1.5, 1: 1.25}, ["b/loss"])
    with pytest.raises(RecordError, match="is an object without a list of values"):
        read(written(tmp_path, '{"a":' * 400 + '{"loss": [1.5, 1.25]}' + "}" * 400))


def test_an_object_of_lists_may_state_its_steps(tmp_path: Path) -> None:
    """As any other log."""
    record = read(
        written(tmp_path, json.dumps({"step": [5, 10], "train/loss": [4.0, 3.0]}, indent=1))
    )
    assert points(record, "loss") == {5: 4.0, 10: 3.0}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " , "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_plain_csv(tmp_path: Path, delimiter: str, end: str, mark: str) -> None:
    """Padded or not, with any usual delimiter, from any system."""
    text = mark + "step,loss\n1,4.5\n2,4.25\n".replace(",", delimiter).replace("\n", end)
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), made_of(record)["step"]) == ({1: 4.5, 2: 4.25}, "step")


def test_a_table_set_with_blanks(tmp_path: Path) -> None:
    """As fastai prints it and NumPy saves it; prose of as many words is none."""
    text = (
        "epoch     train_loss  valid_loss  time    \n0         1.5         2.0         00:10   \n"
    )
    record = read(written(tmp_path, text + "1         1.25        1.75        00:11   \n"))
    assert (points(record, "loss"), points(record, "val_loss")) == (
        {0: 1.5, 1: 1.25},
        {0: 2.0, 1: 1.75},
    )
    assert points(
        read(written(tmp_path, "# step loss\n1.0e+01 4.5\n".replace("# ", ""))), "loss"
    ) == {10: 4.5}
    with pytest.raises(RecordError, match="of no format that is known here"):
        read(written(tmp_path, "results of run\nabout 12 hours\n"))


def test_quoted_names_and_cells(tmp_path: Path) -> None:
    """As spreadsheets write them, the delimiter in between included."""
    text = '"Step", "note", "Train Loss"\n"1", "a, b", "4.5"\n'
    assert points(read(written(tmp_path, text)), "loss") == {1: 4.5}


def test_a_column_without_a_title_is_called_by_its_place(tmp_path: Path) -> None:
    """As the index of a data frame; the header that comes again with a second file is no row."""
    text = ",step,loss\n0,5,4.5\n"
    record = read(written(tmp_path, text + text))
    assert (points(record, "loss"), made_of(record)["ignored"]) == ({5: 4.5}, ["column 1"])


def test_our_own_record_comes_back_as_it_is(tmp_path: Path) -> None:
    """`read` takes what `Record.load` takes, with all of its facts."""
    save(changed(), tmp_path / "run.jsonl")
    ours, loaded = read(tmp_path / "run.jsonl"), Record.load(tmp_path / "run.jsonl")
    assert (ours.facts, ours.provenance, points(ours, "loss")) == (
        loaded.facts,
        loaded.provenance,
        points(loaded, "loss"),
    )


@pytest.mark.parametrize("spelling", ["NaN", "nan", "NAN", "inf", "-inf", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_an_observation(tmp_path: Path, spelling: str) -> None:
    """In CSV, and as a string in JSON: it is counted at the site loss of nonfinite_count."""
    for text in (
        csv_of(step=[0, 1], loss=[4.0, spelling]),
        lines_of({"loss": 4.0}, {"loss": spelling}),
    ):
        assert read(written(tmp_path, text)).series("nonfinite_count", "loss")[0].tolist() == [1]


def test_tokens_of_python_in_json_are_observations(tmp_path: Path) -> None:
    """`json.dump` writes NaN and Infinity bare."""
    record = read(
        written(tmp_path, '{"loss": NaN, "grad_norm": Infinity}\n{"loss": 4.0, "grad_norm": 1.0}\n')
    )
    assert (record.sites("nonfinite_count"), points(record, "grad_norm")) == (
        ("loss", "grad_norm"),
        {0: inf, 1: 1.0},
    )


@pytest.mark.parametrize("nothing", ["", " ", "null", "None", "N/A", "-"])
def test_an_empty_cell_was_not_measured(tmp_path: Path, nothing: str) -> None:
    """And is no NaN."""
    record = read(
        written(tmp_path, csv_of(step=[0, 1, 2], loss=[nothing, 4.0, nothing], lr=[0.1, 0.1, 0.1]))
    )
    assert (points(record, "loss"), record.sites("nonfinite_count")) == ({1: 4.0}, ())


def test_a_word_for_nothing_in_json_was_not_measured(tmp_path: Path) -> None:
    """Even where it stands first in its column."""
    assert points(read(written(tmp_path, lines_of({"loss": "null"}, {"loss": 4.0}))), "loss") == {
        1: 4.0
    }


def test_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    """CSV in a file called .json, and the other way round."""
    assert made_of(read(written(tmp_path, KERAS, "log.json")))["format"] == "CSV"
    assert made_of(read(written(tmp_path, TRAINER_LOG, "log.csv")))["format"] == "JSON lines"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (TRAINER_LOG[:-20], 2),
        (LIGHTNING[:-3], 5),
        (KERAS[:-8], 2),
        (KERAS[:-1], 2),
        (KERAS[:-48], 1),
    ],
)
def test_a_cut_last_line_is_dropped_and_leaves_the_record_incomplete(
    tmp_path: Path, text: str, rows: int
) -> None:
    """A last number may be cut as well, so a line of CSV needs its newline."""
    record = read(written(tmp_path, text))
    assert (len(record.steps), record.complete) == (rows, False)
    assert "the log ends within it" in made_of(record)["stitched"][-1]


def test_an_object_of_lists_may_stand_in_one_line_beside_what_is_none(tmp_path: Path) -> None:
    """As the best accuracy and its epoch; with a loss beside its lists, it is a row."""
    lists = {"train_loss": [4.0, 3.0], "val_loss": [4.5, 4.0], "best_epoch": 1}
    assert made_of(read(written(tmp_path, json.dumps(lists))))["format"] == "JSON object of lists"
    row = {"loss": 4.0, "val_loss": [4.5]}
    assert made_of(read(written(tmp_path, json.dumps(row))))["format"] == "JSON lines"
    several = [{"step": i, "all": {"loss": [4.0, 3.0]}, "loss": None, "lr": 0.1} for i in range(2)]
    assert made_of(read(written(tmp_path, lines_of(*several))))["format"] == "JSON lines"


NESTED = [
    {"step": i, "train": {"loss": 4.0 - i}, "metrics": {"val_loss": 5.0 - i, "logs": {"lr": 0.1}}}
    for i in (1, 2)
]


def test_objects_within_a_line_are_part_of_it(tmp_path: Path) -> None:
    """By their path, `train/loss`, and by their own name within what is called `metrics` and the
    like."""
    record = read(written(tmp_path, lines_of({"step": 0, "train": None}, *NESTED)))
    assert points(record, "loss") == {1: 3.0, 2: 2.0}
    assert points(record, "val_loss") == {1: 4.0, 2: 3.0}
    assert made_of(record)["mapped"] == {"train/loss": "loss", "val_loss": "val_loss", "lr": "lr"}


def test_two_objects_within_a_line_may_name_the_same(tmp_path: Path) -> None:
    """Each keeps its own, and a best loss is not the loss; what lies too deep is passed over."""
    deep: dict[str, object] = {"loss": 9.0}
    for _ in range(5):
        deep = {"more": deep}
    row = {
        "step": 1,
        "best": {"loss": 0.5},
        "stats": {"f1": 0.5},
        "logs": {"f1": 0.25, "val_loss": 4.0},
        "more": deep,
    }
    record = read(
        written(tmp_path, lines_of(row | {"train_loss": 5.0}, row | {"step": 2, "train_loss": 4.5}))
    )
    assert (points(record, "loss"), points(record, "val_loss")) == (
        {1: 5.0, 2: 4.5},
        {1: 4.0, 2: 4.0},
    )
    assert made_of(record)["ignored"] == ["best/loss", "f1", "logs/f1"]


@pytest.mark.parametrize("indent", [None, 2])
def test_rows_may_stand_in_an_object_beside_what_is_none(
    tmp_path: Path, indent: int | None
) -> None:
    """Under whatever name, as `history`."""
    run = {"config": {"lr": 0.1, "layers": [{"width": 3}]}, "best": 1.0, "history": NESTED}
    record = read(written(tmp_path, json.dumps(run, indent=indent)))
    assert (points(record, "loss"), points(record, "val_loss")) == (
        {1: 3.0, 2: 2.0},
        {1: 4.0, 2: 3.0},
    )


def test_numbers_may_be_spelled_in_json(tmp_path: Path) -> None:
    """As a writer leaves them that does not know the numbers of NumPy."""
    record = read(
        written(tmp_path, lines_of({"step": "1", "loss": "4.5"}, {"step": "2", "loss": "nan"}))
    )
    assert record.series("loss")[1].tolist()[0] == 4.5
    assert (record.steps.tolist(), record.sites("nonfinite_count")) == ([1, 2], ("loss",))


@pytest.mark.parametrize(
    "cell", ["tensor(4.5)", "tensor(4.5, device='cuda:0')", "tensor([4.5], requires_grad=True)"]
)
def test_a_tensor_as_python_shows_it_is_its_number(tmp_path: Path, cell: str) -> None:
    """As csv.writer leaves one that was not asked for its item; of several numbers none is
    taken."""
    assert points(read(written(tmp_path, f'step,loss\n0,"{cell}"\n1,3.0\n')), "loss") == {
        0: 4.5,
        1: 3.0,
    }
    with pytest.raises(RecordError, match="must be a number"):
        read(written(tmp_path, 'step,loss\n0,4.0\n1,"tensor([4.5, 3.0])"\n'))


def test_what_stands_in_place_of_a_file_says_how_to_get_it(tmp_path: Path) -> None:
    """As a clone without Git LFS leaves it."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    with pytest.raises(
        RecordError, match=r"what Git LFS leaves in place of a file; .*`git lfs pull`"
    ):
        read(written(tmp_path, pointer))


def test_json_lines_may_begin_with_empty_objects(tmp_path: Path) -> None:
    """As MMSegmentation's do."""
    record = read(written(tmp_path, '{}\n{}\n{"mode": "train", "iter": 10, "loss": 4.5}\n'))
    assert (points(record, "loss"), made_of(record)["format"]) == ({10: 4.5}, "JSON lines")


def test_a_last_json_line_without_its_newline_is_whole(tmp_path: Path) -> None:
    """Its brace is closed, so nothing of it can be missing."""
    record = read(written(tmp_path, TRAINER_LOG.rstrip("\n")))
    assert (len(record.steps), record.complete) == (3, True)


@pytest.mark.parametrize("text", [TRAINER_STATE, json.dumps(STATE["log_history"])])
def test_a_cut_trainer_state_is_refused_and_says_where(tmp_path: Path, text: str) -> None:
    """It is written in one piece, so a cut one is a copy that failed."""
    with pytest.raises(
        RecordError,
        match=r"log is cut off or damaged after entry 2 of its log_history: .*whole file",
    ):
        read(written(tmp_path, text[: text.index("eval_runtime")]))


def test_a_log_without_rows_cannot_be_judged(tmp_path: Path) -> None:
    """A header alone is a run that has not begun; one with half a row is a run that was killed at
    once."""
    begun, killed = (read(written(tmp_path, "step,loss,lr\n" + rest)) for rest in ("", "0"))
    assert (len(begun.steps), len(killed.steps), killed.complete) == (0, 0, False)
