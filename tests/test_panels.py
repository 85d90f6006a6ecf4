"""The seven panels: what each draws of a run, and what it says about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from probes.diagnosis.diagnose import diagnose
from probes.panels import PANELS
from probes.panels.gradient_norm import spikes
from probes.panels.panel import Drawing, Panel
from probes.panels.regular_irregular import tax
from probes.panels.site_lines import encode, grouped, shortest
from probes.record import Record
from probes.record.signals import BY_NAME
from testing.long_runs import HEADS, MATRICES, made_up
from tests.records import hand_made, sound

BY_KEY = {panel.key: panel for panel in PANELS}
SECOND_VIEWS = {
    "lr": "Update / weight",
    "activations": "Gradient / activation",
    "dead": "Attention entropy",
    "classes": "Compositional tenses",
}
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


def test_the_panels_stand_in_the_order_of_their_questions() -> None:
    """From whether it learns to what it learns first."""
    assert [panel.title for panel in PANELS] == [
        "Loss", "Learning rate", "Gradient norm", "Activations", "Spectral norm", "Dead units",
        "Regular and irregular verbs",
    ]  # fmt: skip


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_a_panel_asks_a_question_and_says_what_healthy_looks_like(panel: Panel) -> None:
    """And draws nothing but signals of the table."""
    assert panel.question.endswith("?")
    assert panel.look_for.endswith(".")
    assert set(panel.signals) <= set(BY_NAME)


def test_some_panels_have_a_second_view() -> None:
    """Two at most."""
    assert {p.key: p.views[1].name for p in PANELS if len(p.views) > 1} == SECOND_VIEWS
    assert max(len(panel.views) for panel in PANELS) == 2


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_every_view_of_a_whole_record_is_drawn(panel: Panel) -> None:
    """As well-formed SVG, with ids of its own."""
    drawings = panel.draw(made_up(60), None, None, "run-a")
    ids = [ElementTree.fromstring(drawing.svg).get("id") for drawing in drawings]
    assert ids == [f"run-a-{panel.key}-{index}" for index in range(len(panel.views))]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_the_reference_is_drawn_behind_every_view(panel: Panel) -> None:
    """As lines, or as one band where there are many."""
    run, reference = made_up(60), made_up(60, seed=1)
    for drawing in panel.draw(run, reference, None):
        assert groups(drawing, "reference") >= 1
    for drawing in panel.draw(run, None, None):
        assert groups(drawing, "reference") == 0


def test_a_longer_reference_is_drawn_as_far_as_the_run_goes() -> None:
    """The run's own steps fill the chart."""
    (drawing,) = draw("gradient", made_up(30), made_up(900))
    assert [int(line.steps[-1]) for line in drawing.plot.reference] == [29]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_what_was_not_recorded_is_said(panel: Panel) -> None:
    """By name, and nothing is drawn in its place."""
    empty = hand_made({})
    assert [drawing.svg for drawing in panel.draw(empty, None, None)] == [""] * len(panel.views)
    assert panel.shows(empty, None) == f"Not recorded: {', '.join(panel.signals)}."


def test_one_missing_signal_is_said_beside_those_that_are_there() -> None:
    """A log without validation still has a loss."""
    said = shows("loss", hand_made({"loss": [3.0, 2.0]}))
    assert "batch 3 → 2" in said
    assert "Not recorded: train_loss, val_loss." in said


def test_the_loss_is_set_against_the_ladder() -> None:
    """Baseline and floors are levels on the chart; the sentence does the subtraction."""
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
def test_the_unit_of_a_loss_is_said_as_far_as_it_is_known(facts: dict[str, Any], unit: str) -> None:
    """Somebody else's log may hold any loss, a squared error for one."""
    run = hand_made({"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]}, **facts)
    (drawing,) = draw("loss", run)
    assert drawing.plot.unit == unit
    assert ("nats" in shows("loss", run)) == (unit != "loss")


def test_the_best_steps_are_a_span_or_one_step() -> None:
    """Where validation was within 1 % of its lowest; a span of one step is that step."""
    steep = hand_made(
        {"loss": [1.0] * 9, "val_loss": [9.0, 5.0, 2.0, 1.0, 0.1, 1.0, 2.0, 5.0, 9.0]}
    )
    flat = hand_made({"loss": [1.0] * 9, "val_loss": [9.0, 5.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]})
    windows = [BY_KEY["loss"].views[0].plot(run, None).window for run in (steep, flat)]
    assert [window and window.label for window in windows] == ["best: 4", "best: 5-6"]


def test_a_validation_loss_below_its_floor_is_said_to_be_there() -> None:
    """No honest model gets there."""
    ladder = {"val": {"floor": 0.14, "ngram": 1.24}}
    assert "0.13 below the floor 0.14" in shows(
        "loss", hand_made({"val_loss": [1.0, 0.01]}, ladder=ladder)
    )


def test_a_validation_loss_that_rose_again_is_said_to_have_been_lower() -> None:
    """With the step."""
    said = shows("loss", hand_made({"val_loss": [3.0, 0.9, 1.4]}))
    assert "its lowest was 0.9 at step 1" in said


@pytest.mark.parametrize(
    "ladder", ["a string", {"val": 3}, {"val": {"ngram": "x"}}, {"val": {"ngram": NAN}}, None]
)
def test_facts_that_make_no_sense_are_left_out(ladder: Any) -> None:
    """Other people's logs say what they like."""
    run = hand_made({"val_loss": [3.0, 0.9]}, ladder=ladder, clip_norm="yes", vocab_size=[])
    assert draw("loss", run)[0].plot.levels == ()
    assert "baseline" not in shows("loss", run)


def test_without_full_split_losses_the_batch_loss_is_smoothed() -> None:
    """With them it is not: two lines for one thing are one too many."""
    assert [line.label for line in draw("loss", hand_made({"loss": [3.0, 2.0]}))[0].plot.lines] == [
        "batch", "batch, moving average",
    ]  # fmt: skip
    assert [line.label for line in draw("loss", made_up(30))[0].plot.lines] == [
        "batch",
        "train",
        "validation",
    ]


def test_the_learning_rate_tells_its_start_its_peak_and_its_end() -> None:
    """And what was declared."""
    said = shows("lr", hand_made({"lr": [0.001, 0.02, 0.002]}, schedule="warmup-cosine"))
    assert (
        "starts at 0.001, peaks at 0.02 (step 1), ends at 0.002; declared: warmup-cosine." in said
    )


def test_the_first_update_is_told() -> None:
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


def test_spikes_are_marked_where_they_are_and_nowhere_else() -> None:
    """Above three sigma of the hundred steps before; a point within three sigma is none."""
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
def test_no_spike_is_marked_where_there_is_none(norms: list[float]) -> None:
    """Steady, constant, falling, and too short to tell."""
    assert len(spikes(np.arange(len(norms)), np.array(norms))[0]) == 0


def test_spikes_survive_values_of_any_size_and_failures() -> None:
    """A failed step is no spike and spoils no window."""
    norms = np.array(steady(s60=5.0)) * 1e300
    norms[40] = INF
    assert spikes(np.arange(120), norms)[0].tolist() == [60]


def test_a_window_forgets_after_a_hundred_steps() -> None:
    """A storm at the start hides no spike later on."""
    rng = np.random.default_rng(0)
    norms = np.concatenate([rng.uniform(0, 100, 50), rng.uniform(0.9, 1.1, 250)])
    norms[200] = 2.0
    assert 200 in spikes(np.arange(300), norms)[0]
    assert 200 not in spikes(np.arange(200, 300), norms[200:])[0]


def test_clipping_is_counted() -> None:
    """At how many steps the threshold was passed."""
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
def test_one_line_per_site(key: str, view: int, signal: str) -> None:
    """With that site's own values."""
    run = hand_made({signal: {"a": [0.1, 0.2], "b": [0.3, 0.4]}})
    drawing = draw(key, run)[view]
    assert (values(drawing, "a"), values(drawing, "b")) == ([0.1, 0.2], [0.3, 0.4])
    assert groups(drawing, "line") == 2


def test_the_extremes_of_a_panel_are_named() -> None:
    """Who is highest and lowest at the end, and who ever was."""
    run = hand_made({"spectral_norm": {"a.q": [1.0, 2.0, 2.0], "a.k": [1.0, 9.0, 3.0]}})
    assert (
        shows("spectral", run)
        == "largest singular value ends at 2 (a.q) to 3 (a.k); highest 9 at step 1 (a.k)."
    )


def test_dead_neurons_are_a_share_on_an_axis_from_zero() -> None:
    """And heads lie between stuck and even."""
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
    """At the steps at which both were measured."""
    run = hand_made({"val_loss_by_class": CLASSES}, ladder={"val": {"class_baseline": 1.9}})
    drawing = draw("classes", run)[0]
    assert values(drawing, "tax") == [0.0, 1.5, 1.5]
    assert [level.value for level in drawing.plot.levels] == [1.9]
    assert "regular 3 → 0.5; irregular 3 → 2; mean tax of the last quarter 1.5" in shows(
        "classes", run
    )


def test_the_tax_waits_for_both_classes() -> None:
    """A step with one of them has none."""
    run = hand_made(
        {"val_loss_by_class": {"regular": [1.0, None, 2.0], "irregular": [None, 2.0, 5.0]}}
    )
    difference = tax(run, "val_loss_by_class")
    assert (difference.steps.tolist(), difference.values.tolist()) == ([2], [3.0])


def test_the_second_view_is_of_the_compositional_tenses_alone() -> None:
    """With a tax of its own."""
    run = hand_made(
        {"val_loss_by_class_compositional": {"regular": [1.0, 0.5], "irregular": [1.0, 0.75]}}
    )
    all_tenses, compositional = draw("classes", run)
    assert all_tenses.svg == ""
    assert values(compositional, "tax") == [0.0, 0.25]


def test_what_cannot_be_inferred_is_said() -> None:
    """The gap is no fault of the training."""
    assert re.search(
        r"went and written occur in no other cell.*cannot\s+be inferred", BY_KEY["classes"].look_for
    )


def test_training_rows_are_drawn_thin() -> None:
    """What is learned there, beside what carries over."""
    drawing = draw(
        "classes", hand_made({"val_loss_by_class": CLASSES, "train_loss_by_class": CLASSES})
    )[0]
    assert [line.label for line in drawing.plot.lines if line.role == "thin"] == [
        "regular, training rows", "irregular, training rows",
    ]  # fmt: skip
    assert groups(drawing, "thin") >= 2


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_long_runs_keep_few_points(panel: Panel) -> None:
    """Five hundred of a series there is one of, a hundred of the others, at 8,000 steps."""
    for drawing in panel.draw(made_up(8000, every=3), None, None):
        root = ElementTree.fromstring(drawing.svg)
        counts = [len(str(one.get("data-v")).split()) for one in root.iter() if one.get("data-v")]
        single = panel.key in ("loss", "gradient") or (panel.key == "lr" and len(counts) == 1)
        assert max(counts) <= (500 if single else 100)
        assert min(counts) >= (300 if single else 60)


def test_a_failed_step_of_a_run_is_marked_and_told() -> None:
    """An infinite loss, and a loss that was NaN, which in a record is a count beside an empty
    cell."""
    run = hand_made({"loss": [3.0, INF, 2.0, NAN, 1.0]})
    (drawing,) = draw("loss", run)
    assert drawing.plot.lost() == [(1, 2), (3, 4)]
    assert groups(drawing, "lost") == 2
    assert "Not finite: loss from step 1 (2 of 5 values)." in shows("loss", run)


def test_a_failed_layer_is_marked_in_its_panel() -> None:
    """The count of non-finite values at a site is the failure of that site's measurements."""
    run = hand_made(
        {
            "activation": {"embed": [1.0, 1.0, 1.0], "blocks.0": [1.0, None, None]},
            "nonfinite_count": {"blocks.0": [0.0, 7.0, 7.0]},
        }
    )
    drawing = draw("activations", run)[0]
    assert drawing.plot.lost() == [(1, 2)]
    assert "Not finite: activation from step 1 (2 of 6 values)." in shows("activations", run)


def test_evaluations_that_lie_apart_are_no_failures() -> None:
    """NaN alone means not measured."""
    run = hand_made({"loss": [3.0] * 9, "val_loss": [None, None, 3.0] * 3})
    assert draw("loss", run)[0].plot.lost() == []
    assert "Not finite" not in shows("loss", run)


def test_a_finding_is_marked_in_the_panel_it_concerns() -> None:
    """With its step; other panels stay as they are, and so does every panel without a diagnosis."""
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
def test_a_value_that_is_not_finite_is_marked_where_it_arose(
    signals: Any, site: str, panels: set[str]
) -> None:
    """By site, and not in all seven panels."""
    run = hand_made(signals)
    diagnosis = diagnose(run)
    said = {
        panel.key
        for panel in PANELS
        if f"Found: non-finite at {site}, step 1" in panel.shows(run, diagnosis)
    }
    assert said == panels


def test_the_diagnosis_changes_nothing_in_a_chart_but_its_marks() -> None:
    """So that a page can be drawn that gives nothing away."""
    run = made_up(60)
    told = replace(diagnose(run), findings=())
    for panel in PANELS:
        assert [one.svg for one in panel.draw(run, None, told)] == [
            one.svg for one in panel.draw(run, None, None)
        ]


def test_many_sites_are_cut_to_the_extreme_ones() -> None:
    """And the reader is told."""
    signals = {"spectral_norm": {f"layer.{i}.w": [1.0 + (i * 7 % 300), 1.0] for i in range(300)}}
    (drawing,) = draw("spectral", hand_made(signals))
    assert drawing.plot.note == "24 of 300 are drawn: the highest and the lowest."
    assert max(line.values.max() for line in drawing.plot.lines) == 300
    assert groups(drawing, "line") == 24


def test_the_same_kind_of_matrix_has_the_same_colour_in_every_layer() -> None:
    """And the same layer the same dash."""
    codes = dict(zip(names := shortest(MATRICES), encode(names), strict=True))
    assert codes["blocks.0.attn.q"][0] == codes["blocks.1.attn.q"][0]
    assert codes["blocks.0.attn.q"][1] == codes["blocks.0.ffn.up"][1] != codes["blocks.1.ffn.up"][1]
    assert len(set(codes.values())) == len(MATRICES)


def test_of_many_layers_and_few_kinds_the_layers_take_the_colours() -> None:
    """Each of six layers looks the same in both of its matrices."""
    codes = encode([f"h.{i}.{kind}" for i in range(6) for kind in ("attn", "mlp")])
    assert [colour for colour, _ in codes] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [dash for _, dash in codes] == [0, 1] * 6


def test_sites_are_grouped_by_layer_with_what_they_share() -> None:
    """A legend says it once."""
    assert grouped(HEADS)[4:6] == [("blocks.1.attn.pattern", "0"), ("blocks.1.attn.pattern", "1")]
    assert grouped(("embed", "blocks.0.attn.q", "blocks.0.ffn.up")) == [
        ("", "embed"), ("blocks.0", "attn.q"), ("blocks.0", "ffn.up"),
    ]  # fmt: skip


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
    """Alone, and as the reference of a sound one."""
    record = HOSTILE[name]
    run, reference = (made_up(30), record) if behind else (record, made_up(30))
    diagnosis = diagnose(run)
    for panel in PANELS:
        for drawing in panel.draw(run, reference, diagnosis):
            if drawing.svg:
                ElementTree.fromstring(drawing.svg)
        assert panel.shows(run, diagnosis)
