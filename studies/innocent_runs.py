"""How often a training that went well raises an alarm or cannot be judged, and how often a fault is
found, on independent trainings of small networks that are each written in one drawn way.

    python -m studies.innocent_runs                      1,500 trainings, seeds 0-1499: for choosing
    python -m studies.innocent_runs --first-seed 10000   seeds 10000-11499: for judging, once
    python -m studies.innocent_runs --sick               400 trainings with one fault each
    python -m studies.innocent_runs --write FOLDER       also copy the logs and an index there

A training counts as healthy by the rule of `testing.drawn_trainings.why_not_healthy`, and a fault
by the rule of its row in `testing.drawn_faults`: neither uses a detector or the log. A seed draws
trainings until one passes; the table "dropped" counts the others. Logs are kept in .calibration,
under a key over the source that draws them, so that nothing is trained twice."""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from math import comb
from pathlib import Path

from probes.diagnosis.diagnose import diagnose
from probes.readers import read
from testing import drawn_faults, drawn_logs, drawn_tasks, drawn_trainings, log_files, small_net
from testing.drawn_faults import FAULTS
from testing.drawn_logs import DrawnLog, from_line, to_line, write_log
from testing.tables import NO_VALUE, Table
from testing.trained_runs import FOLDER

SOURCES = (drawn_tasks, drawn_trainings, drawn_logs, log_files, small_net)
"""Modules that decide what a seed's log holds; `drawn_faults` decides it for sick runs as well."""
RUNS, SICK_RUNS = 1500, 400
LENGTHS = ((20, "< 20"), (100, "20-99"), (1000, "100-999"), (10**9, ">= 1000"))
CONFIDENCE = 0.95
INDEX = "index.jsonl"


@dataclass(frozen=True)
class Judged:
    """A log and what the diagnosis says of it."""

    log: DrawnLog
    verdict: str
    alarm: bool
    cause: str | None
    headline: str


# Data


def cache_folder(sick: bool) -> Path:
    """The folder for logs that the present source draws. The key ignores comments and layout."""
    modules = (*SOURCES, drawn_faults) if sick else SOURCES
    sources = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules]
    key = sha256("".join(ast.dump(ast.parse(source)) for source in sources).encode())
    return FOLDER / f"drawn-logs-{'sick' if sick else 'healthy'}-{key.hexdigest()[:12]}"


def fault_of(seed: int) -> str:
    """The faults take turns."""
    return list(FAULTS)[seed % len(FAULTS)]


def load_or_write(seed: int, folder: Path, sick: bool) -> DrawnLog:
    """Return the log of a seed from the folder. It is trained first when it is not there."""
    fault = fault_of(seed) if sick else ""
    description = folder / f"{'sick' if sick else 'healthy'}-{seed}.json"
    if not description.exists():
        log = write_log(seed, folder, fault)
        part = description.with_suffix(f".{os.getpid()}")
        part.write_text(to_line(log), encoding="utf-8")
        part.replace(description)
    log = from_line(description.read_text(encoding="utf-8"))
    return replace(log, path=str(folder / Path(log.path).name))


def judge(seed: int, folder: Path, sick: bool) -> Judged:
    log = load_or_write(seed, folder, sick)
    diagnosis = diagnose(read(Path(log.path)))
    return Judged(log, diagnosis.verdict, diagnosis.alarm, diagnosis.cause, diagnosis.headline)


def judge_all(seeds: Sequence[int], folder: Path, sick: bool, workers: int) -> list[Judged]:
    folder.mkdir(parents=True, exist_ok=True)
    one = partial(judge, folder=folder, sick=sick)
    results = []
    with ProcessPoolExecutor(workers) as pool:
        for result in pool.map(one, seeds, chunksize=5):
            results.append(result)
            if sys.stderr.isatty() or len(results) % 100 == 0:
                print(f"\r{len(results)} of {len(seeds)} logs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def copy_logs(runs: Sequence[Judged], folder: Path) -> None:
    """Copy the logs into a folder and add them to its index, one JSON object per line. Lines of
    logs that are copied again are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / INDEX
    lines: dict[str, str] = {}
    if index.exists():
        for line in index.read_text(encoding="utf-8").splitlines():
            lines[json.loads(line)["path"]] = line
    for run in runs:
        path = folder / Path(run.log.path).name
        shutil.copyfile(run.log.path, path)
        lines[str(path)] = to_line(replace(run.log, path=str(path)))
    index.write_text("\n".join(lines.values()) + "\n", encoding="utf-8")


# Tables


def upper_bound(count: int, runs: int) -> float:
    """The exact upper 95 % confidence bound of a share, one-sided (Clopper and Pearson 1934)."""

    def at_most(share: float) -> float:
        return sum(comb(runs, i) * share**i * (1 - share) ** (runs - i) for i in range(count + 1))

    low, high = count / runs, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(middle) > 1 - CONFIDENCE else (low, middle)
    return high


def length_of(log: DrawnLog) -> str:
    return next(name for limit, name in LENGTHS if log.points < limit)


GROUPS: dict[str, Callable[[DrawnLog], str]] = {
    "all": lambda _: "all",
    "points of the log": length_of,
    "family": lambda log: log.family,
    "course": lambda log: log.course,
    "kind of log": lambda log: log.writing.kind,
    "columns": lambda log: log.writing.columns,
    "format": lambda log: log.writing.form,
}


def share(count: int, runs: int) -> str:
    return f"{100 * count / runs:.1f} %" if runs else NO_VALUE


def verdict_rows(
    runs: Sequence[Judged], group: Callable[[DrawnLog], str]
) -> Iterator[tuple[str, ...]]:
    for name in sorted({group(run.log) for run in runs}):
        part = [run for run in runs if group(run.log) == name]
        verdicts = Counter(run.verdict for run in part)
        alarms = sum(run.alarm for run in part)
        yield (
            name,
            str(len(part)),
            str(alarms),
            share(alarms, len(part)),
            f"{100 * upper_bound(alarms, len(part)):.1f} %",
            share(sum(run.verdict == "undetermined" and not run.alarm for run in part), len(part)),
            share(verdicts["healthy"], len(part)),
        )


def counted(title: str, names: Sequence[str]) -> Table:
    rows = tuple((name, str(count)) for name, count in Counter(names).most_common())
    return Table(title, "", ("", "number"), rows)


def tables(runs: Sequence[Judged], examples: int, sick: bool) -> Iterator[Table]:
    """The tables of the study. For sick runs an alarm is right, for healthy runs it is wrong."""
    head = ("logs", "alarms", "share", "at most", "undetermined", "healthy")
    groups = dict(GROUPS)
    if sick:
        groups["fault"] = lambda log: log.fault
    for name, group in groups.items():
        title = f"By {name}" if name != "all" else "All"
        yield Table(title, "", (name, *head), tuple(verdict_rows(runs, group)))
    alarms = [run for run in runs if run.alarm]
    if sick:
        named = [f"{run.log.fault}: {run.cause or run.verdict}" for run in runs]
        yield counted("Cause named, by fault", sorted(named))
    else:
        yield counted("Causes of the alarms", [run.cause or "no cause" for run in alarms])
    yield counted("Dropped", [reason for run in runs for reason in run.log.dropped])
    shown = [run for run in runs if run.verdict == "healthy"] if sick else alarms
    yield Table(
        "Missed: called healthy" if sick else "False alarms",
        "",
        ("seed", "family", "written as", "points", "says"),
        tuple(
            (
                str(run.log.seed),
                f"{run.log.fault or run.log.course}, {run.log.family}",
                f"{run.log.writing.kind}, {run.log.writing.columns}, {run.log.writing.form}",
                str(run.log.points),
                run.headline,
            )
            for run in shown[:examples]
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, help=f"{RUNS}, or {SICK_RUNS} sick ones, unless given")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--sick", action="store_true", help="trainings with one fault each")
    parser.add_argument("--examples", type=int, default=20, help="misjudged logs to list")
    parser.add_argument("--json", action="store_true", help="print one JSON object per log")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="copy logs and an index there")
    arguments = parser.parse_args()
    count = arguments.runs or (SICK_RUNS if arguments.sick else RUNS)
    seeds = range(arguments.first_seed, arguments.first_seed + count)
    runs = judge_all(seeds, cache_folder(arguments.sick), arguments.sick, arguments.workers)
    if arguments.write:
        copy_logs(runs, arguments.write)
    if arguments.json:
        print("\n".join(json.dumps(asdict(run)) for run in runs))
        return
    print(
        "\n\n".join(table.as_text() for table in tables(runs, arguments.examples, arguments.sick))
    )


if __name__ == "__main__":
    main()
