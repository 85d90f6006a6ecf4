"""TensorBoard event files, as torch's SummaryWriter, Lightning and Keras write them.

An event holds the scalars of one step, each under its tag. Events are decoded by the `tensorboard`
package, an optional dependency that is imported when the first event file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from probes.readers.base import Format, PackageMissingError, Piece, Row, blocks_from_rows
from probes.readers.cells import Cell
from probes.readers.column_names import STEP
from probes.record import RecordError

VERSION_MARK = b"brain.Event:"
"""Part of the first event of a file. In front of it are 12 bytes of length and checksum, and a few
bytes of the protocol."""
VERSION_SEARCH_BYTES = 64
"""VERSION_MARK is in this many bytes at the beginning of a file."""
FRAME_BYTES = 16
"""Number of bytes around each event in the file: its length and two checksums."""
NUMBER_TYPES = frozenset({1, 2, 3, 4, 5, 6, 9, 14, 17, 19, 22, 23})
"""Data types of tensors that hold numbers: floats and integers of any width (types.proto)."""


def recognises(head: bytes) -> bool:
    """Whether the first event states the version of the format."""
    return VERSION_MARK in head[:VERSION_SEARCH_BYTES]


def pieces(path: Path) -> Iterator[Piece]:
    """One row for all consecutive events of the same step that have different tags.

    An incomplete event at the end is a row of kind "cut". Raises PackageMissingError if
    `tensorboard` is not installed, RecordError if no event is complete or a complete event cannot
    be decoded.
    """
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise PackageMissingError(
            f"{path} is a file of TensorBoard events; install the package that reads them: "
            'pip install "probes[tensorboard]"'
        ) from error
    # With TensorFlow installed, the loader ends the process at an event whose stated length fits no
    # memory, so no event that is longer than the file is loaded.
    events = islice(RawEventFileLoader(str(path)).Load(), _complete_events(path))
    yield from blocks_from_rows(_rows(path, events, Event.FromString, make_ndarray))


def _rows(
    path: Path,
    events: Iterable[bytes],
    parse: Callable[[bytes], Any],
    array_of: Callable[[Any], Any],
) -> Iterator[Row]:
    count, bytes_read, size = 0, 0, path.stat().st_size
    row: dict[str, Cell] = {}
    for count, raw in enumerate(events, start=1):
        bytes_read += len(raw) + FRAME_BYTES
        try:
            event = parse(raw)
            scalars: dict[str, Cell] = {}
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars[value.tag] = float(value.simple_value)
                # TensorFlow 2 writes a scalar as a tensor. Its stated shape is checked before an
                # array is made, because a few damaged bytes may state a shape of any size.
                elif (
                    value.HasField("tensor")
                    and value.tensor.dtype in NUMBER_TYPES
                    and all(axis.size == 1 for axis in value.tensor.tensor_shape.dim)
                ):
                    scalars[value.tag] = float(array_of(value.tensor).item())
        # Versions of protobuf define DecodeError in different modules, and a damaged tensor may
        # raise any exception.
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
        raise RecordError(f"{path} is damaged: none of its events is complete")
    if bytes_read < size:
        yield Row(count + 1, {}, "cut")


def _complete_events(path: Path) -> int:
    """The number of events at the beginning of a file that end within the file, by their stated
    lengths."""
    count, end, size = 0, 0, path.stat().st_size
    with open(path, "rb") as file:
        while len(length := file.read(8)) == 8:
            end += int.from_bytes(length, "little") + FRAME_BYTES
            if end > size:
                break
            count += 1
            file.seek(end)
    return count


FORMAT = Format("TensorBoard events", recognises, pieces, "event")
