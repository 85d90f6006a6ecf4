"""The scores on labelled logs: labels that are read, verdicts that are counted, tools that are
compared."""

import json
from math import exp, nan

import numpy as np
import pytest

from studies import peers, public_logs
from studies.log_labels import Label, LabelError, read_labels
from studies.peers import Opinion
from studies.public_logs import Log, Outcome, main, rates_of

HEADER = "file|verdict|causes|step|group|confidence|map\n"
LABELS = HEADER + (
    "falls.csv|healthy|||a||\n"
    "nan.csv|unhealthy|non-finite|150|b||\n"
    "# the next two labels are wrong on purpose\n"
    "falls-too.csv|unhealthy|plateau||a||\n"
    "nan-too.csv|healthy|||c|low|\n"
    "short.csv|undetermined or unreadable|||d||\n"
    "prose.txt|healthy or unreadable|||e||\n"
    "either.csv|healthy or unhealthy|||f||\n"
)


def falling(points: int = 200) -> list[float]:
    """A loss that falls from 3 to 1, with 2 % of noise."""
    noise = np.random.default_rng(0).normal(0, 0.02, points)
    return [1 + 2 * exp(-i / 40) + noise[i] for i in range(points)]


def csv(losses: list[float], name: str = "loss") -> str:
    return f"step,{name}\n" + "".join(f"{i},{loss}\n" for i, loss in enumerate(losses))


@pytest.fixture
def folder(tmp_path):
    """Logs with every verdict, and `labels` beside them: some right, some wrong."""
    ending_in_nan = csv([*falling(150), nan])
    logs = {
        "falls.csv": csv(falling()),
        "falls-too.csv": csv(falling()),
        "nan.csv": ending_in_nan,
        "nan-too.csv": ending_in_nan,
        "short.csv": csv([1.0, 0.9]),
        "prose.txt": "Nothing was trained.\n",
        "either.csv": csv([1.0, 0.9]),
        "labels": LABELS,
    }
    for name, text in logs.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def labels_of(folder, text):
    (folder / "labels").write_text(text, encoding="utf-8")
    return read_labels(folder / "labels", folder)


def scored(folder, *options):
    """The scores that the command writes as JSON: tool -> rates and verdicts."""
    target = folder / "scores.json"
    assert main([str(folder), str(folder / "labels"), "--json", str(target), *options]) == 0
    return json.loads(target.read_text(encoding="utf-8"))["tools"]


def counts(scores):
    """(logs, measure) -> (count, total)."""
    return {
        (rate["logs"], rate["measure"]): (rate["count"], rate["total"]) for rate in scores["rates"]
    }


# Counting


def test_right_and_wrong_verdicts_are_counted(folder):
    """A wrong verdict counts against its label, and a label with two verdicts does not count."""
    found = counts(scored(folder, "--tool", "probes")["probes"])
    assert found["high confidence", "unhealthy: found unhealthy"] == (1, 2)
    assert found["high confidence", "unhealthy: called healthy"] == (1, 2)
    assert found["high confidence", "healthy: found unhealthy"] == (0, 2)
    assert found["all labels", "healthy: found unhealthy"] == (1, 3)
    assert found["all labels", "healthy: called healthy"] == (1, 3)
    assert found["all labels", "healthy: unreadable"] == (1, 3)
    assert found["all labels", "undetermined: cannot judge"] == (1, 1)
    assert found["all labels", "found unhealthy: cause as labelled"] == (1, 1)
    assert found["all labels", "found unhealthy: step as labelled"] == (1, 1)


def test_each_group_counts_once(folder):
    """Group a is half right; b, d and e are right; c has a label of low confidence and is wrong."""
    found = counts(scored(folder, "--tool", "probes")["probes"])
    assert found["high confidence", "right, each group once"] == (3.5, 4)
    assert found["all labels", "right, each group once"] == (3.5, 5)


def test_rates_are_split_by_format_and_by_length(folder):
    """A log that is not read has no length."""
    found = counts(scored(folder, "--tool", "probes")["probes"])
    assert found["format: CSV", "unhealthy: found unhealthy"] == (1, 2)
    assert found["points of loss: 100-999", "healthy: found unhealthy"] == (1, 2)
    assert found["points of loss: not read", "both: cannot judge or unreadable"] == (1, 1)
    assert found["points of loss: < 20", "both: cannot judge or unreadable"] == (0, 0)


@pytest.mark.parametrize(
    ("points", "length"),
    [(19, "< 20"), (20, "20-99"), (99, "20-99"), (100, "100-999"), (1000, ">= 1000")],
)
def test_the_length_of_a_log_is_its_points_of_loss(folder, points, length):
    """A validation loss counts where it is the longest loss."""
    (folder / "one.csv").write_text(csv(falling(points), "val_loss"), encoding="utf-8")
    labels = labels_of(folder, "file|verdict\none.csv|healthy\n")
    (outcome,) = public_logs.judge_folder(folder, labels, ["probes"])["probes"]
    assert (outcome.log.points, outcome.log.length) == (points, length)


def test_the_interval_of_a_rate_is_written(folder):
    """1 of 2 is between 1.3 % and 98.7 %; no runs give no interval."""
    rates = {
        (rate["logs"], rate["measure"]): rate["interval"]
        for rate in scored(folder, "--tool", "probes")["probes"]["rates"]
    }
    half = rates["high confidence", "unhealthy: found unhealthy"]
    assert half == pytest.approx([0.0126, 0.9874], abs=5e-5)
    assert rates["points of loss: < 20", "both: cannot judge or unreadable"] is None


def test_a_cause_and_a_step_that_differ_are_counted_as_wrong():
    """This applies only to unhealthy runs that the tool calls unhealthy."""
    log = Log("CSV", "20-99", 50)
    label = Label("a.csv", "", ("unhealthy",), ("diverged",), 30, "a.csv")
    said = [Opinion("unhealthy", "diverged", "", 31), Opinion("unhealthy", "plateau", "", 30)]
    said += [Opinion("healthy")]
    outcomes = [Outcome(label, log, opinion) for opinion in said]
    found = {rate.measure: (rate.count, rate.total) for rate in rates_of(outcomes, True)}
    assert found["found unhealthy: cause as labelled"] == (1, 2)
    assert found["found unhealthy: step as labelled"] == (1, 2)


# Output


def test_every_wrong_verdict_is_printed_in_one_line(folder, capsys):
    """The line gives the label, the verdict and its reason. A log for which two verdicts are right
    is listed in the same way."""
    assert main([str(folder), str(folder / "labels"), "--tool", "probes", "--misses"]) == 0
    printed = capsys.readouterr().out
    wrong = printed.split("Wrong verdicts")[1].split("What is missed, by kind")[0]
    lines = [line.split() for line in wrong.splitlines()[3:] if line]
    assert [line[1] for line in lines] == ["falls-too.csv", "nan-too.csv", "either.csv"]
    assert lines[1][2:7] == ["low", "healthy", "–", "unhealthy", "non-finite"]
    missed = printed.split("What is missed, by kind")[1].splitlines()[3].split("  ")
    assert [cell.strip() for cell in missed if cell] == [
        "probes",
        "plateau",
        "1 of 1",
        "1 called healthy",
        "falls-too.csv",
    ]


def test_the_table_is_printed_in_markdown(folder, capsys):
    """A rate states runs, share and interval."""
    assert main([str(folder), str(folder / "labels"), "--tool", "probes", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| logs | label: verdict | probes |" in printed
    assert "| all labels | healthy: found unhealthy | 1 of 3, 33 % (1-91) |" in printed
    assert "not read | unhealthy" not in printed, "a row for which no run counts is left out"


# Several runs in a log, and columns of a name that is not known


def test_runs_of_one_log_have_labels_of_their_own(folder):
    """An opinion of the whole log is that of each run: one is right, the other wrong."""
    labels = labels_of(
        folder, "file|verdict|causes\nnan.csv|sun-3 healthy; moon or star unhealthy|non-finite\n"
    )
    assert [(label.run, label.verdicts, label.causes) for label in labels] == [
        ("sun-3", ("healthy",), ()),
        ("moon or star", ("unhealthy",), ("non-finite",)),
    ]
    outcomes = public_logs.judge_folder(folder, labels, ["probes"])["probes"]
    assert [outcome.right for outcome in outcomes] == [False, True]


def test_a_run_that_no_opinion_names_is_unread():
    """The headline lists the runs that were read."""
    label = Label("a.csv", "moon", ("healthy",))
    opinion = public_logs._opinion_of(label, [Opinion("healthy", run="sun")])
    assert opinion.verdict == "unreadable"
    assert "'moon'" in opinion.headline
    assert "sun" in opinion.headline


def test_a_label_can_map_columns(folder):
    """Without the map the log has no loss."""
    (folder / "odd.csv").write_text(csv(falling(), "mystery"), encoding="utf-8")
    for mapping, verdict in (("", "unreadable"), ("loss=mystery", "healthy")):
        labels = labels_of(folder, f"file|verdict|map\nodd.csv|healthy|{mapping}\n")
        (outcome,) = public_logs.judge_folder(folder, labels, ["probes"])["probes"]
        assert outcome.opinion.verdict == verdict


# Labels


def test_a_header_may_explain_its_columns(folder):
    """Only the first word of a cell counts, and a # before the line is ignored."""
    (label,) = labels_of(
        folder,
        "# file|group (same origin)|verdict|causes, any of|confidence\n"
        "\nnan.csv|g1|unhealthy or undetermined|plateau, other:too-short|medium\n",
    )
    assert label == Label(
        "nan.csv",
        "",
        ("unhealthy", "undetermined"),
        ("plateau", "other:too-short"),
        None,
        "g1",
        "medium",
    )
    assert label.expected is None


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("healthy", "healthy"),
        ("undetermined or unreadable", "undetermined"),
        ("unreadable", "unreadable"),
        ("unhealthy or healthy", None),
        ("unhealthy or undetermined or unreadable", None),
    ],
)
def test_a_label_counts_under_its_only_verdict(folder, verdict, expected):
    """A label that accepts "unreadable" beside one other verdict counts under the other verdict. A
    label that accepts two other verdicts counts under none."""
    (label,) = labels_of(folder, f"file|verdict\nnan.csv|{verdict}\n")
    assert label.expected == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line has to be file|verdict"),
        ("file|verdict\n", "no label below its first line"),
        ("file|causes\n", "line 1: the column verdict is missing"),
        ("file|verdit\n", "line 1: there is no column 'verdit'; did you mean 'verdict'?"),
        ("file|verdict|file\n", "line 1: the column file is named twice"),
        ("file|verdict\nnan.csv\n", "line 2: 1 cells, but the first line names 2 columns"),
        ("file|verdict\n|healthy\n", "line 2: the file is empty"),
        ("file|verdict\nnone.csv|healthy\n", "line 2: .* holds no file 'none.csv'"),
        ("file|verdict\nnan.csv|sick\n", "line 2: the verdict is 'sick'; write one of unhealthy,"),
        ("file|verdict\nnan.csv|\n", "line 2: the verdict is ''; write one of"),
        ("file|verdict\nnan.csv|a healthy; healthy\n", "line 2: .* does not name its run"),
        ("file|verdict|step\nnan.csv|unhealthy|ten\n", "line 2: the step is 'ten'; write an int"),
        ("file|verdict|confidence\nnan.csv|healthy|hig\n", "did you mean 'high'"),
        ("file|verdict|map\nnan.csv|healthy|loss\n", "line 2: the map 'loss' is wrong: .*SIGNAL="),
        ("file|verdict|map\nnan.csv|healthy|los=x\n", "line 2: the map 'los=x' is wrong: "),
        ("file|verdict\nnan.csv|healthy\n\nnan.csv|healthy\n", "line 4: .* has a label already"),
    ],
)
def test_a_label_that_cannot_be_used_is_refused(folder, text, message):
    """The message states the line and what to write."""
    with pytest.raises(LabelError, match=message.replace("|", r"\|")):
        labels_of(folder, text)


def test_unusable_input_exits_with_2(folder, capsys):
    """The tool also prints one line on stderr."""
    (folder / "latin").write_bytes(b"file|verdict\nna\xefve.csv|healthy\n")
    command = [str(folder), str(folder / "labels")]
    assert main([str(folder), str(folder / "latin")]) == 2
    assert "is not UTF-8" in capsys.readouterr().err
    assert main([str(folder), str(folder / "missing")]) == 2
    assert "missing cannot be used" in capsys.readouterr().err
    assert main([str(folder / "none"), str(folder / "labels")]) == 2
    assert "none is not a folder" in capsys.readouterr().err
    assert main([*command, "--tool", "probe"]) == 2
    assert "there is no tool 'probe'; did you mean 'probes'?" in capsys.readouterr().err
    assert main([*command, "--json", str(folder)]) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_a_cause_that_is_not_known_is_noted(folder, capsys):
    """The name of the cause may be misspelt. The labels are used as they are."""
    labels_of(folder, "file|verdict|causes\nnan.csv|unhealthy|non-finit, other:cosmic-ray\n")
    assert main([str(folder), str(folder / "labels"), "--tool", "probes"]) == 0
    noted = capsys.readouterr().err
    assert "nan.csv is labelled 'non-finit'" in noted
    assert "did you mean 'non-finite'?" in noted
    assert "cosmic" not in noted


# Peers


def test_a_tool_that_is_installed_has_a_column(folder, monkeypatch):
    """Its rates are those of its own verdicts; its causes are not scored."""
    monkeypatch.setattr(peers, "PEERS", {"alarmist": lambda path: Opinion("unhealthy", "X1")})
    monkeypatch.setattr(peers, "find_spec", lambda name: name)
    scores = scored(folder)
    assert list(scores) == ["probes", "alarmist"]
    found = counts(scores["alarmist"])
    assert found["all labels", "unhealthy: found unhealthy"] == (2, 2)
    assert found["all labels", "healthy: found unhealthy"] == (3, 3)
    assert found["all labels", "found unhealthy: cause as labelled"] == (0, 0)


def test_a_tool_that_fails_calls_the_log_unreadable(monkeypatch, capsys, tmp_path):
    """This also holds if the tool ends the process. What it prints is dropped."""

    def failing(path):
        print("noise")
        raise SystemExit("no metrics")

    monkeypatch.setattr(peers, "PEERS", {"failing": failing})
    opinion = peers.judge_by("failing", tmp_path / "log.csv")
    assert opinion == Opinion("unreadable", headline="SystemExit: no metrics")
    assert capsys.readouterr().out == ""


def test_a_tool_that_is_not_installed_is_refused(folder, monkeypatch, capsys):
    """The message says how to install it."""
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert main([str(folder), str(folder / "labels"), "--tool", "runmedic"]) == 2
    assert "pip install runmedic" in capsys.readouterr().err


@pytest.mark.skipif(not peers.installed(), reason="no other tool is installed")
def test_every_installed_peer_tells_nan_from_a_loss_that_falls(folder):
    """Each peer runs with its default settings; its warnings count as alarms."""
    for name in peers.installed():
        said = [peers.judge_by(name, folder / log).verdict for log in ("nan.csv", "falls.csv")]
        assert said == ["unhealthy", "healthy"], name


@pytest.mark.parametrize(
    "text",
    [
        '{"log_history": [{"step": 1, "loss": "0.5"}, {"step": 2, "eval_loss": 0.4}]}',
        '[{"step": 1, "loss": 0.5, "run": "a"}, {"step": 2, "eval_loss": 0.4}]',
        '{"step": 1, "loss": 0.5}\n{"step": 2, "eval_loss": 0.4}\n',
        '{"step": [1, 2], "loss": [0.5], "eval_loss": [null, 0.4]}',
    ],
)
def test_rows_are_read_from_every_kind_of_json(tmp_path, text):
    """Some tools take rows instead of files."""
    path = tmp_path / "log.json"
    path.write_text(text, encoding="utf-8")
    assert list(peers._rows(path)) == [{"step": 1, "loss": 0.5}, {"step": 2, "eval_loss": 0.4}]
