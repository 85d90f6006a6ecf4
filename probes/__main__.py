"""`python -m probes`: see `probes.cli`."""

import os
import sys
from contextlib import suppress

from probes.cli import UNREADABLE, main


def run() -> int:
    """The command's exit code; never 1, which says "unhealthy", for a failure to say anything at
    all."""
    if sys.stdout is None:
        return UNREADABLE
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for one, has gone; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        with suppress(OSError):
            print(f"probes: cannot print: {error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREADABLE
    return code


if __name__ == "__main__":
    sys.exit(run())
