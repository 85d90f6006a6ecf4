"""The files in which MLflow keeps metrics are read, one by one and as the run they belong to."""

from pathlib import Path

import pytest

from probes import read
from probes.readers import find
from probes.readers.mlflow_files import recognises
from testing.logs import curve, points, reader_of, written


def metric(values: list[object], steps: list[int] | None = None) -> str:
    steps = steps or list(range(len(values)))
    pairs = zip(values, steps, strict=True)
    return "".join(f"{1706911200000 + step} {value} {step}\n" for value, step in pairs)


@pytest.mark.parametrize("name", ["train_loss", "run7-train_loss", "loss"])
def test_the_name_of_the_file_is_the_name_of_the_metric(tmp_path: Path, name: str) -> None:
    record = read(written(tmp_path, metric([4.0, 3.0, "nan"], [10, 20, 30]), name))
    assert points(record, "loss") == {10: 4.0, 20: 3.0}
    assert record.series("nonfinite_count", "loss")[0].tolist() == [30]
    assert reader_of(record)["format"] == "MLflow metric"


def test_values_that_are_all_at_step_0_are_counted(tmp_path: Path) -> None:
    """A program that gives no step logs them so."""
    record = read(written(tmp_path, metric([4.0, 3.0, 2.0], [0, 0, 0]), "loss"))
    assert points(record, "loss") == {0: 4.0, 1: 3.0, 2: 2.0}


def run(folder: Path) -> Path:
    """The folder of a run with two losses and another metric."""
    metrics = folder / "mlruns" / "0" / "4f2a" / "metrics"
    (metrics / "val").mkdir(parents=True)
    written(metrics, metric(curve(30)), "train_loss")
    written(metrics, metric([5.0, 4.0], [9, 19]), "val/loss")
    written(metrics, metric([0.5]), "accuracy")
    written(metrics.parent, "run_id: 4f2a\n", "meta.yaml")
    return metrics.parent


def test_a_folder_of_a_run_is_one_log(tmp_path: Path) -> None:
    folder = run(tmp_path)
    assert find(tmp_path) == find(folder) == [folder]
    for path in (tmp_path, folder):
        record = read(path)
        assert (len(points(record, "loss")), points(record, "val_loss")) == (30, {9: 5.0, 19: 4.0})
        assert record.sites("metric") == ("accuracy",)


def test_a_run_without_a_loss_is_no_log(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    written(metrics, metric([0.5, 0.6]), "accuracy")
    assert find(tmp_path) == []


@pytest.mark.parametrize("text", ["1 2 3\n", "1706911200000 high 3\n", "1706911200000 2.5\n", ""])
def test_other_numbers_are_no_metric(text: str) -> None:
    assert not recognises(text.encode())
