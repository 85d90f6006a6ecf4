"""What the pages say of HEALTHY and of records is what the code does."""

import re
from pathlib import Path

import pytest

from model import HEALTHY, OVERFIT
from model.seeds import LENGTH_SEEDS, SWEEP_SEEDS
from probes.record import Record, RecordError

DOCS = Path(__file__).parents[1] / "docs"
WHY = (DOCS / "why.md").read_text(encoding="utf-8")
HEADER, ROW = '{"probes_record": 1}\n', '{"step": 0, "loss": 4.2}\n'


def test_the_peak_rate_of_healthy_is_the_one_that_the_sweep_chose() -> None:
    """`make sweep` writes the page; whoever changes the config runs it again."""
    assert [
        float(rate) for rate in re.findall(r"^Chosen: lr_max = (\S+)\.$", WHY, re.MULTILINE)
    ] == [HEALTHY.optimizer.lr_max]


def test_the_length_of_healthy_held_on_seeds_that_did_not_choose_it() -> None:
    """At least eighteen of the twenty of `LENGTH_SEEDS`."""
    seeds = f"{LENGTH_SEEDS[0]}-{LENGTH_SEEDS[-1]}"
    (held,) = re.findall(rf"^\| {HEALTHY.steps} \| {seeds} \| (\d+) of 20 \|", WHY, re.MULTILINE)
    assert (seeds, int(held) >= 18) == ("20-39", True)


def test_the_length_of_the_overfit_run_is_one_at_which_every_sweep_seed_overfits() -> None:
    """Smoothed val ends at least 5 % above its minimum, and none was called before it
    (`studies/overfit.py`)."""
    multiple, seeds = OVERFIT.steps // HEALTHY.steps, f"{SWEEP_SEEDS[0]}-{SWEEP_SEEDS[-1]}"
    row = rf"^\| {multiple} \| {seeds} \| ([\d.]+) to [\d.]+ \|(?: [^|]+ \|){{5}} (\d+) of 10 \| (\d+) of 10 \|"
    ((least, called, before),) = re.findall(row, WHY, re.MULTILINE)
    assert (float(least) >= 1.05, called, before) == (True, "10", "0")


@pytest.mark.parametrize("blank", ["\n", " \n"])
def test_a_blank_line_is_damage(tmp_path: Path, blank: str) -> None:
    """As the page says under Damage: also at the end, where a newline alone would be fine."""
    path = tmp_path / "run.jsonl"
    path.write_text(HEADER + ROW + blank, encoding="utf-8")
    with pytest.raises(RecordError, match="line 3 is damaged"):
        Record.load(path)
