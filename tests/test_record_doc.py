"""The code does what docs/record.md says of the format."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from probes.record.jsonl import SCHEMA
from probes.recording.recorder import Recorder, sidecar_path
from studies.signal_table import BLOCK, table
from testing.marker_blocks import read_block

PAGE = (Path(__file__).parents[1] / "docs" / "record.md").read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The file that the example on the page writes."""
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    subprocess.run([sys.executable, "-I", "-c", code[1]], cwd=tmp_path, check=True)
    return tmp_path / "run.jsonl"


def test_example_writes_a_record(example: Path) -> None:
    """Complete, with all its steps, facts and sites."""
    record = Record.load(example)
    assert (
        record.complete,
        len(record.steps),
        record.facts["vocab_size"],
        record.name,
        record.sites("activation"),
    ) == (
        True,
        40,
        64,
        "by hand",
        ("embed", "blocks.0"),
    )


def test_example_is_diagnosed_healthy(example: Path) -> None:
    """A reader who tries it gets a verdict, not an error."""
    assert diagnose(Record.load(example)).verdict == "healthy"


def test_example_needs_the_standard_library_only() -> None:
    """It is for people who do not want to install anything where they train."""
    assert re.findall(r"^ *(?:import|from) (\w+)", PAGE, re.MULTILINE) == ["json"]


def test_table_of_signals_is_up_to_date() -> None:
    """`python -m studies.signal_table` writes it."""
    assert read_block(PAGE, BLOCK) == table()


def test_page_describes_the_current_version() -> None:
    """A new version of the format needs a new page."""
    assert f"this page describes {SCHEMA}" in PAGE


def test_page_names_every_key_of_the_sidecar(tmp_path: Path) -> None:
    """The page writes each key in code style."""
    Recorder(tmp_path / "run.jsonl").close()
    keys = json.loads(sidecar_path(tmp_path / "run.jsonl").read_text())
    assert [key for key in keys if f"`{key}`" not in PAGE] == []


def test_page_names_every_fact_that_detectors_use() -> None:
    """Otherwise nobody would know that they can be stated."""
    asked: set[str] = set()
    for path in (Path(__file__).parents[1] / "probes" / "diagnosis" / "detectors").glob("*.py"):
        asked |= set(re.findall(r"(?:fact|number)\(\"(\w+)\"\)", path.read_text(encoding="utf-8")))
    assert {"vocab_size", "schedule", "total_steps"} <= asked
    assert [fact for fact in sorted(asked) if f"| `{fact}` |" not in PAGE] == []
