"""Revealing a blind round: the score is honest, each miss is explained, and every later change is
noticed."""

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
from exercise.paths import Folder, RoundError
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
"""Three hand-made runs, each with a cause that is certain from its first steps."""
CAUSES = list(RECORDS)


def draw_records(path: Path, records: Mapping[str, Record] = RECORDS) -> Folder:
    """Draw a round of these records instead of training any."""

    def builder(record: Record) -> Callable[[int], Any]:
        return lambda seed: record

    builds = {cause: builder(record) for cause, record in records.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exercise.draw.watch", lambda record, on_step: record)
        draw(builds, builder(changed()), path)
    return Folder(path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_records(tmp_path_factory.mktemp("blind")).path


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Folder:
    """A round that was not answered."""
    return Folder(shutil.copytree(drawn, tmp_path / "blind"))


@pytest.fixture
def answered(folder: Folder) -> Folder:
    """A round with three right answers."""
    write(folder, truth(folder))
    return folder


def truth(folder: Folder) -> dict[str, str]:
    """Run -> cause, from the opened seal."""
    sealed = seal.read(folder.seal).open(folder.seal)
    return {run: answer.cause for run, answer in sealed.runs.items()}


def write(folder: Folder, causes: Mapping[str, str], evidence: str = "it starts off") -> None:
    sections = (
        f'[{run}]\ncause = {json.dumps(cause)}\npanel = "Loss"\nevidence = {json.dumps(evidence)}\n'
        for run, cause in causes.items()
    )
    folder.diagnoses.write_text("\n".join(sections), encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def with_two_exchanged(causes: dict[str, str]) -> dict[str, str]:
    first, second = (run for run in RUNS if causes[run] in ("bad-init", "lr-zero"))
    return {**causes, first: causes[second], second: causes[first]}


# The score


@pytest.mark.parametrize("right", [3, 2, 0])
def test_the_score_counts_the_runs_whose_cause_is_right(folder: Folder, right: int) -> None:
    """The terminal and score.md show the count, the automatic diagnosis and the chance of
    guessing."""
    causes = truth(folder)
    answers = {
        run: cause if place < right else CAUSES[(CAUSES.index(cause) + 1) % 3]
        for place, (run, cause) in enumerate(causes.items())
    }
    write(folder, answers)
    score = reveal(folder.path, CAUSES)
    printed, page = "\n".join(score.lines()), folder.score.read_text(encoding="utf-8")
    assert (score.right, score.automatic) == (f"{right}/3", "3/3")
    assert f"{right}/3 right; the automatic diagnosis: 3/3. Guessing the order" in printed
    assert "gets 3/3 in one round of 6." in printed
    assert f"\n## {right}/3\n" in page
    rows = re.findall(r"^\| 0\d \|.*$", page, re.MULTILINE)
    assert [[cell.strip() for cell in row.split(" | ")][5] for row in rows] == list(causes.values())


def test_one_answer_for_all_runs_counts_once(folder: Folder) -> None:
    """A learner may be sure of one cause only."""
    write(folder, dict.fromkeys(RUNS, "lr-zero"))
    assert reveal(folder.path, CAUSES).right == "1/3"


def line_of(score: Score, cause: str) -> str:
    (line,) = (line for line in score.lines() if re.match(rf"0\d  {cause},", line))
    return line


def test_each_run_is_explained_by_panel_step_value_and_limit(folder: Folder) -> None:
    """The explanation is the finding that decides for the true cause of the run."""
    write(folder, with_two_exchanged(truth(folder)))
    score = reveal(folder.path, CAUSES)
    assert "bad-init, not lr-zero: see panel 1 (Loss), at step 0: " in line_of(score, "bad-init")
    assert "observed 231, limit 5.359 (" in line_of(score, "bad-init")
    assert "lr-zero, not bad-init: see panel 2 (Learning rate), at" in line_of(score, "lr-zero")
    assert "summed-loss, right: see panel 3 (Gradient" in line_of(score, "summed-loss")


def test_a_miss_of_the_automatic_diagnosis_is_admitted(tmp_path: Path) -> None:
    """In this round a healthy record is sealed as a broken one."""
    folder = draw_records(tmp_path, {**RECORDS, "bad-init": changed()})
    write(folder, dict.fromkeys(RUNS, "lr-zero"))
    score = reveal(folder.path, CAUSES)
    assert score.automatic == "2/3"
    assert "the automatic diagnosis does not name this cause: " in line_of(score, "bad-init")


def test_the_seed_and_a_command_that_shows_the_runs_are_printed(answered: Folder) -> None:
    """The seed is secret until then."""
    seed = seal.read(answered.seal).open(answered.seal).seed
    assert f"pytest -k break --seed {seed}" in "\n".join(reveal(answered.path, CAUSES).lines())
    assert f", seed {seed}\n" in answered.score.read_text(encoding="utf-8")


def test_a_round_is_added_below_earlier_rounds(answered: Folder) -> None:
    """The text of earlier rounds does not change."""
    reveal(answered.path, CAUSES)
    before = answered.score.read_bytes()
    draw_records(answered.path)
    write(answered, with_two_exchanged(truth(answered)))
    reveal(answered.path, CAUSES)
    after = answered.score.read_bytes()
    assert after.startswith(before)
    assert re.findall(r"^#+ .*$", after.decode(), re.MULTILINE) == [
        "# Blind diagnoses", "## 3/3", "## 1/3",
    ]  # fmt: skip


def test_a_repeated_reveal_gives_the_same_score_and_adds_nothing(answered: Folder) -> None:
    """Unless score.md was lost after the seal was written: then it is written again."""
    before = seal.read(answered.seal)
    first = reveal(answered.path, CAUSES)
    files = answered.score.read_bytes(), answered.seal.read_bytes()
    assert seal.read(answered.seal) == replace(before, revealed=first.answers_hash)
    assert f"diagnoses sha256:{first.answers_hash}" in files[0].decode()
    second = reveal(answered.path, CAUSES)
    assert (first.added, second.added) == (True, False)
    assert list(second.lines())[:-1] == list(first.lines())[:-1]
    answered.score.unlink()
    reveal(answered.path, CAUSES)
    assert (answered.score.read_bytes(), answered.seal.read_bytes()) == files


def test_an_answer_cannot_leave_its_cell_of_the_table(folder: Folder) -> None:
    """A bar, a line break, a tag and a control character are made harmless."""
    write(folder, truth(folder), evidence="a | b\n## 9/9\n<img> \u001b[1m")
    reveal(folder.path, CAUSES)
    text = folder.score.read_text(encoding="utf-8")
    assert "| a \\| b ## 9/9 &lt;img> \\\\x1b[1m |" in text
    assert re.findall(r"^## .*$", text, re.MULTILINE) == ["## 3/3"]


# Answers that cannot be used


def refusal(folder: Folder, causes: list[str] = CAUSES) -> str:
    """The message of a reveal that is refused and changes no file."""

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}

    before = contents()
    with pytest.raises(RoundError) as caught:
        reveal(folder.path, causes)
    assert contents() == before
    return str(caught.value)


def test_an_empty_form_is_refused(folder: Folder) -> None:
    """The message lists all questions without an answer."""
    message = refusal(folder)
    assert f"{folder.diagnoses}: these answers are still empty: " in message
    assert all(f"[{run}] cause, panel, evidence" in message for run in RUNS)


def test_a_single_gap_is_refused_before_the_seal_is_opened(answered: Folder) -> None:
    """An answer of spaces counts as empty."""
    edit(answered.diagnoses, '"it starts off"', '" \\t"')
    edit(answered.seal, '"answers": "', '"answers": "00')
    assert "still empty: [01] evidence." in refusal(answered)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("bad-init", "bad-int"),
            "there is no cause 'bad-int'; did you mean 'bad-init'? choose from bad-init, lr-zero",
        ),
        (("bad-init", "xyz"), "there is no cause 'xyz'; choose from bad-init, lr-zero, summed-"),
        (('"Loss"', '"Los"'), "[01]: there is no panel 'Los'; did you mean 'Loss'? choose from L"),
        (("panel =", "pannel ="), "[01]: there is no key 'pannel'; did you mean 'panel'?"),
        (("[02]", "[2]"), "there is no run '2'; the sections are [01], [02], [03]"),
        (("[03]", "[02.x]"), "the section [03] is missing; write it again, with the keys cause,"),
        (('panel = "Loss"\n', ""), "[01]: panel is missing; write the line again"),
        (('"it starts off"', "17"), "[01]: evidence is 17; it must be a string in quotes"),
        (("[02]", "[02"), "is not valid TOML: "),
    ],
    ids=["cause", "other cause", "panel", "key", "run", "section", "no key", "number", "bracket"],
)
def test_an_unusable_answer_is_refused(
    answered: Folder, change: tuple[str, str], message: str
) -> None:
    """The message gives the file, the place, the choices and the nearest of them."""
    edit(answered.diagnoses, *change)
    text = refusal(answered)
    assert str(answered.diagnoses) in text
    assert message in text


def test_a_value_in_place_of_a_section_is_refused(answered: Folder) -> None:
    """Such a form is valid TOML, so the TOML parser does not refuse it."""
    answered.diagnoses.write_text('01 = "bad-init"\n02 = 1\n03 = 2\n', encoding="utf-8")
    assert "[01] is 'bad-init'; it must be a section with cause, panel" in refusal(answered)


def test_a_byte_order_mark_and_other_line_ends_are_accepted(answered: Folder) -> None:
    """Some text editors write them."""
    content = answered.diagnoses.read_bytes().replace(b"\n", b"\r\n")
    answered.diagnoses.write_bytes(b"\xef\xbb\xbf" + content)
    assert reveal(answered.path, CAUSES).right == "3/3"


# Changes are noticed


def record_of(folder: Folder) -> Path:
    return sorted(folder.records.iterdir())[0]


@pytest.mark.parametrize("place", [lambda f: f.page("02"), record_of], ids=["page", "record"])
def test_a_changed_or_missing_file_is_noticed(
    answered: Folder, place: Callable[[Folder], Path]
) -> None:
    """A change of one byte is enough, and the message says what to do."""
    path = place(answered)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    assert f"{path} was changed after the round was drawn" in refusal(answered)
    path.unlink()
    message = refusal(answered)
    assert f"{path} is missing, but the seal covers it; put it back, or " in message
    assert "draw another round with `pytest -k break --blind`" in message


def test_exchanged_pages_are_noticed(answered: Folder) -> None:
    """Each page is sealed under its own number."""
    one, other = answered.page("01").read_bytes(), answered.page("02").read_bytes()
    answered.page("01").write_bytes(other)
    answered.page("02").write_bytes(one)
    assert "01.html was changed after the round was drawn" in refusal(answered)


def test_missing_answers_and_a_missing_round_are_errors(folder: Folder, tmp_path: Path) -> None:
    """The messages say how to draw a round."""
    folder.diagnoses.unlink()
    assert "diagnoses.toml is missing; put it back, or draw another round" in refusal(folder)
    message = refusal(Folder(tmp_path / "nothing"))
    assert "no round to reveal; draw one with `pytest -k break --blind`" in message


@pytest.mark.parametrize("part", ["commitment", "salt", "answers"])
def test_a_changed_seal_is_noticed(answered: Folder, part: str) -> None:
    """A change of one digit is enough."""
    old = getattr(seal.read(answered.seal), part)
    edit(answered.seal, old, ("1" if old[0] == "0" else "0") + old[1:])
    message = f"{answered.seal} was changed after the round was drawn: salt and answers do not"
    assert message in refusal(answered)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a seal: it must hold the strings commitment, salt, answers, revealed"),
        ('{"commitment": "", "salt": "x", "answers": "y", "revealed": ""}', "was changed after"),
    ],
    ids=["cut", "list", "no hex"],
)
def test_a_damaged_seal_is_an_error(answered: Folder, content: str, message: str) -> None:
    """The message names the file and how to restore it."""
    answered.seal.write_text(content, encoding="utf-8")
    text = refusal(answered)
    assert f"{answered.seal} {message}" in text
    assert "git checkout -- seal.json" in text


def test_answers_edited_after_the_reveal_are_noticed(folder: Folder) -> None:
    """The score stands. A comment does not count as an edit."""
    write(folder, with_two_exchanged(truth(folder)))
    reveal(folder.path, CAUSES)
    edit(folder.diagnoses, "[02]", "# how could I miss that\n\n[02]")
    assert not reveal(folder.path, CAUSES).added
    write(folder, truth(folder))
    message = refusal(folder)
    assert f"{folder.diagnoses} was edited after its reveal" in message
    assert "The score stands; for another try, draw another round" in message
    assert "## 3/3" not in folder.score.read_text(encoding="utf-8")


def test_a_reveal_that_is_removed_from_the_seal_is_noticed(answered: Folder) -> None:
    """The file score.md still lists the round."""
    before = answered.seal.read_bytes()
    reveal(answered.path, CAUSES)
    answered.seal.write_bytes(before)
    assert f"{answered.seal} was changed after the reveal" in refusal(answered)


def test_a_round_of_other_causes_is_an_error(answered: Folder) -> None:
    """The round was drawn by another version of the project."""
    write(answered, dict.fromkeys(RUNS, "bad-init"))
    message = refusal(answered, ["bad-init", "lr-zero", "overfit"])
    assert "when the causes were bad-init, lr-zero, summed-loss; now they are bad-init" in message


# On the command line


SHORT = replace(
    model.HEALTHY,
    steps=12,
    eval_every=6,
    optimizer=replace(model.HEALTHY.optimizer, warmup_steps=3),
)


@pytest.fixture
def repository(
    ours: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.Pytester]:
    """A project with this repository's conftest.py and a test that must not run."""
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
    """Draw, be refused, answer, reveal. No test runs, and no line names a cause before the last
    command."""
    folder = Folder(repository.path / "reports/blind")
    drawn = run(repository, "-k", "break", "--blind")
    assert drawn.ret == pytest.ExitCode.OK
    assert drawn.outlines[0] == f"blind round sha256:{seal.read(folder.seal).commitment}"
    assert not [cause for cause in model.BREAKS if cause in drawn.stdout.str() + drawn.stderr.str()]
    refused = run(repository, "--reveal")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        ["ERROR: *diagnoses.toml: these answers are still empty: [[]01] cause, panel, evidence;*"]
    )
    runs = [f"{number:02d}" for number in range(1, len(model.BREAKS) + 1)]
    write(folder, dict.fromkeys(runs, "mask-leak"))
    revealed = run(repository, "--reveal")
    assert revealed.ret == pytest.ExitCode.OK
    revealed.stdout.fnmatch_lines([f"1/{len(runs)} right; the automatic diagnosis: *"])
    assert folder.score.exists()


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
def test_options_without_an_effect_are_errors(
    repository: pytest.Pytester, option: list[str], named: str
) -> None:
    """The session ends before anything is trained."""
    result = run(repository, "--blind", *option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --blind does not go with {named}: *"])
    assert not (repository.path / "reports").exists()


def test_an_interrupted_round_ends_without_traceback_and_without_files(
    repository: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of an interrupt."""

    def interrupted(*args: object, **options: object) -> Record:
        raise KeyboardInterrupt

    monkeypatch.setattr("exercise.draw.watch", interrupted)
    result = run(repository, "--blind")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stderr.fnmatch_lines(["interrupted: no round was drawn, nothing was revealed"])
    assert not (repository.path / "reports").exists()


def test_help_lists_both_options_and_trains_nothing(repository: pytest.Pytester) -> None:
    """`--help` wins over an option of the exercise."""
    result = run(repository, "--blind", "--help")
    result.stdout.fnmatch_lines(["*--blind *", "*--reveal *"])
    assert not (repository.path / "reports").exists()
