"""The store: trained once a session, kept whole or not at all, answered only for what a record was
made of."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from filelock import FileLock, Timeout

from probes import Experiment
from probes.plugin.leases import KEPT_KEYS
from probes.plugin.run_cache import Store, TrainingError
from probes.recording.recorder import sidecar_path
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
    store = Store(folder, "today")
    store.fetch("tiny", offer(folder))
    again = store.fetch("tiny", offer(folder))
    assert (builds(folder), again.cached) == (1, False)


def test_the_next_session_is_answered_from_the_folder(folder: Path) -> None:
    first = Store(folder, "today").fetch("tiny", offer(folder))
    second = Store(folder, "tomorrow").fetch("tiny", offer(folder))
    assert (builds(folder), second.cached, second.seconds) == (1, True, first.seconds)


def test_the_record_is_the_whole_run(folder: Path) -> None:
    record = Store(folder, "today").fetch("tiny", offer(folder)).record
    assert (record.complete, len(record.steps), record.provenance["config"]) == (
        True,
        STEPS,
        {"lr": 0.1},
    )


def test_another_fingerprint_trains_again(folder: Path) -> None:
    Store(folder, "today").fetch("tiny", offer(folder, "1"))
    second = Store(folder, "tomorrow").fetch("tiny", offer(folder, "2"))
    assert (builds(folder), second.cached) == (2, False)


def test_retrain_trains_again_once_for_all_processes_of_a_session(folder: Path) -> None:
    Store(folder, "today").fetch("tiny", offer(folder))
    workers = [Store(folder, "tomorrow", retrain=True) for _ in range(2)]
    cached = [worker.fetch("tiny", offer(folder)).cached for worker in workers]
    assert (builds(folder), cached) == (2, [False, False])


def test_who_asks_meanwhile_waits(folder: Path) -> None:
    together = Barrier(4)

    def ask(worker: int) -> bool:
        store = Store(folder, "today")
        together.wait()
        return store.fetch("tiny", offer(folder)).record.complete and worker >= 0

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    assert builds(folder) == 1


def test_nobody_else_looks_at_an_experiment_while_it_trains(folder: Path) -> None:
    def build_alone() -> TinySpecimen:
        with pytest.raises(Timeout):
            FileLock(folder / "tiny.lock").acquire(blocking=False)
        return TinySpecimen()

    assert (
        Store(folder, "today").fetch("tiny", Experiment(build_alone, "1", "rest")).record.complete
    )


def test_a_process_that_dies_in_training_holds_up_nobody(folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from probes import Experiment;"
        "from probes.plugin.run_cache import Store;"
        "Store(Path(sys.argv[1]), 'today').fetch('tiny', Experiment(lambda: os._exit(9), '1', 'rest'))"
    )
    root = Path(__file__).parent.parent
    died = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=root, check=False)
    kept = Store(folder, "today").fetch("tiny", offer(folder))
    assert (died.returncode, kept.record.complete) == (9, True)


# What is damaged or half done


def test_a_cut_record_is_trained_again(folder: Path) -> None:
    path = Store(folder, "today").fetch("tiny", offer(folder)).path
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="is damaged and will be trained again"):
        kept = Store(folder, "tomorrow").fetch("tiny", offer(folder))
    assert (builds(folder), kept.record.complete) == (2, True)


def test_a_damaged_record_stands_in_the_way_only_once_even_where_warnings_are_errors(
    folder: Path,
) -> None:
    path = Store(folder, "today").fetch("tiny", offer(folder)).path
    path.write_bytes(path.read_bytes()[:-40])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="is damaged"):
            Store(folder, "tomorrow").fetch("tiny", offer(folder))
        assert Store(folder, "tomorrow").fetch("tiny", offer(folder)).record.complete


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"session": "today", "seconds": "long"}']
)
def test_a_record_without_its_clock_is_trained_again(folder: Path, content: str | None) -> None:
    sidecar = sidecar_path(Store(folder, "today").fetch("tiny", offer(folder)).path)
    sidecar.unlink() if content is None else sidecar.write_text(content, encoding="utf-8")
    with pytest.warns(UserWarning, match="is damaged"):
        Store(folder, "tomorrow").fetch("tiny", offer(folder))
    assert builds(folder) == 2


def test_a_run_that_dies_leaves_what_it_recorded_and_says_where(folder: Path) -> None:
    store, experiment = Store(folder, "today"), offer(folder, dies_at=5)
    with pytest.raises(
        TrainingError, match=r"'tiny' failed in training: ArithmeticError: told to die"
    ) as failed:
        store.fetch("tiny", experiment)
    partial_record = store.path("tiny", experiment).with_suffix(".partial.jsonl")
    assert str(partial_record) in str(failed.value)
    assert partial_record.exists()


def test_a_run_that_died_is_not_taken_for_a_finished_one(folder: Path) -> None:
    store, experiment = Store(folder, "today"), offer(folder, dies_at=5)
    with pytest.raises(TrainingError):
        store.fetch("tiny", experiment)
    assert not store.has("tiny", experiment)


def test_an_interrupt_passes_and_leaves_what_was_recorded(folder: Path) -> None:
    def interrupt(step: int, _: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    store, experiment = Store(folder, "today"), offer(folder)
    with pytest.raises(KeyboardInterrupt):
        store.fetch("tiny", experiment, interrupt)
    assert store.path("tiny", experiment).with_suffix(".partial.jsonl").exists()
    assert not store.has("tiny", experiment)


def test_a_specimen_that_cannot_be_built_leaves_nothing_and_says_so(folder: Path) -> None:
    def fail() -> TinySpecimen:
        raise ValueError("no such thing")

    with pytest.raises(TrainingError, match="ValueError: no such thing; nothing was recorded"):
        Store(folder, "today").fetch("tiny", Experiment(fail, "1", "rest"))


def test_what_failed_is_not_tried_again_in_the_same_session(folder: Path) -> None:
    experiment = offer(folder, dies_at=5)
    for _ in range(2):
        with pytest.raises(TrainingError, match="told to die at step 5"):
            Store(folder, "today").fetch("tiny", experiment)
    assert builds(folder) == 1


def test_what_failed_is_tried_again_in_the_next_session(folder: Path) -> None:
    with pytest.raises(TrainingError):
        Store(folder, "today").fetch("tiny", offer(folder, dies_at=5))
    store = Store(folder, "tomorrow")
    path = store.fetch("tiny", offer(folder)).path
    assert sorted(file.name for file in folder.glob("tiny-*") if file.suffix != ".lease") == [
        path.name,
        sidecar_path(path).name,
    ]


# What is looked at without being opened


@pytest.mark.parametrize(("retrain", "has"), [(False, True), (True, False)])
def test_has_says_whether_asking_would_train(folder: Path, retrain: bool, has: bool) -> None:
    assert not Store(folder, "today").has("tiny", offer(folder))
    Store(folder, "today").fetch("tiny", offer(folder))
    assert Store(folder, "tomorrow", retrain).has("tiny", offer(folder)) is has


@pytest.mark.parametrize("left", [0, 40])
def test_a_record_without_its_end_is_not_had(folder: Path, left: int) -> None:
    store = Store(folder, "today")
    path = store.fetch("tiny", offer(folder)).path
    path.write_bytes(path.read_bytes()[:left])
    assert not store.has("tiny", offer(folder))


# A shelf: a folder that is only read


@pytest.fixture
def shelf(folder: Path) -> Path:
    """A folder with a finished record of an earlier session in it."""
    Store(folder, "yesterday").fetch("tiny", offer(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_record_on_the_shelf_is_used_and_the_shelf_left_as_it_is(
    shelf: Path, tmp_path: Path
) -> None:
    before = contents(shelf)
    store = Store(tmp_path / "other", "today", shelf=shelf)
    assert store.has("tiny", offer(shelf))
    kept = store.fetch("tiny", offer(shelf))
    assert (kept.path.parent, kept.cached, builds(shelf)) == (shelf, True, 1)
    assert contents(shelf) == before


def test_a_damaged_record_on_the_shelf_stays_there_and_is_trained_elsewhere(
    shelf: Path, tmp_path: Path
) -> None:
    (record,) = set(shelf.glob("*.jsonl"))
    record.write_bytes(record.read_bytes()[:-40])
    before = contents(shelf)
    kept = Store(tmp_path / "other", "today", shelf=shelf).fetch("tiny", offer(shelf))
    assert (kept.path.parent, kept.cached, builds(shelf)) == (tmp_path / "other", False, 2)
    assert contents(shelf) == before


def test_retrain_takes_nothing_from_the_shelf(shelf: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "other", "today", retrain=True, shelf=shelf)
    assert not store.has("tiny", offer(shelf))
    assert not store.fetch("tiny", offer(shelf)).cached


# What is removed


@pytest.fixture
def only_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.plugin.leases.KEPT_KEYS", 1)


def train(folder: Path, fingerprint: str, name: str = "tiny") -> Path:
    """A record of a session that is over."""
    store = Store(folder, fingerprint)
    path = store.fetch(name, offer(folder, fingerprint)).path
    store.close()
    return path


def last_used(path: Path, seconds: float) -> None:
    for file in path.parent.glob(f"{path.stem}*"):
        os.utime(file, (seconds, seconds))


def test_going_back_and_forth_trains_nothing_twice(folder: Path) -> None:
    for fingerprint in "1212":
        train(folder, fingerprint)
    assert builds(folder) == 2


def test_no_more_than_the_newest_few_are_kept(folder: Path) -> None:
    paths = [train(folder, str(number)) for number in range(KEPT_KEYS)]
    for number, path in enumerate(paths):
        last_used(path, 1000 - number)
    paths.append(train(folder, "one more"))
    assert [path.exists() for path in paths] == [True] * (KEPT_KEYS - 1) + [False, True]


def test_a_record_that_is_used_again_counts_as_new(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.plugin.leases.KEPT_KEYS", 2)
    first, second = train(folder, "1"), train(folder, "2")
    last_used(first, 1000)
    last_used(second, 2000)
    train(folder, "1")
    train(folder, "3")
    assert (first.exists(), second.exists()) == (True, False)


@pytest.mark.usefixtures("only_one_is_kept")
def test_an_old_key_is_removed_with_all_that_belongs_to_it(folder: Path) -> None:
    first = Store(folder, "today")
    old = first.fetch("tiny", offer(folder, "1")).path
    first.close()
    last_used(old, 1000)
    Store(folder, "tomorrow").fetch("tiny", offer(folder, "2"))
    assert not list(folder.glob(f"{old.stem}*"))


@pytest.mark.usefixtures("only_one_is_kept")
def test_an_old_key_in_use_is_left_alone(folder: Path) -> None:
    first = Store(folder, "today")
    old = first.fetch("tiny", offer(folder, "1")).path
    Store(folder, "tomorrow").fetch("tiny", offer(folder, "2"))
    assert old.exists()


@pytest.mark.usefixtures("only_one_is_kept")
def test_the_record_of_a_process_that_died_counts_as_unused(folder: Path) -> None:
    first = Store(folder, "today")
    old = first.fetch("tiny", offer(folder, "1")).path
    first.close()
    (folder / f"{old.stem}.dead.lease").touch()
    last_used(old, 1000)
    Store(folder, "tomorrow").fetch("tiny", offer(folder, "2"))
    assert not list(folder.glob(f"{old.stem}*"))


def test_the_lease_of_a_process_that_died_goes_and_the_record_stays(folder: Path) -> None:
    store = Store(folder, "today")
    path = store.fetch("tiny", offer(folder)).path
    (folder / f"{path.stem}.dead.lease").touch()
    Store(folder, "tomorrow").fetch("tiny", offer(folder))
    assert (path.exists(), len(list(folder.glob(f"{path.stem}.*.lease")))) == (True, 2)
    assert not (folder / f"{path.stem}.dead.lease").exists()


@pytest.mark.usefixtures("only_one_is_kept")
def test_an_experiment_whose_name_begins_alike_is_left_alone(folder: Path) -> None:
    first = Store(folder, "today")
    other = first.fetch("tiny-long", offer(folder, "1")).path
    first.close()
    Store(folder, "tomorrow").fetch("tiny", offer(folder, "2"))
    assert other.exists()
