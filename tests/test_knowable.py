"""The table of what can be known holds together, its page is written from it, and no alarm is raised against it."""

import pytest

from probes.causes import BY_NAME as CAUSES
from scripts.knowable import FULL, PAGE, judged, page
from tests.faults import CASES
from tests.knowable import BY_NAME, CALLED, ROWS, SETS, Row, met, named, note
from tests.log_files import VARIANTS

AS_IT_IS = "as it is"
CELLS = [(row, label) for row in ROWS for label in SETS]


def test_every_fault_has_a_verdict_from_every_set_of_signals():
    """`cell` raises where the table is silent."""
    assert len([row.cell(SETS[label]) for row, label in CELLS]) == 7 * len(ROWS) >= 7 * 20


def test_a_silent_table_says_so():
    """Rather than an answer that nobody wrote."""
    with pytest.raises(LookupError, match=r"overfit: nothing is said of loss$"):
        Row("overfit", "", (named("overfit", needs="val_loss", why=""),)).cell(SETS["loss"])


def test_the_rule_that_knows_most_counts():
    """Of those whose signals are there."""
    row = Row("x", "", (note("little", ""), named("b", needs="lr", why=""), named("c", needs="grad_norm lr", why="")))
    assert [str(row.cell(SETS[label])) for label in ("loss, val_loss", "loss, lr", FULL)] == [
        "note: little",
        "`b`",
        "`c`",
    ]


def test_runs_that_look_alike_get_the_same_verdict():
    """From the same signals: what is sick and what is in order cannot be told apart by wishing."""
    unlike = []
    for row, label in CELLS:
        known = row.cell(SETS[label])
        if known.like:
            other = BY_NAME[known.like].cell(SETS[label])
            if (known.verdict, set(known.causes)) != (other.verdict, set(other.causes)):
                unlike.append((row.name, label, known.like))
    assert unlike == []


def test_a_further_signal_never_makes_a_sick_run_well():
    """What is known stays known, and not every cause that was possible need stay so."""
    lost = []
    for row in ROWS:
        for fewer in SETS.values():
            for more in SETS.values():
                sick = fewer < more and row.cell(fewer).verdict == "unhealthy"
                if sick and row.cell(more).verdict != "unhealthy":
                    lost.append((row.name, fewer, more))
    assert lost == []


def test_every_row_has_a_training_and_every_training_a_row():
    """A row that nothing is tried on is an opinion."""
    assert {case.row for case in CASES.values()} == set(BY_NAME)


def test_the_names_of_today_are_causes():
    """By which the diagnosis calls what the table calls otherwise."""
    assert [cause for names in CALLED.values() for cause in names if cause not in CAUSES] == []
    known = named("plateau", "overfit", why="")
    assert [met(known, cause) for cause in ("overfit", "blind-to-input", "mask-leak", None)] == [
        True,
        True,
        False,
        False,
    ]


def test_the_page_is_written_from_the_table():
    """`python scripts/knowable.py --write` writes it afresh."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("| exploding-gradients |") == 2
    assert text == page(text)


# No alarm where none can be known. FALSE_ALARMS are those that are still raised, by why they are.

WORDS = ("all", "10th", "50th", "noise", "half")
PLACES = {"loss": ("loss", AS_IT_IS), **{word: (FULL, name) for word, name in zip(WORDS, VARIANTS, strict=True)}}
NOISE = "loss-spike takes noise for a jump: it grows as a model gets confident, and a loss of squares has heavy tails"
OVERFLOW = "an infinite gradient norm of half precision counts as non-finite although the loss is finite"
FALSE_ALARMS = {
    NOISE: {
        "peak-too-high-plain": "loss",
        "blind-skewed": "loss all half",
        "far-start": "loss all noise half",
        "cosine": "loss all noise half",
        "cosine-again": "loss all half",
        "momentum": "loss all half",
        "regression-constant": "loss all noise",
        "in-millions": "loss all noise",
    },
    OVERFLOW: {"half-precision": "all noise half"},
}
WRONG = {
    (name, *PLACES[word]): reason
    for reason, cases in FALSE_ALARMS.items()
    for name, words in cases.items()
    for word in words.split()
}


def harmless():
    """(case, signals, variant) for which the table knows of no alarm."""
    params = []
    for name, case in CASES.items():
        for label in ("loss", FULL):
            if BY_NAME[case.row].cell(SETS[label]).verdict != "unhealthy":
                for variant in VARIANTS if label == FULL else [AS_IT_IS]:
                    where = (name, label, variant)
                    reason = WRONG.get(where)
                    marks = [pytest.mark.xfail(strict=True, reason=reason, raises=AssertionError)] if reason else []
                    params.append(pytest.param(*where, marks=marks, id=", ".join(where)))
    return params


@pytest.mark.parametrize(("name", "signals", "variant"), harmless())
def test_no_alarm_where_none_can_be_known(name, signals, variant, tmp_path):
    """Whatever the cadence, the noise and the length."""
    diagnosis = judged(name, signals, variant, tmp_path)
    assert diagnosis is None or not diagnosis.alarm, str(diagnosis)
