"""One run's page without what was found in it: the panels, the reference behind them, and how to
read both."""

from __future__ import annotations

from collections.abc import Sequence

from exercise.paths import REVEAL
from probes.panels import PANELS
from probes.record import Record
from probes.report.document import document, text
from probes.report.run_section import panel

ANCHOR = "run"
BLOCK = 4096
"""Pages are filled up to a multiple of so many bytes."""

LEDE = (
    "Something went wrong in this run. Find out what from these seven panels alone, and write into diagnoses.toml what "
    "ails it, the first panel that showed it, and what you saw there. When all three are written down, "
    f"<code>{REVEAL}</code> scores them."
)
READING = (
    ("Faint", "the reference: a healthy run of the same seed, which saw the same batches in the same order. Where the "
     "run goes along with it, nothing is wrong; look for the first place where it does not."),
    ("Dashed in panel 1: n-gram baseline", "what the best model scores that knows only a few symbols before each one. "
     "A run that ends below it has learned more than that."),
    ("Dashed in panel 1: floor", "what a model scores that knows all there is to know of the past. The rest is "
     "chance, which nobody can foresee."),
    ("Healthy looks like", "the line below every panel; it holds for any run of this model."),
)  # fmt: skip


def page(run: str, record: Record, reference: Record) -> str:
    """The HTML of one run. All ids and all words outside the charts are the same for every run but
    for its number."""
    heading = f"Blind diagnosis {text(run)}"
    # Neither a provenance nor a diagnosis of this run goes into the drawing, not even where no
    # panel would look at it.
    panels = [panel(one, record.anonymous(), reference.anonymous(), None, ANCHOR) for one in PANELS]
    body = "\n".join(
        [
            f'<header><h1>{heading}</h1>\n<p class="lede">{LEDE}</p></header>',
            f'<main><section class="run" id="{ANCHOR}" aria-label="{heading}">',
            '<div class="grid">',
            _card(),
            *panels,
            "</div>",
            '<output class="live hidden" aria-live="polite"></output>\n</section></main>',
        ]
    )
    return document(body, heading)


def filled(pages: Sequence[str]) -> list[bytes]:
    """The pages as bytes, all of one size: how long a drawing is tells how wild a run was."""
    contents = [page.rstrip("\n").encode() for page in pages]
    size = (max(map(len, contents)) // BLOCK + 1) * BLOCK
    return [content.ljust(size - 1) + b"\n" for content in contents]


def _card() -> str:
    entries = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in READING)
    heading = '<h3 id="reading">How to read it</h3>'
    return (
        f'<article class="card" aria-labelledby="reading">\n{heading}<dl>{entries}</dl></article>'
    )
