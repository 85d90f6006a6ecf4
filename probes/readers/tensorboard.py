"""TensorBoard event files, as torch's SummaryWriter, Lightning and Keras write them.

An event holds the scalars of one step, each under its tag. Events are decoded by the `tensorboard`
package, an optional dependency that is imported when the first event file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from probes.readers.base import Format, PackageMissingError, Piece, Row, blocks_from_rows
from probes.readers.cells import Cell
from probes.readers.column_names import STEP
from probes.record import RecordError

VERSION = b"brain.Event:"
"""In the first event of a file, behind 12 bytes of length and checksum and some of the protocol."""
VERSION_WITHIN = 64
FRAME_BYTES = 16
"""Bytes of length and checksums around each event."""
NUMBER_TYPES = frozenset({1, 2, 3, 4, 5, 6, 9, 14, 17, 19, 22, 23})
"""Types of tensors that hold numbers: floats and integers of any width (types.proto)."""


def recognises(head: bytes) -> bool:
    """The first event states the version of the format."""
    return VERSION in head[:VERSION_WITHIN]


def pieces(path: Path) -> Iterator[Piece]:
    """One row for consecutive events of the same step. An incomplete event at the end is cut.

    Raises PackageMissingError without the package; RecordError when no event is complete, or when a
    complete one cannot be decoded."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise PackageMissingError(
            f"{path} is a file of TensorBoard events, which takes a package to read: "
            'pip install "probes[tensorboard]"'
        ) from error
    events = RawEventFileLoader(str(path)).Load()
    yield from blocks_from_rows(_rows(path, events, Event.FromString, make_ndarray))


def _rows(
    path: Path,
    events: Iterable[bytes],
    parse: Callable[[bytes], Any],
    array_of: Callable[[Any], Any],
) -> Iterator[Row]:
    count, read, size = 0, 0, path.stat().st_size
    row: dict[str, Cell] = {}
    for count, raw in enumerate(_complete(events), start=1):
        read += len(raw) + FRAME_BYTES
        try:
            event = parse(raw)
            scalars = dict(_scalars(event, array_of))
        # Each protobuf has its DecodeError in another module, and a tensor may fail in any way.
        except Exception as error:
            raise RecordError(f"{path}, event {count} is damaged: {error}") from error
        if row and (row[STEP] != event.step or row.keys() & scalars.keys()):
            yield Row(count - 1, row)
            row = {}
        if scalars:
            row |= scalars | {STEP: int(event.step)}
    if row:
        yield Row(count, row)
    if not count:
        raise RecordError(f"{path} is damaged: none of its events is whole")
    if read < size:
        yield Row(count + 1, {}, "cut")


def _complete(events: Iterable[bytes]) -> Iterator[bytes]:
    """The events before the first one whose stated length does not fit in memory: such an event
    ends the log, as an incomplete one does."""
    try:
        yield from events
    except (MemoryError, OverflowError):
        return


def _scalars(event: Any, array_of: Callable[[Any], Any]) -> Iterator[tuple[str, float]]:
    """Tag and value of each single number. TensorFlow 2 writes it as a tensor."""
    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield value.tag, float(value.simple_value)
        elif value.HasField("tensor") and _is_one_number(value.tensor):
            yield value.tag, float(array_of(value.tensor).item())


def _is_one_number(tensor: Any) -> bool:
    """Judged by the shape before an array is made: a few bytes may state a shape of any size."""
    return tensor.dtype in NUMBER_TYPES and all(axis.size == 1 for axis in tensor.tensor_shape.dim)


FORMAT = Format("TensorBoard events", recognises, pieces, "event")
