"""The reveal: it scores what was written against what was sealed, explains each miss, and notices
what was changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import model
from exercise import seal
from exercise.draw import draw
from exercise.paths import BlindError, Folder
from exercise.score import Score, reveal
from probes.record import Record
from tests.records import STEPS, changed, sound

ROOT = Path(__file__).parents[1]
RUNS = ("01", "02", "03")
RECORDS: Mapping[str, Record] = {
    "bad-init": changed(
        loss=[231.0, *sound()["loss"][1:]], grad_norm=[5e3, *sound()["grad_norm"][1:]]
    ),
    "lr-zero": changed(lr=[0.0] * STEPS),
    "summed-loss": changed(grad_norm=[5e3, *sound()["grad_norm"][1:]]),
}
"""Three runs made by hand, each with a cause that is certain from its first steps."""
CAUSES = list(RECORDS)


def put(path: Path, records: Mapping[str, Record] = RECORDS) -> Folder:
    """A round of these records: what would train them is replaced by the records themselves."""

    def builder(record: Record) -> Callable[[int], Any]:
        return lambda seed: record

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exercise.draw.watch", lambda record, on_step: record)
        draw(
            {cause: builder(record) for cause, record in records.items()}, builder(changed()), path
        )
    return Folder(path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("blind")).path


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Folder:
    """A round that nobody has answered."""
    return Folder(shutil.copytree(drawn, tmp_path / "blind"))


@pytest.fixture
def answered(folder: Folder) -> Folder:
    """A round with three right diagnoses."""
    write(folder, truth(folder))
    return folder


def truth(folder: Folder) -> dict[str, str]:
    """Run -> cause, from behind the seal."""
    return {
        run: answer.cause for run, answer in seal.read(folder.seal).open(folder.seal).runs.items()
    }


def write(
    folder: Folder, causes: Mapping[str, str], evidence: str = "it starts off", panel: str = "Loss"
) -> None:
    sections = (
        f"[{run}]\ncause = {json.dumps(cause)}\npanel = {json.dumps(panel)}\nevidence = {json.dumps(evidence)}\n"
        for run, cause in causes.items()
    )
    folder.diagnoses.write_text("\n".join(sections), encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def shown(score: Score, run: str) -> str:
    (line,) = (line for line in score.lines() if line.startswith(run))
    return line


def swapped(causes: dict[str, str]) -> dict[str, str]:
    """Two of the three exchanged."""
    first, second = (run for run in RUNS if causes[run] in ("bad-init", "lr-zero"))
    return {**causes, first: causes[second], second: causes[first]}


# The score


@pytest.mark.parametrize("right", [3, 2, 1, 0])
def test_the_score_counts_the_runs_whose_cause_is_right(folder: Folder, right: int) -> None:
    """From three to none; the others are said to be the next cause of the list."""
    causes = truth(folder)
    said = {
        run: cause if place < right else CAUSES[(CAUSES.index(cause) + 1) % 3]
        for place, (run, cause) in enumerate(causes.items())
    }
    write(folder, said)
    score = reveal(folder.path, CAUSES)
    assert score.right == f"{right}/3"
    assert any(line.startswith(f"{right}/3 right") for line in score.lines())
    assert f"\n## {right}/3\n" in folder.score.read_text(encoding="utf-8")


def test_the_score_says_what_guessing_would_give(answered: Folder) -> None:
    """Three causes have six orders."""
    text = "\n".join(reveal(answered.path, CAUSES).lines())
    assert "Guessing an order of the causes gets 3/3 one time in 6." in text
    assert "one time in 6" in answered.score.read_text(encoding="utf-8")


def test_the_automatic_diagnosis_is_scored_beside_the_learner(answered: Folder) -> None:
    """By the same records."""
    score = reveal(answered.path, CAUSES)
    assert score.automatic == "3/3"
    assert "the automatic diagnosis: 3/3" in "\n".join(score.lines())
    rows = re.findall(r"^\| 0\d \|.*$", answered.score.read_text(encoding="utf-8"), re.M)
    assert all(
        [cell.strip() for cell in row.split(" | ")][5] == truth(answered)[row[2:4]] for row in rows
    )
    assert len(rows) == 3


def test_a_miss_is_explained_by_panel_step_and_limit(folder: Folder) -> None:
    """Of the finding that decides for the true cause."""
    causes = truth(folder)
    write(folder, swapped(causes))
    score = reveal(folder.path, CAUSES)
    run = next(run for run in RUNS if causes[run] == "bad-init")
    assert shown(score, run).startswith(
        f"{run}  bad-init, not lr-zero: see panel 1 (Loss), at step 0: initial-loss-high, observed 231, limit 5.359 ("
    )
    run = next(run for run in RUNS if causes[run] == "lr-zero")
    assert "lr-zero, not bad-init: see panel 2 (Learning rate), at step " in shown(score, run)
    run = next(run for run in RUNS if causes[run] == "summed-loss")
    assert (
        "summed-loss, right: see panel 3 (Gradient norm), at step 0: first-gradient-large"
        in shown(score, run)
    )


def test_a_miss_that_the_automatic_diagnosis_shares_is_called_so(tmp_path: Path) -> None:
    """Here a sound run stands for a sick one."""
    folder = put(tmp_path, {**RECORDS, "bad-init": changed()})
    write(folder, dict.fromkeys(RUNS, "lr-zero"))
    score = reveal(folder.path, CAUSES)
    run = next(run for run, cause in truth(folder).items() if cause == "bad-init")
    assert (score.right, score.automatic) == ("1/3", "2/3")
    assert "bad-init, not lr-zero: the automatic diagnosis does not show it either: " in shown(
        score, run
    )


def test_the_seed_is_told_at_last(answered: Folder) -> None:
    """With the command that trains the same runs again and says what is found in them."""
    number = seal.read(answered.seal).open(answered.seal).seed
    assert f"pytest -k break --seed {number}" in "\n".join(reveal(answered.path, CAUSES).lines())
    assert f", seed {number}\n" in answered.score.read_text(encoding="utf-8")


def test_a_score_is_added_below_those_before(answered: Folder) -> None:
    """Round after round; what stands there stays as it is."""
    reveal(answered.path, CAUSES)
    before = answered.score.read_bytes()
    put(answered.path)
    write(answered, swapped(truth(answered)))
    reveal(answered.path, CAUSES)
    after = answered.score.read_bytes()
    assert after.startswith(before)
    assert re.findall(r"^## .*$", after.decode(), re.M) == ["## 3/3", "## 1/3"]
    assert after.decode().count("# Blind diagnoses\n") == 1


def test_a_repeated_reveal_gives_the_same_score_and_adds_nothing(answered: Folder) -> None:
    """And says that it was revealed before."""
    first = list(reveal(answered.path, CAUSES).lines())
    before = answered.score.read_bytes(), answered.seal.read_bytes()
    second = list(reveal(answered.path, CAUSES).lines())
    assert (answered.score.read_bytes(), answered.seal.read_bytes()) == before
    assert second[:-1] == first[:-1]
    assert (first[-1], second[-1]) == (
        "added to score.md; commit it, and seal.json too",
        "revealed before: score.md has it",
    )


def test_a_score_that_was_cut_short_is_made_good(answered: Folder) -> None:
    """The seal knows of the reveal, score.md does not: a crash between the two."""
    reveal(answered.path, CAUSES)
    before = answered.score.read_bytes()
    answered.score.unlink()
    reveal(answered.path, CAUSES)
    assert answered.score.read_bytes() == before


def test_what_was_written_cannot_leave_its_cell(folder: Folder) -> None:
    """A bar, a newline, a tag, an escape sequence."""
    write(folder, truth(folder), evidence="a | b\n## 9/9\n<img> \u001b[1m")
    reveal(folder.path, CAUSES)
    text = folder.score.read_text(encoding="utf-8")
    assert "| a \\| b ## 9/9 &lt;img> \N{REPLACEMENT CHARACTER}[1m |" in text
    assert re.findall(r"^## .*$", text, re.M) == ["## 3/3"]


def test_the_seal_keeps_the_hash_of_what_was_revealed(answered: Folder) -> None:
    """The commitment stays what it was."""
    before = seal.read(answered.seal)
    score = reveal(answered.path, CAUSES)
    assert seal.read(answered.seal) == replace(before, revealed=score.diagnoses)
    assert re.fullmatch("[0-9a-f]{64}", score.diagnoses)
    assert f"diagnoses sha256:{score.diagnoses}" in answered.score.read_text(encoding="utf-8")


# What was written is not usable


def refusal(folder: Folder) -> str:
    """The message of a reveal that is refused and leaves everything as it was."""
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(BlindError) as caught:
        reveal(folder.path, CAUSES)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    return str(caught.value)


def test_an_untouched_template_is_refused(folder: Folder) -> None:
    """It lists everything that is still empty."""
    message = refusal(folder)
    assert f"{folder.diagnoses}: still empty are " in message
    assert all(f"[{run}] cause, panel, evidence" in message for run in RUNS)


@pytest.mark.parametrize("key", ["cause", "panel", "evidence"])
@pytest.mark.parametrize("blank", ["", " \\t"], ids=["empty", "spaces"])
def test_a_single_gap_is_refused(answered: Folder, key: str, blank: str) -> None:
    """With its section and its key, before the seal is opened."""
    text = answered.diagnoses.read_text(encoding="utf-8")
    head, mark, tail = text.partition("[02]")
    answered.diagnoses.write_text(
        head
        + mark
        + re.sub(f"{key} = .*", f'{key} = "{blank}"'.replace("\\", r"\\"), tail, count=1)
    )
    edit(answered.seal, '"answers": "', '"answers": "00')
    assert f"still empty are [02] {key}." in refusal(answered)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("bad-init", "bad-int"), """there is no cause 'bad-int'; did you mean "bad-init"? choose from bad-init"""),
        (("bad-init", "overfit"), "there is no cause 'overfit'; choose from bad-init, lr-zero, summed-loss"),
        (('"Loss"', '"Los"'), """[01]: there is no panel 'Los'; did you mean "Loss"? choose from Loss, Learning"""),
        (("panel =", "pannel ="), """[01]: there is no key 'pannel'; did you mean "panel"? choose from cause, panel"""),
        (("[02]", "[2]"), "there is no run '2'; the sections are [01], [02], [03]"),
        (('panel = "Loss"\n', ""), "[01]: panel is missing; write the line again"),
        (('"it starts off"', "17"), "[01]: evidence is 17; it must be a text in quotes"),
        (('"it starts off"', "it"), "is not TOML: "),
        (("[02]", "[02"), "is not TOML: "),
    ],
    ids=["misspelt cause", "no cause here", "panel", "key", "section", "no key", "number", "no quotes", "bracket"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(
    answered: Folder, change: tuple[str, str], message: str
) -> None:
    """Each with the file, the place, what may stand there, and the nearest of it."""
    edit(answered.diagnoses, *change)
    said = refusal(answered)
    assert str(answered.diagnoses) in said
    assert message in said


def test_a_missing_section_is_refused(answered: Folder) -> None:
    """By its name."""
    text = answered.diagnoses.read_text(encoding="utf-8")
    answered.diagnoses.write_text(text.partition("[03]")[0], encoding="utf-8")
    assert "[03] is missing; write it again, with cause, panel, evidence below it" in refusal(
        answered
    )


def test_a_section_that_is_a_value_is_refused(answered: Folder) -> None:
    """TOML allows it."""
    answered.diagnoses.write_text('01 = "bad-init"\n02 = 1\n03 = 2\n', encoding="utf-8")
    assert "[01] is 'bad-init'; it must be a section with cause, panel, evidence" in refusal(
        answered
    )


def test_an_editor_may_leave_its_mark(answered: Folder) -> None:
    """A byte-order mark, other line ends."""
    content = answered.diagnoses.read_bytes().replace(b"\n", b"\r\n")
    answered.diagnoses.write_bytes(b"\xef\xbb\xbf" + content)
    assert reveal(answered.path, CAUSES).right == "3/3"


def test_one_cause_may_be_said_twice(folder: Folder) -> None:
    """Whoever is sure of one run only may say so; it counts once."""
    write(folder, dict.fromkeys(RUNS, "lr-zero"))
    assert reveal(folder.path, CAUSES).right == "1/3"


# What was changed


def record_of(folder: Folder) -> Path:
    return sorted(folder.records.iterdir())[0]


@pytest.mark.parametrize("place", [lambda f: f.page("02"), record_of], ids=["page", "record"])
def test_a_changed_file_is_noticed(answered: Folder, place: Callable[[Folder], Path]) -> None:
    """One byte is enough."""
    path = place(answered)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    assert f"{path} was changed after the round was drawn" in refusal(answered)


def test_swapped_pages_are_noticed(answered: Folder) -> None:
    """Each page is sealed under its own number."""
    one, other = answered.page("01").read_bytes(), answered.page("02").read_bytes()
    answered.page("01").write_bytes(other)
    answered.page("02").write_bytes(one)
    assert "01.html was changed after the round was drawn" in refusal(answered)


@pytest.mark.parametrize("place", [lambda f: f.page("03"), record_of], ids=["page", "record"])
def test_a_missing_file_is_noticed(answered: Folder, place: Callable[[Folder], Path]) -> None:
    """With what can be done about it."""
    path = place(answered)
    path.unlink()
    message = refusal(answered)
    assert f"{path} is missing, and the seal covers it; put it back, or " in message
    assert "draw another round with `pytest -k break --blind`" in message


def test_missing_diagnoses_are_an_error(folder: Folder) -> None:
    """Not an empty score."""
    folder.diagnoses.unlink()
    assert "diagnoses.toml is missing; put it back, or draw another round" in refusal(folder)


def test_no_round_is_an_error(tmp_path: Path) -> None:
    """It says how to draw one."""
    message = refusal(Folder(tmp_path / "blind"))
    assert "seal.json, so no round to reveal; draw one with `pytest -k break --blind`" in message


@pytest.mark.parametrize("part", ["commitment", "salt", "answers"])
def test_a_changed_seal_is_noticed(answered: Folder, part: str) -> None:
    """One digit of any part of it."""
    old = getattr(seal.read(answered.seal), part)
    edit(answered.seal, old, ("1" if old[0] == "0" else "0") + old[1:])
    assert f"{answered.seal} was changed after the round was drawn: salt and answers" in refusal(
        answered
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON any more"),
        ("[]", "is no seal: it must hold the strings commitment, salt, answers, revealed"),
        ('{"commitment": "a", "salt": "b", "answers": 3, "revealed": ""}', "is no seal"),
        (
            '{"commitment": "a", "salt": "x", "answers": "y", "revealed": ""}',
            "was changed after the round was drawn",
        ),
    ],
    ids=["cut", "list", "number", "no hex"],
)
def test_a_seal_that_is_none_is_an_error(answered: Folder, content: str, message: str) -> None:
    """It names the file and how to get it back."""
    answered.seal.write_text(content, encoding="utf-8")
    said = refusal(answered)
    assert f"{answered.seal} {message}" in said
    assert "git checkout -- seal.json" in said


@pytest.mark.parametrize(
    "change", [('"Loss"', '"Activations"'), ("starts off", "started")], ids=["panel", "evidence"]
)
def test_diagnoses_edited_after_the_reveal_are_noticed(
    answered: Folder, change: tuple[str, str]
) -> None:
    """The score stands, and the way to another try is given."""
    reveal(answered.path, CAUSES)
    edit(answered.diagnoses, *change)
    message = refusal(answered)
    assert f"{answered.diagnoses} was edited after its reveal" in message
    assert (
        "The score stands; for another try, draw another round with `pytest -k break --blind`"
        in message
    )


def test_causes_exchanged_after_the_reveal_are_noticed(folder: Folder) -> None:
    """Knowing the answers makes nobody right."""
    write(folder, swapped(truth(folder)))
    reveal(folder.path, CAUSES)
    write(folder, truth(folder))
    assert "was edited after its reveal" in refusal(folder)
    assert "## 3/3" not in folder.score.read_text(encoding="utf-8")


def test_a_comment_after_the_reveal_is_no_edit(answered: Folder) -> None:
    """What counts is what was said."""
    reveal(answered.path, CAUSES)
    edit(answered.diagnoses, "[02]", "# how could I miss that\n\n[02]")
    assert not reveal(answered.path, CAUSES).added


def test_a_reveal_wiped_from_the_seal_is_noticed(answered: Folder) -> None:
    """score.md remembers the round."""
    before = answered.seal.read_bytes()
    reveal(answered.path, CAUSES)
    answered.seal.write_bytes(before)
    assert f"{answered.seal} was changed after the reveal" in refusal(answered)


def test_a_round_of_other_causes_is_an_error(answered: Folder) -> None:
    """Drawn by another version, it would be scored against names that nobody was offered."""
    write(answered, dict.fromkeys(RUNS, "bad-init"))
    with pytest.raises(
        BlindError,
        match="when the causes were bad-init, lr-zero, summed-loss; now they are bad-init",
    ):
        reveal(answered.path, ["bad-init", "lr-zero", "overfit"])


# On the command line


SHORT = replace(
    model.HEALTHY, steps=12, eval_every=3, optimizer=replace(model.HEALTHY.optimizer, warmup_steps=3)
)  # fmt: skip


@pytest.fixture
def repository(
    ours: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.Pytester]:
    """This repository's conftest.py in a folder of its own, beside a test that fails if it is ever
    run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(model, "HEALTHY", SHORT)
    pytester.makeconftest((ROOT / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile("def test_nothing():\n    raise AssertionError('a test ran')\n")
    yield pytester
    assert not (pytester.path / "reports/dashboard.html").exists()


def run(repository: pytest.Pytester, *args: str) -> pytest.RunResult:
    result = repository.runpytest_inprocess("-p", "xdist", *args, no_reraise_ctrlc=True)
    assert "session starts" not in result.stdout.str()
    return result


def test_the_exercise_from_the_first_command_to_the_score(repository: pytest.Pytester) -> None:
    """Draw, be refused, write, reveal: no test runs on the way, and no line tells a cause before
    the last command."""
    folder = Folder(repository.path / "reports/blind")
    drawn = run(repository, "-k", "break", "--blind")
    assert drawn.ret == pytest.ExitCode.OK
    assert drawn.outlines[0] == f"blind round sha256:{seal.read(folder.seal).commitment}"
    assert not [cause for cause in model.BREAKS if cause in drawn.stdout.str() + drawn.stderr.str()]
    refused = run(repository, "--reveal")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        ["ERROR: *diagnoses.toml: still empty are [[]01] cause, panel, evidence;*"]
    )
    write(folder, dict.fromkeys(RUNS, "mask-leak"))
    revealed = run(repository, "--reveal")
    assert revealed.ret == pytest.ExitCode.OK
    revealed.stdout.fnmatch_lines(["1/3 right; the automatic diagnosis: *"])
    assert folder.score.exists()
    folder.page("01").unlink()
    assert run(repository, "--reveal").ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (["--reveal"], "--reveal"),
        (["-n2"], "workers"),
        (["--seed", "7"], "--seed 7"),
        (["-k", "mask"], "-k 'mask'"),
    ],
    ids=["reveal", "workers", "seed", "selection"],
)
def test_options_that_would_have_no_effect_are_errors(
    repository: pytest.Pytester, option: list[str], named: str
) -> None:
    """Never ignored; nothing is trained."""
    result = run(repository, "--blind", *option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --blind does not go with {named}: it trains all breaks *"]
    )
    assert not (repository.path / "reports").exists()


def test_a_round_that_is_interrupted_ends_quietly(
    repository: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a traceback and without a round."""

    def interrupted(*args: object, **options: object) -> Record:
        raise KeyboardInterrupt

    monkeypatch.setattr("exercise.draw.watch", interrupted)
    result = run(repository, "--blind")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stderr.fnmatch_lines(["interrupted: no round was drawn, nothing was revealed"])
    assert not (repository.path / "reports").exists()


def test_help_is_help(repository: pytest.Pytester) -> None:
    """It lists both options and trains nothing."""
    result = run(repository, "--blind", "--help")
    result.stdout.fnmatch_lines(["*--blind *", "*--reveal *"])
    assert not (repository.path / "reports").exists()
