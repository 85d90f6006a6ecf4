"""A blind round: its pages say nothing of what was found, and nothing that was written is lost to
another round."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from exercise import seal
from exercise.diagnoses import KEYS, PANEL_TITLES, template
from exercise.draw import FIRST_SEED, SEEDS, _lots, draw, instructions, status
from exercise.paths import BlindError, Folder
from exercise.seal import Answer, Answers
from model import BREAKS, HEALTHY, build
from probes.diagnosis.causes import CAUSES
from probes.panels import PANELS
from probes.record import Record
from tests.page import Page
from tests.tiny_specimen import TinySpecimen

RUNS = ("01", "02", "03")
SHORT = replace(
    HEALTHY, steps=6, eval_every=2, optimizer=replace(HEALTHY.optimizer, warmup_steps=3)
)
REAL = [brk.cause for brk in BREAKS.values()]
TINY = ("one", "other", "third")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The three real runs, cut short; not to be written to."""
    builds = {brk.cause: partial(trained, brk.apply) for brk in BREAKS.values()}
    path = tmp_path_factory.mktemp("blind")
    draw(builds, partial(trained, lambda config: config), path)
    return Folder(path)


def trained(spoil: Callable[[Any], Any], seed: int) -> Any:
    return build(spoil(replace(SHORT, seed=seed)))


def markup(folder: Folder, run: str) -> str:
    """A page without its style sheet and its script, which are the same on every page of this
    project."""
    return re.sub(
        r"<(style|script)>.*?</\1>", "", folder.page(run).read_text(encoding="utf-8"), flags=re.S
    )


def tiny(path: Path, **options: Any) -> Folder:
    """A round of specimens that take no time."""
    draw(
        {cause: lambda seed: TinySpecimen() for cause in TINY},
        lambda seed: TinySpecimen(),
        path,
        **options,
    )
    return Folder(path)


def files(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def permutations() -> list[tuple[str, ...]]:
    return list(itertools.permutations(REAL))


def answers(causes: tuple[str, ...], seed: int = FIRST_SEED) -> Answers:
    digest = sha256(b"").hexdigest()
    runs = zip(RUNS, causes, strict=True)
    return Answers(
        seed, {run: Answer(cause, digest, digest, "0" * 16 + ".jsonl") for run, cause in runs}
    )


# What the pages say


TELLTALES = {
    *BREAKS, *REAL, *(cause.name for cause in CAUSES), *(brk.leaf for brk in BREAKS.values()),
    *(brk.leaf.rpartition(".")[2] for brk in BREAKS.values()), *(cause.decisive.name for cause in CAUSES),
    "all-ones", "causal", "verdict", "unhealthy", "undetermined", "headline", "this run:", "strength",
    "provenance", "numpy", "remedy", 'class="event', 'class="shows', 'class="badge',
}  # fmt: skip


@pytest.mark.parametrize("word", sorted(TELLTALES))
def test_no_page_says_what_was_found(drawn: Folder, word: str) -> None:
    """No cause, break, leaf, symptom, verdict or mark of evidence, in text or in markup, with
    hyphens or spaces."""
    pages = [markup(drawn, run).lower() for run in RUNS]
    assert not [
        page for page in pages if word.lower() in page or word.lower().replace("-", "_") in page
    ]


@pytest.mark.parametrize("word", sorted({*BREAKS, *REAL}))
def test_no_page_says_it_with_spaces(drawn: Folder, word: str) -> None:
    """`bad init` is as good as `bad-init`."""
    assert not [run for run in RUNS if word.replace("-", " ") in markup(drawn, run).lower()]


def test_the_search_would_find_what_a_dashboard_says(drawn: Folder, tmp_path: Path) -> None:
    """The same records on an ordinary page: a search that finds nothing there either proves
    nothing."""
    from probes.report.html import render

    sealed = seal.read(drawn.seal).open(drawn.seal)
    run = next(run for run, answer in sealed.runs.items() if answer.cause == "bad-init")
    record = Record.load(drawn.records / sealed.runs[run].name)
    render([record], tmp_path / "01.html")
    found = {word for word in TELLTALES if word.lower() in markup(Folder(tmp_path), "01").lower()}
    assert found >= {
        "bad-init",
        "initial-loss-high",
        "unhealthy",
        "headline",
        "this run:",
        'class="event',
    }


def test_outside_the_charts_all_pages_read_alike(drawn: Folder) -> None:
    """But for the number of the run."""
    bare = [
        re.sub(r"<figure.*?</figure>", "", markup(drawn, run), flags=re.S).replace(run, "NN")
        for run in RUNS
    ]
    assert len({page.rstrip() for page in bare}) == 1


def test_the_pages_differ_in_their_charts(drawn: Folder) -> None:
    """Otherwise there would be nothing to see."""
    assert len({markup(drawn, run).replace(run, "NN") for run in RUNS}) == 3


def test_no_page_says_which_seed_it_is(drawn: Folder) -> None:
    """With the seed anybody could train the runs again by name."""
    number = str(seal.read(drawn.seal).open(drawn.seal).seed)
    assert not [run for run in RUNS if number in markup(drawn, run)]


def test_ids_do_not_depend_on_the_run(drawn: Folder) -> None:
    """They are the same on all pages, and each page is well-formed."""
    pages = [Page(drawn.page(run)) for run in RUNS]
    ids = [[a["id"] for _, a in page.elements if "id" in a] for page in pages]
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == len(set(ids[0])) > 10
    assert [page.open for page in pages] == [[], [], []]


def test_a_page_has_what_a_learner_needs(drawn: Folder) -> None:
    """Every panel with question and pattern, its own title, what to do, how to read the faint and
    dashed lines."""
    for run in RUNS:
        page = Page(drawn.page(run))
        assert page.text.count(f"Blind diagnosis {run}") == 2
        assert all(
            panel.question in page.text and panel.healthy_look in page.text for panel in PANELS
        )
        assert all(
            word in page.text
            for word in ("diagnoses.toml", "pytest --reveal", "Faint", "Dashed in panel 1")
        )


def test_the_reference_lies_behind_every_chart(drawn: Folder) -> None:
    """In every view of every panel."""
    for run in RUNS:
        figures = markup(drawn, run).split("<figure")[1:]
        assert len(figures) == sum(len(panel.views) for panel in PANELS)
        assert all(re.search(r'<g class="(area )?reference', figure) for figure in figures)


# What the files say


def test_all_pages_have_one_size_and_one_time(drawn: Folder) -> None:
    """A long page would be a wild run; the first page written would be the first trained."""
    stats = [drawn.page(run).stat() for run in RUNS]
    assert len({(stat.st_size, stat.st_mtime_ns) for stat in stats}) == 1


def test_all_records_have_that_time_too(drawn: Folder) -> None:
    """And no sidecar tells another."""
    stats = [file.stat() for file in (*drawn.records.iterdir(), drawn.page("01"))]
    assert len(stats) == 4
    assert len({stat.st_mtime_ns for stat in stats}) == 1


def test_records_lie_under_names_that_say_nothing(drawn: Folder) -> None:
    """Sixteen random digits, without provenance, and with one and the same header."""
    paths = list(drawn.records.iterdir())
    assert all(re.fullmatch(r"[0-9a-f]{16}\.jsonl", path.name) for path in paths)
    assert [Record.load(path).provenance for path in paths] == [{}, {}, {}]
    assert len({path.read_bytes().partition(b"\n")[0] for path in paths}) == 1


def test_a_round_is_these_files_and_no_others(drawn: Folder) -> None:
    """No dashboard, no draft, no sidecar, and no score yet."""
    names = sorted(os.listdir(drawn.path))
    assert names == ["01.html", "02.html", "03.html", "diagnoses.toml", "records", "seal.json"]


# The seal


def test_the_seal_says_nothing_to_the_eye(drawn: Folder) -> None:
    """No cause, no record, no seed."""
    text, opened = drawn.seal.read_text(encoding="utf-8"), seal.read(drawn.seal).open(drawn.seal)
    hidden = [str(opened.seed), *REAL, *(answer.name for answer in opened.runs.values())]
    assert not [word for word in hidden if word in text or word.encode().hex() in text]


def test_the_commitment_is_the_hash_of_salt_and_answers(drawn: Folder) -> None:
    """Which cover what each run is, the seed, and the pages and records as they were drawn."""
    sealed = seal.read(drawn.seal)
    opened = sealed.open(drawn.seal)
    content = opened.canonical()
    assert sha256(bytes.fromhex(sealed.salt) + content).hexdigest() == sealed.commitment
    tree = json.loads(content)
    assert sorted(run["cause"] for run in tree["runs"].values()) == sorted(REAL)
    assert tree["seed"] >= FIRST_SEED
    for run in RUNS:
        assert tree["runs"][run]["page"] == sha256(drawn.page(run).read_bytes()).hexdigest()
        record = drawn.records / tree["runs"][run]["name"]
        assert tree["runs"][run]["record"] == sha256(record.read_bytes()).hexdigest()


def test_the_seal_names_each_run_by_its_cause(drawn: Folder) -> None:
    """The record behind it is the one of that break: only one starts at a loss of hundreds, one
    with its peak rate."""
    records = {
        answer.cause: Record.load(drawn.records / answer.name)
        for answer in seal.read(drawn.seal).open(drawn.seal).runs.values()
    }
    assert records["bad-init"].column("loss")[0] > 50
    assert records["no-warmup"].column("lr")[0] == HEALTHY.optimizer.lr_max
    assert records["mask-leak"].column("loss")[0] < 10
    assert records["mask-leak"].column("lr")[0] < HEALTHY.optimizer.lr_max


@pytest.mark.parametrize("causes", permutations(), ids=range(6))
def test_every_order_makes_a_seal_of_the_same_length(causes: tuple[str, ...]) -> None:
    """And so does the greatest seed."""
    sealed = seal.close(answers(causes, FIRST_SEED + SEEDS - 1))
    assert len(sealed.answers) == len(seal.close(answers(permutations()[0])).answers)
    assert sealed.open(Path("seal.json")) == answers(causes, FIRST_SEED + SEEDS - 1)


def test_the_same_answers_are_sealed_differently_each_time() -> None:
    """Otherwise six commitments could be looked up in a list."""
    one, other = (seal.close(answers(permutations()[0])) for _ in range(2))
    assert one.commitment != other.commitment
    assert (
        sum(a == b for a, b in zip(one.answers, other.answers, strict=True)) < len(one.answers) / 4
    )


def test_the_page_about_the_exercise_names_every_file(drawn: Folder) -> None:
    """And its example of a diagnosis has the keys that are asked for."""
    page = (Path(__file__).parents[1] / "docs/blind.md").read_text(encoding="utf-8")
    assert not [
        name
        for name in (*os.listdir(drawn.path), "score.md")
        if not re.search(rf"[`/]{name}/?`", page)
    ]
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (section,) = tomllib.loads(example).values()
    assert tuple(section) == KEYS
    assert section["panel"] in PANEL_TITLES


# Drawing a round


def test_seed_and_order_are_drawn_by_lot() -> None:
    """Every order comes up, no seed twice, none outside its range."""
    lots = [_lots(REAL) for _ in range(200)]
    assert {tuple(order) for _, order in lots} == set(permutations())
    assert len({seed for seed, _ in lots}) > 190
    assert all(FIRST_SEED <= seed < FIRST_SEED + SEEDS for seed, _ in lots)


def test_all_runs_and_the_reference_train_on_the_sealed_seed(tmp_path: Path) -> None:
    """What differs is the cause and nothing else."""
    seeds: list[int] = []

    def specimen(seed: int) -> TinySpecimen:
        seeds.append(seed)
        return TinySpecimen()

    draw(dict.fromkeys(TINY, specimen), specimen, tmp_path)
    sealed = seal.read(tmp_path / "seal.json").open(tmp_path)
    assert seeds == [sealed.seed] * 4


def test_the_template_offers_the_choices_and_is_empty() -> None:
    """Causes and panels stand in comments, in no order of the pages; every value waits to be filled
    in."""
    text = template(REAL)
    assert tomllib.loads(text) == {run: dict.fromkeys(KEYS, "") for run in RUNS}
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert all(any(f'"{word}"' in line for line in comments) for word in (*REAL, *PANEL_TITLES))
    assert template(REAL[::-1]) == text


def test_the_instructions_give_the_commitment_and_the_next_commands(tmp_path: Path) -> None:
    """A line for git, the file to fill in, the command that reveals."""
    lines = instructions(Path("reports/blind"), "abc")
    assert lines[0] == "blind round sha256:abc"
    text = "\n".join(lines)
    for part in (
        "git add reports/blind/seal.json",
        "reports/blind/diagnoses.toml",
        "pytest --reveal",
    ):
        assert part in text


def test_progress_is_told_by_number_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each training that no cause stands in, and an empty one at its end."""
    monkeypatch.setattr("probes.plugin.terminal.UPDATES_PER_SECOND", 1e9)
    said: list[str] = []
    tiny(tmp_path, write=said.append)
    assert said.count("") == 4
    assert said[-1] == ""
    assert set(filter(None, said)) == {
        f"training {name}: step {step}/24"
        for name in ("the healthy reference", *RUNS)
        for step in range(1, 25)
    }


def test_only_a_terminal_is_told() -> None:
    """A log gets no lines that are written over."""
    assert status(io.StringIO()) is None


def test_a_terminal_line_covers_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves the cursor at its beginning."""
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    write = status(stream)
    assert write is not None
    write("training 01")
    write("")
    first, second = re.findall(r"\r([^\r]*)\r", stream.getvalue())
    assert first.startswith("training 01")
    assert second.strip() == ""
    assert len(second) == len(first)


# One round after another


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("tiny")).path


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Folder:
    """A round of tiny runs that nobody has answered."""
    return Folder(shutil.copytree(finished, tmp_path / "blind"))


def fill(folder: Folder, old: str = 'evidence = ""', new: str = 'evidence = "odd"') -> None:
    text = folder.diagnoses.read_text(encoding="utf-8")
    assert old in text
    folder.diagnoses.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_unanswered_round_is_replaced(folder: Folder) -> None:
    """Entirely: other commitment, other records, and none of the old ones."""
    before, records = seal.read(folder.seal), set(folder.records.iterdir())
    tiny(folder.path)
    assert seal.read(folder.seal).commitment != before.commitment
    assert len(list(folder.records.iterdir())) == 3
    assert not records & set(folder.records.iterdir())


def test_a_template_with_other_line_ends_is_unanswered(folder: Folder) -> None:
    """As git leaves it on some systems."""
    folder.diagnoses.write_bytes(folder.diagnoses.read_bytes().replace(b"\n", b"\r\n"))
    tiny(folder.path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('evidence = ""', 'evidence = "odd"'),
        ("[02]", "# looks odd\n[02]"),
        ("[03]", "[03"),
        ("[01]", "[01]\nx = 1"),
    ],
    ids=["evidence", "comment", "malformed", "unknown key"],
)
def test_a_round_with_anything_written_is_not_replaced(folder: Folder, old: str, new: str) -> None:
    """Not a byte changes, and the message names the file and both ways out."""
    fill(folder, old, new)
    before = files(folder.path)
    with pytest.raises(
        BlindError,
        match=r"diagnoses\.toml holds .* not revealed.*`pytest --reveal`, or move the file",
    ):
        tiny(folder.path)
    assert files(folder.path) == before


@pytest.mark.parametrize("content", [None, "", "{}"], ids=["missing", "empty", "no seal"])
def test_diagnoses_without_a_usable_seal_are_not_lost(folder: Folder, content: str | None) -> None:
    """Whatever became of the seal, what was written may still be wanted."""
    fill(folder)
    folder.seal.unlink()
    if content is not None:
        folder.seal.write_text(content, encoding="utf-8")
    with pytest.raises(BlindError, match="not revealed"):
        tiny(folder.path)


def test_a_revealed_round_is_replaced_and_its_score_kept(folder: Folder) -> None:
    """score.md is not touched."""
    fill(folder)
    seal.write(replace(seal.read(folder.seal), revealed="0" * 64), folder.seal)
    folder.score.write_text("3/3\n", encoding="utf-8")
    tiny(folder.path)
    assert seal.read(folder.seal).revealed == ""
    assert 'evidence = "odd"' not in folder.diagnoses.read_text(encoding="utf-8")
    assert folder.score.read_text(encoding="utf-8") == "3/3\n"


def test_a_training_that_fails_leaves_the_round_before(folder: Folder) -> None:
    """Nothing is written until everything is drawn."""
    before = files(folder.path)
    with pytest.raises(ArithmeticError, match="told to die"):
        draw(
            dict.fromkeys(TINY, lambda seed: TinySpecimen(dies_at=3)),
            lambda seed: TinySpecimen(),
            folder.path,
        )
    assert files(folder.path) == before
