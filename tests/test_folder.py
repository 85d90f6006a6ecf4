"""Folders of logs of real trainings, diagnosed by the installed wheel: each gets the verdict that
can be known from it.

`python -m bench.length --long` measures what ten million lines take, and that memory does not
grow with them; `tests/test_bench_length.py` reads its logs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import pytest

from studies.knowable import ALL_FOUR, UNCHANGED, names_all
from testing.faults import CASES, GPT, rows_of
from testing.knowable import BY_NAME, SETS, Known
from testing.log_files import FORMATS, VARIANTS, kept, write
from testing.logs import csv_of, curve
from tests.installed import Elsewhere

KNOWN: Mapping[str, Known] = {
    name: BY_NAME[case.row].cell(SETS[ALL_FOUR]) for name, case in CASES.items()
}
"""Case -> what can be known from all four signals."""
FORM = dict(zip(KNOWN, cycle(FORMATS), strict=False))
SICK = [name for name, known in KNOWN.items() if known.verdict == "unhealthy"]
CODES = {"healthy": 0, "unhealthy": 1, "undetermined": 3}
Entries = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def away(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """A project with one folder of all logs as they are, and one folder for each way to shorten
    or disturb the logs of runs without a fault."""
    project = tmp_path_factory.mktemp("project")
    for variant, change in VARIANTS.items():
        (project / variant).mkdir()
        for name in KNOWN if variant == UNCHANGED else KNOWN.keys() - SICK:
            if rows := change(kept(rows_of(name), SETS[ALL_FOUR])):
                write(rows, project / variant, FORM[name], name)
    return Elsewhere(python, project)


def judged(away: Elsewhere, *paths: str) -> tuple[int, str, dict[str, Entries]]:
    """Exit code, stderr, and the document as folder -> file -> entry."""
    done = away.run("-m", "probes", "diagnose", *paths, "--json")
    document: dict[str, dict[str, Mapping[str, Any]]] = {}
    for run in json.loads(done.stdout)["runs"]:
        path = Path(run["path"])
        document.setdefault(path.parent.name, {})[path.name] = run
    return done.returncode, done.stderr, document


@pytest.fixture(scope="module")
def as_they_are(away: Elsewhere) -> Entries:
    """The diagnoses of the folder of all logs, by one command."""
    code, errors, document = judged(away, UNCHANGED)
    assert (code, errors) == (1, "")
    return document[UNCHANGED]


def test_the_folder_holds_enough() -> None:
    """There are at least twenty logs. Each format has logs of sick and of healthy runs; there are
    classifiers, regressions and MiniGPTs."""
    assert len(KNOWN) >= 20
    assert (
        {FORM[name] for name in SICK}
        == {FORM[name] for name in KNOWN.keys() - SICK}
        == set(FORMATS)
    )
    assert min(len(SICK), len(KNOWN.keys() - SICK)) >= 7
    assert {"regression", "constant"} | set(GPT) <= set(KNOWN)


def test_every_log_of_the_folder_is_diagnosed_once(as_they_are: Entries) -> None:
    assert sorted(as_they_are) == sorted(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_a_log_gets_the_verdict_that_can_be_known(as_they_are: Entries, name: str) -> None:
    """Verdict, causes that cannot be told apart, and remarks."""
    known, run = KNOWN[name], as_they_are[name]
    assert (run["verdict"], run["alarm"]) == (known.verdict, known.verdict == "unhealthy"), run[
        "headline"
    ]
    assert bool(run["causes"]) == bool(known.causes)
    assert not known.causes or names_all(known, run["cause"], run["causes"][0]["or_else"])
    assert known.kind != "note" or any(
        remark.startswith(known.what[0]) for remark in run["remarks"]
    )


@pytest.fixture(scope="module")
def less(away: Elsewhere) -> dict[str, Entries]:
    """The diagnoses of the other folders, by one command."""
    code, errors, document = judged(away, *list(VARIANTS)[1:])
    assert errors == ""
    codes = {CODES[run["verdict"]] for runs in document.values() for run in runs.values()}
    assert code == (1 if 1 in codes else max(codes))
    return document


@pytest.mark.parametrize("variant", list(VARIANTS)[1:])
def test_a_disturbed_log_of_a_healthy_run_is_no_alarm(
    less: dict[str, Entries], variant: str
) -> None:
    """The log has fewer points, more noise, or only its first half."""
    assert len(less[variant]) >= 15
    assert {name: run["headline"] for name, run in less[variant].items() if run["alarm"]} == {}


# What is no log any more

WHOLE = {
    form: written([{"step": i, "loss": loss} for i, loss in enumerate(curve(200))])
    for form, written in FORMATS.items()
}
CUT = {form: text[: len(text) * 2 // 3] for form, text in WHOLE.items()}
COUNT = range(60)
REFUSED: Mapping[str, str | bytes] = {
    "trainer state, cut": CUT["trainer state"],
    "JSON columns, cut": CUT["JSON columns"],
    "binary": Random(0).randbytes(4096),
    "a list for an object": '{"step": 0, "loss": 4.0}\n[1, 3.9]\n',
    "TensorBoard's, whose package is not installed": bytes(23) + b"brain.Event:2" + bytes(4),
    "no header": "".join(f"{i},{4 - i / 50}\n" for i in COUNT),
}
"""File -> its content, which cannot be read."""
UNJUDGED: Mapping[str, str] = {
    "empty": "",
    "one step": csv_of(step=[7] * 60, loss=[4 - i / 50 for i in COUNT]),
}
"""File -> its content, in which too little stands."""
READ: Mapping[str, tuple[str, str | None]] = {
    "JSON lines, cut": (CUT["JSON lines"], None),
    "Lightning, cut": (CUT["Lightning"], None),
    "Keras, cut": (CUT["Keras"], None),
    "nothing but NaN": (csv_of(step=COUNT, loss=["nan"] * 60, lr=["nan"] * 60), "non-finite"),
    "every step twice": (
        csv_of(step=[i // 2 for i in range(120)], loss=[4 - i / 50 for i in range(120)]),
        None,
    ),
}
"""File -> its content and its cause: what can be read is judged."""


@pytest.fixture
def damaged(elsewhere: Elsewhere) -> Elsewhere:
    """The project with all files that are damaged or no logs."""
    for name, content in {
        **REFUSED,
        **UNJUDGED,
        **{name: text for name, (text, _) in READ.items()},
    }.items():
        (elsewhere.project / name).write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    return elsewhere


def test_a_file_that_is_no_log_is_an_error_and_the_others_are_diagnosed(damaged: Elsewhere) -> None:
    """For each file that cannot be read, stderr has one line with its path, and never a
    traceback."""
    code, errors, document = judged(damaged, *REFUSED, *UNJUDGED, *READ)
    runs = document[""]
    lines = errors.splitlines()
    assert (code, len(lines)) == (2, len(REFUSED)), errors
    for name, line in zip(REFUSED, lines, strict=True):
        assert line.startswith(f"probes: {name}")
        assert (runs[name]["verdict"], runs[name]["error"]) == (None, line.removeprefix("probes: "))
    assert {name: runs[name]["reason"].partition(":")[0] for name in UNJUDGED} == dict.fromkeys(
        UNJUDGED, "cannot judge"
    )
    assert {name: (runs[name]["alarm"], runs[name]["cause"]) for name in READ} == {
        name: (cause is not None, cause) for name, (_, cause) in READ.items()
    }


@pytest.mark.parametrize(("names", "code"), [(REFUSED, 2), (UNJUDGED, 3), (["nothing but NaN"], 1)])
def test_the_exit_code_says_what_is_wrong(
    damaged: Elsewhere, names: Mapping[str, object], code: int
) -> None:
    """2 cannot be read, 3 cannot be judged, 1 unhealthy; never a traceback."""
    done = damaged.run("-m", "probes", "diagnose", *names)
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (code, False)


def test_a_file_that_is_no_log_is_an_error_of_its_test(damaged: Elsewhere) -> None:
    """A log that is too short is skipped. In a folder, an empty file would be left out."""
    done = damaged.pytest("-q", "--diagnose", *REFUSED, *UNJUDGED, *READ)
    found = {
        word: int(count)
        for count, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout)
    }
    assert found == {
        "errors": len(REFUSED),
        "skipped": len(UNJUDGED),
        "failed": 1,
        "passed": len(READ) - 1,
    }
    assert (done.returncode, done.stderr) == (1, "")
