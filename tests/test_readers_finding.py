"""A folder is searched for logs, by what the files hold."""

import json
import os
from pathlib import Path
from threading import Thread

import pytest

from probes import read
from probes.readers import FORMATS, console, find
from probes.record import RecordError
from probes.recording.recorder import Recorder
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    STATE,
    TRAINER_LOG,
    TRAINER_STATE,
    points,
    written,
)

NO_LOGS = {
    "README.md": "# a model\n\nIts loss was 4.2, then 4.1.\n",
    "config.json": '{\n  "hidden_size": 64,\n  "sizes": [1, 2, 3],\n  "name": "x"\n}\n',
    "all_results.json": '{\n    "epoch": 3.0,\n    "train_loss": 1.2\n}\n',
    "vocab.csv": "id,count\n0,17\n1,4\n",
    "data.jsonl": '{"id": 1, "text": "no loss here"}\n',
    "weights.bin": "\0\1\2\3",
    "empty.txt": "",
    "run.sidecar.json": '{\n "record": "run.jsonl",\n "started": 1.5\n}\n',
}


def test_find_gives_the_logs_in_a_folder_and_below_sorted(tmp_path: Path) -> None:
    """And nothing of what lies between them."""
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name, text in NO_LOGS.items():
        written(tmp_path / "b", text, name)
    written(tmp_path / "b" / "c", TRAINER_LOG, "log")
    written(tmp_path / "b", KERAS, "z.txt")
    written(tmp_path, LIGHTNING, "metrics.csv")
    written(tmp_path, KERAS_HISTORY, "history.json")
    written(tmp_path, TRAINER_STATE, "a.json")
    with Recorder(tmp_path / "run.jsonl") as recorder:
        recorder.log(0, loss=4.0)
    found = [str(path.relative_to(tmp_path)) for path in find(tmp_path)]
    assert found == ["a.json", "b/c/log", "b/z.txt", "history.json", "metrics.csv", "run.jsonl"]


@pytest.mark.parametrize("name", [".hidden", ".cache/log", "run.sidecar.json"])
def test_find_passes_over_what_is_hidden_or_a_sidecar(tmp_path: Path, name: str) -> None:
    """Whatever it holds."""
    (tmp_path / ".cache").mkdir()
    written(tmp_path, TRAINER_LOG, name)
    assert find(tmp_path) == []


def test_find_does_not_pass_over_a_damaged_log(tmp_path: Path) -> None:
    """That it is damaged should be heard of."""
    written(tmp_path, TRAINER_STATE[: TRAINER_STATE.index("2.1735")])
    written(tmp_path, '{"loss": [4.0, 3.0', "history")
    assert [path.name for path in find(tmp_path)] == ["history", "log"]


@pytest.mark.parametrize(
    "text", [KERAS, TRAINER_STATE, json.dumps(STATE), TRAINER_LOG, KERAS_HISTORY, LIGHTNING]
)
def test_every_log_is_recognised_by_one_format_alone(text: str) -> None:
    """So their order cannot matter, but for the last."""
    assert sum(form.recognises(text.encode()) for form in FORMATS[:-1]) == 1
    assert FORMATS[-1] is console.FORMAT


def test_a_folder_with_one_log_is_read_as_that_log(tmp_path: Path) -> None:
    """As the folder that a trainer wrote."""
    written(tmp_path, KERAS)
    assert points(read(tmp_path), "loss")[0] == 1.5626


def test_a_folder_with_several_logs_is_no_run(tmp_path: Path) -> None:
    """Which one is meant, nobody can know."""
    written(tmp_path, KERAS, "a")
    written(tmp_path, KERAS, "b")
    with pytest.raises(RecordError, match="holds 2 logs, one is read at a time: a, b"):
        read(tmp_path)


def test_a_folder_without_logs_says_what_would_be_one(tmp_path: Path) -> None:
    """And what to give instead."""
    with pytest.raises(
        RecordError,
        match=r"holds no log of a format that is known here \(.*\); give the log itself",
    ):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_with_a_name_is_read_once(tmp_path: Path) -> None:
    """As a shell gives it for `<(zcat log.gz)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=(KERAS,))
    writer.start()
    record = read(pipe)
    writer.join()
    assert points(record, "loss")[0] == 1.5626
