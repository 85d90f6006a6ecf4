"""Records of training runs that the studies and the calibration keep, so that nothing is trained
twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from uuid import uuid4

from model import Config, build, fingerprint
from probes import Experiment, Record
from probes.plugin.run_cache import RunCache

FOLDER = Path(__file__).resolve().parent.parent / ".calibration"
"""Each file is named after the run and a key over its config, the source that trains and records
it, and the machine (`probes.plugin.run_cache`)."""


def experiment(config: Config) -> Experiment:
    """What the run cache needs in order to train a config."""
    return Experiment(partial(build, config), fingerprint(config), "rest")


def load_or_train(name: str, config: Config, folder: Path = FOLDER) -> Record:
    """Return the record of a run from the folder. It is trained first when it is not there."""
    return RunCache(folder, session=uuid4().hex).fetch(name, experiment(config)).record
