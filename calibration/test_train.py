"""Trains the runs that `calibration.judge` judges, and looks at none of them: `pytest calibration
-n auto`.

The training can be interrupted: a run that is in the folder is not trained again."""

from __future__ import annotations

import pytest

from calibration.conditions import Planned
from probes.plugin.run_cache import RunCache


@pytest.mark.filterwarnings("ignore")  # a run that is broken on purpose may overflow
def test_trained(planned: Planned, run_cache: RunCache) -> None:
    """The complete record of the run is in the folder."""
    experiment = planned.experiment()
    if not run_cache.has(planned.name, experiment):
        run_cache.fetch(planned.name, experiment)
    assert run_cache.has(planned.name, experiment)
