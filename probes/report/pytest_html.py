"""The section of one run as a piece of HTML for another page, such as the report of pytest-html."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.report.judged_run import JudgedRun


def panels(run: JudgedRun, place: str) -> str:
    """The HTML of the diagnosis and the panels. Its style sheet does not affect the rest of the
    page.

    place  a text that is unique among the pieces on the page; the ids are computed from it
    """
    from probes.report.document import fill
    from probes.report.run_section import run_section

    digest = sha256(f"{place}\n{run.name}".encode(errors="replace")).hexdigest()
    return fill("embedded.html.j2", run=run_section(run, f"run-{digest[:12]}", None))
