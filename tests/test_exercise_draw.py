"""Drawing a blind round: pages and files do not give the answers away, and no answer of the learner
is overwritten."""

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
from exercise.draw import (
    MIN_SEED,
    SEED_COUNT,
    _random_seed_and_order,
    draw,
    instructions,
    status_line,
)
from exercise.paths import Folder, RoundError
from exercise.seal import SealedAnswers, SealedRun
from model import BREAKS, HEALTHY, build
from probes.diagnosis.causes import CAUSES
from probes.panels import PANELS
from probes.record import Record
from probes.report.html import render
from tests.page import Page
from tests.tiny_specimen import TinySpecimen

RUNS = tuple(f"{number:02d}" for number in range(1, len(BREAKS) + 1))
SHORT = replace(
    HEALTHY, steps=6, eval_every=3, optimizer=replace(HEALTHY.optimizer, warmup_steps=3)
)
CAUSES_OF_BREAKS = [row.cause for row in BREAKS.values()]
TINY_CAUSES = ("one", "other", "third")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A round of the real breaks, with few steps. Tests do not write to it."""
    builds = {row.cause: partial(build_short, row.apply) for row in BREAKS.values()}
    path = tmp_path_factory.mktemp("blind")
    draw(builds, partial(build_short, lambda config: config), path)
    return Folder(path)


def build_short(change: Callable[[Any], Any], seed: int) -> Any:
    return build(change(replace(SHORT, seed=seed)))


def opened(folder: Folder) -> SealedAnswers:
    return seal.read(folder.seal).open(folder.seal)


def markup(folder: Folder, run: str) -> str:
    """A page without its style sheet and its script, which every page of this project contains."""
    html = folder.page(run).read_text(encoding="utf-8")
    return re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL)


# The pages do not give the answers away

TELLTALES = {
    *BREAKS,
    *CAUSES_OF_BREAKS,
    *(cause.name for cause in CAUSES),
    *(cause.decisive.name for cause in CAUSES),
    *(row.leaf for row in BREAKS.values()),
    *(row.leaf.rpartition(".")[2] for row in BREAKS.values()),
    *("all-ones", "causal", "verdict", "unhealthy", "undetermined", "headline", "this run:"),
    *("strength", "provenance", "numpy", "remedy"),
    *('class="event', 'class="shows', 'class="badge'),
}
"""Words of a diagnosis or of a config, and marks of evidence."""


def telltales(html: str) -> set[str]:
    """The telltales in a page, written with hyphens, underscores or spaces."""
    text = html.lower()
    return {
        word
        for word in TELLTALES
        if any(word.lower().replace("-", sign) in text for sign in ("-", "_"))
        or (word in CAUSES_OF_BREAKS and word.replace("-", " ") in text)
    }


def test_no_page_contains_a_word_of_its_diagnosis(drawn: Folder, tmp_path: Path) -> None:
    """The dashboard of the same record does, so the search finds such words."""
    assert {run: telltales(markup(drawn, run)) for run in RUNS} == {run: set() for run in RUNS}
    name = next(run.name for run in opened(drawn).runs.values() if run.cause == "bad-init")
    render([Record.load(drawn.records / name)], tmp_path / "01.html")
    assert telltales(markup(Folder(tmp_path), "01")) >= {
        "bad-init", "initial-loss-high", "unhealthy", "headline", "this run:", 'class="event',
    }  # fmt: skip


def test_pages_differ_only_in_their_charts(drawn: Folder) -> None:
    """Apart from the number of the run. The charts do differ."""
    pages = [markup(drawn, run).replace(run, "NN").rstrip() for run in RUNS]
    without_charts = [re.sub(r"<figure.*?</figure>", "", p, flags=re.DOTALL) for p in pages]
    assert (len(set(pages)), len(set(without_charts))) == (3, 1)
    assert not [page for page in pages if str(opened(drawn).seed) in page]


def test_a_page_has_everything_a_learner_needs(drawn: Folder) -> None:
    """The page has all panels with their questions and healthy patterns, the reference behind every
    chart, the task, and an explanation of the lines."""
    ids = []
    for run in RUNS:
        page = Page(drawn.page(run))
        assert page.open == []
        assert page.text.count(f"Blind diagnosis {run}") == 2
        assert all(
            panel.question in page.text and panel.healthy_look in page.text for panel in PANELS
        )
        for word in ("diagnoses.toml", "pytest --reveal", "Faint", "Dashed in panel 1"):
            assert word in page.text
        figures = markup(drawn, run).split("<figure")[1:]
        assert all(re.search(r'<g class="(area )?reference', figure) for figure in figures)
        ids.append([attributes["id"] for _, attributes in page.elements if "id" in attributes])
    assert all(each == ids[0] for each in ids)
    assert len(ids[0]) == len(set(ids[0])) > 10


# The files do not give the answers away


def test_files_have_the_same_size_time_and_header(drawn: Folder) -> None:
    """Records have random names, no provenance and no sidecar."""
    names = [f"{run}.html" for run in RUNS]
    assert sorted(os.listdir(drawn.path)) == [*names, "diagnoses.toml", "records", "seal.json"]
    pages, records = [drawn.page(run) for run in RUNS], list(drawn.records.iterdir())
    assert len({page.stat().st_size for page in pages}) == 1
    assert len({path.stat().st_mtime_ns for path in (*pages, *records)}) == 1
    assert len(records) == len(RUNS)
    assert all(re.fullmatch(r"[0-9a-f]{16}\.jsonl", path.name) for path in records)
    assert [Record.load(path).provenance for path in records] == [{}, {}, {}]
    assert len({path.read_bytes().partition(b"\n")[0] for path in records}) == 1


def test_the_seal_hides_seed_causes_and_records(drawn: Folder) -> None:
    """The seal contains neither their text nor their hexadecimal digits."""
    text, answers = drawn.seal.read_text(encoding="utf-8"), opened(drawn)
    hidden = [str(answers.seed), *CAUSES_OF_BREAKS, *(run.name for run in answers.runs.values())]
    assert not [word for word in hidden if word in text or word.encode().hex() in text]


# The seal


def test_the_commitment_covers_causes_seed_pages_and_records(drawn: Folder) -> None:
    """Each run is sealed under the cause that was built into it."""
    sealed, answers = seal.read(drawn.seal), opened(drawn)
    content = answers.canonical()
    assert sha256(bytes.fromhex(sealed.salt) + content).hexdigest() == sealed.commitment
    assert json.loads(content)["seed"] == answers.seed >= MIN_SEED
    records = {}
    for name, run in answers.runs.items():
        record = drawn.records / run.name
        assert run.page == sha256(drawn.page(name).read_bytes()).hexdigest()
        assert run.record == sha256(record.read_bytes()).hexdigest()
        records[run.cause] = Record.load(record)
    assert sorted(records) == sorted(CAUSES_OF_BREAKS)
    assert records["bad-init"].column("loss")[0] > 50 > records["mask-leak"].column("loss")[0]
    assert records["no-warmup"].column("lr")[0] == HEALTHY.optimizer.lr_max
    assert records["mask-leak"].column("lr")[0] < HEALTHY.optimizer.lr_max


def test_every_order_gives_a_seal_of_the_same_length() -> None:
    """The same answers give a different seal each time, so that commitments cannot be looked up."""
    digest = sha256(b"").hexdigest()
    seals = []
    for order in itertools.permutations(CAUSES_OF_BREAKS):
        runs = {
            run: SealedRun(cause, digest, digest, "0" * 16 + ".jsonl")
            for run, cause in zip(RUNS, order, strict=True)
        }
        answers = SealedAnswers(MIN_SEED + SEED_COUNT - 1, runs)
        seals += [seal.close(answers), seal.close(answers)]
        assert seals[-1].open(Path("seal.json")) == answers
    assert len({len(each.answers) for each in seals}) == 1
    assert (
        len({each.commitment for each in seals})
        == len({each.answers for each in seals})
        == len(seals)
    )


# Drawing


def test_seed_and_order_are_random() -> None:
    """Every order occurs, hardly any seed occurs twice, and none is outside the range."""
    draws = [_random_seed_and_order(CAUSES_OF_BREAKS) for _ in range(200)]
    orders = set(itertools.permutations(CAUSES_OF_BREAKS))
    assert {tuple(order) for _, order in draws} == orders
    assert len({seed for seed, _ in draws}) > 190
    assert all(MIN_SEED <= seed < MIN_SEED + SEED_COUNT for seed, _ in draws)


def draw_tiny(path: Path, **options: Any) -> Folder:
    """A round of specimens that train in no time."""
    builds = {cause: lambda seed: TinySpecimen() for cause in TINY_CAUSES}
    draw(builds, lambda seed: TinySpecimen(), path, **options)
    return Folder(path)


def test_all_runs_train_on_the_sealed_seed_and_report_their_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status line names no cause, and is empty at the end."""
    monkeypatch.setattr("probes.plugin.terminal.UPDATES_PER_SECOND", 1e9)
    seeds: list[int] = []
    lines: list[str] = []

    def specimen(seed: int) -> TinySpecimen:
        seeds.append(seed)
        return TinySpecimen()

    draw(dict.fromkeys(TINY_CAUSES, specimen), specimen, tmp_path, lines.append)
    assert seeds == [opened(Folder(tmp_path)).seed] * 4
    assert {line.partition(": step")[0] for line in lines} == {
        "", "training the healthy reference", *(f"training {run}" for run in RUNS),
    }  # fmt: skip
    assert lines[-1] == ""


def test_only_a_terminal_gets_a_status_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line covers the one before it."""
    stream = io.StringIO()
    assert status_line(stream) is None
    monkeypatch.setattr(stream, "isatty", lambda: True)
    write = status_line(stream)
    assert write is not None
    write("training 01")
    write("")
    first, second = re.findall(r"\r([^\r]*)\r", stream.getvalue())
    assert (first.strip(), second.strip(), len(first)) == ("training 01", "", len(second))


def test_the_form_offers_the_choices_in_alphabetical_order() -> None:
    """Every answer in the form is empty."""
    text = template(CAUSES_OF_BREAKS)
    assert tomllib.loads(text) == {run: dict.fromkeys(KEYS, "") for run in RUNS}
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert all(f'"{word}"' in comments for word in (*CAUSES_OF_BREAKS, *PANEL_TITLES))
    assert template(CAUSES_OF_BREAKS[::-1]) == text


def test_the_instructions_give_the_commitment_and_the_next_commands() -> None:
    """The commands are those of docs/blind.md."""
    first, *others = instructions(Path("reports/blind"), "abc")
    assert first == "blind round sha256:abc"
    text = "\n".join(others)
    assert "git add reports/blind/seal.json" in text
    assert "pytest --reveal" in text


def test_the_page_about_the_exercise_names_every_file(drawn: Folder) -> None:
    """Its example has the keys of the form."""
    page = (Path(__file__).parents[1] / "docs/blind.md").read_text(encoding="utf-8")
    numbered = (re.sub(r"^\d\d", "01", name) for name in os.listdir(drawn.path))
    names = [*dict.fromkeys(numbered), "score.md"]
    assert [name for name in names if not re.search(rf"[`/]{name}/?`", page)] == []
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (section,) = tomllib.loads(example).values()
    assert tuple(section) == KEYS
    assert section["panel"] in PANEL_TITLES


# No answer is overwritten


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_tiny(tmp_path_factory.mktemp("tiny")).path


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Folder:
    """A round of tiny runs that was not answered."""
    return Folder(shutil.copytree(tiny, tmp_path / "blind"))


def edit(folder: Folder, old: str, new: str) -> None:
    text = folder.diagnoses.read_text(encoding="utf-8")
    assert old in text
    folder.diagnoses.write_text(text.replace(old, new, 1), encoding="utf-8")


def contents(folder: Folder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


EVIDENCE = ('evidence = ""', 'evidence = "odd"')


def test_a_round_without_answers_is_replaced(folder: Folder) -> None:
    """Completely, also when git has changed the line ends of the form."""
    folder.diagnoses.write_bytes(folder.diagnoses.read_bytes().replace(b"\n", b"\r\n"))
    before, records = seal.read(folder.seal), set(folder.records.iterdir())
    draw_tiny(folder.path)
    assert seal.read(folder.seal).commitment != before.commitment
    assert len(list(folder.records.iterdir())) == 3
    assert not records & set(folder.records.iterdir())


@pytest.mark.parametrize(
    "change",
    [EVIDENCE, ("[02]", "# looks odd\n[02]"), ("[03]", "[03")],
    ids=["evidence", "comment", "malformed"],
)
def test_a_round_with_answers_is_not_replaced(folder: Folder, change: tuple[str, str]) -> None:
    """No byte changes, and the message names the file and what to do."""
    edit(folder, *change)
    before = contents(folder)
    expected = r"diagnoses\.toml holds .* not revealed.*`pytest --reveal`, or move the file"
    with pytest.raises(RoundError, match=expected):
        draw_tiny(folder.path)
    assert contents(folder) == before


@pytest.mark.parametrize("content", [None, "", "{}"], ids=["missing", "empty", "not a seal"])
def test_answers_without_a_usable_seal_are_not_overwritten(
    folder: Folder, content: str | None
) -> None:
    """The learner may still want them."""
    edit(folder, *EVIDENCE)
    folder.seal.unlink()
    if content is not None:
        folder.seal.write_text(content, encoding="utf-8")
    with pytest.raises(RoundError, match="not revealed"):
        draw_tiny(folder.path)


def test_a_revealed_round_is_replaced_and_its_score_stays(folder: Folder) -> None:
    """The file score.md does not change."""
    edit(folder, *EVIDENCE)
    seal.write(replace(seal.read(folder.seal), revealed="0" * 64), folder.seal)
    folder.score.write_text("3/3\n", encoding="utf-8")
    draw_tiny(folder.path)
    assert seal.read(folder.seal).revealed == ""
    assert 'evidence = "odd"' not in folder.diagnoses.read_text(encoding="utf-8")
    assert folder.score.read_text(encoding="utf-8") == "3/3\n"


def test_a_training_that_fails_leaves_the_earlier_round(folder: Folder) -> None:
    """Nothing is written before every page is drawn."""
    before = contents(folder)
    with pytest.raises(ArithmeticError, match="told to die"):
        draw(
            dict.fromkeys(TINY_CAUSES, lambda seed: TinySpecimen(dies_at=3)),
            lambda seed: TinySpecimen(),
            folder.path,
        )
    assert contents(folder) == before
