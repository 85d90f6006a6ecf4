"""Recognises the files of trackers that are not read, and says how to export a run from them.

These files are databases or archives in forms that only the tracker's own package can read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MAX_SEARCHED_FILES = 10_000
"""A folder is searched for the files of trackers up to this number of files."""

ADVICE = {
    "Weights & Biases": (
        "export the run as CSV: in the browser with Export CSV at a chart, or in Python with "
        "`pandas.DataFrame(wandb.Api().run('ENTITY/PROJECT/RUN').scan_history())"
        ".to_csv('run.csv')`; a run that was recorded offline is uploaded first with `wandb sync "
        "FOLDER`"
    ),
    "Aim": (
        "export the metrics of a run as CSV in Python: `pandas.DataFrame({metric.name: "
        "pandas.Series(dict(zip(*metric.values.sparse_list()))) for metric in "
        "aim.Repo('.').get_run('HASH').metrics()}).to_csv('run.csv', index_label='step')`"
    ),
    "Comet": (
        "export the metrics of an experiment as CSV in Python: `pandas.DataFrame(comet_ml.API()"
        ".get('WORKSPACE/PROJECT/EXPERIMENT').get_metrics()).pivot_table(index='step', "
        "columns='metricName', values='metricValue', aggfunc='last').to_csv('run.csv')`; an "
        "offline experiment is uploaded first with `comet upload FILE.zip`"
    ),
    "Neptune": (
        "export the runs with Neptune's exporter, `neptune-exporter export -p WORKSPACE/PROJECT "
        "--exporter neptune3 --data-path data --files-path files` (`neptune2` for Neptune 2.x), "
        "and write its Parquet files as CSV with `pandas.read_parquet(FILE).to_csv('run.csv')`"
    ),
}
"""Tracker -> how to export a run, according to the documentation of the tracker."""


def export_advice(path: Path) -> str:
    """A sentence that says which tracker wrote a file, or a file in a folder, and how to export a
    run from it; "" if none of these trackers did."""
    for file in _files_in(path) if path.is_dir() else [path]:
        if tracker := _tracker_of(file):
            return (
                f"{file} is a file of {tracker}, which only {tracker} can read; "
                + (ADVICE[tracker])
            )
    return ""


def _files_in(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(place, name)
        count += len(names)
        if count > MAX_SEARCHED_FILES:
            return


def _tracker_of(file: Path) -> str | None:
    folders = Path(os.path.abspath(file)).parts
    if file.suffix == ".wandb":
        return "Weights & Biases"
    if ".aim" in folders:
        return "Aim"
    if ".neptune" in folders:
        return "Neptune"
    if file.suffix == ".zip":
        import zipfile  # slow to import

        try:
            with zipfile.ZipFile(file) as archive:
                names = set(archive.namelist())
        except (OSError, zipfile.BadZipFile):
            return None
        return "Comet" if names >= {"experiment.json", "messages.json"} else None
    return None
