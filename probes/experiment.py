"""What a project offers the plugin: named experiments, each of which builds something that can be watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.specimen import Specimen


@dataclass(frozen=True)
class Experiment:
    """One training run that tests may ask for by name.

    build         makes a fresh specimen, ready to train
    fingerprint   changes whenever anything that `build` depends on changes: config and source of the model
    group         "reference" for the run that others are drawn against; any other word otherwise
    apply_remedy  makes the specimen again with a cause's remedy applied, where the project knows how
    """

    build: Callable[[], Specimen]
    fingerprint: str
    group: str
    apply_remedy: Callable[[str], Specimen] | None = None
