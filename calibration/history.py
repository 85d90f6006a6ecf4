"""All judged results, and the rule that a range of seeds is published once: the file
reports/calibration.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.outcome import Outcome
from calibration.tally import summary
from probes.common.files import write_output

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("reports", "calibration.json")
"""Below the root of the project."""


class SeedsUsedError(RuntimeError):
    """A range of seeds has already judged other detectors."""


@dataclass(frozen=True)
class Entry:
    """The result of one judged range of seeds.

    commit, date  the version of the detectors
    digest        their hash (`calibration.digest`)
    seeds         the lowest and the highest seed
    configs       name of each sampled config -> the leaves that were drawn
    """

    commit: str
    date: str
    digest: str
    seeds: tuple[int, int]
    configs: Mapping[str, Mapping[str, Any]]
    outcomes: tuple[Outcome, ...]

    @property
    def version(self) -> str:
        return f"{self.commit} ({self.date})"

    @property
    def range(self) -> str:
        return f"{self.seeds[0]}-{self.seeds[1]}"


def load(root: Path = ROOT) -> tuple[Entry, ...]:
    """The entries, the oldest first; () when nothing was judged yet."""
    if not (root / FILE).exists():
        return ()
    content = json.loads((root / FILE).read_text(encoding="utf-8"))
    return tuple(map(_entry, content["judged"]))


def refuse_used_seeds(entries: Sequence[Entry], digest: str, seeds: tuple[int, int]) -> None:
    """Raise SeedsUsedError when any of these seeds has judged other detectors or configs.

    The detectors may have been changed with those results in mind, so that the seeds are no longer
    independent of the thresholds."""
    for entry in entries:
        if entry.digest != digest and entry.seeds[0] <= seeds[1] and seeds[0] <= entry.seeds[1]:
            raise SeedsUsedError(
                f"seeds {entry.range} judged the detectors of commit {entry.commit}, and a "
                "detector, a threshold or a config changed since. To see what the present "
                "detectors say of the same runs, without publishing it, use --again. For a "
                f"release, set JUDGING_FROM in model/seeds.py above {entry.seeds[1]} and train the "
                "fresh range with `make calibrate`"
            )


def with_entry(entries: Sequence[Entry], new: Entry) -> tuple[Entry, ...]:
    """Add an entry, unless the last one of the same detectors and seeds has the same outcomes."""
    same = [e for e in entries if (e.digest, e.seeds) == (new.digest, new.seeds)]
    if same and [one.row() for one in same[-1].outcomes] == [one.row() for one in new.outcomes]:
        return tuple(entries)
    return (*entries, new)


def save(entries: Sequence[Entry], root: Path = ROOT) -> None:
    """Write the entries, one line per run."""
    write_output(root / FILE, '{"judged": [\n' + ",\n".join(map(_text, entries)) + "\n]}\n")


def _text(entry: Entry) -> str:
    head = {
        "commit": entry.commit,
        "date": entry.date,
        "digest": entry.digest,
        "range": list(entry.seeds),
        "summary": summary(entry.outcomes),
    }
    configs = ",\n".join(
        f"  {_json(name)}: {_json(leaves)}" for name, leaves in entry.configs.items()
    )
    runs = ",\n".join(f"  {_json(one.row())}" for one in entry.outcomes)
    opening = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    return f'{opening},\n "configs": {{\n{configs}\n }},\n "runs": [\n{runs}\n ]\n}}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _entry(content: Mapping[str, Any]) -> Entry:
    first, last = content["range"]
    return Entry(
        content["commit"],
        content["date"],
        content["digest"],
        (first, last),
        content["configs"],
        tuple(map(Outcome.of_row, content["runs"])),
    )
