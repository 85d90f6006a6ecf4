"""A recorder's file is opened once, closed once, never written over, and has its clock beside
it."""

import json
from pathlib import Path

import pytest

from probes.record import Record, RecordError
from probes.recording.recorder import Recorder, save, sidecar_path
from tests.records import changed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_an_existing_file_is_not_overwritten(path: Path) -> None:
    """A record is evidence."""
    path.write_text("evidence")
    with pytest.raises(
        FileExistsError, match=r"run\.jsonl exists; give another path, or overwrite=True"
    ):
        Recorder(path)
    assert path.read_text() == "evidence"


def test_an_existing_file_is_overwritten_when_asked(path: Path) -> None:
    """`overwrite=True` starts afresh."""
    path.write_text("evidence")
    Recorder(path, overwrite=True).close()
    assert Record.load(path).complete


def test_clock_process_and_host_stand_beside_the_record(path: Path) -> None:
    """In the sidecar."""
    Recorder(path).close()
    assert {"started", "seconds", "process", "host", "worker"} <= set(
        json.loads(sidecar_path(path).read_text())
    )


def test_two_recordings_of_one_run_have_the_same_bytes(tmp_path: Path) -> None:
    """The record itself holds no clock, path, process or host."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with Recorder(
            tmp_path / name / f"{name}.jsonl", provenance={"seed": 1}, vocab_size=64
        ) as recorder:
            recorder.log(0, loss=4.0)
    assert (tmp_path / "a" / "a.jsonl").read_bytes() == (tmp_path / "b" / "b.jsonl").read_bytes()


def test_records_with_dots_in_their_names_have_their_own_sidecars() -> None:
    """`lr0.1` and `lr0.2` are two runs."""
    names = ["lr0.1", "lr0.2", "run.jsonl", "run.json"]
    assert len({sidecar_path(Path(name)) for name in names}) == len(names)


def test_leaving_by_an_exception_leaves_the_record_incomplete(path: Path) -> None:
    """What was logged is there; the end is not."""
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
def test_nothing_is_logged_once_closed(path: Path, on_disk: bool) -> None:
    """A row that would be in memory only is refused."""
    recorder = Recorder(path if on_disk else None)
    recorder.close()
    with pytest.raises(RecordError, match="step 3 was logged after the recorder was closed"):
        recorder.log(3, loss=4.0)


def test_closing_twice_does_nothing(path: Path) -> None:
    """What was given up stays incomplete, in memory as on disk."""
    with Recorder(path) as recorder:
        recorder.close(complete=False)
    assert (recorder.record.complete, Record.load(path).complete) == (False, False)


def test_a_record_whose_facts_are_named_like_options_cannot_be_saved(path: Path) -> None:
    """`overwrite` in somebody's facts must not overwrite anything."""
    with Recorder() as recorder:
        pass
    record = recorder.record
    with pytest.raises(RecordError, match=r"facts are named \['overwrite'\]"):
        save(type(record)({"overwrite": True}, record.steps, record.tables), path)


def test_what_was_saved_is_not_saved_over(path: Path) -> None:
    """`save` refuses a path that is taken."""
    save(changed(), path)
    with pytest.raises(FileExistsError):
        save(changed(), path)
