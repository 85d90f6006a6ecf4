"""Judge the trained runs of a calibration.

    python -m calibration.judge                    judge a fresh range of seeds, once per release:
                                                   write reports/calibration.json,
                                                   reports/calibration.html and README's figures
    python -m calibration.judge --again            judge the kept runs of the last published range
                                                   by the present detectors; print the result and
                                                   what changed, publish nothing
    python -m calibration.judge --phase choosing   print the tables of the choosing seeds, as far as
                                                   they are trained

A range of seeds that has judged other detectors is not published again, since the present ones may
have been changed with its results in mind."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from calibration import history, publish
from calibration.conditions import SAMPLED, Planned, plan, seed_range
from calibration.digest import digest, judging_files
from calibration.history import Entry
from calibration.outcome import Outcome, judge
from calibration.sampler import Phase, sample
from calibration.tables import tables
from model.config import leaves
from model.seeds import JUDGING_FROM
from probes.plugin.run_cache import RunCache
from probes.record import Record
from testing.parallel import map_on_all_cores
from testing.tables import Table
from testing.trained_runs import FOLDER

DRAWN = (
    "optimizer.lr_max", "optimizer.warmup_steps", "steps", "data.batch_size",
    "model.d_model", "model.n_layers", "model.n_heads",
)  # fmt: skip
"""The leaves in which sampled configs differ. All others follow from these or are HEALTHY's."""

Trained = tuple[Planned, Path]
"""A run and the file of its record."""


class RefusedError(RuntimeError):
    """The runs cannot be judged, or the result cannot be published, in the present state."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--phase", choices=get_args(Phase), default="judging")
    which.add_argument("--again", action="store_true", help="judge the kept runs, publish nothing")
    arguments = parser.parse_args()
    try:
        if arguments.again:
            print("\n\n".join(judge_again()))
        elif arguments.phase == "choosing":
            print("\n\n".join(judge_choosing()))
        else:
            judge_fresh()
    except (RefusedError, history.SeedsUsedError) as error:
        sys.exit(str(error))


def judge_fresh(root: Path = history.ROOT) -> None:
    """Judge the runs of the judging seeds and publish the result below the root.

    Raises SeedsUsedError or RefusedError before any record is read, and RefusedError when the
    detectors change meanwhile."""
    by, seeds = digest(), seed_range("judging")
    entries = history.load(root)
    history.refuse_used_seeds(entries, by, seeds)
    commit = _commit()
    trained, missing = find_trained(plan("judging"))
    if missing:
        raise RefusedError(
            f"{len(missing)} runs are not trained, {missing[0].name} among them; "
            "`make calibrate` trains them"
        )
    outcomes = judge_all(trained)
    if digest() != by:
        raise RefusedError("the source of the detectors changed meanwhile; nothing is written")
    today = datetime.now(UTC).date().isoformat()
    new = Entry(commit, today, by, seeds, sampled_configs("judging"), outcomes)
    history.save(history.with_entry(entries, new), root)
    publish.write(root)
    print(f"Open {root / publish.PAGE}")


def judge_again(root: Path = history.ROOT) -> Iterator[str]:
    """Judge the kept runs of the last published range and yield what to print.

    A run counts as kept when its record was made from the same config, even by an older recorder.
    Raises RefusedError when nothing was published or no run is kept."""
    entries = history.load(root)
    if not entries:
        raise RefusedError("no result was published yet, so there is none to compare with")
    last = entries[-1]
    runs = plan("judging", last.seeds[0])
    trained, missing = find_trained(runs, any_recorder=True)
    if not trained:
        raise RefusedError(
            f"no run of seeds {last.range} is kept in {FOLDER}; with JUDGING_FROM = "
            f"{last.seeds[0]} in model/seeds.py, `pytest calibration -n auto` trains them"
        )
    outcomes = judge_all(trained)
    configs = sampled_configs("judging", last.seeds[0])
    yield from (table.as_text() for table in tables(outcomes, configs))
    yield changes(last.outcomes, outcomes).as_text()
    yield (
        f"{len(trained)} of {len(runs)} runs of seeds {last.range} are kept and were judged again; "
        f"{len(missing)} are missing. The published figures are of version {last.version}."
    )


def judge_choosing() -> Iterator[str]:
    """Judge the trained runs of the choosing seeds and yield what to print. Raises RefusedError
    when none is trained."""
    trained, missing = find_trained(plan("choosing"))
    if not trained:
        raise RefusedError("no run is trained; `pytest calibration --phase choosing` trains them")
    configs = sampled_configs("choosing")
    yield from (table.as_text() for table in tables(judge_all(trained), configs))
    yield f"{len(trained)} runs were judged; {len(missing)} more are not trained"


def changes(before: Sequence[Outcome], now: Sequence[Outcome]) -> Table:
    """The runs of which the detectors say something else than before."""
    said = {one.name: one.said for one in before}
    rows = tuple(
        (one.name, one.expected or "none", said[one.name], one.said, one.headline)
        for one in now
        if said.get(one.name, one.said) != one.said
    )
    head = ("run", "expected cause", "published", "now", "evidence")
    return Table("Changed since the published result", "", head, rows)


def judge_all(trained: Sequence[Trained]) -> tuple[Outcome, ...]:
    """Judge every record, in the order given."""
    return tuple(map_on_all_cores(_judge_file, trained, "runs judged"))


def _judge_file(trained: Trained) -> Outcome:
    planned, path = trained
    return judge(planned, Record.load(path))


def sampled_configs(
    phase: Phase, first_seed: int = JUDGING_FROM
) -> dict[str, dict[str, str | int | float]]:
    """The name of each sampled config of a phase -> the leaves that were drawn."""
    return {
        f"{each.index:02}": {name: leaves(each.config)[name] for name in DRAWN}
        for each in sample(phase, first_seed)
    }


def find_trained(
    runs: Sequence[Planned], any_recorder: bool = False
) -> tuple[list[Trained], list[Planned]]:
    """Return the runs whose records are kept, and those that are missing.

    any_recorder  accept a record that another version of the model or of the recorder made from
                  the same config, if there is none of the present version"""
    run_cache = RunCache(FOLDER, session="")
    trained: list[Trained] = []
    missing: list[Planned] = []
    for run in sorted(runs, key=lambda run: (run.condition == SAMPLED, run.name)):
        experiment = run.experiment()
        if run_cache.has(run.name, experiment):
            trained.append((run, run_cache.path(run.name, experiment)))
        elif any_recorder and (path := _newest_record(run)):
            trained.append((run, path))
        else:
            missing.append(run)
    return trained, missing


def _newest_record(run: Planned) -> Path | None:
    name = re.compile(rf"{re.escape(run.name)}-[0-9a-f]+\.jsonl")
    found = [path for path in FOLDER.glob(f"{run.name}-*.jsonl") if name.fullmatch(path.name)]
    config = json.loads(json.dumps(dataclasses.asdict(run.config)))
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        with open(path, encoding="utf-8") as file:
            header = json.loads(file.readline())
        if header["provenance"].get("config") == config:
            return path
    return None


def _commit() -> str:
    """The commit that holds the detectors. Raises RefusedError when files differ from it."""
    files = [str(path) for path in judging_files()] + ["model", "calibration"]
    if changed := _git("status", "--porcelain", "--", *files):
        raise RefusedError(
            f"commit the detectors first, so that the result can name its commit:\n{changed}"
        )
    return _git("rev-parse", "--short=12", "HEAD")


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=history.ROOT, capture_output=True, text=True, check=True
        ).stdout.rstrip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise RefusedError(
            f"a result is published with its commit, which git cannot tell: {error}"
        ) from error


if __name__ == "__main__":
    main()
