"""The numbers in a printed line get the names in front of them."""

import pytest

from probes.readers.column_names import BATCH, BATCHES
from probes.readers.named_numbers import cells_in, names_before_numbers

LINES = {
    "global step 100: loss = 1.2500 (0.337 sec/step)": {"step": 100, "loss": 1.25},
    "INFO:tensorflow:Step 100 per-step time 0.337s loss=1.25": {"step": 100, "loss": 1.25},
    "INFO Step 7 loss 1.25": {"step": 7, "loss": 1.25},
    "Ep. 2 : Up. 500 : Sen. 61,000 : Cost 9.1 : Time 4.42s : 21093.04 words/s : L.r. 2.0e-05": {
        "epoch": 2, "step": 500, "Cost": 9.1, "L.r.": 2e-05,
    },
    "Step 50/20000; acc: 12.00; ppl: 11.97; xent: 7.10; lr: 0.5; 9214/8168 tok/s;": {
        "step": 50, "acc": 12, "ppl": 11.97, "xent": 7.1, "lr": 0.5, BATCHES: 20000,
    },
    "[epoch:  1, iter:   2,800, lr:(2.0e-04,)] [eta: 1 day, 2:13] l_pix: 7.8e-02 ": {
        "epoch": 1, "step": 2800, "lr": 2e-4, "eta": 1, "l_pix": 0.078,
    },
    "loss: 0,693": {"loss": 0},
    "10:00:10.2: Current learning rate: 0.01 ": {"Current learning rate": 0.01},
    "iter 76 step 38 | loss train: 4.5, val: 3.5 | iter time: 300.1 ms": {
        "step": 38, "iter": 76, "loss train": 4.5, "val_loss": 3.5, "iter time": 300.1,
    },
    "steps:  14%|# | 140/1000 [00:14<08:09,  1.29s/it, avr_loss=0.5]": {
        "avr_loss": 0.5, BATCH: 140, BATCHES: 1000,
    },
    "Epoch [3][ 50/500]  lr: 0.01, loss: 1.5": {
        "epoch": 3, "lr": 0.01, "loss": 1.5, BATCH: 50, BATCHES: 500,
    },
    "Epoch [3/40] loss: 1.5": {"epoch": 3, "loss": 1.5},
    "Epoch [3/40], Step [50/500], loss: 1.5": {
        "epoch": 3, "step": 50, "loss": 1.5, BATCH: 50, BATCHES: 500,
    },
    "Loss [4, 100](epoch, minibatch):  1.5": {"Loss": 1.5},
    "train_loss[4, 100] = 1.5": {"train_loss": 1.5},
    "loss: [1.5, 2.5]": {"loss": 1.5},
    "  120 | loss 1.5 | lr 2.0e-04 | 13.1ms": {"step": 120, "loss": 1.5, "lr": 2e-4},
    "7 | train loss 1.5 | val loss 2.5": {"step": 7, "train loss": 1.5, "val loss": 2.5},
    "loss 1.5\N{REPLACEMENT CHARACTER} lr 0.1": {"lr": 0.1},
}  # fmt: skip


@pytest.mark.parametrize(("line", "cells"), LINES.items(), ids=LINES)
def test_a_line_is_read_by_the_names_in_front_of_its_numbers(
    line: str, cells: dict[str, float]
) -> None:
    """Twice, because the names of a form are searched once."""
    assert cells_in(line) == cells
    assert cells_in(line) == cells


def test_lines_of_one_form_have_their_own_numbers() -> None:
    """Digits within a name belong to the form."""
    assert cells_in("top1: 5, top5: 10, loss: 2.5") == {"top1": 5, "top5": 10, "loss": 2.5}
    assert cells_in("top5: 9, top1: 6, loss: 1.5") == {"top5": 9, "top1": 6, "loss": 1.5}


@pytest.mark.parametrize("spelled", ["nan", "nanxxx", "inf", "infxxx", "-inf"])
def test_padding_behind_a_word_is_skipped(spelled: str) -> None:
    """PaddleOCR pads every number with `x` to six characters."""
    cells = cells_in(f"global_step: 10, loss: {spelled}, avg_batch_cost: 0.31 s")
    assert str(cells["loss"]) == spelled.rstrip("x")


def test_a_fraction_of_a_step_is_no_step() -> None:
    """If a line has several steps, the best name whose values are whole numbers is taken."""
    assert cells_in("update: 0.5, num_updates: 7, loss: 2.5") == {"loss": 2.5, "step": 7}


def test_a_name_without_a_sign_behind_it_is_read_if_it_is_mapped() -> None:
    assert cells_in("criterion 2.5 at 10") == {}
    assert cells_in("criterion 2.5 at 10", frozenset({"criterion"})) == {"criterion": 2.5}


def test_the_names_of_a_text_are_listed_known_or_not() -> None:
    assert list(names_before_numbers("Up. 10 : Criterion 2.5 : speed=3")) == [
        "Up.", "Criterion", "speed",
    ]  # fmt: skip


def test_a_name_may_begin_a_sentence() -> None:
    """A point after an abbreviation is part of the name."""
    assert cells_in("Throughput is 408.4 records/second. Loss is 1.26. Current") == {"Loss": 1.26}
    assert cells_in("Train Loss: 1.5 | Val. Loss: 3.9")["Val. Loss"] == 3.9
