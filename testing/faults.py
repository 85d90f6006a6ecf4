"""Real trainings, sick and well, and the logs they leave: what verdicts on other people's logs are
tried on.

Each belongs to a row of `testing.knowable`, which says what can be known from it. Nothing here is
an invented curve: a fault is made where it arises (rate, data, labels, weights, mask, what the
trainer writes down) and the log is what the run then does. Of every run only the four common
signals are kept, `loss`, `val_loss`, `lr` and `grad_norm`; those of MiniGPT leave our own record as
well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np

from model import BREAKS, HEALTHY, Config, build
from probes.record import Record
from probes.recording.watch import watch
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

SHORT = replace(HEALTHY, steps=60, eval_every=12)
SEEN = ("loss", "val_loss", "lr", "grad_norm")


class Case(NamedTuple):
    """A training. `row` is its row of the table."""

    row: str
    make: Callable[[], list[Row]]


def classes(
    lr: Schedule, *, seed: int = 0, data: Data | None = None, width: int = 16, **how: Any
) -> list[Row]:
    """A classifier with one hidden layer; `how` are fields of Loop."""
    data = data or blobs(seed)
    net = Net((data.x.shape[1], width, data.y.shape[1]), "classes", seed)
    return train(net, data, Loop(lr, seed=seed, **how))


def regression(
    lr: Schedule, *, seed: int = 0, data: Data | None = None, width: int = 32, **how: Any
) -> list[Row]:
    """As `classes`; of width 0 it is linear."""
    data = data or curve(seed)
    net = Net((data.x.shape[1], width, 1) if width else (data.x.shape[1], 1), "squares", seed)
    return train(net, data, Loop(lr, seed=seed, **how))


# What is wrong with the data


def relabelled(data: Data, share: float, held_out: bool = True) -> Data:
    """A share of the targets dealt out again at random: the frequencies stay."""
    rng = np.random.default_rng(3)

    def dealt(y: Array) -> Array:
        chosen = np.flatnonzero(rng.random(len(y)) < share)
        mixed = y.copy()
        mixed[chosen] = y[rng.permutation(chosen)]
        return mixed

    return data._replace(y=dealt(data.y), val_y=dealt(data.val_y) if held_out else data.val_y)


def unseen(data: Data) -> Data:
    """The inputs never arrive."""
    return data._replace(x=0 * data.x, val_x=0 * data.val_x)


def masked_from(step: int) -> Callable[[int, Array, Array], tuple[Array, Array]]:
    """No target counts from there on, as when every label is the index that the loss ignores."""
    return lambda now, x, y: (x, y * (now < step))


def skewed(seed: int) -> Data:
    """Classes of unlike frequency, so that a model that sees nothing does not score ln K."""
    data = blobs(seed, rows=4000)
    rng, shares = np.random.default_rng(4), np.array([1.0, 0.5, 0.2, 0.1])
    kept, val_kept = (rng.random(len(y)) < y @ shares for y in (data.y, data.val_y))
    return Data(data.x[kept], data.y[kept], data.val_x[val_kept], data.val_y[val_kept])


# What is wrong with the run


def once(wild: float, at: int, lr: float) -> Schedule:
    """A good rate but for one step."""
    return lambda step: wild if step == at else lr


def killed_units() -> list[Row]:
    """At step 500 an update drives every hidden unit below zero; with no bias behind them nothing
    gets a gradient."""
    net = Net((8, 16, 4), "classes", 0)
    net.frozen = (3,)

    def before(step: int, net: Net) -> None:
        if step == 500:
            net.params[1][:] = -100

    return train(net, blobs(0), Loop(constant(0.1), before=before))


def biased() -> list[Row]:
    """Blind, and wrong at first: what it unlearns is the bias of its last layer."""
    net = Net((8, 16, 4), "classes", 0)
    net.params[3][:] = (1.5, 0, 0, -1.5)
    return train(net, unseen(blobs(0)), Loop(constant(0.05)))


def sigmoids() -> list[Row]:
    """Eight layers of sigmoids: the first ones get next to no gradient, the last one gets its
    own."""
    return train(Net((8, *(16,) * 8, 4), "classes", 0, sigmoid=True), blobs(0), Loop(constant(0.1)))


def far_start() -> list[Row]:
    """Weights eight times too large: confidently wrong at first."""
    return train(Net((8, 16, 4), "classes", 0, scale=8.0), blobs(0), Loop(constant(0.02)))


def by_heart(data: Data, **loop: Any) -> list[Row]:
    """A network with far more weights than there are rows."""
    return classes(constant(0.003), seed=1, data=data, width=64, optimizer=Adam, **loop)


def filtered() -> list[Row]:
    """A run that overflows, as a trainer that filters NaN out of its log writes it down."""
    rows = regression(lambda step: 0.02 if step < 400 else 3.0)
    return [row if isfinite(row["loss"]) else row | {"loss": 0.0, "grad_norm": nan} for row in rows]


def reinforced() -> list[Row]:
    """REINFORCE on a bandit of four arms: the loss is an advantage times a log-probability."""
    rng, logits, baseline, rows = np.random.default_rng(0), np.zeros(4), 0.0, []
    for step in range(1200):
        p = np.exp(logits - logits.max())
        p /= p.sum()
        arms = rng.choice(4, 16, p=p)
        rewards = 0.3 * arms + rng.standard_normal(16)
        advantages = rewards - baseline
        baseline += 0.05 * (rewards.mean() - baseline)
        gradient = -(advantages[:, None] * (np.eye(4)[arms] - p)).mean(axis=0)
        loss = float(-(advantages * np.log(p[arms])).mean())
        norm = float(np.linalg.norm(gradient))
        rows.append(
            {
                "step": step,
                "loss": loss,
                "lr": 0.05,
                "grad_norm": norm,
                "reward": float(rewards.mean()),
            }
        )
        logits -= 0.05 * gradient
    return rows


# What is well, and may not look it


def continued(lr: float, data: Data, steps: int = 1200) -> list[Row]:
    """Training goes on from weights that were trained before, and is logged from 0."""
    net = Net((8, 16, 4), "classes", 0)
    train(net, blobs(0), Loop(cosine(0.01), optimizer=Adam))
    return train(net, data, Loop(constant(lr), steps=steps, optimizer=Adam, seed=1))


def outlying_row() -> list[Row]:
    """One row of one batch lies far out: its gradient is a hundred times the usual, is clipped, and
    does no harm."""
    data, net = curve(6), Net((4, 32, 1), "squares", 6)

    def data_at(step: int, x: Array, y: Array) -> tuple[Array, Array]:
        if step == 700:
            x, y = x.copy(), y.copy()
            x[0] *= 300
            y[0] = net.outputs(x[:1])[0] + 1
        return x, y

    return train(net, data, Loop(cosine(0.01), optimizer=Adam, clip=5.0, data_at=data_at))


def scaled_in_half() -> list[Row]:
    """Half precision: the loss scale is found by overflowing, at first and whenever it is raised;
    no update then."""
    skipped = (0, 1, 600)
    rows = classes(lambda step: 0.0 if step in skipped else 0.1)
    return [
        row | {"lr": 0.1} | ({"grad_norm": float("inf")} if row["step"] in skipped else {})
        for row in rows
    ]


def gaussian() -> list[Row]:
    """A density's loss falls through zero."""
    return train(
        Net((4, 32, 2), "gaussian", 0), curve(0, noise=0.05), Loop(cosine(0.01), optimizer=Adam)
    )


def dropped_out() -> list[Row]:
    """Training loss is measured under dropout and stays above validation loss."""
    net = Net((8, 32, 4), "classes", 0)
    net.dropout = 0.4
    return train(net, blobs(0), Loop(cosine(0.01), optimizer=Adam))


def rounded(rows: list[Row]) -> list[Row]:
    """To four digits, as trainers write a loss down."""
    return [
        row | {name: round(row[name], 4) for name in ("loss", "val_loss") if name in row}
        for row in rows
    ]


def repeated() -> list[Row]:
    """Killed at step 700 and resumed from the checkpoint of step 600, in the same log."""
    rows = classes(constant(0.1))
    return rows[:700] + rows[600:]


def clipped() -> list[Row]:
    """The norm that is written down is the one after clipping."""
    rows = classes(constant(0.1), clip=0.5)
    return [row | {"grad_norm": min(row["grad_norm"], 0.5)} for row in rows]


def momentum() -> Sgd:
    return Sgd(0.9)


# MiniGPT


@cache
def own(name: str) -> Record:
    """The whole record of a MiniGPT run."""
    return watch(build(GPT[name]))


GPT: Mapping[str, Config] = {
    "gpt": SHORT,
    "gpt-leak": BREAKS["mask-leak"].apply(SHORT),
    "gpt-hundredfold": BREAKS["bad-init"].apply(SHORT),
    "gpt-full-speed": BREAKS["no-warmup"].apply(SHORT),
}


def log_of(name: str) -> list[Row]:
    record = own(name)
    rows: dict[int, Row] = {int(step): {"step": int(step)} for step in record.steps}
    for signal in SEEN:
        for step, value in zip(*record.series(signal), strict=True):
            rows[int(step)][signal] = float(value)
    return list(rows.values())


def of_gpt(row: str, name: str) -> Case:
    return Case(row, lambda: log_of(name))


CASES: Mapping[str, Case] = {
    # sick
    "ascending": Case("diverged", lambda: classes(constant(-0.003))),
    "ascending-regression": Case("diverged", lambda: regression(constant(-0.0001))),
    "wild-rate": Case("lr-too-high, from the start", lambda: classes(constant(1.0), optimizer=Adam)),
    "peak-too-high": Case("lr-too-high, under a schedule", lambda: classes(cosine(0.6, warmup=400), optimizer=Adam)),
    "peak-too-high-plain": Case("lr-too-high, under a schedule", lambda: classes(cosine(4.0, warmup=600))),
    "peak-far-too-high": Case("lr-too-high, for good", lambda: classes(cosine(1.0, warmup=400), optimizer=Adam)),
    "constant-too-high": Case("lr-too-high, constant", lambda: classes(constant(0.2), optimizer=Adam)),
    "overflow": Case("non-finite", lambda: regression(lambda step: 0.02 if step < 400 else 3.0)),
    "overflow-at-once": Case("non-finite", lambda: regression(constant(0.5))),
    "overflow-filtered": Case("non-finite, filtered from the loss", filtered),
    "overfit": Case("overfit", lambda: by_heart(blobs(1, rows=64))),
    "overfit-few": Case("overfit", lambda: by_heart(blobs(1, rows=64), eval_every=100)),
    "overfit-regression": Case(
        "overfit",
        lambda: regression(constant(0.01), seed=1, data=curve(1, rows=64, noise=0.8), width=64, optimizer=Adam),
    ),
    "blind": Case("plateau, at ln K", lambda: classes(constant(0.1), data=unseen(blobs(0)))),
    "blind-of-two": Case("plateau, at ln K", lambda: classes(constant(0.05), data=unseen(blobs(0, k=2)))),
    "blind-biased": Case("plateau, down to ln K", biased),
    "blind-skewed": Case(
        "plateau, at the frequencies", lambda: classes(constant(0.003), data=unseen(skewed(0)), optimizer=Adam)
    ),
    "blind-regression": Case("plateau, elsewhere", lambda: regression(constant(0.01), data=unseen(curve(0)))),
    "blind-in-millions": Case(
        "plateau, elsewhere", lambda: regression(constant(1e-3), data=unseen(curve(0, scale=1e3)), optimizer=Adam)
    ),
    "wild-step": Case("loss-spike", lambda: classes(once(5.0, 700, 0.05))),
    "wild-step-adam": Case("loss-spike", lambda: classes(once(0.5, 700, 0.003), optimizer=Adam)),
    "wild-step-regression": Case("loss-spike", lambda: regression(once(0.5, 700, 0.05), seed=6)),
    "growing-weights": Case("exploding-gradients", lambda: classes(constant(0.1), decay=-0.05)),
    "growing-weights-regression": Case("exploding-gradients", lambda: regression(constant(0.02), decay=-0.1)),
    "killed-units": Case("vanishing-gradients, all of them", killed_units),
    "sigmoids": Case("vanishing-gradients, early layers", sigmoids),
    "masked": Case("loss-zero", lambda: classes(constant(0.1), data_at=masked_from(0))),
    "masked-midway": Case("loss-zero", lambda: classes(constant(0.1), data_at=masked_from(500))),
    "corrupted": Case(
        "corrupted-labels", lambda: classes(cosine(0.01), data=relabelled(blobs(0), 0.4), optimizer=Adam)
    ),
    "shuffled": Case(
        "shuffled-labels, not yet memorised",
        lambda: classes(cosine(0.02), data=relabelled(blobs(0, rows=20_000), 1)),
    ),
    "shuffled-memorised": Case("shuffled-labels, memorised", lambda: by_heart(relabelled(blobs(1, rows=64), 1))),
    "slow": Case("lr-too-low", lambda: classes(constant(1e-3))),
    "slow-regression": Case("lr-too-low", lambda: regression(constant(1e-4), seed=7)),
    "zero-rate": Case("lr-zero", lambda: regression(constant(0.0))),
    "ended-early": Case("schedule-ended-early", lambda: classes(cosine(0.05, steps=300))),
    "never-stepped": Case("schedule-never-stepped", lambda: classes(constant(0.05), optimizer=momentum)),
    "far-start": Case("bad-init", far_start),
    "eight-points": Case("too short", lambda: classes(constant(0.1), steps=8, eval_every=4)),
    "bandit": Case("reinforcement learning", reinforced),
    "gpt-leak": of_gpt("mask-leak", "gpt-leak"),
    "gpt-hundredfold": of_gpt("bad-init", "gpt-hundredfold"),
    "gpt-full-speed": of_gpt("no-warmup", "gpt-full-speed"),
    # well
    "gpt": of_gpt("healthy", "gpt"),
    "constant": Case("healthy", lambda: classes(constant(0.1), seed=1)),
    "constant-again": Case("healthy", lambda: classes(constant(0.1), seed=2)),
    "cosine": Case("healthy", lambda: classes(cosine(0.01, warmup=60), seed=3, optimizer=Adam)),
    "cosine-again": Case("healthy", lambda: classes(cosine(0.01, warmup=60), seed=4, optimizer=Adam)),
    "momentum": Case("healthy", lambda: classes(cosine(0.05, warmup=100), seed=5, optimizer=momentum)),
    "regression": Case("healthy", lambda: regression(cosine(0.01), seed=6, optimizer=Adam)),
    "regression-constant": Case("healthy", lambda: regression(constant(0.05), seed=7)),
    "in-millions": Case("healthy", lambda: regression(cosine(0.5, end=0.1), data=curve(8, scale=1e3), optimizer=Adam)),
    "in-millionths": Case("healthy", lambda: regression(constant(0.05), seed=9, data=curve(9, scale=1e-3))),
    "small-batches": Case("healthy", lambda: classes(cosine(0.02), seed=10, batch=2)),
    "clipped": Case("healthy", clipped),
    "decayed-to-a-tenth": Case("healthy", lambda: classes(cosine(0.1, steps=600, end=0.1), seed=11)),
    "mid-schedule": Case("healthy", lambda: classes(cosine(0.1, warmup=100), seed=12)[:500]),
    "resumed": Case("healthy", lambda: classes(constant(0.02), seed=13)[200:]),
    "killed-and-resumed": Case("healthy", repeated),
    "steady-gap": Case("healthy", lambda: regression(constant(0.05), data=line(3, rows=60), width=0)),
    "past-its-best": Case(
        "healthy", lambda: classes(constant(0.002), seed=14, data=blobs(14, rows=1200), optimizer=Adam)
    ),
    "full-batch": Case("healthy", lambda: regression(constant(0.05), data=curve(0, rows=200), width=0, batch=0)),
    "outlying-row": Case("healthy", outlying_row),
    "half-precision": Case("healthy", scaled_in_half),
    "easy": Case("healthy", lambda: rounded(classes(constant(0.01), data=blobs(0, spread=6), optimizer=Adam))),
    "density": Case("healthy", gaussian),
    "dropout": Case("healthy", dropped_out),
    "hard": Case("a fall within its noise", lambda: regression(constant(0.02), seed=15, data=curve(15, noise=2))),
    "restarts": Case("healthy", lambda: classes(restarts(0.01, 300), seed=16, optimizer=Adam)),
    "fine-tuned": Case("a fall within its noise", lambda: continued(1e-3, blobs(0, spread=0.75))),
    "high-peak": Case("healthy", lambda: classes(cosine(2.0, warmup=400))),
    "resumed-late": Case("learned before", lambda: classes(cosine(0.01, warmup=60), seed=13, optimizer=Adam)[100:]),
    "learned-before": Case("learned before", lambda: continued(1e-5, blobs(0))),
}  # fmt: skip


@cache
def rows_of(name: str) -> tuple[Row, ...]:
    """The log of a case, trained once."""
    return tuple(CASES[name].make())
