"""Faults of the zoo that replace one part of a specimen. `model.zoo` lists them.

Every fault is a function of a fresh specimen and a dose that returns nothing. It sets attributes of
this specimen or of its parts, or writes its first weights. Other specimens and the classes do not
change.

`Fault.own_hash` includes the source of these functions. A changed docstring inside a function
therefore makes kept trainings of its faults invalid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model.attention import Attention, Bools, Layout, Rows, layout_of
from model.batches import Batch, draw, shortest_first
from model.corpus import SEQUENCES, Split
from model.evaluation import Evaluation
from model.gpt import Block
from model.layers import GeluCache, LayerNorm, LayerNormCache, Module
from model.params import Array
from model.train import Specimen

Ids = npt.NDArray[np.int64]

NO_CLIPPING = 1e9
"""A norm that no gradient reaches."""
DEAD_BIAS = -30.0
"""With this bias, a GELU and its gradient are 0 for every output that a LayerNorm can have."""
PAD = 0
"""Id of the token that fills short rows."""


def wrap(owner: object, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute of one object by what `make` returns for its present value."""
    setattr(owner, name, make(getattr(owner, name)))


def before_each_step(specimen: Specimen, act: Callable[[int], None]) -> None:
    """Call `act` with the index of each step, before the step draws its batch."""

    def watched(batches: Iterator[Ids]) -> Iterator[Ids]:
        for index, ids in enumerate(batches):
            act(index)
            yield ids

    wrap(specimen, "_batches", watched)


def generator(specimen: Specimen) -> np.random.Generator:
    """Random numbers of a fault, which the training itself does not use."""
    return np.random.default_rng([specimen.config.seed, 17])


def weights_of(specimen: Specimen) -> dict[str, Array]:
    """Writable views of all parameters."""
    return specimen.params.views(specimen.params.flat)


def lengths_of(ids: Ids) -> list[int]:
    """Number of predicted tokens of each row."""
    return [len(SEQUENCES[i].text) - 1 for i in ids]


# Optimisation


def rate_zero_after(specimen: Specimen, share: float) -> None:
    last = int(share * specimen.config.steps)
    wrap(specimen, "schedule", lambda rate: lambda i: rate(i) if i <= last else 0.0)


def rate_stays_at_peak(specimen: Specimen, _: float) -> None:
    warmup = specimen.config.optimizer.warmup_steps
    wrap(specimen, "schedule", lambda rate: lambda i: rate(min(i, warmup)))


def schedule_runs_faster(specimen: Specimen, times: float) -> None:
    last = specimen.config.steps - 1
    wrap(specimen, "schedule", lambda rate: lambda i: rate(min(int(times * i), last)))


def rate_times_without_clipping(specimen: Specimen, times: float) -> None:
    wrap(specimen, "schedule", lambda rate: lambda i: times * rate(i))
    wrap(specimen._optimizer, "config", lambda config: replace(config, clip_norm=NO_CLIPPING))


def gradients_not_zeroed(specimen: Specimen, _: float) -> None:
    grad = specimen.params.flat_grad

    def adding(compute: Any) -> Any:
        def loss_and_gradient(*args: Any) -> float:
            old = grad.copy()
            loss: float = compute(*args)
            np.add(grad, old, out=grad)
            return loss

        return loss_and_gradient

    wrap(specimen.model, "loss_and_gradient", adding)


def gradient_of_the_step_before(specimen: Specimen, _: float) -> None:
    def late(step: Any) -> Any:
        grad = specimen.params.flat_grad
        kept = np.zeros_like(grad)

        def step_with_old_gradient(lr: float) -> float:
            new = grad.copy()
            grad[...] = kept
            kept[...] = new
            norm: float = step(lr)
            return norm

        return step_with_old_gradient

    wrap(specimen._optimizer, "step", late)


def no_bias_correction(specimen: Specimen, _: float) -> None:
    wrap(specimen._optimizer, "bias_correction", lambda _: lambda _beta: 1.0)


def moments_forgotten_every(specimen: Specimen, steps: float) -> None:
    optimizer = specimen._optimizer

    def forget(index: int) -> None:
        if index % int(steps) == 0:
            optimizer._m[...] = 0
            optimizer._v[...] = 0

    before_each_step(specimen, forget)


def not_held_by_the_optimizer(specimen: Specimen, prefix: str) -> None:
    """Undo each update of the parameters whose names begin with a prefix."""

    def except_those(step: Any) -> Any:
        weights = weights_of(specimen)
        updates = specimen.params.views(specimen._optimizer.update)
        left_out = [name for name in weights if name.startswith(prefix)]

        def step_of_the_rest(lr: float) -> float:
            before = {name: weights[name].copy() for name in left_out}
            norm: float = step(lr)
            for name in left_out:
                weights[name][...] = before[name]
                updates[name][...] = 0
            return norm

        return step_of_the_rest

    wrap(specimen._optimizer, "step", except_those)


def block_not_held(specimen: Specimen, _: float) -> None:
    not_held_by_the_optimizer(specimen, f"blocks.{specimen.config.model.n_layers - 1}.")


def embedding_not_held(specimen: Specimen, _: float) -> None:
    not_held_by_the_optimizer(specimen, "embed.")


def update_reversed(specimen: Specimen, _: float) -> None:
    wrap(specimen._optimizer, "step", lambda step: lambda lr: step(-lr))


def two_updates_per_batch(specimen: Specimen, _: float) -> None:
    def twice(step: Any) -> Any:
        def both(lr: float) -> float:
            step(lr)
            norm: float = step(lr)
            return norm

        return both

    wrap(specimen._optimizer, "step", twice)


def old_weights_restored_at(specimen: Specimen, share: float) -> None:
    """Restore the weights of the eighth part of the run, as an old checkpoint does."""
    steps = specimen.config.steps
    kept: dict[str, Array] = {}

    def restore(index: int) -> None:
        if index == steps // 8:
            kept.update(specimen.weights())
        if index == int(share * steps):
            specimen.set_weights(kept)

    before_each_step(specimen, restore)


# Initialisation


def _scale_weights(specimen: Specimen, times: float, *endings: str) -> None:
    for name, view in weights_of(specimen).items():
        if name.endswith(endings):
            view *= times


def first_weights_zero(specimen: Specimen, _: float) -> None:
    _scale_weights(specimen, 0.0, ".weight")


def first_weights_equal(specimen: Specimen, value: float) -> None:
    for name, view in weights_of(specimen).items():
        if name.endswith(".weight"):
            view[...] = value


def embedding_times(specimen: Specimen, times: float) -> None:
    _scale_weights(specimen, times, "embed.weight")


def queries_and_keys_times(specimen: Specimen, times: float) -> None:
    _scale_weights(specimen, times, ".attn.q.weight", ".attn.k.weight")


def one_layer_times(specimen: Specimen, times: float) -> None:
    _scale_weights(specimen, times, "blocks.0.ffn.down.weight")


# Architecture


def _see(
    specimen: Specimen,
    visible_of: Callable[[Bools], Bools],
    heads: int | None = None,
    when: Callable[[], bool] = lambda: True,
) -> None:
    """Replace the mask [B, T, T] of the first heads of every layer, or of all heads, whenever
    `when` is true."""

    def masked(forward: Any) -> Any:
        def with_another_mask(scores: Array, *, visible: Bools) -> tuple[Array, Array]:
            n = scores.shape[1] if heads is None else heads
            if not when():
                n = 0
            if n:
                forward(scores[:, :n], visible=visible_of(visible))
            if n < scores.shape[1]:
                forward(scores[:, n:], visible=visible)
            return scores, scores  # each call has overwritten its part

        return with_another_mask

    for block in specimen.model.blocks:
        wrap(block.attn.pattern, "forward", masked)


def _whole_row(visible: Bools) -> Bools:
    """Mask in which every token of a row sees every token of it."""
    real = visible.diagonal(axis1=1, axis2=2)
    seen: Bools = real[:, None, :] & real[:, :, None]
    return seen


def heads_see_the_future(specimen: Specimen, heads: float) -> None:
    _see(specimen, _whole_row, heads=int(heads))


def future_keys_visible(specimen: Specimen, share: float) -> None:
    longest = max(len(sequence.text) for sequence in SEQUENCES)
    chosen = generator(specimen).random((longest, longest)) < share

    def some_more(visible: Bools) -> Bools:
        T = visible.shape[1]
        return visible | (_whole_row(visible) & chosen[:T, :T])

    _see(specimen, some_more)


def future_visible_in_steps(specimen: Specimen, share: float) -> None:
    every = round(1 / share)
    now = [0]
    before_each_step(specimen, lambda index: now.__setitem__(0, index))
    _see(
        specimen,
        _whole_row,
        when=lambda: specimen.model.training and now[0] % every == every - 1,
    )


def mask_inverted(specimen: Specimen, _: float) -> None:
    _see(specimen, lambda visible: _whole_row(visible) & ~visible)


def mask_shifted(specimen: Specimen, by: float) -> None:
    """Move the boundary of the mask: 1 shows one token of the future, -1 hides the query's own."""
    _see(
        specimen,
        lambda visible: _whole_row(visible) & np.tri(visible.shape[1], k=int(by), dtype=np.bool_),
    )


def past_visible_up_to(specimen: Specimen, tokens: float) -> None:
    _see(
        specimen,
        lambda visible: visible & ~np.tri(visible.shape[1], k=-int(tokens), dtype=np.bool_),
    )


def no_positions(specimen: Specimen, _: float) -> None:
    specimen.model.blocks[0].attn.rotary._frequencies[...] = 0  # all layers share it


def keys_without_positions(specimen: Specimen, _: float) -> None:
    frequencies = specimen.model.blocks[0].attn.rotary._frequencies
    frequencies[len(frequencies) // 2 :] = 0


def scores_not_scaled(specimen: Specimen, _: float) -> None:
    specimen.model.blocks[0].attn.rotary._scale = 1.0


def rows_joined(specimen: Specimen, rows: float) -> None:
    """Let neighbouring rows of a batch attend to each other, as one row."""

    def joined(forward: Any) -> Any:
        def of_joined_rows(tokens: Ids, layout: Layout) -> Any:
            lengths = np.concatenate(
                [rows.visible.diagonal(axis1=1, axis2=2).sum(axis=1) for rows in layout]
            )
            groups = np.array([lengths[i : i + n].sum() for i in range(0, len(lengths), n)])
            return forward(tokens, layout_of(groups, "causal"))

        return of_joined_rows

    n = int(rows)
    wrap(specimen.model, "forward", joined)


def _without_residual(block: Block) -> None:
    """Leave out the connection around attention, in both directions."""

    def forward(x: Array, layout: Layout) -> tuple[Array, tuple[Any, ...]]:
        h, norm1 = block.norm1(x)
        a, attn = block.attn(h, layout)
        h, norm2 = block.norm2(a)
        y, ffn = block.ffn(h)
        y += a
        return y, (norm1, attn, norm2, ffn)

    def backward(dy: Array, cache: tuple[Any, ...]) -> Array:
        norm1, attn, norm2, ffn = cache
        da = block.norm2.backward(block.ffn.backward(dy, ffn), norm2)
        da += dy
        return block.norm1.backward(block.attn.backward(da, attn), norm1)

    wrap(block, "forward", lambda _: forward)
    wrap(block, "backward", lambda _: backward)


def no_residual_around_attention(specimen: Specimen, _: float) -> None:
    for block in specimen.model.blocks:
        _without_residual(block)


def softmax_over_queries(specimen: Specimen, _: float) -> None:
    """Attention weights of one key add up to 1 instead of those of one query."""

    def forward(scores: Array, *, visible: Bools) -> tuple[Array, Array]:
        seen = visible[:, None]
        largest = scores.max(axis=-2, keepdims=True, where=seen, initial=-np.inf)
        pattern = np.where(seen, np.exp(np.minimum(scores - largest, 0)), 0).astype(scores.dtype)
        total = pattern.sum(axis=-2, keepdims=True)
        scores[...] = pattern / np.maximum(total, np.finfo(scores.dtype).tiny)
        return scores, scores

    def backward(dpattern: Array, pattern: Array) -> Array:
        dpattern -= (dpattern * pattern).sum(axis=-2, keepdims=True)
        dpattern *= pattern
        return dpattern

    for block in specimen.model.blocks:
        wrap(block.attn.pattern, "forward", lambda _: forward)
        wrap(block.attn.pattern, "backward", lambda _: backward)


def heads_merged_without_transpose(specimen: Specimen, _: float) -> None:
    """The output of the heads, [H, T, D], is read as [T, C] in one go."""

    def split(attention: Attention, right: Any) -> Any:
        def by_head(padded: Array, parts: int) -> Array:
            if parts > 1:
                queries_keys_values: Array = right(padded, parts)
                return queries_keys_values
            B, T, _ = padded.shape
            return padded.reshape(1, B, attention.n_heads, T, -1)

        return by_head

    def spread(right: Any) -> Any:
        def without_padding(name: str, packed: Array, rows: Rows) -> Array:
            padded: Array = right(name, packed, rows)
            if name == "mixed":  # in the backward pass; padding here is a token elsewhere
                places = padded.reshape(-1, padded.shape[-1])
                places[np.setdiff1d(np.arange(len(places)), rows.places)] = 0
            return padded

        return without_padding

    for block in specimen.model.blocks:
        wrap(block.attn, "_by_head", partial(split, block.attn))
        wrap(block.attn, "_spread", spread)


def norm_over_tokens(specimen: Specimen, _: float) -> None:
    """The last norm is taken over the tokens of the batch, for each feature."""
    norm = specimen.model.norm

    def forward(x: Array) -> tuple[Array, LayerNormCache]:
        rstd = 1 / np.sqrt(x.var(axis=0, keepdims=True) + norm.eps)
        xhat = (x - x.mean(axis=0, keepdims=True)) * rstd
        return xhat * norm.scale.data + norm.shift.data, LayerNormCache(xhat, rstd)

    def backward(dy: Array, cache: LayerNormCache) -> Array:
        xhat, rstd = cache
        norm.scale.grad[...] = (dy * xhat).sum(axis=0)
        norm.scale.filled()
        norm.shift.grad[...] = dy.sum(axis=0)
        norm.shift.filled()
        dxhat = dy * norm.scale.data
        dx: Array = rstd * (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0))
        return dx

    wrap(norm, "forward", lambda _: forward)
    wrap(norm, "backward", lambda _: backward)


def attention_adds_nothing(specimen: Specimen, _: float) -> None:
    def silent(forward: Any) -> Any:
        def zero(x: Array, layout: Layout) -> tuple[Array, Any]:
            y, cache = forward(x, layout)
            y[...] = 0
            return y, cache

        return zero

    for block in specimen.model.blocks:
        wrap(block.attn, "forward", silent)
        wrap(block.attn, "backward", lambda back: lambda dy, cache: back(0 * dy, cache))


def every_token_embedded_alike(specimen: Specimen, _: float) -> None:
    embed = specimen.model.embed
    wrap(embed, "forward", lambda forward: lambda tokens: forward(np.zeros_like(tokens)))


# Noise


def _drop(module: Module, share: float, rng: np.random.Generator, when: Callable[[], bool]) -> None:
    """Dropout of a module's output whenever `when` is true (Srivastava et al. 2014)."""

    def noisy(forward: Any) -> Any:
        def dropped(*args: Any) -> tuple[Array, Any]:
            y, cache = forward(*args)
            keep = np.ones_like(y)
            if when():
                keep *= (rng.random(y.shape) >= share) / (1 - share)
            y *= keep
            return y, (cache, keep)

        return dropped

    wrap(module, "forward", noisy)
    wrap(module, "backward", lambda back: lambda dy, cache: back(dy * cache[1], cache[0]))


def dropout_always_on(specimen: Specimen, share: float) -> None:
    rng = generator(specimen)
    for block in specimen.model.blocks:
        _drop(block.ffn, share, rng, lambda: True)


def dropout_in_evaluation_only(specimen: Specimen, share: float) -> None:
    rng = generator(specimen)
    for block in specimen.model.blocks:
        _drop(block.ffn, share, rng, lambda: not specimen.model.training)


def dropout_of_attention(specimen: Specimen, share: float) -> None:
    """Dropout of attention weights, in training and in evaluation."""
    rng = generator(specimen)
    _multiply_weights(
        specimen,
        lambda visible: visible,
        lambda weights, _: (rng.random(weights.shape) >= share) / (1 - share),
    )


def mask_after_softmax(specimen: Specimen, _: float) -> None:
    """Hide the future keys only after the softmax has counted them."""
    _multiply_weights(specimen, _whole_row, lambda _, visible: visible[:, None])


def _multiply_weights(
    specimen: Specimen,
    visible_of: Callable[[Bools], Bools],
    factor_of: Callable[[Array, Bools], npt.NDArray[Any]],
) -> None:
    """Multiply the attention weights [B, H, T, T] after the softmax.

    visible_of  the mask of the softmax, from the right one
    factor_of   the factor, from the weights and the right mask
    """

    def of(module: Module) -> None:
        kept: dict[int, tuple[Array, Array]] = {}  # address of a pattern -> it before, the factor

        def changed(forward: Any) -> Any:
            def multiplied(scores: Array, *, visible: Bools) -> tuple[Array, Array]:
                pattern, _ = forward(scores, visible=visible_of(visible))
                factor = factor_of(pattern, visible).astype(pattern.dtype)
                kept[pattern.ctypes.data] = pattern.copy(), factor
                pattern *= factor
                return pattern, pattern

            return multiplied

        def backward(back: Any) -> Any:
            def through_the_factor(dpattern: Array, pattern: Array) -> Any:
                before, factor = kept[pattern.ctypes.data]
                dpattern *= factor
                return back(dpattern, before)

            return through_the_factor

        wrap(module, "forward", changed)
        wrap(module, "backward", backward)

    for block in specimen.model.blocks:
        of(block.attn.pattern)


# Backward


def _norms(specimen: Specimen) -> list[LayerNorm]:
    blocks = specimen.model.blocks
    return [norm for block in blocks for norm in (block.norm1, block.norm2)] + [specimen.model.norm]


def norm_backward_without_mean(specimen: Specimen, _: float) -> None:
    _norm_backward(specimen, mean=False, along=True)


def norm_backward_without_length(specimen: Specimen, _: float) -> None:
    _norm_backward(specimen, mean=True, along=False)


def _norm_backward(specimen: Specimen, mean: bool, along: bool) -> None:
    def of(norm: LayerNorm, _: object) -> Callable[[Array, LayerNormCache], Array]:
        def backward(dy: Array, cache: LayerNormCache) -> Array:
            xhat, rstd = cache
            norm.scale.grad[...] = (dy * xhat).sum(axis=0)
            norm.scale.filled()
            norm.shift.grad[...] = dy.sum(axis=0)
            norm.shift.filled()
            dxhat = dy * norm.scale.data
            dx = dxhat.copy()
            if mean:
                dx -= dxhat.mean(axis=1, keepdims=True)
            if along:
                dx -= xhat * (dxhat * xhat).mean(axis=1, keepdims=True)
            return dx * rstd

        return backward

    for norm in _norms(specimen):
        wrap(norm, "backward", partial(of, norm))


def gelu_backward_of_relu(specimen: Specimen, _: float) -> None:
    def backward(dy: Array, cache: GeluCache) -> Array:
        return dy * (cache.x > 0)

    for block in specimen.model.blocks:
        wrap(block.ffn.gelu, "backward", lambda _: backward)


def softmax_backward_without_sum(specimen: Specimen, _: float) -> None:
    def backward(dpattern: Array, pattern: Array) -> Array:
        return np.multiply(dpattern, pattern, out=dpattern)

    for block in specimen.model.blocks:
        wrap(block.attn.pattern, "backward", lambda _: backward)


def _then(layer: Module, act: Callable[[], None]) -> None:
    """Change gradients after the backward pass of a layer."""

    def followed(back: Any) -> Any:
        def backward(dy: Array, cache: Any) -> Any:
            dx = back(dy, cache)
            act()
            return dx

        return backward

    wrap(layer, "backward", followed)


def square_gradients_transposed(specimen: Specimen, _: float) -> None:
    def transpose(grad: Array) -> None:
        grad[...] = grad.T.copy()

    for block in specimen.model.blocks:
        _then(block.attn.out, partial(transpose, block.attn.out.weight.grad))


def bias_gradient_averaged(specimen: Specimen, _: float) -> None:
    """Divide the gradient of a bias by the rows of the batch once more."""

    def average(grad: Array) -> None:
        grad /= specimen.config.data.batch_size

    for block in specimen.model.blocks:
        bias = block.ffn.up.bias
        assert bias is not None
        _then(block.ffn.up, partial(average, bias.grad))


def gradient_of_one_layer_negated(specimen: Specimen, _: float) -> None:
    layer = specimen.model.blocks[-1].ffn.down

    def negate() -> None:
        np.negative(layer.weight.grad, out=layer.weight.grad)

    _then(layer, negate)


def residual_dropped_in_backward(specimen: Specimen, _: float) -> None:
    def of(block: Block, _: object) -> Callable[[Array, tuple[Any, ...]], Array]:
        def backward(dy: Array, cache: tuple[Any, ...]) -> Array:
            norm1, attn, norm2, ffn = cache
            da = block.norm2.backward(block.ffn.backward(dy, ffn), norm2)
            da += dy
            return block.norm1.backward(block.attn.backward(da, attn), norm1)

        return backward

    for block in specimen.model.blocks:
        wrap(block, "backward", partial(of, block))


def gradient_stops_below_last_block(specimen: Specimen, _: float) -> None:
    block = specimen.model.blocks[-1]
    wrap(block, "backward", lambda back: lambda dy, cache: 0 * back(dy, cache))


def head_gradient_overwritten(specimen: Specimen, _: float) -> None:
    """The embedding's gradient replaces that of the tied head instead of adding to it."""
    embed = specimen.model.embed

    def alone(back: Any) -> Any:
        def backward(dy: Array, tokens: Ids) -> None:
            embed.weight.grad[...] = 0
            back(dy, tokens)

        return backward

    wrap(embed, "backward", alone)


def positions_not_turned_back(specimen: Specimen, _: float) -> None:
    rotary = specimen.model.blocks[0].attn.rotary
    turn = rotary.turn

    def turn_forward(qkv: Array, back: bool = False) -> None:  # noqa: ARG001
        turn(qkv)

    wrap(rotary, "turn", lambda _: turn_forward)


# Data


def _feed(specimen: Specimen, change: Callable[[Batch], Batch], evaluation: bool) -> None:
    """Change every batch of the training, and with `evaluation` those of the evaluation too."""
    wrap(specimen, "batch", lambda batch: lambda ids: change(batch(ids)))
    if evaluation:
        wrap(
            specimen.evaluate,
            "_chunks",
            lambda parts: {part: [change(chunk) for chunk in parts[part]] for part in parts},
        )


def targets_not_shifted(specimen: Specimen, _: float) -> None:
    _feed(specimen, lambda batch: batch._replace(targets=batch.tokens), evaluation=True)


def targets_shifted_by_two(specimen: Specimen, _: float) -> None:
    def further(batch: Batch) -> Batch:
        targets = np.append(batch.targets[1:], batch.targets[-1])
        last = np.cumsum(lengths_of(batch.ids)) - 1
        targets[last] = batch.targets[last]
        return batch._replace(targets=targets)

    _feed(specimen, further, evaluation=True)


def _change_rows(
    specimen: Specimen,
    change: Callable[[Ids, np.random.Generator], Ids],
    of: Literal["tokens", "targets"],
) -> None:
    """Change tokens or targets of the training rows, each row in the same way at every epoch."""

    def changed(batch: Batch) -> Batch:
        ends = np.cumsum(lengths_of(batch.ids))[:-1]
        rows = np.split(batch.tokens if of == "tokens" else batch.targets, ends)
        new = np.concatenate(
            [
                change(row, np.random.default_rng([specimen.config.seed, 18, int(i)]))
                for i, row in zip(batch.ids, rows, strict=True)
            ]
        )
        return batch._replace(tokens=new) if of == "tokens" else batch._replace(targets=new)

    _feed(specimen, changed, evaluation=False)


def labels_shuffled(specimen: Specimen, share: float) -> None:
    def shuffle(row: Ids, rng: np.random.Generator) -> Ids:
        chosen = np.flatnonzero(rng.random(len(row)) < share)
        row = row.copy()
        row[chosen] = row[rng.permutation(chosen)]
        return row

    _change_rows(specimen, shuffle, "targets")


def inputs_replaced(specimen: Specimen, share: float) -> None:
    def spoil(row: Ids, rng: np.random.Generator) -> Ids:
        return np.where(rng.random(len(row)) < share, rng.permutation(row), row)

    _change_rows(specimen, spoil, "tokens")


def one_batch_for_ever(specimen: Specimen, _: float) -> None:
    wrap(specimen, "_batches", lambda batches: repeat(next(batches)))


def one_row_fills_each_batch(specimen: Specimen, _: float) -> None:
    wrap(specimen, "_batches", lambda batches: (np.full_like(ids, ids[0]) for ids in batches))


def _draw_from(specimen: Specimen, rows: Ids) -> None:
    rng = np.random.default_rng([specimen.config.seed, 2])
    wrap(specimen, "_batches", lambda _: draw(rows, specimen.config.data.batch_size, rng))


def few_rows(specimen: Specimen, share: float) -> None:
    train = specimen.split.train
    count = max(specimen.config.data.batch_size, int(share * len(train)))
    _draw_from(specimen, generator(specimen).permutation(train)[:count])


def rows_in_order(specimen: Specimen, _: float) -> None:
    def ordered(train: Ids, size: int) -> Iterator[Ids]:
        while True:
            for start in range(0, len(train) - size + 1, size):
                yield shortest_first(train[start : start + size])

    wrap(
        specimen,
        "_batches",
        lambda _: ordered(specimen.split.train, specimen.config.data.batch_size),
    )


def validation_in_training(specimen: Specimen, share: float) -> None:
    train, val = specimen.split
    leaked = generator(specimen).permutation(val)[: int(share * len(val))]
    _draw_from(specimen, np.concatenate([train, leaked]))


def validated_on_training_rows(specimen: Specimen, _: float) -> None:
    train = specimen.split.train
    mask = specimen.config.model.attention_mask
    wrap(specimen, "evaluate", lambda _: Evaluation(Split(train, train), mask))


# Loss


def _scale_loss(specimen: Specimen, scale: Callable[[int], float]) -> None:
    """Multiply the mean loss over N tokens, and its gradient, by scale(N)."""
    loss = specimen.model.cross_entropy
    wrap(loss, "mean", lambda mean: lambda losses: mean(losses) * scale(len(losses)))
    wrap(loss, "backward", lambda back: lambda cache: back(cache) * scale(len(cache.targets)))


def loss_summed(specimen: Specimen, _: float) -> None:
    _scale_loss(specimen, lambda n: n)


def loss_times(specimen: Specimen, times: float) -> None:
    _scale_loss(specimen, lambda _: times)


def padding_counted(specimen: Specimen, _: float) -> None:
    def padded(batch: Batch) -> Batch:
        lengths = lengths_of(batch.ids)
        longest = max(lengths)

        def fill(packed: Ids) -> Ids:
            rows = np.split(packed, np.cumsum(lengths)[:-1])
            return np.concatenate(
                [np.pad(row, (0, longest - len(row)), constant_values=PAD) for row in rows]
            )

        layout = layout_of(np.full(len(lengths), longest), specimen.config.model.attention_mask)
        return Batch(batch.ids, fill(batch.tokens), fill(batch.targets), layout)

    _feed(specimen, padded, evaluation=False)


def labels_smoothed(specimen: Specimen, share: float) -> None:
    """Training predicts a mixture of the target and the uniform distribution (Szegedy et al.
    2016); evaluation does not."""
    loss, model = specimen.model.cross_entropy, specimen.model

    def smooth(forward: Any) -> Any:
        def smoothed(logits: Array, targets: Ids) -> Any:
            losses, cache = forward(logits, targets)
            if model.training:
                rows = np.arange(len(targets))
                losses = losses + share * (logits[rows, targets] - logits.mean(axis=1))
            return losses, cache

        return smoothed

    def less_sure(back: Any) -> Any:
        def backward(cache: Any) -> Any:
            targets = cache.targets
            dlogits = back(cache)
            N, V = dlogits.shape
            dlogits -= share / (N * V)
            dlogits[np.arange(N), targets] += share / N
            return dlogits

        return backward

    wrap(loss, "forward", smooth)
    wrap(loss, "backward", less_sure)


def softmax_taken_twice(specimen: Specimen, _: float) -> None:
    """The loss takes probabilities for logits, in training and in evaluation."""
    loss = specimen.model.cross_entropy

    def twice(forward: Any) -> Any:
        def of_probabilities(logits: Array, targets: Ids) -> Any:
            exp = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = exp / exp.sum(axis=1, keepdims=True)
            losses, cache = forward(probabilities, targets)
            return losses, (cache, probabilities)

        return of_probabilities

    def backward(back: Any) -> Any:
        def through_both(cache: Any) -> Any:
            inner, p = cache
            dp = back(inner)
            return p * (dp - (dp * p).sum(axis=1, keepdims=True))

        return through_both

    wrap(loss, "forward", twice)
    wrap(loss, "backward", backward)


# Numerics


def weight_becomes_nan(specimen: Specimen, share: float) -> None:
    weight = weights_of(specimen)["blocks.0.ffn.up.weight"]
    chosen = int(share * specimen.config.steps)

    def poison(index: int) -> None:
        if index == chosen:
            weight[0, 0] = np.nan

    before_each_step(specimen, poison)


def gradient_overflows(specimen: Specimen, share: float) -> None:
    """One entry of the gradient is infinite at one step."""
    chosen = int(share * specimen.config.steps)
    counted = [-1]
    before_each_step(specimen, lambda index: counted.__setitem__(0, index))

    def overflow() -> None:
        if counted[0] == chosen:
            specimen.params.flat_grad[0] = np.inf

    _then(specimen.model.embed, overflow)


def weights_rounded_to_bfloat16(specimen: Specimen, _: float) -> None:
    """Keep the upper 16 of the 32 bits of each weight after each update."""

    def rounded(step: Any) -> Any:
        def step_then_round(lr: float) -> float:
            norm: float = step(lr)
            flat = specimen.params.flat
            bits = flat.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
            flat[...] = bits.view(np.float32)
            return norm

        return step_then_round

    wrap(specimen._optimizer, "step", rounded)


def batches_poisoned(specimen: Specimen, steps: float) -> None:
    """Targets of some steps in the middle of the run are one symbol throughout."""
    middle = specimen.config.steps // 2
    now = [0]
    before_each_step(specimen, lambda index: now.__setitem__(0, index))

    def poison(batch: Batch) -> Batch:
        poisoned = middle <= now[0] < middle + steps
        return batch._replace(targets=np.full_like(batch.targets, PAD)) if poisoned else batch

    _feed(specimen, poison, evaluation=False)


# Capacity


def units_dead(specimen: Specimen, share: float) -> None:
    for name, view in weights_of(specimen).items():
        if name.endswith(".ffn.up.bias"):
            view[: int(share * len(view))] = DEAD_BIAS
