"""The published figures: a block of README.md and the page reports/calibration.html, both written
from reports/calibration.json.

    python -m calibration.publish    write both again, and judge nothing

The figures carry the version of the detectors that were judged. When the detectors have changed
since, they stay, and both places say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from calibration import history
from calibration.digest import digest
from calibration.history import Entry
from calibration.outcome import Outcome
from calibration.tables import accuracy, sampled_rate, tables
from calibration.tally import HEALTHY_RUN, LABELLED, UNLABELLED, alarms, grouped, tally
from probes.common.files import write_output
from probes.report.document import fill
from testing.marker_blocks import write_block
from testing.tables import Table

README, PAGE = Path("README.md"), Path("reports", "calibration.html")
"""Below the root of the project."""
BLOCK = "accuracy"
NOT_JUDGED = (
    "Not judged yet: `make calibrate` trains hundreds of runs, which takes hours, and judges them."
)


def write(root: Path = history.ROOT) -> None:
    """Write the block and, if anything was judged, the page. Raises MissingBlockError."""
    entries, present = history.load(root), digest()
    write_block(root / README, BLOCK, readme_block(entries, present))
    if entries:
        write_output(root / PAGE, html(entries, present))


def mark_of_older_version(entry: Entry, present: str) -> str:
    """A sentence when the detectors are no longer those that were judged, otherwise ""."""
    if entry.digest == present:
        return ""
    return f"These figures are of version {entry.version}; detectors changed since."


# The block of README.md


def readme_block(entries: Sequence[Entry], present: str) -> str:
    """The block, given all results and the hash of the present detectors."""
    return "\n\n".join(_paragraphs(entries[-1], present)) if entries else NOT_JUDGED


def _paragraphs(entry: Entry, present: str) -> Iterator[str]:
    if mark := mark_of_older_version(entry, present):
        yield (
            f"**{mark}** A fresh range of seeds judges the next release "
            "([how](docs/why.md#when-a-detector-changes))."
        )
    yield (
        f"Judged at version {entry.version}, once, on seeds {entry.range}, which were not "
        "used to choose anything; every run is in "
        "[reports/calibration.json](reports/calibration.json)."
    )
    groups = grouped(entry.outcomes)
    rate, sampled = accuracy(groups), sampled_rate(groups)
    yield rate.as_markdown()
    yield rate.note
    yield f"{sampled.title}. {sampled.note}"
    yield sampled.as_markdown()
    for name in (HEALTHY_RUN, LABELLED):
        yield f"Alarms, {name}: {_by_cause(alarms(groups.get(name, ())))}."
    missed = [one for runs in groups.values() for one in runs if one.expected and not one.right]
    yield f"Missed: {_by_cause(missed)}."


def _by_cause(runs: Sequence[Outcome]) -> str:
    """What was said and of which runs: "`overfit` in 2 (healthy-1003, healthy-1207)"."""
    said: dict[str, list[str]] = {}
    for one in runs:
        said.setdefault(one.said, []).append(one.name)
    parts = [f"`{word}` in {len(names)} ({', '.join(names)})" for word, names in said.items()]
    return "; ".join(parts) or "none"


# The page


def html(entries: Sequence[Entry], present: str) -> str:
    """The page of the last result, with a list of all results. Raises IndexError when there is
    none."""
    last = entries[-1]
    return fill(
        "calibration.html.j2",
        "calibration",
        last=last,
        mark=mark_of_older_version(last, present),
        tables=[*tables(last.outcomes, last.configs), _all(entries)],
    )


def _all(entries: Sequence[Entry]) -> Table:
    """One row per judged range, so that no earlier result is forgotten."""
    head = ("seeds", "date", "commit", "detectors", "right, of all", "alarms in healthy runs")
    rows = tuple(
        (entry.range, entry.date, entry.commit, entry.digest, _right(entry), _healthy_alarms(entry))
        for entry in entries
    )
    return Table("Every range that was judged", "The last one is shown above.", head, rows)


def _right(entry: Entry) -> str:
    groups = grouped(entry.outcomes)
    counts = {name: tally(name, runs) for name, runs in groups.items() if name != UNLABELLED}
    return ", ".join(f"{name} {count.right} of {count.runs}" for name, count in counts.items())


def _healthy_alarms(entry: Entry) -> str:
    groups = grouped(entry.outcomes)
    return str(sum(len(alarms(groups.get(name, ()))) for name in (HEALTHY_RUN, LABELLED)))


if __name__ == "__main__":
    write()
