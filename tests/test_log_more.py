"""A log that is too short says how its trainer logs more often."""

from pathlib import Path

import pytest

from probes.cli import main
from probes.readers.log_more import how_to_log_more


@pytest.mark.parametrize(
    ("columns", "how"),
    [
        (["loss", "grad_norm", "learning_rate", "epoch"], "Hugging Face: set logging_steps"),
        (["epoch", "step", "train_loss_step"], "Lightning: set Trainer(log_every_n_steps"),
        (["epoch", "loss", "val_loss"], "Keras: log each batch"),
        (["iter", "loss"], ""),
    ],
)
def test_the_trainer_is_recognised_by_its_columns(columns: list[str], how: str) -> None:
    """Mapped and ignored columns both count."""
    reader = {"mapped": dict.fromkeys(columns[:1], "loss"), "ignored": columns[1:]}
    assert how_to_log_more(reader).startswith(how)
    assert bool(how_to_log_more(reader)) == bool(how)


@pytest.mark.parametrize("reader", [None, 3, {"mapped": 3, "ignored": "loss"}])
def test_a_record_that_says_nothing_of_its_reader_gets_no_advice(reader: object) -> None:
    """A record may come from anywhere."""
    assert how_to_log_more(reader) == ""


def test_the_command_line_prints_the_advice_for_a_short_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not for a log that is long enough."""
    short, long = tmp_path / "short.log", tmp_path / "long.log"
    row = "{{'loss': {}, 'learning_rate': 1e-05, 'epoch': {}}}\n"
    short.write_text("".join(row.format(2.0 + i % 2, i / 10) for i in range(3)))
    long.write_text("".join(row.format(3.0 - i / 20, i / 10) for i in range(40)))
    main(["diagnose", str(short)])
    assert "to log more often: Hugging Face: set logging_steps" in capsys.readouterr().out
    main(["diagnose", str(long)])
    assert "to log more often" not in capsys.readouterr().out
