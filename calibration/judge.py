"""Judge what was trained, once: `python -m calibration.judge`.

--phase judging    diagnose every run of the judging seeds; write reports/calibration.json,
                   reports/calibration.html and the README's figures; refused when these seeds have
                   judged anything else
--phase choosing   the same tables of the choosing seeds, as far as they are trained, on the
                   terminal only
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from calibration import history, page, readme
from calibration.conditions import FOLDER, SAMPLED, Planned, plan, seed_range
from calibration.digest import digest, judges
from calibration.history import Entry
from calibration.outcome import Outcome, outcome
from calibration.sampler import Phase, sample
from calibration.tables import tables
from model.config import leaves
from probes.plugin.run_cache import Store
from probes.record import Record

PAGE = Path("reports", "calibration.html")
DRAWN = (
    "optimizer.lr_max", "optimizer.warmup_steps", "steps", "data.batch_size",
    "model.d_model", "model.n_layers", "model.n_heads",
)  # fmt: skip
"""The leaves that tell sampled configs apart; the others follow from them or are HEALTHY's."""

Trained = tuple[Planned, Path]


class RefusedError(RuntimeError):
    """Nothing is judged: what is there could not be published as what it is."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--phase", choices=get_args(Phase), default="judging", help="default: %(default)s"
    )
    phase: Phase = parser.parse_args().phase
    try:
        publish() if phase == "judging" else show()
    except (RefusedError, history.SpentError) as error:
        sys.exit(str(error))


def publish(root: Path = history.ROOT) -> None:
    """Judge the judging seeds; the results go below the root.

    Raises SpentError or RefusedError before a record is looked at, RefusedError also when the
    judges change meanwhile."""
    by, seeds = digest(), seed_range("judging")
    entries = history.load(root)
    history.refuse_spent(entries, by, seeds)
    commit = _commit()
    trained, missing = _trained("judging")
    if missing:
        raise RefusedError(
            f"{len(missing)} of the runs are not trained, {missing[0].name} among them: see `make calibrate`"
        )
    outcomes = judge(trained)
    if digest() != by:
        raise RefusedError(
            "the source of what judges changed while it was judging; nothing is written"
        )
    today = datetime.now(UTC).date().isoformat()
    entries = history.joined(entries, Entry(commit, today, by, seeds, configs("judging"), outcomes))
    history.save(entries, root)
    (root / PAGE).write_text(page.html(entries), encoding="utf-8")
    readme.write(root)
    print(f"Open {root / PAGE}")


def show() -> None:
    """The tables of what is trained of the choosing seeds. Raises RefusedError when nothing is."""
    trained, missing = _trained("choosing")
    if not trained:
        raise RefusedError("no run is trained; see pytest calibration --phase choosing")
    print("\n\n".join(map(page.plain, tables(judge(trained), configs("choosing")))))
    print(f"\n{len(trained)} runs; {len(missing)} more are not trained")


def judge(trained: Sequence[Trained]) -> tuple[Outcome, ...]:
    """Every record's outcome, in the order given, on all cores; how far it is goes to stderr."""
    outcomes = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for one in pool.map(_judge, trained, chunksize=4):
            outcomes.append(one)
            if sys.stderr.isatty() or len(outcomes) == len(trained):
                print(
                    f"\r{len(outcomes)} of {len(trained)} runs judged",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
    print(file=sys.stderr)
    return tuple(outcomes)


def configs(phase: Phase) -> dict[str, dict[str, str | int | float]]:
    """The sampled configs of a phase by their names, each with the leaves that are drawn."""
    return {
        f"{each.index:02}": {name: leaves(each.config)[name] for name in DRAWN}
        for each in sample(phase)
    }


def _judge(trained: Trained) -> Outcome:
    planned, path = trained
    return outcome(planned, Record.load(path))


def _trained(phase: Phase) -> tuple[list[Trained], list[Planned]]:
    """The runs that lie in the store, with where, and those that do not."""
    store = Store(FOLDER, session="")
    there: list[Trained] = []
    missing: list[Planned] = []
    for planned in sorted(plan(phase), key=lambda run: (run.condition == SAMPLED, run.name)):
        experiment = planned.experiment()
        if store.has(planned.name, experiment):
            there.append((planned, store.path(planned.name, experiment)))
        else:
            missing.append(planned)
    return there, missing


def _commit() -> str:
    """The commit that holds what judges. Raises RefusedError when the files differ from it."""
    files = [str(path) for path in judges()] + ["model", "calibration"]
    if changed := _git("status", "--porcelain", "--", *files):
        raise RefusedError(
            f"commit first what judges, so that the result can name its commit:\n{changed}"
        )
    return _git("rev-parse", "--short=12", "HEAD")


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=history.ROOT, capture_output=True, text=True, check=True
        ).stdout.rstrip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise RefusedError(
            f"a result is published with its commit, and git does not tell it: {error}"
        ) from error


if __name__ == "__main__":
    main()
