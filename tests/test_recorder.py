"""What the recorder writes is strict JSON, is there at once, and holds nothing of a row that was
refused."""

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probes.record import Record, RecordError
from probes.record.signals import UnknownSignalError
from probes.recording.recorder import Recorder, encode


def strict(line: str) -> Any:
    """Parse JSON as browsers do, without Python's NaN and Infinity tokens."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(line, parse_constant=refuse)


def lines_of(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [strict(line) for line in text[:-1].split("\n")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_every_line_is_strict_json(path: Path) -> None:
    """Non-finite values, wherever they stand, are strings."""
    with Recorder(path, provenance={"seed": np.float32("nan")}, floor=inf) as recorder:
        recorder.log(
            0,
            loss=nan,
            lr=inf,
            activation={"a": -inf, "b": np.float32("nan")},
            batch_ids=np.array([1.0, nan]),
        )
    header, *_, row, _ = lines_of(path)
    assert [header["facts"]["floor"], row["loss"], row["lr"], row["activation"]] == [
        "Infinity",
        "NaN",
        "Infinity",
        ["-Infinity", "NaN"],
    ]


def test_the_header_says_version_and_signals(path: Path) -> None:
    """Who finds the file alone can read it."""
    Recorder(path, vocab_size=64).close()
    header = lines_of(path)[0]
    assert (header["probes_record"], header["signals"]["lr"]["unit"]) == (1, "1")


def test_a_second_reader_sees_each_line_right_after_log(path: Path) -> None:
    """Nothing waits in a buffer of this process."""
    recorder = Recorder(path)
    seen = []
    for step in range(5):
        recorder.log(step, loss=4.0 - step)
        seen.append(Record.load(path).column("loss").tolist())
    recorder.close()
    assert seen == [[4.0 - i for i in range(step + 1)] for step in range(5)]


KILLED = """
import sys
from probes.recording.recorder import Recorder
recorder = Recorder(sys.argv[1], vocab_size=64)
for step in range(50):
    recorder.log(step, loss=4.0 - step / 100, activation={"embed": 0.1 * step})
print("logged", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_every_row_it_logged(path: Path) -> None:
    """SIGKILL runs no handler: what is on disk was there before."""
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"logged\n"
        child.send_signal(signal.SIGKILL)
    record = Record.load(path)
    assert (record.steps.tolist(), record.complete, child.returncode) == (
        list(range(50)),
        False,
        -signal.SIGKILL,
    )


REFUSED: list[dict[str, Any]] = [
    {"step": 0, "loss": 1.0},
    {"step": 1.5, "loss": 1.0},
    {"step": True, "loss": 1.0},
    {"step": 2**63, "loss": 1.0},
    {"step": 1, "loss": "high"},
    {"step": 1, "loss": [1.0, 2.0]},
    {"step": 1, "loss": np.array([[1.0]])},
    {"step": 1, "loss": 10**400},
    {"step": 1, "loss": object()},
    {"step": 1, "loss": 1.0, "activation": 2.0},
    {"step": 1, "loss": 1.0, "activation": {"a": "b"}},
    {"step": 1, "loss": 1.0, "activation": {"1": 1.0, 1: 2.0}},
    {"step": 1, "loss": 1.0, "activation": {"": 1.0}},
    {"step": 1, "loss": 1.0, "batch_ids": np.ones((2, 2))},
]


@pytest.mark.parametrize(
    "row", REFUSED, ids=lambda row: ", ".join(f"{k}={v!r:.20}" for k, v in row.items())
)
def test_a_refused_row_leaves_no_trace(path: Path, row: dict[str, Any]) -> None:
    """Neither in the file nor in memory; the next right row goes in as if nothing had been."""
    recorder = Recorder(path)
    recorder.log(0, loss=4.0)
    before = path.read_bytes()
    with pytest.raises(RecordError):
        recorder.log(**row)
    assert (path.read_bytes(), recorder.record.steps.tolist(), list(recorder.record.tables)) == (
        before,
        [0],
        ["loss"],
    )


def test_an_unknown_signal_is_refused_with_the_nearest(path: Path) -> None:
    """And leaves no trace either."""
    recorder = Recorder(path)
    before = path.read_bytes()
    with pytest.raises(UnknownSignalError, match="no signal 'grad_nrm'; did you mean 'grad_norm'"):
        recorder.log(0, loss=4.0, grad_nrm=1.0)
    assert path.read_bytes() == before


SCALARS = [2, np.int64(2), np.float32(2), np.float64(2), np.array(2.0), np.float16(2), Decimal(2)]


@pytest.mark.parametrize("two", SCALARS, ids=lambda two: type(two).__name__)
def test_any_scalar_is_a_number(path: Path, two: Any) -> None:
    """Python's, NumPy's, arrays of no dimension: on disk and in memory the same float64."""
    with Recorder(path) as recorder:
        recorder.log(np.int64(0), loss=two, activation={"a": two})  # type: ignore[arg-type]
    read = Record.load(path)
    cells = [
        r.column(*at)[0] for r in (read, recorder.record) for at in (("loss",), ("activation", "a"))
    ]
    assert cells == [2.0] * 4


def test_sites_that_change_midway_keep_their_names(path: Path) -> None:
    """Reordered, dropped, added, then given as a bare list: each value stays with its site, on disk
    as in memory."""
    rows: list[Any] = [
        {"a": 1.0, "b": 2.0},
        {"b": 3.0, "a": 4.0},
        {"a": 5.0},
        [6.0, 7.0],
        {"a": 8.0, "c": 9.0},
    ]
    with Recorder(path) as recorder:
        for step, row in enumerate(rows):
            recorder.log(step, activation=row)
    read = Record.load(path)
    by_step = [
        {site: read.column("activation", site)[step] for site in read.sites("activation")}
        for step in range(len(rows))
    ]
    known = [{site: value for site, value in row.items() if value == value} for row in by_step]
    assert known == [*rows[:3], {"0": 6.0, "1": 7.0}, rows[4]]
    np.testing.assert_array_equal(
        read.tables["activation"].values, recorder.record.tables["activation"].values
    )


def test_sites_are_written_once_until_they_change(path: Path) -> None:
    """A long run does not repeat its names."""
    with Recorder(path) as recorder:
        for step in range(10):
            recorder.log(step, activation={"a": 1.0, "b": float(step)})
    assert sum("sites" in line for line in lines_of(path)) == 1


def test_a_lone_surrogate_is_valid_on_disk(path: Path) -> None:
    """A file name that is no Unicode may stand in provenance, and in a site's name."""
    with Recorder(path, provenance={"name": "caf\udce9"}) as recorder:
        recorder.log(0, activation={"caf\udce9": 1.0})
    record = Record.load(path)
    assert (record.name, record.sites("activation"), len(lines_of(path))) == (
        "caf\udce9",
        ("caf\udce9",),
        4,
    )


def test_facts_in_memory_are_those_on_disk(path: Path) -> None:
    """NumPy scalars, tuples and number keys become what JSON makes of them, so that both are judged
    alike."""
    with Recorder(path, vocab_size=np.int64(64), ladder={1: (1.0, nan)}) as recorder:
        pass
    np.testing.assert_equal(dict(recorder.record.facts), dict(Record.load(path).facts))


def test_facts_that_are_no_json_are_refused_before_the_file_is_made(path: Path) -> None:
    """A second attempt is not met by the empty file of the first."""
    with pytest.raises(TypeError, match=r"a record cannot hold .* a set"):
        Recorder(path, vocabulary={"a", "b"})
    assert not path.exists()


def test_changing_what_was_given_as_facts_changes_nothing(path: Path) -> None:
    """The recorder keeps its own copy."""
    ladder = {"floor": 0.1}
    recorder = Recorder(path, ladder=ladder)
    ladder["floor"] = 9.0
    assert recorder.record.facts["ladder"] == {"floor": 0.1}


def test_encode_writes_letters_as_they_are() -> None:
    """Spanish stays readable in the file."""
    assert encode({"name": "él trabajó"}) == '{"name":"él trabajó"}'
