"""Every signal of a watched run against its formula, computed from copies that other hooks kept."""

from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from model import HEALTHY, build
from model.config import change
from model.corpus import SEQUENCES
from probes import Inspector, Recorder, diagnose
from probes.record.signals import BY_NAME, SIGNALS
from probes.recording import data_audit
from probes.recording.hook_collector import SignalCollector
from probes.recording.watch import watched_steps

SHORT = replace(HEALTHY, steps=15, eval_every=2)
LAYERS = ("embed", "blocks.0", "blocks.1", "norm")


def collector(specimen, inspector, signals=SIGNALS):
    return SignalCollector(specimen, inspector, specimen.facts()["sites"], signals)


class CopiedStep:
    """Step 1 of a run, the first that evaluates: its readings, and copies of what passed each
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
            collected = collector(self.specimen, inspector)
            steps = self.specimen.steps()
            first = next(steps)
            collected.readings(first)
            self.previous = {name: value.copy() for name, value in first.params.items()}
            self.outputs.clear()
            self.step = next(steps)
            self.readings = collected.readings(self.step)

    def keep(self, name):
        def hook(module, args, kwargs, output):
            self.outputs[name, self.specimen.model.training].append((output.copy(), kwargs))

        return hook

    def keep_grad(self, name):
        def hook(param, grad):
            self.grads[name] = grad.copy()

        return hook


@pytest.fixture(scope="module")
def copied():
    return CopiedStep()


def test_every_signal_is_measured(copied):
    """At a step that evaluates, MiniGPT has a reading for each row of the table, except for
    `metric`, which only logs contain, for what proofs measure and for the audit of the data."""
    hooked = [s.name for s in SIGNALS if s.cadence != "proof" and s.name != data_audit.SIGNAL]
    assert [name for name in hooked if copied.readings[name] is None] == ["metric"]


def test_signals_of_evaluations_are_measured_at_evaluations_only():
    """The first step has no evaluation: only the signals of every step are measured."""
    specimen = build(SHORT)
    with Inspector(specimen.model, specimen.params) as inspector:
        readings = collector(specimen, inspector).readings(next(specimen.steps()))
    assert {s.name for s in SIGNALS if readings[s.name] is None} == {
        s.name for s in SIGNALS if s.cadence != "step" or s.name == data_audit.SIGNAL
    }


def test_activation_is_the_mean_magnitude_of_a_layers_output(copied):
    """Only the training batch counts, not the evaluation."""
    expected = {layer: np.abs(copied.outputs[layer, True][0][0]).mean() for layer in LAYERS}
    assert copied.readings["activation"] == pytest.approx(expected, rel=1e-5)


def layer_gradient(copied, layer):
    return np.concatenate(
        [g.ravel() for name, g in copied.grads.items() if name.startswith(layer + ".")]
    )


def test_layer_gradient_norms_add_up_to_the_norm_before_clipping(copied):
    """The squares of all layers sum to the square of `grad_norm`: no parameter is left out."""
    expected = {layer: np.linalg.norm(layer_gradient(copied, layer)) for layer in LAYERS}
    norms = copied.readings["grad_norm_by_layer"]
    assert norms == pytest.approx(expected, rel=1e-5)
    assert np.sqrt(sum(v**2 for v in norms.values())) == pytest.approx(
        copied.readings["grad_norm"], rel=1e-5
    )


def test_gradient_activation_ratio_is_rms_gradient_over_mean_magnitude(copied):
    """Layers of different sizes are comparable."""
    expected = {
        layer: np.sqrt((layer_gradient(copied, layer) ** 2).mean())
        / copied.readings["activation"][layer]
        for layer in LAYERS
    }
    assert copied.readings["grad_activation_ratio"] == pytest.approx(expected, rel=1e-5)


def test_update_weight_ratio_compares_the_update_with_the_weight_before_it(copied):
    """This is checked for every matrix. The weights before step 1 are those after step 0."""
    matrices = [n for n, w in copied.previous.items() if w.ndim == 2]
    expected = {
        n: np.linalg.norm(copied.step.params[n] - copied.previous[n])
        / np.linalg.norm(copied.previous[n])
        for n in matrices
    }
    assert copied.readings["update_weight_ratio"] == pytest.approx(expected, rel=1e-3)


def test_first_update_weight_ratio_uses_the_initial_weight():
    """Before step 0, the collector has not yet measured the norm of any weight."""
    specimen = build(SHORT)
    start = {name: p.data.copy() for name, p in specimen.params.items()}
    with Inspector(specimen.model, specimen.params) as inspector:
        collected = collector(specimen, inspector)
        step = next(specimen.steps())
        ratio = collected.readings(step)["update_weight_ratio"]["embed.weight"]
    moved = np.linalg.norm(step.params["embed.weight"] - start["embed.weight"])
    assert ratio == pytest.approx(moved / np.linalg.norm(start["embed.weight"]), rel=1e-4)


@pytest.mark.parametrize("mask", ["causal", "all-ones"])
def test_attention_entropy_is_averaged_over_queries_with_a_choice(mask):
    """-sum p ln p over ln(visible keys), computed one query at a time, without first positions and
    padding."""
    copied, entropies = CopiedStep(change(SHORT, "model.attention_mask", mask)), []
    for pattern, kwargs in copied.outputs["blocks.1.attn.pattern", False]:
        for row, head in zip(pattern[:, 2].astype(np.float64), kwargs["visible"], strict=True):
            for query in range(1, len(head)):
                if head[query].any():
                    p = row[query][head[query]]
                    entropies.append(-(p[p > 0] * np.log(p[p > 0])).sum() / np.log(len(p)))
    assert copied.readings["attention_entropy"]["blocks.1.attn.pattern.2"] == pytest.approx(
        np.mean(entropies), rel=1e-4
    )


@pytest.fixture(scope="module")
def second():
    """Readings of two evaluations without a training pass between them. Before the second, 16 of
    256 neurons are silenced in block 1 and attention is made even in block 0."""
    specimen = build(replace(SHORT, eval_every=1))
    weights = specimen.params.views(specimen.params.flat)
    with Inspector(specimen.model, specimen.params) as inspector:
        collected = collector(specimen, inspector)
        step = next(specimen.steps())
        collected.readings(step)
        weights["blocks.1.ffn.up.bias"][:16] = -50
        weights["blocks.0.attn.q.weight"][...] = 0
        specimen.evaluate(specimen.model)
        return collected.readings(step)


def test_dead_fraction_is_that_of_the_last_evaluation_alone(second):
    """Neurons that were alive in the evaluation before are dead now."""
    assert second["dead_fraction"] == {"blocks.0.ffn.up": 0.0, "blocks.1.ffn.up": 16 / 256}


def test_attention_entropy_is_that_of_the_last_evaluation_alone(second):
    """Attention that is even over all keys has an entropy of 1."""
    even = {f"blocks.0.attn.pattern.{head}": 1.0 for head in range(4)}
    assert {name: second["attention_entropy"][name] for name in even} == pytest.approx(
        even, abs=1e-5
    )


def test_outputs_of_a_training_pass_are_used_once(second):
    """Without another training pass no activation is measured; the gradients of the step still
    are."""
    names = ("activation", "grad_activation_ratio")
    assert {name: second[name] for name in names} == dict.fromkeys(names)
    assert set(second["nonfinite_count"]) == {"loss", *(f"{layer}.grad" for layer in LAYERS)}


def test_activation_covers_all_micro_batches_of_a_step():
    """Two training passes, of three rows and of one, are one batch of four rows."""
    specimen, outputs = build(SHORT), []
    with Inspector(specimen.model, specimen.params) as inspector:
        collected = collector(specimen, inspector)
        step = next(specimen.steps())
        collected.clear()
        inspector.register_output("norm", hook=lambda output: outputs.append(output.copy()))
        specimen.gradient_at(np.array([0, 1, 2]))
        specimen.gradient_at(np.array([3]))
        readings = collected.readings(step)
    assert readings["activation"]["norm"] == pytest.approx(
        np.abs(np.concatenate(outputs)).mean(), rel=1e-5
    )


def test_layer_with_a_parameter_that_is_not_trained_has_no_gradient_norm():
    """The norm of some parameters is not the layer's norm. The other layers have theirs, and the
    gradients that there are are counted."""
    specimen = build(SHORT)
    with Inspector(specimen.model, specimen.params) as inspector:
        collected = collector(specimen, inspector)
        step = next(specimen.steps())
        trained = {
            name: grad for name, grad in step.grads.items() if name != "blocks.0.norm1.scale"
        }
        readings = collected.readings(replace(step, grads=trained))
    assert set(readings["grad_norm_by_layer"]) == {"embed", "blocks.1", "norm"}
    assert readings["nonfinite_count"]["blocks.0.grad"] == 0


def test_nonfinite_values_are_counted_where_they_arise():
    """One NaN in the bias of block 1 makes every token of block 1 non-finite; block 0 stays
    finite."""
    specimen = build(change(SHORT, "model.dtype", "float64"))
    specimen.params.views(specimen.params.flat)["blocks.1.ffn.down.bias"][3] = np.nan
    with Inspector(specimen.model, specimen.params) as inspector:
        collected = collector(specimen, inspector)
        step = next(specimen.steps())
        counts = collected.readings(step)["nonfinite_count"]
    tokens = sum(len(SEQUENCES[i].text) - 1 for i in step.batch_ids)
    assert (counts["embed"], counts["blocks.0"], counts["blocks.1"]) == (0, 0, tokens)


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


def recorded(specimen, steps, between=lambda: None, signals=SIGNALS):
    """The record of the first steps of a run. `between` is called after each of them."""
    recorder = Recorder(**specimen.facts())
    with closing(watched_steps(specimen, recorder, signals)) as run:
        for _ in range(steps):
            next(run)
            between()
    return recorder.record


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
def test_diagnosis_names_the_site_where_values_first_were_not_finite(plant, site):
    """Sites are in the order of computation: layers forward, the loss, gradients backward."""
    specimen = build(SHORT)
    plant(specimen)
    diagnosis = diagnose(recorded(specimen, steps=2))
    (finding,) = [f for f in diagnosis.findings if f.symptom == "non-finite"]
    assert finding.site == site


def test_passes_of_the_caller_are_not_recorded():
    """A caller that computes logits, and a loss with its gradient, after every step does not change
    what is measured at evaluations and at training steps."""
    probed = build(SHORT)

    def compute():
        probed.logits(np.array([0, 1]))
        probed.gradient_at(np.array([0, 1]))

    record, plain = recorded(probed, 4, compute), recorded(build(SHORT), 4)
    for name in ("dead_fraction", "attention_entropy", "activation", "grad_activation_ratio"):
        np.testing.assert_array_equal(record.tables[name].values, plain.tables[name].values)


def test_neuron_that_is_alive_for_the_caller_only_is_dead():
    """The caller's forward pass between two steps is forgotten although no layer is hooked."""
    specimen = build(replace(SHORT, eval_every=1))
    weights = specimen.params.views(specimen.params.flat)

    def compute_and_silence():
        specimen.logits(np.arange(64))
        weights["blocks.1.ffn.up.bias"][:16] = -50

    record = recorded(specimen, 2, compute_and_silence, [BY_NAME["dead_fraction"]])
    assert record.column("dead_fraction", "blocks.1.ffn.up")[1] == 16 / 256


HOOKS = {
    "activation": 4,
    "grad_activation_ratio": 4,
    "nonfinite_count": 4,
    "dead_fraction": 2,
    "attention_entropy": 2,
    "future_attention": 2,
}
"""Number of hooks on MiniGPT, which has four layers and two blocks; 0 for other signals."""


def count_hooks(specimen):
    modules = [len(module.forward_hooks) for module in specimen.model.sites.values()]
    return sum(modules) + sum(len(param.backward_hooks) for param in specimen.params.values())


def test_signal_alone_needs_only_its_own_hooks_and_reads_the_same():
    """No other hook is attached. The value equals the one that is measured together with all other
    signals."""
    specimen, alone, attached = build(SHORT), {}, {}
    with Inspector(specimen.model, specimen.params) as inspector:
        for signal in SIGNALS:
            before = count_hooks(specimen)
            alone[signal.name] = collector(specimen, inspector, [signal])
            attached[signal.name] = count_hooks(specimen) - before
        together = collector(specimen, inspector)
        for step in islice(specimen.steps(), 2):
            readings = together.readings(step)
            for name, collected in alone.items():
                np.testing.assert_equal(collected.readings(step), {name: readings[name]})
    assert attached == {signal.name: HOOKS.get(signal.name, 0) for signal in SIGNALS}
