"""Which files look like the log of a training although no format recognises them."""

from pathlib import Path

import pytest

from probes.readers import find
from testing.logs import csv_of, curve, written

STRANGE = "".join(f"Ep. {i} | iter #{i * 7}: penalty {0.5 / (i + 1):.4e}\n" for i in range(5))


@pytest.mark.parametrize("name", ["run.log", "slurm.out", "log", "x.csv"])
def test_lines_that_differ_only_in_their_numbers_look_like_a_log(tmp_path: Path, name: str) -> None:
    """They are found only if they are wanted."""
    path = written(tmp_path, STRANGE, name)
    assert (find(tmp_path), find(tmp_path, unknown=True)) == ([], [path])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (STRANGE, "train.py"),
        (STRANGE, "settings.json"),
        (STRANGE.partition("Ep. 4")[0], "run.log"),
        ("In iteration 3 the cost was 4.1\nlater a cost of 3.2\nat last the cost was 1.0\n" * 4,
         "notes.txt"),
        ("".join(f"request {i} took 0.{i} s\n" for i in range(50)), "server.log"),
        ("".join(f"epoch {i} done\n" for i in range(50)), "no-decimals.log"),
        (STRANGE.replace("iter", "\0iter"), "binary"),
    ],
    ids=["code", "settings", "four lines", "notes", "no name", "no decimals", "binary"],
)  # fmt: skip
def test_other_files_do_not(tmp_path: Path, text: str, name: str) -> None:
    """Code and settings name losses as well, and so do notes."""
    written(tmp_path, text, name)
    assert find(tmp_path, unknown=True) == []


def test_a_known_log_is_found_once(tmp_path: Path) -> None:
    """With unknown logs or without."""
    path = written(tmp_path, csv_of(epoch=range(9), loss=curve(9)), "log.csv")
    assert find(tmp_path, unknown=True) == [path] == find(tmp_path)
