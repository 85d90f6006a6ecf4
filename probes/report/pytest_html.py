"""The section of one run as a piece of HTML that can stand inside another page."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.report.judged_run import JudgedRun


def panels(run: JudgedRun, place: str) -> str:
    """The diagnosis and the panels, with a style sheet that applies to nothing outside of them.

    place  differs from the place of every other piece on the page; ids are made from it
    """
    from probes.report.document import fill
    from probes.report.run_section import run_section

    digest = sha256(f"{place}\n{run.name}".encode(errors="replace")).hexdigest()
    return fill("embedded.html.j2", run=run_section(run, f"run-{digest[:12]}", None))
