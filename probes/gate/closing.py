"""The end of a session: read back the runs that tests used, and draw them on one page."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from probes.gate import offers
from probes.gate.session import Failure, Run, Session

if TYPE_CHECKING:
    from probes.record import Record


@dataclass
class Closing:
    """What there is to say at the end of a session.

    runs      those that tests used, and the reference, in the order in which they are offered
    failures  trainings that did not come to their end
    lacks     why they are not everything; empty when they are
    page      the page that was written, None when none was
    document  the diagnosed runs as data, where they were written
    errors    what could not be done, each with its reason; the session has failed when there are any
    """

    runs: Sequence[Run] = ()
    failures: Sequence[Failure] = ()
    lacks: Sequence[str] = ()
    page: Path | None = None
    document: Path | None = None
    errors: list[str] = field(default_factory=list)

    def attempt(self, what: str, action: Callable[[], Run | Path | None]) -> Run | Path | None:
        """The outcome of an action, or None and one more error: no failure here may hide the tests' own results."""
        try:
            return action()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.errors.append(f"{what}: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")
            return None


def close(
    session: Session,
    page: Path | None,
    reasons: Sequence[str],
    fetch: Callable[[str], Run | None],
    notes: Sequence[str] = (),
) -> Closing:
    """Read back what tests used, and draw it; with the reference, if no test asked for that.

    page     where to draw; None: nowhere
    reasons  why the session is partial, beyond what `session` itself can tell
    fetch    gets the run of an experiment that no test asked for; it may train, or decline by None
    notes    sentences that tests left
    """
    closing = Closing(failures=list(session.failures.values()), lacks=[*reasons, *_shortfall(session)])
    found = {
        name: closing.attempt(f"the record of {name} cannot be read back", partial(session.recall, arrival))
        for name, arrival in session.arrived.items()
    }
    reference = offers.reference(session.experiments)
    if page and reference and reference not in found and reference not in session.failures:
        what = f"the reference {reference} is not to be had"
        found[reference] = closing.attempt(what, lambda: fetch(reference))
    names = dict.fromkeys([*session.experiments, *found])
    closing.runs = [run for run in map(found.get, names) if isinstance(run, Run)]
    if page and (drawable := list(_drawable(closing))):
        sentences = [*_notes(closing), *notes]
        drawn = closing.attempt(f"no dashboard at {page}", lambda: _draw(drawable, page, reference, sentences))
        closing.page = page if drawn else None
    return closing


def _shortfall(session: Session) -> Iterator[str]:
    if session.deselected:
        yield f"{session.deselected} {'test' if session.deselected == 1 else 'tests'} deselected"
    if (session.arrived or session.failures) and (missing := session.missing()):
        yield f"no test asked for {', '.join(missing)}"


def _drawable(closing: Closing) -> Iterator[tuple[str, Record]]:
    """The records of the runs, and what trainings that failed have left."""
    yield from ((run.name, run.record) for run in closing.runs)
    for failure in closing.failures:
        if failure.how == "failed" and failure.partial and (record := remains(Path(failure.partial))):
            yield failure.name, record


def remains(partial: Path) -> Record | None:
    """The incomplete record of a training that failed; None when it holds no step or cannot be read."""
    from probes.record import Record

    try:
        record = Record.load(partial)
    except (OSError, ValueError):
        return None
    return record if len(record.steps) else None


def _draw(drawn: Sequence[tuple[str, Record]], page: Path, reference: str | None, notes: Sequence[str]) -> Path:
    from probes.dashboard import render

    page.parent.mkdir(parents=True, exist_ok=True)
    return render(drawn, page, reference=reference if reference in dict(drawn) else None, notes=notes)


def _notes(closing: Closing) -> list[str]:
    """What stands at the top of the page."""
    failed = [f"{one.name} failed in training: {one.reason}." for one in closing.failures if one.how == "failed"]
    return [*failed, *([note(closing.lacks)] if closing.lacks else [])]


def note(lacks: Sequence[str]) -> str:
    return f"Partial page: {'; '.join(lacks)}."
