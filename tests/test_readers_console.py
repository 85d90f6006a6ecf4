"""Losses, rates, norms and steps are read from the lines that a training prints."""

from __future__ import annotations

from math import inf, isnan
from pathlib import Path

import pytest

from probes import diagnose, read
from probes.readers import find
from probes.record import RecordError
from testing.logs import curve, points, reader_of, written

LOSSES = {10: 2.5, 20: 1.25, 30: 1.125}
VAL_LOSSES = {20: 1.5}
"""Step -> loss, in the logs that count steps."""


def by_step(of_train: str, of_val: str, before: str = "") -> str:
    """A log with a line per step, and a line of the evaluation behind the second."""
    lines = [before] if before else []
    for step, loss in LOSSES.items():
        lines += [of_train.format(step=step, loss=loss)]
        lines += [of_val.format(step=step, loss=VAL_LOSSES[step])] if step in VAL_LOSSES else []
    return "\n".join(lines) + "\n"


BY_STEP = {
    "nanoGPT": by_step(
        "iter {step}: loss {loss:.4f}, time 12.34ms, mfu 3.21%",
        "step {step}: train loss 1.2, val loss {loss:.4f}",
        "number of parameters: 10.65M\ncompiling the model... (takes a ~minute)",
    ),
    "llm.c": by_step(
        "step {step:5d}/19560 | loss {loss:.6f} (+1.23z)| norm 0.91 (-0.2z)| lr 6.00e-04 "
        "| 123.4 ms | 4321 tok/s",
        "val loss {loss:.6f}",
    ),
    "build-nanogpt": by_step(
        "step {step:5d} | loss: {loss:.6f} | lr 6.0000e-04 | norm: 1.2345 | dt: 338.12ms "
        "| tok/sec: 1550.1",
        "validation loss: {loss:.4f}",
    ),
    "Megatron": by_step(
        " iteration {step:8d}/  500000 | consumed samples:  640 "
        "| elapsed time per iteration (ms): 123.4 | learning rate: 1.500E-04 "
        "| lm loss: {loss:.6E} | loss scale: 1.0 | grad norm: 1.234 |",
        " validation loss at iteration {step} | lm loss value: 9.0 | val loss: {loss:.6E} |",
    ),
    "fairseq": by_step(
        '2021-05-01 12:00:00 | INFO | train_inner | {{"epoch": 1, "update": 0.5, '
        '"loss": "{loss}", "ppl": "8.1", "num_updates": "{step}", "lr": "5e-05", "gnorm": "1.2"}}',
        '2021-05-01 12:00:00 | INFO | valid | {{"epoch": 1, "valid_loss": "{loss}", '
        '"valid_num_updates": "{step}"}}',
    ),
    "Transformer-XL": by_step(
        "| epoch   1 step {step:8d} | {step:6d} batches | lr 0.00025 | ms/batch 100.1 "
        "| loss {loss:5.3f} | ppl  8.1",
        "| Eval   1 at step {step:8d} | time: 100.1s | valid loss {loss:5.3f} | valid ppl  9.1",
    ),
    "text-generation-webui": by_step(
        "Step: {step:6d} {{'loss': {loss}, 'grad_norm': inf, 'learning_rate': 8e-06, "
        "'epoch': 0.0175}}",
        "Step: {step:6d} {{'eval_loss': {loss}, 'eval_runtime': 2.0}}",
    ),
    "logfmt": by_step(
        'time=2024-01-01T10:00:00Z level=info msg="train" step={step} loss={loss} lr=1e-4',
        "level=info step={step} val_loss={loss}",
    ),
    "in colours": by_step(
        "\x1b[32m10:00\x1b[0m step \x1b[1m{step}\x1b[0m loss \x1b[31m{loss:.3f}\x1b[0m",
        "\x1b[32m10:01\x1b[0m step {step} [val] loss \x1b[31m{loss:.3f}\x1b[0m",
    ),
    "padded": by_step(
        "INFO   step {step}  high  loss {loss}", "INFO   step {step}  high  val loss {loss}"
    ),
    "twice": by_step(
        "step {step} loss {loss} acc 0.5 loss 9.5", "step {step} val loss {loss} best val loss 0.5"
    ),
    "two counters": by_step(
        "update: 1, num_updates: {step}, loss {loss}", "num_updates {step} dev loss {loss}"
    ),
    "tensors": by_step(
        "step {step}, loss: tensor({loss}, device='cuda:0')",
        "step {step}, val loss: np.float64({loss})",
    ),
}


@pytest.mark.parametrize("text", BY_STEP.values(), ids=BY_STEP)
def test_lines_with_steps_are_read(tmp_path: Path, text: str) -> None:
    """An evaluation without a step belongs to the step above it."""
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "val_loss")) == (LOSSES, VAL_LOSSES)
    assert (reader_of(record)["format"], reader_of(record)["step"]) == ("printed lines", "step")


EPOCHS = {1: (2.5, 2.75), 2: (1.25, 1.5), 3: (1.125, 1.625)}


def by_epoch(form: str) -> str:
    return "".join(
        form.format(epoch=epoch, loss=loss, val=val) for epoch, (loss, val) in EPOCHS.items()
    )


BY_EPOCH = {
    "Keras, a line an epoch": by_epoch(
        "Epoch {epoch}/60\n1875/1875 - 2s - loss: {loss} - accuracy: 0.9 - val_loss: {val} "
        "- 2s/epoch - 1ms/step\n"
    ),
    "Keras, a progress bar": by_epoch(
        "Epoch {epoch}/60\n1/2 ━━━━ 0s 1ms/step - loss: 9.5"
        "\r2/2 ━━━━ 2s 1ms/step - loss: {loss} - val_loss: {val}\n"
    ),
    "Keras, backspaces": by_epoch(
        "Epoch {epoch}/60\n1/2 [=>..] - ETA: 0s - loss: 9.5"
        "\b\b\b\b2/2 [====] - 2s - loss: {loss} - val_loss: {val}\n"
    ),
    "tqdm": by_epoch(
        "Epoch {epoch}:  50%|█ | 1/2 [00:10<00:10, 10it/s, loss=9.5]"
        "\rEpoch {epoch}: 100%|██| 2/2 [00:20<00:00, 10it/s, loss={loss}, val_loss={val}]\n"
    ),
    "a sentence": by_epoch(
        "2023-05-15 22:50:17,398 INFO:Epoch {epoch}: Train Loss={loss}, Val Loss={val}.\n"
    ),
    "two lines, by their first word": by_epoch(
        "Epoch: {epoch}\n  train: loss {loss} acc 0.9\n  valid: loss {val} acc 0.8\n"
    ),
    "one line, by the word before": by_epoch(
        "[epoch {epoch}] train loss: {loss} acc 0.9 | test acc 0.8 loss: {val}\n"
    ),
    "fairseq, old": by_epoch(
        "| epoch {epoch:03d} | loss {loss} | nll_loss 7.0 | lr 0.0005\n"
        "| epoch {epoch:03d} | valid on 'valid' subset | loss {val} | nll_loss 7.0\n"
    ),
    "indented JSON": by_epoch(
        '  {{\n    "epoch": {epoch},\n    "loss": {loss}\n  }},\n  "val_loss": {val},\n'
    ),
}


@pytest.mark.parametrize("text", BY_EPOCH.values(), ids=BY_EPOCH)
def test_lines_with_epochs_are_read(tmp_path: Path, text: str) -> None:
    """The epoch stands on the same line or above it. Of a progress bar, the last state is read."""
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {epoch: loss for epoch, (loss, _) in EPOCHS.items()}
    assert points(record, "val_loss") == {epoch: val for epoch, (_, val) in EPOCHS.items()}


def test_lines_of_hugging_faces_trainer_are_read(tmp_path: Path) -> None:
    """They stand behind a progress bar and have fractions of epochs, so rows are counted. Its
    summary is no point."""
    rows = [
        {"loss": 2.5, "grad_norm": float("inf"), "learning_rate": 5e-05, "epoch": 0.1},
        {"loss": 1.25, "grad_norm": 1.5, "learning_rate": 4e-05, "epoch": 0.2},
        {"eval_loss": 1.5, "eval_runtime": 2.0, "epoch": 0.2},
        {"loss": 1.125, "grad_norm": 1.25, "learning_rate": 3e-05, "epoch": 0.3},
        {"train_runtime": 12.3, "train_loss": 1.6, "epoch": 0.3},
    ]
    text = "".join(
        f"\r {i}%|██ | {i}/60 [00:10<00:20, 1.2it/s]{row}\n" for i, row in enumerate(rows)
    )
    record = read(written(tmp_path, "loading weights: 100%\n" + text))
    assert points(record, "loss") == {0: 2.5, 1: 1.25, 3: 1.125}
    assert points(record, "lr") == {0: 5e-05, 1: 4e-05, 3: 3e-05}
    assert (points(record, "val_loss"), points(record, "grad_norm")) == (
        {2: 1.5},
        {0: inf, 1: 1.5, 3: 1.25},
    )
    assert record.sites("train_loss") == ()
    assert reader_of(record)["stitched"] == ["line 6: it sums up the run and was left out"]


def test_steps_that_begin_again_in_every_epoch_do_not_count(tmp_path: Path) -> None:
    """MMDetection and MindSpore print them."""
    text = "".join(
        f"epoch: {i // 10 + 1} step: {i % 10 + 1}, loss is {v:.6f}\n"
        for i, v in enumerate(curve(40))
    )
    record = read(written(tmp_path, text))
    assert (reader_of(record)["step"], len(points(record, "loss"))) == ("position", 40)


@pytest.mark.parametrize("spelled", ["nan", "NaN", "inf", "-inf", "Infinity"])
def test_a_loss_that_is_not_finite_is_an_observation(tmp_path: Path, spelled: str) -> None:
    """It is a symptom at its step."""
    text = "".join(f"iter {i}: loss {v:.4f}\n" for i, v in enumerate(curve(40)))
    diagnosis = diagnose(read(written(tmp_path, text + f"iter 40: loss {spelled}\n")))
    assert (diagnosis.cause, diagnosis.findings[0].step) == ("non-finite", 40)


@pytest.mark.parametrize(
    "line",
    [
        "step {i} D loss: {loss}",
        "step {i} cls loss {loss}",
        "loss{i} {loss}",
        "step {i}: loss v1.2.{i}",
        "step {i}: loss 12ms",
        "step {i}: loss 1.2.{i}",
        "step {i}: loss {loss} \0",
        "step {i}: losses went down",
        "step {i}: loss_weight 0.5",
    ],
)
def test_other_lines_are_not_taken_for_losses(tmp_path: Path, line: str) -> None:
    """Parts of a loss, words, versions, durations, and text with NUL characters."""
    text = "".join(line.format(i=i, loss=2.5 - i / 100) + "\n" for i in range(40))
    with pytest.raises(RecordError, match="a printed log needs lines that name a loss"):
        read(written(tmp_path, text))


def test_a_number_beside_a_loss_can_be_mapped_by_its_name(tmp_path: Path) -> None:
    record = read(
        written(tmp_path, BY_STEP["llm.c"].replace("norm ", "norm: ")), {"grad_norm": "norm"}
    )
    assert points(record, "grad_norm") == dict.fromkeys(LOSSES, 0.91)


@pytest.mark.parametrize("step", ["nan", "inf", "1.5", "1e400"])
def test_a_step_that_is_no_whole_number_is_ignored(tmp_path: Path, step: str) -> None:
    """The line then belongs to the step above it."""
    record = read(
        written(tmp_path, f"step 1: loss 2.5\nstep {step}: val loss 1.5\nstep 2: loss 1.25\n")
    )
    assert (points(record, "loss"), points(record, "val_loss")) == ({1: 2.5, 2: 1.25}, {1: 1.5})


def test_steps_in_settings_do_not_count(tmp_path: Path) -> None:
    """A number of steps in a line without a loss may be how many are planned."""
    text = "epochs: 3, steps: 1000\nlearning rate scheduler: cosine\n" + "".join(
        f"loss: {v}\n" for v in (2.5, 1.25, 1.125)
    )
    assert points(read(written(tmp_path, text)), "loss") == {0: 2.5, 1: 1.25, 2: 1.125}


def test_a_last_line_without_its_newline_is_left_out(tmp_path: Path) -> None:
    """Its last number may be cut. A note says so."""
    record = read(written(tmp_path, BY_STEP["nanoGPT"] + "iter 40: loss 1.0"))
    assert (points(record, "loss"), record.complete) == (LOSSES, False)
    assert reader_of(record)["stitched"] == ["line 7: the log ends within it; it was left out"]


def test_a_search_of_a_folder_leaves_out_source_code_and_notes(tmp_path: Path) -> None:
    """A file that is named is read whatever its suffix is and however few its lines are."""
    for name in ("train.log", "slurm-12.out", "stdout", "notes.md", "train.py"):
        written(tmp_path, BY_STEP["nanoGPT"], name)
    written(tmp_path, "The loss was 0.5, then 0.4.\nBatch size 8.\nSee v1.2.\n", "readme.txt")
    written(tmp_path, "eval_loss = 0.5\neval_accuracy = 0.9\n", "eval_results.txt")
    assert [path.name for path in find(tmp_path)] == ["slurm-12.out", "stdout", "train.log"]
    assert points(read(tmp_path / "notes.md"), "loss") == LOSSES
    assert points(read(tmp_path / "eval_results.txt"), "val_loss") == {0: 0.5}


def test_a_printed_run_is_diagnosed(tmp_path: Path) -> None:
    """One run is healthy, the other diverges."""
    falls, rises = curve(100), [1.0 + 0.05 * i + 0.01 * (i * 7919 % 13) for i in range(100)]
    sound = read(
        written(tmp_path, "".join(f"Epoch {i}, loss {v:.4f}\n" for i, v in enumerate(falls)))
    )
    sick = read(
        written(
            tmp_path, "".join(f"Epoch {i}, loss {v:.4f}\n" for i, v in enumerate(rises)), "sick"
        )
    )
    assert (diagnose(sound).verdict, diagnose(sick).cause) == ("healthy", "diverged")


def test_numbers_are_read_in_all_their_spellings(tmp_path: Path) -> None:
    """A number with a unit behind it is none."""
    text = "".join(
        f"step {i} loss {v}\n"
        for i, v in enumerate(("1e-05", ".5", "2.", "-3", "+4.5E+1", "nan", "7ms"))
    )
    record = read(written(tmp_path, text))
    found = points(record, "loss")
    assert {step: loss for step, loss in found.items() if not isnan(loss)} == {
        0: 1e-05,
        1: 0.5,
        2: 2.0,
        3: -3,
        4: 45.0,
    }
    assert record.series("nonfinite_count", "loss")[0].tolist() == [5]


@pytest.mark.parametrize(
    ("name", "norm"), [("build-nanogpt", 1.2345), ("llm.c", 0.91), ("Megatron", 1.234)]
)
def test_a_norm_beside_a_loss_is_the_norm_of_the_gradient(
    tmp_path: Path, name: str, norm: float
) -> None:
    """Its name may be `norm` alone."""
    assert set(points(read(written(tmp_path, BY_STEP[name])), "grad_norm").values()) == {norm}
