"""Hugging Face's `trainer_state.json`: values, steps, the planned total, and damage."""

import json
from pathlib import Path

import pytest

from probes import read
from probes.record import RecordError
from testing.logs import STATE, TRAINER_STATE, points, reader_of, written

HISTORY = STATE["log_history"]


@pytest.mark.parametrize(
    "text",
    [TRAINER_STATE, json.dumps(STATE), json.dumps(HISTORY)],
    ids=["indented", "on one line", "only the history"],
)
def test_loss_rate_norm_and_evaluations_are_read(tmp_path: Path, text: str) -> None:
    """Training and evaluation stand in entries of their own."""
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {10: 2.1735, 20: 1.6012, 30: 1.4877, 40: 1.4411}
    assert points(record, "val_loss") == {20: 1.5862963199615479, 40: 1.3862963199615479}
    assert points(record, "lr") == {10: 4.500000000000001e-05, 20: 3e-05, 30: 1.5e-05, 40: 0.0}
    assert points(record, "grad_norm") == {10: 2.8125, 20: 1.2265625, 30: 1.1015625, 40: 0.98}


def test_the_summary_at_the_end_is_no_point_of_a_curve(tmp_path: Path) -> None:
    """Its `train_loss` is the mean of the whole run. A note says that it was left out."""
    record = read(written(tmp_path, TRAINER_STATE))
    assert record.sites("train_loss") == ()
    assert reader_of(record)["stitched"] == ["entry 7: it sums up the run and was left out"]


def test_the_planned_total_is_the_only_fact(tmp_path: Path) -> None:
    """Nothing else is known of the run, such as the size of a vocabulary."""
    assert read(written(tmp_path, TRAINER_STATE)).facts == {"total_steps": 40}


@pytest.mark.parametrize(("reached", "complete"), [(40, True), (20, False)])
def test_a_run_that_stopped_before_its_total_is_incomplete(
    tmp_path: Path, reached: int, complete: bool
) -> None:
    """A checkpoint in the middle of a run holds such a state."""
    history = [entry for entry in HISTORY if entry["step"] <= reached]
    state = {**STATE, "log_history": history, "global_step": reached}
    assert read(written(tmp_path, json.dumps(state))).complete is complete


def test_the_last_entry_may_come_before_the_last_step(tmp_path: Path) -> None:
    """`global_step` says which step the run reached; the last entry may be older."""
    state = {**STATE, "log_history": HISTORY[:5], "global_step": 45, "max_steps": 45}
    assert read(written(tmp_path, json.dumps(state))).complete


@pytest.mark.parametrize("text", [TRAINER_STATE, json.dumps(HISTORY)])
def test_a_cut_file_is_refused_with_the_place(tmp_path: Path, text: str) -> None:
    """The trainer writes the file in one piece, so a cut file is a copy that failed."""
    with pytest.raises(RecordError, match=r"log is cut off or damaged: .*line .*complete file"):
        read(written(tmp_path, text[: text.index("eval_runtime")]))


def test_entries_in_any_block_may_be_summaries(tmp_path: Path) -> None:
    """A resumed trainer leaves a summary in the middle; entries are counted across blocks."""
    rows = [{"step": i, "loss": 4.0 - i / 1000} for i in range(5000)]
    rows[3000] = {"step": 3000, "train_runtime": 9.0, "train_loss": 1.0}
    record = read(written(tmp_path, json.dumps(rows)))
    assert len(points(record, "loss")) == 4999
    assert reader_of(record)["stitched"] == ["entry 3001: it sums up the run and was left out"]
