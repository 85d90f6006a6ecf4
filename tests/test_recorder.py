"""The recorder's file: strict JSON, written at once, without a trace of refused rows; opened once,
never overwritten unasked, with a sidecar for clock and host."""

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
from probes.recording.recorder import Recorder, save, sidecar_path
from tests.records import changed


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
    """Values that are not finite are strings, in the header as in rows."""
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


def test_header_gives_version_and_signals(path: Path) -> None:
    """The file can be understood without this package."""
    Recorder(path, vocab_size=64).close()
    header = lines_of(path)[0]
    assert (header["probes_record"], header["signals"]["lr"]["unit"]) == (1, "1")


def test_each_line_is_on_disk_right_after_log(path: Path) -> None:
    """No line waits in a buffer of this process."""
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


def test_killed_process_leaves_every_row_that_it_logged(path: Path) -> None:
    """After SIGKILL no handler runs, so the rows were on disk before."""
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
def test_refused_row_leaves_no_trace(path: Path, row: dict[str, Any]) -> None:
    """A refused row is neither in the file nor in memory."""
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


def test_unknown_signal_is_refused_with_the_nearest(path: Path) -> None:
    """The refused row leaves no trace in the file."""
    recorder = Recorder(path)
    before = path.read_bytes()
    with pytest.raises(UnknownSignalError, match="no signal 'grad_nrm'; did you mean 'grad_norm'"):
        recorder.log(0, loss=4.0, grad_nrm=1.0)
    assert path.read_bytes() == before


SCALARS = [2, np.int64(2), np.float32(2), np.float64(2), np.array(2.0), np.float16(2), Decimal(2)]


@pytest.mark.parametrize("two", SCALARS, ids=lambda two: type(two).__name__)
def test_value_may_be_any_scalar(path: Path, two: Any) -> None:
    """It may be a number of Python or NumPy, or an array without axes. On disk and in memory it is
    the same float64."""
    with Recorder(path) as recorder:
        recorder.log(np.int64(0), loss=two, activation={"a": two})  # type: ignore[arg-type]
    read = Record.load(path)
    cells = [
        r.column(*at)[0] for r in (read, recorder.record) for at in (("loss",), ("activation", "a"))
    ]
    assert cells == [2.0] * 4


def test_values_stay_with_their_sites_when_sites_change(path: Path) -> None:
    """Sites are reordered, dropped, given by position, and added, on disk as in memory."""
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
    """Ten rows with the same sites need one line of names."""
    with Recorder(path) as recorder:
        for step in range(10):
            recorder.log(step, activation={"a": 1.0, "b": float(step)})
    assert sum("sites" in line for line in lines_of(path)) == 1


def test_lone_surrogate_can_be_written(path: Path) -> None:
    """Python uses it for file names that are not Unicode, and a name or a site may contain one."""
    with Recorder(path, provenance={"name": "caf\udce9"}) as recorder:
        recorder.log(0, activation={"caf\udce9": 1.0})
    record = Record.load(path)
    assert (record.name, record.sites("activation"), len(lines_of(path))) == (
        "caf\udce9",
        ("caf\udce9",),
        4,
    )


def test_facts_in_memory_are_those_on_disk(path: Path) -> None:
    """NumPy scalars, tuples and numbers as keys are what JSON makes of them in memory too, so that
    both records get the same diagnosis."""
    with Recorder(path, vocab_size=np.int64(64), ladder={1: (1.0, nan)}) as recorder:
        pass
    np.testing.assert_equal(dict(recorder.record.facts), dict(Record.load(path).facts))


def test_facts_that_are_not_json_are_refused_before_the_file_is_made(path: Path) -> None:
    """Otherwise a second attempt would find the file of the first."""
    with pytest.raises(TypeError, match=r"a record cannot hold .* a set"):
        Recorder(path, vocabulary={"a", "b"})
    assert not path.exists()


def test_recorder_keeps_its_own_copy_of_the_facts(path: Path) -> None:
    """Changing them later does not change the record."""
    ladder = {"floor": 0.1}
    recorder = Recorder(path, ladder=ladder)
    ladder["floor"] = 9.0
    assert recorder.record.facts["ladder"] == {"floor": 0.1}


def test_existing_file_is_not_overwritten(path: Path) -> None:
    """The error says how to overwrite it."""
    path.write_text("evidence")
    with pytest.raises(
        FileExistsError, match=r"run\.jsonl exists; give another path, or overwrite=True"
    ):
        Recorder(path)
    assert path.read_text() == "evidence"


def test_existing_file_is_overwritten_on_request(path: Path) -> None:
    """The request is the option `overwrite=True`."""
    path.write_text("evidence")
    Recorder(path, overwrite=True).close()
    assert Record.load(path).complete


def test_sidecar_holds_clock_process_and_host(path: Path) -> None:
    """The record itself holds none of them."""
    Recorder(path).close()
    assert {"started", "seconds", "process", "host", "worker"} <= set(
        json.loads(sidecar_path(path).read_text())
    )


def test_two_recordings_of_one_run_have_the_same_bytes(tmp_path: Path) -> None:
    """They hold no clock, path, process or host."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with Recorder(
            tmp_path / name / f"{name}.jsonl", provenance={"seed": 1}, vocab_size=64
        ) as recorder:
            recorder.log(0, loss=4.0)
    assert (tmp_path / "a" / "a.jsonl").read_bytes() == (tmp_path / "b" / "b.jsonl").read_bytes()


def test_names_with_dots_have_their_own_sidecars() -> None:
    """`lr0.1` and `lr0.2` are two runs."""
    names = ["lr0.1", "lr0.2", "run.jsonl", "run.json"]
    assert len({sidecar_path(Path(name)) for name in names}) == len(names)


def test_leaving_by_an_exception_leaves_the_record_incomplete(path: Path) -> None:
    """The file holds the rows that were logged, and no end line."""
    recorder = Recorder(path)
    recorder.log(0, loss=4.0)
    with pytest.raises(ZeroDivisionError), recorder:
        _ = 1 / 0
    assert (Record.load(path).complete, recorder.record.complete, len(Record.load(path).steps)) == (
        False,
        False,
        1,
    )


@pytest.mark.parametrize("on_disk", [True, False])
def test_row_is_refused_after_closing(path: Path, on_disk: bool) -> None:
    """Such a row would be in memory only."""
    recorder = Recorder(path if on_disk else None)
    recorder.close()
    with pytest.raises(RecordError, match="step 3 was logged after the recorder was closed"):
        recorder.log(3, loss=4.0)


def test_closing_twice_does_nothing(path: Path) -> None:
    """A record that was closed as incomplete stays incomplete, in memory as on disk."""
    with Recorder(path) as recorder:
        recorder.close(complete=False)
    assert (recorder.record.complete, Record.load(path).complete) == (False, False)


def test_record_whose_facts_are_named_like_options_cannot_be_saved(path: Path) -> None:
    """A fact called `overwrite` must not overwrite a file."""
    with Recorder() as recorder:
        pass
    record = recorder.record
    with pytest.raises(RecordError, match=r"facts are named \['overwrite'\]"):
        save(type(record)({"overwrite": True}, record.steps, record.tables), path)


@pytest.mark.parametrize("overwrite_first", [True, False])
def test_two_recorders_cannot_write_to_one_file(path: Path, overwrite_first: bool) -> None:
    """The second one raises an error and leaves the file of the first as it is."""
    with Recorder(path, overwrite=overwrite_first) as recorder:
        recorder.log(0, loss=1.0)
        with pytest.raises(RecordError, match="is being written by another recorder; give each"):
            Recorder(path, overwrite=True)
        recorder.log(1, loss=0.5)
    assert Record.load(path).series("loss")[1].tolist() == [1.0, 0.5]
    Recorder(path, overwrite=True).close()


def test_the_clock_of_the_machine_may_be_set_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seconds of a run come from a clock that never goes back."""
    recorder = Recorder(path)
    monkeypatch.setattr("time.time", lambda: 0.0)
    recorder.close()
    assert json.loads(sidecar_path(path).read_bytes())["seconds"] >= 0


def test_save_does_not_overwrite_a_file(path: Path) -> None:
    """The record that was saved before stays."""
    save(changed(), path)
    with pytest.raises(FileExistsError):
        save(changed(), path)
