"""The forensic record of a run: what it holds, how it grows row by row, and how its file is read
back."""

from probes.record.builder import Builder
from probes.record.jsonl import load
from probes.record.record import (
    EXACT,
    NONFINITE,
    REINFORCEMENT,
    Column,
    Json,
    Record,
    RecordError,
    Steps,
    Stop,
    Table,
    UnknownSiteError,
)

Record.load = staticmethod(load)

__all__ = [
    "EXACT",
    "NONFINITE",
    "REINFORCEMENT",
    "Builder",
    "Column",
    "Json",
    "Record",
    "RecordError",
    "Steps",
    "Stop",
    "Table",
    "UnknownSiteError",
]
