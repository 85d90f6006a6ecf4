"""The matrix products of a training step, recorded while the step runs and computed again alone.

A second copy of `model` trains on arrays that record every `np.matmul` and `@` they take part in,
so there is no list of shapes that could become outdated. The replay reads the same memory as the
step, filled with ordinary numbers (training may leave denormal ones, whose arithmetic is slow), and
writes with the strides of the step.

A product with a vector, or with a matrix of zeros and ones, is a sum or a selection in the form of
a product. The architecture does not need it as a product, so it is left out, which lowers the time
that a step is compared with."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.rows import ROW_LENGTHS, use_longest_rows
from model import Config

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int64]

MIN_SCRATCH = 8 << 20
"""Smallest size of the memory for results, in bytes: enough for huge pages, as in the step."""
CACHE_LINE = 64
"""Bytes."""
ALLOCATORS = ("empty", "zeros", "ones", "arange")
"""Functions of NumPy whose arrays are made to record their products."""


class Product(NamedTuple):
    """A product to compute: out = a @ b."""

    a: Array
    b: Array
    out: Array

    @property
    def flops(self) -> int:
        return 2 * prod(self.out.shape) * int(self.a.shape[-1])


class RecordedStep(NamedTuple):
    """Everything that is needed to take the same step elsewhere."""

    batch_ids: Ids
    lr: float
    products: list[Product]


class MissingProductsError(RuntimeError):
    """A recorded step has fewer operations than the architecture needs."""


class Call(NamedTuple):
    """A recorded call of `np.matmul`. `out` is None where NumPy allocates the result."""

    a: Array
    b: Array
    out: Array | None

    def layout(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape and strides of the result. NumPy allocates results row after row."""
        if self.out is not None:
            return self.out.shape, self.out.strides
        batch = np.broadcast_shapes(self.a.shape[:-2], self.b.shape[:-2])
        shape = (*batch, self.a.shape[-2], self.b.shape[-1])
        return shape, tuple(prod(shape[i + 1 :]) * self.a.itemsize for i in range(len(shape)))

    def nbytes(self) -> int:
        """Number of bytes from the first to the last element of the result."""
        last = sum((n - 1) * stride for n, stride in zip(*self.layout(), strict=True))
        return self.a.itemsize + last


class RecordingArray(np.ndarray):
    """An array that records its matrix products; every array computed from it does the same."""

    calls: ClassVar[list[Call]] = []

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out: tuple[Any, ...] = kwargs.pop("out", ())
        inputs, plain_out = tuple(map(_plain, inputs)), tuple(map(_plain, out))
        if ufunc is np.matmul and _is_product(*inputs):
            self.calls.append(Call(*inputs, *(plain_out or (None,))))
        kwargs = {name: _plain(value) for name, value in kwargs.items()}
        if out:
            getattr(ufunc, method)(*inputs, **kwargs, out=plain_out)
            return out[0]
        result = getattr(ufunc, method)(*inputs, **kwargs)
        return result.view(RecordingArray) if isinstance(result, np.ndarray) else result


def record(config: Config, steps: int, longest_rows: bool = False) -> list[RecordedStep]:
    """Record the first steps of a run, on the longest rows only if asked for.

    Raises MissingProductsError when a step has fewer operations than its weights need."""
    recorded = []
    scratch = _grown(np.empty(0, np.uint8), MIN_SCRATCH)
    calls = RecordingArray.calls
    with _recording_model() as build:
        specimen = build(config)
        if longest_rows:
            use_longest_rows(specimen)
        run = specimen.steps()
        for _ in range(steps):
            calls.clear()
            step = next(run)
            scratch = _grown(scratch, max((call.nbytes() for call in calls), default=0))
            products = [Product(call.a, call.b, _result_in(scratch, call)) for call in calls]
            _check_complete(products, config, int(ROW_LENGTHS[step.batch_ids].sum()))
            recorded.append(RecordedStep(step.batch_ids, step.lr, products))
        calls.clear()
    _fill_with_ordinary_numbers(product for step in recorded for product in step.products)
    return recorded


def replay(products: Sequence[Product]) -> None:
    for a, b, out in products:
        np.matmul(a, b, out=out)


@contextmanager
def _recording_model() -> Iterator[Callable[[Config], Any]]:
    """Import `model` a second time, with a NumPy whose arrays record their products, and yield its
    `build`. The first copy of `model` is not changed."""
    original = {name: sys.modules.pop(name) for name in _model_modules()}
    try:
        build = importlib.import_module("model").build
        for name in _model_modules():
            if getattr(sys.modules[name], "np", None) is np:
                vars(sys.modules[name])["np"] = _RecordingNumPy("numpy")
        yield build
    finally:
        for name in _model_modules():
            del sys.modules[name]
        sys.modules.update(original)


def _model_modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "model"]


class _RecordingNumPy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if name not in ALLOCATORS:
            return function
        return lambda *args, **kwargs: function(*args, **kwargs).view(RecordingArray)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, RecordingArray) else value


def _is_product(a: Array, b: Array) -> bool:
    """Neither operand is a vector or consists of zeros and ones."""
    return min(a.ndim, b.ndim) >= 2 and not any(
        ((each == 0) | (each == 1)).all() for each in (a, b)
    )


def _fill_with_ordinary_numbers(products: Iterable[Product]) -> None:
    """Write normal deviates into all memory that products read. The recording model does not need
    its contents any more."""
    rng, roots = np.random.default_rng(0), dict[int, tuple[Array, np.dtype[Any]]]()
    for product in products:
        for operand in (product.a, product.b):
            root = operand
            while isinstance(root.base, np.ndarray):
                root = root.base
            roots[id(root)] = root, operand.dtype
    for root, dtype in roots.values():
        whole = root.nbytes // dtype.itemsize * dtype.itemsize
        numbers = root.reshape(-1).view(np.ndarray).view(np.uint8)[:whole].view(dtype)
        numbers[...] = rng.standard_normal(len(numbers), np.float32)


def _result_in(scratch: Bytes, call: Call) -> Array:
    """A result in memory that no product reads, with the layout of the recorded one."""
    whole = len(scratch) // call.a.itemsize * call.a.itemsize
    return np.lib.stride_tricks.as_strided(scratch[:whole].view(call.a.dtype), *call.layout())


def _grown(scratch: Bytes, nbytes: int) -> Bytes:
    """The same memory if it is large enough, otherwise new memory that starts on a cache line."""
    if nbytes <= len(scratch):
        return scratch
    block = np.empty(nbytes + CACHE_LINE, np.uint8)
    return block[-block.ctypes.data % CACHE_LINE :]


def _check_complete(products: Sequence[Product], config: Config, tokens: int) -> None:
    """A step needs three products for each matrix of weights (forward and two gradients) and six
    products of attention in each layer."""
    model = config.model
    C, F, L = model.d_model, model.d_ff, model.n_layers
    needed = 6 * tokens * (L * (4 * C * C + 2 * C * F) + model.vocab_size * C)
    found = sum(product.flops for product in products if product.out.ndim == 2)
    of_attention = sum(product.out.ndim > 2 for product in products)
    if found < needed or of_attention < 6 * L:
        raise MissingProductsError(
            f"recorded matrix products of {found:,} operations and {of_attention} products of "
            f"attention, in a step that needs at least {needed:,} and {6 * L}; does model/ compute "
            "products with something other than np.matmul and @?"
        )
