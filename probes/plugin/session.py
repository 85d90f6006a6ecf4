"""One test session's experiments: those on offer, and those that tests asked for, in this process
or in another.

A process tells another of a run by a line of JSON, which is all that a test report can be trusted
to carry; the record itself stays in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.plugin import experiments
from probes.plugin.experiments import Experiment

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.plugin.run_cache import Kept, OnStep, Store, TrainingError
    from probes.record import Record


Progressing = AbstractContextManager["OnStep | None"]
"""What is entered for a training: to be told of each step, or None."""
ANNOUNCEMENT, FAILURE = "probes_run", "probes_failure"
"""The user properties of a test report that announce a run its test used, and a training that
failed it."""


@dataclass(frozen=True)
class Run:
    """What a test gets of an experiment.

    config   the record's provenance, section "config"; {} when the specimen states none
    path     where the record is kept
    seconds  of training, whenever that was
    cached   whether an earlier session trained it
    """

    name: str
    config: Mapping[str, Any] = field(repr=False)
    record: Record = field(repr=False)
    diagnosis: Diagnosis = field(repr=False)
    path: Path
    seconds: float
    cached: bool


@dataclass(frozen=True)
class Failure:
    """A training that did not come to its end: builtins only, since it travels between processes.

    how      failed or interrupted
    reason   the error; empty when that says no more than `how`
    partial  where what was recorded until then is kept; None when nothing was
    """

    name: str
    how: str
    reason: str
    partial: str | None


@dataclass
class Session:
    """What one process of a test session knows.

    offered     what the project offers, asked at the first need
    open_store  makes the store, at the first need
    deselected  tests that were collected and left out
    """

    offered: Callable[[], dict[str, Experiment]]
    open_store: Callable[[], Store]
    deselected: int = 0
    arrived: dict[str, Arrival] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    _runs: dict[str, Run] = field(default_factory=dict)

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        return self.offered()

    @cached_property
    def store(self) -> Store:
        return self.open_store()

    def run(self, name: str, on_step: OnStep | None = None) -> Run:
        """The experiment's run, the same object whoever asks in this process; trained at most once
        a session.

        Raises UnknownExperimentError, TrainingError.
        """
        experiment = experiments.find(self.experiments, name)
        if name not in self._runs:
            kept = self.store.fetch(name, experiment, on_step)
            self._runs[name] = _run(name, kept)
        return self._runs[name]

    def use(self, name: str, progress: Progressing, properties: list[tuple[str, object]]) -> Run:
        """A test's run; what other processes need to know of it becomes a property of the test's
        report.

        Raises UnknownExperimentError, TrainingError, without a trace of how it came about in here.
        """
        __tracebackhide__ = True
        from probes.plugin.run_cache import TrainingError

        try:
            run = self.train(name, progress)
        except TrainingError as error:
            properties.append((FAILURE, self.failed(name, error)))
            raise error.with_traceback(None) from error.__cause__
        except experiments.UnknownExperimentError as error:
            raise error.with_traceback(None) from None
        properties.append((ANNOUNCEMENT, self.announce(run)))
        return run

    def train(self, name: str, progress: Progressing) -> Run:
        """`run`, with a line that says how far it is; whoever interrupts it is told what is left of
        it."""
        try:
            with progress as on_step:
                return self.run(name, on_step)
        except KeyboardInterrupt:
            self.interrupted(name)
            raise

    def announce(self, run: Run) -> str:
        """What other processes need to know of a run: one line of JSON."""
        arrival = Arrival(run.name, str(run.path), run.seconds, run.cached, self.deselected)
        return json.dumps(arrival.__dict__)

    def hear(self, announcement: str) -> str:
        """Take note of a run that a test used, in this process or in another; returns its name."""
        arrival = Arrival(**json.loads(announcement))
        self.deselected = max(self.deselected, arrival.deselected)
        self.arrived.setdefault(arrival.name, arrival)
        return arrival.name

    def failed(self, name: str, error: TrainingError) -> str:
        """What other processes need to know of a training that failed: one line of JSON."""
        partial = str(error.partial) if error.partial else None
        return json.dumps(Failure(name, "failed", error.reason, partial).__dict__)

    def hear_failure(self, announcement: str) -> str:
        """Take note of an experiment that a test asked for in vain; returns its name."""
        failure = Failure(**json.loads(announcement))
        self.failures.setdefault(failure.name, failure)
        return failure.name

    def interrupted(self, name: str) -> None:
        """Take note of a training that was stopped under way."""
        partial = self.store.partial(name, self.experiments[name])
        self.failures[name] = Failure(name, "interrupted", "", str(partial) if partial else None)

    def recall(self, arrival: Arrival) -> Run:
        """The run that was announced. Raises RecordError or OSError when its record cannot be read
        here."""
        if arrival.name not in self._runs:
            from probes.plugin.run_cache import Kept
            from probes.record import Record

            path = Path(arrival.path)
            kept = Kept(Record.load(path), path, arrival.seconds, arrival.cached)
            self._runs[arrival.name] = _run(arrival.name, kept)
        return self._runs[arrival.name]

    def remedy(self, run: Run) -> list[str]:
        """What the project's own remedy for the run's cause changes, a line for each leaf of the
        config.

        Nothing where no cause is named or the project knows no remedy for it (its `apply_remedy`
        raises LookupError)."""
        experiment, cause = self.experiments.get(run.name), run.diagnosis.cause
        if experiment is None or experiment.apply_remedy is None or cause is None:
            return []
        try:
            specimen = experiment.apply_remedy(cause)
            provenance: Mapping[str, Any] = getattr(specimen, "provenance", dict)()
            healed: Mapping[str, Any] = provenance.get("config", {})
        except LookupError:
            return []
        except Exception as error:  # the project's; it must not hide the test's own result
            return [f"remedy here: apply_remedy({cause!r}) raised {type(error).__name__}: {error}"]
        before, after = dict(_leaves(run.config)), dict(_leaves(healed))
        changed = {leaf: value for leaf, value in after.items() if before.get(leaf) != value}
        return [
            f"remedy here: {leaf} = {value!r} (it is {before.get(leaf)!r})"
            for leaf, value in changed.items()
        ]

    def close(self) -> None:
        """Give up what the store holds on to, if it was ever opened."""
        if "store" in vars(self):
            self.store.close()

    def missing(self) -> list[str]:
        """Experiments on offer that no test asked for."""
        return [
            name
            for name in self.experiments
            if name not in self.arrived and name not in self.failures
        ]


@dataclass(frozen=True)
class Arrival:
    """A run as announced: builtins only, since it travels between processes."""

    name: str
    path: str
    seconds: float
    cached: bool
    deselected: int


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _run(name: str, kept: Kept) -> Run:
    from probes.diagnosis.diagnose import diagnose

    config = kept.record.provenance.get("config", {})
    return Run(
        name, config, kept.record, diagnose(kept.record), kept.path, kept.seconds, kept.cached
    )
