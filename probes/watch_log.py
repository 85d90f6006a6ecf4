"""Follows the log of a run while it grows, and says when its verdict or its cause changes."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from probes.common.text import described, printable
from probes.diagnosis.diagnose import diagnose
from probes.readers import read_all
from probes.record import Record, RecordError
from probes.record.metrics import Direction
from probes.record.signals import UnknownSignalError
from probes.report.judged_run import FAULT, AnyRun, JudgedRun, UnreadRun

SMALL_LOG_BYTES = 8 * 2**20
"""A log up to this size is read again whenever it has changed."""
MIN_GROWTH = 0.05
"""A larger log is read again when it has grown by this fraction since it was last read."""


@dataclass
class LogWatcher:
    """Judges a log again and again while it grows.

    path      the log
    mapping   signal -> the column that holds it
    metrics   column -> "up" or "down", for columns that are metrics
    commands  pairs of a verdict and a command that runs when a run gets this verdict
    runs      the runs of the log as they were judged last; one UnreadRun if it cannot be read
    ended     whether every run has ended, as far as the log tells

    A run that has not ended is judged by `diagnose(record, ended=False)`, without the detectors
    that judge the end of a run.
    """

    path: Path
    mapping: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Direction] = field(default_factory=dict)
    commands: tuple[tuple[str, str], ...] = ()
    runs: list[AnyRun] = field(default_factory=list)
    ended: bool = False
    _seen: tuple[int, int, int] | None = None
    _said: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_certain(self) -> bool:
        """Whether the verdict will not change: a cause is named, or every run has ended.

        A finding of a run that goes on is never withdrawn.
        """
        return self.ended or any(
            isinstance(run, JudgedRun) and run.diagnosis.verdict == "unhealthy" for run in self.runs
        )

    def look(self) -> Iterator[str]:
        """Read the log again if it has changed enough. Yield a line for each run whose verdict or
        cause is new, and a line for each command that could not be started."""
        if not self._has_changed():
            return
        self.runs = self._judged()
        for run in self.runs:
            state: tuple[str, ...]
            if isinstance(run, UnreadRun):
                state, line = (run.error,), run.error
            else:
                diagnosis = run.diagnosis
                state = (diagnosis.verdict, diagnosis.cause or "", run.failure)
                steps = run.record.steps
                step = f"step {steps[-1]}: " if len(steps) else ""
                line = f"{run.name}: {step}{diagnosis.verdict}: {diagnosis.headline}"
            before, self._said[run.name] = self._said.get(run.name), state
            if state != before:
                yield line
                if isinstance(run, JudgedRun) and run.failure:
                    yield run.failure
            if isinstance(run, JudgedRun) and (before is None or state[0] != before[0]):
                yield from self._run_commands(run)

    def _has_changed(self) -> bool:
        """Whether the log is new, was replaced or cut, or has grown enough to be read again."""
        try:
            status = os.stat(self.path)
        except OSError:
            seen = (0, 0, 0)
        else:
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        before, size = self._seen, seen[1]
        is_same_log = before is not None and before[0] == seen[0] and before[1] <= size
        if before is not None and is_same_log:
            is_small = size <= SMALL_LOG_BYTES
            has_grown = size - before[1] >= MIN_GROWTH * before[1]
            if not (seen != before if is_small else has_grown):
                return False
        self._seen = seen
        return True

    def _judged(self) -> list[AnyRun]:
        name = str(self.path)
        try:
            records = read_all(self.path, self.mapping, self.metrics)
        except OSError as error:
            self.ended = False
            return [UnreadRun(name, name, f"waiting for {name}: {error.strerror or error}")]
        except (RecordError, UnknownSignalError) as error:
            self.ended = False
            return [UnreadRun(name, name, f"{error}")]
        except Exception as error:
            self.ended = False
            reason = f"{name} could not be read, {FAULT}: {described(error)}"
            return [UnreadRun(name, name, reason)]
        self.ended = all(has_ended(record) for _, record in records)
        return [
            JudgedRun(
                f"{name}[{run}]" if run else name,
                record,
                diagnose(record, ended=has_ended(record)),
                name,
            )
            for run, record in records
        ]

    def _run_commands(self, run: JudgedRun) -> Iterator[str]:
        """Run the commands for the verdict of a run, one after the other.

        The verdict is in their environment: PROBES_RUN, PROBES_PATH, PROBES_VERDICT, PROBES_CAUSE,
        PROBES_STEP (of the decisive finding) and PROBES_HEADLINE.
        """
        diagnosis = run.diagnosis
        step = "" if run.first_step is None else str(run.first_step)
        environment = os.environ | {
            "PROBES_RUN": printable(run.name),
            "PROBES_PATH": run.path or "",
            "PROBES_VERDICT": diagnosis.verdict,
            "PROBES_CAUSE": diagnosis.cause or "",
            "PROBES_STEP": step,
            "PROBES_HEADLINE": printable(diagnosis.headline),
        }
        for verdict, command in self.commands:
            if verdict == diagnosis.verdict:
                try:
                    subprocess.run(shlex.split(command), env=environment, check=False)
                except (OSError, ValueError) as error:
                    yield f"cannot run {command!r}: {error}"


def has_ended(record: Record) -> bool:
    """Whether a run has reached the planned number of steps that its log states, or its log says
    that it died."""
    return "ended" in record.facts or (record.complete and "total_steps" in record.facts)


def follow(
    watcher: LogWatcher,
    say: Callable[[str], None],
    wait: Callable[[], None],
    until_certain: bool = False,
) -> None:
    """Look at a log until the user interrupts, or until the verdict is certain.

    say            called with each line
    wait           called between two looks
    until_certain  whether to return once the verdict is certain
    """
    try:
        while True:
            for line in watcher.look():
                say(line)
            if until_certain and watcher.is_certain:
                return
            wait()
    except KeyboardInterrupt:
        return
