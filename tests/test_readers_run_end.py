"""Sentences which say that a run died become the fact `ended`."""

from pathlib import Path

import pytest

from probes import read
from probes.readers.run_end import is_resume, run_end
from probes.record import CRASHED, NON_FINITE, Record
from testing.logs import curve, reader_of, written

NON_FINITE_ENDS = {
    "FloatingPointError: Loss became infinite or NaN at iteration=571!": 571,
    "FloatingPointError: Minimum loss scale reached (0.0001). Your loss is exploding.": None,
    "Exception: Current loss scale already at minimum - cannot decrease scale anymore.": None,
    "Loss is nan, stopping training": None,
    "ERROR:tensorflow:Model diverged with loss = NaN.": None,
    "NanLossDuringTrainingError: NaN loss during training.": None,
    "Batch 12: Invalid loss, terminating training": None,
    "Monitored metric train_loss = nan is not finite. Previous best value was 0.5.": None,
    "RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.": None,
    "ValueError: NaN or Inf found in input tensor, step 40": 40,
    "AssertionError: found NaN in local forward loss calculation": None,
    "The gradient norm is inf at step 1200, exiting": 1200,
}
CRASHES = (
    "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "torch.cuda.OutOfMemoryError: HIP out of memory",
    "Traceback (most recent call last):",
    "Killed",
    "slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 10:00 DUE TO TIME LIMIT ***",
    "KeyboardInterrupt",
)
NO_ENDS = (
    "loss is nan, skipping this batch",
    "gradient overflow detected, skipping step, the loss scale is 32768",
    "Epoch 3: val_loss improved from inf to 0.5",
    "INFO: information about financial news",
    "Saving the model into memory",
    "the loss of the first epoch is below its limit",
    "epoch 3 took 12 s",
)


@pytest.mark.parametrize(("line", "step"), NON_FINITE_ENDS.items())
def test_a_sentence_about_a_loss_that_is_not_finite(line: str, step: int | None) -> None:
    """The step is the one that the sentence names."""
    found = run_end(line)
    assert found is not None
    assert (found.reason, found.step, found.sentence) == (NON_FINITE, step, line)


@pytest.mark.parametrize("line", CRASHES)
def test_a_sentence_about_a_crash(line: str) -> None:
    found = run_end(line)
    assert found is not None
    assert (found.reason, found.step) == (CRASHED, None)


@pytest.mark.parametrize("line", NO_ENDS)
def test_other_sentences_say_nothing_about_the_end(line: str) -> None:
    assert run_end(line) is None


def run_with(folder: Path, *lines: str, after: int = 0) -> Record:
    """A run of 30 steps, these lines, and more steps."""
    losses = curve(30 + after)
    rows = [f"step {i}: loss {loss:.4f}\n" for i, loss in enumerate(losses)]
    rows[30:30] = [f"{line}\n" for line in lines]
    return read(written(folder, "".join(rows)))


def test_the_end_is_a_fact_and_the_record_is_incomplete(tmp_path: Path) -> None:
    line = "RuntimeError: Loss is NaN at iteration 29"
    record = run_with(tmp_path, line)
    assert record.facts == {"ended": {"reason": NON_FINITE, "step": 29, "sentence": line}}
    assert not record.complete
    assert reader_of(record)["stitched"] == [f"the log says that the run died: {line}"]


def test_a_loss_that_is_not_finite_says_more_than_the_crash_that_it_causes(tmp_path: Path) -> None:
    record = run_with(
        tmp_path, "Traceback (most recent call last):", "ValueError: the loss is nan", "Killed"
    )
    assert record.facts["ended"]["reason"] == NON_FINITE


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "loss became nan"])
def test_a_run_that_goes_on_has_not_ended(tmp_path: Path, line: str) -> None:
    record = run_with(tmp_path, line, after=10)
    assert (record.facts, record.complete, len(record.steps)) == ({}, True, 40)


def test_a_row_with_a_loss_that_is_not_finite_is_a_row(tmp_path: Path) -> None:
    """MindSpore prints each loss as a sentence."""
    record = run_with(tmp_path, "epoch: 1 step: 30, loss is nan")
    assert record.series("nonfinite_count", "loss")[0].tolist() == [30]
    assert record.facts == {}


@pytest.mark.parametrize(
    "line",
    [
        "Resuming training from checkpoint out/checkpoint-500",
        "=> resumed from epoch 12",
        "Loaded checkpoint 'model.pt' (iter 300)",
        "Restoring the latest checkpoint",
    ],
)
def test_a_sentence_about_a_restart(tmp_path: Path, line: str) -> None:
    """It counts for the next row, unless it stands above the first one."""
    assert is_resume(line)
    assert run_with(tmp_path, line, after=10).facts["resumed_at"] == [30]
    text = f"{line}\n" + "".join(f"step {i}: loss {1 / (i + 1):.4f}\n" for i in range(30))
    assert "resumed_at" not in read(written(tmp_path, text)).facts


@pytest.mark.parametrize(
    "line",
    ["Saving checkpoint to out/", "resume: None", "checkpoint_every 100", "I presume from the log"],
)
def test_other_sentences_say_nothing_about_a_restart(line: str) -> None:
    """Saving a checkpoint, and an option, are no restart."""
    assert not is_resume(line)


def test_a_long_sentence_is_cut() -> None:
    found = run_end("CUDA out of memory " + "x" * 300)
    assert found
    assert (len(found.sentence), found.sentence[-1]) == (200, "…")
