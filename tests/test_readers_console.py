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
    """The lines come after a progress bar that counts the steps. An evaluation belongs to the step
    above it, and the summary is no point."""
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
        {1: 1.5},
        {0: inf, 1: 1.5, 3: 1.25},
    )
    assert record.sites("train_loss") == ()
    assert reader_of(record)["stitched"] == ["line 6: it sums up the run and was left out"]


# Steps of batches in epochs

BATCH_FORMS = {
    "MMDetection": "2022-03-01 08:00 - mmdet - INFO - Epoch [{epoch}][{batch}/500]\tlr: 0.01, "
    "eta: 1:19:58, loss_cls: 0.3, loss: {loss}\n",
    "the tutorial of PyTorch": "Epoch [{epoch}/3], Step [{batch}/500], Loss: {loss}\n",
    "DETR": "Epoch: [{epoch}]  [ {batch}/500]  eta: 0:10:00  lr: 0.01  loss: {loss} (2.0)\n",
    "a bar": "Epoch {epoch}:  10%|# | {batch}/500 [00:10<00:10, 10it/s, loss={loss}]\n",
}


@pytest.mark.parametrize("first_epoch", [0, 1])
@pytest.mark.parametrize("form", BATCH_FORMS.values(), ids=BATCH_FORMS)
def test_batches_that_are_counted_anew_in_every_epoch_give_steps(
    tmp_path: Path, form: str, first_epoch: int
) -> None:
    """The step is the number of batches in the epochs before, plus the batch."""
    text = "".join(
        form.format(epoch=first_epoch + i // 5, batch=100 * (i % 5 + 1), loss=loss)
        for i, loss in enumerate(curve(15))
    )
    record = read(written(tmp_path, text))
    assert list(points(record, "loss")) == [100 * (i + 1) for i in range(15)]
    assert reader_of(record)["step"] == "epoch and batch"


def test_an_evaluation_stands_at_the_end_of_its_epoch(tmp_path: Path) -> None:
    """Its own batches are not those of the training."""
    text = "".join(
        f"Epoch [{e}][{b}/500] loss: 2.5\n" + (f"Epoch(val) [{e}][80/80] loss: 3.5\n" * (b == 400))
        for e in (1, 2)
        for b in (200, 400)
    )
    record = read(written(tmp_path, text))
    assert list(points(record, "loss")) == [200, 400, 700, 900]
    assert list(points(record, "val_loss")) == [400, 900]


def bar(count: int, loss: float, total: int = 400) -> str:
    percent = f"{count * 100 // total}%"
    return f"steps: {percent}|# | {count}/{total} [00:01<08:09, 1.2s/it, avr_loss={loss}]"


def test_a_bar_that_counts_all_steps_gives_the_steps(tmp_path: Path) -> None:
    """kohya's scripts print it once per line, or again and again in one line."""
    losses = dict(zip(range(10, 400, 10), curve(39), strict=True))
    for end in ("\n", "\r"):
        text = "epoch 1/2\n" + end.join(bar(step, loss) for step, loss in losses.items()) + "\n"
        assert points(read(written(tmp_path, text)), "loss") == losses
    text = "epoch 1/2\n" + "\r".join(bar(step, 0.5) for step in (1, 2)) + "\nepoch 2/2\n"
    text += "\r".join(bar(step, 0.25) for step in (3, 4, 4)) + "\n"
    assert points(read(written(tmp_path, text)), "loss") == {1: 0.5, 2: 0.5, 3: 0.25, 4: 0.25}


def test_a_bar_that_ends_at_the_same_batch_in_two_epochs_begins_again_in_each(
    tmp_path: Path,
) -> None:
    """Keras's bar may be in a log once in the middle of an epoch, and else only at its end."""
    line = "{batch:4d}/500 [=====>....] - 9s 2ms/step - loss: {loss}\n"
    text = "Epoch 1/3\n" + line.format(batch=100, loss=0.75)
    for epoch in (1, 2, 3):
        text += f"Epoch {epoch}/3\n" * (epoch > 1) + line.format(batch=500, loss=0.5 / epoch)
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {100: 0.75, 500: 0.5, 1000: 0.25, 1500: 0.5 / 3}
    only_ends = text.replace(line.format(batch=100, loss=0.75), "")
    assert points(read(written(tmp_path, only_ends)), "loss") == {1: 0.5, 2: 0.25, 3: 0.5 / 3}


def test_of_many_bars_in_lines_of_their_own_the_last_states_are_read(tmp_path: Path) -> None:
    """Each bar begins again, so its loss may be the mean over its epoch so far."""
    text = "".join(
        f"Epoch {epoch}\n"
        + "\r".join(bar(batch, epoch - batch / 1000) for batch in (200, 400))
        + "\n"
        for epoch in (1, 2, 3)
    )
    assert points(read(written(tmp_path, text)), "loss") == {1: 0.6, 2: 1.6, 3: 2.6}


def test_a_counter_that_stays_the_same_in_many_rows_does_not_count(tmp_path: Path) -> None:
    """litgpt prints the batch, and the update of the weights to which several batches belong."""
    text = "".join(
        f"iter {i} step {i // 4} | loss train: {loss:.4f}, val: n/a | iter time: 300.12 ms\n"
        for i, loss in enumerate(curve(40))
    )
    record = read(written(tmp_path, text))
    assert (list(points(record, "loss")), reader_of(record)["step"]) == (list(range(40)), "iter")


def test_a_step_that_few_rows_have_does_not_count(tmp_path: Path) -> None:
    """Hugging Face's output of `train()` names the last step, and an evaluation may follow it."""
    rows = [f"{{'loss': {loss:.4f}, 'epoch': {i / 10}}}\n" for i, loss in enumerate(curve(30))]
    text = (
        "TrainOutput(global_step=720, training_loss=1.5, metrics={'train_runtime': 5.2, "
        "'train_loss': 1.5, 'epoch': 3.0})\n{'eval_loss': 0.75, 'epoch': 3.0}\n"
    )
    record = read(written(tmp_path, "".join(rows) + text))
    assert (len(points(record, "loss")), points(record, "val_loss")) == (30, {30: 0.75})
    text = "".join(rows) + "step: 720, loss: 0.75\n"
    record = read(written(tmp_path, text))
    assert (len(points(record, "loss")), reader_of(record)["step"]) == (31, "position")
    assert reader_of(record)["stitched"] == [
        "'step' is in only 1 of 31 rows with a training loss, so rows are counted instead"
    ]


# Losses with other names, and losses that are left out

NAMED_LOSSES = {
    "Marian": (
        "[2022-05-17 20:00:31] Ep. 1 : Up. {step} : Sen. 61,000 : Cost {loss} : Time 41.42s : "
        "21093.04 words/s : L.r. 2.5000e-05\n"
    ),
    "OpenNMT": "[2023-03-01 11:00:39,264 INFO] Step {step}/20000; acc: 12.00; ppl: 1211.97; xent: "
    "{loss}; lr: 0.000025; 9214/8168 tok/s;    0 sec\n",
    "BasicSR": "2023-01-09 04:00:11,120 INFO: [exp1..][epoch:  0, iter:     {step:,}, "
    "lr:(2.500e-05,)] [eta: 1 day, 2:13:17, time (data): 0.365 (0.002)] l_pix: {loss}\n",
    "the Object Detection API": "INFO:tensorflow:Step {step} per-step time 0.326s "
    "learning_rate=0.000025 loss={loss}\n",
    "the old Object Detection API": "INFO:tensorflow:global step {step}: loss = {loss} "
    "(0.337 sec/step) lr = 2.5e-05\n",
    "PaddleOCR": "[2024/02/11 08:00:12] ppocr INFO: epoch: [1/300], global_step: {step}, "
    "lr: 0.000025, CTCLoss: 9.5, loss: {loss}, avg_batch_cost: 0.31 s, ips: 206.4 samples/s\n",
}


@pytest.mark.parametrize("form", NAMED_LOSSES.values(), ids=NAMED_LOSSES)
def test_losses_with_the_names_of_other_programs_are_read(tmp_path: Path, form: str) -> None:
    """Also where they become NaN."""
    losses = {step: 9.5 - step / 1000 for step in range(500, 5000, 500)}
    text = "".join(form.format(step=step, loss=loss) for step, loss in losses.items())
    record = read(written(tmp_path, text + form.format(step=5000, loss="nan")))
    assert points(record, "loss") == losses
    assert record.series("nonfinite_count", "loss")[0].tolist() == [5000]
    assert set(points(record, "lr").values()) == {2.5e-05}


def megatron(step: int, loss: str, norm: str) -> str:
    return (
        f" iteration {step:8d}/   20000 | elapsed time per iteration (ms): 512.4 | learning rate: "
        f"3.1E-05 |{loss} loss scale: 1.0 | grad norm: {norm} | "
        "number of skipped iterations:   0 | number of nan iterations:   0 |\n"
    )


@pytest.mark.parametrize(("norm", "lost"), [("nan", [20, 21, 22]), ("1.234", []), ("inf", [])])
def test_a_loss_that_is_left_out_beside_gradients_that_are_nan_is_nan(
    tmp_path: Path, norm: str, lost: list[int]
) -> None:
    """Megatron-LM prints no loss that is not finite. A loss may be left out for other reasons."""
    text = "".join(
        megatron(i, f" lm loss: {loss:.4E} |", "1.5") for i, loss in enumerate(curve(20))
    )
    text += "".join(megatron(i, "", norm) for i in (20, 21, 22))
    record = read(written(tmp_path, text))
    found = record.series("nonfinite_count", "loss")[0].tolist() if lost else []
    assert (len(points(record, "loss")), found) == (20, lost)
    assert any(
        "the loss was read as NaN" in note for note in reader_of(record)["stitched"]
    ) == bool(lost)


def test_an_excerpt_without_any_loss_is_read(tmp_path: Path) -> None:
    """Only gradients that are NaN show that Megatron-LM left out a loss that was not finite. Of
    another program, it is not known why the loss is missing."""
    rows = {norm: [megatron(step, "", norm) for step in (1, 2, 3)] for norm in ("nan", "1.5")}
    died = read(written(tmp_path, "".join(rows["nan"])))
    assert died.series("nonfinite_count", "loss")[0].tolist() == [1, 2, 3]
    assert diagnose(died).cause == "non-finite"
    went_on = read(written(tmp_path, "".join(rows["1.5"])))
    assert points(went_on, "grad_norm") == {1: 1.5, 2: 1.5, 3: 1.5}
    other = [row.partition(" number of skipped")[0] + "\n" for row in rows["nan"]]
    for record in (went_on, read(written(tmp_path, "".join(other)))):
        assert "loss" not in record.tables
        assert diagnose(record).verdict == "undetermined"


def test_a_step_and_a_rate_without_names_are_read(tmp_path: Path) -> None:
    """VITS and RVC print them in front of the losses of their networks."""
    text = "".join(
        f"INFO:voice:Train Epoch: {i} [0%]\nINFO:voice:[{200 * i}, 0.00025]\n"
        f"INFO:voice:loss_disc=3.5, loss_gen=2.5, loss_mel={20.0 if i < 3 else 'nan'}\n"
        for i in (1, 2, 3)
    )
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "lr")) == (
        {200: 26.0, 400: 26.0},
        {200: 0.00025, 400: 0.00025, 600: 0.00025},
    )
    assert record.series("nonfinite_count", "loss")[0].tolist() == [600]


# Other text around the log

OWN_LINES = {
    "OLMo": (
        "INFO [step={step}/739328,epoch=0]\n    train/CrossEntropyLoss={loss}\n    train/lr=1.5\n"
    ),
    "the Object Detection API": (
        "INFO:tensorflow:Step {step} per-step time 0.512s\n{{'Loss/classification_loss': 0.5,\n"
        " 'Loss/total_loss': {loss},\n 'learning_rate': 1.5}}\n"
    ),
}


@pytest.mark.parametrize("form", OWN_LINES.values(), ids=OWN_LINES)
def test_a_step_on_a_line_of_its_own_counts_for_the_lines_below(tmp_path: Path, form: str) -> None:
    losses = dict(zip(range(100, 1100, 100), curve(10), strict=True))
    text = "".join(form.format(step=step, loss=loss) for step, loss in losses.items())
    record = read(written(tmp_path, "total steps: 5000\n" + text))
    assert points(record, "loss") == losses
    assert set(points(record, "lr").values()) == {1.5}


POSITIONAL = {
    "Tacotron 2": "Train loss {step} {loss:.6f} Grad Norm 1.250000 2.31s/it\n",
    "darknet": " {step}: {loss:.6f}, 9.500000 avg, 0.001000 rate, 5.12 seconds, 64 images\n",
    "darknet, newer": " {step}: {loss:.6f}, 9.500000 avg loss, 0.001000 rate, 5.1 seconds\n",
}


@pytest.mark.parametrize("form", POSITIONAL.values(), ids=POSITIONAL)
def test_numbers_without_a_name_in_front_of_them_are_read_by_their_place(
    tmp_path: Path, form: str
) -> None:
    """Also where the loss is NaN."""
    losses = {step: 2.5 - step / 100 for step in range(10, 100, 10)}
    text = "".join(form.format(step=step, loss=loss) for step, loss in losses.items())
    record = read(written(tmp_path, text + form.format(step=100, loss=float("nan"))))
    assert points(record, "loss") == losses
    assert record.series("nonfinite_count", "loss")[0].tolist() == [100]


PREAMBLES = {
    "100 KB of other output": "Collecting module==1.0.0 (from requirements.txt)\n" * 3000,
    "source code": (
        "import torch\nlearning_rate = 6e-4 # max learning rate\nmax_iters = 5000\nloss = 0.0\n"
        "for epoch in range(10):\n    total_loss = 0.0\n    if iter_num % 100 == 0:\n"
        "        print(f'step {iter_num}: loss {loss:.4f}')\n"
    ),
    "settings": "Namespace(lr=0.001, epochs=3)\nlearning_rate: 0.001\nwarmup_lr: 0.1, lr: 0.5\n",
    "a line in GBK": "\udcbf\udcaa\udcca\udcbc loaded\n",
}


@pytest.mark.parametrize("preamble", PREAMBLES.values(), ids=PREAMBLES)
def test_text_above_the_log_does_not_matter(tmp_path: Path, preamble: str) -> None:
    rows = "".join(f"{{'loss': {loss:.4f}, 'lr': 0.25}}\n" for loss in curve(30))
    expected = read(written(tmp_path, rows, "alone"))
    path = written(tmp_path, (preamble + rows).encode(errors="surrogateescape"))
    record = read(path)
    assert points(record, "loss") == points(expected, "loss")
    assert points(record, "lr") == points(expected, "lr")
    assert list(find(tmp_path)) == [tmp_path / "alone", path]


def test_a_line_that_cannot_be_decoded_is_noted(tmp_path: Path) -> None:
    """Its numbers are read unless they are beside such bytes."""
    text = b"step 1: loss 2.5\n\xbf\xaa step 2: loss 1.25\nstep 3: loss 1.1\xff\n"
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {1: 2.5, 2: 1.25}
    assert reader_of(record)["stitched"] == [
        "2 lines have bytes that are not UTF-8 text; numbers beside such bytes were not read"
    ]


def test_a_number_with_an_unknown_name_is_read_if_it_is_mapped(tmp_path: Path) -> None:
    """The message for a log without known names lists those in front of numbers."""
    path = written(tmp_path, "".join(f"round {i} criterion {4.5 - i} (top 5)\n" for i in range(3)))
    with pytest.raises(
        RecordError, match="names before numbers: round, criterion, top; map one with"
    ):
        read(path)
    assert points(read(path, {"loss": "criterion"}), "loss") == {0: 4.5, 1: 3.5, 2: 2.5}
    record = read(path, {"loss": "criterion", "step": "round"})
    assert reader_of(record)["step"] == "round"
    with pytest.raises(RecordError, match="not in a known format"):
        read(path, {"loss": "criterium"})


@pytest.mark.parametrize(
    ("last", "step"),
    [
        ("iter 60: loss nan, time 12.2ms", 60),
        ("iter 60: loss 1.0312, time 12.2ms", 60),
        ("{'loss': 1.5, 'iter': 60}", 60),
    ],
)
def test_a_last_line_without_its_newline_that_is_whole_by_its_form_is_read(
    tmp_path: Path, last: str, step: int
) -> None:
    """It has the form of an earlier line, or ends with a bracket."""
    record = read(
        written(
            tmp_path, BY_STEP["nanoGPT"].replace(", mfu 3.21%", "").replace("12.34", "12.3") + last
        )
    )
    assert (record.steps[-1], record.complete) == (step, True)


@pytest.mark.parametrize(
    "last", ["iter 60: lo", "iter 60: loss 1.0", "iter 60: loss 1.0312, time 12."]
)
def test_a_last_line_that_is_cut_is_left_out(tmp_path: Path, last: str) -> None:
    text = BY_STEP["nanoGPT"].replace(", mfu 3.21%", "")
    assert read(written(tmp_path, text + last)).steps[-1] == 30


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
    assert reader_of(record)["stitched"] == [
        "line 7: the log ends in the middle of it; values that may be cut were left out"
    ]


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
