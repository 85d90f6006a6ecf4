"""The page of one run without its diagnosis. It shows the panels with a healthy reference run
behind them, and explains how to read both."""

from __future__ import annotations

from collections.abc import Sequence

from exercise.paths import REVEAL
from probes.record import Record
from probes.report.document import fill
from probes.report.run_section import panel_sections

ANCHOR = "run"
BYTES_PER_BLOCK = 4096
"""The common size of all pages is a multiple of this number of bytes."""


def page(run: str, record: Record, reference: Record) -> str:
    """The HTML of one run. Apart from the number of the run, all ids and all words outside the
    charts are the same on every page."""
    # The panels are drawn without the provenance and the diagnosis, so they cannot show them.
    panels = panel_sections(record.anonymous(), None, ANCHOR, reference.anonymous())
    return fill(
        "blind.html.j2", "exercise", number=run, anchor=ANCHOR, panels=panels, reveal=REVEAL
    )


def padded(pages: Sequence[str]) -> list[bytes]:
    """Encode the pages and append spaces until all have the same size. Without this, the size of a
    file would tell how irregular its curves are."""
    contents = [page.rstrip("\n").encode() for page in pages]
    size = (max(map(len, contents)) // BYTES_PER_BLOCK + 1) * BYTES_PER_BLOCK
    return [content.ljust(size - 1) + b"\n" for content in contents]
