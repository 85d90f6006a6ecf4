"""The command line: verdicts as lines, as JSON and as exit codes, and never a traceback."""

import io
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from probes.cli import main
from probes.diagnosis.causes import CAUSES
from probes.record import Stop
from probes.recording.recorder import save
from testing.logs import KERAS, LIGHTNING, TRAINER_LOG, TRAINER_STATE, csv_of, curve, written
from tests.records import FACTS, changed, hand_made, sound

TOO_FEW = "20 are needed, or five that fall one after the other: log more often"

Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run of each verdict, and with files that are no runs."""
    monkeypatch.chdir(tmp_path)
    save(changed(), "healthy.jsonl")
    save(changed(loss=[221.0, *sound()["loss"][1:]]), "sick.jsonl")
    save(changed(loss=[inf, *sound()["loss"][1:]]), "infinite.jsonl")
    save(hand_made({"loss": [4.2, 4.1]}), "short.jsonl")
    (tmp_path / "notes.txt").write_text("the loss was 4.2, then 4.1\n")
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        ("healthy", 0),
        ("sick", 1),
        ("nowhere", 2),
        ("short", 3),
        ("healthy healthy", 0),
        ("healthy short", 3),
        ("short sick healthy", 1),
        ("sick nowhere short", 2),
        ("nowhere healthy", 2),
    ],
)
def test_the_exit_code_is_the_worst_of_all_paths(paths: str, code: int) -> None:
    """The order of priority is 2, 1, 3, 0, whatever the order of the paths."""
    assert main(["diagnose", *(f"{name}.jsonl" for name in paths.split())]) == code


def test_a_healthy_path_is_one_line_and_its_remarks(capsys: Printed) -> None:
    """The first line holds the path, the verdict and what was checked. The remarks are below it."""
    main(["diagnose", "healthy.jsonl"])
    first, *remarks = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"healthy\.jsonl: healthy: \d+ of \d+ detectors judged, none found anything", first
    )
    assert remarks == [
        "  remark: lr starts at its peak: 0.02 at step 0; this is normal below a certain rate, "
        "because only larger rates need a warmup",
        "  remark: the loss is still falling at its end: by 1.5 in the first half of the log "
        "and by 1.5 in the second; this is normal, and more steps would lower "
        "the training loss further",
    ]


def test_a_sick_path_is_one_line_and_its_details(capsys: Printed) -> None:
    """The first line holds the verdict, the cause and the first evidence. The whole diagnosis is
    indented below it."""
    main(["diagnose", "sick.jsonl"])
    first, *details = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "sick.jsonl: unhealthy: bad-init: initial-loss-high, step 0: 221, limit 5.359"
    )
    assert (details[0], all(line.startswith("  ") for line in details)) == (
        "  verdict: unhealthy",
        True,
    )


def test_a_run_that_cannot_be_judged_says_why(capsys: Printed) -> None:
    """The first line of its output holds the reason."""
    main(["diagnose", "short.jsonl"])
    line = capsys.readouterr().out.splitlines()[0]
    assert line == f"short.jsonl: undetermined: cannot judge: 2 points of loss; {TOO_FEW}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "nowhere.jsonl",
            "nowhere.jsonl cannot be opened (No such file or directory); give a log or a record",
        ),
        (
            "folder",
            "folder holds no log in a known format (a record of probes, Hugging Face",
        ),
        (
            "notes.txt",
            "notes.txt is not in a known format (a record of probes, Hugging Face",
        ),
        (
            "empty.json",
            "empty.json is not in a known format (a record of probes, Hugging Face",
        ),
        ("nul\0byte", r"nul\x00byte: "),
    ],
)
@pytest.mark.parametrize(
    "command", [["diagnose"], ["render", "-o", "page.html"], ["diagnose", "--json"]]
)
def test_a_path_that_cannot_be_read_is_named_on_stderr(
    path: str, expected: str, command: list[str], capsys: Printed
) -> None:
    """The message says what was expected and what to do. The exit code is 2."""
    assert (main([*command, path]), expected in capsys.readouterr().err) == (2, True)


def test_a_path_that_cannot_be_read_does_not_hide_the_others(capsys: Printed) -> None:
    """The other paths are judged."""
    main(["diagnose", "notes.txt", "healthy.jsonl"])
    assert "healthy.jsonl: healthy" in capsys.readouterr().out


def parsed(text: str) -> Any:
    """The entries of the runs in a JSON document."""
    return json.loads(text, parse_constant=lambda token: pytest.fail(f"{token} is not JSON"))[
        "runs"
    ]


def test_json_gives_the_same_as_data(capsys: Printed) -> None:
    """The document has one entry for each path, in the order of the paths."""
    assert main(["diagnose", "--json", "healthy.jsonl", "notes.txt", "sick.jsonl"]) == 2
    healthy, unread, sick = parsed(capsys.readouterr().out)
    assert [(e["path"], e["verdict"]) for e in (healthy, unread, sick)] == [
        ("healthy.jsonl", "healthy"),
        ("notes.txt", None),
        ("sick.jsonl", "unhealthy"),
    ]
    assert (sick["cause"], sick["causes"][0]["name"], sick["findings"][0]["observed"]) == (
        "bad-init",
        "bad-init",
        221.0,
    )


def test_json_has_strings_for_numbers_that_are_not_finite(capsys: Printed) -> None:
    """The strings are the same as in a record, so that any JSON parser accepts the document."""
    save(changed(grad_norm=[inf, *[1.0] * 39]), "grad.jsonl")
    main(["diagnose", "--json", "grad.jsonl"])
    (entry,) = parsed(capsys.readouterr().out)
    assert "Infinity" in [finding["observed"] for finding in entry["findings"]]


HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nverdict: healthy\x9b31m\u202egnp"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_control_characters_in_a_log_do_not_reach_the_terminal(
    options: list[str], capsys: Printed
) -> None:
    """The name of a site can neither clear the screen, nor fake a line, nor reverse the text."""
    save(
        hand_made(
            {"nonfinite_count": {HOSTILE: [1.0]}, "loss": [4.2]},
            **{**FACTS, "total_steps": HOSTILE},
        ),
        "h.jsonl",
    )
    assert main(["diagnose", *options, "h.jsonl"]) == 1
    out = capsys.readouterr().out
    assert (
        [c for c in out if not c.isprintable() and c != "\n"],
        "\n  verdict: healthy" in out,
    ) == ([], False)


def test_control_characters_in_a_file_name_do_not_reach_the_terminal(capsys: Printed) -> None:
    """A file name may come from an archive or a shell and may hold any character."""
    main(["diagnose", f"a{HOSTILE}b", "healthy.jsonl"])
    assert [c for c in capsys.readouterr().err if not c.isprintable()] == ["\n"]


def test_letters_that_the_terminal_lacks_become_escapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The example is a Spanish name on an ASCII terminal."""
    save(hand_made({"nonfinite_count": {"corazón": [1.0]}}), "es.jsonl")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    main(["diagnose", "es.jsonl"])
    out.flush()
    assert b"non-finite at coraz\\xf3n" in out.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_explain_describes_a_cause(cause: Any, capsys: Printed) -> None:
    """The output has its meaning, the symptoms it needs with limit and source, and its remedy."""
    assert main(["explain", cause.name]) == 0
    out = capsys.readouterr().out
    assert [
        part
        for part in (
            cause.meaning,
            *(one.name for one in cause.needs),
            cause.remedy.partition("{")[0],
        )
        if part not in out
    ] == []
    assert "  limit: " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain"], "which cause? the causes are mask-leak, random-loss, "),
        (["explain", "bad-int"], "there is no cause 'bad-int'; did you mean 'bad-init'"),
        (
            ["explain", "zzz"],
            "there is no cause 'zzz'; the causes are mask-leak, random-loss, ",
        ),
        ([], "the following arguments are required: COMMAND"),
        (["diagnoze", "x"], "invalid choice: 'diagnoze'"),
        (["diagnose"], "the following arguments are required: PATH"),
        (["diagnose", "--jsn", "x"], "unrecognized arguments: --jsn"),
        (["render", "healthy.jsonl"], "the following arguments are required: -o"),
        (
            ["render", "healthy.jsonl", "-o", "healthy.jsonl"],
            "healthy.jsonl is one of the records to draw",
        ),
        (
            ["render", "healthy.jsonl", "-o", "sick.jsonl/page.html"],
            "cannot write sick.jsonl/page.html: ",
        ),
        (["render", "healthy.jsonl", "-o", "nul\0byte"], "; give another page with -o"),
        (["diagnose", "--js", "healthy.jsonl"], "unrecognized arguments: --js"),
    ],
)
def test_a_wrong_command_says_what_is_wrong_and_exits_with_4(
    arguments: list[str], message: str, capsys: Printed
) -> None:
    """The message is printed on stderr, without a traceback."""
    assert (main(arguments), message in capsys.readouterr().err) == (4, True)


def test_help_lists_the_exit_codes(capsys: Printed) -> None:
    assert (
        main(["--help"]),
        "2 a path cannot be read" in " ".join(capsys.readouterr().out.split()),
    ) == (0, True)


def test_render_writes_a_page_of_all_runs(folder: Path) -> None:
    """The reference is one of the runs on the page."""
    assert (
        main(
            [
                "render",
                "sick.jsonl",
                "short.jsonl",
                "-o",
                "page.html",
                "--reference",
                "healthy.jsonl",
            ]
        )
        == 0
    )
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert [
        name for name in ("sick.jsonl", "short.jsonl", "healthy.jsonl") if name not in page
    ] == []


def test_the_module_runs_as_a_program(folder: Path) -> None:
    """`python -m probes` returns the exit code and prints no traceback."""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "probes", "diagnose", folder / "sick.jsonl", folder / "notes.txt"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (
        done.returncode,
        "bad-init" in done.stdout,
        "notes.txt is not in a known format" in done.stderr,
    ) == (2, True, True)
    assert "Traceback" not in done.stderr


NOT_NEEDED = (
    "bz2",
    "decimal",
    "difflib",
    "importlib.metadata",
    "jinja2",
    "numpy.ma",
    "probes.charts",
    "probes.panels",
    "probes.plugin",
    "probes.readers.console",
    "probes.readers.markdown",
    "probes.readers.tensorboard",
    "probes.recording",
    "pygal",
    "pytest",
    "shutil",
    "tempfile",
    "threadpoolctl",
)
"""Modules that a verdict on a CSV file does not need; each would delay the command."""


def test_a_diagnosis_loads_only_what_it_needs(folder: Path) -> None:
    """The command runs in a process of its own, with one BLAS thread unless the user asks for
    more."""
    (folder / "log.csv").write_text(csv_of(step=range(60), loss=curve(60), lr=[0.1] * 60))
    code = (
        "import sys, os; from probes.__main__ import run; code = run(); "
        f"loaded = [name for name in {NOT_NEEDED} if name in sys.modules]; "
        "print(code, os.environ['OPENBLAS_NUM_THREADS'], loaded)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "diagnose", str(folder / "log.csv")],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0 1 []", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_verdict_that_cannot_be_printed_is_not_taken_for_unhealthy(folder: Path) -> None:
    """When the disk is full, the exit code is 2, with the reason and without a traceback."""
    root = Path(__file__).parents[1]
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "probes", "diagnose", str(folder / "healthy.jsonl")]
        done = subprocess.run(
            command, cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n"), "cannot print" in done.stderr) == (2, 1, True)


def test_explain_fills_the_gap_in_a_remedy(capsys: Printed) -> None:
    """Only a diagnosis knows the step at which an overfit run should have stopped."""
    main(["explain", "overfit"])
    assert "remedy: stop at step N (the diagnosis gives the step), where" in capsys.readouterr().out


STOPPED = Stop(8, 30, "bad-init")


def test_a_run_that_was_ended_early_says_so(capsys: Printed) -> None:
    """The cause and the saved steps are printed below its first line."""
    save(replace(changed(), stopped=STOPPED, complete=False), "ended.jsonl")
    main(["diagnose", "ended.jsonl"])
    assert f"  {STOPPED}\n" in capsys.readouterr().out


def test_json_states_whether_a_run_was_ended_early(capsys: Printed) -> None:
    """The entry is an object with the cause and the steps, or null if the run was not ended
    early."""
    save(replace(changed(), stopped=STOPPED, complete=False), "ended.jsonl")
    main(["diagnose", "--json", "ended.jsonl", "healthy.jsonl"])
    assert [entry["stopped"] for entry in parsed(capsys.readouterr().out)] == [
        asdict(STOPPED),
        None,
    ]


def put_on_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Replace standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_log_on_standard_input_is_diagnosed(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """The path of standard input is a dash."""
    put_on_stdin(monkeypatch, TRAINER_LOG.encode())
    assert (main(["diagnose", "-"]), capsys.readouterr().out.splitlines()[0]) == (
        3,
        f"-: undetermined: cannot judge: 3 points of loss; {TOO_FEW}",
    )


def test_an_error_in_a_log_on_standard_input_says_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """The error does not name the temporary file."""
    put_on_stdin(monkeypatch, b'{"loss": 4.0}\n[1]\n{"loss": 3.0}\n')
    assert (
        main(["diagnose", "-"]),
        "probes: standard input, line 2 is [1]" in capsys.readouterr().err,
    ) == (2, True)


def test_every_log_in_a_folder_is_diagnosed(folder: Path, capsys: Printed) -> None:
    """Other files in the folder are left out."""
    written(folder / "folder", LIGHTNING, "metrics.csv")
    written(folder / "folder", TRAINER_STATE, "state.txt")
    written(folder / "folder", "lr: 3.0e-4\nloss: cross-entropy\n", "config.yaml")
    main(["diagnose", "--json", "folder"])
    assert [entry["path"] for entry in parsed(capsys.readouterr().out)] == [
        "folder/metrics.csv",
        "folder/state.txt",
    ]


def test_every_log_in_a_folder_is_drawn(folder: Path) -> None:
    """All logs of the folder are drawn on one page."""
    written(folder / "folder", KERAS, "keras.csv")
    written(folder / "folder", csv_of(step=range(40), loss=curve(40)), "plain.csv")
    assert main(["render", "folder", "-o", "page.html"]) == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert ("keras" in page, "plain" in page) == (True, True)


def test_columns_shows_what_was_mapped_and_what_was_ignored(folder: Path, capsys: Printed) -> None:
    """The columns are listed below the first line of each path, before the details."""
    written(folder, KERAS, "keras.csv")
    main(["diagnose", "--columns", "keras.csv"])
    assert capsys.readouterr().out.splitlines()[1:8] == [
        "  format: CSV; steps: epoch",
        "  loss -> loss",
        "  val_loss -> val_loss",
        "  learning_rate -> lr",
        "  accuracy -> metric",
        "  val_accuracy -> metric",
        "  ignored: nothing",
    ]


def test_without_columns_only_corrections_of_the_steps_are_shown(
    folder: Path, capsys: Printed
) -> None:
    """The example is the log of a run that was resumed."""
    written(folder, csv_of(step=[0, 1, 2, 1], loss=[4, 3, 2, 3]), "plain.csv")
    main(["diagnose", "plain.csv"])
    lines = capsys.readouterr().out.splitlines()
    assert (lines[1][:33], lines[2]) == (
        "  note: line 5: step 1 comes afte",
        f"  verdict: undetermined (cannot judge: 2 points of loss; {TOO_FEW})",
    )


@pytest.mark.parametrize("reader", ["me", 7, ["a"], {"mapped": 3, "ignored": 4, "stitched": 5}, {}])
def test_the_provenance_of_a_record_may_hold_any_reader(reader: Any, capsys: Printed) -> None:
    """Anybody can write a record, so the entry `reader` may hold anything."""
    save(hand_made({"loss": [4.2]}, provenance={"reader": reader}), "odd.jsonl")
    assert main(["diagnose", "--columns", "odd.jsonl"]) == 3


def test_map_reads_a_column_of_any_name(folder: Path, capsys: Printed) -> None:
    """The column is read as the signal that the option names, beside the columns that are known by
    name."""
    written(folder, csv_of(step=range(40), perplexity=curve(40), loss=curve(40)), "plain.csv")
    main(["diagnose", "--columns", "--map", "val_loss=perplexity", "plain.csv"])
    assert "  perplexity -> val_loss\n  loss -> loss\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("val_los=x", "--map: there is no signal 'val_los'; did you mean 'val_loss'"),
        (
            "activation=x",
            "--map: signal 'activation' has one value per layer; "
            "a column can only be mapped to a signal",
        ),
        ("loss", "--map: 'loss' is not of the form SIGNAL=COLUMN, such as val_loss=my_metric"),
        ("=x", "--map: '=x' is not of the form SIGNAL=COLUMN"),
        ("lr=", "--map: 'lr=' is not of the form SIGNAL=COLUMN"),
    ],
)
@pytest.mark.parametrize("command", [["diagnose"], ["render", "-o", "page.html"]])
def test_a_wrong_mapping_is_a_wrong_command(
    pair: str, message: str, command: list[str], capsys: Printed
) -> None:
    """The exit code is 4, whatever the paths hold."""
    assert (
        main([*command, "healthy.jsonl", "--map", pair]),
        message in capsys.readouterr().err,
    ) == (4, True)


TWO_RUNS = csv_of(**{"Step": range(40), "a - loss": curve(40), "b - loss": [*curve(39), "nan"]})


def test_each_run_of_a_file_has_a_verdict(
    folder: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a folder and of standard input. The exit code is that of the worst run."""
    written(folder, TWO_RUNS, "export.csv")
    (folder / "inside").mkdir()
    written(folder / "inside", TWO_RUNS, "export.csv")
    put_on_stdin(monkeypatch, TWO_RUNS.encode())
    for path, name in (
        ("export.csv", "export.csv"),
        ("inside", "inside/export.csv"),
        ("-", "-"),
    ):
        assert main(["diagnose", path]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(": ")[:2] for line in lines if not line.startswith(" ")] == [
            [f"{name}[a]", "healthy"],
            [f"{name}[b]", "unhealthy"],
        ]


def test_one_run_of_a_file_is_named_in_brackets(folder: Path, capsys: Printed) -> None:
    """A wrong name is an error with the nearest name."""
    written(folder, TWO_RUNS, "export.csv")
    assert main(["diagnose", "export.csv[a]"]) == 0
    assert capsys.readouterr().out.startswith("export.csv[a]: healthy")
    assert main(["diagnose", "export.csv[c]"]) == 2
    assert "export.csv holds no run 'c'; its runs are a, b" in capsys.readouterr().err


def test_the_runs_of_a_file_are_drawn_on_one_page(folder: Path, capsys: Printed) -> None:
    """Under their own names. One of them may be the reference."""
    written(folder, TWO_RUNS, "export.csv")
    command = ["render", "export.csv", "-o", "page.html", "--reference"]
    assert main([*command, "export.csv"]) == 4
    assert capsys.readouterr().err.startswith(
        "probes: export.csv holds 2 runs; give one of them as --reference export.csv[a]"
    )
    assert main([*command, "export.csv[a]"]) == 0


def test_a_folder_reports_files_that_look_like_logs(folder: Path, capsys: Printed) -> None:
    """Passing over them would look as if all runs were healthy."""
    written(folder / "folder", csv_of(step=range(40), loss=curve(40)), "plain.csv")
    lines = [f"iter {step}: penalty {value:.3f}" for step, value in enumerate(curve(5))]
    written(folder / "folder", "\n".join(lines), "strange.log")
    assert main(["diagnose", "folder"]) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith("folder/plain.csv: healthy")
    assert printed.err.startswith("probes: folder/strange.log is not in a known format")


def test_the_line_of_the_decisive_step_is_named(folder: Path, capsys: Printed) -> None:
    """For a log with lines. A healthy run has no such step."""
    written(folder, TWO_RUNS, "export.csv")
    main(["diagnose", "export.csv"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "(line " in line] == ["  at step 39 (line 41 of export.csv)"]


def test_metric_reads_a_column_as_a_metric(folder: Path, capsys: Printed) -> None:
    """A wrong direction is a wrong command."""
    written(folder, csv_of(step=range(40), loss=curve(40), mine=[0.5] * 40), "plain.csv")
    assert main(["diagnose", "--columns", "--metric", "mine:up", "plain.csv"]) == 0
    assert "  mine -> metric" in capsys.readouterr().out.splitlines()
    assert main(["diagnose", "plain.csv", "--metric", "mine:upp"]) == 4
    assert capsys.readouterr().err.startswith(
        "probes: --metric: 'upp' is not a direction of 'mine'; did you mean 'up'?"
    )
    assert main(["diagnose", "plain.csv", "--metric", "mime:up"]) == 2
    assert "did you mean 'mine'?" in capsys.readouterr().err


def test_a_mapped_column_that_a_log_lacks_makes_it_unreadable(
    folder: Path, capsys: Printed
) -> None:
    """The error names the nearest column."""
    written(folder, csv_of(step=[0], perplexity=[4]), "plain.csv")
    code = main(["diagnose", "plain.csv", "--map", "loss=perplexiti"])
    assert (code, capsys.readouterr().err) == (
        2,
        "probes: plain.csv: the log has no column 'perplexiti', which the mapping names "
        "(did you mean 'perplexity'?); `python -m probes explain logs` says what can be read\n",
    )


def test_explain_names_similar_causes_and_every_limit(capsys: Printed) -> None:
    """The limit of a validation loss with few evaluations differs."""
    main(["explain", "overfit"])
    out = capsys.readouterr().out
    assert "may also be shuffled-labels, unless val_loss fell, and no accuracy" in out
    assert "  limit: the trend of validation loss ends 3 % " in out
    assert "every evaluation in the last quarter is 20 % above" in out
    main(["explain", "plateau"])
    assert "may also be shuffled-labels, unless loss-frozen was found\n" in capsys.readouterr().out
