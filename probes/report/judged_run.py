"""A run with its diagnosis. It is made once and passed to every output.

The terminal, the dashboard, the JSON document, the Markdown summary and the GitHub annotations all
show a `JudgedRun`. None of them reads a file or diagnoses a record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from probes.common.text import described

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.diagnosis.family import Family
    from probes.record import Record
    from probes.record.metrics import Direction

FAULT = "because of an error in probes, which you can report"
"""Said in the message of every exception that this package did not expect."""
Kind = Literal["experiment", "file"]
Outcome = Literal["error", "failed", "skipped", "passed"]
OUTCOMES_WORST_FIRST: tuple[Outcome, ...] = ("error", "failed", "skipped", "passed")
Tests = Mapping[str, Outcome]
"""Node id of each test that used a run -> outcome of that test."""


@dataclass(frozen=True)
class UnreadRun:
    """A run without a diagnosis: its log cannot be read, or its training left no record.

    path     path of the run's file, in the form that outputs show; None if there is no file
    error    why there is no diagnosis
    allowed  False if a test judges the run: without a diagnosis there is no cause that the test
             could allow. None if no test judges the run
    tests    node id of each test that used the run -> outcome of that test
    """

    name: str
    path: str | None
    error: str
    kind: Kind = "file"
    allowed: bool | None = None
    tests: Tests = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome | None:
        """The worst outcome of its tests; None when no test used the run."""
        return worst(self.tests.values())


@dataclass(frozen=True)
class JudgedRun:
    """A run with its record and its diagnosis.

    name     name of the run in the form that outputs show
    record   the record. If another process judged the run, the record has no rows. It then states
             only how the log was read and how the run ended.
    path     path of the run's file, in the form that outputs show; None if there is no file
    error    how training failed; None if it did not fail
    allowed  whether the run passes its test because its cause is allowed; None if no test checked
             the cause
    tests    node id of each test that used the run -> outcome of that test
    group    heading below which a page with many runs lists the run; "" for none
    """

    name: str
    record: Record
    diagnosis: Diagnosis
    path: str | None = None
    kind: Kind = "file"
    error: str | None = None
    allowed: bool | None = None
    tests: Tests = field(default_factory=dict)
    group: str = ""

    @property
    def outcome(self) -> Outcome | None:
        """The worst outcome of its tests; None when no test used the run."""
        return worst(self.tests.values())

    @property
    def failure(self) -> str:
        """Which parts of the diagnosis failed, in one sentence; "" if none failed."""
        failure = self.diagnosis.failure
        return f"{self.name} was not fully diagnosed, {FAULT}: {failure}" if failure else ""

    def not_shown(self, what: str, error: Exception) -> UnreadRun:
        """What an output shows instead of this run if it could not show the run.

        what   what could not be done, such as "drawn"
        """
        message = f"{self.name} could not be {what}, {FAULT}: {described(error)}"
        return UnreadRun(self.name, self.path, message, self.kind, self.allowed, self.tests)

    @property
    def reader(self) -> Any:
        """How the log was read: format, columns, corrected steps. None for a record of `watch`."""
        return self.record.provenance.get("reader")

    @property
    def advice(self) -> str:
        """What to set in the trainer so that its next log can be judged; "" if the log is long
        enough or the trainer is not known."""
        from probes.readers.log_more import how_to_log_more

        return how_to_log_more(self.reader) if self.diagnosis.is_too_short else ""

    @property
    def first_step(self) -> int | None:
        """The step of the first cause's first evidence. If no cause is named, the step of the first
        finding; None if there is no finding either."""
        causes, findings = self.diagnosis.causes, self.diagnosis.findings
        decisive = causes[0].evidence if causes else findings
        return decisive[0].step if decisive else None

    @property
    def first_line(self) -> int | None:
        """The line of the log that holds `first_step`; None if it is not known."""
        from probes.readers.line_marks import line_of

        step = self.first_step
        return None if step is None else line_of(self.record.provenance.get("lines"), step)

    @property
    def where(self) -> str:
        """The place of `first_step` in the log, such as "step 40 (line 41 of train.log)"; "" if it
        is not known."""
        line = self.first_line
        place = f"line {line} of {Path(self.path).name}" if self.path else f"line {line}"
        return "" if line is None else f"step {self.first_step} ({place})"


AnyRun = JudgedRun | UnreadRun


def judge(
    record: Record,
    name: str | None = None,
    path: str | None = None,
    kind: Kind = "file",
    family: Family | None = None,
) -> JudgedRun:
    """Diagnose a record. If no name is given, the run gets the name that its record states.

    family  healthy runs of the same config, with which the run is compared

    Raises FamilyError, a ValueError, if the run does not fit the family.
    """
    from probes.diagnosis.diagnose import diagnose

    diagnosis = diagnose(record, family=family or ())
    return JudgedRun(record.name if name is None else name, record, diagnosis, path, kind)


def judge_file(
    path: str | Path,
    name: str,
    mapping: Mapping[str, str],
    metrics: Mapping[str, Direction] | None = None,
    run: str | None = None,
    load: Callable[[], Record] | None = None,
    family: Family | None = None,
) -> AnyRun:
    """Read a log and diagnose it; outputs show `name` for both the run and its path.

    mapping  signal -> the column that holds it, for columns whose names the readers do not know
    metrics  column -> "up" or "down", for metrics whose names the readers do not know
    run      if given, the name of the run to read in a file with several runs; outputs show it in
             brackets behind `name`
    load     if given, the function that reads the run
    family   healthy runs of the same config, with which the run is compared

    A log that cannot be read becomes an UnreadRun whose error names the file and the reason. So
    does a run that does not fit the family, and a log at which this package fails, whatever the
    exception.
    """
    from probes.readers import read

    suffix = "" if run is None else f"[{run}]"
    try:
        record = load() if load else read(f"{path}{suffix}", mapping, metrics)
    except OSError as error:
        reason = error.strerror or error
        return UnreadRun(
            f"{name}{suffix}", name, f"{path} cannot be opened ({reason}); give a log or a record"
        )
    except ValueError as error:  # RecordError, or a path that is not valid
        reason = str(error) if str(path) in str(error) else f"{path}: {error}"
        advice = "`python -m probes explain logs` says what can be read"
        return UnreadRun(f"{name}{suffix}", name, f"{reason}; {advice}")
    except Exception as error:
        message = f"{path} could not be read, {FAULT}: {described(error)}"
        return UnreadRun(f"{name}{suffix}", name, message)
    from probes.diagnosis.family import FamilyError

    try:
        return judge(record, f"{name}{suffix}", name, family=family)
    except FamilyError as error:
        return UnreadRun(f"{name}{suffix}", name, f"{path}: {error}")
    except Exception as error:
        message = f"{path} could not be diagnosed, {FAULT}: {described(error)}"
        return UnreadRun(f"{name}{suffix}", name, message)


def judge_runs(
    path: str | Path,
    name: str,
    mapping: Mapping[str, str],
    metrics: Mapping[str, Direction],
    stream: BinaryIO | None = None,
    family: Family | None = None,
) -> Iterator[AnyRun]:
    """Read and diagnose every run in a log, one at a time.

    path    the log; it may end with the name of a run in brackets: `export.csv[clear-sun-3]`
    name    what outputs call the log, without the name of a run
    stream  if given, the log is read from this stream, and `path` only names it in error messages

    The other arguments are those of `judge_file`. Outputs show the name of each run of a file with
    several runs in brackets behind `name`.
    """
    from probes.readers import runs_to_read, seekable
    from probes.readers.runs import split_run

    path, run = split_run(path)
    name = name.removesuffix(f"[{run}]")
    try:
        with seekable(path, stream) as file:
            runs: list[tuple[str, Callable[[], Record] | None]] = [(run or "", None)]
            if not run:
                # If the runs cannot be told apart, reading the file as a whole reports why.
                with suppress(Exception):
                    runs = [*runs_to_read(file, mapping, metrics)] or runs
            for run_name, load in runs:
                judged = judge_file(file, name, mapping, metrics, run_name or None, load, family)
                if isinstance(judged, UnreadRun) and file != path:
                    judged = replace(judged, error=judged.error.replace(str(file), str(path)))
                yield judged
    except (OSError, ValueError):  # the path does not exist or is not valid
        yield judge_file(path, name, mapping, metrics)


def worst(outcomes: Iterable[Outcome]) -> Outcome | None:
    """The worst of the given test outcomes; None if there are none."""
    return min(outcomes, key=OUTCOMES_WORST_FIRST.index, default=None)


def to_json(run: AnyRun) -> str:
    """Return a run as JSON text, without the facts and the rows of its record.

    The diagnosis that `from_json` returns is equal to this one. NaN and infinities are written as
    Python's json module writes them.
    """
    content: dict[str, Any] = {"name": run.name, "path": run.path, "kind": run.kind}
    content |= {"error": run.error, "allowed": run.allowed, "tests": dict(run.tests)}
    if isinstance(run, JudgedRun):
        stopped = asdict(run.record.stopped) if run.record.stopped else None
        content |= {
            "diagnosis": asdict(run.diagnosis),
            "complete": run.record.complete,
            "stopped": stopped,
            "reader": run.reader,
            "lines": run.record.provenance.get("lines"),
        }
    return json.dumps(content, default=lambda scalar: scalar.item())  # for NumPy scalars


def from_json(text: str) -> AnyRun:
    """Rebuild the run from the text of `to_json`. Its record, if any, has no facts and no rows."""
    content: dict[str, Any] = json.loads(text)
    if "diagnosis" not in content:
        return UnreadRun(**content)
    import numpy as np

    from probes.record import Record, Stop

    diagnosis, reader = _diagnosis(content.pop("diagnosis")), content.pop("reader")
    complete, stopped = content.pop("complete"), content.pop("stopped")
    provenance = {"reader": reader, "lines": content.pop("lines")}
    provenance = {name: value for name, value in provenance.items() if value is not None}
    record = Record(
        {},
        np.array([], dtype=np.int64),
        {},
        provenance,
        complete,
        Stop(**stopped) if stopped else None,
    )
    return JudgedRun(**content, record=record, diagnosis=diagnosis)


def _diagnosis(content: dict[str, Any]) -> Diagnosis:
    """Rebuild a diagnosis from the nested dictionaries and lists of its JSON text."""
    from probes.diagnosis.base import Finding
    from probes.diagnosis.diagnose import Diagnosis, Suspect
    from probes.diagnosis.family import OddSignal

    def findings(listed: Iterable[dict[str, Any]]) -> tuple[Finding, ...]:
        return tuple(Finding(**finding) for finding in listed)

    odd = tuple(OddSignal(**one) for one in content["odd"])
    causes = tuple(
        Suspect(
            **{**cause, "evidence": findings(cause["evidence"]), "or_else": tuple(cause["or_else"])}
        )
        for cause in content["causes"]
    )
    lists = {name: tuple(content[name]) for name in ("judged", "remarks")}
    return Diagnosis(
        **{
            **content,
            **lists,
            "causes": causes,
            "findings": findings(content["findings"]),
            "odd": odd,
        }
    )
