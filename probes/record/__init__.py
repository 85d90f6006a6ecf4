"""The record of a run in memory and on disk. It holds facts, signals and provenance.

Other parts of the package should import from here, not from the modules below.
"""

from probes.record.builder import Builder
from probes.record.jsonl import load
from probes.record.record import (
    ADVERSARIAL,
    CRASHED,
    NON_FINITE,
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

# Assigned here because record.py must not depend on the file format.
Record.load = staticmethod(load)

__all__ = [
    "ADVERSARIAL",
    "CRASHED",
    "NON_FINITE",
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
