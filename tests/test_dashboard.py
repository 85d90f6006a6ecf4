"""The page: one file, offline, the same every time, the sick first."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from probes.diagnosis.diagnose import diagnose
from probes.panels import PANELS
from probes.record import Record, Stop
from probes.report.diagnosis_card import card
from probes.report.html import render
from testing.long_runs import facts, made_up
from tests.records import changed, hand_made, sound

KB = 1000
VOID = {"meta", "link", "input", "br"}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&\x00\x1b\ud800\u202e"


class Page(HTMLParser):
    """A page's elements, its text, and the ids and the addresses in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        return [
            a
            for name, a in self.elements
            if name == tag and (not kind or kind in str(a.get("class")).split())
        ]


def drawn(tmp_path: Path, *runs: Any, **options: Any) -> Page:
    return Page(render(runs, tmp_path / "page.html", **options))


def sick() -> Record:
    return changed(loss=[231.0, *sound()["loss"][1:]])


def unjudged() -> Record:
    return hand_made({"loss": [3.0, 2.0]})


def well() -> Record:
    return changed()


def test_the_path_is_returned_and_its_folder_made(tmp_path: Path) -> None:
    """A page can be written where nothing was before."""
    path = tmp_path / "a" / "b" / "page.html"
    assert render([well()], str(path)) == path
    assert os.listdir(path.parent) == ["page.html"]


def test_a_page_replaces_the_one_before_or_leaves_it(tmp_path: Path) -> None:
    """Whoever has it open never sees half of one, and a failure leaves no draft."""
    path = tmp_path / "page.html"
    path.mkdir()
    with pytest.raises(OSError, match=re.escape(str(path))):
        render([well()], path)
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_page_may_be_read_by_whom_other_files_may_be_read(tmp_path: Path) -> None:
    """The draft's own permissions are the writer's alone."""
    (tmp_path / "other").touch()
    page = render([well()], tmp_path / "page.html")
    assert stat.S_IMODE(page.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_the_page_is_well_formed_and_its_ids_are_its_own(tmp_path: Path) -> None:
    """Every element closes, no id occurs twice, every reference to an id finds it."""
    page = drawn(tmp_path, ("a", made_up(30)), ("a", made_up(30)), reference=made_up(30, seed=1))
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby", "aria-describedby"):
        assert {attributes[name] for _, attributes in page.elements if name in attributes} <= set(
            ids
        )
    for svg in re.findall(r"<svg.*?</svg>", page.source, re.S):
        ElementTree.fromstring(svg)


def test_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    """No address but anchors within the page; the only URL is the name of SVG's namespace."""
    page = drawn(tmp_path, ("a", made_up(30)), ("b", sick()), reference="a")
    bare = page.source.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(
        r"https?:|//[a-z0-9]|url\(|@import|\bsrc=|fetch\(|XMLHttp|WebSocket|import\(", bare, re.I
    )
    hrefs = {str(a["href"]) for _, a in page.elements if "href" in a}
    assert all(href.startswith("#") or href == "data:," for href in hrefs)


def test_the_policy_lets_nothing_in_but_what_the_page_holds(tmp_path: Path) -> None:
    """By the hashes of its style sheet and its script; no attribute carries either."""
    page = drawn(tmp_path, made_up(30))
    (policy,) = (
        a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.source, re.S)
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not [
        a for _, a in page.elements if "style" in a or any(name.startswith("on") for name in a)
    ]


def long_run(steps: int, seed: int) -> tuple[str, Record]:
    return f"run {seed}", made_up(steps, every=max(3, steps // 2000), seed=seed)


def test_a_page_stays_small(tmp_path: Path) -> None:
    """400 KB for one run with its reference, 1.5 MB for five."""
    runs = [long_run(8_000, seed) for seed in range(5)]
    assert render(runs[:1], tmp_path / "one.html", reference=runs[1]).stat().st_size <= 400 * KB
    assert render(runs, tmp_path / "five.html", reference="run 1").stat().st_size <= 1500 * KB


def test_a_page_stays_small_at_any_length(tmp_path: Path) -> None:
    """Of a hundred thousand steps: one run takes a fifth of what five may, which share nothing but
    style and script."""
    run, reference = long_run(100_000, 0), long_run(100_000, 1)
    assert render([run], tmp_path / "one.html", reference=reference).stat().st_size <= 1500 * KB / 5


SCRIPT = """
import sys
from pathlib import Path
from probes.report.html import render
from testing.long_runs import made_up
render([("a", made_up(50)), ("b", made_up(40, seed=1, start=200.0))], Path(sys.argv[1]), reference="a", notes=["n"])
"""


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    """Twice in one process, and in processes that order their sets differently."""
    pages = []
    for seed in ("0", "1", "2"):
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
    """The lines of the table of runs: their anchors, in order."""
    table = page.source[: page.source.index("<main>")].partition('<table class="runs">')[2]
    return re.findall(r'<tr><td><a href="#([^"]+)">', table)


def test_the_sick_come_first(tmp_path: Path) -> None:
    """Then those that could not be judged, then the healthy; within a verdict in the order
    given."""
    named = [
        ("well 2", well()),
        ("odd", unjudged()),
        ("sick 1", sick()),
        ("well 1", well()),
        ("sick 0", sick()),
    ]
    page = drawn(tmp_path, *named)
    order = ["run-sick-1", "run-sick-0", "run-odd", "run-well-2", "run-well-1"]
    assert rows(page) == order
    assert [a["id"] for a in page.all("section")] == order
    assert "5 runs: 2 unhealthy, 1 undetermined, 2 healthy." in page.text


def test_the_table_tells_verdict_cause_and_evidence(tmp_path: Path) -> None:
    """The cause once, not again in front of its evidence."""
    page = drawn(tmp_path, ("a", sick()), ("b", well()))
    first = page.source.partition("<tbody>")[2].partition("</tr>")[0]
    cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", first)]
    assert cells[:3] == ["a", "unhealthy", "bad-init"]
    assert cells[3].startswith("initial-loss-high, step 0: 231")


def test_one_run_needs_no_table(tmp_path: Path) -> None:
    """It is all there is."""
    assert drawn(tmp_path, well()).all("table", "runs") == []


def test_runs_of_one_name_have_places_of_their_own(tmp_path: Path) -> None:
    """Also beside a run that is called like the second of them, and with names that leave no
    letter."""
    names = ["a", "a", "a-2", "A", "ñ", "†"]
    page = drawn(tmp_path, *((name, well()) for name in names))
    anchors = [a["id"] for a in page.all("section")]
    assert len(set(anchors)) == len(names)
    assert set(rows(page)) == set(anchors)


def test_a_record_goes_by_its_own_name(tmp_path: Path) -> None:
    """When it comes without one."""
    page = drawn(tmp_path, hand_made({"loss": [2.0]}, provenance={"name": "night run"}))
    assert "night run" in page.text


def test_every_run_has_the_seven_panels_in_order(tmp_path: Path) -> None:
    """Each with its question, what healthy looks like and what this run shows."""
    page = drawn(tmp_path, made_up(30))
    places = [
        page.text.index(f"{number}. {panel.title}") for number, panel in enumerate(PANELS, start=1)
    ]
    assert places == sorted(places)
    for panel in PANELS:
        assert panel.question in page.text
        assert f"Healthy looks like: {panel.look_for}" in page.text
    assert page.text.count("This run: ") == 7


def test_second_views_switch_without_script(tmp_path: Path) -> None:
    """Radio buttons, one group per panel and run, the first of each checked, and a rule that hides
    the other."""
    page = drawn(tmp_path, ("a", made_up(30)), ("b", made_up(30)))
    radios = [a for a in page.all("input") if a.get("type") == "radio"]
    names = [a["name"] for a in radios]
    assert len(set(names)) == 8
    assert [names.count(name) for name in names] == [2] * 16
    assert ["checked" in a for a in radios] == [True, False] * 8
    assert len(page.all("figure", "view")) == 22
    assert ":checked) .view:nth-of-type(2)" in page.source


def test_a_legend_switches_its_lines_without_script(tmp_path: Path) -> None:
    """A checked box for every line, and for every box a rule that hides the line when it is not
    checked."""
    page = drawn(tmp_path, made_up(30), reference=made_up(30, seed=1))
    boxes = [a for a in page.all("input") if a.get("type") == "checkbox"]
    lines = [a for kind in ("line", "raw", "thin") for a in page.all("g", kind)]
    entries = {
        kind
        for a in page.all("li")
        for kind in str(a.get("class")).split()
        if re.fullmatch(r"k(\d+|[rk])", kind)
    }
    assert len(boxes) > len(lines) > 40
    assert all("checked" in a for a in boxes)
    assert {f"k{re.search(r's([0-9]+)', str(a['class']))[1]}" for a in lines} <= entries  # type: ignore[index]
    for entry in entries:
        assert (
            f".view:has(.{entry}>label>input:not(:checked)) .s{entry[1:]}{{display:none}}"
            in page.source
        )


def test_every_other_run_has_the_reference_behind_it(tmp_path: Path) -> None:
    """In every view; the reference itself does not."""
    page = drawn(tmp_path, ("a", made_up(30)), ("b", made_up(30, seed=1)), reference="b")
    assert "the reference run, b." in page.text
    figures = {
        a: page.source.partition(f'id="run-{a}"')[2].partition("</section>")[0].split("<figure")[1:]
        for a in "ab"
    }
    assert all(re.search(r'<g class="(area )?reference', figure) for figure in figures["a"])
    assert not any("reference" in figure for figure in figures["b"])


def test_a_reference_may_come_from_elsewhere(tmp_path: Path) -> None:
    """As a record, or with a name."""
    for reference, name in ((made_up(30, name="other"), "other"), (("mine", made_up(30)), "mine")):
        page = drawn(tmp_path, ("a", made_up(30, seed=1)), reference=reference)
        assert f"the reference run, {name}." in page.text
        assert len(page.all("section")) == 1


def test_a_reference_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    """It names the runs there are."""
    with pytest.raises(ValueError, match=r"the reference 'c' is not among the runs: 'a', 'b'"):
        render([("a", well()), ("b", well())], tmp_path / "page.html", reference="c")


def test_no_run_is_an_error(tmp_path: Path) -> None:
    """An empty page would look like good news."""
    with pytest.raises(ValueError, match="there is no run to draw"):
        render([], tmp_path / "page.html")


def test_notes_stand_at_the_top(tmp_path: Path) -> None:
    """A partial page says so before it says anything else."""
    page = drawn(tmp_path, well(), notes=["Partial page: 3 tests <deselected>."])
    assert page.text.index("Partial page: 3 tests <deselected>.") < page.text.index("Diagnosis")


def test_a_finding_is_shown_with_all_its_evidence(tmp_path: Path) -> None:
    """Symptom, step, observed, limit, source; and the remedy."""
    page = drawn(tmp_path, sick())
    for part in ("initial-loss-high", "step 0: observed 231, limit 5.359 (above is worse)", "limit from: a model that",
                 "initialise weights at Xavier", "certain since step 0"):  # fmt: skip
        assert part in page.text


def test_what_is_worth_knowing_is_on_the_card(tmp_path: Path) -> None:
    """One item for each remark, of a healthy run as well; nothing where there is none."""
    page = drawn(tmp_path, well())
    items = page.source.partition('class="remarks">')[2].partition("</ul>")[0]
    assert "Worth knowing" in page.text
    assert items.startswith(
        "<li>lr starts at its peak: 0.02 at step 0</li><li>still falling at its end: by 1.5"
    )
    assert "Worth knowing" not in drawn(tmp_path, unjudged()).text


def test_a_cause_has_what_else_it_may_be_beside_it() -> None:
    """Where the run's signals cannot tell them apart."""
    record, diagnosis = sick(), diagnose(sick())
    names = replace(diagnosis.causes[0], or_else=("lr-too-high", "overfit"))
    shown = card(record, replace(diagnosis, causes=(names,)), "run")
    assert "<dt>May also be</dt><dd>lr-too-high or overfit</dd>" in shown
    assert "May also be" not in card(
        record, replace(diagnosis, causes=(replace(names, or_else=()),)), "run"
    )


def test_what_was_not_judged_is_shown_with_the_reason(tmp_path: Path) -> None:
    """Silence is no clean bill. Those that one reason keeps from judging stand together."""
    page = drawn(tmp_path, hand_made({"loss": [3.0] * 30}))
    assert "Not judged" in page.text
    assert page.text.count("the record does not state vocab_size") == 1
    assert "initial-loss, first-gradient, stalled" in page.text


def test_facts_and_provenance_are_folded_away(tmp_path: Path) -> None:
    """One row per leaf of the config."""
    run = hand_made(
        {"loss": [3.0]},
        provenance={"config": {"optimizer": {"lr_max": 0.02}}, "corpus_sha256": "abc"},
    )
    page = drawn(tmp_path, run)
    assert "config.optimizer.lr_max" in page.text
    assert page.all("details") == [{}]


def test_the_ladder_says_what_the_losses_mean(tmp_path: Path) -> None:
    """From knowing nothing to knowing everything, and this run among them."""
    run = hand_made({"val_loss": [3.0, 0.91]}, **facts(2))
    table = drawn(tmp_path, run).source.partition('class="ladder">')[2].partition("</table>")[0]
    cells = [re.sub("<[^>]+>", " ", row).split() for row in table.split("</tr>")]
    assert cells[1] == ["nothing", "4.16", "4.16"]
    assert cells[-2][-2:] == ["–", "0.91"]


def test_a_run_that_was_ended_early_says_for_what(tmp_path: Path) -> None:
    """And what it saved, in place of calling itself incomplete."""
    record = replace(hand_made({"loss": [3.0]}, complete=False), stopped=Stop(8, 30, "bad-init"))
    page = drawn(tmp_path, record).text
    assert "stopped after step 8 of 30, certain of bad-init: 21 steps (70%) saved" in page
    assert "incomplete" not in page


@pytest.mark.parametrize(
    ("every", "said"), [(1, "3 of 40 steps"), (20, "3 points up to step 40 of 40")]
)
def test_points_are_no_steps_where_only_some_were_logged(
    tmp_path: Path, every: int, said: str
) -> None:
    """A trainer that logs every twentieth step has not stopped at a twentieth of its plan."""
    run = hand_made({"loss": [3.0, 2.0, 1.0]}, steps=[0, every, 2 * every], total_steps=40)
    assert said in drawn(tmp_path, run).text


def test_an_incomplete_record_is_called_so(tmp_path: Path) -> None:
    """A killed run is not a short one."""
    assert (
        "the record is incomplete"
        in drawn(tmp_path, hand_made({"loss": [3.0]}, complete=False)).text
    )
    assert "incomplete" not in drawn(tmp_path, hand_made({"loss": [3.0]})).text


def test_names_never_become_markup(tmp_path: Path) -> None:
    """Wherever they come from: run, note, site, fact, provenance."""
    run = hand_made(
        {"loss": [3.0, 2.0], "activation": {EVIL: [1.0, 2.0]}, "nonfinite_count": {EVIL: [0.0, 3.0]}},
        provenance={"name": EVIL, EVIL: EVIL, "seed": EVIL}, schedule=EVIL, total_steps=EVIL,
    )  # fmt: skip
    page = drawn(tmp_path, (EVIL, run), (EVIL, well()), notes=[EVIL], reference=(EVIL, made_up(9)))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert page.open == []
    assert "<script>alert(1)</script>" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", page.source)


def test_long_names_do_not_make_a_long_page(tmp_path: Path) -> None:
    """A megabyte of name is cut to what a reader can take in."""
    run = hand_made(
        {"activation": {"x" * 10**6: [1.0]}},
        provenance={"name": "y" * 10**6, "z" * 10**6: "w" * 10**6},
    )
    assert len(drawn(tmp_path, run).source) < 100 * KB


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_told_from_the_background(tmp_path: Path, scheme: str) -> None:
    """3:1 for lines, 4.5:1 for text (WCAG 2.2, 1.4.11 and 1.4.3), in both schemes."""
    blocks = re.findall(r":root \{(.*?)\}", drawn(tmp_path, well()).source, re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    background = luminance(colours["bg"])
    for name, colour in colours.items():
        bright, dim = sorted((luminance(colour), background), reverse=True)
        least = {"ink": 4.5, "muted": 4.5, "bad": 4.5, "good": 4.5, "unsure": 4.5}.get(name, 3.0)
        if name not in ("bg", "rule", "grid", "soft"):
            assert (bright + 0.05) / (dim + 0.05) >= least, name


def test_the_page_follows_the_system_and_the_printer(tmp_path: Path) -> None:
    """Light and dark, narrow screens, paper."""
    source = drawn(tmp_path, well()).source
    for query in ("(prefers-color-scheme: dark)", "(max-width: 520px)", "@media print"):
        assert query in source
    assert '<meta name="viewport" content="width=device-width' in source
