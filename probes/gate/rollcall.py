"""Which tests were handed to workers, and which of them were heard of again.

A distributed session can lose a test's report on its way and still call itself passed. Whoever expects an answer from
every test notices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable


class RollCall:
    """Tests expected and tests arrived, by node id.

    A place is where a test must be heard of: the same for all workers when each test goes to one of them, one per kind
    of worker when every worker runs every test. All workers of a place expect the same tests.
    """

    def __init__(self) -> None:
        self._expected: dict[Hashable, Counter[str]] = {}
        self._arrived: dict[Hashable, Counter[str]] = {}
        self.dead: list[str] = []
        """Workers that went down in any other way than by finishing, with the reason."""

    def expect(self, place: Hashable, nodeids: Iterable[str]) -> None:
        self._expected[place] = Counter(nodeids)

    def arrive(self, place: Hashable, nodeid: str) -> None:
        self._arrived.setdefault(place, Counter())[nodeid] += 1

    def lost(self) -> list[str]:
        """Node ids of tests that nothing was heard of, in the order in which they were expected."""
        missing = [expected - self._arrived.get(place, Counter()) for place, expected in self._expected.items()]
        return [nodeid for counter in missing for nodeid in counter.elements()]
