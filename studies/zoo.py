"""Diagnoses every fault of the zoo on choosing seeds, as a working list for detectors.

    python -m studies.zoo                     every fault at its full dose, on seed 0
    python -m studies.zoo --early             each run ends at the step by which its cause must be
                                              certain
    python -m studies.zoo --seeds 3 --doses   on seeds 0 to 2, at every dose
    python -m studies.zoo NAME ...            these faults only
    python -m studies.zoo --family 12         compare each run with 12 healthy runs of other seeds
    python -m studies.zoo --kept              only the runs whose records are kept already

Records are kept in `.calibration`. With `--output` the table is written to a file after every
fault, so that a part of it can be read while other faults are trained."""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np

from model import HEALTHY, build, fingerprint
from model.seeds import CHOOSING_SEEDS
from model.zoo import ZOO, Fault
from probes import Diagnosis, Experiment, diagnose
from probes.common.files import write_output
from probes.common.markdown import markdown_table
from probes.diagnosis.diagnose import family_of
from probes.diagnosis.family import Family
from probes.plugin.run_cache import RunCache
from studies.zoo_harm import LABELS, doses_of, labels
from testing.trained_runs import FOLDER, recorded_until

SHOWN_CAUSES = 3


@dataclass(frozen=True)
class Said:
    """The diagnoses of one fault at one dose, one per seed."""

    fault: Fault
    dose: float
    diagnoses: tuple[Diagnosis, ...]

    @property
    def answer(self) -> str:
        """How good the worst of the diagnoses is: "right", "second", "other cause", "undetermined"
        or "MISSED", which means that a faulty run was called healthy."""
        order = ("MISSED", "undetermined", "other cause", "second", "right")
        return min((self._answer(diagnosis) for diagnosis in self.diagnoses), key=order.index)

    def _answer(self, diagnosis: Diagnosis) -> str:
        if diagnosis.verdict == "healthy":
            return "MISSED"
        if diagnosis.cause is None:
            return "right" if self.fault.family else "undetermined"
        right = {self.fault.cause, *self.fault.also}
        ranks = [i for i, cause in enumerate(diagnosis.causes[:2]) if cause.name in right]
        return ("right", "second")[ranks[0]] if ranks else "other cause"

    def row(self, harm: str) -> tuple[str, ...]:
        verdicts = Counter(diagnosis.verdict for diagnosis in self.diagnoses)
        first = self.diagnoses[0]
        causes = [cause.name for cause in first.causes[:SHOWN_CAUSES]]
        since = [
            cause.certain_since
            for diagnosis in self.diagnoses
            for cause in diagnosis.causes[:1]
            if cause.certain_since is not None
        ]
        found = [finding.symptom for finding in first.findings]
        return (
            self.fault.name,
            f"{self.dose:g}",
            harm,
            self.answer,
            ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items()),
            ", ".join(causes),
            self.fault.cause or "(family)",
            str(max(since)) if since else "",
            str(self.fault.certain_by),
            "" if causes else ", ".join(dict.fromkeys(found)),
        )


HEAD = (
    "fault",
    "dose",
    "harm",
    "answer",
    "verdicts",
    "first causes",
    "expected",
    "certain since",
    "certain by",
    "symptoms without cause",
)


def experiment(fault: Fault, dose: float, seed: int) -> Experiment:
    """The experiment that the run cache trains: HEALTHY with a fault."""
    config = replace(HEALTHY, seed=seed)
    return Experiment(
        partial(fault.build, config, dose), fault.fingerprint(config, dose), fault.category
    )


def run_name(fault: Fault, dose: float, seed: int) -> str:
    return f"zoo-{fault.name}-{dose:g}-{seed}"


def healthy_family(size: int) -> Family:
    """Healthy runs with the last of the choosing seeds; the first ones are used for the faults."""
    cache = RunCache(FOLDER, session=uuid4().hex)
    configs = [replace(HEALTHY, seed=seed) for seed in CHOOSING_SEEDS[-size:]]
    return family_of(
        [
            cache.fetch(
                f"zoo-healthy-{config.seed}",
                Experiment(partial(build, config), fingerprint(config), "family"),
            ).record
            for config in configs
        ]
    )


def diagnosed_early(
    faults: Iterable[Fault], seeds: Sequence[int], all_doses: bool, family: Family | None
) -> Iterator[Said]:
    """Diagnose runs that end at the step by which their cause must be certain, the shortest runs
    first. No record is kept."""
    for fault in sorted(faults, key=lambda fault: fault.certain_by):
        for dose in doses_of(fault) if all_doses else (fault.full_dose,):
            found = []
            for seed in seeds:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    specimen = fault.build(replace(HEALTHY, seed=seed), dose)
                    record = recorded_until(specimen, fault.certain_by)
                    ended = fault.certain_by == HEALTHY.steps - 1
                    found.append(diagnose(record, ended, family or ()))
            yield Said(fault, dose, tuple(found))


def diagnosed(
    faults: Iterable[Fault],
    seeds: Sequence[int],
    all_doses: bool,
    only_kept: bool,
    family: Family | None,
) -> Iterator[Said]:
    """Diagnose the runs of each fault, after training those that are not kept."""
    cache = RunCache(FOLDER, session=uuid4().hex)
    for fault in faults:
        for dose in doses_of(fault) if all_doses else (fault.full_dose,):
            found = []
            for seed in seeds:
                name, run = run_name(fault, dose, seed), experiment(fault, dose, seed)
                if only_kept and not cache.has(name, run):
                    continue
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    record = cache.fetch(name, run).record
                    found.append(diagnose(record, family=family or ()))
            if found:
                yield Said(fault, dose, tuple(found))


def page(rows: Sequence[Said]) -> str:
    harms = labels()
    lines = [
        f"{datetime.now():%H:%M}, {len(rows)} rows. Answer is the worst over the seeds; "
        f"harm is from {LABELS.name}.",
        "",
        *markdown_table(
            HEAD,
            [said.row(harms.get((said.fault.name, said.dose), "unknown")) for said in rows],
        ),
        "",
        ", ".join(f"{answer} {n}" for answer, n in Counter(said.answer for said in rows).items()),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults (default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="number of choosing seeds")
    parser.add_argument("--doses", action="store_true", help="all doses, not only the full one")
    parser.add_argument("--early", action="store_true", help="end runs at certain_by")
    parser.add_argument("--kept", action="store_true", help="only runs that are kept already")
    parser.add_argument(
        "--family", type=int, default=0, metavar="N", help="compare with N healthy runs"
    )
    parser.add_argument("--output", type=Path, help="write the table to this file as well")
    given = parser.parse_args(arguments)
    rows: list[Said] = []
    faults = [ZOO[name] for name in given.names or ZOO]
    seeds = CHOOSING_SEEDS[: given.seeds]
    family = healthy_family(given.family) if given.family else None
    for said in (
        diagnosed_early(faults, seeds, given.doses, family)
        if given.early
        else diagnosed(faults, seeds, given.doses, given.kept, family)
    ):
        rows.append(said)
        if given.output:
            write_output(given.output, page(rows))
    print(page(rows))


if __name__ == "__main__":
    main()
