"""One training step beside the same one in PyTorch and beside its matrix products alone, in turn,
on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import process_time
from typing import Any

from threadpoolctl import threadpool_limits

from bench.figures import Figure, Section
from bench.machine import torch_version
from bench.products import RecordedStep, record, replay
from bench.rows import LENGTHS, full_length
from model import HEALTHY, Config, build
from model.config import Model

WARMUP, PAIRS, PAIRS_OF_LARGER = 5, 100, 40
TORCH, PRODUCTS = "PyTorch eager", "alone, same BLAS"
OVER_TORCH, OVER_PRODUCTS = 0.7, 2.2
LARGER = replace(
    HEALTHY,
    model=Model(d_model=256, n_heads=16, d_ff=1024, n_layers=4),
    optimizer=replace(HEALTHY.optimizer, lr_max=HEALTHY.optimizer.lr_max / 4),
)
"""Four times the width, by as many more heads of the same width, and twice the depth, at a quarter
of the peak rate: at all of it attention of this width saturates and leaves hundreds of thousands of
denormal numbers, which are slow."""
NOTE = (
    "A step is one of HEALTHY: forward, loss, backward, clip, AdamW; a larger one has four times the width "
    "(d_model 256, 16 heads, d_ff 1024) and twice the depth. Full rows are batches in which every row has "
    f"{LENGTHS.max()} tokens, so that there is no padding to skip. Its matrix products are all that a step makes, in "
    "the same memory, with nothing between them."
)

Contender = Callable[[int], object]
"""Takes the i-th step."""


def interleaved(
    contenders: Mapping[str, Contender], warmup: int, pairs: int
) -> dict[str, list[float]]:
    """CPU seconds of each contender's steps after the warmup; they take turns.

    The turn is always the same, so that nobody follows himself and finds the caches full of what is
    his: everyone comes after a step of another's."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(warmup + pairs):
        for name, contender in contenders.items():
            start = process_time()
            contender(i)
            seconds[name].append(process_time() - start)
    return {name: each[warmup:] for name, each in seconds.items()}


def times(config: Config, pairs: int, longest_rows: bool = False) -> dict[str, list[float]]:
    """Of our step, its products and, where torch can be imported, the peer's step, on the same
    batches."""
    steps = WARMUP + pairs
    config = replace(config, steps=steps + 1, eval_every=steps + 1)
    with threadpool_limits(1):
        recorded = record(config, steps, longest_rows)
        specimen = build(config)
        if longest_rows:
            full_length(specimen)
        contenders: dict[str, Contender] = {"products": lambda i: replay(recorded[i].products)}
        if torch_version():
            contenders["torch"] = _peer(config, specimen, recorded)
        run = specimen.steps()
        contenders["ours"] = lambda _: next(run)
        return interleaved(contenders, WARMUP, pairs)


def _peer(config: Config, specimen: Any, recorded: Sequence[RecordedStep]) -> Contender:
    import torch

    from bench.peer import Peer

    torch.set_num_threads(1)
    weights = {name: param.data for name, param in specimen.params.items()}
    peer = Peer(config, weights, int(LENGTHS.max()))
    batches = [peer.inputs(step.batch_ids) for step in recorded]
    return lambda i: peer.step(*batches[i], recorded[i].lr)


def _figures(
    size: str, over_torch: float | None, over_products: float | None
) -> tuple[Figure, ...]:
    return (
        Figure(f"{size}step / PyTorch", "x", TORCH, over_torch),
        Figure(f"{size}step, full rows / PyTorch", "x", TORCH),
        Figure(f"{size}step / its matrix products", "x", PRODUCTS, over_products),
    )


SIZES = (
    (HEALTHY, PAIRS, _figures("", OVER_TORCH, OVER_PRODUCTS)),
    (LARGER, PAIRS_OF_LARGER, _figures("larger ", None, None)),
)


def _measure() -> Iterator[Figure]:
    for config, pairs, (over_torch, full, over_products) in SIZES:
        drawn = times(config, pairs)
        yield _against_torch(over_torch, drawn)
        yield _against_torch(full, times(config, pairs, longest_rows=True))
        yield over_products.ratio(drawn["ours"], drawn["products"])


def _against_torch(figure: Figure, seconds: Mapping[str, Sequence[float]]) -> Figure:
    if "torch" not in seconds:
        return figure.failed("torch is not importable")
    return figure.ratio(seconds["ours"], seconds["torch"])


SECTION = Section("One training step", sum((figures for *_, figures in SIZES), ()), _measure)
