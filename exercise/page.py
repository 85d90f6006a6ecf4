"""The page of one run without its diagnosis: the panels, the healthy reference behind them, and how
to read both."""

from __future__ import annotations

from collections.abc import Sequence

from exercise.paths import REVEAL
from probes.record import Record
from probes.report.document import fill
from probes.report.run_section import panel_sections

ANCHOR = "run"
BYTES_PER_BLOCK = 4096
"""Every page is filled up to a multiple of this size."""


def page(run: str, record: Record, reference: Record) -> str:
    """The HTML of one run. All ids, and all words outside the charts, are the same for every run
    except for its number."""
    # The drawing gets neither the provenance nor a diagnosis, so no panel can show them.
    panels = panel_sections(record.anonymous(), None, ANCHOR, reference.anonymous())
    return fill(
        "blind.html.j2", "exercise", number=run, anchor=ANCHOR, panels=panels, reveal=REVEAL
    )


def filled(pages: Sequence[str]) -> list[bytes]:
    """The pages as bytes, all of the same size, because the size of a drawing tells how irregular
    its curves are."""
    contents = [page.rstrip("\n").encode() for page in pages]
    size = (max(map(len, contents)) // BYTES_PER_BLOCK + 1) * BYTES_PER_BLOCK
    return [content.ljust(size - 1) + b"\n" for content in contents]
