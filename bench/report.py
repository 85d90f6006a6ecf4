"""The figures as a table for the terminal, as reports/bench.json, and as a block of README.md."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from bench.figures import Figure
from bench.step import NOTE
from probes.common.files import write_output
from testing.marker_blocks import write_block
from testing.tables import Table

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("reports", "bench.json")
README = Path("README.md")
"""Both below the root of the project."""
BLOCK = "cost"
TERMINAL_WIDTH = 116
HEAD = ("figure", "measured", "99 % interval", "target", "verdict", "compared with")


@dataclass(frozen=True)
class Report:
    """The result of one benchmark.

    date     in ISO form
    commit   what was measured; it says so when files differed from the commit
    machine  property -> value (`bench.machine`)
    """

    date: str
    commit: str
    machine: Mapping[str, str]
    figures: tuple[Figure, ...]

    def table(self) -> str:
        """Every figure as a table, followed by the machine."""
        rows = tuple(figure.cells() for figure in self.figures)
        table = Table(f"What it costs, at {self.commit}", "", HEAD, rows)
        machine = [f"{name:7} {value}" for name, value in self.machine.items()]
        return "\n".join([table.as_text(), "", *wrap(NOTE, TERMINAL_WIDTH), "", *machine])


def save(report: Report, root: Path = ROOT) -> None:
    """Write reports/bench.json, one line per figure."""
    head = {"date": report.date, "commit": report.commit, "machine": dict(report.machine)}
    opening = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    figures = ",\n".join(
        "  " + json.dumps(figure.as_json(), ensure_ascii=False, allow_nan=False)
        for figure in report.figures
    )
    write_output(root / FILE, f'{opening},\n "figures": [\n{figures}\n ]\n}}\n')


def load(root: Path = ROOT) -> Report | None:
    """Read reports/bench.json. Return None if the file does not exist."""
    if not (root / FILE).exists():
        return None
    content = json.loads((root / FILE).read_text(encoding="utf-8"))
    figures = tuple(map(Figure.from_json, content["figures"]))
    return Report(content["date"], content["commit"], content["machine"], figures)


def readme_block(report: Report | None) -> str:
    """The block of README.md: the figures that have a target, and all ratios."""
    if report is None:
        return "Not measured yet: `make bench` measures it, in some minutes."
    shown = [f for f in report.figures if f.target is not None or f.unit == "x"]
    table = Table("", "", HEAD, tuple(figure.cells() for figure in shown))
    machine = ", ".join(
        value
        if name in ("CPU", "system")
        else f"{name}: {value}"
        if name == "cores"
        else f"{name} {value}"
        for name, value in report.machine.items()
    )
    source = (
        f"Measured by `make bench` at commit `{report.commit}` on {report.date}; every figure is "
        f"in [reports/bench.json](reports/bench.json). The machine: {machine}."
    )
    return "\n\n".join([source, table.as_markdown(), NOTE])


def write_readme(root: Path = ROOT) -> None:
    """Copy the figures into README.md. Raises MissingBlockError."""
    write_block(root / README, BLOCK, readme_block(load(root)))


def commit(root: Path = ROOT) -> str:
    """The present commit, with a remark when files differ from it; "unknown" without git."""
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
