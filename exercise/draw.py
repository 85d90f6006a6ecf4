"""Draw a round: train the spoiled runs in an order and with a seed that nobody chose, draw them,
seal what they are."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from exercise import diagnoses, seal
from exercise.page import filled, page
from exercise.paths import REVEAL, BlindError, Folder, digest, names
from exercise.seal import Answer, Answers
from probes.plugin.terminal import Progress
from probes.record import Record
from probes.recording.protocols import Specimen
from probes.recording.recorder import save, sidecar_path
from probes.recording.watch import watch

Build = Callable[[int], Specimen]
"""Makes a specimen of a seed."""
Write = Callable[[str], None]
"""Puts a line on a terminal in place of the one it put there before."""

FIRST_SEED, SEEDS = 1_000_000, 9_000_000
"""Seeds of seven digits: no experiment, choice or judging of this repository comes near, and all
are of one length."""
WIDTH = 60
"""Columns that a line of progress takes at most."""


def draw(
    builds: Mapping[str, Build], reference: Build, path: Path, write: Write | None = None
) -> str:
    """Train one run for each cause and the reference, put a round into the folder, and return the
    commitment.

    Nothing is written before everything is trained and drawn. Raises BlindError when diagnoses lie
    there that were written but not revealed; a round that is revealed, or was never answered, is
    replaced. score.md is left alone."""
    folder, causes = Folder(path), sorted(builds)
    _refuse_to_lose(folder, diagnoses.template(causes))
    seed, order = _lots(causes)
    behind = _train(reference(seed), "the healthy reference", write)
    runs = dict(zip(names(causes), order, strict=True))
    records = {run: _train(builds[cause](seed), run, write) for run, cause in runs.items()}
    pages = filled([page(run, record, behind) for run, record in records.items()])
    return _put(folder, seed, runs, records, dict(zip(runs, pages, strict=True))).commitment


def status(stream: TextIO) -> Write | None:
    """Writes over the last line of a terminal; None when the stream is none."""
    return (
        (lambda text: print(f"\r{text:<{WIDTH}}\r", end="", file=stream, flush=True))
        if stream.isatty()
        else None
    )


def instructions(path: Path, commitment: str) -> list[str]:
    """What to print after a round was drawn: the line that commits to the answers, and what to do
    next."""
    folder = Folder(path)
    return [
        f"blind round sha256:{commitment}",
        "",
        "1. Commit the seal, with the line above as the message:",
        f'   git add {folder.seal} && git commit -m "blind round sha256:{commitment}"',
        f"2. Open the pages in {path}, and write what you find into {folder.diagnoses}.",
        f"3. Commit that file too, then be scored: {REVEAL}",
    ]


def _refuse_to_lose(folder: Folder, untouched: str) -> None:
    if not folder.diagnoses.exists():
        return
    if folder.diagnoses.read_bytes().replace(b"\r\n", b"\n") == untouched.encode():
        return
    try:
        revealed = seal.read(folder.seal).revealed
    except BlindError:
        revealed = ""
    if not revealed:
        raise BlindError(
            f"{folder.diagnoses} holds diagnoses that were not revealed, and another round would overwrite them; "
            f"let them be scored with `{REVEAL}`, or move the file away"
        )


def _lots(causes: Sequence[str]) -> tuple[int, list[str]]:
    """A seed and an order of the causes, by the entropy of the operating system."""
    return FIRST_SEED + secrets.randbelow(SEEDS), secrets.SystemRandom().sample(causes, len(causes))


def _train(specimen: Specimen, name: str, write: Write | None) -> Record:
    """The run's record without its provenance."""
    try:
        return watch(specimen, on_step=Progress(name, write) if write else None).anonymous()
    finally:
        if write:
            write("")


def _put(
    folder: Folder,
    seed: int,
    runs: Mapping[str, str],
    records: Mapping[str, Record],
    pages: Mapping[str, bytes],
) -> seal.Seal:
    """Write everything, the seal last: without it there is no round. All pages and records get one
    time."""
    folder.records.mkdir(parents=True, exist_ok=True)
    folder.seal.unlink(missing_ok=True)
    shutil.rmtree(folder.records)
    folder.records.mkdir()
    folder.diagnoses.write_text(
        diagnoses.template(sorted(runs.values())), encoding="utf-8", newline="\n"
    )
    answers, now = {}, time.time_ns()
    for run, cause in runs.items():
        path = folder.records / f"{secrets.token_hex(8)}.jsonl"
        save(records[run], path)
        sidecar_path(path).unlink()
        folder.page(run).write_bytes(pages[run])
        answers[run] = Answer(cause, digest(pages[run]), digest(path.read_bytes()), path.name)
        for file in (path, folder.page(run)):
            os.utime(file, ns=(now, now))
    sealed = seal.close(Answers(seed, answers))
    seal.write(sealed, folder.seal)
    return sealed
