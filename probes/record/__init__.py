"""The record of a run: its facts, signals and provenance, in memory and on disk.

Other parts of the package import these names from here.
"""

from probes.record.builder import Builder
from probes.record.jsonl import load
from probes.record.record import (
    REINFORCEMENT,
    Column,
    Json,
    Record,
    RecordError,
    Steps,
    Stop,
    Table,
    UnknownSiteError,
    read_only,
)

# Here rather than in record.py, which does not know the file format.
Record.load = staticmethod(load)

__all__ = [
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
    "read_only",
]
