"""What the pages say of HEALTHY, of OVERFIT and of records is what the code does."""

import re
from pathlib import Path

import pytest

from model import HEALTHY, OVERFIT
from model.seeds import LENGTH_SEEDS, SWEEP_SEEDS
from probes.record import Record, RecordError
from studies.overfit import BLOCK as OVERFIT_BLOCK
from studies.overfit import HEAD
from studies.warmup_figure import read_table
from testing.marker_blocks import MissingBlockError, read_block, replace_block

DOCS = Path(__file__).parents[1] / "docs"
WHY = (DOCS / "why.md").read_text(encoding="utf-8")
HEADER, ROW = '{"probes_record": 1}\n', '{"step": 0, "loss": 4.2}\n'


def test_the_peak_rate_of_healthy_is_the_one_that_the_sweep_chose() -> None:
    """`make sweep` writes the page; a change of the config needs another sweep."""
    chosen = re.findall(r"^Chosen: lr_max = (\S+)\.$", WHY, re.MULTILINE)
    assert [float(rate) for rate in chosen] == [HEALTHY.optimizer.lr_max]
    assert HEALTHY.optimizer.lr_max in [row.lr_max for row in read_table()]


def test_the_length_of_healthy_was_confirmed_on_other_seeds() -> None:
    """The length was confirmed on at least eighteen of the twenty LENGTH_SEEDS."""
    seeds = f"{LENGTH_SEEDS[0]}-{LENGTH_SEEDS[-1]}"
    (held,) = re.findall(rf"^\| {HEALTHY.steps} \| {seeds} \| (\d+) of 20 \|", WHY, re.MULTILINE)
    assert (seeds, int(held) >= 18) == ("20-39", True)


def test_every_sweep_seed_overfits_at_the_length_of_overfit() -> None:
    """The smoothed validation loss ends at least 5 % above its minimum, and no run is called
    overfit before it. The table was made at HEALTHY's cadence; OVERFIT evaluates less often, as the
    page says."""
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in read_block(WHY, OVERFIT_BLOCK).splitlines()
    ]
    assert tuple(head) == HEAD
    (row,) = [
        dict(zip(head, cells, strict=True))
        for cells in rows
        if cells[0] == str(OVERFIT.steps // HEALTHY.steps)
    ]
    assert row["evaluated every"] == f"{HEALTHY.eval_every} steps"
    assert row["seeds"] == f"{SWEEP_SEEDS[0]}-{SWEEP_SEEDS[-1]}"
    assert float(row["smoothed val, end over minimum"].split()[0]) >= 1.05
    assert (row["called overfit"], row["called before t*"]) == ("10 of 10", "0 of 10")
    assert f"evaluated every {OVERFIT.eval_every} steps" in WHY


@pytest.mark.parametrize("blank", ["\n", " \n"])
def test_a_blank_line_is_damage(tmp_path: Path, blank: str) -> None:
    """record.md says that this holds at the end of the file as well."""
    path = tmp_path / "run.jsonl"
    path.write_text(HEADER + ROW + blank, encoding="utf-8")
    with pytest.raises(RecordError, match="line 3 is damaged"):
        Record.load(path)


PAGE = "a\n<!-- b -->\nold\n<!-- end of b -->\nc\n"


def test_a_block_is_replaced_between_its_markers() -> None:
    """Nothing else of the page changes."""
    assert read_block(PAGE, "b") == "old"
    assert replace_block(PAGE, "b", r"n\1w") == PAGE.replace("old", r"n\1w")


def test_a_page_without_the_markers_is_an_error() -> None:
    """The error names the missing marker."""
    with pytest.raises(MissingBlockError, match="<!-- x -->"):
        replace_block(PAGE, "x", "new")
