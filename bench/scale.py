"""How reading, judging and drawing bear length: seconds of CPU and memory, each beside its target.

python bench/scale_long.py           runs of 8,000 steps drawn and loaded, logs of 100,000 and a
                                     million lines judged
python bench/scale_long.py --long    logs of ten million lines as well: many minutes, and 2 GB of
                                     disk for a while
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import NamedTuple

import numpy as np

from bench.figures import Figure, Section
from probes.record import Record, Table
from probes.recording.recorder import save
from probes.report.html import render
from testing.long_runs import LAYERS, MATRICES, made_up

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


ROOT = Path(__file__).resolve().parent.parent
STEPS = 8000
RUNS = 5
BATCH = 32
ROUNDS = 5
LINES = 100_000
EVALUATED = 10
"""Every so many lines of a log hold a validation loss."""
CHUNK = 10_000
KB = 1000

LAUNCHER = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""A child is charged with the memory of whoever starts it, so that has to be somebody small."""


class Measured(NamedTuple):
    """One figure; at most `target` is asked for, None where it is only reported."""

    name: str
    value: float
    unit: str
    target: float | None = None


class Used(NamedTuple):
    cpu: float  # seconds
    peak: float  # MiB


class Row(NamedTuple):
    """A line of a log; an evaluation's loss is there at some of them."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    val_loss: float | None


def record(seed: int = 0, steps: int = STEPS) -> Record:
    """A run that has every signal in the table, evaluated at every third step as the specimen
    is."""
    rng, made = np.random.default_rng(seed), made_up(steps, every=3, seed=seed, name=f"run {seed}")
    sites = (*LAYERS, *MATRICES[:5])
    more = {
        "grad_norm_by_layer": Table(LAYERS, np.exp(rng.normal(0, 0.1, (steps, len(LAYERS))))),
        "nonfinite_count": Table(sites, np.zeros((steps, len(sites)))),
        "batch_ids": Table(
            tuple(map(str, range(BATCH))), rng.integers(0, 640, (steps, BATCH)).astype(float)
        ),
    }
    return replace(made, tables={**made.tables, **more})


def rows(length: int) -> Iterator[Row]:
    """A log of the four common signals: losses that fall, with noise."""
    rng = np.random.default_rng(0)
    for begin in range(0, length, CHUNK):
        step = np.arange(begin, min(begin + CHUNK, length))
        level = 0.5 + 3.5 * np.exp(-5 * step / length)
        loss, norm = (
            level * np.exp(rng.normal(0, 0.05, len(step))),
            np.exp(rng.normal(0, 0.3, len(step))),
        )
        val = (level + 0.1) * np.exp(rng.normal(0, 0.01, len(step)))
        lr = 1e-3 * (1 - step / length)
        columns = (column.tolist() for column in (step, loss, lr, norm, val))
        for row in map(Row, *columns):
            yield row if row.step % EVALUATED == EVALUATED - 1 else row._replace(val_loss=None)


def json_lines(path: Path, length: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows(length):
            cells = row._asdict()
            if row.val_loss is None:
                del cells["val_loss"]
            file.write(json.dumps(cells) + "\n")


def comma_separated(path: Path, length: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(",".join(Row._fields) + "\n")
        for row in rows(length):
            file.write(",".join("" if cell is None else repr(cell) for cell in row) + "\n")


def trainer_state(path: Path, length: int) -> None:
    """As Hugging Face's trainer writes it: an evaluation is an entry of its own."""
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"log_history": [\n')
        for row in rows(length):
            entry = {
                "grad_norm": row.grad_norm,
                "learning_rate": row.lr,
                "loss": row.loss,
                "step": row.step,
            }
            file.write((",\n" if row.step else "") + json.dumps(entry, indent=2))
            if row.val_loss is not None:
                file.write(
                    ",\n"
                    + json.dumps(
                        {"eval_loss": row.val_loss, "eval_runtime": 2.01, "step": row.step}
                    )
                )
        file.write(f'], "global_step": {length - 1}}}\n')


LOGS: dict[str, Callable[[Path, int], None]] = {
    "JSON lines": json_lines,
    "CSV": comma_separated,
    "trainer state": trainer_state,
}


def drawing(folder: Path) -> Iterator[Measured]:
    """The page of five runs, diagnosed and drawn from memory, and its size."""
    runs, page = [(f"run {seed}", record(seed)) for seed in range(RUNS)], folder / "page.html"
    cpu = _cpu(lambda: render(runs, page, reference="run 1"))
    yield Measured(f"render of {RUNS} runs of {STEPS} steps", cpu, "s", 2.0)
    yield Measured("its page", page.stat().st_size / KB, "KB", 1500.0)


def loading(folder: Path) -> Iterator[Measured]:
    """`Record.load` of one such run."""
    path = folder / "run.jsonl"
    save(record(), path)
    yield Measured(f"Record.load of {STEPS} steps", _cpu(lambda: Record.load(path)), "s", 0.3)


def judging(folder: Path, form: str, longest: int = 10 * LINES) -> Iterator[Measured]:
    """`python -m probes diagnose` of a log, process start included, and how that grows by each
    factor of ten."""
    before = None
    length = LINES
    while length <= longest:
        path = folder / f"log-{length}"
        LOGS[form](path, length)
        used = diagnosed(path, ROUNDS if length == LINES else 1)
        path.unlink()
        yield Measured(
            f"diagnose {form}, {length:,} steps", used.cpu, "s", 1.0 if before is None else None
        )
        yield Measured("its peak memory", used.peak, "MiB")
        if before is not None:
            yield Measured("CPU over that of a tenth", used.cpu / before.cpu, "x", 10.0)
            yield Measured("memory over that of a tenth", used.peak / before.peak, "x", 1.1)
        before, length = used, 10 * length


def diagnosed(path: Path, rounds: int = 1) -> Used:
    """What judging a log takes, the median of several processes. Raises ValueError when it could
    not be read."""
    command = [
        sys.executable,
        "-c",
        LAUNCHER,
        sys.executable,
        "-m",
        "probes",
        "diagnose",
        str(path),
    ]
    found = []
    for _ in range(rounds):
        code, cpu, peak = json.loads(
            subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        )
        if code:
            raise ValueError(f"diagnose {path} ended with {code}; the log should be healthy")
        found.append(Used(cpu, peak / (2**20 if sys.platform == "darwin" else 2**10)))
    return Used(median(used.cpu for used in found), max(used.peak for used in found))


def _cpu(call: Callable[[], object]) -> float:
    """Seconds of CPU, the median of several calls."""
    took = []
    for _ in range(ROUNDS):
        start = process_time()
        call()
        took.append(process_time() - start)
    return median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--long", action="store_true", help="judge logs of ten million lines as well"
    )
    longest = 100 * LINES if parser.parse_args().long else 10 * LINES
    with TemporaryDirectory() as name:
        folder = Path(name)
        parts = [
            drawing(folder),
            loading(folder),
            *(judging(folder, form, longest) for form in LOGS),
        ]
        for part in parts:
            for one in part:
                target = "" if one.target is None else f"   target {one.target:g}"
                print(f"{one.name:45} {one.value:8.3g} {one.unit:4}{target}", flush=True)


if __name__ == "__main__":
    main()


ALONE = (
    Figure(f"render of {RUNS} runs of {STEPS} steps", "s", "CPU, judging too"),
    Figure("its page", "KB", ""),
    Figure(f"Record.load of {STEPS} steps", "s", "CPU"),
)
LONGER = {"CPU": "CPU", "memory": "peak memory"}
"""First word of a ratio's name -> what it is the ratio of."""


def _of_log(form: str) -> dict[str, Figure]:
    """Figures of one form of log, by the first word of their name in `bench/scale_long.py`."""
    first = Figure(f"diagnose {form}, {LINES:,} steps", "s", "CPU")
    ratios = {
        word: Figure(f"{form} x 10, {what}", "x", f"{LINES:,} steps")
        for word, what in LONGER.items()
    }
    return {"diagnose": first, **ratios}


def adapted(found: Iterable[Measured], figures: dict[str, Figure]) -> Iterator[Figure]:
    """Those of the figures that were found with a target, by the key that their name starts
    with."""
    for one in found:
        for start, figure in figures.items():
            if one.target is not None and one.name.startswith(start):
                yield replace(figure, measured=one.value, target=one.target)


def _measure() -> Iterator[Figure]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        alone = {figure.name: figure for figure in ALONE}
        yield from adapted(drawing(folder), alone)
        yield from adapted(loading(folder), alone)
        for form in LOGS:
            yield from adapted(judging(folder, form), _of_log(form))


SECTION = Section(
    "Length",
    (*ALONE, *(figure for form in LOGS for figure in _of_log(form).values())),
    _measure,
    slow=True,
)
