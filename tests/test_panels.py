"""The panels: the charts and the sentences that each makes from a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from probes.diagnosis.base import PanelKey, Symptom, ViewKey
from probes.diagnosis.detectors import SYMPTOMS, nonfinite
from probes.diagnosis.diagnose import diagnose
from probes.panels import PANELS
from probes.panels.gradient_norm import spikes
from probes.panels.panel import Drawing, Panel
from probes.panels.regular_irregular import tax
from probes.record import Record
from probes.record.signals import BY_NAME
from testing.long_runs import made_up
from tests.records import hand_made, sound

BY_KEY = {panel.key: panel for panel in PANELS}
INF, NAN = float("inf"), float("nan")


def draw(key: str, run: Record, reference: Record | None = None) -> tuple[Drawing, ...]:
    return BY_KEY[key].draw(run, reference, None)


def shows(key: str, run: Record) -> str:
    return BY_KEY[key].shows(run, None)


def values(drawing: Drawing, label: str) -> list[float]:
    (line,) = (line for line in drawing.plot.lines if line.label == label)
    return [float(value) for value in line.values]


def groups(drawing: Drawing, kind: str) -> int:
    root = ElementTree.fromstring(drawing.svg)
    return sum(
        one.tag.endswith("}g") and kind in str(one.get("class")).split() for one in root.iter()
    )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_a_panel_asks_a_question_and_describes_a_healthy_run(panel: Panel) -> None:
    """The panel draws only signals that the table of signals lists, in one or two views."""
    assert panel.question.endswith("?")
    assert panel.healthy_look.endswith(".")
    assert set(panel.signals) <= set(BY_NAME)
    assert 1 <= len(panel.views) <= 2


def test_every_panel_key_has_one_panel_and_every_view_key_one_view_of_it() -> None:
    """Symptoms refer to the keys, so a key without a panel would leave a symptom unmarked."""
    assert sorted(panel.key for panel in PANELS) == sorted(PanelKey)
    views = [(view.key, panel.key) for panel in PANELS for view in panel.views]
    assert sorted(key.name for key, _ in views) == sorted(key.name for key in ViewKey)
    assert [key for key, panel in views if key.panel is not panel] == []


@pytest.mark.parametrize("symptom", SYMPTOMS.values(), ids=lambda symptom: symptom.name)
def test_every_symptom_is_marked_in_the_view_that_shows_it(symptom: Symptom) -> None:
    """A symptom of any signal is marked where the signal at its site is drawn."""
    finding = symptom.found(20, 1.0, site="" if symptom.view else "spectral_norm.w", limit=0.5)
    run = made_up(60)
    diagnosis = replace(diagnose(run), findings=(finding,))
    shown_in = symptom.view or ViewKey.SPECTRAL_NORM
    for panel in PANELS:
        for view, drawing in zip(panel.views, panel.draw(run, None, diagnosis), strict=True):
            assert drawing.svg, f"{view.key.name} draws nothing of a whole record"
            assert groups(drawing, "event") == (view.key is shown_in)
        assert (symptom.name in panel.shows(run, diagnosis)) == (panel.key is shown_in.panel)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_a_nonfinite_value_of_any_drawn_signal_is_marked(panel: Panel) -> None:
    """Each view marks those of its own signals."""
    for view in panel.views:
        for signal in view.signals:
            site = {"activation": "blocks.0", "grad_norm": "blocks.0.grad"}.get(signal, signal)
            assert view.marks(nonfinite.NON_FINITE.found(3, 1.0, site=site))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_every_view_of_a_complete_record_is_drawn(panel: Panel) -> None:
    """The SVG is well-formed and has an id of its own."""
    drawings = panel.draw(made_up(60), None, None, "run-a")
    ids = [ElementTree.fromstring(drawing.svg).get("id") for drawing in drawings]
    assert ids == [f"run-a-{panel.key}-{index}" for index in range(len(panel.views))]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_the_reference_is_drawn_behind_every_view(panel: Panel) -> None:
    """A few lines are drawn one by one, many as one band."""
    run, reference = made_up(60), made_up(60, seed=1)
    for drawing in panel.draw(run, reference, None):
        assert groups(drawing, "reference") >= 1
    for drawing in panel.draw(run, None, None):
        assert groups(drawing, "reference") == 0


def test_a_longer_reference_is_cut_to_the_steps_of_the_run() -> None:
    (drawing,) = draw("gradient", made_up(30), made_up(900))
    assert [int(line.steps[-1]) for line in drawing.plot.reference] == [29]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_signals_that_were_not_recorded_are_named(panel: Panel) -> None:
    """A signal without values has no chart, not an empty one."""
    empty = hand_made({})
    assert [drawing.svg for drawing in panel.draw(empty, None, None)] == [""] * len(panel.views)
    assert panel.shows(empty, None) == f"Not recorded: {', '.join(panel.signals)}."


def test_a_missing_signal_does_not_hide_the_others() -> None:
    """A log without validation still has a loss."""
    said = shows("loss", hand_made({"loss": [3.0, 2.0]}))
    assert "batch 3 → 2" in said
    assert "Not recorded: train_loss, val_loss." in said


def test_the_loss_is_compared_with_the_ladder() -> None:
    """Baseline and floors are levels of the chart; the sentence states the difference."""
    ladder = {"train": {"floor": 0.19}, "val": {"floor": 0.13, "ngram": 1.24}}
    signals = {"loss": [4.66, 1.0], "train_loss": [4.66, 0.35], "val_loss": [4.7, 0.91]}
    run = hand_made(signals, vocab_size=64, ladder=ladder)
    (drawing,) = draw("loss", run)
    assert [level.value for level in drawing.plot.levels] == [1.24, 0.19, 0.13]
    assert shows("loss", run) == (
        "batch loss starts at 4.66 (ln V = 4.16); train 4.66 → 0.35; "
        "validation ends at 0.91 nats per token, 0.33 below the n-gram baseline 1.24."
    )


@pytest.mark.parametrize(
    ("facts", "unit"),
    [({}, "loss"), ({"vocab_size": 10}, "nats"), ({"ladder": {"val": {}}}, "nats per token")],
)
def test_the_unit_of_a_loss_is_stated_as_far_as_it_is_known(
    facts: dict[str, Any], unit: str
) -> None:
    """A log may hold any loss, such as a squared error."""
    run = hand_made({"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]}, **facts)
    (drawing,) = draw("loss", run)
    assert drawing.plot.unit == unit
    assert ("nats" in shows("loss", run)) == (unit != "loss")


def test_the_best_steps_are_marked() -> None:
    """At these steps the smoothed validation loss is within 1 % of its lowest. There may be only
    one such step."""
    steep = hand_made(
        {"loss": [1.0] * 9, "val_loss": [9.0, 5.0, 2.0, 1.0, 0.1, 1.0, 2.0, 5.0, 9.0]}
    )
    flat = hand_made({"loss": [1.0] * 9, "val_loss": [9.0, 5.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]})
    windows = [BY_KEY["loss"].views[0].plot(run, None).window for run in (steep, flat)]
    assert [window and window.label for window in windows] == ["best: 4", "best: 5-6"]


def test_a_validation_loss_below_the_entropy_floor_is_mentioned() -> None:
    """The entropy floor is the lowest loss that a model can reach without seeing the answer."""
    ladder = {"val": {"floor": 0.14, "ngram": 1.24}}
    assert "0.13 below the floor 0.14" in shows(
        "loss", hand_made({"val_loss": [1.0, 0.01]}, ladder=ladder)
    )


def test_the_lowest_validation_loss_is_stated_when_the_loss_rose_again() -> None:
    said = shows("loss", hand_made({"val_loss": [3.0, 0.9, 1.4]}))
    assert "its lowest was 0.9 at step 1" in said


@pytest.mark.parametrize(
    "ladder", ["a string", {"val": 3}, {"val": {"ngram": "x"}}, {"val": {"ngram": NAN}}, None]
)
def test_facts_of_the_wrong_type_are_ignored(ladder: Any) -> None:
    """A log can contain any text or number as a fact."""
    run = hand_made({"val_loss": [3.0, 0.9]}, ladder=ladder, clip_norm="yes", vocab_size=[])
    assert draw("loss", run)[0].plot.levels == ()
    assert "baseline" not in shows("loss", run)


def test_the_batch_loss_is_smoothed_only_without_a_loss_on_the_training_split() -> None:
    """Otherwise two lines would show the same."""
    assert [line.label for line in draw("loss", hand_made({"loss": [3.0, 2.0]}))[0].plot.lines] == [
        "batch", "batch, moving average",
    ]  # fmt: skip
    assert [line.label for line in draw("loss", made_up(30))[0].plot.lines] == [
        "batch",
        "train",
        "validation",
    ]


def test_the_learning_rate_is_described_by_start_peak_and_end() -> None:
    """The declared schedule stands beside them."""
    said = shows("lr", hand_made({"lr": [0.001, 0.02, 0.002]}, schedule="warmup-cosine"))
    assert (
        "starts at 0.001, peaks at 0.02 (step 1), ends at 0.002; declared: warmup-cosine." in said
    )


def test_the_first_update_is_described() -> None:
    """A jump at the start shows here before it shows in the loss."""
    said = shows("lr", hand_made({"update_weight_ratio": {"a.w": [0.16, 0.01], "b.w": [0.1, 0.5]}}))
    assert "The first update moves a most, by 0.16 of its norm." in said
    assert "highest 0.5 at step 1 (b)" in said


def steady(**peaks: float) -> list[float]:
    """120 gradient norms between 0.9 and 1.1, with peaks at steps `s60=5.0`."""
    norms = [1.0 + 0.1 * (-1) ** i for i in range(120)]
    for at, height in peaks.items():
        norms[int(at[1:])] = height
    return norms


def test_only_spikes_are_marked() -> None:
    """A spike is more than three sigma above the mean of the hundred steps before it."""
    run = hand_made({"grad_norm": steady(s60=5.0, s110=3.9, s30=1.25)}, clip_norm=1.0)
    (drawing,) = draw("gradient", run)
    assert drawing.plot.spikes is not None
    assert drawing.plot.spikes.steps.tolist() == [60, 110]
    (spot,) = (
        one
        for one in ElementTree.fromstring(drawing.svg).iter()
        if "spike" in str(one.get("class"))
    )
    assert [path.get("class") for path in spot] == ["solo", "solo"]
    assert "2 spikes (steps 60, 110)" in shows("gradient", run)


@pytest.mark.parametrize(
    "norms", [steady(), [1.0] * 300, [2.0**-i for i in range(200)], [1.0, 50.0] * 9, []]
)
def test_runs_without_spikes_have_no_mark(norms: list[float]) -> None:
    """Steady, constant and falling norms, too few norms, and none."""
    assert len(spikes(np.arange(len(norms)), np.array(norms))[0]) == 0


def test_spikes_are_found_among_huge_and_failed_values() -> None:
    """A failed step is no spike, and it does not disturb the steps after it."""
    norms = np.array(steady(s60=5.0)) * 1e300
    norms[40] = INF
    assert spikes(np.arange(120), norms)[0].tolist() == [60]


def test_a_spike_is_compared_only_with_the_hundred_steps_before_it() -> None:
    """Large noise at the start of a run does not hide a later spike."""
    rng = np.random.default_rng(0)
    norms = np.concatenate([rng.uniform(0, 100, 50), rng.uniform(0.9, 1.1, 250)])
    norms[200] = 2.0
    assert 200 in spikes(np.arange(300), norms)[0]
    assert 200 not in spikes(np.arange(200, 300), norms[200:])[0]


def test_steps_above_the_clip_threshold_are_counted() -> None:
    run = hand_made({"grad_norm": [3.0, 0.5, 2.0]}, clip_norm=1.0)
    assert (
        shows("gradient", run)
        == "median 2, highest 3 at step 0; clipped at 2 of 3 steps; no spikes."
    )
    assert draw("gradient", run)[0].plot.levels[0].value == 1.0


@pytest.mark.parametrize(
    ("key", "view", "signal"),
    [
        ("lr", 1, "update_weight_ratio"), ("activations", 0, "activation"),
        ("activations", 1, "grad_activation_ratio"), ("spectral", 0, "spectral_norm"),
        ("dead", 0, "dead_fraction"), ("dead", 1, "attention_entropy"),
    ],
)  # fmt: skip
def test_a_chart_has_one_line_per_site(key: str, view: int, signal: str) -> None:
    """Each line has the values of its site."""
    run = hand_made({signal: {"a": [0.1, 0.2], "b": [0.3, 0.4]}})
    drawing = draw(key, run)[view]
    assert (values(drawing, "a"), values(drawing, "b")) == ([0.1, 0.2], [0.3, 0.4])
    assert groups(drawing, "line") == 2


def test_the_highest_and_lowest_sites_are_named() -> None:
    """The text names these sites for the end of the run and for the whole run."""
    run = hand_made({"spectral_norm": {"a.q": [1.0, 2.0, 2.0], "a.k": [1.0, 9.0, 3.0]}})
    assert (
        shows("spectral", run)
        == "largest singular value ends at 2 (a.q) to 3 (a.k); highest 9 at step 1 (a.k)."
    )


def test_shares_have_an_axis_from_zero() -> None:
    """The axis of attention entropy reaches from stuck, 0, to even, 1."""
    run = hand_made(
        {"dead_fraction": {"up": [0.0, 0.004]}, "attention_entropy": {"0": [0.5, 0.002]}}
    )
    dead, heads = draw("dead", run)
    assert (dead.plot.scale().low, dead.plot.scale().high) == (0.0, 0.1)
    assert (heads.plot.scale().low, heads.plot.scale().high) == (0.0, 1.0)
    assert "dead neurons end at 0.4 %" in shows("dead", run)
    assert "lowest 0.002 (0, step 1)" in shows("dead", run)


CLASSES = {"regular": [3.0, 1.0, 0.5], "irregular": [3.0, 2.5, 2.0]}


def test_the_tax_is_irregular_minus_regular() -> None:
    run = hand_made({"val_loss_by_class": CLASSES}, ladder={"val": {"class_baseline": 1.9}})
    drawing = draw("classes", run)[0]
    assert values(drawing, "tax") == [0.0, 1.5, 1.5]
    assert [level.value for level in drawing.plot.levels] == [1.9]
    assert "regular 3 → 0.5; irregular 3 → 2; mean tax of the last quarter 1.5" in shows(
        "classes", run
    )


def test_the_tax_needs_both_classes() -> None:
    """A step at which only one was measured has none."""
    run = hand_made(
        {"val_loss_by_class": {"regular": [1.0, None, 2.0], "irregular": [None, 2.0, 5.0]}}
    )
    difference = tax(run, "val_loss_by_class")
    assert (difference.steps.tolist(), difference.values.tolist()) == ([2], [3.0])


def test_the_second_view_shows_only_compositional_tenses() -> None:
    """The compositional tenses have their own tax."""
    run = hand_made(
        {"val_loss_by_class_compositional": {"regular": [1.0, 0.5], "irregular": [1.0, 0.75]}}
    )
    all_tenses, compositional = draw("classes", run)
    assert all_tenses.svg == ""
    assert values(compositional, "tax") == [0.0, 0.25]


def test_the_panel_says_which_forms_cannot_be_inferred() -> None:
    """A gap there is no fault of the training."""
    assert re.search(
        r"went or written occurs in only one tense.*cannot\s+be inferred",
        BY_KEY["classes"].healthy_look,
    )


def test_training_rows_are_drawn_thin() -> None:
    """The thin lines show what was learned, beside the lines that show what was generalised."""
    drawing = draw(
        "classes", hand_made({"val_loss_by_class": CLASSES, "train_loss_by_class": CLASSES})
    )[0]
    assert [line.label for line in drawing.plot.lines if line.role == "thin"] == [
        "regular, training rows", "irregular, training rows",
    ]  # fmt: skip
    assert groups(drawing, "thin") >= 2


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_long_runs_keep_few_points(panel: Panel) -> None:
    """A chart of 8,000 steps keeps at most 500 points if it has one line. If it has several lines,
    it keeps at most 100 points of each."""
    for drawing in panel.draw(made_up(8000, every=3), None, None):
        root = ElementTree.fromstring(drawing.svg)
        counts = [len(str(one.get("data-v")).split()) for one in root.iter() if one.get("data-v")]
        single = panel.key in ("loss", "gradient") or (panel.key == "lr" and len(counts) == 1)
        assert max(counts) <= (500 if single else 100)
        assert min(counts) >= (300 if single else 60)


def test_a_failed_step_is_marked_and_described() -> None:
    """An infinite loss, or a loss of NaN, which a record stores as a count beside an empty cell."""
    run = hand_made({"loss": [3.0, INF, 2.0, NAN, 1.0]})
    (drawing,) = draw("loss", run)
    assert drawing.plot.nonfinite_spans() == [(1, 2), (3, 4)]
    assert groups(drawing, "lost") == 2
    assert "Not finite: loss from step 1 (2 of 5 values)." in shows("loss", run)


def test_a_failed_layer_is_marked_in_its_panel() -> None:
    """A count of non-finite values at a site is a failed measurement of that site."""
    run = hand_made(
        {
            "activation": {"embed": [1.0, 1.0, 1.0], "blocks.0": [1.0, None, None]},
            "nonfinite_count": {"blocks.0": [0.0, 7.0, 7.0]},
        }
    )
    drawing = draw("activations", run)[0]
    assert drawing.plot.nonfinite_spans() == [(1, 2)]
    assert "Not finite: activation from step 1 (2 of 6 values)." in shows("activations", run)


def test_steps_between_evaluations_are_not_failures() -> None:
    """NaN alone means that nothing was measured."""
    run = hand_made({"loss": [3.0] * 9, "val_loss": [None, None, 3.0] * 3})
    assert draw("loss", run)[0].plot.nonfinite_spans() == []
    assert "Not finite" not in shows("loss", run)


def test_a_finding_is_marked_in_the_panel_it_concerns() -> None:
    """Without a diagnosis no panel marks anything."""
    run = hand_made({**sound(), "loss": [231.0, *sound()["loss"][1:]]}, vocab_size=64)
    diagnosis = diagnose(run)
    marked = {
        panel.key
        for panel in PANELS
        for one in panel.draw(run, None, diagnosis)
        if one.svg and groups(one, "event")
    }
    assert marked == {"loss"}
    assert "Found: initial-loss-high, step 0 (231, limit 5.36)." in BY_KEY["loss"].shows(
        run, diagnosis
    )
    assert groups(draw("loss", run)[0], "event") == 0


@pytest.mark.parametrize(
    ("signals", "site", "panels"),
    [
        ({"loss": [4.0, NAN, 3.0]}, "loss", {"loss"}),
        ({"lr": [0.1, INF, 0.1]}, "lr", {"lr"}),
        ({"nonfinite_count": {"embed": [0.0, 7.0, 0.0]}}, "embed", {"activations"}),
        (
            {"nonfinite_count": {"embed.grad": [0.0, 7.0, 0.0], "up": [0.0, 1.0, 0.0]}},
            "embed.grad",
            {"gradient"},
        ),
        ({"spectral_norm": {"w": [1.0, INF, 1.0]}}, "spectral_norm.w", {"spectral"}),
    ],
)
def test_a_nonfinite_value_is_marked_in_the_panel_of_its_signal(
    signals: Any, site: str, panels: set[str]
) -> None:
    run = hand_made(signals)
    diagnosis = diagnose(run)
    said = {
        panel.key
        for panel in PANELS
        if f"Found: non-finite at {site}, step 1" in panel.shows(run, diagnosis)
    }
    assert said == panels


def test_a_diagnosis_changes_nothing_in_a_chart_but_its_marks() -> None:
    """The pages of the blind exercise therefore do not reveal the diagnosis."""
    run = made_up(60)
    told = replace(diagnose(run), findings=())
    for panel in PANELS:
        assert [one.svg for one in panel.draw(run, None, told)] == [
            one.svg for one in panel.draw(run, None, None)
        ]


def test_of_many_sites_only_the_extreme_ones_are_drawn() -> None:
    """A note below the chart states how many lines are drawn."""
    signals = {"spectral_norm": {f"layer.{i}.w": [1.0 + (i * 7 % 300), 1.0] for i in range(300)}}
    (drawing,) = draw("spectral", hand_made(signals))
    assert drawing.plot.note == "24 of 300 lines are drawn: the highest and the lowest."
    assert max(line.values.max() for line in drawing.plot.lines) == 300
    assert groups(drawing, "line") == 24


EVIL = "<script>alert(1)</script>\"'&\x00\x1b\ud800\u202e.0.w"
ONE_ROW = {
    name: [1.0] if signal.scope == "run" else {"a": [1.0]} for name, signal in BY_NAME.items()
}
LATE = [*[None] * 8, 1.0]
HOSTILE: Mapping[str, Record] = {
    "no rows": hand_made({}),
    "one row": hand_made({name: values for name, values in ONE_ROW.items() if name != "batch_ids"}),
    "all infinite": hand_made(
        {name: [INF] * 30 for name in ("loss", "lr", "grad_norm", "val_loss")}
    ),
    "all NaN": hand_made({"loss": [NAN] * 30, "grad_norm": [NAN] * 30}),
    "zero": hand_made(
        {
            "loss": [0.0] * 30,
            "lr": [0.0] * 30,
            "grad_norm": [0.0] * 30,
            "activation": {"a": [0.0] * 30},
        }
    ),
    "huge": hand_made(
        {"loss": [1e300, -1e300] * 15, "lr": [1e300] * 30, "grad_norm": [1e300, 1e-300] * 15}
    ),
    "one evaluation": hand_made(
        {"loss": [2.0] * 9, "val_loss": LATE, "val_loss_by_class": {"regular": LATE}}
    ),
    "evil names": hand_made(
        {
            "activation": {EVIL: [1.0, 2.0], "b": [1.0, INF]},
            "val_loss_by_class": {EVIL: [1.0, 2.0]},
            "spectral_norm": {EVIL + str(i): [1.0, 2.0] for i in range(30)},
        },
        schedule=EVIL,
    ),
    "late steps": hand_made({"loss": [2.0, 1.0, 0.5]}, steps=[10**9, 10**9 + 1, 2**52]),
    "only one class": hand_made({"val_loss_by_class": {"regular": [1.0, 2.0]}}),
    "opposite infinities": hand_made(
        {"val_loss_by_class": {"regular": [1.0, INF], "irregular": [1.0, INF]}}
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("behind", [True, False], ids=["behind", "alone"])
def test_any_record_can_be_drawn_and_described(name: str, behind: bool) -> None:
    """The run is drawn alone, and as the reference behind another run."""
    record = HOSTILE[name]
    run, reference = (made_up(30), record) if behind else (record, made_up(30))
    diagnosis = diagnose(run)
    for panel in PANELS:
        for drawing in panel.draw(run, reference, diagnosis):
            if drawing.svg:
                ElementTree.fromstring(drawing.svg)
        assert panel.shows(run, diagnosis)
