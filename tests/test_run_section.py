"""The section of a run: its heading, and its panels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from probes.diagnosis.base import Finding, PanelKey
from probes.diagnosis.diagnose import diagnose
from probes.panels import PANELS
from probes.record import Record, Stop
from probes.report.document import fill
from probes.report.html import render
from probes.report.judged_run import judge
from probes.report.run_section import RunSection, panel_sections, run_section
from testing.long_runs import made_up
from tests.page import Page
from tests.records import hand_made


def section(record: Record, reference: Record | None = None) -> RunSection:
    return run_section(judge(record), "run", reference)


def html(record: Record) -> str:
    return fill("run.html.j2", run=section(record))


def page(tmp_path: Path, *runs: Record, reference: Record | None = None) -> Page:
    return Page(render(runs, tmp_path / "page.html", reference=reference))


@pytest.mark.parametrize(
    ("every", "extent"), [(1, "3 of 40 steps"), (20, "3 points up to step 40 of 40")]
)
def test_the_heading_tells_steps_from_logged_points(every: int, extent: str) -> None:
    """A trainer that logs every twentieth step has not stopped at a twentieth of its plan."""
    run = hand_made({"loss": [3.0, 2.0, 1.0]}, steps=[0, every, 2 * every], total_steps=40)
    assert section(run).extent[0] == extent


def test_the_heading_counts_evaluations_and_states_the_seed() -> None:
    run = hand_made({"loss": [3.0] * 4, "val_loss": [3.0, None, 2.0, None]}, provenance={"seed": 7})
    assert "4 steps · 2 evaluations · seed 7</p>" in html(run)


def test_a_run_that_was_stopped_early_says_why() -> None:
    """The page states how many steps were saved, and does not call the record incomplete."""
    run = replace(hand_made({"loss": [3.0]}, complete=False), stopped=Stop(8, 30, "bad-init"))
    stop = "stopped after step 8 of 30, certain of bad-init: 21 steps (70%) saved"
    assert section(run).cut_short == stop
    assert f"<b>{stop}</b>" in html(run)


def test_an_incomplete_record_is_called_incomplete() -> None:
    """The record of a killed run must not look like that of a short run."""
    assert "<b>the record is incomplete</b>" in html(hand_made({"loss": [3.0]}, complete=False))
    assert section(hand_made({"loss": [3.0]})).cut_short == ""


def test_every_panel_is_shown_in_order() -> None:
    """Each panel has its question, the healthy pattern, and the text on what this run shows."""
    text = html(made_up(30))
    places = [
        text.index(f"{number}. {panel.title}</h3>") for number, panel in enumerate(PANELS, start=1)
    ]
    assert places == sorted(places)
    for panel in PANELS:
        assert panel.question in text
        assert f"Healthy looks like: {panel.healthy_look}" in text
    assert text.count("This run: ") == len(PANELS)


def test_without_a_diagnosis_panels_do_not_describe_the_run() -> None:
    panels = panel_sections(made_up(30), None, "run", None)
    assert [panel.shows for panel in panels] == [""] * len(PANELS)
    assert "This run: " not in fill("panel.html.j2", panel=panels[0])


def test_views_switch_without_script(tmp_path: Path) -> None:
    """Each panel of each run with several views has a group of radio buttons, one of which is
    checked, and a CSS rule hides the view that is not checked."""
    drawn = page(tmp_path, made_up(30), made_up(30))
    groups: dict[str, list[bool]] = {}
    for radio in drawn.all("input"):
        if radio["type"] == "radio":
            groups.setdefault(str(radio["name"]), []).append("checked" in radio)
    switched = [panel for panel in PANELS if len(panel.views) > 1]
    assert len(groups) == 2 * len(switched)
    assert all(checked == [True, False] for checked in groups.values())
    assert len(drawn.all("figure", "view")) == 2 * sum(len(panel.views) for panel in PANELS)
    assert ":checked) .view:nth-of-type(2)" in drawn.source


def test_the_view_with_a_mark_is_selected() -> None:
    """Otherwise the text of a panel would name a finding that the visible chart does not mark."""
    made = made_up(30)
    stuck = Finding("head-stuck", "0", 3, 0.001, 0.01, "below", "why")
    diagnosis = replace(diagnose(made), findings=(stuck,))
    for told, selected in ((diagnosis, "Attention entropy"), (None, "Dead neurons")):
        panels = panel_sections(made, told, "run", None)
        (panel,) = (one for one in panels if one.panel.key == PanelKey.DEAD_UNITS)
        assert panel.drawings[panel.selected].name == selected


def test_a_view_that_was_not_recorded_is_not_selected() -> None:
    """If no view of the panel was recorded, no chart is visible."""
    run = hand_made({"attention_entropy": {"0": [0.5, 0.4]}})
    panels = {one.panel.key: one for one in panel_sections(run, None, "run", None)}
    assert panels[PanelKey.DEAD_UNITS].selected == 1
    assert panels[PanelKey.ACTIVATIONS].selected == 0


def test_a_legend_hides_lines_without_script(tmp_path: Path) -> None:
    """Every line has a checked box, and for every box a CSS rule hides the line when it is not
    checked."""
    drawn = page(tmp_path, made_up(30), reference=made_up(30, seed=1))
    boxes = [a for a in drawn.all("input") if a.get("type") == "checkbox"]
    lines = [a for kind in ("line", "raw", "thin") for a in drawn.all("g", kind)]
    entries = {
        name
        for a in drawn.all("li")
        for name in str(a.get("class")).split()
        if re.fullmatch(r"k(\d+|[rk])", name)
    }
    assert len(boxes) > len(lines) > 40
    assert all("checked" in a for a in boxes)
    keys = [re.search(r"\bs(\d+)\b", str(a["class"])) for a in lines]
    assert {f"k{key[1]}" for key in keys if key} <= entries
    for entry in entries:
        rule = f".view:has(.{entry}>label>input:not(:checked)) .s{entry[1:]}{{display:none}}"
        assert rule in drawn.source
