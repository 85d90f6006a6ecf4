"""Reads a record back from the bytes of its file, which may end anywhere (`docs/record.md` specifies the lines)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from probes.record import NONFINITE, Builder, Record, RecordError, Stop
from probes.record_columns import by_column, layout

SCHEMA = 1
MAGIC = b'{"probes_record":'
"""How every record begins, so that a file cut within its first line is still recognised."""

Json = Any


def numbers_for_strings(value: Json) -> Json:
    """JSON's stand-ins for the values it lacks, as those values: the inverse of what `probes.recorder.encode` does."""
    if isinstance(value, dict):
        return {key: numbers_for_strings(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers_for_strings(inner) for inner in value]
    return float(value) if isinstance(value, str) and value in NONFINITE else value


def parse(data: bytes, where: str) -> Record:
    """The lines of a record, the last of which may be cut."""
    lines = data.split(b"\n")
    if not _is_json(lines[-1]):
        tail = lines.pop()
        if not lines:
            if tail.startswith(MAGIC) or MAGIC.startswith(tail):
                return Builder({}, {}).record(complete=False)
            raise _not_a_record(where)
    header = _header(lines[0], where)
    if (plain := by_column(lines[1:], header["facts"], header["provenance"])) is not None:
        return plain
    builder = Builder(header["facts"], header["provenance"])
    layouts: dict[str, list[str]] = {}
    end = None
    for number, line in enumerate(lines[1:], start=2):
        try:
            if end is not None:
                raise RecordError("there is a line after the end")
            end = _read_line(json.loads(line), builder, layouts)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(f"{where}, line {number} is damaged: {error}") from error
    end = end or {}
    return builder.record(bool(end.get("complete")), _stop(end.get("stopped"), where))


def _header(line: bytes, where: str) -> dict[str, Json]:
    try:
        header = json.loads(line)
        version = header["probes_record"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_a_record(where) from error
    if type(version) is not int or version < 1:
        raise RecordError(f"{where}, line 1: schema {version!r:.60}; it must be a whole number from 1 to {SCHEMA}")
    if version > SCHEMA:
        raise RecordError(f"{where} is of record schema {version}; this version reads up to {SCHEMA}: upgrade probes")
    for part in ("facts", "provenance"):
        if not isinstance(header.setdefault(part, {}), dict):
            raise RecordError(f"{where}, line 1: {part} is {header[part]!r:.60}; it must be an object")
    return {**header, "facts": numbers_for_strings(header["facts"])}


def _not_a_record(where: str) -> RecordError:
    return RecordError(f"{where} is not a record: it must begin with {MAGIC.decode()} and a schema version")


def _read_line(line: Json, builder: Builder, layouts: dict[str, list[str]]) -> dict[str, Json] | None:
    """Take in one line: a row, the sites that lists of values follow from here on, or the end (returned)."""
    if not isinstance(line, dict):
        raise RecordError(f"it is {line!r:.60}; it must be an object")
    if "step" in line:
        step = line.pop("step")
        builder.append(step, {name: _by_site(name, reading, layouts) for name, reading in line.items()})
        return None
    if "sites" in line:
        layouts.update({name: layout(name, sites) for name, sites in dict(line["sites"]).items()})
        return None
    if "end" in line:
        return dict(line["end"])
    raise RecordError(f"it holds neither step, sites nor end, but {sorted(line)!r:.200}")


def _by_site(name: str, reading: Json, layouts: Mapping[str, list[str]]) -> Json:
    if not isinstance(reading, list) or name not in layouts:
        return reading
    if len(reading) != len(layouts[name]):
        raise RecordError(f"{name} has {len(reading)} values; its sites are {len(layouts[name])}")
    return dict(zip(layouts[name], reading, strict=True))


def _stop(entry: Json, where: str) -> Stop | None:
    """Why the run was ended early, as its last line says it; None when it says nothing of the kind."""
    if entry is None:
        return None
    if isinstance(entry, dict):
        step, total, cause = (entry.get(key) for key in ("step", "total_steps", "cause"))
        if type(step) is int and (total is None or (type(total) is int and total > 0)) and isinstance(cause, str):
            return Stop(step, total, cause)
    raise RecordError(f"{where}: its end says stopped {entry!r:.100}; it must be an object of step, total_steps, cause")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
