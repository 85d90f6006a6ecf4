"""Arrays that a loop hands to the recorder: signals by the formulas of a watched run, and an error
that names the place where an array does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from math import nan
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

from model import HEALTHY, build
from probes import Inspector, Record, Recorder, RecordError, watch
from probes.record.signals import UnknownSignalError
from probes.recording.arrays import detached
from probes.recording.reducers import FORMULAS

SHORT = replace(HEALTHY, steps=15, eval_every=5)
SECONDS_PER_SCALAR = 20e-6
"""The budget for logging one number."""


class LoopByHand:
    """MiniGPT's own loop, with hooks that hand arrays to a recorder as any loop may."""

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
            elif kind == "attention" and self.specimen.model.training:
                self.recorder.training_attention(site, output)
            elif kind == "attention":
                self.recorder.attention(site, output, kwargs["visible"])

        return hook

    def hand_over_gradient(self, param: Any, grad: Any) -> None:
        name = param.name.removeprefix("hand ")
        self.recorder.gradient(
            next(layer for layer in self.layers if name.startswith(layer + ".")), grad
        )


@pytest.fixture(scope="module")
def pair() -> tuple[Record, Record]:
    """The same run, recorded by hand and watched."""
    return LoopByHand().record(), watch(build(SHORT))


@pytest.mark.parametrize("signal", sorted(FORMULAS.keys() - {"unexplained_change"}))
def test_loop_that_hands_arrays_over_records_what_watch_records(
    pair: tuple[Record, Record], signal: str
) -> None:
    """The values agree at every step and site. An update is less exact here, because it is the
    difference of two float32 matrices."""
    by_hand, watched = pair
    assert set(by_hand.sites(signal)) == set(watched.sites(signal)) != set()
    for site in watched.sites(signal):
        close = pytest.approx(
            watched.column(signal, site), rel=1e-3 if "update" in signal else 1e-5, nan_ok=True
        )
        assert by_hand.column(signal, site) == close


def test_nonfinite_counts_are_in_the_order_of_computation(pair: tuple[Record, Record]) -> None:
    """Layers forward, the loss, gradients: the first site with a count is where it began."""
    sites = pair[0].sites("nonfinite_count")
    assert sites[:5] == ("embed", "blocks.0", "blocks.1", "norm", "loss")
    assert all(site.endswith(".grad") for site in sites[5:])


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def logged(recorder: Recorder, signal: str, site: str) -> float:
    """Log a row, and return the value of a signal at a site in this row."""
    recorder.log(len(recorder.record.steps))
    return float(recorder.record.column(signal, site)[-1])


def test_parameters_of_a_layer_may_come_together_or_one_by_one(recorder: Recorder) -> None:
    """All gradients of a layer are parts of one gradient."""
    recorder.gradient("a", np.full(3, 2.0), np.full((2, 2), 1.0))
    recorder.gradient("a", np.full(9, 1.0))
    assert logged(recorder, "grad_norm_by_layer", "a") == pytest.approx(5.0)


def test_update_is_computed_from_the_matrix_before_and_after(recorder: Recorder) -> None:
    """The ratio is the norm of their difference divided by the norm of the matrix before."""
    recorder.update("w", np.full((2, 2), 2.0), np.full((2, 2), 3.0))
    assert logged(recorder, "update_weight_ratio", "w") == pytest.approx(0.5)


def test_mask_may_be_a_tensor_of_bool(recorder: Recorder) -> None:
    """The mask is not converted to float."""
    recorder.attention("p", np.full((1, 1, 2, 2), 0.5), Tensor(np.ones((2, 2), dtype=bool), size=1))
    assert logged(recorder, "attention_entropy", "p.0") == pytest.approx(1.0)


def test_loss_that_is_not_finite_is_counted_between_layers_and_gradients(
    recorder: Recorder,
) -> None:
    """The recorder knows the loss when the row is logged, after the gradients."""
    recorder.activation("a", [1.0])
    recorder.gradient("a", [nan, nan])
    recorder.log(0, loss=nan)
    table = recorder.record.tables["nonfinite_count"]
    counts = list(zip(table.sites, table.values[0].tolist(), strict=True))
    assert counts[:3] == [("a", 0), ("loss", 1), ("a.grad", 2)]


def test_row_without_a_loss_counts_no_loss(recorder: Recorder) -> None:
    """A loss that was not logged was not seen to be finite."""
    recorder.activation("a", [1.0])
    recorder.log(0)
    assert recorder.record.sites("nonfinite_count") == ("a",)


def test_row_holds_what_was_handed_over_since_the_row_before(recorder: Recorder) -> None:
    """Arrays that were used for one row are not used for the next one."""
    recorder.activation("a", [1.0])
    recorder.log(0, loss=2.0)
    recorder.activation("b", [3.0])
    recorder.log(1, loss=1.0)
    columns = [recorder.record.column("activation", site).tolist() for site in "ab"]
    assert repr(columns) == "[[1.0, nan], [nan, 3.0]]"


def test_refused_row_keeps_what_was_handed_over(recorder: Recorder) -> None:
    """The row can be logged again without the error."""
    recorder.activation("a", [1.0])
    with pytest.raises(UnknownSignalError):
        recorder.log(0, los=1.0)
    recorder.log(0, loss=1.0)
    assert recorder.record.column("activation", "a").tolist() == [1.0]


def test_sizes_may_change_from_row_to_row(recorder: Recorder) -> None:
    """Only the parts of one row must agree."""
    for step, neurons in enumerate((3, 5)):
        recorder.pre_activation("f", np.full((2, neurons), -4.0))
        recorder.weight("w", np.eye(2))
        recorder.log(step)
    assert recorder.record.column("dead_fraction", "f").tolist() == [1.0, 1.0]


class Tensor:
    """Like a tensor of PyTorch that belongs to a graph: it becomes an array only when it is
    detached, and not in half precision."""

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
def test_any_real_array_is_accepted(recorder: Recorder, ones: Any) -> None:
    """The arrays are lists, arrays of any real type, and tensors in a graph or in half
    precision."""
    recorder.activation("a", ones)
    assert logged(recorder, "activation", "a") == 1.0


def test_sums_of_half_precision_values_do_not_overflow(recorder: Recorder) -> None:
    """The values fit float16, their sum does not."""
    recorder.activation("a", np.full(1000, 1000, np.float16))
    recorder.gradient("a", np.full(1000, 1000, np.float16))
    recorder.log(0)
    record = recorder.record
    assert (record.column("activation", "a")[0], record.column("nonfinite_count", "a.grad")[0]) == (
        1000,
        0,
    )


def test_loss_may_be_a_tensor(recorder: Recorder) -> None:
    """`log(step, loss=loss)` detaches it."""
    recorder.log(0, loss=Tensor(2.5))  # type: ignore[arg-type]
    assert recorder.record.column("loss").tolist() == [2.5]


WRONG: list[tuple[str, Callable[[Recorder], None], str]] = [
    (
        "none",
        lambda r: r.gradient("a", None),
        r"gradient 'a' is None; it must be an array of real numbers",
    ),
    ("nothing", lambda r: r.gradient("a"), r"gradient 'a' has no array"),
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
def test_array_that_does_not_fit_is_refused_by_name(
    recorder: Recorder, hand_over: Callable[[Recorder], None], message: str
) -> None:
    """The message names the place, and the next row holds nothing of the array."""
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
            r"'f' has 1 neurons \(last axis\); an earlier part of this row has 3",
        ),
        (
            lambda r: r.attention("p", np.ones((1, 2, 2, 2)), True),
            lambda r: r.attention("p", np.ones((1, 1, 2, 2)), True),
            r"'p' has 1 heads \(second axis\); an earlier part of this row has 2",
        ),
        (
            lambda r: r.activation("a", [1.0]),
            lambda r: r.log(0, activation={"a": 1.0}),
            "activation is logged by hand although arrays were handed over for it",
        ),
    ],
    ids=["weight", "update", "pre_activation", "attention", "log"],
)
def test_parts_that_do_not_agree_are_refused_by_name(
    recorder: Recorder,
    first: Callable[[Recorder], None],
    then: Callable[[Recorder], None],
    message: str,
) -> None:
    """The second part of one row contradicts the first."""
    first(recorder)
    with pytest.raises(RecordError, match=message):
        then(recorder)


@pytest.mark.parametrize(
    "value", [1.0, np.ones(2), {"a": 1.0}, [1.0]], ids=["float", "array", "mapping", "list"]
)
def test_value_that_is_not_a_tensor_is_not_converted(value: Any) -> None:
    """`detached` returns the same object."""
    assert detached(value) is value


@pytest.mark.benchmark(timer=process_time)
@pytest.mark.parametrize("scalars", [1, 5])
def test_number_is_logged_within_its_budget(benchmark: Any, tmp_path: Path, scalars: int) -> None:
    """The lowest time of a row that is written to disk, divided by the numbers in it. Unlike the
    median, it does not depend on the load of the machine."""
    if benchmark.disabled:
        pytest.skip("benchmarks are off here, as under pytest-xdist: run this test in one process")
    names, steps = ("loss", "lr", "grad_norm", "train_loss", "val_loss")[:scalars], count()
    with Recorder(tmp_path / "run.jsonl") as recorder:

        def next_row() -> tuple[tuple[int], dict[str, float]]:
            step = next(steps)
            return (step,), dict.fromkeys(names, 4.0 / (step + 1))

        benchmark.pedantic(recorder.log, setup=next_row, rounds=2000, warmup_rounds=100)
    cost = benchmark.stats.stats.min / scalars
    benchmark.extra_info.update(seconds_per_scalar=cost, budget=SECONDS_PER_SCALAR)
    assert cost < SECONDS_PER_SCALAR
