"""Reads and encodes the file format of a record: JSON lines, possibly cut off at any byte
(docs/record.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from probes.record.builder import Builder, site_names
from probes.record.jsonl_columns import read_by_column
from probes.record.record import NONFINITE_STRINGS, Json, Record, RecordError, Stop

SCHEMA = 1
"""The version of the format that is written. Earlier versions can be read as well."""

MAX_DEPTH = 64
"""Maximum depth of objects and lists within facts and provenance. Several functions that handle
them are recursive. Without this limit, whether they fail would depend on how many calls are already
on the stack."""
MAGIC = b'{"probes_record":'
"""The first bytes of every record. A file that was cut off in its first line is recognised by
them."""


def encode(value: Json) -> str:
    """The value as compact JSON. NaN and infinities become strings; NumPy scalars and arrays become
    plain numbers."""
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(_strings_for_nonfinite(value))


def _plain(value: Json) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return _strings_for_nonfinite(value.tolist())
    raise TypeError(f"a record cannot hold {value!r}, a {type(value).__name__}")


_ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
)


def _strings_for_nonfinite(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _strings_for_nonfinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strings_for_nonfinite(inner) for inner in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def numbers_for_strings(value: Json) -> Json:
    """Replace the strings "NaN", "Infinity" and "-Infinity" by numbers, the inverse of what
    `encode` does."""
    if isinstance(value, dict):
        return {key: numbers_for_strings(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers_for_strings(inner) for inner in value]
    return float(value) if isinstance(value, str) and value in NONFINITE_STRINGS else value


def check_depth(part: str, value: Json) -> None:
    """Raise RecordError if objects and lists within facts or provenance are nested too deep.

    part   "facts" or "provenance", for the message
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        held = (each.values() if isinstance(each, Mapping) else each for each in level)
        # An object that occurs several times in a level is kept once. Otherwise an object that
        # contains itself twice would double the size of every further level.
        level = list(
            {
                id(inner): inner
                for inner in chain.from_iterable(held)
                if isinstance(inner, Mapping | list | tuple)
            }.values()
        )
    if level:
        raise RecordError(
            f"{part} holds objects or lists more than {MAX_DEPTH} levels deep; make it flatter"
        )


def load(path: str | Path) -> Record:
    """Read a record from its file. From a file that was cut off, the steps with complete lines are
    read, and the record is marked incomplete.

    Raises RecordError when the file is not a record, has a newer schema, or has a damaged line
    other than a last line that was cut off. Raises OSError when the file cannot be opened."""
    with open(path, "rb") as file:
        return parse(file.read(), str(path))


def parse(data: bytes, where: str) -> Record:
    """Read a record from the content of its file. `where` is the name of the file in errors."""
    lines = data.split(b"\n")
    try:
        json.loads(lines[-1])
    except (ValueError, RecursionError):
        # The text after the last line break is not a line. It is empty in a file that ends with a
        # line break, and the beginning of a line in a file that was cut off.
        tail = lines.pop()
        if not lines:
            if tail.startswith(MAGIC) or MAGIC.startswith(tail):
                return Builder({}, {}).record(complete=False)
            raise _not_a_record(where) from None
    header = _header(lines[0], where)
    facts, provenance = header["facts"], header["provenance"]
    if (record := read_by_column(lines[1:], facts, provenance)) is not None:
        return record
    builder = Builder(facts, provenance)
    layouts: dict[str, list[str]] = {}
    end = None
    for number, line in enumerate(lines[1:], start=2):
        try:
            if end is not None:
                raise RecordError("there is a line after the end line")
            end = _read_line(json.loads(line), builder, layouts)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(f"{where}, line {number} is damaged: {error}") from error
    end = end or {}
    stopped = _stop(end.get("stopped"), where)
    try:
        return builder.record(bool(end.get("complete")), stopped)
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from error


def _header(line: bytes, where: str) -> dict[str, Json]:
    try:
        header = json.loads(line)
        version = header["probes_record"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_a_record(where) from error
    if type(version) is not int or version < 1:  # isinstance would accept true
        raise RecordError(
            f"{where}, line 1: schema {version!r:.60}; it must be a whole number from 1 to {SCHEMA}"
        )
    if version > SCHEMA:
        raise RecordError(
            f"{where} has record schema {version}; this version of probes reads schemas "
            f"up to {SCHEMA}: upgrade probes"
        )
    for part in ("facts", "provenance"):
        if not isinstance(header.setdefault(part, {}), dict):
            raise RecordError(
                f"{where}, line 1: {part} is {header[part]!r:.60}; it must be an object"
            )
        try:
            check_depth(part, header[part])
        except RecordError as error:
            raise RecordError(f"{where}, line 1: {error}") from error
    return {**header, "facts": numbers_for_strings(header["facts"])}


def _not_a_record(where: str) -> RecordError:
    return RecordError(
        f"{where} is not a record: it must begin with {MAGIC.decode()} and a schema version"
    )


def _read_line(
    line: Json, builder: Builder, layouts: dict[str, list[str]]
) -> dict[str, Json] | None:
    """Process one line after the header. A step line is added to the builder, and the lists of
    sites in a sites line are added to `layouts`. Returns the content of an end line, otherwise
    None."""
    if not isinstance(line, dict):
        raise RecordError(f"the line is {line!r:.60}; it must be an object")
    if "step" in line:
        step = line.pop("step")
        for name, reading in line.items():
            if isinstance(reading, list) and name in layouts:
                sites = layouts[name]
                if len(reading) != len(sites):
                    raise RecordError(f"{name} has {len(reading)} values but {len(sites)} sites")
                line[name] = dict(zip(sites, reading, strict=True))
        builder.append(step, line)
        return None
    if "sites" in line:
        layouts.update(
            {name: site_names(name, sites) for name, sites in dict(line["sites"]).items()}
        )
        return None
    if "end" in line:
        return dict(line["end"])
    raise RecordError(f"the keys are {sorted(line)!r:.200}; one must be step, sites or end")


def _stop(entry: Json, where: str) -> Stop | None:
    """Check the `stopped` entry of an end line and convert it; None if there is no such entry."""
    if entry is None:
        return None
    if isinstance(entry, dict):
        step, total, cause = (entry.get(key) for key in ("step", "total_steps", "cause"))
        if (
            type(step) is int
            and -(2**63) <= step < 2**63
            and (total is None or (type(total) is int and 0 < total < 2**63))
            and isinstance(cause, str)
        ):
            return Stop(step, total, cause)
    raise RecordError(
        f"{where}, end line: stopped is {entry!r:.100}; "
        "it must be an object of step, total_steps and cause, with whole numbers of 64 bits"
    )
