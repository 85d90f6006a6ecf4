"""Sacred's `metrics.json` is read metric by metric."""

import json
from pathlib import Path
from typing import Any

import pytest

from probes import RecordError, read
from probes.readers import find
from testing.logs import points, reader_of, written


def metrics(**values: dict[int, float]) -> dict[str, Any]:
    """The document that Sacred writes: metric -> step -> value."""
    return {
        name: {
            "steps": list(points),
            "timestamps": ["2026-01-01T00:00:00"] * len(points),
            "values": list(points.values()),
        }
        for name, points in values.items()
    }


@pytest.mark.parametrize("indent", [None, 2])
def test_each_metric_has_its_own_steps(tmp_path: Path, indent: int | None) -> None:
    """This holds for any layout of the JSON."""
    document = metrics(**{
        "train.loss": {10: 4.0, 20: 3.0, 30: float("nan")},
        "val.loss": {20: 3.5},
        "val.accuracy": {20: 0.5},
    })  # fmt: skip
    path = written(tmp_path, json.dumps(document, indent=indent, sort_keys=True), "metrics.json")
    assert find(tmp_path) == [path]
    record = read(path)
    assert reader_of(record)["format"] == "Sacred metrics"
    assert points(record, "val_loss") == {20: 3.5}
    assert record.steps.tolist() == [10, 20, 30]
    assert record.column("loss")[:2].tolist() == [4.0, 3.0]
    assert record.sites("nonfinite_count") == ("loss",)
    assert record.series("metric", "val.accuracy")[0].tolist() == [20]


@pytest.mark.parametrize("steps", [3, None, "12", {"a": 1}])
def test_steps_or_values_that_are_no_list_are_an_error(tmp_path: Path, steps: object) -> None:
    """The error names the metric."""
    for key in ("steps", "values"):
        document = metrics(loss={1: 4.0, 2: 3.0}, val={1: 4.0, 2: 3.0})
        document["val"][key] = steps
        with pytest.raises(RecordError, match="the steps or the values of 'val' are no list"):
            read(written(tmp_path, json.dumps(document, indent=2)))


def test_lists_of_different_lengths_are_an_error(tmp_path: Path) -> None:
    """The error names the metric."""
    document = metrics(loss={1: 4.0, 2: 3.0})
    document["loss"]["values"].pop()
    with pytest.raises(RecordError, match="'loss' has 2 steps and 1 values"):
        read(written(tmp_path, json.dumps(document)))


def test_other_objects_are_in_other_formats(tmp_path: Path) -> None:
    """An object of lists may have a list of steps."""
    history = {"steps": [1, 2], "values": [1, 2], "loss": [4.0, 3.0]}
    record = read(written(tmp_path, json.dumps(history)))
    assert reader_of(record)["format"] == "JSON object of lists"
