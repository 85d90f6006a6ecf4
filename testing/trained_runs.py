"""Records and logs of training runs that studies, calibration and tests keep on disk, so that
nothing is trained twice, and processes that run side by side share each training."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
from filelock import FileLock

from model import Config, build, fingerprint
from model.train import Specimen
from probes import Experiment, Record, Recorder
from probes.common.files import write_output
from probes.plugin.run_cache import RunCache
from probes.recording.watch import watched_steps
from testing.small_net import Row

FOLDER = Path(__file__).resolve().parent.parent / ".calibration"
"""Each file is named after the run and a key over its config, the source that trains and records
it, and the machine (`probes.plugin.run_cache`)."""


def experiment(config: Config) -> Experiment:
    """What the run cache needs in order to train a config."""
    return Experiment(partial(build, config), fingerprint(config), "rest")


def load_or_train(name: str, config: Config, folder: Path = FOLDER) -> Record:
    """Return the record of a run from the folder. It is trained first when it is not there."""
    return RunCache(folder, session=uuid4().hex).fetch(name, experiment(config)).record


def recorded_until(specimen: Specimen, last_step: int) -> Record:
    """The record of a training that ends after a step."""
    recorder = Recorder(**specimen.facts())
    with closing(watched_steps(specimen, recorder)) as steps, np.errstate(all="ignore"):
        for step in steps:
            if step.index >= last_step:
                break
    return recorder.record


def load_or_make_log(name: str, key: str, make: Callable[[], list[Row]], folder: Path) -> list[Row]:
    """Return the log `NAME.json` of the folder. If the folder does not hold it, or the log has
    another key, call `make` and keep the result.

    Only one process makes a log, and the others wait for it.
    """
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if kept.get("key") != key:
            kept = {"key": key, "rows": make()}
            write_output(path, json.dumps(kept))
    rows: list[Row] = kept["rows"]
    return rows
