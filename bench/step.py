"""One training step, timed beside the same step in PyTorch and beside its matrix products alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import process_time
from typing import Any

from threadpoolctl import threadpool_limits

from bench.figures import Figure, Section
from bench.machine import torch_version
from bench.products import RecordedStep, record, replay
from bench.rows import ROW_LENGTHS, use_longest_rows
from model import HEALTHY, Config, build
from model.config import Model

WARMUP_STEPS, PAIRS, PAIRS_OF_LARGER = 5, 100, 40
MAX_OVER_TORCH, MAX_OVER_PRODUCTS = 0.7, 2.2
LARGER = replace(
    HEALTHY,
    model=Model(d_model=256, n_heads=16, d_ff=1024, n_layers=4),
    optimizer=replace(HEALTHY.optimizer, lr_max=HEALTHY.optimizer.lr_max / 4),
)
"""Four times the width, with heads of the same width, and twice the depth. At the full peak rate
the attention of this width saturates and leaves hundreds of thousands of denormal numbers, whose
arithmetic is slow; a quarter of the rate avoids that."""
NOTE = (
    "A step is a training step of HEALTHY: forward, loss, backward, clip, AdamW. A larger step "
    "trains a model of four times the width (d_model 256, 16 heads, d_ff 1024) and twice the "
    f"depth. Full rows: every row of the batch has {ROW_LENGTHS.max()} tokens, so there is no "
    "padding to skip. `step / its matrix products` compares a step with its matrix products alone, "
    "which are computed one after the other, in the same memory."
)

Action = Callable[[int], object]
"""Takes the i-th step of its run."""


def time_in_turn(actions: Mapping[str, Action], warmup: int, rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each action in each round after the warmup.

    The actions always follow in the same order, so that each runs after another one and none finds
    its own data in the caches."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for i in range(warmup + rounds):
        for name, action in actions.items():
            start = process_time()
            action(i)
            seconds[name].append(process_time() - start)
    return {name: each[warmup:] for name, each in seconds.items()}


def step_times(config: Config, pairs: int, longest_rows: bool = False) -> dict[str, list[float]]:
    """Return seconds of our step ("ours"), of its matrix products ("products") and, if PyTorch is
    installed, of the same step there ("torch"). All three see the same batches."""
    steps = WARMUP_STEPS + pairs
    config = replace(config, steps=steps + 1, eval_every=steps + 1)
    with threadpool_limits(1):
        recorded = record(config, steps, longest_rows)
        specimen = build(config)
        if longest_rows:
            use_longest_rows(specimen)
        actions: dict[str, Action] = {"products": lambda i: replay(recorded[i].products)}
        if torch_version():
            actions["torch"] = _torch_step(config, specimen, recorded)
        run = specimen.steps()
        actions["ours"] = lambda _: next(run)
        return time_in_turn(actions, WARMUP_STEPS, pairs)


def _torch_step(config: Config, specimen: Any, recorded: Sequence[RecordedStep]) -> Action:
    import torch

    from bench.peer import Peer

    torch.set_num_threads(1)
    weights = {name: param.data for name, param in specimen.params.items()}
    peer = Peer(config, weights, int(ROW_LENGTHS.max()))
    batches = [peer.inputs(step.batch_ids) for step in recorded]
    return lambda i: peer.step(*batches[i], recorded[i].lr)


def _figures(
    size: str, max_over_torch: float | None, max_over_products: float | None
) -> tuple[Figure, Figure, Figure]:
    torch, products = "PyTorch eager", "alone, same BLAS"
    return (
        Figure(f"{size}step / PyTorch", "x", torch, max_over_torch),
        Figure(f"{size}step, full rows / PyTorch", "x", torch),
        Figure(f"{size}step / its matrix products", "x", products, max_over_products),
    )


SIZES = (
    (HEALTHY, PAIRS, _figures("", MAX_OVER_TORCH, MAX_OVER_PRODUCTS)),
    (LARGER, PAIRS_OF_LARGER, _figures("larger ", None, None)),
)


def _measure() -> Iterator[Figure]:
    for config, pairs, (over_torch, over_torch_full_rows, over_products) in SIZES:
        seconds = step_times(config, pairs)
        yield _against_torch(over_torch, seconds)
        yield _against_torch(over_torch_full_rows, step_times(config, pairs, longest_rows=True))
        yield over_products.with_ratio(seconds["ours"], seconds["products"])


def _against_torch(figure: Figure, seconds: Mapping[str, Sequence[float]]) -> Figure:
    if "torch" not in seconds:
        return figure.not_measured("torch is not installed")
    return figure.with_ratio(seconds["ours"], seconds["torch"])


SECTION = Section(
    "One training step", tuple(figure for *_, size in SIZES for figure in size), _measure
)
