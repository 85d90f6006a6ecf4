"""Experiments: the training runs that a project offers by a hook. Its tests use them by name."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probes.common.text import did_you_mean

if TYPE_CHECKING:
    from probes.recording.protocols import Specimen


@dataclass(frozen=True)
class Experiment:
    """One training run that tests can use by name.

    build         returns a new specimen, ready to train
    fingerprint   text that stands for the config and the source of the model; it must change if
                  `build` would return a different specimen
    group         "reference" for the run with which the charts compare the other runs; any other
                  word for the other runs
    apply_remedy  takes the name of a cause and returns a specimen whose config applies the remedy
                  for it; raises LookupError if the project knows no remedy for that cause
    family        takes a number from 0 on and returns the experiment of a healthy run of the same
                  config. Each number must give another seed. With `--family N`, the first N of them
                  are trained and the run is compared with them
    """

    build: Callable[[], Specimen]
    fingerprint: str
    group: str
    apply_remedy: Callable[[str], Specimen] | None = None
    family: Callable[[int], Experiment] | None = None


HOOK = "pytest_probes_experiments"
REFERENCE_GROUP = "reference"
VALID_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Valid names of experiments. They are limited because a name becomes part of file names."""
EXPECTED_RETURN = "it must return a dict from names to probes.Experiment"


class OfferError(ValueError):
    """An implementation of the hook raised an error or returned something wrong.

    The message names the implementation.
    """


class UnknownExperimentError(LookupError):
    """No experiment has this name. The message lists the experiments, or says how to offer one."""


class Hooks:
    """The hook that a project may implement in a conftest.py."""

    @staticmethod
    def pytest_probes_experiments(config: Any) -> dict[str, Experiment]:  # type: ignore[empty-body]
        """Return the experiments that tests can use, by name.

        The results of several implementations are merged.
        """


def implementations(config: Any) -> list[Any]:
    """The implementations of the hook, as pluggy lists them."""
    return list(config.hook.pytest_probes_experiments.get_hookimpls())


def offered(config: Any) -> dict[str, Experiment]:
    """All experiments by name.

    Raises OfferError for an implementation that raises or that returns anything but a dict of
    Experiments, for a name that cannot be part of a file name, and for a name that occurs twice.
    """
    every = implementations(config)
    experiments: dict[str, Experiment] = {}
    offered_by: dict[str, str] = {}
    for one in every:
        plugin = one.plugin_name
        # Call each implementation separately, because a result does not say which implementation
        # returned it.
        others = [other.plugin for other in every if other is not one]
        call = config.pluginmanager.subset_hook_caller(HOOK, others)
        try:
            results = call(config=config)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise OfferError(
                f"{HOOK} in {plugin} raised {type(error).__name__}: {error} "
                f"({place.filename}:{place.lineno})"
            ) from error
        for name, experiment in _check_offer(plugin, results[0] if results else None).items():
            if name in offered_by:
                raise OfferError(
                    f"{HOOK}: {name!r} is offered twice, by {offered_by[name]} and by {plugin}; "
                    "rename one"
                )
            offered_by[name], experiments[name] = plugin, experiment
    return experiments


def _check_offer(plugin: str, offer: object) -> dict[str, Experiment]:
    """Check the result of one implementation and return it.

    Raises OfferError if it is not a dict of Experiments or a name is not valid.
    """
    if not isinstance(offer, dict):
        raise OfferError(
            f"{HOOK} in {plugin} returned {offer!r}, a {type(offer).__name__}; {EXPECTED_RETURN}"
        )
    for name, experiment in offer.items():
        if not isinstance(name, str) or not VALID_NAME.fullmatch(name):
            raise OfferError(
                f"{HOOK} in {plugin} names an experiment {name!r}; a name is made of letters, "
                "digits, '.', '_' and '-' and begins with a letter or a digit"
            )
        if not isinstance(experiment, Experiment):
            raise OfferError(
                f"{HOOK} in {plugin}: {name!r} is {experiment!r}, a {type(experiment).__name__}; "
                f"{EXPECTED_RETURN}"
            )
    return offer


def find(experiments: Mapping[str, Experiment], name: str) -> Experiment:
    """The experiment of this name. Raises UnknownExperimentError."""
    if name in experiments:
        return experiments[name]
    if not experiments:
        raise UnknownExperimentError(
            f"no experiment {name!r}: the project offers none. Implement {HOOK}(config) in a "
            "conftest.py; it returns a dict from names to probes.Experiment"
        )
    known = f"no experiment {name!r}; {HOOK} offers {', '.join(experiments)}"
    hint = did_you_mean(str(name), experiments, most=1)
    raise UnknownExperimentError(f"{known}; {hint}" if hint else known)


def reference(experiments: Mapping[str, Experiment]) -> str | None:
    """The name of the first experiment of the reference group; None if there is none."""
    return next((name for name, one in experiments.items() if one.group == REFERENCE_GROUP), None)
