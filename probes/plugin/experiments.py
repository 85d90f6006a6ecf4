"""The experiments a project offers: gathered from everyone who offers some, checked, and found by
name."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.recording.protocols import Specimen


@dataclass(frozen=True)
class Experiment:
    """One training run that tests may ask for by name.

    build         makes a fresh specimen, ready to train
    fingerprint   changes whenever anything that `build` depends on changes: config and source of
                  the model
    group         "reference" for the run that others are drawn against; any other word otherwise
    apply_remedy  makes the specimen again with a cause's remedy applied, where the project knows
                  how
    """

    build: Callable[[], Specimen]
    fingerprint: str
    group: str
    apply_remedy: Callable[[str], Specimen] | None = None


HOOK = "pytest_probes_experiments"
REFERENCE = "reference"
"""The group of the run that others are drawn against."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What an experiment may be called: its name becomes part of a file name."""


class OfferError(ValueError):
    """What a project offers cannot be used; the message says who offered what, and what was
    expected."""


class UnknownExperimentError(LookupError):
    """Nobody offers an experiment of this name; the message lists those on offer and how to offer
    one."""


class Hooks:
    """What a project may implement in a conftest.py."""

    @staticmethod
    def pytest_probes_experiments(config: Any) -> dict[str, Experiment]:  # type: ignore[empty-body]
        """Return the experiments that tests may ask for, by name; those of several implementations
        are merged."""


def gather(offers: Iterable[tuple[str, object]]) -> dict[str, Experiment]:
    """All experiments by name, from pairs of who offers them and what was offered.

    Raises OfferError for anything but a dict of Experiments, for a name that cannot be part of a
    file name, and for a name that is offered twice."""
    offered_by: dict[str, str] = {}
    experiments: dict[str, Experiment] = {}
    for who, offer in offers:
        for name, experiment in _checked(who, offer).items():
            if name in offered_by:
                raise OfferError(
                    f"{HOOK}: {name!r} is offered twice, by {offered_by[name]} and by {who}; rename one"
                )
            offered_by[name] = who
            experiments[name] = experiment
    return experiments


def answers(
    implementations: Sequence[Any], call: Callable[[list[object]], list[object]]
) -> Iterator[tuple[str, object]]:
    """Every implementation's answer beside its name; one at a time, since a hook call does not tell
    who answered.

    call  calls the hook without the plugins it is given
    Raises OfferError for an implementation that raises.
    """
    for one in implementations:
        others = [other.plugin for other in implementations if other is not one]
        try:
            answered = call(others)
        except Exception as error:
            raise OfferError(raised(one.plugin_name, error)) from error
        yield one.plugin_name, answered[0] if answered else None


def raised(who: str, error: Exception) -> str:
    """What to say of an implementation of the hook that raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{HOOK} in {who} raised {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    )


def find(experiments: Mapping[str, Experiment], name: str) -> Experiment:
    """The experiment called `name`. Raises UnknownExperimentError."""
    if name in experiments:
        return experiments[name]
    if not experiments:
        raise UnknownExperimentError(
            f"no experiment {name!r}: nobody offers any. Implement {HOOK}(config) in a conftest.py: it returns a dict "
            "from names to probes.Experiment"
        )
    near = difflib.get_close_matches(str(name), experiments, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UnknownExperimentError(
        f"no experiment {name!r}; {HOOK} offers {', '.join(experiments)}{hint}"
    )


def reference(experiments: Mapping[str, Experiment]) -> str | None:
    """The name of the first experiment of the group "reference", None when there is none."""
    return next(
        (name for name, experiment in experiments.items() if experiment.group == REFERENCE), None
    )


def _checked(who: str, offer: object) -> dict[str, Experiment]:
    wanted = "it must return a dict from names to probes.Experiment"
    if not isinstance(offer, dict):
        raise OfferError(f"{HOOK} in {who} returned {offer!r}, a {type(offer).__name__}; {wanted}")
    for name, experiment in offer.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise OfferError(
                f"{HOOK} in {who} names an experiment {name!r}; a name is made of letters, digits, '.', '_' and '-' "
                "and begins with a letter or a digit"
            )
        if not isinstance(experiment, Experiment):
            raise OfferError(
                f"{HOOK} in {who}: {name!r} is {experiment!r}, a {type(experiment).__name__}; {wanted}"
            )
    return offer
