"""The table of what can be known holds together, its page is written from it, and the diagnosis
says just that."""

from functools import cache, partial
from itertools import product

import pytest

from probes.diagnosis.causes import BY_NAME as CAUSES
from studies.knowable import FULL, OWN_RECORD, PAGE, gap, judged, page, told
from testing.faults import CASES, GPT
from testing.knowable import BY_NAME, CALLED, ROWS, SETS, Row, met, named, note
from testing.log_files import VARIANTS

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
    row = Row(
        "x",
        "",
        (
            note("little", ""),
            named("b", needs="lr", why=""),
            named("c", needs="grad_norm lr", why=""),
        ),
    )
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


def test_causes_that_cannot_be_told_apart_are_named_together():
    """All of them and no other, whatever their order and their names of today."""
    known = named("plateau", "shuffled-labels", why="")
    assert [
        told(known, "shuffled-labels", ["learns-nothing"]),
        told(known, "plateau", []),
        told(known, "plateau", ["shuffled-labels", "lr-zero"]),
    ] == [True, False, False]


def test_the_page_is_written_from_the_table():
    """`python studies/knowable.py --write` writes it afresh."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("| exploding-gradients |") == 2
    assert text == page(text)


# No alarm where none can be known


def harmless():
    """(case, signals, variant) for which the table knows of no alarm."""
    params = []
    for name, case in CASES.items():
        for label in ("loss", FULL):
            if BY_NAME[case.row].cell(SETS[label]).verdict != "unhealthy":
                variants = VARIANTS if label == FULL else [AS_IT_IS]
                params += [
                    pytest.param(name, label, v, id=", ".join((name, label, v))) for v in variants
                ]
    return params


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """`judged`, each only once."""
    return cache(partial(judged, folder=tmp_path_factory.mktemp("logs")))


@pytest.mark.parametrize(("name", "signals", "variant"), harmless())
def test_no_alarm_where_none_can_be_known(name, signals, variant, judge):
    """Whatever the cadence, the noise and the length."""
    diagnosis = judge(name, signals, variant)
    assert diagnosis is None or not diagnosis.alarm, str(diagnosis)


# What can be known is said


def every_cell():
    """(case, signals): of every log as it is, and of our own records."""
    return [where for where in product(CASES, SETS) if where[0] in GPT or where[1] != OWN_RECORD]


@pytest.mark.parametrize(("name", "signals"), every_cell(), ids=lambda part: part)
def test_what_can_be_known_is_said(name, signals, judge):
    """No more, no less, and with what else it may be."""
    row, diagnosis = BY_NAME[CASES[name].row], judge(name, signals, AS_IT_IS)
    known = row.cell(SETS[signals])
    assert gap(row, known, diagnosis) == "", f"can be known: {known}\n{diagnosis}"
