"""Records made by hand, for tests that need no training."""

from collections.abc import Mapping, Sequence
from math import cos, pi
from typing import Any

import numpy as np
from hypothesis import strategies as st

from probes.record import Builder, Record

Values = Sequence[float | None]
STEPS = 40


def hand_made(
    signals: Mapping[str, Values | Mapping[str, Values]],
    *,
    steps: Sequence[int] | None = None,
    complete: bool = True,
    provenance: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Record:
    """A record with one row per value. A signal is a list of values, or one list for each site;
    None means not measured."""
    builder = Builder(facts, provenance or {"name": "hand-made"})
    lengths = [
        len(v) for s in signals.values() for v in (s.values() if isinstance(s, Mapping) else [s])
    ]
    for row, step in enumerate(steps if steps is not None else range(max(lengths, default=0))):
        readings = {}
        for name, values in signals.items():
            if isinstance(values, Mapping):
                readings[name] = {
                    site: v[row] for site, v in values.items() if v[row] is not None
                } or None
            else:
                readings[name] = values[row]
        builder.append(step, readings)
    return builder.record(complete)


def assert_same(record: Record, other: Record) -> None:
    """Fail unless two records are equal in everything; NaN equals NaN."""
    for name in ("facts", "provenance", "complete", "stopped", "steps"):
        np.testing.assert_equal(getattr(record, name), getattr(other, name), err_msg=name)
    assert list(record.tables) == list(other.tables)
    for name, table in record.tables.items():
        assert table.sites == other.tables[name].sites
        np.testing.assert_array_equal(table.values, other.tables[name].values, err_msg=name)


def sound(points: int = STEPS) -> dict[str, list[float]]:
    """Loss, gradient norm and learning rate of a run in which nothing is wrong."""
    return {
        "loss": [4.6 - 3.0 * i / points for i in range(points)],
        "grad_norm": [3.0] + [1.0] * (points - 1),
        "lr": [0.01 * (1 + cos(pi * i / points)) for i in range(points)],
    }


def changed(**signals: Values | Mapping[str, Values] | None) -> Record:
    """The sound run with some signals replaced or added; None leaves a signal out."""
    rows = {name: values for name, values in {**sound(), **signals}.items() if values is not None}
    return hand_made(rows, **FACTS)


def thorough(points: int = STEPS, **signals: Values | Mapping[str, Values] | None) -> Record:
    """A sound run that holds every signal some detector looks at, with some signals replaced."""
    losses = sound(points)["loss"]
    everything: dict[str, Any] = {
        **sound(points),
        "lr": [0.005 * (i + 1) for i in range(4)]
        + [0.011 + 0.009 * cos(pi * (i - 4) / (points - 5)) for i in range(4, points)],
        "train_loss": losses,
        "val_loss": losses,
        "activation": {"embed": [0.1] * points, "blocks.0": [1.0] * points},
        "update_weight_ratio": {"up": [0.01] * points, "down": [0.01] * points},
        "dead_fraction": {"ffn": [0.0] * points},
        "attention_entropy": {"attn.0": [0.8] * points, "attn.1": [0.3] * points},
        "loss_repeat_error": {"training": [0.0] * points, "evaluation": [0.0] * points},
        "future_attention": {"attn.0": [0.0] * points},
        "attention_sum_error": {"attn.0": [0.0] * points},
        "hidden_keys": {"attn.0": [0.0] * points},
        "future_influence": [0.0] * points,
        "unreached_share": [0.0] * points,
        "order_influence": [0.9] * points,
        "row_influence": [0.0] * points,
        "company_influence": [0.0] * points,
        "loss_ratio": {"step": [1.0] * points, "evaluated": [1.0] * points},
        "data_mismatch": {"tokens": [0.0] * points, "repeated": [0.0] * points},
        "gradient_error": {"used": [0.0] * points},
        "update_per_rate": {"up": [0.4] * points, "down": [0.4] * points},
        "first_update_scale": {"up": [1.0] + [None] * (points - 1)},
        "unexplained_change": {"largest": [0.0] * points},
        "metric": {"accuracy": [0.1 + 0.8 * i / points for i in range(points)]},
    }
    rows = {
        name: values for name, values in {**everything, **signals}.items() if values is not None
    }
    return hand_made(
        rows,
        **{
            **FACTS,
            "total_steps": points,
            "fan_in": {"up": 64, "down": 256},
            "ladder": LADDER,
            "causal": True,
            # With dropout, the two training losses need not agree, such as when one is replaced.
            "dropout": 0.1 if signals.keys() & {"loss", "train_loss"} else 0.0,
            **RULE,
        },
    )


RULE = {"lr_max": 0.02, "lr_min_ratio": 0.1, "optimizer": {"name": "adamw"}}
"""Facts about the update of `thorough`."""
FACTS: dict[str, Any] = {"vocab_size": 64, "total_steps": STEPS, "schedule": "warmup-cosine"}

_RUNGS = {"uniform": 4.16, "unigram": 3.0, "bigram": 1.8, "ngram": 1.79}
LADDER = {"train": {**_RUNGS, "floor": 0.2}, "val": {**_RUNGS, "floor": 0.15}}

SCALARS = st.sampled_from(
    [0.0, 1e-5, 0.05, 1.0, 3.0, 4.2, 6.0, 50.0, 5e3, float("inf"), float("-inf"), float("nan")]
)


@st.composite
def anything(draw: st.DrawFn) -> Record:
    """Records with faulty and sound values, gaps, sparse steps, missing facts and missing
    signals."""
    facts = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "vocab_size": st.sampled_from([64, 2, 1, 0, "64", None]),
                "total_steps": st.sampled_from([10, 60, 400, -1, "many", None]),
                "schedule": st.sampled_from(["constant", "warmup-cosine"]),
                "ladder": st.sampled_from(
                    [LADDER, {"train": {}, "val": {"floor": 0.15}}, {"val": 3}, None]
                ),
                "fan_in": st.sampled_from([{"up": 64}, {"up": 0}, {"other": 64}, 64, None]),
            },
        )
    )
    builder = Builder(facts, {"name": "anything"})
    step = draw(st.integers(0, 1))
    lr = draw(st.sampled_from([0.0, 0.01]))
    ill, turn = draw(st.integers(0, 30)), draw(st.integers(5, 40))
    level, fall = draw(st.sampled_from([(4.2, 0.1), (3.0, 0.0), (0.3, 0.02)]))
    evaluated = draw(st.booleans())
    for row in range(draw(st.integers(0, 34))):
        sane: dict[str, Any] = {"loss": 4.2 - 0.1 * row, "grad_norm": 1.0, "lr": lr}
        if evaluated:
            bend = level + fall * (abs(row - turn) - turn)
            sane |= {
                "train_loss": level - fall * row,
                "val_loss": bend,
                "update_weight_ratio": {"up": 0.3},
            }
            sane |= {
                "dead_fraction": {"ffn": row / 40},
                "attention_entropy": {"head": max(0.0, 0.2 - row / 100)},
            }
            sane |= {"activation": {"embed": 1.0 + row}}
        if row == ill or row == 0:
            sane |= draw(
                st.fixed_dictionaries(
                    {}, optional={"loss": SCALARS, "grad_norm": SCALARS, "lr": SCALARS}
                )
            )
            sites = st.dictionaries(
                st.sampled_from(["embed", "block", "loss"]), st.sampled_from([0.0, 1.0, 7.0])
            )
            sane |= draw(st.fixed_dictionaries({}, optional={"nonfinite_count": sites}))
            for name in draw(st.sets(st.sampled_from(["loss", "grad_norm", "lr"]))):
                del sane[name]
        builder.append(step, sane)
        step += draw(st.sampled_from([1, 1, 7]))
    return builder.record(complete=True)
