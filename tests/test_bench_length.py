"""What the figures about length are measured on: whole records, and logs that say the same in every
format."""

from pathlib import Path

import pytest

from bench import scale
from bench.scale import LOGS, diagnosed, record, rows
from probes import diagnose, read
from probes.record.signals import BY_NAME


def test_a_long_record_has_every_signal() -> None:
    """Or loading and drawing it would cost less than they do."""
    assert set(record(steps=30).tables) == set(BY_NAME)


@pytest.mark.parametrize("form", LOGS)
def test_a_long_log_says_in_every_format_what_its_rows_say(tmp_path: Path, form: str) -> None:
    """Four signals, and an evaluation at every tenth step."""
    LOGS[form](tmp_path / "log", 200)
    found = read(tmp_path / "log")
    steps, losses = found.series("val_loss")
    assert (found.provenance["reader"]["format"], diagnose(found).verdict) == (
        {"trainer state": "Hugging Face trainer state"}.get(form, form),
        "healthy",
    )
    assert dict(zip(steps.tolist(), losses.tolist(), strict=True)) == {
        row.step: row.val_loss for row in rows(200) if row.val_loss is not None
    }
    for signal in ("loss", "lr", "grad_norm"):
        assert found.series(signal)[1].tolist() == [getattr(row, signal) for row in rows(200)]


def test_a_log_that_was_not_judged_gives_no_figure(tmp_path: Path) -> None:
    """A fast failure is no speed."""
    (tmp_path / "log").write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="ended with 2"):
        diagnosed(tmp_path / "log")


def test_what_a_process_takes_is_told(tmp_path: Path) -> None:
    """In seconds and MiB."""
    scale.json_lines(tmp_path / "log", 50)
    used = diagnosed(tmp_path / "log")
    assert used.cpu > 0
    assert 5 < used.peak < 1000
