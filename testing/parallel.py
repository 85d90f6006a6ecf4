"""Work on all cores, with a line on stderr that counts what is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_on_all_cores(
    function: Callable[[Item], Result], items: Sequence[Item], done: str
) -> list[Result]:
    """Call a function for every item in processes of their own; return the results in the order of
    the items.

    done  what is counted, such as "runs trained"
    """
    results = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(function, items):
            results.append(result)
            if sys.stderr.isatty() or len(results) == len(items):
                line = f"\r{len(results)} of {len(items)} {done}"
                print(line, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results
