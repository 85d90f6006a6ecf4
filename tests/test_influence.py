"""What a token may influence, and what it must influence, is proven on real trainings: faults that
are put into attention and normalisation are found, runs without a fault and models that are unusual
on purpose are not accused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from model import BREAKS, HEALTHY, build
from model.attention import Attention, AttentionPattern, Rotary, Rows
from model.config import Model
from model.layers import LayerNorm, LayerNormCache
from model.train import Specimen
from probes import Record, Recorder, diagnose, watch
from probes.diagnosis.detectors import blind, future, rows
from probes.diagnosis.detectors.attention_sum import DETECTOR as ATTENTION_SUM
from probes.diagnosis.detectors.attention_sum import MAX_SUM_ERROR
from probes.proofs import Prover, attention, influence
from probes.proofs.base import plain_weights
from probes.recording.watch import watched_steps
from tests.judging import found, symptoms, why_not
from tests.records import hand_made

SHORT = replace(HEALTHY, steps=16, eval_every=16)
FACTS = {"causal": True}
DETECTORS = (rows.DETECTOR, future.INFLUENCE, future.ATTENTION, blind.VIEW, blind.ORDER)
OWN = {symptom.name for one in (*DETECTORS, ATTENTION_SUM) for symptom in one.symptoms}
Pattern = Any
"""What `AttentionPattern.forward` returns."""


def first_step(specimen: Specimen) -> Record:
    """The record of the first step."""
    recorder = Recorder(**specimen.facts())
    with closing(watched_steps(specimen, recorder)) as steps:
        next(steps)
    return recorder.record


def shown(record: Record) -> set[str]:
    """The symptoms of this page that are found."""
    return {finding.symptom for finding in diagnose(record).findings} & OWN


# Faults, each of which replaces one method of a module

of, softmax, by_head, spread, turn = (
    Rows.of,
    AttentionPattern.forward,
    Attention._by_head,
    Attention._spread,
    Rotary.turn,
)


def masked(change: Callable[[Any, Any, Any], Any]) -> tuple[type, str, Any]:
    """Replaces the mask. The arguments of `change` are the mask [B, T, T], queries [T, 1] and keys
    [T]; padding is hidden afterwards."""

    def replaced(start: int, lengths: Any, mask: Any) -> Rows:
        group = of(start, lengths, mask)
        keys = np.arange(group.visible.shape[-1])
        real = keys < lengths[:, None]
        visible = change(group.visible, keys[:, None], keys)
        return group._replace(visible=visible & real[:, None, :] & real[:, :, None])

    return Rows, "of", staticmethod(replaced)


def weighted(change: Callable[[Any, Any], Any]) -> tuple[type, str, Any]:
    """Replaces the softmax. The arguments of `change` are scores and mask, [B, H, T, T] and [B, 1,
    T, T]; it returns the weights."""

    def replaced(self: AttentionPattern, scores: Any, *, visible: Any) -> Pattern:
        weights = change(scores.copy(), visible[:, None])
        return weights.astype(scores.dtype), weights.astype(scores.dtype)

    return AttentionPattern, "forward", replaced


def over(axis: int, scores: Any, visible: Any) -> Any:
    """Softmax over an axis of the scores."""
    weights = np.exp(scores - scores.max()) * visible
    return weights / np.maximum(weights.sum(axis=axis, keepdims=True), 1e-30)


def one_head(change: Callable[[Any, Any], Any], scores: Any, visible: Any) -> Any:
    """The weights of the second head are those of another mask."""
    weights = over(-1, scores, visible)
    weights[:, 1] = over(-1, scores, change(weights, visible))[:, 1]
    return weights


def everything(_weights: Any, visible: Any) -> Any:
    return visible.any(-1)[..., None, :] & visible.any(-1)[..., None]


def only_itself(weights: Any, visible: Any) -> Any:
    return visible & np.eye(weights.shape[-1], dtype=bool)


def after_softmax(scores: Any, visible: Any) -> Any:
    return over(-1, scores, np.ones_like(visible)) * visible


def penalised(scores: Any, visible: Any) -> Any:
    """The mask subtracts only 10 from a score."""
    return over(-1, scores - 10 * ~visible, np.ones_like(visible))


def not_turned(self: Rotary, qkv: Any, back: bool = False) -> None:
    qkv[..., : 2 * qkv.shape[-1] // 3] *= self._scale


def turned_by_row(self: Rotary, qkv: Any, back: bool = False) -> None:
    """The angle is that of the row in the batch."""
    swapped = np.ascontiguousarray(qkv.swapaxes(0, 1))
    turn(self, swapped, back)
    qkv[...] = swapped.swapaxes(0, 1)


def viewed(self: Attention, padded: Any, parts: int) -> Any:
    """A view takes positions for heads, where axes should be exchanged."""
    if parts == 1:
        return by_head(self, padded, parts)
    B, T, _ = padded.shape
    split = np.ascontiguousarray(padded.reshape(B, T, 3, -1).transpose(2, 0, 1, 3))
    return split.reshape(3, B, self.n_heads, T, -1)


def keys_of_next_row(self: Attention, padded: Any, parts: int) -> Any:
    heads = by_head(self, padded, parts)
    return heads if parts == 1 else np.stack([heads[0], *np.roll(heads[1:], 1, axis=1)])


def gathered_late(self: Attention, name: str, packed: Any, group: Rows) -> Any:
    late = np.minimum(group.spread + 1, len(packed) - 1)
    return spread(self, name, packed, group._replace(spread=late))


def normalised(axis: int | None, self: LayerNorm, x: Any) -> Any:
    """LayerNorm over an axis of the packed tokens [N, C], or over both."""
    xhat = x - x.mean(axis=axis, keepdims=True)
    xhat /= np.sqrt(np.square(xhat).mean(axis=axis, keepdims=True) + self.eps)
    return xhat * self.scale.data + self.shift.data, LayerNormCache(xhat, np.ones_like(x[:, :1]))


def norm_over(axis: int | None) -> tuple[type, str, Any]:
    return LayerNorm, "forward", lambda self, x: normalised(axis, self, x)


FAULTS: dict[str, tuple[tuple[type, str, Any], set[str], str]] = {
    "mask transposed": (
        masked(lambda mask, q, k: k >= q + 0 * mask),
        {"future-influence", "future-attention", "keys-hidden", "position-unreached"},
        "mask-leak",
    ),
    "mask inverted": (
        masked(lambda mask, q, k: k > q + 0 * mask),
        {"future-influence", "future-attention", "keys-hidden", "position-unreached"},
        "mask-leak",
    ),
    "next token seen": (
        masked(lambda mask, q, k: mask | (k == q + 1)),
        {"future-influence", "future-attention"},
        "mask-leak",
    ),
    "a tenth of the keys seen": (
        masked(lambda mask, q, k: mask | (k % 10 == 0)),
        {"future-influence", "future-attention"},
        "mask-leak",
    ),
    "one head leaks": (
        weighted(partial(one_head, everything)),
        {"future-influence", "future-attention"},
        "mask-leak",
    ),
    "mask of finite size": (
        weighted(penalised),
        {"future-influence", "future-attention", "company-influence"},
        "mask-leak",
    ),
    "packed tokens shifted": (
        (Attention, "_spread", gathered_late),
        {"future-influence", "position-unreached", "company-influence"},
        "mask-leak",
    ),
    "query hidden from itself": (
        masked(lambda m, q, k: m & (k < q)),
        {"keys-hidden"},
        "blind-attention",
    ),
    "window of 16": (masked(lambda m, q, k: m & (k > q - 16)), {"keys-hidden"}, "blind-attention"),
    "first token hidden": (
        masked(lambda m, q, k: m & ((k > 0) | (q == 0))),
        {"keys-hidden", "position-unreached"},
        "blind-attention",
    ),
    "one head sees itself only": (
        weighted(partial(one_head, only_itself)),
        {"keys-hidden"},
        "blind-attention",
    ),
    "no positions": ((Rotary, "turn", not_turned), {"order-ignored"}, "order-blind"),
    "positions of rows": ((Rotary, "turn", turned_by_row), {"order-ignored"}, "order-blind"),
    "keys of another row": (
        (Attention, "_by_head", keys_of_next_row),
        {"row-influence", "future-influence", "position-unreached", "company-influence"},
        "rows-mixed",
    ),
    "norm over tokens": (
        norm_over(0),
        {"row-influence", "future-influence", "company-influence", "order-ignored"},
        "rows-mixed",
    ),
    "norm over everything": (
        norm_over(None),
        {"row-influence", "future-influence", "company-influence"},
        "rows-mixed",
    ),
    "view for transpose": (
        (Attention, "_by_head", viewed),
        {"future-influence", "company-influence"},
        "mask-leak",
    ),
    "mask after softmax": (
        weighted(after_softmax),
        {"attention-not-a-mean", "future-influence", "company-influence"},
        "wrong-softmax",
    ),
    "softmax over queries": (
        weighted(partial(over, -2)),
        {"attention-not-a-mean", "future-influence"},
        "wrong-softmax",
    ),
    "softmax over heads": (weighted(partial(over, 1)), {"attention-not-a-mean"}, "wrong-softmax"),
    "softmax over rows": (
        weighted(partial(over, 0)),
        {"attention-not-a-mean", "row-influence", "future-influence", "company-influence"},
        "wrong-softmax",
    ),
}
"""Fault -> the method that it replaces, the symptoms that prove it, and its cause."""


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], str]:
    replaced, expected, cause = FAULTS[request.param]
    monkeypatch.setattr(*replaced)
    return expected, cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_fault_is_proven_at_the_first_step(fault: tuple[set[str], str]) -> None:
    """The record of the first step is enough to find its symptoms and to name its cause. Some of
    these faults also spoil the gradient, which is a cause of its own."""
    expected, cause = fault
    specimen = build(SHORT)
    record = first_step(specimen)
    assert shown(record) == expected
    assert cause in [suspect.name for suspect in diagnose(record, ended=False).causes][:2]


@pytest.mark.parametrize(
    "model",
    [
        Model(),
        Model(n_layers=1, n_heads=1, d_model=32, d_ff=128),
        Model(n_layers=4, n_heads=8, d_model=128, d_ff=512),
        Model(init_scale=0.01),
        Model(init_scale=100.0),
        Model(dtype="float64"),
    ],
    ids=["healthy", "small", "large", "tiny weights", "huge weights", "float64"],
)
def test_a_model_in_order_is_not_accused(model: Model) -> None:
    """The scale of its weights does not matter, and every detector judges it."""
    record = first_step(build(replace(SHORT, model=model)))
    assert shown(record) == set()
    assert {one.name for one in (*DETECTORS, ATTENTION_SUM)} <= set(diagnose(record).judged)


def test_weights_that_hide_tokens_are_not_taken_for_a_mask() -> None:
    """All embeddings are equal, so that no token has an influence. That is a fault of the weights;
    the experiments use weights of their own."""
    specimen = build(SHORT)
    weights = specimen.weights()
    weights["embed.weight"][...] = 0.1
    specimen.set_weights(weights)
    assert shown(first_step(specimen)) == set()


def test_a_model_that_does_not_see_its_input_is_named() -> None:
    """It looks up the same embedding for every token."""
    specimen = build(SHORT)
    embed = specimen.model.embed
    in_order = embed.forward
    embed.forward = lambda tokens: in_order(np.zeros_like(tokens))  # type: ignore[method-assign]
    record = first_step(specimen)
    assert shown(record) == {"input-ignored"}
    assert "blind-to-input" in [one.name for one in diagnose(record, ended=False).causes][:2]


def test_dropout_of_attention_is_not_taken_for_a_mask() -> None:
    """It hides keys, and others in every pass."""
    specimen, rng = build(SHORT), np.random.default_rng(0)
    pattern = specimen.model.blocks[0].attn.pattern
    in_order = pattern.forward

    def dropped(scores: Any, *, visible: Any) -> Pattern:
        weights, cache = in_order(scores, visible=visible)
        weights *= rng.random(weights.shape) < 0.7
        return weights, cache

    pattern.forward = dropped  # type: ignore[method-assign]
    assert shown(first_step(specimen)) == set()


def test_a_leak_in_a_few_steps_is_seen_by_the_hook() -> None:
    """The mask of one head is missing at every tenth step, at none of which a proof runs."""
    specimen, now = build(replace(SHORT, steps=24)), 0
    pattern = specimen.model.blocks[1].attn.pattern
    in_order = pattern.forward

    def leak_at_times(scores: Any, *, visible: Any) -> Pattern:
        raw = scores.copy()
        weights, cache = in_order(scores, visible=visible)
        if specimen.model.training and now % 10 == 5:
            weights[:, 2] = over(-1, raw, everything(None, visible[:, None]))[:, 2]
        return weights, cache

    pattern.forward = leak_at_times  # type: ignore[method-assign]
    recorder = Recorder(**specimen.facts())
    for step in watched_steps(specimen, recorder):
        now = step.index + 1
    assert [(one.site, one.step) for one in found(future.ATTENTION, recorder.record)] == [
        ("blocks.1.attn.pattern.2", 5)
    ]
    assert found(future.INFLUENCE, recorder.record) == []
    assert diagnose(recorder.record).cause == "mask-leak"


def test_the_mask_leak_is_certain_at_the_first_step() -> None:
    """Its loss is then that of a healthy run."""
    diagnosis = diagnose(watch(build(BREAKS["mask-leak"].apply(SHORT))))
    assert (diagnosis.cause, diagnosis.causes[0].certain_since) == ("mask-leak", 0)


def test_a_model_that_draws_noise_is_not_judged_by_what_moves() -> None:
    """Its logits move without any change of the tokens."""
    specimen, rng = build(SHORT), np.random.default_rng(0)
    norm = specimen.model.norm
    in_order = norm.forward

    def noisy(x: Any) -> Any:
        y, cache = in_order(x)
        return y + 0.1 * rng.standard_normal(y.shape).astype(y.dtype), cache

    norm.forward = noisy  # type: ignore[method-assign]
    record = first_step(specimen)
    assert not any(record.sites(name) for name in influence.SIGNALS)
    assert why_not(rows.DETECTOR, record).startswith("neither row_influence")


@pytest.mark.parametrize("detector", DETECTORS[1:], ids=lambda one: one.name)
def test_only_a_model_that_says_so_must_be_causal(detector: Any) -> None:
    """An encoder sees tokens on both sides, and is not accused of it."""
    leak = {
        "future_influence": [1.0],
        "future_attention": {"a.0": [0.5]},
        "unreached_share": [0.5],
        "order_influence": [0.0],
    }
    assert len(found(detector, hand_made(leak, **FACTS))) == 1
    assert why_not(detector, hand_made(leak)) == "the record does not state causal"
    assert "not causal" in why_not(detector, hand_made(leak, causal=False))
    assert why_not(detector, hand_made({"loss": [1.0]}, **FACTS)).endswith("recorded")


def test_a_window_on_purpose_is_not_judged() -> None:
    record = hand_made({"unreached_share": [0.5]}, **FACTS, attention_window=8)
    assert "attention_window" in why_not(blind.VIEW, record)


@pytest.mark.parametrize(
    ("detector", "signal", "quiet", "loud"),
    [
        (future.INFLUENCE, "future_influence", future.MAX_INFLUENCE, 1.1e-4),
        (rows.DETECTOR, "row_influence", rows.MAX_ROW_INFLUENCE, 1.1e-5),
        (rows.DETECTOR, "company_influence", rows.MAX_COMPANY_INFLUENCE, 1.1e-3),
        (blind.VIEW, "unreached_share", blind.MAX_HIDDEN, 1.1e-3),
        (blind.ORDER, "order_influence", blind.MIN_ORDER_INFLUENCE, 0.019),
    ],
)
def test_a_value_is_found_beyond_its_limit_and_at_it_is_not(
    detector: Any, signal: str, quiet: float, loud: float
) -> None:
    assert found(detector, hand_made({signal: [quiet, quiet]}, **FACTS)) == []
    assert [
        step for _, _, step in symptoms(detector, hand_made({signal: [quiet, loud]}, **FACTS))
    ] == [1]


def test_a_sum_of_attention_is_judged_by_head() -> None:
    record = hand_made({"attention_sum_error": {"a.0": [MAX_SUM_ERROR], "a.1": [0.5]}})
    assert symptoms(ATTENTION_SUM, record) == [("attention-not-a-mean", "a.1", 0)]
    assert why_not(ATTENTION_SUM, hand_made({"loss": [1.0]})) == (
        "attention_sum_error was not recorded"
    )


def test_plain_weights_have_xavier_variance_and_are_the_same_each_time() -> None:
    """Vectors are kept."""
    weights = {"w": np.zeros((300, 100), np.float32), "scale": np.full(100, 3.0)}
    plain, again = plain_weights(weights), plain_weights(weights)
    assert plain["w"].var() == pytest.approx(2 / 400, rel=0.02)
    assert plain["w"].dtype == np.float32
    assert np.array_equal(plain["w"], again["w"])
    assert plain["scale"] is weights["scale"]


def test_rows_that_are_too_short_prove_nothing() -> None:
    """Rows of four tokens are left out of the experiment, so it measures nothing."""
    specimen = build(SHORT)
    specimen.tokens = lambda ids: [np.arange(4) for _ in ids]  # type: ignore[method-assign]
    signals = {name for proof in (influence.PROOF, attention.PROOF) for name in proof.signals}
    prover = Prover(specimen, signals=signals)
    prover.prepare(0)
    assert set(prover.readings(next(specimen.steps()))) == set(attention.PROOF.signals)
