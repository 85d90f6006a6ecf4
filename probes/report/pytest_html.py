"""A run's section of the dashboard as a piece of HTML that can stand in another page."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.record import Record


def panels(name: str, place: str, record: Record, diagnosis: Diagnosis) -> str:
    """Diagnosis and panels with their own style sheet, which reaches nothing outside of them.

    place  tells this piece apart from all others on the page
    """
    from probes.report.document import stylesheet
    from probes.report.run_section import Sheet, section

    anchor = "run-" + sha256(f"{place}\n{name}".encode(errors="replace")).hexdigest()[:12]
    rules = stylesheet().replace(":root {", "& {")
    return (
        f'<div class="probes"><style>.probes {{ background: var(--bg); color: var(--ink);\n{rules}}}</style>\n'
        f"{section(Sheet(name, anchor, record, diagnosis), None)}\n</div>"
    )
