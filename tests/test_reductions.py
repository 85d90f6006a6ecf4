"""What arrays come to: what a watched run has, whatever they are made of, and a clear word where
they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from math import inf, nan, sqrt
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

from model import HEALTHY, build
from probes import Inspector, Record, Recorder, RecordError, watch
from probes.record.signals import UnknownSignalError
from probes.recording.reducers import detached

SHORT = replace(HEALTHY, steps=15, eval_every=5)
SECONDS_PER_SCALAR = 20e-6
"""The budget for logging one number."""
RNG = np.random.default_rng(0)
HANDED_OVER = (
    "grad_norm_by_layer",
    "activation",
    "grad_activation_ratio",
    "update_weight_ratio",
    "spectral_norm",
    "dead_fraction",
    "attention_entropy",
    "nonfinite_count",
)


class ByHand:
    """The specimen's own loop with hooks that hand arrays over, as anybody would in a loop of their
    own."""

    def __init__(self) -> None:
        self.specimen = build(SHORT)
        self.recorder, self.kinds = Recorder(), self.specimen.facts()["sites"]
        self.matrices = [name for name, kind in self.kinds.items() if kind == "matrix"]
        self.layers = [name for name, kind in self.kinds.items() if kind == "layer"]

    def record(self) -> Record:
        model, params = self.specimen.model, self.specimen.params
        with Inspector(model, params) as inspector:
            for site, kind in self.kinds.items():
                if kind != "matrix":
                    inspector.register_forward(
                        f"hand {site}", model.sites[site], self.hand_over(site, kind)
                    )
            for name in params:
                inspector.register_backward(f"hand {name}", params[name], self.hand_over_gradient)
            for step in self.before_and_after():
                self.recorder.log(step.index, loss=step.loss)
        return self.recorder.record

    def before_and_after(self) -> Any:
        before = {name: self.specimen.params[name].data.copy() for name in self.matrices}
        for step in self.specimen.steps():
            for name in self.matrices:
                self.recorder.update(name, before[name], step.params[name])
                if step.evaluation is not None:
                    self.recorder.weight(name, step.params[name])
                before[name] = step.params[name].copy()
            yield step

    def hand_over(self, site: str, kind: str) -> Callable[..., None]:
        def hook(_module: Any, _args: Any, kwargs: Any, output: Any) -> None:
            if kind == "layer" and self.specimen.model.training:
                self.recorder.activation(site, output)
            elif kind == "ffn" and not self.specimen.model.training:
                self.recorder.pre_activation(site, output)
            elif kind == "attention" and not self.specimen.model.training:
                self.recorder.attention(site, output, kwargs["visible"])

        return hook

    def hand_over_gradient(self, param: Any, grad: Any) -> None:
        name = param.name.removeprefix("hand ")
        self.recorder.gradient(
            next(layer for layer in self.layers if name.startswith(layer + ".")), grad
        )


@pytest.fixture(scope="module")
def pair() -> tuple[Record, Record]:
    """The same run, handed over and watched."""
    return ByHand().record(), watch(build(SHORT))


@pytest.mark.parametrize("signal", HANDED_OVER)
def test_what_is_handed_over_comes_to_what_is_watched(
    pair: tuple[Record, Record], signal: str
) -> None:
    """At every step and site; an update is told from two float32 matrices here, so a little less
    well."""
    by_hand, watched = pair
    assert set(by_hand.sites(signal)) == set(watched.sites(signal)) != set()
    for site in watched.sites(signal):
        close = pytest.approx(
            watched.column(signal, site), rel=1e-3 if "update" in signal else 1e-5, nan_ok=True
        )
        assert by_hand.column(signal, site) == close


def test_places_that_are_not_finite_stand_in_the_order_of_computation(
    pair: tuple[Record, Record],
) -> None:
    """Forward through the layers, the loss, the gradients: the first of them is the one to look
    at."""
    sites = pair[0].sites("nonfinite_count")
    assert sites[:5] == ("embed", "blocks.0", "blocks.1", "norm", "loss")
    assert all(site.endswith(".grad") for site in sites[5:])


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def logged(recorder: Recorder, signal: str, site: str) -> float:
    """What the next row holds."""
    recorder.log(len(recorder.record.steps))
    return float(recorder.record.column(signal, site)[-1])


def test_parts_of_an_activation_are_one(recorder: Recorder) -> None:
    """Micro-batches of different sizes."""
    whole = RNG.standard_normal((10, 4))
    recorder.activation("a", whole[:7])
    recorder.activation("a", whole[7:])
    assert logged(recorder, "activation", "a") == pytest.approx(np.abs(whole).mean())


def test_parts_of_a_gradient_are_one(recorder: Recorder) -> None:
    """A layer's parameters, given together or one by one; relative to the root of how many they
    are."""
    recorder.activation("a", np.full(8, -2.0))
    recorder.gradient("a", np.full(3, 2.0), np.full((2, 2), 1.0))
    recorder.gradient("a", np.full(9, 1.0))
    recorder.log(0)
    record = recorder.record
    assert record.column("grad_norm_by_layer", "a")[0] == pytest.approx(5.0)
    assert record.column("grad_activation_ratio", "a")[0] == pytest.approx(5 / sqrt(16) / 2)


def test_parts_of_an_evaluation_are_one(recorder: Recorder) -> None:
    """A neuron that speaks on one chunk is not dead; the means of chunks are weighted by their
    queries."""
    recorder.pre_activation("f", [[-9.0, -9.0], [-9.0, -4.0]])
    recorder.pre_activation("f", [[-9.0, 1.0]])
    recorder.pre_activation("f", [[-9.0, -9.0]])
    visible = np.tri(3, dtype=bool)
    even = visible / visible.sum(axis=1, keepdims=True)
    recorder.attention("p", even[None, None], visible)
    recorder.attention("p", np.broadcast_to(np.eye(3), (2, 1, 3, 3)), visible)
    recorder.log(0)
    assert recorder.record.column("dead_fraction", "f")[0] == 0.5
    assert recorder.record.column("attention_entropy", "p.0")[0] == pytest.approx(1 / 3)


def test_only_queries_with_a_choice_count(recorder: Recorder) -> None:
    """Of four: the first position, one that sees a single key, one with two keys of the same
    weight, and padding."""
    visible = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]], dtype=bool)
    weights = np.array([[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]])
    recorder.attention("p", weights[None, None], visible)
    assert logged(recorder, "attention_entropy", "p.0") == pytest.approx(1.0)


def test_what_is_visible_may_be_a_tensor(recorder: Recorder) -> None:
    """Of truth values, which stay what they are."""
    recorder.attention("p", np.full((1, 1, 2, 2), 0.5), Tensor(np.ones((2, 2), dtype=bool), size=1))
    assert logged(recorder, "attention_entropy", "p.0") == pytest.approx(1.0)


def test_attention_without_a_choice_is_not_measured(recorder: Recorder) -> None:
    """A chunk of padding; no warning of a division by zero."""
    recorder.attention("p", np.zeros((1, 1, 2, 2)), np.zeros((2, 2), dtype=bool))
    recorder.log(0)
    assert list(recorder.record.tables) == []


@pytest.mark.parametrize("silent", [True, False])
def test_gradient_of_a_layer_that_is_silent_or_was_not_seen_has_a_norm_alone(
    recorder: Recorder, silent: bool
) -> None:
    """There is no activation to be relative to."""
    if silent:
        recorder.activation("a", [0.0])
    recorder.gradient("a", [3.0, 4.0])
    recorder.log(0)
    assert recorder.record.column("grad_norm_by_layer", "a")[0] == 5.0
    assert recorder.record.sites("grad_activation_ratio") == ()


def test_update_is_relative_to_the_weight_before(recorder: Recorder) -> None:
    recorder.update("w", np.full((2, 2), 2.0), np.full((2, 2), 3.0))
    assert logged(recorder, "update_weight_ratio", "w") == pytest.approx(0.5)


def test_update_of_zeros_is_no_ratio(recorder: Recorder) -> None:
    """Nothing to be relative to: not measured, and no warning."""
    recorder.update("w", np.zeros((2, 2)), np.ones((2, 2)))
    recorder.log(0)
    assert recorder.record.sites("update_weight_ratio") == ()


def test_spectral_norm_is_the_largest_singular_value(recorder: Recorder) -> None:
    matrix = RNG.standard_normal((8, 5))
    recorder.weight("w", matrix)
    assert logged(recorder, "spectral_norm", "w") == pytest.approx(
        np.linalg.norm(matrix, 2), rel=1e-3
    )


def test_values_that_are_not_finite_are_counted(recorder: Recorder) -> None:
    """Of activations and gradients, summed over parts; the loss by the one value it is."""
    recorder.activation("a", [nan, 1.0, inf])
    recorder.activation("a", [nan, 1.0])
    recorder.gradient("a", [1.0], [nan, nan])
    recorder.log(0, loss=nan)
    counts = {
        site: recorder.record.column("nonfinite_count", site)[0] for site in ("a", "loss", "a.grad")
    }
    assert counts == {"a": 3, "loss": 1, "a.grad": 2}


def test_a_row_holds_what_came_since_the_row_before(recorder: Recorder) -> None:
    """Nothing is carried over."""
    recorder.activation("a", [1.0])
    recorder.log(0, loss=2.0)
    recorder.activation("b", [3.0])
    recorder.log(1, loss=1.0)
    columns = [recorder.record.column("activation", site).tolist() for site in "ab"]
    assert repr(columns) == "[[1.0, nan], [nan, 3.0]]"


def test_a_refused_row_keeps_what_was_handed_over(recorder: Recorder) -> None:
    """A name that is wrong can be put right."""
    recorder.activation("a", [1.0])
    with pytest.raises(UnknownSignalError):
        recorder.log(0, los=1.0)
    recorder.log(0, loss=1.0)
    assert recorder.record.column("activation", "a").tolist() == [1.0]


def test_an_array_that_changes_later_changes_nothing(recorder: Recorder) -> None:
    """No view is kept, of what is reduced at once or over several chunks."""
    array = np.full((1, 4), -5.0)
    weights, visible = np.full((1, 1, 2, 2), 0.5), np.ones((2, 2), dtype=bool)
    recorder.activation("a", array)
    recorder.pre_activation("f", array[0])
    recorder.attention("p", weights, visible)
    array[...], weights[...], visible[...] = 7.0, 1.0, False
    recorder.log(0)
    record = recorder.record
    assert (
        record.column("activation", "a")[0],
        record.column("dead_fraction", "f")[0],
        record.column("attention_entropy", "p.0")[0],
    ) == pytest.approx((5.0, 1.0, 1.0))


class Tensor:
    """As one of PyTorch's that is part of a graph: no array until it is detached, and none of a
    half-precision type."""

    def __init__(self, values: Any, size: int = 4, state: str = "in a graph") -> None:
        self.values, self.size, self.state = np.asarray(values), size, state

    def detach(self) -> Tensor:
        return Tensor(self.values, self.size, "on a device")

    def cpu(self) -> Tensor:
        assert self.state == "on a device"
        return Tensor(self.values, self.size, "here")

    def float(self) -> Tensor:
        return Tensor(self.values, 4, self.state)

    def is_floating_point(self) -> bool:
        return self.values.dtype.kind == "f"

    def element_size(self) -> int:
        return self.size

    def __array__(self, *_: Any, **__: Any) -> Any:
        if self.state != "here" or (self.is_floating_point() and self.size != 4):
            raise RuntimeError("this tensor is no array")
        return self.values


@pytest.mark.parametrize(
    "ones",
    [
        pytest.param([1, -1], id="list"),
        pytest.param(((1.0,), (-1.0,)), id="tuples"),
        pytest.param(np.array([1, -1], np.float16), id="float16"),
        pytest.param(np.array([1, -1], np.longdouble), id="longdouble"),
        pytest.param(np.array([True, True]), id="bool"),
        pytest.param(np.array(-1.0), id="scalar"),
        pytest.param(Tensor([1.0, -1.0]), id="tensor"),
        pytest.param(Tensor([1.0, -1.0], size=2), id="half-tensor"),
    ],
)
def test_whatever_makes_an_array_will_do(recorder: Recorder, ones: Any) -> None:
    """Lists, any real type, tensors in a graph or in half precision."""
    recorder.activation("a", ones)
    assert logged(recorder, "activation", "a") == 1.0


def test_large_half_precision_values_do_not_overflow(recorder: Recorder) -> None:
    """Their sum leaves float16 although none of them does."""
    recorder.activation("a", np.full(1000, 1000, np.float16))
    recorder.gradient("a", np.full(1000, 1000, np.float16))
    recorder.log(0)
    record = recorder.record
    assert (record.column("activation", "a")[0], record.column("nonfinite_count", "a.grad")[0]) == (
        1000,
        0,
    )


def test_a_tensor_is_logged_as_it_is(recorder: Recorder) -> None:
    """`log(step, loss=loss)`, without a word about graphs."""
    recorder.log(0, loss=Tensor(2.5))  # type: ignore[arg-type]
    assert recorder.record.column("loss").tolist() == [2.5]


WRONG: list[tuple[str, Callable[[Recorder], None], str]] = [
    (
        "none",
        lambda r: r.gradient("a", None),
        r"gradient 'a' is None; it must be an array of real numbers",
    ),
    ("nothing", lambda r: r.gradient("a"), r"gradient 'a' was given no array"),
    (
        "ragged",
        lambda r: r.activation("a", [[1.0], [1.0, 2.0]]),
        r"activation 'a' is .*; it must be an array of real",
    ),
    (
        "text",
        lambda r: r.activation("a", ["1.0"]),
        r"activation 'a' is \['1.0'\]; it must be an array of real numbers",
    ),
    (
        "complex",
        lambda r: r.activation("a", [1j]),
        r"activation 'a' is \[1j\]; it must be an array of real numbers",
    ),
    (
        "empty",
        lambda r: r.activation("a", np.ones((0, 3))),
        r"activation 'a' is empty, of shape \(0, 3\)",
    ),
    ("nameless", lambda r: r.activation("", [1.0]), "activation has no name"),
    (
        "vector",
        lambda r: r.weight("w", np.ones(3)),
        r"weight 'w' has shape \(3,\); it must be a matrix",
    ),
    (
        "grown",
        lambda r: r.update("w", np.ones((2, 2)), np.ones((3, 2))),
        r"'w' goes from shape \(2, 2\) to \(3, 2\)",
    ),
    (
        "flat",
        lambda r: r.attention("p", np.ones((2, 3, 3)), True),
        r"'p' has shape \(2, 3, 3\); it must have four",
    ),
    (
        "added",
        lambda r: r.attention("p", np.ones((1, 1, 2, 2)), np.zeros((2, 2))),
        "visible is of float64; it must be",
    ),
    (
        "misfit",
        lambda r: r.attention("p", np.ones((1, 1, 2, 2)), np.ones((3, 3), bool)),
        r"visible has shape \(3, 3\), which does not fit \(1, 2, 2\)",
    ),
]


@pytest.mark.parametrize(
    ("hand_over", "message"), [wrong[1:] for wrong in WRONG], ids=[wrong[0] for wrong in WRONG]
)
def test_what_does_not_fit_is_named(
    recorder: Recorder, hand_over: Callable[[Recorder], None], message: str
) -> None:
    """By the place, and nothing of it is in the next row."""
    with pytest.raises(RecordError, match=message):
        hand_over(recorder)
    recorder.log(0, loss=1.0)
    assert list(recorder.record.tables) == ["loss"]


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (
            lambda r: r.weight("w", np.eye(2)),
            lambda r: r.weight("w", np.eye(2)),
            "weight 'w' was handed over before",
        ),
        (
            lambda r: r.update("w", np.eye(2), np.eye(2)),
            lambda r: r.update("w", np.eye(2), np.eye(2)),
            "update 'w' was handed over before",
        ),
        (
            lambda r: r.pre_activation("f", np.ones((2, 3))),
            lambda r: r.pre_activation("f", np.ones((2, 1))),
            "'f' has 1 neurons and had 3",
        ),
        (
            lambda r: r.attention("p", np.ones((1, 2, 2, 2)), True),
            lambda r: r.attention("p", np.ones((1, 1, 2, 2)), True),
            "'p' has 1 heads and had 2",
        ),
        (
            lambda r: r.activation("a", [1.0]),
            lambda r: r.log(0, activation={"a": 1.0}),
            "activation is logged by hand, and arrays were handed over for it",
        ),
    ],
    ids=["weight", "update", "pre_activation", "attention", "log"],
)
def test_what_does_not_go_together_is_named(
    recorder: Recorder,
    first: Callable[[Recorder], None],
    then: Callable[[Recorder], None],
    message: str,
) -> None:
    first(recorder)
    with pytest.raises(RecordError, match=message):
        then(recorder)


@pytest.mark.parametrize(
    "value", [1.0, np.ones(2), {"a": 1.0}, [1.0]], ids=["float", "array", "mapping", "list"]
)
def test_what_is_no_tensor_stays_as_it_is(value: Any) -> None:
    assert detached(value) is value


@pytest.mark.benchmark(timer=process_time)
@pytest.mark.parametrize("scalars", [1, 5])
def test_a_scalar_is_logged_within_its_budget(benchmark: Any, tmp_path: Path, scalars: int) -> None:
    """Median row, written to disk, over the scalars in it: every step of any loop can afford
    that."""
    if benchmark.disabled:
        pytest.skip(
            "benchmarks are off here, as under pytest-xdist: run this test on its own, in one process"
        )
    names, steps = ("loss", "lr", "grad_norm", "train_loss", "val_loss")[:scalars], count()
    with Recorder(tmp_path / "run.jsonl") as recorder:

        def next_row() -> tuple[tuple[int], dict[str, float]]:
            step = next(steps)
            return (step,), dict.fromkeys(names, 4.0 / (step + 1))

        benchmark.pedantic(recorder.log, setup=next_row, rounds=2000, warmup_rounds=100)
    cost = benchmark.stats.stats.median / scalars
    benchmark.extra_info.update(seconds_per_scalar=cost, budget=SECONDS_PER_SCALAR)
    assert cost < SECONDS_PER_SCALAR
