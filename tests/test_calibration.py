"""A range of seeds judges once, what judged is hashed, and what is published is what was judged."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from calibration import conditions, digest, history, judge, page, readme, tables
from calibration.conditions import Planned
from model import HEALTHY
from probes.plugin import cache_key
from tests.outcomes import HAND, entry, of

README = history.ROOT / readme.README
ROWS = [{"step": i, "loss": 4.0 - 0.1 * i, "val_loss": 4.0 - 0.1 * i} for i in range(40)]
LINES = [
    {"probes_record": 1, "facts": {"ladder": {"val": {"ngram": 1.0}}}},
    *ROWS,
    {"end": {"complete": True}},
]
RECORD = "".join(json.dumps(line) + "\n" for line in LINES)
HOSTILE = "<script>alert(1)</script>"


def test_a_range_judges_once():
    """After a change it is a choosing range, and the message says what to do."""
    spent = [entry(by="a", seeds=(1000, 1459))]
    with pytest.raises(
        history.SpentError, match=r"seeds 1000-1459 judged a .* set JUDGING_FROM .* above 1459"
    ):
        history.refuse_spent(spent, "b", (1459, 1918))


@pytest.mark.parametrize(("by", "seeds"), [("a", (1000, 1459)), ("b", (1460, 1919))])
def test_the_same_judges_may_do_it_again_and_others_on_fresh_seeds(by, seeds):
    """Neither is a second chance."""
    history.refuse_spent([entry(by="a", seeds=(1000, 1459))], by, seeds)


def test_a_spent_range_is_refused_before_any_record_is_looked_at(tmp_path, monkeypatch):
    """Whoever has looked has used it."""
    history.save([entry(by="another", seeds=conditions.seed_range("judging"))], tmp_path)
    monkeypatch.setattr(judge, "_trained", lambda phase: pytest.fail("looked"))
    with pytest.raises(history.SpentError):
        judge.publish(tmp_path)


def test_part_of_a_range_is_not_judged(tmp_path, monkeypatch):
    """A range whose runs are not all there would be judged twice."""
    monkeypatch.setattr(judge, "_commit", lambda: "abc")
    monkeypatch.setattr(
        judge, "_trained", lambda phase: ([], [Planned("healthy-1000", "healthy", HEALTHY)])
    )
    with pytest.raises(judge.RefusedError, match="healthy-1000"):
        judge.publish(tmp_path)


def test_judging_writes_the_results_the_page_and_the_figures(tmp_path, monkeypatch):
    """Here of two runs, judged in processes of their own."""
    made = [
        (Planned(f"healthy-{seed}", "healthy", HEALTHY), tmp_path / f"{seed}.jsonl")
        for seed in (1000, 1001)
    ]
    for _, path in made:
        path.write_text(RECORD, encoding="utf-8")
    monkeypatch.setattr(judge, "_commit", lambda: "abc")
    monkeypatch.setattr(judge, "_trained", lambda phase: (made, []))
    (tmp_path / readme.README).write_text(
        "<!-- accuracy -->\nx\n<!-- end of accuracy -->\n", encoding="utf-8"
    )
    judge.publish(tmp_path)
    (result,) = history.load(tmp_path)
    assert [one.said for one in result.outcomes] == ["healthy", "healthy"]
    assert "at commit abc" in (tmp_path / judge.PAGE).read_text(encoding="utf-8")
    assert "| healthy | 2 | 2 |" in (tmp_path / readme.README).read_text(encoding="utf-8")


def test_every_judged_result_stays(tmp_path):
    """Written and read again, the old one is as it was."""
    old, new = entry(*HAND), entry(*HAND[:5], by="b", seeds=(2000, 2459))
    history.save(history.joined((old,), new), tmp_path)
    assert history.load(tmp_path) == (old, new)


def test_the_same_result_again_adds_nothing():
    """Same judges, same seeds, same outcomes: the entry stands, with the date and commit it had."""
    again = dataclasses.replace(entry(*HAND), date="2031-01-01", commit="def")
    assert history.joined((entry(*HAND),), again) == (entry(*HAND),)


def test_another_result_of_the_same_judges_is_kept_beside_the_first():
    """As another machine's bits may give; nothing that was obtained is overwritten."""
    other = entry(*HAND[:-1])
    assert history.joined((entry(*HAND),), other) == (entry(*HAND), other)


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A copy of the apparatus that a test may change."""
    package = tmp_path / "probes"
    shutil.copytree(cache_key.HERE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache_key, "HERE", package)
    return package


def replaced(file: Path, old: str, new: str) -> None:
    source = file.read_text(encoding="utf-8")
    assert old in source
    file.write_text(source.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("diagnose", "CORE_POINTS = 20", "CORE_POINTS = 21"),
        ("curves", "WINDOW = 5", "WINDOW = 7"),
        ("causes", '"initial-loss-high": 0.0', '"initial-loss-high": 0.1'),
        ("detectors/__init__", "    floor.DETECTOR,\n", ""),
    ],
)
def test_a_changed_threshold_or_detector_is_another_judge(copy, name, old, new):
    """Whatever a diagnosis reaches."""
    before = digest.digest()
    replaced(copy / "diagnosis" / f"{name}.py", old, new)
    assert digest.digest() != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WINDOW = 5\n", "WINDOW = 5  # evaluations\n"),
        ("WINDOW = 5\n", "WINDOW = (5)\n\n"),
        ('"""Evaluations in the mean; ', '"""The number of evaluations; '),
        ('"""The course of a noisy curve', '"""How a noisy curve goes'),
        ('raise ValueError(f"window', 'raise ValueError(\n            f"window'),
    ],
)
def test_a_comment_a_docstring_and_layout_are_not(copy, old, new):
    """Only what runs judges."""
    before = digest.digest()
    replaced(copy / "diagnosis" / "curves.py", old, new)
    assert digest.digest() == before


@pytest.mark.parametrize(
    ("name", "old", "new", "counts"),
    [
        ("record", "EXACT = 2**53", "EXACT = 2**52", True),
        ("record", "measured = ~np.isnan(column)", "measured = ~np.isinf(column)", True),
        ("builder", "all(map(isfinite, cells.values))", "any(map(isfinite, cells.values))", False),
        ("builder", "steps must increase", "steps have to increase", False),
    ],
)
def test_how_a_record_is_filled_does_not_count_and_how_it_is_looked_at_does(
    copy, name, old, new, counts
):
    """A diagnosis is of the record, whatever filled it."""
    before = digest.digest()
    replaced(copy / "record" / f"{name}.py", old, new)
    assert (digest.digest() != before) is counts


def test_what_only_draws_or_records_does_not_judge():
    """A panel may change without a fresh range."""
    names = {path.relative_to(cache_key.HERE).parts[0] for path in digest.judges()}
    assert names == {"common", "diagnosis", "record"}


def test_another_healthy_is_another_judgement(monkeypatch):
    """The figures are of this config."""
    before = digest.digest()
    monkeypatch.setattr(digest, "HEALTHY", dataclasses.replace(HEALTHY, steps=121))
    assert digest.digest() != before


def test_the_published_accuracy_is_of_these_detectors():
    """When something that judges changes, `python -m calibration.readme` marks the figures; nobody
    re-tunes them."""
    entries, marked = history.load(), "stale" in readme.shown(README.read_text(encoding="utf-8"))
    present = digest.digest()
    assert not entries or entries[-1].digest == present or marked, (
        f"stale: the README's figures are of {entries[-1].digest}, and what judges is {present} now; "
        "run python -m calibration.readme"
    )


def test_the_readme_says_what_the_last_judged_result_says():
    """Its figures are written by a command, never by hand."""
    entries = history.load()
    judged_by = entries[-1].digest if entries else ""
    figures = readme.shown(README.read_text(encoding="utf-8")).removeprefix(f"{readme.STALE}\n\n")
    assert figures == readme.block(entries, judged_by)


def test_figures_are_marked_stale_when_something_else_judges_now():
    """And only then."""
    assert readme.block([entry(*HAND, by="a")], "b").startswith("**These figures are stale:**")
    assert "stale" not in readme.block([entry(*HAND, by="a")], "a")


def test_the_readme_counts_alarms_by_cause():
    """With the runs in which they were raised."""
    block = readme.block([entry(*HAND)], "a")
    assert "Alarms, healthy: `overfit` in 1 (healthy-1004)." in block
    assert "Missed: `overfit` in 1 (mask-leak-1003)." in block


def test_nothing_is_claimed_before_anything_is_judged():
    """As on the first day."""
    assert "not judged yet" in readme.block([], "a")


def test_a_readme_without_a_place_for_figures_is_an_error(tmp_path):
    """Rather than left as it is."""
    (tmp_path / "README.md").write_text("# probes\n", encoding="utf-8")
    with pytest.raises(readme.NoPlaceError, match="accuracy"):
        readme.write(tmp_path)


def test_the_page_escapes_what_a_record_says():
    """Evidence names sites, and those are somebody else's words."""
    ill = of(
        "healthy-1000", HOSTILE, headline=HOSTILE, unlabelled=HOSTILE, silent={HOSTILE: HOSTILE}
    )
    shown = page.html([entry(ill)])
    assert HOSTILE not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_the_page_keeps_every_range_in_sight():
    """The last one in full, those before it in a line each."""
    shown = page.html([entry(*HAND), entry(*HAND, by="b", seeds=(2000, 2459))])
    assert "seeds 2000-2459" in shown
    assert "<td>1000-1459</td>" in shown


def test_a_table_on_the_terminal_holds_no_control_characters():
    """They would steer it."""
    shown = page.plain(tables.Table("Misses", "", ("run",), (("\x1b[31mred",),)))
    assert "\x1b" not in shown
