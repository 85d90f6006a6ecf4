"""A file that is one JSON document. It has no rows until it is read to its end, so it is loaded as
a whole, and its size is limited."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.record import RecordError

MIB = 2**20
MAX_BYTES = 256 * MIB
"""The text and the objects made of it take about four times the size of the file in memory."""
_KEY = re.compile(rb'"([^"\\]{1,100})"\s*:')


def load(path: Path) -> Any:
    """The value of the document.

    Raises RecordError when the file is larger than MAX_BYTES, cut off, no UTF-8 or no JSON."""
    if (size := path.stat().st_size) > MAX_BYTES:
        raise RecordError(
            f"{path} has {size / MIB:.4g} MiB; a log that is one JSON document is read up to "
            f"{MAX_BYTES / MIB:g} MiB: write it as JSON lines or CSV, which have no limit"
        )
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        reason = f"it is no UTF-8 text ({error.reason})"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise RecordError(f"{path} is cut off or damaged: {reason}; give the whole file")


def keys_in(head: bytes) -> Iterator[str]:
    """The keys of objects in the first bytes of a document."""
    return (key[1].decode(errors="replace") for key in _KEY.finditer(head))
