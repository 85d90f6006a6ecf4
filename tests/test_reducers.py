"""The formula of each signal on small arrays, and how the parts of one row are added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, nan, sqrt

import numpy as np
import pytest

from probes.record.signals import UnknownSignalError
from probes.recording.reducers import FORMULAS, Reducer, formula, norm

RNG = np.random.default_rng(0)
CAUSAL = np.tri(3, dtype=bool)
EVEN = CAUSAL / CAUSAL.sum(axis=1, keepdims=True)
"""Attention [Tq, Tk] that gives each visible key the same weight."""


@pytest.fixture
def reducer() -> Reducer:
    return Reducer()


def value(reducer: Reducer, signal: str, site: str) -> float:
    return reducer.readings(loss=None)[signal][site]


def test_activation_is_the_mean_magnitude(reducer: Reducer) -> None:
    """The mean is taken over all values, whatever the shape and the sign."""
    output = RNG.standard_normal((5, 3, 4))
    reducer.output("a", output)
    assert value(reducer, "activation", "a") == pytest.approx(np.abs(output).mean())


def test_activation_of_micro_batches_is_that_of_the_batch(reducer: Reducer) -> None:
    """Micro-batches of different sizes are weighted by their sizes."""
    batch = RNG.standard_normal((10, 4))
    reducer.output("a", batch[:7])
    reducer.output("a", batch[7:])
    assert value(reducer, "activation", "a") == pytest.approx(np.abs(batch).mean())


def test_activation_whose_sum_overflows_float32_is_finite(reducer: Reducer) -> None:
    """800 values of 1e38 sum to more than float32 can hold."""
    reducer.output("a", np.full((100, 8), -1e38, np.float32))
    assert value(reducer, "activation", "a") == pytest.approx(1e38)
    assert value(reducer, "nonfinite_count", "a") == 0


def test_gradient_norm_covers_all_parameters_of_a_layer(reducer: Reducer) -> None:
    """The gradients may be handed over together or one by one."""
    reducer.gradient("a", [np.full(3, 2.0), np.ones((2, 2))])
    reducer.gradient("a", [np.ones(9)])
    assert value(reducer, "grad_norm_by_layer", "a") == pytest.approx(5.0)


def test_norm_of_values_whose_squares_underflow_is_not_zero() -> None:
    """The square of 1e-25 is 0 in float32."""
    assert norm(np.full(100, 1e-25, np.float32)) == pytest.approx(1e-24)


def test_norm_of_values_whose_squares_overflow_is_finite() -> None:
    """The square of 1e25 is infinite in float32."""
    assert norm(np.full(100, 1e25, np.float32)) == pytest.approx(1e26)


def test_gradient_activation_ratio_is_rms_gradient_over_activation(reducer: Reducer) -> None:
    """The root mean square of the gradient, divided by the mean magnitude of the output."""
    reducer.output("a", np.full(8, -2.0))
    reducer.gradient("a", [np.full(12, 1.0), np.full(4, 2.0)])
    assert value(reducer, "grad_activation_ratio", "a") == pytest.approx(sqrt(28 / 16) / 2)


@pytest.mark.parametrize("output", [None, [0.0, 0.0]], ids=["no output", "output of zeros"])
def test_ratio_needs_an_activation_above_zero(reducer: Reducer, output: list[float] | None) -> None:
    """The norm of the gradient is measured all the same."""
    if output:
        reducer.output("a", np.array(output))
    reducer.gradient("a", [np.array([3.0, 4.0])])
    readings = reducer.readings(loss=None)
    assert readings["grad_norm_by_layer"] == {"a": 5.0}
    assert "grad_activation_ratio" not in readings


def test_layer_with_missing_gradients_has_no_norm_but_is_counted(reducer: Reducer) -> None:
    """A norm of some parameters would not compare with the layer's other steps."""
    reducer.output("a", np.ones(3))
    reducer.gradient("a", [np.array([1.0, nan])], whole=False)
    readings = reducer.readings(loss=None)
    assert readings["nonfinite_count"]["a.grad"] == 1
    assert not {"grad_norm_by_layer", "grad_activation_ratio"} & set(readings)


def test_update_is_relative_to_the_weight_before(reducer: Reducer) -> None:
    """The ratio is the norm of the update divided by the norm of the matrix before the step."""
    reducer.update("w", np.full((2, 2), 1.0), norm_before=4.0)
    assert value(reducer, "update_weight_ratio", "w") == pytest.approx(0.5)


def test_update_of_a_matrix_of_zeros_is_not_measured(reducer: Reducer) -> None:
    """Its norm cannot be divided by a norm of 0."""
    reducer.update("w", np.ones((2, 2)), norm_before=0.0)
    assert reducer.readings(loss=None) == {}


def test_spectral_norm_is_the_largest_singular_value(reducer: Reducer) -> None:
    """The value is within the tolerance of the power iteration."""
    matrix = RNG.standard_normal((8, 5))
    reducer.weight("w", matrix)
    assert value(reducer, "spectral_norm", "w") == pytest.approx(
        np.linalg.norm(matrix, 2), rel=1e-3
    )


@pytest.mark.parametrize(("highest", "dead"), [(-3.001, 1 / 2), (-2.999, 0.0)])
def test_neuron_is_dead_if_it_stays_below_minus_three(
    reducer: Reducer, highest: float, dead: float
) -> None:
    """A dead neuron stays below -3 on every token. The second neuron of this layer is alive."""
    reducer.pre_activation("f", np.array([[-9.0, 1.0], [highest, -9.0]]))
    assert value(reducer, "dead_fraction", "f") == dead


def test_neuron_that_is_active_on_one_chunk_is_alive(reducer: Reducer) -> None:
    """The position of that chunk in the evaluation does not matter. The first of two neurons is
    dead on all chunks."""
    for chunk in ([[-9.0, -9.0], [-9.0, -4.0]], [[-9.0, 1.0]], [[-9.0, -9.0]]):
        reducer.pre_activation("f", np.array(chunk))
    assert value(reducer, "dead_fraction", "f") == 0.5


def test_attention_entropy_is_weighted_by_queries(reducer: Reducer) -> None:
    """One row of even attention has entropy 1, two rows of sharp attention have entropy 0."""
    reducer.attention("p", EVEN[None, None], CAUSAL)
    reducer.attention("p", np.broadcast_to(np.eye(3), (2, 1, 3, 3)), CAUSAL)
    assert value(reducer, "attention_entropy", "p.0") == pytest.approx(1 / 3)


def test_attention_entropy_is_measured_for_each_head(reducer: Reducer) -> None:
    """The first of two heads is even, the second sharp."""
    reducer.attention("p", np.stack([EVEN, np.eye(3)])[None], CAUSAL)
    assert reducer.readings(loss=None)["attention_entropy"] == pytest.approx({"p.0": 1, "p.1": 0})


def test_only_queries_with_a_choice_count(reducer: Reducer) -> None:
    """The first position, a query that sees one key, and padding are left out. The third query has
    two keys of equal weight."""
    visible = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]], dtype=bool)
    weights = np.array([[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]])
    reducer.attention("p", weights[None, None], visible)
    assert value(reducer, "attention_entropy", "p.0") == pytest.approx(1.0)


def test_attention_without_a_choice_is_not_measured(reducer: Reducer) -> None:
    """A chunk of padding gives no value, and no warning of a division by zero."""
    reducer.attention("p", np.zeros((1, 1, 2, 2)), np.zeros((2, 2), dtype=bool))
    assert reducer.readings(loss=None) == {}


def test_nonfinite_values_are_counted_in_the_order_of_computation(reducer: Reducer) -> None:
    """Layers forward, the loss, gradients; counts of parts are added."""
    reducer.output("a", np.array([nan, 1.0, inf]))
    reducer.output("b", np.ones(2))
    reducer.output("a", np.array([nan, 1.0]))
    reducer.gradient("b", [np.ones(1), np.array([nan, nan])])
    reducer.gradient("a", [np.ones(1)])
    counts = reducer.readings(loss=nan)["nonfinite_count"]
    assert list(counts.items()) == [("a", 3), ("b", 0), ("loss", 1), ("b.grad", 2), ("a.grad", 0)]


def test_finite_loss_is_counted_as_zero(reducer: Reducer) -> None:
    """The loss has its place among the sites before it becomes non-finite."""
    reducer.output("a", np.ones(2))
    assert reducer.readings(loss=4.0)["nonfinite_count"] == {"a": 0, "loss": 0}


def test_future_attention_is_the_weight_on_keys_after_the_query(reducer: Reducer) -> None:
    """One head of two leaks: of its four queries, the second gives 0.4 to the last key."""
    weights = np.zeros((2, 2, 4, 4), np.float32)
    weights[..., 0] = 1
    weights[:, 1, 1] = [0.5, 0.1, 0, 0.4]
    reducer.training_attention("p", weights)
    assert reducer.readings(loss=None)["future_attention"] == pytest.approx(
        {"p.0": 0, "p.1": 0.4 / 4}
    )


def test_future_attention_of_few_queries_over_many_keys(reducer: Reducer) -> None:
    """The last query stands at the last key, as with keys that were kept from earlier tokens."""
    reducer.training_attention("p", np.full((1, 1, 2, 4), 0.25))
    assert reducer.readings(loss=None)["future_attention"] == pytest.approx({"p.0": 0.125})


HAND_OVER: Mapping[str, Callable[[Reducer], None]] = {
    "output": lambda r: r.output("a", np.ones(2)),
    "gradient": lambda r: r.gradient("a", [np.ones(2)]),
    "update": lambda r: r.update("w", np.eye(2), 1.0),
    "change": lambda r: r.change("w", np.eye(2), np.eye(2)),
    "weight": lambda r: r.weight("w", np.eye(2)),
    "pre_activation": lambda r: r.pre_activation("f", np.ones((2, 3))),
    "attention": lambda r: r.attention("p", EVEN[None, None], CAUSAL),
    "training_attention": lambda r: r.training_attention("p", EVEN[None, None]),
}


@pytest.mark.parametrize("kind", HAND_OVER)
def test_nothing_is_kept_for_the_next_row(reducer: Reducer, kind: str) -> None:
    """After `clear` the reducer is empty."""
    assert reducer.empty
    HAND_OVER[kind](reducer)
    assert not reducer.empty
    reducer.clear()
    assert reducer.empty
    assert reducer.readings(loss=1.0) == {}


@pytest.mark.parametrize("signal", FORMULAS)
def test_reducer_of_one_signal_computes_that_one(signal: str) -> None:
    """It uses only arrays of the kinds in `kinds`, and computes no other signal."""
    reducer = Reducer([signal])
    for kind in HAND_OVER:
        if kind not in reducer.kinds:
            HAND_OVER[kind](reducer)
    assert reducer.empty
    for kind in reducer.kinds - {"loss"}:
        HAND_OVER[kind](reducer)
    assert list(reducer.readings(loss=1.0)) == [signal]


def test_changing_an_array_later_changes_nothing(reducer: Reducer) -> None:
    """The reducer keeps no view of an array that was handed over."""
    values, weights, visible = np.full((1, 4), -5.0), EVEN[None, None].copy(), CAUSAL.copy()
    reducer.output("a", values)
    reducer.pre_activation("f", values[0])
    reducer.attention("p", weights, visible)
    values[...], weights[...], visible[...] = 7.0, 0.0, False
    readings = reducer.readings(loss=None)
    assert readings["activation"] == {"a": 5.0}
    assert readings["dead_fraction"] == {"f": 1.0}
    assert readings["attention_entropy"] == pytest.approx({"p.0": 1.0})


def test_formula_of_an_unknown_signal_is_refused() -> None:
    """A misspelt name is an error at import, with the nearest signal."""

    def activatoin() -> dict[str, float]:
        return {}

    with pytest.raises(UnknownSignalError, match="did you mean 'activation'"):
        formula()(activatoin)
