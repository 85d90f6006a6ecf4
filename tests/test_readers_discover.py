"""The logs in a folder are found by their content, and each has one format."""

import json
from pathlib import Path

import pytest

from probes.readers import discover, find
from probes.recording.recorder import Recorder
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    STATE,
    TRAINER_LOG,
    TRAINER_STATE,
    written,
)

NO_LOGS = {
    "README.md": "# a model\n\nIts loss was 4.2, then 4.1.\n",
    "config.json": '{\n  "hidden_size": 64,\n  "sizes": [1, 2, 3],\n  "name": "x"\n}\n',
    "all_results.json": '{\n    "epoch": 3.0,\n    "train_loss": 1.2\n}\n',
    "vocab.csv": "id,count\n0,17\n1,4\n",
    "data.jsonl": '{"id": 1, "text": "no loss here"}\n',
    "data.json": '[{"id": 1, "text": "no \\"loss\\": here"}]\n',
    "weights.bin": "\0\1\2\3",
    "empty.txt": "",
    "run.sidecar.json": '{\n "record": "run.jsonl",\n "started": 1.5\n}\n',
}


def test_logs_are_found_at_any_depth_and_sorted(tmp_path: Path) -> None:
    """Other files between them are not."""
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name, text in NO_LOGS.items():
        written(tmp_path / "b", text, name)
    written(tmp_path / "b" / "c", TRAINER_LOG, "log")
    written(tmp_path / "b", KERAS, "z.txt")
    written(tmp_path, LIGHTNING, "metrics.csv")
    written(tmp_path, KERAS_HISTORY, "history.json")
    written(tmp_path, TRAINER_STATE, "a.json")
    written(tmp_path, json.dumps(STATE["log_history"]), "c.json")
    with Recorder(tmp_path / "run.jsonl") as recorder:
        recorder.log(0, loss=4.0)
    assert [str(path.relative_to(tmp_path)) for path in find(tmp_path)] == [
        "a.json", "b/c/log", "b/z.txt", "c.json", "history.json", "metrics.csv", "run.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [".hidden", ".cache/log", "run.sidecar.json"])
def test_hidden_files_and_sidecars_are_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / ".cache").mkdir()
    written(tmp_path, TRAINER_LOG, name)
    assert find(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [TRAINER_STATE[: TRAINER_STATE.index("2.1735")], '{"loss": [4.0, 3.0', '{"loss": 4.0}\n{\n'],
    ids=["trainer state", "JSON columns", "JSON lines"],
)
def test_a_damaged_log_is_found(tmp_path: Path, text: str) -> None:
    """The error is reported when it is read; leaving it out would hide the damage."""
    log = written(tmp_path, text)
    assert find(tmp_path) == [log]


@pytest.mark.parametrize(
    "text", [KERAS, TRAINER_STATE, json.dumps(STATE), TRAINER_LOG, KERAS_HISTORY, LIGHTNING]
)
def test_every_log_is_recognised_by_one_format_only(text: str) -> None:
    """The order of the formats therefore does not matter, except for the last one, which reads any
    text that names a loss."""
    *formats, last = discover.formats()
    assert sum(form.recognises(text.encode()) for form in formats) == 1
    assert (discover.FORMATS[-1], last.name) == ("console", "printed lines")


def test_the_docs_describe_every_format() -> None:
    page = (Path(__file__).parents[1] / "docs" / "logs.md").read_text(encoding="utf-8")
    table = page.partition("## Formats")[2].partition("###")[0]
    assert [form.name for form in discover.formats() if f"\n| {form.name} |" not in table] == []


def test_a_large_list_of_objects_is_not_loaded_to_search_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data sets are often such lists. The keys in the first bytes tell whether it may be a log."""
    monkeypatch.setattr("probes.readers.json_document.json.loads", pytest.fail)
    written(tmp_path, json.dumps([{"id": i, "text": "words"} for i in range(9)]), "data.json")
    log = written(tmp_path, TRAINER_STATE, "trainer_state.json")
    assert find(tmp_path) == [log]
