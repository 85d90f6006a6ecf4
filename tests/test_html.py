"""`render`: one HTML file that needs no network, with unhealthy runs first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from probes.diagnosis.base import Finding
from probes.diagnosis.diagnose import Diagnosis, Suspect, diagnose
from probes.record import Record
from probes.report.html import MAX_UNGROUPED_RUNS, render
from probes.report.judged_run import JudgedRun, judge
from testing.long_runs import made_up
from tests.page import Page
from tests.records import changed, hand_made, sound

KB = 1000
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&\x00\x1b\ud800\u202e"


def drawn(tmp_path: Path, *runs: Any, **options: Any) -> Page:
    return Page(render(runs, tmp_path / "page.html", **options))


def unhealthy() -> Record:
    return changed(loss=[231.0, *sound()["loss"][1:]])


def undetermined() -> Record:
    return hand_made({"loss": [3.0, 2.0]})


def healthy() -> Record:
    return changed()


def test_the_path_is_returned_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "page.html"
    assert render([healthy()], str(path)) == path
    assert os.listdir(path.parent) == ["page.html"]


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error names the path, and no draft is left."""
    path = tmp_path / "page.html"
    path.mkdir()
    with pytest.raises(OSError, match=re.escape(str(path))):
        render([healthy()], path)
    assert os.listdir(tmp_path) == ["page.html"]


def test_the_page_is_well_formed(tmp_path: Path) -> None:
    """Every element is closed, every id is unique, and every reference to an id has a target."""
    page = drawn(tmp_path, ("a", made_up(30)), ("a", made_up(30)), reference=made_up(30, seed=1))
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby", "aria-describedby"):
        references = {attributes[name] for _, attributes in page.elements if name in attributes}
        assert references <= set(ids)
    for svg in re.findall(r"<svg.*?</svg>", page.source, re.S):
        ElementTree.fromstring(svg)


def test_the_page_makes_no_network_requests(tmp_path: Path) -> None:
    """All links lead to anchors of the page. Its only URL is the name of SVG's namespace."""
    page = drawn(tmp_path, ("a", made_up(30)), ("b", unhealthy()), reference="a")
    bare = page.source.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(
        r"https?:|//[a-z0-9]|url\(|@import|\bsrc=|fetch\(|XMLHttp|WebSocket|import\(", bare, re.I
    )
    hrefs = {str(a["href"]) for _, a in page.elements if "href" in a}
    assert all(href.startswith("#") or href == "data:," for href in hrefs)


def test_no_attribute_holds_a_style_or_an_event_handler(tmp_path: Path) -> None:
    """The content security policy of the page would block them."""
    page = drawn(tmp_path, made_up(30))
    assert not [
        a for _, a in page.elements if "style" in a or any(name.startswith("on") for name in a)
    ]


def long_run(steps: int, seed: int) -> tuple[str, Record]:
    return f"run {seed}", made_up(steps, every=max(3, steps // 2000), seed=seed)


def test_a_page_stays_small(tmp_path: Path) -> None:
    """Two runs of 8,000 steps take at most two fifths of the 1.5 MB that five may take."""
    runs = [long_run(8_000, seed) for seed in range(2)]
    page = render(runs, tmp_path / "page.html", reference="run 1")
    assert page.stat().st_size <= 1500 * KB * 2 / 5


def test_the_size_of_a_page_does_not_grow_with_the_run(tmp_path: Path) -> None:
    """A run of 50,000 steps takes at most a tenth more than one of 5,000: its steps have more
    digits."""
    short, long = (
        render([long_run(steps, 0)], tmp_path / f"{steps}.html", reference=long_run(steps, 1))
        for steps in (5_000, 50_000)
    )
    assert long.stat().st_size <= 1.1 * short.stat().st_size


SCRIPT = """
import sys
from pathlib import Path
from probes.report.html import MAX_UNGROUPED_RUNS, render
from testing.long_runs import made_up
runs = [("a", made_up(50)), ("b", made_up(40, seed=1, start=200.0))]
render(runs, Path(sys.argv[1]), reference="a", notes=["n"])
"""


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    """The page is drawn twice in one process, and in processes with different hash seeds."""
    pages = []
    for seed in ("0", "1"):
        path = tmp_path / f"{seed}.html"
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        subprocess.run([sys.executable, "-c", SCRIPT, str(path)], check=True, env=environment)
        pages.append(path.read_bytes())
    runs = [("a", made_up(50)), ("b", made_up(40, seed=1, start=200.0))]
    pages += [
        render(runs, tmp_path / "here.html", reference="a", notes=["n"]).read_bytes()
        for _ in range(2)
    ]
    assert len(set(pages)) == 1


def rows(page: Page) -> list[str]:
    """The anchors in the table of runs, in order."""
    table = page.source[: page.source.index("<main>")].partition('<table class="runs">')[2]
    return re.findall(r'<tr><td><a href="#([^"]+)">', table)


def test_runs_are_ordered_by_verdict(tmp_path: Path) -> None:
    """Unhealthy, undetermined, healthy; runs with the same verdict keep their order."""
    runs = {
        "well 2": healthy(),
        "odd": undetermined(),
        "sick 1": unhealthy(),
        "well 1": healthy(),
        "sick 0": unhealthy(),
    }
    page = drawn(tmp_path, *runs.items())
    order = ["run-sick-1", "run-sick-0", "run-odd", "run-well-2", "run-well-1"]
    assert rows(page) == order
    assert [a["id"] for a in page.all("section")] == order
    assert "5 runs: 2 unhealthy, 1 undetermined, 2 healthy." in page.text


def in_groups(count: int) -> list[JudgedRun]:
    """Healthy runs of the groups "loss" and "data" in turn; the last one is unhealthy."""
    return [
        replace(
            judge(unhealthy() if i == count - 1 else healthy(), f"run {i}"),
            group=("loss", "data")[i % 2],
        )
        for i in range(count)
    ]


def headings(page: Page) -> list[str]:
    return re.findall(r"<th colspan=4 scope=colgroup>([^<]+)</th>", page.source)


def test_many_runs_are_listed_by_group(tmp_path: Path) -> None:
    """The groups keep their order; in each of them unhealthy runs come first."""
    page = drawn(tmp_path, *in_groups(MAX_UNGROUPED_RUNS + 2))
    order = [*range(0, 14, 2), 13, *range(1, 13, 2)]
    assert rows(page) == [f"run-run-{i}" for i in order]
    assert headings(page) == ["loss", "data"]


def test_few_runs_are_not_listed_by_group(tmp_path: Path) -> None:
    page = drawn(tmp_path, *in_groups(MAX_UNGROUPED_RUNS))
    assert rows(page)[0] == "run-run-11"
    assert headings(page) == []


def test_the_table_shows_verdict_cause_and_evidence(tmp_path: Path) -> None:
    """The evidence does not repeat the cause."""
    page = drawn(tmp_path, ("a", unhealthy()), ("b", healthy()))
    first = page.source.partition("<tbody>")[2].partition("</tr>")[0]
    cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", first)]
    assert cells[:3] == ["a", "unhealthy", "bad-init"]
    assert cells[3].startswith("initial-loss-high, step 0: 231")


def test_a_single_run_has_no_table(tmp_path: Path) -> None:
    assert drawn(tmp_path, healthy()).all("table", "runs") == []


def test_every_run_has_an_anchor_of_its_own(tmp_path: Path) -> None:
    """Anchors differ even if names are equal, look like an anchor, or contain no ASCII letter."""
    names = ["a", "a", "a-2", "A", "ñ", "†"]
    page = drawn(tmp_path, *((name, healthy()) for name in names))
    anchors = [a["id"] for a in page.all("section")]
    assert len(set(anchors)) == len(names)
    assert set(rows(page)) == set(anchors)


def test_a_record_without_a_given_name_has_its_own(tmp_path: Path) -> None:
    page = drawn(tmp_path, hand_made({"loss": [2.0]}, provenance={"name": "night run"}))
    assert "night run" in page.text


def test_the_reference_is_drawn_behind_every_other_run(tmp_path: Path) -> None:
    """The reference is in every view of the other runs, and in no view of its own section."""
    page = drawn(tmp_path, ("a", made_up(30)), ("b", made_up(30, seed=1)), reference="b")
    assert "the reference run, b." in page.text
    figures = {
        a: page.source.partition(f'id="run-{a}"')[2].partition("</section>")[0].split("<figure")[1:]
        for a in "ab"
    }
    assert all(re.search(r'<g class="(area )?reference', figure) for figure in figures["a"])
    assert not any("reference" in figure for figure in figures["b"])


@pytest.mark.parametrize(
    ("reference", "name"), [(made_up(30, name="other"), "other"), (("mine", made_up(30)), "mine")]
)
def test_a_reference_need_not_be_among_the_runs(tmp_path: Path, reference: Any, name: str) -> None:
    """A record, or a name and a record, is drawn behind the runs but has no section."""
    page = drawn(tmp_path, ("a", made_up(30, seed=1)), reference=reference)
    assert f"the reference run, {name}." in page.text
    assert len(page.all("section")) == 1


def test_the_name_of_an_unknown_reference_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the reference 'c' is not among the runs: 'a', 'b'"):
        render([("a", healthy()), ("b", healthy())], tmp_path / "page.html", reference="c")


def test_a_page_without_runs_is_an_error(tmp_path: Path) -> None:
    """`render` raises ValueError, because an empty page would look like a page without faults."""
    with pytest.raises(ValueError, match="there is no run to draw"):
        render([], tmp_path / "page.html")


def test_notes_are_shown_above_the_runs(tmp_path: Path) -> None:
    page = drawn(tmp_path, healthy(), notes=["Partial page: 3 tests <deselected>."])
    assert page.text.index("Partial page: 3 tests <deselected>.") < page.text.index("Diagnosis")


def test_names_never_become_markup(tmp_path: Path) -> None:
    """Names and values of a record and its run, and notes, are shown as text."""
    run = hand_made(
        {
            "loss": [3.0, 2.0],
            "activation": {EVIL: [1.0, 2.0]},
            "nonfinite_count": {EVIL: [0.0, 3.0]},
        },
        provenance={"name": EVIL, EVIL: EVIL, "seed": EVIL}, schedule=EVIL, total_steps=EVIL,
    )  # fmt: skip
    page = drawn(
        tmp_path, (EVIL, run), (EVIL, healthy()), notes=[EVIL], reference=(EVIL, made_up(9))
    )
    assert_harmless(page)


def test_no_word_of_a_diagnosis_becomes_markup(tmp_path: Path) -> None:
    """A diagnosis may quote a log in any of its fields."""
    finding = Finding(EVIL, EVIL, 3, 2.0, 1.0, "above", EVIL, onset=1)
    cause = Suspect(EVIL, EVIL, EVIL, 1.0, (finding,), 3, (EVIL,))
    diagnosis = Diagnosis(
        "unhealthy", (cause, replace(cause, name=f"other {EVIL}")), (finding,), (EVIL,),
        {EVIL: EVIL}, 0.5, EVIL, True, (EVIL,),
    )  # fmt: skip
    page = drawn(tmp_path, JudgedRun(EVIL, made_up(9), diagnosis), healthy())
    assert_harmless(page)


def assert_harmless(page: Page) -> None:
    """No EVIL string was taken for markup or left a control character in the page."""
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert page.open == []
    assert "<script>alert(1)</script>" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", page.source)


def test_long_names_do_not_make_a_long_page(tmp_path: Path) -> None:
    """A name of a megabyte is cut."""
    run = hand_made(
        {"activation": {"x" * 10**6: [1.0]}},
        provenance={"name": "y" * 10**6, "z" * 10**6: "w" * 10**6},
    )
    assert len(drawn(tmp_path, run).source) < 100 * KB


def test_a_run_keeps_the_diagnosis_it_comes_with(tmp_path: Path) -> None:
    """`render` diagnoses a record, but not a run that is judged already."""
    run = JudgedRun("a", unhealthy(), diagnose(healthy()))
    assert drawn(tmp_path, run).all("span", "badge") == [{"class": "badge healthy"}]
