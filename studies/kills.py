"""Whether a process that is killed while it writes loses anything that it had written.

    python -m studies.kills               50 kills of each kind of writer, 200 in all
    python -m studies.kills --kills 5     fewer kills of each kind

A writer runs in a process of its own. After each write it prints a line, and at a random moment it
gets SIGKILL. The study then checks that everything the lines announced is there, that no file is
half written, and that the next writer can continue.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

from model import HEALTHY, build
from model.train import Specimen
from probes import Experiment, Record
from probes.common.files import write_output
from probes.plugin.run_cache import RunCache, TrainingError
from probes.recording.recorder import Recorder
from probes.report.html import render
from probes.report.json_report import document
from probes.report.judged_run import judge

KILLS = 50
MAX_SECONDS = {"record": 0.5, "page": 0.5, "document": 0.5, "cache entry": 4.0}
"""Kind of writer -> it is killed after a random time up to this one. It then has written often."""
READY = "ready"
STEPS = 16
FINGERPRINTS = ("1", "2", "3")


def specimen() -> Specimen:
    return build(replace(HEALTHY, steps=STEPS, eval_every=STEPS))


def losses(rows: int) -> Record:
    """A record with a loss that falls at each of its steps."""
    recorder = Recorder(name="kills")
    for step in range(rows):
        recorder.log(step, loss=4 / (1 + step))
    recorder.close()
    return recorder.record


# Writers: each yields a line after each write, beginning when it is ready to write.


def write_record(folder: Path) -> Iterator[str]:
    with Recorder(folder / "run.jsonl") as recorder:
        yield READY
        for step in count():
            recorder.log(step, loss=1.0, activation={f"block {i}": 1.0 for i in range(50)})
            yield str(step)


def write_pages(folder: Path) -> Iterator[str]:
    runs = [judge(losses(rows), f"{rows} rows") for rows in (100, 200)]
    yield READY
    for number in count():
        render(runs[: 1 + number % 2], folder / "page.html")
        yield str(number)


def write_documents(folder: Path) -> Iterator[str]:
    runs = [judge(losses(50), f"run {number}") for number in range(20)]
    yield READY
    for number in count():
        write_output(folder / "runs.json", document(runs[: 1 + number % 20]))
        yield str(number)


def write_cache(folder: Path) -> Iterator[str]:
    yield READY
    for number in count():
        fingerprint = FINGERPRINTS[number % len(FINGERPRINTS)]
        cache = RunCache(folder / "cache", f"session {number}", retrain=True)
        cache.fetch("kills", Experiment(specimen, fingerprint, "rest"))
        yield fingerprint


# Checks: each returns what was lost, or "" if nothing was.


def check_record(folder: Path, lines: list[str]) -> str:
    record = Record.load(folder / "run.jsonl")
    if record.complete:
        return "the record of a killed run is marked complete"
    lost = len(lines) - len(record.steps)
    return f"{lost} of {len(lines)} steps" if lost > 0 else ""


def check_page(folder: Path, lines: list[str]) -> str:
    page = folder / "page.html"
    if not page.exists():
        return "the page" if lines else ""
    return "" if page.read_bytes().rstrip().endswith(b"</html>") else "the end of the page"


def check_document(folder: Path, lines: list[str]) -> str:
    path = folder / "runs.json"
    if not path.exists():
        return "the document" if lines else ""
    try:
        runs = json.loads(path.read_bytes())["runs"]
    except ValueError:
        return "the end of the document"
    # The process may have been killed after a write and before its line.
    possible = [1 + number % 20 for number in (len(lines) - 1, len(lines))]
    return "" if len(runs) in possible else f"the document of {possible[0]} runs"


def check_cache(folder: Path, lines: list[str]) -> str:
    def trains_again() -> Specimen:
        raise AssertionError("the finished record is not used")

    for fingerprint in FINGERPRINTS:
        made = trains_again if fingerprint in lines else specimen
        try:
            cache = RunCache(folder / "cache", "after")
            run = cache.fetch("kills", Experiment(made, fingerprint, "rest"))
        except TrainingError as error:
            return str(error)
        if not (run.record.complete and len(run.record.steps) == STEPS):
            return f"steps of the record {fingerprint}"
    return ""


Writer = Callable[[Path], Iterator[str]]
Check = Callable[[Path, list[str]], str]
KINDS: Mapping[str, tuple[Writer, Check]] = {
    "record": (write_record, check_record),
    "page": (write_pages, check_page),
    "document": (write_documents, check_document),
    "cache entry": (write_cache, check_cache),
}


def kill(kind: str, seconds: float) -> str:
    """Start a writer, kill it after a time, and return what was lost; "" if nothing was."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "studies.kills", "--write", kind, name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            if writer.stdout.readline().strip() != READY:
                return "the writer did not start"
            time.sleep(seconds)
            writer.kill()
            # A line that was cut off was announced as well: its write was finished.
            lines = writer.stdout.read().split()
        lost = KINDS[kind][1](folder, lines)
        drafts = [path.name for path in folder.rglob("*.draft")]
        if not lost and len(drafts) > 1:
            return f"{len(drafts)} drafts are left"
        return lost


def main(argv: list[str] | None = None) -> int:
    """Run the study and print a line for each kind of writer. Returns 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m studies.kills")
    parser.add_argument("--kills", type=int, default=KILLS, help="kills of each kind of writer")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--write", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.write:
        kind, folder = arguments.write
        for line in KINDS[kind][0](Path(folder)):
            print(line, flush=True)
        return 0
    moments, failed = random.Random(arguments.seed), False
    for kind in KINDS:
        lost = [kill(kind, moments.uniform(0, MAX_SECONDS[kind])) for _ in range(arguments.kills)]
        reasons = sorted(set(filter(None, lost)))
        print(f"{kind}: {arguments.kills} kills, {sum(map(bool, lost))} lost", *reasons, sep="; ")
        failed |= bool(reasons)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
