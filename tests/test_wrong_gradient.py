"""Gradients that are wrong, stale or replaced are found in real trainings, and told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import MethodType
from typing import Any

import numpy as np
import pytest

from model import HEALTHY, build
from model.train import Specimen
from probes import watch
from probes.diagnosis.detectors.wrong_gradient import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.judging import found, why_not
from tests.records import hand_made, thorough

SHORT = replace(HEALTHY, steps=16, eval_every=8)


def no_mean_term(specimen: Specimen) -> None:
    """The final LayerNorm's backward pass lacks the term of the mean."""

    def backward(self: Any, dy: Any, cache: Any) -> Any:
        xhat, rstd = cache
        np.einsum("nc,nc->c", dy, xhat, out=self.scale.grad)
        dy.sum(axis=0, out=self.shift.grad)
        dxhat = dy * self.scale.data
        return (dxhat - xhat * (dxhat * xhat).mean(axis=1, keepdims=True)) * rstd

    norm: Any = specimen.model.norm
    norm.backward = MethodType(backward, norm)


def transposed(specimen: Specimen) -> None:
    """The gradient of one square matrix is transposed."""
    out: Any = specimen.model.blocks[1].attn.out
    right = out.backward

    def backward(dy: Any, x: Any) -> Any:
        dx = right(dy, x)
        out.weight.grad[...] = out.weight.grad.T.copy()
        return dx

    out.backward = backward


def no_residual(specimen: Specimen) -> None:
    """The last block passes no gradient along its second residual connection."""
    block: Any = specimen.model.blocks[1]

    def backward(dy: Any, cache: Any) -> Any:
        norm1, attn, norm2, ffn = cache
        da = block.norm2.backward(block.ffn.backward(dy, ffn), norm2)
        dx = block.norm1.backward(block.attn.backward(da, attn), norm1)
        return dx + da

    block.backward = backward


def zero_for_a_vector(specimen: Specimen) -> None:
    """One shift gets a gradient of 0."""
    norm: Any = specimen.model.blocks[0].norm2
    right = norm.backward

    def backward(dy: Any, cache: Any) -> Any:
        dx = right(dy, cache)
        norm.shift.grad[...] = 0
        return dx

    norm.backward = backward


def no_embedding(specimen: Specimen) -> None:
    """The tied table gets the gradient of the head only."""
    embed: Any = specimen.model.embed
    embed.backward = lambda dy, tokens: embed.weight.filled()


def never_zeroed(specimen: Specimen) -> None:
    """Each backward pass adds to the gradients of those before."""
    model: Any = specimen.model
    right, flat = model.loss_and_gradient, specimen.params.flat_grad

    def loss_and_gradient(*batch: Any) -> float:
        before = flat.copy()
        loss: float = right(*batch)
        flat[...] += before
        return loss

    model.loss_and_gradient = loss_and_gradient


def noisy(specimen: Specimen) -> None:
    """The loop adds noise to the gradient before the optimizer reads it."""
    optimizer: Any = specimen._optimizer
    right, rng = optimizer.step, np.random.default_rng(0)

    def step(lr: float) -> float:
        grad = specimen.params.flat_grad
        grad += rng.standard_normal(grad.size).astype(grad.dtype) * 1e-3
        norm: float = right(lr)
        return norm

    optimizer.step = step


@lru_cache(maxsize=16)
def trained(fault: Callable[[Specimen], None] | None = None) -> Record:
    specimen = build(SHORT)
    if fault is not None:
        fault(specimen)
    return watch(specimen)


@pytest.mark.parametrize(
    ("fault", "first_wrong"),
    [
        (no_mean_term, "blocks.1.ffn.down.weight"),
        (transposed, "blocks.1.attn.o.weight"),
        (no_residual, "blocks.1.attn.o.weight"),
        (zero_for_a_vector, "blocks.0.norm2.shift"),
        (no_embedding, "embed.weight"),
    ],
)
def test_a_wrong_backward_pass_is_found_at_its_first_wrong_tensor(
    fault: Callable[[Specimen], None], first_wrong: str
) -> None:
    """The errors of these faults are at least 2 % at some of the four steps with proofs."""
    record = trained(fault)
    findings = found(DETECTOR, record)
    assert {finding.symptom for finding in findings} == {"gradient-wrong"}
    assert first_wrong in {finding.site for finding in findings}
    assert max(finding.observed for finding in findings) > 0.02
    assert diagnose(record).cause == "wrong-gradient"


def test_gradients_that_are_not_zeroed_are_found_from_the_second_proof_on() -> None:
    """At step 0 there is nothing to accumulate."""
    record = trained(never_zeroed)
    assert [(f.symptom, f.step) for f in found(DETECTOR, record)] == [
        ("gradient-stale", step) for step in (2, 8, 15)
    ]
    assert diagnose(record).cause == "stale-gradient"


def test_a_gradient_that_is_changed_after_the_backward_pass_is_another_fault() -> None:
    """The backward pass itself is right."""
    findings = found(DETECTOR, trained(noisy))
    assert {finding.symptom for finding in findings} == {"gradient-replaced"}
    assert findings[0].step == 0


def test_it_stays_quiet_on_a_sound_run() -> None:
    """Every error is below a quarter of the limit."""
    record = trained()
    assert found(DETECTOR, record) == []
    _, errors = record.series("gradient_error", "used")
    assert len(errors) == 4
    assert errors.max() < 5e-4


@pytest.mark.parametrize(
    ("leaf", "value"), [("init_scale", 100.0), ("init_scale", 10.0), ("dtype", "float64")]
)
def test_it_stays_quiet_on_odd_models_with_a_right_gradient(leaf: str, value: Any) -> None:
    """Weights so large that every softmax is saturated, and double precision."""
    model = replace(SHORT.model, **{leaf: value})
    assert diagnose(watch(build(replace(SHORT, model=model)))).shows("gradient-wrong") is False


@pytest.mark.parametrize(("error", "symptoms"), [(0.0019, 0), (0.0021, 1)])
def test_errors_up_to_the_limit_are_no_finding(error: float, symptoms: int) -> None:
    """As shares of the gradient."""
    record = thorough(gradient_error={"used": [error] * 40, "fresh": [error] * 40})
    assert (len(found(DETECTOR, record)) > 0) == bool(symptoms)


def test_it_says_why_it_cannot_judge() -> None:
    """A log has no proofs."""
    assert why_not(DETECTOR, hand_made({"loss": [1.0]})) == "gradient_error was not recorded"
