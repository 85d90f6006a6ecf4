"""A file of a tracker that is not read is an error that says how to export the run."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from probes import RecordError, read
from testing.logs import csv_of, written


def in_folder(folder: Path, *names: str) -> Path:
    """Write a file in folders within a folder, and return its path."""
    path = folder.joinpath(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x00\x01")
    return path


@pytest.mark.parametrize(
    ("names", "command"),
    [
        (
            ("wandb", "run-1", "run-1.wandb"),
            r"Weights & Biases.*wandb\.Api\(\)\.run\(.*`wandb sync FOLDER`",
        ),
        ((".aim", "seqs", "chunks", "1", "CURRENT"), r"Aim.* aim\.Repo"),
        ((".neptune", "async", "data-1.log"), "Neptune.* `neptune-exporter export"),
    ],
)
@pytest.mark.parametrize("given", ["file", "folder"])
def test_the_error_says_how_to_export_a_run(
    tmp_path: Path, names: tuple[str, ...], command: str, given: str
) -> None:
    """Whether the file or a folder is given."""
    path = in_folder(tmp_path, *names)
    with pytest.raises(RecordError, match=command):
        read(path if given == "file" else tmp_path)


def test_an_offline_experiment_of_comet_is_known_by_its_files(tmp_path: Path) -> None:
    """Another archive is in no known format."""
    for name in ("comet.zip", "other.zip"):
        with ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("messages.json", "{}")
            if name == "comet.zip":
                archive.writestr("experiment.json", "{}")
    with pytest.raises(RecordError, match=r"Comet.* `comet upload FILE\.zip`"):
        read(tmp_path / "comet.zip")
    with pytest.raises(RecordError, match="not in a known format"):
        read(tmp_path / "other.zip")


def test_a_folder_that_also_has_a_log_is_read(tmp_path: Path) -> None:
    """W&B keeps what the run printed beside its own file."""
    in_folder(tmp_path, "run-1.wandb")
    written(tmp_path, csv_of(step=[1, 2], loss=[4.0, 3.0]), "metrics.csv")
    assert read(tmp_path).column("loss").tolist() == [4.0, 3.0]
