"""Loads a file that is one JSON document.

Such a file can only be decoded as a whole, so its size is limited.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.readers.line_batches import utf8_chunks
from probes.record import RecordError

MIB = 2**20
MAX_BYTES = 256 * MIB
"""Maximum size of a file. Its text and the decoded objects take about four times that in memory."""
_JSON_KEY = re.compile(rb'"([^"\\]{1,100})"\s*:')


def load(path: Path) -> Any:
    """The decoded JSON document.

    Raises RecordError if the file is larger than MAX_BYTES, cut off, or not JSON in UTF-8 or
    in an encoding that its byte order mark names.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise RecordError(
            f"{path} has {size / MIB:.4g} MiB; a log that is one JSON document is read up to "
            f"{MAX_BYTES / MIB:g} MiB: write it as JSON lines or CSV, which may be of any size"
        )
    try:
        return json.loads(b"".join(utf8_chunks(path)).decode())
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 text ({error.reason})"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise RecordError(f"{path} is cut off or damaged: {reason}; give the complete file")


def keys_in(head: bytes) -> Iterator[str]:
    """The keys of all objects in the first bytes of a JSON document."""
    return (key[1].decode(errors="replace") for key in _JSON_KEY.finditer(head))
