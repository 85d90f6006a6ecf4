"""Trains what `calibration.judge` will judge, and looks at nothing: `pytest calibration -n auto`.

Resumable: what lies in the store is not trained again.
"""

from __future__ import annotations

import pytest

from calibration.conditions import Planned
from probes.plugin.run_cache import Store


@pytest.mark.filterwarnings("ignore")
def test_trained(planned: Planned, store: Store) -> None:
    """The record is there, whole. A run that is ruined on purpose may overflow: no warning tells of
    it."""
    experiment = planned.experiment()
    if not store.has(planned.name, experiment):
        store.fetch(planned.name, experiment)
    assert store.has(planned.name, experiment)
