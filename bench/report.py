"""Figures as a table on the terminal, as `reports/bench.json`, and as the README's block, made of
that file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from bench.figures import Figure
from bench.step import NOTE
from calibration import readme
from calibration.page import markdown, plain
from calibration.tables import Table

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("reports", "bench.json")
"""Below the root of the project."""
BLOCK = "cost"
WIDTH = 116
HEAD = ("figure", "measured", "99 % interval", "target", "verdict", "against")
NOT_MEASURED = "Not measured yet: `make bench` does, in some minutes."


@dataclass(frozen=True)
class Report:
    """What one `make bench` found. commit: what was measured, marked where files differed from
    it."""

    date: str
    commit: str
    machine: Mapping[str, str]
    figures: tuple[Figure, ...]

    def table(self) -> str:
        """Every figure, and what it was measured on."""
        rows = tuple(figure.cells() for figure in self.figures)
        lines = [f"{name:7} {value}" for name, value in self.machine.items()]
        return "\n".join(
            [
                plain(Table(f"What it costs, at {self.commit}", "", HEAD, rows)),
                "",
                *wrap(NOTE, WIDTH),
                "",
                *lines,
            ]
        )


def save(report: Report, root: Path = ROOT) -> None:
    """Write it, one line a figure."""
    head = {"date": report.date, "commit": report.commit, "machine": dict(report.machine)}
    opening = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    figures = ",\n".join(
        "  " + json.dumps(figure.row(), ensure_ascii=False, allow_nan=False)
        for figure in report.figures
    )
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text(f'{opening},\n "figures": [\n{figures}\n ]\n}}\n', encoding="utf-8")


def load(root: Path = ROOT) -> Report | None:
    """The last one written; None when there is none."""
    if not (root / FILE).exists():
        return None
    read = json.loads((root / FILE).read_text(encoding="utf-8"))
    return Report(
        read["date"], read["commit"], read["machine"], tuple(map(Figure.of_row, read["figures"]))
    )


def block(report: Report | None) -> str:
    """What stands in the README: the figures that have a target, and ratios that have none."""
    if report is None:
        return NOT_MEASURED
    rows = tuple(
        figure.cells()
        for figure in report.figures
        if figure.target is not None or figure.unit == "x"
    )
    lede = (
        f"Measured by `make bench` at commit `{report.commit}` on {report.date}; every figure stands in "
        f"[reports/bench.json](reports/bench.json). The machine: {_one_line(report.machine)}."
    )
    return "\n\n".join([lede, markdown(Table("", "", HEAD, rows)), NOTE])


def write_readme(root: Path = ROOT) -> None:
    """Put the block into its place. Raises NoPlaceError without markers."""
    readme.put(block(load(root)), BLOCK, root)


def commit(root: Path = ROOT) -> str:
    """The present one, marked when files differ from it; "unknown" where git does not tell."""
    try:
        name, changed = (
            subprocess.run(
                ["git", *words], cwd=root, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ("rev-parse", "--short=12", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name} with changes" if changed else name


def _one_line(machine: Mapping[str, str]) -> str:
    said = [
        f"{name} {value}" if name not in ("CPU", "system") else value
        for name, value in machine.items()
    ]
    return ", ".join(said).replace("cores ", "cores: ")
