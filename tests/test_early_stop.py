"""A run whose cause is certain can be ended, and diagnosing it on the way takes time that is linear
in its length."""

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from model import HEALTHY, build
from model.config import change
from probes import Record, watch
from probes.diagnosis.early_stop import CONFIRMATIONS, EarlyStop
from probes.record import Stop
from tests.records import FACTS, STEPS, hand_made, sound

SHORT = replace(
    HEALTHY, steps=12, eval_every=3, optimizer=replace(HEALTHY.optimizer, warmup_steps=3)
)
DOOMED = change(SHORT, "model.init_scale", 100.0)

SICK = hand_made({"lr": [0.0] * STEPS, **{k: v for k, v in sound().items() if k != "lr"}}, **FACTS)
SOUND = hand_made(sound(), **FACTS)


def causes_after(online: EarlyStop, records: list[Record]) -> list[str | None]:
    """The certain cause after each of these records."""
    return [online.certain_cause(partial(lambda record: record, record)) for record in records]


def test_a_cause_is_certain_after_three_diagnoses_in_a_row() -> None:
    """Each of the three diagnoses must rank the cause first."""
    assert causes_after(EarlyStop(), [SICK] * 4) == [
        *[None] * (CONFIRMATIONS - 1),
        "lr-zero",
        "lr-zero",
    ]


def test_a_cause_that_comes_and_goes_is_not_certain() -> None:
    """Another cause in between restarts the count."""
    other = hand_made({**sound(), "loss": [90.0, *sound()["loss"][1:]]}, **FACTS)
    assert causes_after(EarlyStop(), [SICK, SICK, other, SICK, SICK]) == [None] * 5


def test_a_healthy_run_has_no_certain_cause() -> None:
    """This holds however often the run is diagnosed."""
    assert causes_after(EarlyStop(), [SOUND] * 10) == [None] * 10


@pytest.mark.parametrize("evaluations", [1_000, 10_000, 100_000])
def test_the_total_cost_is_linear_in_the_length_of_the_run(evaluations: int) -> None:
    """All diagnoses together look at no more than 22 times the evaluations of the run."""
    looked_at = 0
    online = EarlyStop()
    for length in range(1, evaluations + 1):

        def record(length: int = length) -> Record:
            nonlocal looked_at
            looked_at += length
            return SOUND

        online.certain_cause(record)
    assert evaluations < looked_at < 22 * evaluations


def test_no_diagnosis_is_later_than_a_twentieth_of_the_run() -> None:
    """The first ones come after each evaluation."""
    judged: list[int] = []

    def record(evaluation: int) -> Record:
        judged.append(evaluation)
        return SOUND

    online = EarlyStop()
    for evaluation in range(1, 2001):
        online.certain_cause(partial(record, evaluation))
    assert judged[:20] == list(range(1, 21))
    assert all(later <= max(earlier + 1, 1.05 * earlier) for earlier, later in pairwise(judged))


def test_a_cause_that_shows_late_is_confirmed_at_once() -> None:
    """The next two evaluations confirm the cause, however long the run has been."""
    online = EarlyStop()
    named, answered = 0, 0
    for evaluation in range(1, 2001):

        def record(evaluation: int = evaluation) -> Record:
            nonlocal named
            named = named or (evaluation if evaluation >= 1500 else 0)
            return SICK if evaluation >= 1500 else SOUND

        if online.certain_cause(record):
            answered = evaluation
            break
    assert 1500 <= named <= 1500 * 1.05
    assert answered == named + CONFIRMATIONS - 1


def test_causes_that_keep_changing_cost_at_most_three_times_as_much() -> None:
    """The run is then diagnosed three times where one diagnosis was due."""
    other = hand_made({**sound(), "loss": [90.0, *sound()["loss"][1:]]}, **FACTS)
    online, judged = EarlyStop(), 0
    for evaluation in range(1, 10_001):

        def record(evaluation: int = evaluation) -> Record:
            nonlocal judged
            judged += 1
            return SICK if judged % 2 else other

        assert online.certain_cause(record) is None, evaluation
    assert judged < 3 * 200


# With a run


def test_a_doomed_run_ends_early_and_records_what_that_saved(tmp_path: Path) -> None:
    """The run ends at its third evaluation. The record in memory and the file both say so."""
    record = watch(build(DOOMED), tmp_path / "run.jsonl", stop_when_certain=True)
    assert record.stopped == Stop(8, 12, "bad-init")
    assert (
        str(record.stopped)
        == "stopped after step 8 of 12, certain of bad-init: 3 steps (25%) saved"
    )
    assert (len(record.steps), record.complete) == (9, False)
    loaded = Record.load(tmp_path / "run.jsonl")
    assert (loaded.stopped, loaded.complete) == (record.stopped, False)


def test_a_healthy_run_is_trained_to_its_end() -> None:
    """The diagnoses during the run do not end it early."""
    record = watch(build(SHORT), stop_when_certain=True)
    assert (record.stopped, record.complete, len(record.steps)) == (None, True, 12)


def test_a_doomed_run_is_trained_to_its_end_by_default() -> None:
    """The record of an experiment is that of the whole run."""
    assert len(watch(build(DOOMED)).steps) == 12


def test_a_stop_without_a_declared_length_gives_no_share() -> None:
    """Without the planned length, the number of saved steps is not known."""
    assert str(Stop(8, None, "bad-init")) == "stopped after step 8, certain of bad-init"


@pytest.mark.parametrize(
    "stopped",
    [
        "early",
        {"step": "8", "total_steps": 30, "cause": "x"},
        {"step": 8, "total_steps": 0, "cause": "x"},
        {"step": 8},
    ],
)
def test_a_malformed_stop_in_a_file_is_an_error(tmp_path: Path, stopped: Any) -> None:
    """The message says what was expected."""
    path = tmp_path / "run.jsonl"
    lines = [{"probes_record": 1}, {"end": {"complete": False, "stopped": stopped}}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(ValueError, match="it must be an object of step, total_steps and cause"):
        Record.load(path)


def test_detectors_do_not_see_why_a_run_was_stopped() -> None:
    """The cause it was stopped for is no evidence."""
    stopped = replace(SOUND, stopped=Stop(3, 40, "bad-init"))
    assert stopped.anonymous().stopped is None


def test_a_run_is_diagnosed_only_at_evaluations() -> None:
    """A specimen that never evaluates before its end is never stopped."""
    specimen: Any = build(replace(DOOMED, eval_every=12))
    assert len(watch(specimen, stop_when_certain=True).steps) == 12
