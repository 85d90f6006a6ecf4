"""Labels of a folder of logs: a text file that says which verdict is right for each run.

docs/labelled-logs.md describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from probes.common.text import did_you_mean
from probes.readers.column_mapping import mapping_of

VERDICTS = ("unhealthy", "healthy", "undetermined", "unreadable")
CONFIDENCES = ("high", "medium", "low")
REQUIRED_COLUMNS = ("file", "verdict")
COLUMNS = (*REQUIRED_COLUMNS, "causes", "step", "group", "confidence", "map")
_VERDICT_OF_RUN = re.compile(
    rf"((?P<run>\S.*?)\s+)??(?P<verdicts>({'|'.join(VERDICTS)})( or ({'|'.join(VERDICTS)}))*)"
)


class LabelError(ValueError):
    """A file of labels cannot be used. The message says where, what is wrong and what to do."""


@dataclass(frozen=True)
class Label:
    """What is right for one run.

    file        path of the log, relative to the folder
    run         name of the run in a log with several runs; "" if the label is of the whole log
    verdicts    the verdicts that are right
    causes      the causes that are right for an unhealthy run; () if none is labelled
    step        the step of the decisive finding; None if none is labelled
    group       the origin of the log
    confidence  how sure the label is: "high", "medium" or "low"
    mapping     signal -> column of the log
    """

    file: str
    run: str
    verdicts: tuple[str, ...]
    causes: tuple[str, ...] = ()
    step: int | None = None
    group: str = ""
    confidence: str = "high"
    mapping: Mapping[str, str] = field(default_factory=dict)

    @property
    def expected(self) -> str | None:
        """The verdict under which the run counts in a table: the only right one besides
        "unreadable". None if several verdicts are right, so that neither is an error."""
        certain = [each for each in self.verdicts if each != "unreadable"] or ["unreadable"]
        return certain[0] if len(certain) == 1 else None

    @property
    def name(self) -> str:
        """The file, followed by the run if the label is of one run in it."""
        return f"{self.file} [{self.run}]" if self.run else self.file


def read_labels(path: Path, folder: Path) -> list[Label]:
    """Read the labels of the logs in a folder.

    Raises LabelError if a line cannot be used, if a file is not in the folder, if there is no
    folder, and if there are no labels; OSError if the file of labels cannot be opened.
    """
    if not folder.is_dir():
        raise LabelError(f"{folder} is not a folder; give the folder that holds the labelled logs")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise LabelError(f"{path} is empty; its first line has to be {'|'.join(COLUMNS)}")
    columns = _columns(lines[0][1], f"{path}, line {lines[0][0]}")
    labels: dict[tuple[str, str], Label] = {}
    for number, line in lines[1:]:
        if line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        for label in _labels(line, columns, where):
            if not (folder / label.file).is_file():
                raise LabelError(
                    f"{where}: {folder} holds no file {label.file!r:.90}; write the path of the "
                    "log relative to this folder, or remove the line"
                )
            if (label.file, label.run) in labels:
                raise LabelError(
                    f"{where}: {label.name!r:.90} has a label already; keep one of the lines, or "
                    "name the run before each verdict"
                )
            labels[label.file, label.run] = label
    if not labels:
        raise LabelError(f"{path} has no label below its first line; write one line per log")
    return list(labels.values())


def _columns(header: str, where: str) -> list[str]:
    """The names of the columns: the first word of each cell of the first line."""
    names = [(re.findall(r"\w+", cell) or [""])[0] for cell in header.split("|")]
    for name in names:
        if name not in COLUMNS:
            hint = did_you_mean(name, COLUMNS)
            raise LabelError(
                f"{where}: there is no column {name!r:.60}; {hint}{' ' if hint else ''}the first "
                f"line names columns among {', '.join(COLUMNS)}, separated by |"
            )
        if names.count(name) > 1:
            raise LabelError(f"{where}: the column {name} is named twice; keep one of them")
    for name in REQUIRED_COLUMNS:
        if name not in names:
            raise LabelError(f"{where}: the column {name} is missing; add it to the first line")
    return names


def _labels(line: str, columns: list[str], where: str) -> Iterator[Label]:
    """The labels of one line: one, or one for each run that it names."""
    cells = [cell.strip() for cell in line.split("|")]
    if len(cells) != len(columns):
        raise LabelError(
            f"{where}: {len(cells)} cells, but the first line names {len(columns)} columns "
            f"({'|'.join(columns)}); leave a cell empty where there is nothing to say"
        )
    row = dict.fromkeys(COLUMNS, "") | dict(zip(columns, cells, strict=True))
    if not row["file"]:
        raise LabelError(f"{where}: the file is empty; write the path of the log")
    confidence = row["confidence"] or CONFIDENCES[0]
    if confidence not in CONFIDENCES:
        raise LabelError(_expected(where, "confidence", confidence, CONFIDENCES))
    if row["step"] and not re.fullmatch(r"-?\d+", row["step"]):
        raise LabelError(
            f"{where}: the step is {row['step']!r:.60}; write an integer, or leave the cell empty"
        )
    try:
        mapping = mapping_of(pair.strip() for pair in row["map"].split(",") if pair.strip())
    except (ValueError, KeyError) as error:
        raise LabelError(f"{where}: the map {row['map']!r:.60} is wrong: {error}") from error
    for run, verdicts in _verdicts(row["verdict"], where):
        unhealthy = "unhealthy" in verdicts
        yield Label(
            row["file"],
            run,
            verdicts,
            tuple(re.findall(r"[^\s,][^,]*", row["causes"])) if unhealthy else (),
            int(row["step"]) if row["step"] and unhealthy else None,
            row["group"] or row["file"],
            confidence,
            mapping,
        )


def _verdicts(cell: str, where: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name of each run, "" for the whole log, and the verdicts that are right for it."""
    for part in cell.split(";"):
        found = _VERDICT_OF_RUN.fullmatch(part.strip())
        if found is None:
            raise LabelError(_expected(where, "verdict", part.strip(), VERDICTS))
        if ";" in cell and not found["run"]:
            raise LabelError(
                f"{where}: the verdict {part.strip()!r:.60} does not name its run; with several "
                "runs in one log write RUN VERDICT; RUN VERDICT"
            )
        yield found["run"] or "", tuple(found["verdicts"].split(" or "))


def _expected(where: str, column: str, observed: str, known: tuple[str, ...]) -> str:
    hint = did_you_mean(observed, known)
    joined = ", several of them joined by ' or '" if column == "verdict" else ""
    return (
        f"{where}: the {column} is {observed!r:.60}; {hint}{' ' if hint else ''}"
        f"write one of {', '.join(known)}{joined}"
    )
