"""TensorBoard event files, written by the `tensorboard` package, are read as logs."""

import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import masked_crc32c
from tensorboard.util.tensor_util import make_tensor_proto

from probes import cli
from probes.readers import find, read
from probes.record import RecordError
from tests.records import sound

LOSSES = sound()["loss"]
SCALARS = [(step, {"train/loss": loss, "lr": 0.01}) for step, loss in enumerate(LOSSES)]
Scalars = Iterable[tuple[int, dict[str, float]]]


def simple_value(tag: str, value: float) -> Summary.Value:
    """A scalar as torch's SummaryWriter and Lightning write it."""
    return Summary.Value(tag=tag, simple_value=value)


def tensor_value(tag: str, value: float) -> Summary.Value:
    """A scalar as TensorFlow 2 writes it."""
    return Summary.Value(tag=tag, tensor=make_tensor_proto(np.float32(value)))


def events(folder: Path, scalars: Scalars, value=simple_value) -> Path:
    """Write an event file with an event for each scalar, and return its path."""
    writer = EventFileWriter(str(folder))
    for step, tags in scalars:
        for tag, number in tags.items():
            writer.add_event(Event(step=step, summary=Summary(value=[value(tag, number)])))
    writer.close()
    (path,) = folder.glob("events.out.tfevents.*")
    return path


@pytest.mark.parametrize("value", [simple_value, tensor_value])
def test_scalars_are_read_under_their_tags(tmp_path: Path, value) -> None:
    """The scalars of a step are one row."""
    record = read(events(tmp_path, SCALARS, value))
    reader = record.provenance["reader"]
    assert (reader["format"], reader["mapped"]) == (
        "TensorBoard events",
        {"train/loss": "loss", "lr": "lr"},
    )
    steps, losses = record.series("loss")
    assert (steps.tolist(), losses.tolist()) == (
        list(range(40)),
        [float(np.float32(v)) for v in LOSSES],
    )
    assert record.complete


def test_an_evaluation_may_have_steps_of_its_own(tmp_path: Path) -> None:
    evaluated = [(step, {"Loss/val": 2.0}) for step in (9, 19)]
    record = read(events(tmp_path, sorted([*SCALARS, *evaluated], key=lambda event: event[0])))
    assert record.series("val_loss")[0].tolist() == [9, 19]


def test_values_that_are_no_single_number_are_skipped(tmp_path: Path) -> None:
    """A text, and a tensor of several numbers such as a histogram."""
    writer = EventFileWriter(str(tmp_path))
    for step, loss in enumerate(LOSSES):
        several = [
            Summary.Value(tag="lr", tensor=make_tensor_proto(np.ones((2, 3)))),
            simple_value("loss", loss),
        ]
        texts = Summary.Value(
            tag="grad_norm", tensor=make_tensor_proto(np.array("3.0", dtype=object))
        )
        writer.add_event(Event(step=step, summary=Summary(value=[*several, texts])))
    writer.close()
    assert read(next(tmp_path.glob("events*"))).provenance["reader"]["mapped"] == {"loss": "loss"}


def test_a_run_that_was_resumed_in_the_same_file_is_one_run(tmp_path: Path) -> None:
    """A note says where it was resumed."""
    again = [(step, {"train/loss": 9.0}) for step in (30, 31)]
    record = read(events(tmp_path, [*SCALARS, *again]))
    assert record.series("loss")[0].tolist() == list(range(32))
    assert (
        "step 30 comes after step 39, so the run was resumed"
        in record.provenance["reader"]["stitched"][0]
    )


@pytest.mark.parametrize("lost", [1, 4, 20, 500])
def test_the_whole_events_of_a_cut_file_are_read(tmp_path: Path, lost: int) -> None:
    """The writer was killed. A note says that the file ends early."""
    path = events(tmp_path, SCALARS)
    path.write_bytes(path.read_bytes()[:-lost])
    record = read(path)
    points = len(record.series("loss")[0])
    assert 25 < points < 41
    assert record.series("loss")[1].tolist() == [float(np.float32(v)) for v in LOSSES[:points]]
    assert (
        record.complete,
        "the log ends in the middle of it" in record.provenance["reader"]["stitched"][-1],
    ) == (False, True)


@pytest.mark.parametrize("kept", [39, 60])
def test_a_file_without_a_whole_event_is_refused(tmp_path: Path, kept: int) -> None:
    """The message names its path."""
    path = events(tmp_path, SCALARS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordError, match=r"tfevents.* is damaged: none of its events is complete"):
        read(path)


def test_a_wrong_checksum_ends_the_log(tmp_path: Path) -> None:
    """A writer that was killed leaves such an event as well."""
    path = events(tmp_path, SCALARS)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    record = read(path)
    assert (record.complete, len(record.series("loss")[0]) < 25) == (False, True)


def with_tensors(folder: Path, **tensor) -> Path:
    """An event file with a tensor of tag `lr` beside each loss."""
    writer, shape = EventFileWriter(str(folder)), tensor.pop("shape", ())
    proto = TensorProto(**tensor)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    for step, loss in enumerate(LOSSES):
        values = [simple_value("loss", loss), Summary.Value(tag="lr", tensor=proto)]
        writer.add_event(Event(step=step, summary=Summary(value=values)))
    writer.close()
    return next(folder.glob("events*"))


@pytest.mark.parametrize("size", [10**15, 2, 0, -1])
def test_a_tensor_of_another_shape_is_skipped(tmp_path: Path, size: int) -> None:
    """No array is made of it: a few bytes may state a shape that fits no memory."""
    path = with_tensors(tmp_path, dtype=1, float_val=[1.0], shape=(size,))
    assert read(path).provenance["reader"]["mapped"] == {"loss": "loss"}


@pytest.mark.parametrize(
    "tensor",
    [{"dtype": 1}, {"dtype": 1, "tensor_content": b"12"}, {"dtype": 14, "half_val": [16256]}],
    ids=["empty", "too few bytes", "a type that the package cannot make"],
)
def test_a_tensor_that_cannot_be_decoded_is_damage(tmp_path: Path, tensor) -> None:
    """The message names the event."""
    with pytest.raises(RecordError, match=r"tfevents.*, event 2 is damaged"):
        read(with_tensors(tmp_path, **tensor))


@pytest.mark.parametrize("length", [2**62, 2**64 - 1])
def test_an_event_that_fits_no_memory_ends_the_log(tmp_path: Path, length: int) -> None:
    """The checksum of its length is right."""
    path = events(tmp_path, SCALARS)
    claim = struct.pack("<Q", length)
    path.write_bytes(path.read_bytes() + claim + struct.pack("<I", masked_crc32c(claim)) + b"few")
    record = read(path)
    assert (len(record.series("loss")[0]), record.complete) == (40, False)


def test_a_file_cut_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    """A longer part of the file never gives fewer points."""
    path = events(tmp_path, SCALARS[:6])
    content, points = path.read_bytes(), 0
    for kept in range(1, len(content) + 1):
        path.write_bytes(content[:kept])
        try:
            series = read(path).series("loss")[0]
        except RecordError:
            assert points == 0
            continue
        assert list(series) == list(range(len(series)))
        assert len(series) >= points
        points = len(series)
    assert points == 6


def test_event_files_in_a_folder_are_found(tmp_path: Path) -> None:
    """Each file is a log."""
    for name in ("train", "validation"):
        (tmp_path / name).mkdir()
        events(tmp_path / name, [(step, {"epoch_loss": loss}) for step, loss in enumerate(LOSSES)])
    assert [path.parent.name for path in find(tmp_path)] == ["train", "validation"]
    assert cli.main(["diagnose", str(tmp_path)]) == 0


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error is the same if the file is found in a folder."""
    path = events(tmp_path, SCALARS)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert cli.main(["diagnose", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{path} is a file of TensorBoard events; install the package that reads them: " in error
    assert 'pip install "probes[tensorboard]"' in error


def test_without_the_package_a_folder_gives_every_event_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package, it is not known whether a file has a loss. This one holds only the graph
    of a model."""
    writer = EventFileWriter(str(tmp_path))
    writer.add_event(Event(graph_def=b"x" * 100_000))
    writer.close()
    assert find(tmp_path) == []
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    assert find(tmp_path) == list(tmp_path.iterdir())


def test_a_tag_cannot_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences are replaced."""
    path = events(
        tmp_path, [(step, {"loss": loss, "\x1b[2J<b>": 1.0}) for step, loss in enumerate(LOSSES)]
    )
    assert cli.main(["diagnose", "--columns", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_single_byte_after_the_last_event_is_a_cut_event(tmp_path: Path) -> None:
    path = events(tmp_path, SCALARS)
    assert read(path).complete
    path.write_bytes(path.read_bytes() + b"\0")
    assert not read(path).complete
