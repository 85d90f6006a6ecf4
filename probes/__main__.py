"""Runs `python -m probes`; the commands are in `probes.cli`."""

import gc
import os
import sys
from contextlib import suppress

from probes.cli import UNREADABLE, main

SIGPIPE_EXIT_CODE = 128 + 13
"""The exit code that a shell reports if the signal SIGPIPE (13) ended the program."""

BLAS_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

NEW_OBJECTS_PER_COLLECTION = 100_000
"""The garbage collector starts after this many new objects. Loading NumPy and this package creates
fewer, so the collector does not start while they load. `watch` and long logs create more."""


def run() -> int:
    """Run the command and return its exit code.

    If the output cannot be printed, the code is 2. If the program that reads the output through a
    pipe has ended, as `head` does, the code is SIGPIPE_EXIT_CODE. Neither failure returns 1,
    because 1 means "unhealthy".
    """
    if sys.stdout is None:
        return UNREADABLE
    # One BLAS thread is enough, because a diagnosis multiplies no large matrices. Starting one
    # thread per core takes a third of the time of loading NumPy. NumPy reads these variables when
    # main() loads it.
    for variable in BLAS_THREAD_VARIABLES:
        os.environ.setdefault(variable, "1")
    gc.set_threshold(NEW_OBJECTS_PER_COLLECTION)
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return SIGPIPE_EXIT_CODE
    except OSError as error:
        with suppress(OSError):
            print(f"probes: cannot print: {error}", file=sys.stderr)
        _discard_output()
        return UNREADABLE
    finally:
        # At exit, Python collects garbage three times. A frozen object is skipped, and the process
        # ends anyway.
        gc.freeze()
    return code


def _discard_output() -> None:
    """Redirect stdout to the null device, so that Python's flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(run())
