"""A name for everything that a run of this model depends on: its config and the source it is built
from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from model.config import Config, leaves

CHOOSES_CONFIGS = frozenset({"__init__.py", "breaks.py", "seeds.py"})
"""Left out: these say which configs there are, and a config is hashed leaf by leaf."""


def fingerprint(config: Config) -> str:
    """sha256 over every leaf of the config and every source file that trains it, as 64 hexadecimal
    digits."""
    digest = hashlib.sha256(repr(leaves(config)).encode())
    folder = Path(__file__).parent
    for source in sorted(folder.rglob("*.py")):
        if source.name not in CHOOSES_CONFIGS:
            digest.update(
                source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes()
            )
    return digest.hexdigest()
