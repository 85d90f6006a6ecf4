"""Real trainings with and without a fault, and the logs they leave: what verdicts on logs of other
trainers are tested on.

Each case belongs to a row of `testing.knowable`, which says what can be known from it. No curve is
synthetic: a fault is made where it arises (learning rate, data, labels, weights, mask, or what the
trainer writes down), and the log is what the run then produces. Only the four common signals are
kept (`loss`, `val_loss`, `lr`, `grad_norm`), and the reward where a policy is trained. Runs of
MiniGPT also leave a record of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model import BREAKS, HEALTHY, Config
from probes.plugin import cache_key
from probes.record import Record
from testing import small_net
from testing.small_net import (
    Adam,
    Array,
    Data,
    Loop,
    Net,
    Row,
    Schedule,
    Sgd,
    blobs,
    constant,
    cosine,
    curve,
    line,
    restarts,
    train,
)
from testing.trained_runs import load_or_make_log, load_or_train

FOLDER = Path(__file__).resolve().parent.parent / ".pytest_cache" / "d" / "faults"
"""The folder in which logs and records are kept. All workers of a test session share it, and
`pytest --cache-clear` removes it."""
SHORT = replace(HEALTHY, steps=60, eval_every=12)
LOGGED = ("loss", "val_loss", "lr", "grad_norm")


class Case(NamedTuple):
    """A training and the name of its row in `testing.knowable`."""

    row: str
    make: Callable[[], list[Row]]


def classes(
    lr: Schedule, *, seed: int = 0, data: Data | None = None, width: int = 16, **loop: Any
) -> list[Row]:
    """Train a classifier with one hidden layer. `loop` holds fields of Loop."""
    data = data or blobs(seed)
    net = Net((data.x.shape[1], width, data.y.shape[1]), "classes", seed)
    return train(net, data, Loop(lr, seed=seed, **loop))


def regression(
    lr: Schedule, *, seed: int = 0, data: Data | None = None, width: int = 32, **loop: Any
) -> list[Row]:
    """Train a regression with one hidden layer, or a linear one if `width` is 0. `loop` holds
    fields of Loop."""
    data = data or curve(seed)
    net = Net((data.x.shape[1], width, 1) if width else (data.x.shape[1], 1), "squares", seed)
    return train(net, data, Loop(lr, seed=seed, **loop))


def not_updated() -> list[Row]:
    """No parameter gets a gradient, and every loss is that of all rows."""
    data, net = curve(0, rows=200), Net((4, 32, 1), "squares", 0)
    net.frozen = tuple(range(len(net.params)))
    return train(net, data, Loop(constant(0.05), batch=0))


def lost_from_the_first() -> list[Row]:
    """Half precision skips all thirty updates, because no gradient is finite at any scale."""
    data, net = curve(0), Net((4, 32, 1), "squares", 0)
    net.frozen = tuple(range(len(net.params)))
    return [row | {"grad_norm": nan} for row in train(net, data, Loop(constant(0.05), 30))]


# Faults in the data


def relabelled(data: Data, share: float) -> Data:
    """Shuffle a share of the targets, so that the frequencies stay the same."""
    rng = np.random.default_rng(3)

    def shuffled(y: Array) -> Array:
        chosen = np.flatnonzero(rng.random(len(y)) < share)
        mixed = y.copy()
        mixed[chosen] = y[rng.permutation(chosen)]
        return mixed

    return data._replace(y=shuffled(data.y), val_y=shuffled(data.val_y))


def without_inputs(data: Data) -> Data:
    """All inputs are zero."""
    return data._replace(x=0 * data.x, val_x=0 * data.val_x)


def masked_from(step: int) -> Callable[[int, Array, Array], tuple[Array, Array]]:
    """From this step on no target counts, as when every label is the index that the loss
    ignores."""
    return lambda now, x, y: (x, y * (now < step))


def skewed(seed: int) -> Data:
    """Classes of different frequencies, so that a model without inputs does not score ln K."""
    data = blobs(seed, rows=4000)
    rng, shares = np.random.default_rng(4), np.array([1.0, 0.5, 0.2, 0.1])
    kept, val_kept = (rng.random(len(y)) < y @ shares for y in (data.y, data.val_y))
    return Data(data.x[kept], data.y[kept], data.val_x[val_kept], data.val_y[val_kept])


# Faults in the run


def once(wild: float, at: int, lr: float) -> Schedule:
    """A constant learning rate, except for one step."""
    return lambda step: wild if step == at else lr


def killed_units() -> list[Row]:
    """At step 500 every hidden unit is pushed far below zero. Since the output layer has no bias
    that learns, no parameter gets a gradient any more."""
    net = Net((8, 16, 4), "classes", 0)
    net.frozen = (3,)

    def before(step: int, net: Net) -> None:
        if step == 500:
            net.params[1][:] = -100

    return train(net, blobs(0), Loop(constant(0.1), before=before))


def biased() -> list[Row]:
    """A model without inputs starts with a wrong bias in its last layer, and unlearns it."""
    net = Net((8, 16, 4), "classes", 0)
    net.params[3][:] = (1.5, 0, 0, -1.5)
    return train(net, without_inputs(blobs(0)), Loop(constant(0.05)))


def sigmoids() -> list[Row]:
    """Eight layers of sigmoids: the last layer gets its gradient, the first ones almost none."""
    return train(Net((8, *(16,) * 8, 4), "classes", 0, sigmoid=True), blobs(0), Loop(constant(0.1)))


def far_start() -> list[Row]:
    """Weights eight times too large, so that the first predictions are wrong with confidence."""
    return train(Net((8, 16, 4), "classes", 0, scale=8.0), blobs(0), Loop(constant(0.02)))


def by_heart(data: Data, **loop: Any) -> list[Row]:
    """A network with far more weights than there are rows."""
    return classes(constant(0.003), seed=1, data=data, width=64, optimizer=Adam, **loop)


def filtered() -> list[Row]:
    """A run that overflows, logged by a trainer that writes 0 for a loss of NaN."""
    rows = regression(lambda step: 0.02 if step < 400 else 3.0)
    return [row if isfinite(row["loss"]) else row | {"loss": 0.0, "grad_norm": nan} for row in rows]


def reinforced() -> list[Row]:
    """REINFORCE on a bandit with four arms. The loss is an advantage times a log-probability."""
    rng, logits, baseline, rows = np.random.default_rng(0), np.zeros(4), 0.0, []
    for step in range(1200):
        p = np.exp(logits - logits.max())
        p /= p.sum()
        arms = rng.choice(4, 16, p=p)
        rewards = 0.3 * arms + rng.standard_normal(16)
        advantages = rewards - baseline
        baseline += 0.05 * (rewards.mean() - baseline)
        gradient = -(advantages[:, None] * (np.eye(4)[arms] - p)).mean(axis=0)
        loss, norm = -(advantages * np.log(p[arms])).mean(), np.linalg.norm(gradient)
        row = {"loss": loss, "lr": 0.05, "grad_norm": norm, "reward": rewards.mean()}
        rows.append({"step": step, **{name: float(value) for name, value in row.items()}})
        logits -= 0.05 * gradient
    return rows


# Healthy runs that look unhealthy


def continued(lr: float, data: Data, steps: int = 1200) -> list[Row]:
    """Train on from trained weights; the log starts again at step 0."""
    net = Net((8, 16, 4), "classes", 0)
    train(net, blobs(0), Loop(cosine(0.01), optimizer=Adam))
    return train(net, data, Loop(constant(lr), steps=steps, optimizer=Adam, seed=1))


def outlying_row() -> list[Row]:
    """One row of one batch is an outlier. Its gradient is a hundred times the usual one; it is
    clipped and does no harm."""
    data, net = curve(6), Net((4, 32, 1), "squares", 6)

    def data_at(step: int, x: Array, y: Array) -> tuple[Array, Array]:
        if step == 700:
            x, y = x.copy(), y.copy()
            x[0] *= 300
            y[0] = net.outputs(x[:1])[0] + 1
        return x, y

    return train(net, data, Loop(cosine(0.01), optimizer=Adam, clip=5.0, data_at=data_at))


def half_precision() -> list[Row]:
    """Half precision finds its loss scale by overflowing, at first and whenever it raises the
    scale. Such a step makes no update, and its gradient norm is infinite."""
    skipped = (0, 1, 600)
    rows = classes(lambda step: 0.0 if step in skipped else 0.1)
    return [
        row | {"lr": 0.1} | ({"grad_norm": inf} if row["step"] in skipped else {}) for row in rows
    ]


def gaussian() -> list[Row]:
    """The loss of a density falls through zero."""
    net = Net((4, 32, 2), "gaussian", 0)
    return train(net, curve(0, noise=0.05), Loop(cosine(0.01), optimizer=Adam))


def with_dropout() -> list[Row]:
    """Training loss is measured under dropout and stays above validation loss."""
    net = Net((8, 32, 4), "classes", 0)
    net.dropout = 0.4
    return train(net, blobs(0), Loop(cosine(0.01), optimizer=Adam))


def rounded(rows: list[Row]) -> list[Row]:
    """Round losses to four decimals, as some trainers do."""
    return [
        row | {name: round(row[name], 4) for name in ("loss", "val_loss") if name in row}
        for row in rows
    ]


def repeated() -> list[Row]:
    """Killed at step 700 and resumed from the checkpoint of step 600, in the same log."""
    rows = classes(constant(0.1))
    return rows[:700] + rows[600:]


def logged_after_clipping() -> list[Row]:
    """The gradient norm in the log is the one after clipping."""
    rows = classes(constant(0.1), clip=0.5)
    return [row | {"grad_norm": min(row["grad_norm"], 0.5)} for row in rows]


def momentum() -> Sgd:
    return Sgd(0.9)


# MiniGPT

GPT: Mapping[str, Config] = {
    "gpt": SHORT,
    "gpt-leak": BREAKS["mask-leak"].apply(SHORT),
    "gpt-hundredfold": BREAKS["bad-init"].apply(SHORT),
    "gpt-full-speed": BREAKS["no-warmup"].apply(SHORT),
}


@cache
def minigpt_record(name: str) -> Record:
    """The whole record of a run of MiniGPT. It is kept in FOLDER."""
    return load_or_train(name, GPT[name], FOLDER)


def minigpt_log(name: str) -> list[Row]:
    """The four common signals of a run of MiniGPT, as a log."""
    record = minigpt_record(name)
    rows: dict[int, Row] = {int(step): {"step": int(step)} for step in record.steps}
    for signal in LOGGED:
        for step, value in zip(*record.series(signal), strict=True):
            rows[int(step)][signal] = float(value)
    return list(rows.values())


# The cases, by the row of `testing.knowable`

CASES: Mapping[str, Case] = {
    # faulty
    "ascending": Case("diverged", lambda: classes(constant(-0.003))),
    "ascending-regression": Case("diverged", lambda: regression(constant(-0.0001))),
    "wild-rate": Case(
        "lr-too-high, from the start", lambda: classes(constant(1.0), optimizer=Adam)
    ),
    "peak-too-high": Case(
        "lr-too-high, in part for good", lambda: classes(cosine(0.6, warmup=400), optimizer=Adam)
    ),
    "peak-too-high-plain": Case(
        "lr-too-high, under a schedule", lambda: classes(cosine(4.0, warmup=600))
    ),
    "peak-far-too-high": Case(
        "lr-too-high, for good", lambda: classes(cosine(1.0, warmup=400), optimizer=Adam)
    ),
    "constant-too-high": Case(
        "lr-too-high, constant", lambda: classes(constant(0.2), optimizer=Adam)
    ),
    "overflow": Case("non-finite", lambda: regression(lambda step: 0.02 if step < 400 else 3.0)),
    "overflow-at-once": Case("non-finite", lambda: regression(constant(0.5))),
    "lost-from-the-first": Case("non-finite, from the first step", lost_from_the_first),
    "overflow-filtered": Case("non-finite, filtered from the loss", filtered),
    "overfit": Case("overfit", lambda: by_heart(blobs(1, rows=64))),
    "overfit-few": Case("overfit", lambda: by_heart(blobs(1, rows=64), eval_every=100)),
    "overfit-regression": Case(
        "overfit",
        lambda: regression(
            constant(0.01), seed=1, data=curve(1, rows=64, noise=0.8), width=64, optimizer=Adam
        ),
    ),
    "blind": Case(
        "plateau, at ln K", lambda: classes(constant(0.1), data=without_inputs(blobs(0)))
    ),
    "blind-of-two": Case(
        "plateau, at ln K", lambda: classes(constant(0.05), data=without_inputs(blobs(0, k=2)))
    ),
    "blind-biased": Case("plateau, down to ln K", biased),
    "blind-skewed": Case(
        "plateau, at the frequencies",
        lambda: classes(constant(0.003), data=without_inputs(skewed(0)), optimizer=Adam),
    ),
    "blind-regression": Case(
        "plateau, elsewhere", lambda: regression(constant(0.01), data=without_inputs(curve(0)))
    ),
    "blind-in-millions": Case(
        "plateau, elsewhere",
        lambda: regression(
            constant(1e-3), data=without_inputs(curve(0, scale=1e3)), optimizer=Adam
        ),
    ),
    "wild-step": Case("loss-spike", lambda: classes(once(5.0, 700, 0.05))),
    "wild-step-adam": Case("loss-spike", lambda: classes(once(0.5, 700, 0.003), optimizer=Adam)),
    "wild-step-regression": Case("loss-spike", lambda: regression(once(0.5, 700, 0.05), seed=6)),
    "growing-weights": Case("exploding-gradients", lambda: classes(constant(0.1), decay=-0.05)),
    "growing-weights-regression": Case(
        "exploding-gradients", lambda: regression(constant(0.02), decay=-0.1)
    ),
    "killed-units": Case("vanishing-gradients, all of them", killed_units),
    "sigmoids": Case("vanishing-gradients, early layers", sigmoids),
    "masked": Case("loss-zero", lambda: classes(constant(0.1), data_at=masked_from(0))),
    "masked-midway": Case("loss-zero", lambda: classes(constant(0.1), data_at=masked_from(500))),
    "corrupted": Case(
        "corrupted-labels",
        lambda: classes(cosine(0.01), data=relabelled(blobs(0), 0.4), optimizer=Adam),
    ),
    "shuffled": Case(
        "shuffled-labels, not yet memorised",
        lambda: classes(cosine(0.02), data=relabelled(blobs(0, rows=20_000), 1)),
    ),
    "shuffled-memorised": Case(
        "shuffled-labels, memorised", lambda: by_heart(relabelled(blobs(1, rows=64), 1))
    ),
    "slow": Case("lr-too-low", lambda: classes(constant(1e-3))),
    "slow-regression": Case("lr-too-low", lambda: regression(constant(1e-4), seed=7)),
    "zero-rate": Case("lr-zero", lambda: regression(constant(0.0))),
    "not-updated": Case("not updated", not_updated),
    "ended-early": Case("schedule-ended-early", lambda: classes(cosine(0.05, steps=300))),
    "never-stepped": Case(
        "schedule-never-stepped", lambda: classes(constant(0.05), optimizer=momentum)
    ),
    "far-start": Case("bad-init", far_start),
    "three-points": Case("too short", lambda: classes(constant(0.1), steps=3, eval_every=4)),
    "bandit": Case("reinforcement learning", reinforced),
    "gpt-leak": Case("mask-leak", lambda: minigpt_log("gpt-leak")),
    "gpt-hundredfold": Case("bad-init", lambda: minigpt_log("gpt-hundredfold")),
    "gpt-full-speed": Case("no-warmup", lambda: minigpt_log("gpt-full-speed")),
    # without a fault
    "gpt": Case("healthy", lambda: minigpt_log("gpt")),
    "constant": Case("healthy", lambda: classes(constant(0.1), seed=1)),
    "constant-again": Case("healthy", lambda: classes(constant(0.1), seed=2)),
    "cosine": Case("healthy", lambda: classes(cosine(0.01, warmup=60), seed=3, optimizer=Adam)),
    "cosine-again": Case(
        "healthy", lambda: classes(cosine(0.01, warmup=60), seed=4, optimizer=Adam)
    ),
    "momentum": Case(
        "healthy", lambda: classes(cosine(0.05, warmup=100), seed=5, optimizer=momentum)
    ),
    "regression": Case("healthy", lambda: regression(cosine(0.01), seed=6, optimizer=Adam)),
    "regression-constant": Case("healthy", lambda: regression(constant(0.05), seed=7)),
    "in-millions": Case(
        "healthy",
        lambda: regression(cosine(0.5, end=0.1), data=curve(8, scale=1e3), optimizer=Adam),
    ),
    "in-millionths": Case(
        "healthy", lambda: regression(constant(0.05), seed=9, data=curve(9, scale=1e-3))
    ),
    "small-batches": Case("healthy", lambda: classes(cosine(0.02), seed=10, batch=2)),
    "clipped": Case("healthy", logged_after_clipping),
    "decayed-to-a-tenth": Case(
        "healthy", lambda: classes(cosine(0.1, steps=600, end=0.1), seed=11)
    ),
    "mid-schedule": Case("healthy", lambda: classes(cosine(0.1, warmup=100), seed=12)[:500]),
    "resumed": Case("healthy", lambda: classes(constant(0.02), seed=13)[200:]),
    "killed-and-resumed": Case("healthy", repeated),
    "steady-gap": Case(
        "healthy", lambda: regression(constant(0.05), data=line(3, rows=60), width=0)
    ),
    "past-its-best": Case(
        "healthy",
        lambda: classes(constant(0.002), seed=14, data=blobs(14, rows=1200), optimizer=Adam),
    ),
    "full-batch": Case(
        "healthy", lambda: regression(constant(0.05), data=curve(0, rows=200), width=0, batch=0)
    ),
    "outlying-row": Case("healthy", outlying_row),
    "half-precision": Case("healthy", half_precision),
    "easy": Case(
        "healthy", lambda: rounded(classes(constant(0.01), data=blobs(0, spread=6), optimizer=Adam))
    ),
    "density": Case("healthy", gaussian),
    "dropout": Case("healthy", with_dropout),
    "hard": Case(
        "a fall within its noise",
        lambda: regression(constant(0.02), seed=15, data=curve(15, noise=2)),
    ),
    "restarts": Case("healthy", lambda: classes(restarts(0.01, 300), seed=16, optimizer=Adam)),
    "fine-tuned": Case("a fall within its noise", lambda: continued(1e-3, blobs(0, spread=0.75))),
    "high-peak": Case("healthy", lambda: classes(cosine(2.0, warmup=400))),
    "resumed-late": Case(
        "learned before", lambda: classes(cosine(0.01, warmup=60), seed=13, optimizer=Adam)[100:]
    ),
    "learned-before": Case("learned before", lambda: continued(1e-5, blobs(0))),
}  # fmt: skip


@cache
def rows_of(name: str) -> tuple[Row, ...]:
    """The log of a case. It is kept in FOLDER, until the source that trains it changes."""
    if name in GPT:  # its record is kept
        return tuple(CASES[name].make())
    return tuple(load_or_make_log(name, _log_key(), CASES[name].make, FOLDER))


@cache
def _log_key() -> str:
    """A key over the source that trains the small networks, the version of NumPy and the
    machine."""
    sources = (Path(__file__), Path(small_net.__file__))
    return cache_key.key(
        "".join(source.read_text(encoding="utf-8") for source in sources), cache_key.environment()
    )
