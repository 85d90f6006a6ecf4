"""`read`: which format a file has, which files are refused, what is imported."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from probes import read
from probes.record import Record, RecordError
from probes.recording.recorder import save
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    TRAINER_LOG,
    TRAINER_STATE,
    csv_of,
    curve,
    points,
    reader_of,
    written,
)
from tests.records import changed

ROOT = Path(__file__).parents[1]


def test_the_format_is_recognised_by_content(tmp_path: Path) -> None:
    """The name of the file does not matter."""
    assert reader_of(read(written(tmp_path, KERAS, "log.json")))["format"] == "CSV"
    assert reader_of(read(written(tmp_path, TRAINER_LOG, "log.csv")))["format"] == "JSON lines"


def test_a_record_of_this_package_is_loaded_with_all_its_facts(tmp_path: Path) -> None:
    """`read` takes every file that `Record.load` takes."""
    save(changed(), tmp_path / "run.jsonl")
    record, loaded = read(tmp_path / "run.jsonl"), Record.load(tmp_path / "run.jsonl")
    assert (record.facts, record.provenance) == (loaded.facts, loaded.provenance)
    assert points(record, "loss") == points(loaded, "loss")


def test_the_only_log_in_a_folder_is_read(tmp_path: Path) -> None:
    """The folder that a trainer wrote can be given instead of the file."""
    written(tmp_path, KERAS)
    assert points(read(tmp_path), "loss")[0] == 1.5626


def test_a_folder_with_several_logs_is_refused_with_their_names(tmp_path: Path) -> None:
    written(tmp_path, KERAS, "a")
    written(tmp_path, KERAS, "b")
    with pytest.raises(RecordError, match="holds 2 logs; give one of them: a, b"):
        read(tmp_path)


def test_a_folder_without_logs_is_refused_with_the_known_formats(tmp_path: Path) -> None:
    with pytest.raises(
        RecordError,
        match=r"holds no log in a known format \(.*\); give the path of the log itself",
    ):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    """A shell gives one for `<(zcat log.gz)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=(KERAS,))
    writer.start()
    record = read(pipe)
    writer.join()
    assert points(record, "loss")[0] == 1.5626


def test_a_file_of_no_known_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The message also says what a table lacks most often."""
    with pytest.raises(
        RecordError, match=r"a record of probes, .*JSON lines, .*CSV, .*\); a table needs a line"
    ):
        read(written(tmp_path, "1,2\n3,4\n"))


def test_a_pointer_of_git_lfs_is_refused_with_the_command_that_fetches_the_file(
    tmp_path: Path,
) -> None:
    """A clone without Git LFS has such a text in place of a large file."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    with pytest.raises(RecordError, match=r"the pointer that Git LFS puts .*`git lfs pull`"):
        read(written(tmp_path, pointer))


OTHER_FORMATS = {"probes.readers.tensorboard", "probes.readers.markdown", "probes.readers.console"}
NOT_NEEDED = {
    "decimal",
    "difflib",
    "numpy.ma",
    "shlex",
    "shutil",
    "statistics",
    "tempfile",
    "tensorboard",
}
"""Modules that take time to import and that reading a plain log does not need."""
CSV_MODULES = {"csv", "probes.readers.csv_log"}


@pytest.mark.parametrize(
    ("text", "unloaded"),
    [
        (csv_of(step=range(40), loss=curve(40)), OTHER_FORMATS),
        (TRAINER_LOG, OTHER_FORMATS | CSV_MODULES),
        (KERAS_HISTORY, OTHER_FORMATS | CSV_MODULES),
        (TRAINER_STATE, OTHER_FORMATS | CSV_MODULES | {"probes.readers.json_lines"}),
    ],
    ids=["CSV", "JSON lines", "JSON columns", "trainer state"],
)
def test_reading_imports_only_what_the_format_needs(
    tmp_path: Path, text: str, unloaded: set[str]
) -> None:
    """Imports are a large part of the time that a command takes on a small log."""
    code = "import sys; from probes import read; read(sys.argv[1]); print(*sys.modules)"
    path = written(tmp_path, text)
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & (unloaded | NOT_NEEDED) == set()
