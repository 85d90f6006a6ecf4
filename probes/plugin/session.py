"""The experiments of a test session in one process: each is trained and judged at most once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from probes.plugin import experiments
from probes.plugin.experiments import Experiment
from probes.report.judged_run import JudgedRun, judge

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.diagnosis.family import Family
    from probes.plugin.run_cache import OnStep, RunCache
    from probes.record import Record

ProgressContext = AbstractContextManager["OnStep | None"]
"""A context manager that shows the progress of a training on the terminal. Entering it returns the
function to call after every step, or None."""


FAMILY = "family"
"""The cache keeps the members of all families as `family-0`, `family-1`, ..."""


@dataclass(frozen=True)
class Run:
    """The run of an experiment, as the fixture `run` returns it.

    judged   the record with its diagnosis
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
        """The config that the record's provenance states; {} if it states none."""
        config: Mapping[str, Any] = self.record.provenance.get("config", {})
        return config


@dataclass(frozen=True)
class Failure:
    """A training that did not finish.

    state    "failed" or "interrupted"
    reason   type and message of the error; "" if training was interrupted
    partial  path of the record of the steps that were trained; None if there is no such record
    """

    name: str
    state: Literal["failed", "interrupted"]
    reason: str
    partial: str | None


class Session:
    """The experiments of a test session, and the runs that one of its processes has so far.

    offered         function that returns the experiments that the project offers
    open_run_cache  function that returns the cache of the runs
    runs            name of an experiment -> its run
    failures        name of an experiment -> its training that did not finish

    family_size     number of healthy runs of the same config with which a run is compared; 0 for no
                    comparison

    Each of the two functions is called at most once, when its result is first needed.
    """

    def __init__(
        self,
        offered: Callable[[], dict[str, Experiment]],
        open_run_cache: Callable[[], RunCache],
        family_size: int = 0,
    ) -> None:
        self._offered, self._open_run_cache = offered, open_run_cache
        self.family_size = family_size
        self._families: dict[tuple[str, ...], Family] = {}
        """Fingerprints of the members -> the family. Experiments may share a family."""
        self.runs: dict[str, Run] = {}
        self.failures: dict[str, Failure] = {}

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        return self._offered()

    @cached_property
    def run_cache(self) -> RunCache:
        return self._open_run_cache()

    def run(self, name: str, progress: Callable[[str], ProgressContext]) -> Run:
        """Return the run of an experiment. Every call in a process returns the same object.

        progress  takes the name of a run and returns the context manager that shows its training

        Raises UnknownExperimentError if no experiment has this name, TrainingError if the training
        of the run or of a member of its family fails, and FamilyError if its family is not valid.
        The traceback does not show the frames of this package.
        """
        __tracebackhide__ = True
        from probes.diagnosis.family import FamilyError
        from probes.plugin.run_cache import TrainingError

        try:
            experiment = experiments.find(self.experiments, name)
        except experiments.UnknownExperimentError as error:
            raise error.with_traceback(None) from None
        if name in self.runs:
            return self.runs[name]
        try:
            with progress(name) as on_step:
                cached = self.run_cache.fetch(name, experiment, on_step)
            family = self._family(experiment, progress)
            judged = judge(cached.record, name, str(cached.path), "experiment", family)
        except FamilyError as error:
            raise FamilyError(f"experiment {name!r}: {error}").with_traceback(None) from None
        except TrainingError as error:
            partial = str(error.partial) if error.partial else None
            self.failures[name] = Failure(name, "failed", error.reason, partial)
            raise error.with_traceback(None) from error.__cause__
        except KeyboardInterrupt:
            left = self.run_cache.partial(name, experiment)
            self.failures[name] = Failure(name, "interrupted", "", str(left) if left else None)
            raise
        self.runs[name] = Run(name, judged, cached.path, cached.seconds, cached.cached)
        return self.runs[name]

    def _family(
        self, experiment: Experiment, progress: Callable[[str], ProgressContext]
    ) -> Family | None:
        """The healthy runs with which an experiment is compared. Those that the cache does not hold
        are trained. None if no comparison is wanted or the experiment offers no family."""
        __tracebackhide__ = True
        from probes.diagnosis.diagnose import family_of
        from probes.diagnosis.family import FamilyError

        if not self.family_size:
            return None
        if experiment.family is None:
            if any(one.family for one in self.experiments.values()):
                return None
            raise FamilyError(
                f"--family {self.family_size}: no experiment of this project offers a family; set "
                "the field `family` of a probes.Experiment"
            )

        members = [experiment.family(number) for number in range(self.family_size)]
        fingerprints = tuple(member.fingerprint for member in members)
        if fingerprints not in self._families:
            records = []
            for number, member in enumerate(members):
                name = f"{FAMILY}-{number}"
                with progress(name) as on_step:
                    records.append(self.run_cache.fetch(name, member, on_step).record)
            self._families[fingerprints] = family_of(records)
        return self._families[fingerprints]

    def remedy(self, run: Run) -> list[str]:
        """One line for each value of the config that the project's remedy for the cause changes.

        The list is empty if no cause is named or the project knows no remedy for it. If the
        project's `apply_remedy` raises an error, the list holds one line that states the error, and
        the result of the test stays visible.
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
            return [
                f"remedy in this project: apply_remedy({cause!r}) raised "
                f"{type(error).__name__}: {error}"
            ]
        before = dict(_leaves(run.config))
        return [
            f"remedy in this project: {leaf} = {value!r} (now {before.get(leaf)!r})"
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
