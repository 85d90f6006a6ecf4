"""What the process that reports hears of every test, its own or a worker's: runs, failures, logs,
notes, outcomes.

All of it comes as user properties and attributes of test reports, in builtins: nothing else is sure
to arrive."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from probes.plugin.session import ANNOUNCEMENT, FAILURE, Session

NOTE = "probes_note"
"""The user property of a test report that holds a sentence its test left."""
LOG = "probes_log"
"""The attribute of a test report that holds what became of a log: `Judgement.announcement`."""
WORST_FIRST = ("error", "failed", "skipped", "passed")


@dataclass
class Hearing:
    """What was heard so far.

    logs   node id -> what became of the log
    notes  sentences that tests left, in the order in which they came, each once
    tests  run -> the tests that used it -> what became of each
    """

    session: Session
    logs: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    tests: dict[str, dict[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether a run was used, failed or judged."""
        return bool(self.tests or self.session.failures or self.logs)

    def hear(
        self, nodeid: str, outcome: str, properties: Iterable[tuple[str, Any]], log: str | None
    ) -> None:
        """Take note of one report. outcome: one of WORST_FIRST; log: of a log, its announcement."""
        if log:
            self.logs[nodeid] = json.loads(log)
            self.session.deselected = max(self.session.deselected, self.logs[nodeid]["deselected"])
        for name, value in properties:
            if name == NOTE:
                self.notes[str(value)] = None
            elif name == ANNOUNCEMENT:
                self._used(self.session.hear(str(value)), nodeid, outcome)
            elif name == FAILURE:
                self._used(self.session.hear_failure(str(value)), nodeid, outcome)

    def _used(self, run: str, nodeid: str, outcome: str) -> None:
        tests = self.tests.setdefault(run, {})
        tests[nodeid] = worst([outcome, tests.get(nodeid, outcome)])


def worst(outcomes: Iterable[str]) -> str:
    """The gravest of some outcomes. Raises ValueError for none."""
    return min(outcomes, key=WORST_FIRST.index)


class RollCall:
    """Tests expected and tests arrived, by node id.

    A place is where a test must be heard of: the same for all workers when each test goes to one of
    them, one per kind of worker when every worker runs every test. All workers of a place expect
    the same tests."""

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
        missing = [
            expected - self._arrived.get(place, Counter())
            for place, expected in self._expected.items()
        ]
        return [nodeid for counter in missing for nodeid in counter.elements()]
