"""TensorBoard event files, as torch's SummaryWriter, Lightning and Keras write them; by the
`tensorboard` package.

An event holds scalars of one step, each under its tag. The package is an extra, imported when the
first event file is read: it weighs more than all the rest together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from probes.readers.base import Cell, Format, PackageMissingError, Piece, Row, gathered
from probes.readers.column_names import STEP
from probes.record import RecordError

VERSION = b"brain.Event:"
"""What the first event of a file says, after 12 bytes of length and checksum and some of
protocol."""
WITHIN = 64
AROUND = 16
"""Bytes of length and checksums around an event."""
NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 9, 14, 17, 19, 22, 23})
"""Types of tensors (types.proto) that are numbers: floats and integers of any width."""
NEEDED = 'is a file of TensorBoard events, which takes a package to read: pip install "probes[tensorboard]"'


def recognises(head: bytes) -> bool:
    """The first event states the version of the format."""
    return VERSION in head[:WITHIN]


def pieces(path: Path) -> Iterator[Piece]:
    """One row for the scalars of a step that follow each other; what a killed writer left of an
    event is a cut.

    Raises PackageMissingError without the package, RecordError where no event is whole or one that
    is whole is damaged."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise PackageMissingError(f"{path} {NEEDED}") from error
    events = RawEventFileLoader(str(path)).Load()
    yield from gathered(_rows(path, events, Event.FromString, make_ndarray))


def _rows(
    path: Path,
    events: Iterable[bytes],
    parse: Callable[[bytes], Any],
    array_of: Callable[[Any], Any],
) -> Iterator[Row]:
    count, read, size = 0, 0, path.stat().st_size
    row: dict[str, Cell] = {}
    for count, raw in enumerate(_whole(events), start=1):
        read += len(raw) + AROUND
        try:
            event = parse(raw)
            scalars = dict(_scalars(event, array_of))
        except Exception as error:  # DecodeError is of another module in each protobuf; a tensor may fail in any way
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


def _whole(events: Iterable[bytes]) -> Iterator[bytes]:
    """The events up to one that claims a length which no memory holds: it ends the log as one in
    pieces does."""
    try:
        yield from events
    except (MemoryError, OverflowError):
        return


def _scalars(event: Any, array_of: Callable[[Any], Any]) -> Iterator[tuple[str, float]]:
    """Tag and value of what is a single number: written as one, or as a tensor, as TensorFlow 2
    does."""
    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield value.tag, float(value.simple_value)
        elif value.HasField("tensor") and _is_one_number(value.tensor):
            yield value.tag, float(array_of(value.tensor).item())


def _is_one_number(tensor: Any) -> bool:
    """By its shape, before an array is made of it: a few bytes may claim to be any number of equal
    values."""
    return tensor.dtype in NUMBERS and all(axis.size == 1 for axis in tensor.tensor_shape.dim)


FORMAT = Format("TensorBoard events", recognises, pieces, "event")
