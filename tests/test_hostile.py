"""Logs that no trainer writes end in a verdict or in a clear error, soon and in little memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probes.cli import main
from probes.record import Record, RecordError, Stop
from probes.record.builder import Builder
from probes.record.jsonl import MAX_DEPTH
from probes.record.record import MAX_EMPTY_CELLS, check_sizes
from probes.recording.recorder import Recorder
from studies import fuzz, large_logs
from testing.hostile_logs import SEEDS, draw_log, mutated
from testing.hostile_runs import check
from testing.large_logs import LARGE_LOGS
from testing.logs import csv_of

HEADER = '{"probes_record":1,"facts":%s,"provenance":{}}\n'
FALL = [round(3 - 0.01 * row, 2) for row in range(60)]
ROWS = range(60)
HUGE = 10**400


def table(**columns: Any) -> str:
    return csv_of(**{name: list(cells) for name, cells in columns.items()})


def lines(**columns: Any) -> str:
    rows = zip(*columns.values(), strict=True)
    return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)


def record(facts: dict[str, Any] | None = None, end: str = "", **columns: Any) -> str:
    columns = columns or {"step": ROWS, "loss": FALL}
    return HEADER % json.dumps(facts or {}) + lines(**columns) + end


def nested(depth: int) -> Any:
    """A fact of this many levels, of which the facts themselves are the first."""
    inner: Any = 1
    for _ in range(depth - 1):
        inner = [inner]
    return inner


def stopped(step: int, total: int) -> str:
    stop = {"step": step, "total_steps": total, "cause": "x"}
    return json.dumps({"end": {"complete": False, "stopped": stop}}) + "\n"


def both_signs(rows: int = 70) -> list[float]:
    return [(-1) ** (row + 1) * (1 + row % 3) for row in range(rows)]


VAL = [round(loss + 0.1, 2) for loss in FALL]
EXP = [round(0.5 + 3 * exp(-row / 15), 3) for row in ROWS]

HOSTILE: dict[str, tuple[str, str]] = {
    # Reinforcement learning, with a validation loss
    "policy, learning rate 0": (
        table(step=ROWS, val_loss=FALL, lr=[0] * 60, reward=ROWS), "undetermined"),
    "policy, NaN": (
        table(step=ROWS, loss=[*FALL[:41], *["nan"] * 19], val_loss=FALL, reward=ROWS),
        "unhealthy"),
    "policy without a training loss": (
        record({"objective": "reinforcement learning"}, step=range(12), val_loss=FALL[:12],
               grad_norm=[1] * 12), "undetermined"),
    "policy with validation alone": (
        lines(step=range(20), eval_loss=FALL[:20], reward=range(20)), "undetermined"),
    "policy with three evaluations": (
        table(step=range(3), val_loss=FALL[:3], reward=range(3)), "undetermined"),
    "both signs": (
        table(step=range(70), loss=both_signs(), val_loss=[1 + 0.01 * r for r in range(70)]),
        "undetermined"),
    "both signs, NaN": (
        table(step=range(70), loss=[*both_signs()[:60], *["nan"] * 10], val_loss=[1] * 70),
        "unhealthy"),
    # Values near the largest and the smallest float
    "validation at 1e160": (table(step=ROWS, loss=FALL, val_loss=[f"{v}e160" for v in FALL]),
                            "healthy"),
    "validation at 1e200": (table(step=ROWS, loss=FALL, val_loss=[f"{v}e200" for v in FALL]),
                            "healthy"),
    "loss near 1e308": (table(step=ROWS, loss=[f"{v / 2}e308" for v in FALL]), "healthy"),
    "validation of 1e-310": (
        table(step=ROWS, loss=FALL, val_loss=[f"{v}e-310" for v in FALL]), "healthy"),
    "loss of 1e-310": (table(step=ROWS, loss=[f"{60 - r}e-310" for r in ROWS]), "healthy"),
    "loss of the smallest float": (table(step=ROWS, loss=["5e-324"] * 60), "unhealthy"),
    "loss of 0": (table(step=ROWS, loss=[0] * 60), "unhealthy"),
    "loss that rises from 1e-300 to 1e300": (
        table(step=ROWS, loss=["1e-300"] * 30 + ["1e300"] * 30), "unhealthy"),
    "loss that falls and rises by 600 decades": (
        table(step=ROWS, loss=["1e300"] * 20 + ["1e-300"] * 20 + ["1e299"] * 20), "unhealthy"),
    "validation that rises by 600 decades": (
        table(step=ROWS, loss=FALL, val_loss=["1e-300"] * 30 + ["1e300"] * 30), "unhealthy"),
    # Steps below 0 and beyond float64
    "steps from -1": (table(step=range(-1, 59), loss=EXP, val_loss=EXP), "healthy"),
    "epochs from -1": (table(epoch=range(-1, 59), val_loss=EXP), "healthy"),
    "steps from -1, flat": (
        table(step=range(-1, 59), loss=[1.0 + 0.002 * (r % 2) for r in ROWS],
              val_loss=[1.1] * 60), "undetermined"),
    "steps from -5": (table(step=range(-5, 55), loss=FALL, val_loss=VAL), "healthy"),
    "steps below 0": (table(step=range(-99, -39), loss=FALL, val_loss=FALL), "healthy"),
    "steps up to -1": (table(step=range(-60, 0), loss=FALL, val_loss=FALL), "healthy"),
    "steps over all 64 bits": (
        table(step=range(-(2**63), 2**63, 2**58), loss=[3 - 0.01 * r for r in range(64)],
              val_loss=[3 - 0.01 * r for r in range(64)]), "healthy"),
    "steps beyond 2**53": (table(step=range(2**59, 2**59 + 480, 8), loss=FALL), "healthy"),
    "neighbouring steps beyond 2**53": (
        lines(step=range(2**60, 2**60 + 60), loss=FALL), "healthy"),
    "a step below 64 bits": (lines(step=[-(2**63) - 1], loss=[1.0]), "unreadable"),
    "a step below 64 bits before others": (
        lines(step=[-(2**63) - 1, 1, 2], loss=[1, 1, "1"]), "unreadable"),
    "a step of a record beyond 64 bits": (record(step=[2**63], loss=[1.0]), "unreadable"),
    "a last step of a record beyond 64 bits": (
        record(step=[1, 2**63], loss=[1.0, 1.0]), "unreadable"),
    # Integers beyond float64, and other types, in facts
    "a huge fan-in": (
        record({"fan_in": {"w": HUGE}}, step=[0], update_weight_ratio=[{"w": 0.1}]),
        "undetermined"),
    "a huge vocabulary": (record({"vocab_size": HUGE}), "healthy"),
    "a huge number of steps": (record({"total_steps": HUGE}), "healthy"),
    "stopped at a huge step": (record(end=stopped(-HUGE, 1)), "unreadable"),
    "stopped of a huge total": (record(end=stopped(1, HUGE)), "unreadable"),
    "stopped behind the end": (record(end=stopped(99, 1)), "healthy"),
    "stopped below 0": (record(end=stopped(-5, 10)), "healthy"),
    "directions of metrics in a list": (
        record({"metric_direction": ["accuracy", "up"]}, step=ROWS, loss=FALL,
               val_loss=[1 + 0.1 * abs(row - 20) for row in ROWS],
               metric=[{"accuracy": row / 60} for row in ROWS]), "unhealthy"),
    # Depth, and truth values
    "facts as deep as allowed": (record({"a": nested(MAX_DEPTH - 1)}), "healthy"),
    "facts that are too deep": (record({"a": nested(MAX_DEPTH + 1)}), "unreadable"),
    "facts that are far too deep": (record({"a": nested(900)}), "unreadable"),
    "truth values as losses": (record(step=ROWS, loss=[True] * 60), "unreadable"),
    "truth values at sites": (record(step=[0], activation=[{"a": False}]), "unreadable"),
    # Many sites
    "a new site in each row": (
        record(step=range(16_000), activation=[{f"s{r}": 1.0} for r in range(16_000)]),
        "unreadable"),
    "more sites than rows": (
        record(step=[0], activation=[{f"s{site}": 1.0 for site in range(5_000)}]),
        "undetermined"),
}  # fmt: skip
"""What is odd about a log -> its text and its verdict; "unreadable" stands for a clear error."""


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_log_ends_in_its_verdict_or_in_a_clear_error(
    tmp_path: Path, name: str
) -> None:
    """`diagnose`, `diagnose --json` and `render` agree, and no part of a diagnosis fails."""
    text, verdict = HOSTILE[name]
    path = tmp_path / "log"
    path.write_text(text, encoding="utf-8")
    assert check(path) == verdict


def test_a_hostile_log_takes_no_other_path_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them in one command: each has its entry, and exit code 2 wins."""
    for place, (text, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{place:03}.log").write_text(text, encoding="utf-8")
    paths = sorted(map(str, tmp_path.iterdir()))
    assert main(["diagnose", "--json", *paths]) == 2
    runs = json.loads(capsys.readouterr().out)["runs"]
    verdicts = [run["verdict"] or "unreadable" for run in runs]
    assert verdicts == [verdict for _, verdict in HOSTILE.values()]


@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_a_log_with_extreme_values_ends_in_a_verdict_or_in_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, rng: Random
) -> None:
    """Steps of any sign and size, values from the smallest to the largest float, both signs,
    integers beyond float64, depth and sites."""
    path = tmp_path_factory.mktemp("drawn") / "log"
    path.write_bytes(draw_log(rng))
    check(path, render=False)


@given(rng=st.randoms(use_true_random=False), seed=st.sampled_from(SEEDS))
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_a_damaged_log_ends_in_a_verdict_or_in_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, rng: Random, seed: bytes
) -> None:
    """Bytes, numbers, columns and lines of each format are mutated."""
    path = tmp_path_factory.mktemp("mutated") / "log"
    path.write_bytes(mutated(rng, seed))
    check(path, render=False)


def test_the_fuzzer_finds_nothing_in_its_first_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    """`make fuzz` tries more of them."""
    assert fuzz.main(["--inputs", "160"]) == 0
    assert capsys.readouterr().out.startswith("160 inputs from seed 0 on: 0 failed (")


def test_the_fuzzer_reports_and_keeps_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of the fuzzer that cannot fail would show nothing."""

    def fail(path: Path, *options: bool) -> str:
        raise ZeroDivisionError("here")

    monkeypatch.setattr(fuzz, "check", fail)
    assert fuzz.main(["--inputs", "2", "--first", "7", "--keep", str(tmp_path / "kept")]) == 1
    out = capsys.readouterr().out
    assert "seed 8: ZeroDivisionError: here (fail:" in out
    assert (tmp_path / "kept/7/log").read_bytes() == fuzz.files_of(7)["log"]


def test_the_fuzzer_can_use_a_process_for_each_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process with too little memory fails."""
    assert fuzz.main(["--inputs", "2", "--processes"]) == 0
    monkeypatch.setattr(fuzz, "MAX_BYTES", 2**20)
    assert fuzz.main(["--inputs", "1", "--processes"]) == 1
    assert "seed 0: exit code" in capsys.readouterr().out


# Size

MAX_SECONDS = 20
"""CPU time after which the system kills a `diagnose` of half a megabyte. A linear pass takes one
second on an idle machine; one that is quadratic in rows or columns takes minutes on a shared
one."""
MAX_BYTES = 2**30
"""Memory of a process that diagnoses a log of less than 10 MB."""


@pytest.mark.parametrize("name", LARGE_LOGS)
def test_a_large_log_takes_little_time_and_memory(tmp_path: Path, name: str) -> None:
    """Half a megabyte, in a shape that makes slow or greedy code show. The process may use neither
    more memory nor more CPU time than the limits."""
    path = tmp_path / name
    path.write_text(LARGE_LOGS[name](500_000), encoding="utf-8")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))

    done = subprocess.run(
        [sys.executable, "-m", "probes", "diagnose", str(path)],
        capture_output=True,
        cwd=Path(__file__).parent.parent,
        preexec_fn=limit,
        check=False,
        text=True,
    )
    assert done.returncode in (0, 1, 2, 3)
    assert "Traceback" not in done.stderr
    assert "MemoryError" not in done.stderr


@pytest.mark.parametrize(
    ("rows", "sites", "values", "is_allowed"),
    [
        (16_000, 16_000, 16_000, False),
        (5_000, 5_000, 5_000, True),
        (10**6, 1_000, 2 * 10**8, True),
        (10**6, 1_000, 10**7, False),
        (1, 10**7, 10**7, True),
        (10**7, 1, 1, True),
    ],
)
def test_a_table_may_be_large_or_empty_but_not_both(
    rows: int, sites: int, values: int, is_allowed: bool
) -> None:
    """What counts is the number of cells without a value."""
    sizes = {"activation": (sites, values), "loss": (1, rows)}
    if is_allowed:
        check_sizes(rows, sizes)
    else:
        with pytest.raises(RecordError, match=r"signal 'activation' has .* sites; at most"):
            check_sizes(rows, sizes)


def test_a_recorder_whose_sites_always_change_says_so() -> None:
    """Before it asks for more memory than there is."""
    builder = Builder({}, {})
    rows = int(MAX_EMPTY_CELLS**0.5) + 20
    for row in range(rows):
        builder.append(row, {"activation": {f"s{row}": 1.0}})
    with pytest.raises(RecordError, match="measure the same sites in every row"):
        builder.record(complete=True)


def test_a_recorder_refuses_facts_that_could_not_be_read_back(tmp_path: Path) -> None:
    """No record is lost by its own facts."""
    path = tmp_path / "run.jsonl"
    with pytest.raises(RecordError, match="facts holds objects or lists more than 64 levels deep"):
        Recorder(path, a=nested(MAX_DEPTH + 1))
    with pytest.raises(RecordError, match="provenance holds"):
        Recorder(path, provenance={"a": nested(MAX_DEPTH + 1)})
    loop: dict[str, Any] = {}
    loop["a"] = loop["b"] = loop
    with pytest.raises(RecordError, match="levels deep"):
        Recorder(path, a=loop)
    assert not path.exists()
    with Recorder(path, a=nested(MAX_DEPTH - 1)) as recorder:
        recorder.log(0, loss=1.0)
    assert Record.load(path).facts["a"] == nested(MAX_DEPTH - 1)


def test_a_stop_behind_the_planned_end_saves_nothing() -> None:
    """The record is read all the same."""
    assert str(Stop(99, 1, "x")) == "stopped after step 99, certain of x"


def test_the_study_of_large_logs_names_what_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit that no log meets shows that it can fail."""
    monkeypatch.setattr(large_logs, "MEGABYTE", 10_000)
    assert large_logs.main(["--only", "columns.json", "--megabytes", "1", "--slower", "99"]) == 0
    monkeypatch.setattr(large_logs, "MAX_BYTES", 1)
    assert large_logs.main(["--only", "columns.json", "--megabytes", "1", "--slower", "99"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 MB, at most 198.0 s:"
    assert [line.endswith("exit code 0  columns.json  EXCEEDED") for line in lines] == [
        False, False, False, True,
    ]  # fmt: skip
