"""The experiments of a test session in one process: each is trained and judged at most once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.plugin import experiments
from probes.plugin.experiments import Experiment
from probes.report.judged_run import JudgedRun, judge

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.plugin.run_cache import OnStep, Store
    from probes.record import Record

Progress = AbstractContextManager["OnStep | None"]
"""Shows on the terminal how far a training is, while it is entered."""


@dataclass(frozen=True)
class Run:
    """What a test gets for an experiment.

    path     the file of the record
    seconds  the time that training took, in this session or an earlier one
    cached   whether an earlier session trained it
    """

    name: str
    judged: JudgedRun = field(repr=False)
    path: Path
    seconds: float
    cached: bool

    @property
    def record(self) -> Record:
        return self.judged.record

    @property
    def diagnosis(self) -> Diagnosis:
        return self.judged.diagnosis

    @property
    def config(self) -> Mapping[str, Any]:
        """The config that the record's provenance states; {} when it states none."""
        config: Mapping[str, Any] = self.record.provenance.get("config", {})
        return config


@dataclass(frozen=True)
class Failure:
    """A training that did not finish.

    how      failed or interrupted
    reason   type and message of the error; "" for an interrupt
    partial  the record of the steps before the error; None when there is none
    """

    name: str
    how: str
    reason: str
    partial: str | None


class Session:
    """The experiments of one process of a test session, and the runs it has made so far.

    offered     returns the experiments that the project offers
    open_store  returns the store that keeps records
    Both are called at most once, when they are first needed.
    """

    def __init__(
        self, offered: Callable[[], dict[str, Experiment]], open_store: Callable[[], Store]
    ) -> None:
        self._offered, self._open_store = offered, open_store
        self.runs: dict[str, Run] = {}
        self.failures: dict[str, Failure] = {}

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        return self._offered()

    @cached_property
    def store(self) -> Store:
        return self._open_store()

    def run(self, name: str, progress: Progress) -> Run:
        """The run of an experiment: always the same object in one process.

        Raises UnknownExperimentError and TrainingError, without the frames of this package in the
        traceback.
        """
        __tracebackhide__ = True
        from probes.plugin.run_cache import TrainingError

        try:
            experiment = experiments.find(self.experiments, name)
        except experiments.UnknownExperimentError as error:
            raise error.with_traceback(None) from None
        if name in self.runs:
            return self.runs[name]
        try:
            with progress as on_step:
                cached = self.store.fetch(name, experiment, on_step)
        except TrainingError as error:
            partial = str(error.partial) if error.partial else None
            self.failures[name] = Failure(name, "failed", error.reason, partial)
            raise error.with_traceback(None) from error.__cause__
        except KeyboardInterrupt:
            left = self.store.partial(name, experiment)
            self.failures[name] = Failure(name, "interrupted", "", str(left) if left else None)
            raise
        judged = judge(cached.record, name, str(cached.path), "experiment")
        self.runs[name] = Run(name, judged, cached.path, cached.seconds, cached.cached)
        return self.runs[name]

    def remedy(self, run: Run) -> list[str]:
        """The leaves of the config that the project's remedy for the run's cause changes, one line
        each.

        Empty when no cause is named or the project knows no remedy for it. An error in the
        project's `apply_remedy` becomes a line, so that it does not hide the result of the test.
        """
        experiment, cause = self.experiments.get(run.name), run.diagnosis.cause
        if experiment is None or experiment.apply_remedy is None or cause is None:
            return []
        try:
            specimen = experiment.apply_remedy(cause)
            provenance: Mapping[str, Any] = getattr(specimen, "provenance", dict)()
            after = dict(_leaves(provenance.get("config", {})))
        except LookupError:
            return []
        except Exception as error:
            return [f"remedy here: apply_remedy({cause!r}) raised {type(error).__name__}: {error}"]
        before = dict(_leaves(run.config))
        return [
            f"remedy here: {leaf} = {value!r} (it is {before.get(leaf)!r})"
            for leaf, value in after.items()
            if before.get(leaf) != value
        ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested config, by their dotted names."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
