"""The README's figures, written from `reports/calibration.json`: `python -m calibration.readme`.

When what judges is no longer what was judged, the figures stay and are marked stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from calibration import history
from calibration.digest import digest
from calibration.history import Entry
from calibration.outcome import Outcome
from calibration.page import markdown
from calibration.tables import accuracy, sampled_rate
from calibration.tally import HEALTHY_RUN, LABELLED, alarms, grouped

README = Path("README.md")
"""Below the root of the project."""
BLOCK = "accuracy"
NOT_JUDGED = "It is not judged yet: `make calibrate` trains hundreds of runs, which takes hours, and judges them."
STALE = (
    "**These figures are stale:** a threshold, a detector or a config has changed since. They are replaced by judging "
    "a fresh range of seeds, not by going back to this one."
)


class NoPlaceError(ValueError):
    """A README without the markers between which the figures stand."""


def block(entries: Sequence[Entry], present: str) -> str:
    """What stands between the markers, for all that was judged and the present digest."""
    return "\n\n".join(_paragraphs(entries[-1], present)) if entries else NOT_JUDGED


def shown(readme: str, name: str = BLOCK) -> str:
    """What stands between the markers of a name now. Raises NoPlaceError without markers."""
    if found := _place(name).search(readme):
        return found[0]
    raise NoPlaceError(f"README.md has no <!-- {name} --> with an <!-- end of {name} --> after it")


def put(block: str, name: str, root: Path = history.ROOT) -> None:
    """Replace what stands between the markers of a name. Raises NoPlaceError without markers."""
    readme = (root / README).read_text(encoding="utf-8")
    shown(readme, name)
    (root / README).write_text(_place(name).sub(lambda _: block, readme), encoding="utf-8")


def write(root: Path = history.ROOT) -> None:
    """Put the block into its place. Raises NoPlaceError without markers."""
    put(block(history.load(root), digest()), BLOCK, root)


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=\n<!-- end of {name} -->)", re.DOTALL)


def _paragraphs(entry: Entry, present: str) -> Iterator[str]:
    if entry.digest != present:
        yield STALE
    yield (
        f"Judged once, on seeds {entry.seeds[0]}-{entry.seeds[1]} on which nothing was chosen, at commit "
        f"`{entry.commit}` on {entry.date}; every run stands in [reports/calibration.json](reports/calibration.json)."
    )
    groups = grouped(entry.outcomes)
    rate, sampled = accuracy(groups), sampled_rate(groups)
    yield markdown(rate)
    yield rate.note
    yield f"{sampled.title}. {sampled.note}"
    yield markdown(sampled)
    for name in (HEALTHY_RUN, LABELLED):
        yield f"Alarms, {name}: {_by_cause(alarms(groups.get(name, ())))}."
    missed = [one for runs in groups.values() for one in runs if one.expected and not one.right]
    yield f"Missed: {_by_cause(missed)}."


def _by_cause(runs: Sequence[Outcome]) -> str:
    """ "`overfit` in 2 (healthy-1003, healthy-1207)": what was said, how often, of which runs."""
    said: dict[str, list[str]] = {}
    for one in runs:
        said.setdefault(one.said, []).append(one.name)
    return (
        "; ".join(f"`{word}` in {len(names)} ({', '.join(names)})" for word, names in said.items())
        or "none"
    )


if __name__ == "__main__":
    write()
