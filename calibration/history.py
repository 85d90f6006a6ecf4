"""Every judged result ever obtained, and the rule that a range of seeds judges once:
`reports/calibration.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.outcome import Outcome
from calibration.tally import summary

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("reports", "calibration.json")
"""Below the root of the project."""


class SpentError(RuntimeError):
    """A range of seeds that has already judged something else."""


@dataclass(frozen=True)
class Entry:
    """One judged range.

    digest   of what judged (`calibration.digest`)
    seeds    the lowest and the highest
    configs  sampled config -> its leaves that are drawn
    """

    commit: str
    date: str
    digest: str
    seeds: tuple[int, int]
    configs: Mapping[str, Mapping[str, Any]]
    outcomes: tuple[Outcome, ...]


def load(root: Path = ROOT) -> tuple[Entry, ...]:
    """The entries, the oldest first; () when nothing was ever judged."""
    if not (root / FILE).exists():
        return ()
    return tuple(
        _entry(each) for each in json.loads((root / FILE).read_text(encoding="utf-8"))["judged"]
    )


def refuse_spent(entries: Sequence[Entry], digest: str, seeds: tuple[int, int]) -> None:
    """Raises SpentError when any of these seeds has judged other detectors, other thresholds or
    another HEALTHY."""
    for entry in entries:
        if entry.digest != digest and entry.seeds[0] <= seeds[1] and seeds[0] <= entry.seeds[1]:
            raise SpentError(
                f"seeds {entry.seeds[0]}-{entry.seeds[1]} judged {entry.digest} at commit {entry.commit}, and what "
                f"judges is {digest} now: a threshold, a detector or a config changed after their results were seen. "
                f"They are choosing seeds from now on; set JUDGING_FROM in model/seeds.py above {entry.seeds[1]} "
                "and train the fresh range"
            )


def joined(entries: Sequence[Entry], new: Entry) -> tuple[Entry, ...]:
    """The entries with a new one, unless it says what the last one of its digest and range has said
    already."""
    same = [e for e in entries if (e.digest, e.seeds) == (new.digest, new.seeds)]
    if same and [one.row() for one in same[-1].outcomes] == [one.row() for one in new.outcomes]:
        return tuple(entries)
    return (*entries, new)


def save(entries: Sequence[Entry], root: Path = ROOT) -> None:
    """Write the entries, one line a run."""
    text = '{"judged": [\n' + ",\n".join(map(_text, entries)) + "\n]}\n"
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text(text, encoding="utf-8")


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


def _entry(read: Mapping[str, Any]) -> Entry:
    first, last = read["range"]
    outcomes = tuple(map(Outcome.of_row, read["runs"]))
    return Entry(
        read["commit"], read["date"], read["digest"], (first, last), read["configs"], outcomes
    )
