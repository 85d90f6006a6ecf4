"""A hash of everything that a run of this model depends on: its config and the source of the
model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from model.config import Config, leaves

NOT_HASHED = frozenset({"__init__.py", "breaks.py", "injections.py", "seeds.py", "zoo.py"})
"""Files that only define configs and faults. A config is hashed leaf by leaf instead, and a fault
has a hash of its own."""


def fingerprint(config: Config) -> str:
    """SHA-256 of all leaves of the config and all source files that train it, as 64 hexadecimal
    digits."""
    digest = hashlib.sha256(repr(leaves(config)).encode())
    folder = Path(__file__).parent
    for source in sorted(folder.rglob("*.py")):
        if source.name not in NOT_HASHED:
            digest.update(
                source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes()
            )
    return digest.hexdigest()
