"""Every signal of a watched run against its formula, computed again from copies that other hooks
kept."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from model import HEALTHY, build
from model.config import change
from model.corpus import SEQUENCES
from probes import Inspector, diagnose, watch
from probes.record.signals import BY_NAME, SIGNALS
from probes.recording.hook_collector import SignalCollector, mean_magnitude, norm

SHORT = replace(HEALTHY, steps=15, eval_every=5)
LAYERS = ("embed", "blocks.0", "blocks.1", "norm")


class Look:
    """Step 4 of a run, the first that evaluates: its readings, and copies of what passed each
    site."""

    def __init__(self, config=SHORT):
        self.specimen = build(config)
        self.outputs = defaultdict(list)
        self.grads = {}
        model, params = self.specimen.model, self.specimen.params
        with Inspector(model, params) as inspector:
            for name in model.sites:
                inspector.register_forward(f"copy {name}", model.sites[name], self.keep(name))
            for name in params:
                inspector.register_backward(f"copy {name}", params[name], self.keep_grad(name))
            seen = SignalCollector(self.specimen, inspector, self.specimen.facts()["sites"])
            for step in self.specimen.steps():
                self.before = (
                    {}
                    if step.index == 4
                    else {n: v.copy() for n, v in step.params.items()} or self.before
                )
                if step.index == 4:
                    break
                seen.readings(step)
                self.previous = self.before
                self.outputs.clear()
            self.step, self.readings = step, seen.readings(step)

    def keep(self, name):
        def hook(module, args, kwargs, output):
            self.outputs[name, self.specimen.model.training].append((output.copy(), kwargs))

        return hook

    def keep_grad(self, name):
        def hook(param, grad):
            self.grads[name] = grad.copy()

        return hook


@pytest.fixture(scope="module")
def look():
    return Look()


def test_every_row_of_the_table_is_measured(look):
    """At a step that evaluates, no signal of the specimen is missing."""
    assert [s.name for s in SIGNALS if look.readings[s.name] is None] == []


def test_signals_of_evaluation_cadence_are_measured_at_evaluations_only():
    """The others are measured at every step."""
    specimen = build(SHORT)
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"])
        readings = seen.readings(next(specimen.steps()))
    assert {s.name for s in SIGNALS if readings[s.name] is None} == {
        s.name for s in SIGNALS if s.cadence == "evaluation"
    }


def test_activation_is_the_mean_magnitude_of_a_layers_output(look):
    """On the training batch, not on the evaluation."""
    expected = {layer: np.abs(look.outputs[layer, True][0][0]).mean() for layer in LAYERS}
    assert look.readings["activation"] == pytest.approx(expected, rel=1e-5)


def layer_gradient(look, layer):
    return np.concatenate(
        [g.ravel() for name, g in look.grads.items() if name.startswith(layer + ".")]
    )


def test_layer_gradient_norms_are_those_before_clipping_and_add_up_to_the_run_s(look):
    """The squares of all layers make the square of the run's norm: nothing is left out, nothing is
    clipped."""
    expected = {layer: np.linalg.norm(layer_gradient(look, layer)) for layer in LAYERS}
    norms = look.readings["grad_norm_by_layer"]
    assert norms == pytest.approx(expected, rel=1e-5)
    assert np.sqrt(sum(v**2 for v in norms.values())) == pytest.approx(
        look.readings["grad_norm"], rel=1e-5
    )


def test_gradient_activation_ratio_is_rms_gradient_over_mean_magnitude(look):
    """Layers of different size stay comparable."""
    expected = {
        layer: np.sqrt((layer_gradient(look, layer) ** 2).mean())
        / look.readings["activation"][layer]
        for layer in LAYERS
    }
    assert look.readings["grad_activation_ratio"] == pytest.approx(expected, rel=1e-5)


def test_update_weight_ratio_compares_the_update_with_the_weight_before_it(look):
    """For every matrix; the weights before step 4 are those after step 3."""
    matrices = [n for n, w in look.previous.items() if w.ndim == 2]
    expected = {
        n: np.linalg.norm(look.step.params[n] - look.previous[n]) / np.linalg.norm(look.previous[n])
        for n in matrices
    }
    assert look.readings["update_weight_ratio"] == pytest.approx(expected, rel=1e-3)


def test_first_update_weight_ratio_knows_the_weight_before_the_first_step():
    """There is no step before step 0 to remember it from."""
    specimen = build(SHORT)
    start = {name: p.data.copy() for name, p in specimen.params.items()}
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"])
        step = next(specimen.steps())
        ratio = seen.readings(step)["update_weight_ratio"]["embed.weight"]
    moved = np.linalg.norm(step.params["embed.weight"] - start["embed.weight"])
    assert ratio == pytest.approx(moved / np.linalg.norm(start["embed.weight"]), rel=1e-4)


@pytest.mark.parametrize("mask", ["causal", "all-ones"])
def test_attention_entropy_is_averaged_over_queries_with_a_choice(mask):
    """-sum p ln p over ln(visible keys), one query at a time; first positions and padding left
    out."""
    look, entropies = Look(change(SHORT, "model.attention_mask", mask)), []
    for pattern, kwargs in look.outputs["blocks.1.attn.pattern", False]:
        for row, head in zip(pattern[:, 2].astype(np.float64), kwargs["visible"], strict=True):
            for query in range(1, len(head)):
                if head[query].any():
                    p = row[query][head[query]]
                    entropies.append(-(p[p > 0] * np.log(p[p > 0])).sum() / np.log(len(p)))
    assert look.readings["attention_entropy"]["blocks.1.attn.pattern.2"] == pytest.approx(
        np.mean(entropies), rel=1e-4
    )


def test_dead_fraction_counts_neurons_silent_on_every_token_of_the_evaluation():
    """Biases of 16 of 256 neurons pushed far down: exactly these are dead."""
    specimen = build(SHORT)
    specimen.params.views(specimen.params.flat)["blocks.1.ffn.up.bias"][:16] = -50
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"])
        for step in specimen.steps():
            readings = seen.readings(step)
            if readings["dead_fraction"]:
                break
    assert readings["dead_fraction"] == {"blocks.0.ffn.up": 0.0, "blocks.1.ffn.up": 16 / 256}


def test_neuron_that_speaks_on_one_chunk_of_the_evaluation_is_not_dead():
    """Silenced on the last chunk, not on all: a count over the last chunk alone would see it
    dead."""
    specimen, chunks = build(SHORT), []
    model, kinds = specimen.model, specimen.facts()["sites"]
    with Inspector(model, specimen.params) as inspector:
        inspector.register_forward(
            "copy", model.sites["blocks.0.ffn.up"], lambda *seen: chunks.append(seen[3].max(axis=0))
        )
        specimen.evaluate(model)
        neuron = int(np.argmax(np.max(chunks, axis=0) - chunks[-1]))
        middle = (np.max(chunks, axis=0) + chunks[-1])[neuron] / 2
        specimen.params.views(specimen.params.flat)["blocks.0.ffn.up.bias"][neuron] -= middle + 3
        chunks.clear()
        seen = SignalCollector(specimen, inspector, kinds)
        specimen.evaluate(model)
    assert chunks[-1][neuron] < -3 < np.max(chunks, axis=0)[neuron]
    assert seen.dead_fractions()["blocks.0.ffn.up"] == 0.0


@pytest.mark.parametrize(("highest", "dead"), [(-3.001, 1), (-2.999, 0)])
def test_neuron_is_dead_when_its_highest_pre_activation_is_below_minus_three(highest, dead):
    """Just under is dead, just above is not."""
    specimen, chunks = build(SHORT), []
    up = "blocks.0.ffn.up"
    with Inspector(specimen.model, specimen.params) as inspector:
        inspector.register_forward(
            "copy", specimen.model.sites[up], lambda *seen: chunks.append(seen[3].max(axis=0))
        )
        specimen.evaluate(specimen.model)
        specimen.params.views(specimen.params.flat)[f"{up}.bias"][7] += (
            highest - np.max(chunks, axis=0)[7]
        )
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"])
        specimen.evaluate(specimen.model)
    assert seen.dead_fractions()[up] == dead / 256


@pytest.fixture(scope="module")
def second():
    """Readings of an evaluation with other weights than the one before: 16 neurons silenced,
    attention made flat."""
    specimen = build(replace(SHORT, eval_every=1))
    weights = specimen.params.views(specimen.params.flat)
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"])
        step = next(specimen.steps())
        seen.readings(step)
        weights["blocks.1.ffn.up.bias"][:16] = -50
        weights["blocks.0.attn.q.weight"][...] = 0
        specimen.evaluate(specimen.model)
        return seen.readings(step)


def test_neuron_that_fell_silent_since_the_last_evaluation_is_dead(second):
    """What it said before is forgotten."""
    assert second["dead_fraction"] == {"blocks.0.ffn.up": 0.0, "blocks.1.ffn.up": 16 / 256}


def test_attention_entropy_is_that_of_the_last_evaluation_alone(second):
    """Without queries every visible key weighs the same, which is an entropy of 1."""
    flat = {f"blocks.0.attn.pattern.{head}": 1.0 for head in range(4)}
    assert {name: second["attention_entropy"][name] for name in flat} == pytest.approx(
        flat, abs=1e-5
    )


def test_what_only_a_training_pass_shows_is_not_measured_twice(second):
    """There was none between the two readings: nothing is left to count but what the step itself
    holds."""
    names = ("activation", "grad_activation_ratio")
    assert {name: second[name] for name in names} == dict.fromkeys(names)
    assert set(second["nonfinite_count"]) == {"loss", *(f"{layer}.grad" for layer in LAYERS)}


def test_a_layer_with_a_parameter_that_is_not_trained_has_no_gradient_norm():
    """Part of a norm is no norm; the other layers have theirs."""
    specimen = build(SHORT)
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"])
        step = next(specimen.steps())
        trained = {
            name: grad for name, grad in step.grads.items() if name != "blocks.0.norm1.scale"
        }
        readings = seen.readings(replace(step, grads=trained))
    assert set(readings["grad_norm_by_layer"]) == {"embed", "blocks.1", "norm"}


def test_nonfinite_values_are_counted_where_they_arise():
    """One NaN planted in block 1's bias: block 0 is clean, block 1 and what follows is not."""
    specimen = build(change(SHORT, "model.dtype", "float64"))
    specimen.params.views(specimen.params.flat)["blocks.1.ffn.down.bias"][3] = np.nan
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"])
        step = next(specimen.steps())
        counts = seen.readings(step)["nonfinite_count"]
    tokens = sum(len(SEQUENCES[i].text) - 1 for i in step.batch_ids)
    assert (counts["embed"], counts["blocks.0"], counts["blocks.1"]) == (0, 0, tokens)


def first_bad_site(plant):
    """Where the diagnosis says a value first was not finite, when `plant(specimen)` spoils one
    thing."""
    specimen = build(SHORT)
    plant(specimen)
    (finding,) = [f for f in diagnose(watch(specimen)).findings if f.symptom == "non-finite"]
    return finding.site


def bad_weight(name):
    def plant(specimen):
        specimen.params.views(specimen.params.flat)[name][0] = np.nan

    return plant


def bad_backward(specimen):
    backward = specimen.model.blocks[1].backward

    def spoiled(dy, cache):
        return backward(dy * np.float32(np.nan), cache)

    specimen.model.blocks[1].backward = spoiled


def bad_logits(specimen):
    forward = specimen.model.head.forward
    specimen.model.head.forward = lambda x: (forward(x)[0] * np.float32(np.inf), x)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("plant", "site"),
    [
        (bad_weight("blocks.1.ffn.down.bias"), "blocks.1"),
        (bad_weight("norm.scale"), "norm"),
        (bad_logits, "loss"),
        (bad_backward, "blocks.1.grad"),
    ],
)
def test_first_site_that_is_not_finite_is_the_one_where_it_began(plant, site):
    """In the order of computation: forward through the layers, the loss, back through the
    gradients."""
    assert first_bad_site(plant) == site


def test_forward_pass_between_two_steps_is_not_taken_for_an_evaluation():
    """Somebody asks the model for logits after every step: what is recorded stays the same."""
    quiet, probed = build(SHORT), build(SHORT)
    plain = watch(quiet)
    record = watch(probed, on_step=lambda *_: probed.logits(np.array([0, 1])))
    for name in ("dead_fraction", "attention_entropy"):
        np.testing.assert_array_equal(record.tables[name].values, plain.tables[name].values)


def test_norm_of_a_gradient_too_small_for_float32_squares_is_not_zero():
    """Tiny is not the same as dead."""
    assert norm(np.full(100, 1e-25, np.float32)) == pytest.approx(1e-24)


def test_mean_magnitude_whose_sum_leaves_float32_is_still_a_number():
    """A layer that blows up is the one to be seen."""
    assert mean_magnitude(np.full((100, 8), -1e38, np.float32)) == pytest.approx(1e38)


HOOKS = {
    "activation": 4,
    "grad_activation_ratio": 4,
    "nonfinite_count": 4,
    "dead_fraction": 3,
    "attention_entropy": 3,
}
"""Hooks on a specimen of two blocks, none for other signals. Beside sites of evaluations there is
one to forget by."""


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_signal_on_its_own_puts_on_the_hooks_it_needs_and_reads_the_same(look, signal):
    """No hook more, and the value it has beside all the others."""
    specimen = build(SHORT)
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, specimen.facts()["sites"], [signal])
        parts = [*specimen.model.sites.values(), *specimen.params.values()]
        attached = [
            h
            for part in parts
            for kind in ("forward", "backward")
            for h in getattr(part, f"{kind}_hooks", ())
        ]
        readings = [
            seen.readings(step) for step, _ in zip(specimen.steps(), range(5), strict=False)
        ]
    assert len(attached) == HOOKS.get(signal.name, 0)
    np.testing.assert_equal(readings[4], {signal.name: look.readings[signal.name]})


def test_forward_pass_between_two_steps_is_forgotten_when_no_layer_is_looked_at():
    """A neuron that spoke when somebody else asked, and is silent now, is dead."""
    specimen = build(replace(SHORT, eval_every=1))
    weights = specimen.params.views(specimen.params.flat)
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(
            specimen, inspector, specimen.facts()["sites"], [BY_NAME["dead_fraction"]]
        )
        steps = specimen.steps()
        seen.readings(next(steps))
        specimen.logits(np.arange(64))
        weights["blocks.1.ffn.up.bias"][:16] = -50
        assert seen.readings(next(steps))["dead_fraction"]["blocks.1.ffn.up"] == 16 / 256
