"""The Markdown summary for GitHub: its rows, and that no name in it becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace

from probes.report import markdown
from probes.report.judged_run import UnreadRun
from tests.outputs import HOSTILE, SICK, judged, markdown_rows
from tests.records import changed


def test_a_summary_has_a_row_for_each_run_unhealthy_runs_first() -> None:
    """A row contains the finding, the remedy and the path of the record."""
    runs = [
        judged(changed(), "a"),
        judged(SICK, "b", allowed=True),
        UnreadRun("c", "c.csv", "it is cut"),
    ]
    text = markdown.summary(runs)
    sick, unread, healthy = markdown_rows(text)
    assert sick[:4] == ["b", "unhealthy, allowed", "bad-init", "0"]
    assert sick[4].startswith("initial-loss-high, step 0: 200")
    assert sick[5:] == [judged(SICK).diagnosis.remedy, "b.jsonl"]
    assert unread == ["c", "not judged", "", "", "it is cut", "", "c.csv"]
    assert healthy[:4] == ["a", "healthy", "", ""]
    assert (
        "none found anything; remark: lr starts at its peak: 0.02 at step 0; this is normal"
        in healthy[4]
    )
    assert text.startswith("### Training diagnosis: 1 unhealthy, 1 not judged, 1 healthy\n")


def test_the_evidence_is_followed_by_each_remark_that_fits() -> None:
    """A remark is never cut. A cause is named with the causes it may be mistaken for."""
    run = judged(SICK)
    cause = replace(run.diagnosis.causes[0], or_else=("lr-too-high",))
    remarks = ("lr is constant: 0.01", "x" * markdown.MAX_CELL_CHARACTERS, "and short")
    diagnosis = replace(run.diagnosis, causes=(cause,), remarks=remarks)
    ((_, _, title, _, evidence, *_),) = markdown_rows(
        markdown.summary([replace(run, diagnosis=diagnosis)])
    )
    assert title == "bad-init or lr-too-high"
    assert evidence == f"{cause.gist}; remark: lr is constant: 0.01; remark: and short"


def test_a_summary_states_the_page_what_is_missing_and_the_notes_of_tests() -> None:
    text = markdown.summary(
        [judged(changed())], ["only this ran"], ["it cost 3 %"], "reports/page.html"
    )
    assert "\nPartial: only this ran.\n" in text
    assert "\nNote: it cost 3 %\n" in text
    assert "\nDashboard: reports/page.html\n" in text


def test_no_name_becomes_markup() -> None:
    """A reader sees the name, with escapes for characters that could control a terminal."""
    text = markdown.summary([judged(SICK, HOSTILE)], [HOSTILE], [HOSTILE])
    ((name, *_),) = markdown_rows(text)
    assert name == " ".join(HOSTILE.split()).replace("\x1b", r"\x1b")
    assert text.count("&#64;") == text.count("<span>&#64;</span>") == 4
    for line in text.splitlines():
        if not line.startswith(("###", "| ---")):
            inner = line.replace("<span>&#64;</span>", "").replace("| ", "").removesuffix("|")
            assert not re.search(
                r"[|`<>*_\[\]\\~:@]|#(?!\d+;)|www\.", re.sub("^(Note|Partial):", "", inner)
            ), line


def test_a_summary_has_a_maximum_size() -> None:
    """GitHub refuses a summary above 1 MiB. No row is cut; the last line counts those left out."""
    text = markdown.summary([judged(SICK, "@" * 10_000)] * 400)
    size = len(text.encode())
    assert markdown.MAX_TABLE_BYTES * 0.9 < size < markdown.MAX_TABLE_BYTES * 1.1
    assert f"\nand {400 - len(markdown_rows(text))} more\n" in text
    assert len({len(row) for row in markdown_rows(text)}) == 1
