"""Draw a round: train the broken runs from a random seed, put them in a random order, write a page
for each, and seal the answers."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from exercise import diagnoses, seal
from exercise.page import padded, page
from exercise.paths import REVEAL, Folder, RoundError, run_names, sha256_of
from exercise.seal import SealedAnswers, SealedRun
from probes.plugin.terminal import Progress
from probes.record import Record
from probes.recording.protocols import Specimen
from probes.recording.recorder import save, sidecar_path
from probes.recording.watch import watch

Build = Callable[[int], Specimen]
"""A function that builds a specimen from a seed."""
WriteStatus = Callable[[str], None]
"""A function that replaces the status line on a terminal."""

MIN_SEED, SEED_COUNT = 1_000_000, 9_000_000
"""The seed is one of the numbers with seven digits. No experiment, choice or calibration of this
repository uses such a seed. All have the same length, so the length of the seal is constant."""
STATUS_WIDTH = 60
"""Columns of the status line."""


def draw(
    builds: Mapping[str, Build],
    reference: Build,
    path: Path,
    write_status: WriteStatus | None = None,
) -> str:
    """Train one run for each cause and the healthy reference, write a round into the folder, and
    return its commitment: a sha256 in hexadecimal digits.

    All runs are trained and all pages are drawn before the first file is written. An earlier round
    is replaced if it was revealed or was never answered; score.md is not changed. Raises RoundError
    when the folder holds answers that were not revealed."""
    folder, causes = Folder(path), sorted(builds)
    _keep_unrevealed_answers(folder, diagnoses.template(causes))
    seed, order = _random_seed_and_order(causes)
    healthy = _train(reference(seed), "the healthy reference", write_status)
    runs = dict(zip(run_names(causes), order, strict=True))
    records = {run: _train(builds[cause](seed), run, write_status) for run, cause in runs.items()}
    pages = padded([page(run, record, healthy) for run, record in records.items()])
    return _write(folder, seed, runs, records, dict(zip(runs, pages, strict=True)))


def status_line(stream: TextIO) -> WriteStatus | None:
    """Return a function that rewrites the last line of a terminal, or None when the stream is not a
    terminal."""
    if not stream.isatty():
        return None
    return lambda text: print(f"\r{text:<{STATUS_WIDTH}}\r", end="", file=stream, flush=True)


def instructions(path: Path, commitment: str) -> list[str]:
    """The lines to print after a round has been drawn: the commitment, and what to do next."""
    folder = Folder(path)
    return [
        f"blind round sha256:{commitment}",
        "",
        "1. Commit the seal, with the line above as the message:",
        f'   git add {folder.seal} && git commit -m "blind round sha256:{commitment}"',
        f"2. Open the pages in {path}, and write what you find into {folder.diagnoses}.",
        f"3. Commit that file too, then get your score: {REVEAL}",
    ]


def _keep_unrevealed_answers(folder: Folder, empty_form: str) -> None:
    """Raise RoundError when diagnoses.toml was edited and its round was not revealed."""
    if not folder.diagnoses.exists():
        return
    if folder.diagnoses.read_bytes().replace(b"\r\n", b"\n") == empty_form.encode():
        return
    try:
        revealed = seal.read(folder.seal).revealed
    except RoundError:
        revealed = ""
    if not revealed:
        raise RoundError(
            f"{folder.diagnoses} holds answers that were not revealed, and another round would "
            f"overwrite them; get their score with `{REVEAL}`, or move the file away"
        )


def _random_seed_and_order(causes: Sequence[str]) -> tuple[int, list[str]]:
    """Draw a seed and an order of the causes, from the entropy of the operating system."""
    order = secrets.SystemRandom().sample(causes, len(causes))
    return MIN_SEED + secrets.randbelow(SEED_COUNT), order


def _train(specimen: Specimen, name: str, write_status: WriteStatus | None) -> Record:
    """Train a specimen and return its record without the provenance."""
    progress = Progress(name, write_status) if write_status else None
    try:
        return watch(specimen, on_step=progress).anonymous()
    finally:
        if write_status:
            write_status("")


def _write(
    folder: Folder,
    seed: int,
    causes: Mapping[str, str],
    records: Mapping[str, Record],
    pages: Mapping[str, bytes],
) -> str:
    """Write the files of a round and return its commitment.

    causes   name of a run -> its cause
    records  name of a run -> its record
    pages    name of a run -> its page

    The seal is written last, because a folder without a seal holds no round. All pages and records
    get the same modification time, because different times would tell in which order they were
    written."""
    folder.records.mkdir(parents=True, exist_ok=True)
    folder.seal.unlink(missing_ok=True)
    shutil.rmtree(folder.records)
    folder.records.mkdir()
    template = diagnoses.template(sorted(causes.values()))
    folder.diagnoses.write_text(template, encoding="utf-8", newline="\n")
    sealed_runs, now = {}, time.time_ns()
    for run, cause in causes.items():
        path = folder.records / f"{secrets.token_hex(8)}.jsonl"
        save(records[run], path)
        sidecar_path(path).unlink()
        folder.page(run).write_bytes(pages[run])
        record_hash = sha256_of(path.read_bytes())
        sealed_runs[run] = SealedRun(cause, sha256_of(pages[run]), record_hash, path.name)
        for file in (path, folder.page(run)):
            os.utime(file, ns=(now, now))
    sealed = seal.close(SealedAnswers(seed, sealed_runs))
    seal.write(sealed, folder.seal)
    return sealed.commitment
