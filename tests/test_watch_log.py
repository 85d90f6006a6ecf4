"""A growing log is judged again when it has changed, without waiting for time to pass."""

import json
import os
import sys
from collections.abc import Callable
from math import nan
from pathlib import Path

import pytest

from probes import watch_log
from probes.cli import main
from probes.report.judged_run import JudgedRun
from probes.watch_log import LogWatcher, follow
from testing.logs import csv_of, curve, lines_of

Printed = pytest.CaptureFixture[str]
HEALTHY = curve(100)
SICK = [*curve(60), nan, nan]


def rows(losses: list[float], first: int = 0, **more: object) -> str:
    numbered = enumerate(losses[first:], start=first)
    return lines_of(*({"step": step, "loss": loss, **more} for step, loss in numbered))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "train.jsonl"


def said(watcher: LogWatcher) -> list[list[str]]:
    """What the watcher says now: place, step and verdict of each line."""
    return [line.split(": ")[1:3] for line in watcher.look()]


def judged_by(watcher: LogWatcher) -> set[str]:
    """The detectors that judged the only run of the log, or could not judge it."""
    (run,) = watcher.runs
    assert isinstance(run, JudgedRun)
    return {*run.diagnosis.judged, *run.diagnosis.not_judged}


def test_a_line_is_said_when_the_verdict_changes(log: Path) -> None:
    """Not when the log has only grown. Before there is a log, the watcher waits for it."""
    watcher = LogWatcher(log)
    (line,) = watcher.look()
    assert line.startswith(f"waiting for {log}: ")
    assert list(watcher.look()) == []
    log.write_text(rows(HEALTHY[:2]))
    assert said(watcher) == [["step 1", "undetermined"]]
    assert said(watcher) == []
    log.write_text(rows(HEALTHY[:60]))
    assert said(watcher) == [["step 59", "healthy"]]
    log.write_text(rows(HEALTHY[:70]))
    assert said(watcher) == []
    log.write_text(rows(SICK))
    assert said(watcher) == [["step 61", "unhealthy"]]
    assert watcher.is_certain


def test_a_log_that_cannot_be_read_is_said_once(log: Path) -> None:
    """The verdict returns when it can be read again."""
    watcher = LogWatcher(log)
    log.write_text(rows(HEALTHY))
    assert said(watcher) == [["step 99", "healthy"]]
    log.write_text('{"step": 1, "loss": 4.0}\n[1]\n')
    (line,) = watcher.look()
    assert "line 2 is [1]" in line
    log.write_text(rows(HEALTHY) + rows(HEALTHY[:1]).replace("0", "100"))
    assert len(list(watcher.look())) == 1


@pytest.mark.parametrize("how", ["cut", "replaced"])
def test_a_log_that_was_cut_or_replaced_is_followed(
    log: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Also if it is large and the new log is about as long."""
    monkeypatch.setattr(watch_log, "SMALL_LOG_BYTES", 0)
    log.write_text(rows(HEALTHY))
    watcher = LogWatcher(log)
    assert said(watcher) == [["step 99", "healthy"]]
    if how == "cut":
        log.write_text(rows(HEALTHY[:3]))
    else:
        other = log.with_suffix(".new")
        other.write_text(rows(HEALTHY[:3]) + " " * log.stat().st_size)
        os.replace(other, log)
    assert said(watcher) == [["step 2", "undetermined"]]


def test_a_large_log_is_read_again_when_it_has_grown_by_a_twentieth(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small log is read again after each change."""
    log.write_text(rows(SICK[:60]))
    small, large = LogWatcher(log), LogWatcher(log)
    assert said(small) == said(large) == [["step 59", "healthy"]]
    log.write_text(rows(SICK))
    with monkeypatch.context() as patch:
        patch.setattr(watch_log, "SMALL_LOG_BYTES", 100)
        assert said(large) == []
        log.write_text(rows([*SICK, *SICK[:5]]))
        assert said(large) == [["step 66", "unhealthy"]]
    assert said(small) == [["step 66", "unhealthy"]]


def test_detectors_that_judge_an_end_wait_for_it(log: Path) -> None:
    """The end of a run is known only if the log states the planned number of steps."""
    rates = [1e-3] * 60
    table = {"step": range(60), "loss": curve(60), "lr": rates}
    log.write_text(csv_of(**table))
    watcher = LogWatcher(log)
    list(watcher.look())
    before = judged_by(watcher)
    log.write_text(csv_of(**table, total_steps=[60] * 60))
    list(watcher.look())
    assert watcher.ended
    assert judged_by(watcher) - before >= {"divergence", "at-ln-k"}


def test_a_log_that_says_that_the_run_died_has_ended(log: Path) -> None:
    """Although the run has not reached a planned end."""
    log.write_text("".join(f"step {i}: loss {loss:.4f}\n" for i, loss in enumerate(curve(40))))
    watcher = LogWatcher(log)
    list(watcher.look())
    assert not watcher.ended
    with log.open("a") as file:
        file.write("torch.cuda.OutOfMemoryError: CUDA out of memory.\n")
    list(watcher.look())
    assert watcher.ended


def test_each_run_of_a_log_has_its_own_line(log: Path) -> None:
    """Only the run that changed is said again."""
    table = {"Step": range(62), "a - loss": curve(62)}
    log.write_text(csv_of(**table, **{"b - loss": curve(62)}))
    watcher = LogWatcher(log)
    assert len(list(watcher.look())) == 2
    log.write_text(csv_of(**table, **{"b - loss": SICK}))
    (line,) = watcher.look()
    assert line.startswith(f"{log}[b]: step 61: unhealthy: non-finite")


def test_a_command_runs_when_a_run_gets_its_verdict(log: Path, tmp_path: Path) -> None:
    """Once, with the verdict in its environment. A command that cannot be started is said."""
    script = tmp_path / "note.py"
    script.write_text(
        "import json, os\n"
        "names = ('RUN', 'PATH', 'VERDICT', 'CAUSE', 'STEP', 'HEADLINE')\n"
        f"with open({str(tmp_path / 'noted')!r}, 'a') as file:\n"
        "    print(json.dumps([os.environ['PROBES_' + name] for name in names]), file=file)\n"
    )
    command = f"'{sys.executable}' '{script}'"
    watcher = LogWatcher(log, commands=(("unhealthy", command), ("unhealthy", "no-such-command")))
    log.write_text(rows(HEALTHY[:60]))
    list(watcher.look())
    assert not (tmp_path / "noted").exists()
    for losses in (SICK, [*SICK, nan]):
        log.write_text(rows(losses))
        lines = list(watcher.look())
        assert [line.startswith("cannot run 'no-such-command': ") for line in lines[1:]] == (
            [True] if losses is SICK else []
        )
    (noted,) = (tmp_path / "noted").read_text().splitlines()
    assert json.loads(noted)[:5] == [str(log), str(log), "unhealthy", "non-finite", "60"]
    assert json.loads(noted)[5].startswith("non-finite: ")


def test_follow_ends_with_an_interrupt_or_a_certain_verdict(log: Path) -> None:
    """Between two looks it waits."""
    lines: list[str] = []
    waits: list[int] = []

    def wait() -> None:
        waits.append(len(lines))
        if len(waits) == 3:
            raise KeyboardInterrupt
        log.write_text(rows(HEALTHY[:60] if len(waits) == 1 else SICK))

    follow(LogWatcher(log), lines.append, wait)
    assert (waits, [line.split(": ")[2] for line in lines[1:]]) == (
        [1, 2, 3],
        ["healthy", "unhealthy"],
    )
    waits.clear()
    follow(LogWatcher(log), lines.append, wait, until_certain=True)
    assert waits == []


def interrupt(after: Callable[[], object]) -> Callable[[float], None]:
    """A replacement for `time.sleep` that interrupts the command at its second call."""
    calls: list[float] = []

    def sleep(seconds: float) -> None:
        calls.append(seconds)
        if len(calls) == 2:
            raise KeyboardInterrupt
        after()

    return sleep


@pytest.mark.parametrize(
    ("text", "code"),
    [(rows(HEALTHY), 0), (rows(SICK), 1), ("no log\n", 2), (rows(HEALTHY[:3]), 3)],
    ids=["healthy", "unhealthy", "unreadable", "undetermined"],
)
def test_the_exit_code_is_that_of_the_last_verdict(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, text: str, code: int
) -> None:
    """After an interrupt."""
    monkeypatch.setattr("time.sleep", interrupt(lambda: log.write_text(text)))
    assert main(["watch", str(log), "--every", "0.5"]) == code
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_until_certain_ends_with_the_verdict(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """A healthy run that has reached its planned end is certain as well."""
    monkeypatch.setattr("time.sleep", pytest.fail)
    log.write_text(rows(SICK))
    assert main(["watch", str(log), "--until-certain"]) == 1
    log.write_text(rows(HEALTHY, total_steps=100))
    assert main(["watch", str(log), "--until-certain"]) == 0
    assert [line.split(": ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "unhealthy",
        "healthy",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--every", "0"], "--every 0: it must be more than 0 seconds"),
        (["--every", "nan"], "--every nan: it must be more than 0 seconds"),
        (
            ["--on", "unhealty", "x"],
            "--on: there is no verdict 'unhealty'; did you mean 'unhealthy'",
        ),
        (["--on", "unhealthy", " "], "--on unhealthy: the command is empty"),
        (["--metric", "x"], "--metric: 'x' is not of the form"),
    ],
)
def test_a_wrong_option_is_a_wrong_command(
    log: Path, capsys: Printed, options: list[str], message: str
) -> None:
    """With the nearest right name."""
    assert main(["watch", str(log), *options]) == 4
    assert capsys.readouterr().err.startswith(f"probes: {message}")
