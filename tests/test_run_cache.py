"""The cache of trained runs. An experiment trains once per session. Its record is kept only if it
is complete, and is used only for the experiment that it was trained for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from filelock import FileLock, Timeout

from probes import Experiment, Record
from probes.plugin.run_cache import (
    MIN_KEPT_KEYS,
    MIN_UNUSED_SECONDS,
    CachedRun,
    RunCache,
    TrainingError,
)
from probes.recording.recorder import Recorder, sidecar_path
from tests.tiny_specimen import STEPS, TinySpecimen, build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = tmp_path / "kept"
    kept.mkdir()
    return kept


def offer(folder: Path, fingerprint: str = "1", **settings: Any) -> Experiment:
    return Experiment(partial(build, folder.parent / "builds", **settings), fingerprint, "rest")


def builds(folder: Path) -> int:
    return len((folder.parent / "builds").read_text(encoding="utf-8").splitlines())


def test_a_session_trains_once(folder: Path) -> None:
    cache = RunCache(folder, "today")
    cache.fetch("tiny", offer(folder))
    again = cache.fetch("tiny", offer(folder))
    assert (builds(folder), again.cached) == (1, False)


def test_the_next_session_reads_the_record(folder: Path) -> None:
    first = RunCache(folder, "today").fetch("tiny", offer(folder))
    second = RunCache(folder, "tomorrow").fetch("tiny", offer(folder))
    assert (builds(folder), second.cached, second.seconds) == (1, True, first.seconds)


def test_the_record_is_the_whole_run(folder: Path) -> None:
    record = RunCache(folder, "today").fetch("tiny", offer(folder)).record
    assert (record.complete, len(record.steps)) == (True, STEPS)
    assert record.provenance["config"] == {"lr": 0.1}


def test_the_process_that_trained_reads_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process uses the record that training left in memory."""
    monkeypatch.setattr(Record, "load", lambda _: pytest.fail("parsed"))
    assert RunCache(folder, "today").fetch("tiny", offer(folder)).record.complete


def test_the_record_in_memory_is_the_one_in_the_file(folder: Path) -> None:
    """Facts, provenance, steps and all values agree bit by bit."""
    trained = RunCache(folder, "today").fetch("tiny", offer(folder)).record
    read = RunCache(folder, "tomorrow").fetch("tiny", offer(folder)).record
    assert (trained.facts, trained.provenance) == (read.facts, read.provenance)
    assert (trained.complete, trained.stopped) == (read.complete, read.stopped)
    np.testing.assert_array_equal(trained.steps, read.steps)
    assert trained.tables.keys() == read.tables.keys()
    for name, table in trained.tables.items():
        assert table.sites == read.tables[name].sites
        assert table.values.tobytes() == read.tables[name].values.tobytes()


def test_another_fingerprint_trains_again(folder: Path) -> None:
    RunCache(folder, "today").fetch("tiny", offer(folder, "1"))
    second = RunCache(folder, "tomorrow").fetch("tiny", offer(folder, "2"))
    assert (builds(folder), second.cached) == (2, False)


def test_retrain_trains_again_once_for_all_processes_of_a_session(folder: Path) -> None:
    RunCache(folder, "today").fetch("tiny", offer(folder))
    workers = [RunCache(folder, "tomorrow", retrain=True) for _ in range(2)]
    cached = [worker.fetch("tiny", offer(folder)).cached for worker in workers]
    assert (builds(folder), cached) == (2, [False, False])


def test_processes_that_ask_while_one_trains_wait(folder: Path) -> None:
    together = Barrier(4)

    def ask(worker: int) -> bool:
        cache = RunCache(folder, "today")
        together.wait()
        return cache.fetch("tiny", offer(folder)).record.complete and worker >= 0

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    assert builds(folder) == 1


def test_an_experiment_is_locked_while_it_trains(folder: Path) -> None:
    def build_alone() -> TinySpecimen:
        with pytest.raises(Timeout):
            FileLock(folder / "tiny.lock").acquire(blocking=False)
        return TinySpecimen()

    assert (
        RunCache(folder, "today")
        .fetch("tiny", Experiment(build_alone, "1", "rest"))
        .record.complete
    )


def test_a_process_that_dies_in_training_releases_the_lock(folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from probes import Experiment;"
        "from probes.plugin.run_cache import RunCache;"
        "experiment = Experiment(lambda: os._exit(9), '1', 'rest');"
        "RunCache(Path(sys.argv[1]), 'today').fetch('tiny', experiment)"
    )
    root = Path(__file__).parent.parent
    died = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=root, check=False)
    kept = RunCache(folder, "today").fetch("tiny", offer(folder))
    assert (died.returncode, kept.record.complete) == (9, True)


# What is damaged or half done


def test_a_cut_record_is_trained_again(folder: Path) -> None:
    path = RunCache(folder, "today").fetch("tiny", offer(folder)).path
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="is damaged and will be trained again"):
        kept = RunCache(folder, "tomorrow").fetch("tiny", offer(folder))
    assert (builds(folder), kept.record.complete) == (2, True)


def test_a_damaged_record_is_set_aside(folder: Path) -> None:
    """The file may show what damaged it, and the warning says where it is."""
    path = RunCache(folder, "today").fetch("tiny", offer(folder)).path
    cut = path.read_bytes()[:-40]
    path.write_bytes(cut)
    aside = path.with_suffix(".damaged.jsonl")
    with pytest.warns(UserWarning, match=f"it was moved to {aside}: RecordError: "):
        RunCache(folder, "tomorrow").fetch("tiny", offer(folder))
    assert aside.read_bytes() == cut


@pytest.mark.parametrize(
    "error",
    [RecursionError("too deep"), OverflowError("too large"), MemoryError(), AssertionError()],
    ids=lambda error: type(error).__name__,
)
def test_a_record_is_trained_again_whatever_its_reading_raises(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An exception that no reader expects must not fail every later session."""
    RunCache(folder, "today").fetch("tiny", offer(folder))

    def fail(_: Path) -> Record:
        raise error

    monkeypatch.setattr(Record, "load", fail)
    with pytest.warns(UserWarning, match=type(error).__name__):
        kept = RunCache(folder, "tomorrow").fetch("tiny", offer(folder))
    assert (builds(folder), kept.record.complete) == (2, True)


def test_a_damaged_record_is_set_aside_even_if_warnings_are_errors(
    folder: Path,
) -> None:
    path = RunCache(folder, "today").fetch("tiny", offer(folder)).path
    path.write_bytes(path.read_bytes()[:-40])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="is damaged"):
            RunCache(folder, "tomorrow").fetch("tiny", offer(folder))
        assert RunCache(folder, "tomorrow").fetch("tiny", offer(folder)).record.complete


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"session": "today", "seconds": "long"}']
)
def test_a_record_without_a_usable_sidecar_is_trained_again(
    folder: Path, content: str | None
) -> None:
    sidecar = sidecar_path(RunCache(folder, "today").fetch("tiny", offer(folder)).path)
    sidecar.unlink() if content is None else sidecar.write_text(content, encoding="utf-8")
    with pytest.warns(UserWarning, match="is damaged"):
        RunCache(folder, "tomorrow").fetch("tiny", offer(folder))
    assert builds(folder) == 2


def test_a_training_that_fails_keeps_its_record_and_says_where(folder: Path) -> None:
    cache, experiment = RunCache(folder, "today"), offer(folder, dies_at=5)
    with pytest.raises(
        TrainingError, match=r"'tiny' failed in training: ArithmeticError: told to die"
    ) as failed:
        cache.fetch("tiny", experiment)
    partial_record = cache.path("tiny", experiment).with_suffix(".partial.jsonl")
    assert str(partial_record) in str(failed.value)
    assert partial_record.exists()


def test_a_training_that_failed_does_not_count_as_finished(folder: Path) -> None:
    cache, experiment = RunCache(folder, "today"), offer(folder, dies_at=5)
    with pytest.raises(TrainingError):
        cache.fetch("tiny", experiment)
    assert not cache.has("tiny", experiment)


def test_an_interrupt_is_raised_and_the_record_is_kept(folder: Path) -> None:
    def interrupt(step: int, _: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    cache, experiment = RunCache(folder, "today"), offer(folder)
    with pytest.raises(KeyboardInterrupt):
        cache.fetch("tiny", experiment, interrupt)
    assert cache.path("tiny", experiment).with_suffix(".partial.jsonl").exists()
    assert not cache.has("tiny", experiment)


def test_a_specimen_that_cannot_be_built_leaves_no_record_and_the_error_says_so(
    folder: Path,
) -> None:
    def fail() -> TinySpecimen:
        raise ValueError("no such thing")

    with pytest.raises(TrainingError, match="ValueError: no such thing; nothing was recorded"):
        RunCache(folder, "today").fetch("tiny", Experiment(fail, "1", "rest"))


def test_a_training_that_failed_is_not_tried_again_in_the_same_session(folder: Path) -> None:
    experiment = offer(folder, dies_at=5)
    for _ in range(2):
        with pytest.raises(TrainingError, match="told to die at step 5"):
            RunCache(folder, "today").fetch("tiny", experiment)
    assert builds(folder) == 1


def test_a_training_that_failed_is_tried_again_in_the_next_session(folder: Path) -> None:
    with pytest.raises(TrainingError):
        RunCache(folder, "today").fetch("tiny", offer(folder, dies_at=5))
    cache = RunCache(folder, "tomorrow")
    path = cache.fetch("tiny", offer(folder)).path
    assert sorted(file.name for file in folder.glob("tiny-*")) == [
        path.name,
        sidecar_path(path).name,
    ]


# What is checked without reading a record


@pytest.mark.parametrize(("retrain", "has"), [(False, True), (True, False)])
def test_has_says_whether_fetch_would_train(folder: Path, retrain: bool, has: bool) -> None:
    assert not RunCache(folder, "today").has("tiny", offer(folder))
    RunCache(folder, "today").fetch("tiny", offer(folder))
    assert RunCache(folder, "tomorrow", retrain).has("tiny", offer(folder)) is has


@pytest.mark.parametrize("left", [0, 40])
def test_a_record_without_its_end_does_not_count(folder: Path, left: int) -> None:
    cache = RunCache(folder, "today")
    path = cache.fetch("tiny", offer(folder)).path
    path.write_bytes(path.read_bytes()[:left])
    assert not cache.has("tiny", offer(folder))


# A folder that is only read


@pytest.fixture
def old(folder: Path) -> Path:
    """A folder with a finished record of an earlier session."""
    RunCache(folder, "yesterday").fetch("tiny", offer(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_record_in_a_read_only_folder_is_used_and_the_folder_stays_as_it_is(
    old: Path, tmp_path: Path
) -> None:
    before = contents(old)
    cache = RunCache(tmp_path / "other", "today", read_only=old)
    assert cache.has("tiny", offer(old))
    kept = cache.fetch("tiny", offer(old))
    assert (kept.path.parent, kept.cached, builds(old)) == (old, True, 1)
    assert contents(old) == before


def test_a_damaged_record_in_a_read_only_folder_stays_and_the_run_trains_elsewhere(
    old: Path, tmp_path: Path
) -> None:
    (record,) = set(old.glob("*.jsonl"))
    record.write_bytes(record.read_bytes()[:-40])
    before = contents(old)
    kept = RunCache(tmp_path / "other", "today", read_only=old).fetch("tiny", offer(old))
    assert (kept.path.parent, kept.cached, builds(old)) == (tmp_path / "other", False, 2)
    assert contents(old) == before


def test_retrain_takes_nothing_from_a_read_only_folder(old: Path, tmp_path: Path) -> None:
    cache = RunCache(tmp_path / "other", "today", retrain=True, read_only=old)
    assert not cache.has("tiny", offer(old))
    assert not cache.fetch("tiny", offer(old)).cached


# What is removed


def train(folder: Path, fingerprint: str, name: str = "tiny") -> Path:
    """The record of an earlier session."""
    return RunCache(folder, fingerprint).fetch(name, offer(folder, fingerprint)).path


def unused_for(path: Path, seconds: float) -> None:
    """Set the times of all files of a record to a moment in the past."""
    for file in path.parent.glob(f"{path.stem}.*"):
        os.utime(file, (time.time() - seconds,) * 2)


@pytest.fixture
def only_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.plugin.run_cache.MIN_KEPT_KEYS", 1)


def test_switching_between_two_fingerprints_trains_each_once(folder: Path) -> None:
    for fingerprint in "1212":
        train(folder, fingerprint)
    assert builds(folder) == 2


def test_the_newest_keys_stay_however_old_they_are(folder: Path) -> None:
    paths = [train(folder, str(number)) for number in range(MIN_KEPT_KEYS)]
    for days, path in enumerate(paths, start=2):
        unused_for(path, days * MIN_UNUSED_SECONDS)
    paths.append(train(folder, "one more"))
    assert [path.exists() for path in paths] == [True] * (MIN_KEPT_KEYS - 1) + [False, True]


@pytest.mark.usefixtures("only_one_is_kept")
def test_an_old_key_is_removed_with_all_its_files(folder: Path) -> None:
    old = train(folder, "1")
    unused_for(old, 2 * MIN_UNUSED_SECONDS)
    train(folder, "2")
    assert not list(folder.glob(f"{old.stem}*"))


@pytest.mark.usefixtures("only_one_is_kept")
def test_a_key_that_was_used_within_a_day_stays(folder: Path) -> None:
    """A session that is still running may read it again."""
    recent = train(folder, "1")
    unused_for(recent, 0.9 * MIN_UNUSED_SECONDS)
    train(folder, "2")
    assert recent.exists()


@pytest.mark.usefixtures("only_one_is_kept")
def test_a_record_that_is_used_again_counts_as_new(folder: Path) -> None:
    old = train(folder, "1")
    unused_for(old, 2 * MIN_UNUSED_SECONDS)
    train(folder, "1")
    train(folder, "2")
    assert old.exists()


@pytest.mark.usefixtures("only_one_is_kept")
def test_an_experiment_whose_name_begins_alike_is_left_alone(folder: Path) -> None:
    other = train(folder, "1", "tiny-long")
    unused_for(other, 2 * MIN_UNUSED_SECONDS)
    train(folder, "2")
    assert other.exists()


# A full disk, a second session


ODD_FAILURES = ["[]", "null", "1", '{"session": "today"}', "{", "[" * 100_000, "\xff", '{"a": 1}']


@pytest.mark.parametrize("content", ODD_FAILURES, ids=range(len(ODD_FAILURES)))
def test_a_damaged_failure_file_does_not_count(folder: Path, content: str) -> None:
    cache, experiment = RunCache(folder, "today"), offer(folder)
    failure = cache.path("tiny", experiment).with_suffix(".failure.json")
    failure.write_text(content, encoding="latin-1")
    assert cache.fetch("tiny", experiment).record.complete
    assert not failure.exists()


def full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_failure_that_cannot_be_written_is_not_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, each further test would otherwise train the experiment again."""
    cache, experiment = RunCache(folder, "today"), offer(folder, dies_at=5)
    monkeypatch.setattr("probes.plugin.run_cache.write_output", full_disk)
    for note in ("", "not tried again in this session"):
        with pytest.raises(TrainingError, match=f"told to die at step 5(.|\n)*{note}"):
            cache.fetch("tiny", experiment)
    assert builds(folder) == 1


def test_a_record_that_cannot_be_written_is_an_error_of_its_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full from the first line on."""
    cache, experiment = RunCache(folder, "today"), offer(folder)
    monkeypatch.setattr("probes.recording.recorder._open", full_disk)
    monkeypatch.setattr("probes.plugin.run_cache.write_output", full_disk)
    for _ in range(2):
        with pytest.raises(TrainingError, match="No space left on device; nothing was recorded"):
            cache.fetch("tiny", experiment)
    assert builds(folder) == 1


def test_a_finished_record_that_cannot_be_kept_is_used_in_this_session(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk becomes full after the last step."""
    monkeypatch.setattr("probes.plugin.run_cache.write_output", full_disk)
    with pytest.warns(UserWarning, match="tiny cannot be kept .*No space left on device"):
        run = RunCache(folder, "today").fetch("tiny", offer(folder))
    assert (run.record.complete, run.seconds > 0) == (True, True)


def test_a_cache_that_is_cleared_during_training_is_named_as_the_reason(folder: Path) -> None:
    """Another session with --cache-clear removes the folder. The next fetch trains again."""

    def clear(step: int, _: int) -> None:
        if step == 5:
            shutil.rmtree(folder.parent / "kept")

    with pytest.raises(TrainingError, match="the cache was removed meanwhile, as --cache-clear"):
        RunCache(folder, "today").fetch("tiny", offer(folder), clear)
    assert RunCache(folder, "tomorrow").fetch("tiny", offer(folder)).record.complete


def test_a_record_of_another_process_is_not_taken(folder: Path) -> None:
    """After the cache was cleared, a second session may train the same experiment."""
    cache, experiment = RunCache(folder, "today"), offer(folder)
    partial_path = cache.path("tiny", experiment).with_suffix(".partial.jsonl")
    theirs = json.dumps({"session": "other", "process": os.getpid() + 1, "seconds": 1.0})

    def replace_files(step: int, total: int) -> None:
        if step == total - 1:
            partial_path.unlink()
            partial_path.write_text("theirs", encoding="utf-8")

    def fetch() -> CachedRun:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = cache.fetch("tiny", experiment, replace_files)
        assert "trains it as well; the cache was removed meanwhile" in str(caught[0].message)
        return run

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Recorder, "_write_sidecar", lambda self, **_: write_theirs())

        def write_theirs() -> None:
            sidecar_path(partial_path).write_text(theirs, encoding="utf-8")

        assert fetch().record.complete
    assert partial_path.read_text(encoding="utf-8") == "theirs"
