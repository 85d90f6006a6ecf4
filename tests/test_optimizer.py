"""AdamW, the schedule and clipping, compared with their formulas."""

from dataclasses import replace

import numpy as np
import pytest

from model import HEALTHY
from model.config import Optimizer
from model.optimizer import AdamW, global_norm, learning_rate
from model.params import Params

OPTIMIZER = Optimizer(lr_max=0.02, warmup_steps=15)


def test_warmup_rises_linearly_to_the_peak():
    """lr(s) = lr_max (s + 1) / warmup_steps."""
    rates = [learning_rate(s, 120, OPTIMIZER) for s in range(15)]
    assert rates == pytest.approx([0.02 * (s + 1) / 15 for s in range(15)])


def test_cosine_starts_at_the_peak_and_ends_at_a_tenth_of_it():
    """The last step of the run has exactly the minimum."""
    assert learning_rate(15, 120, OPTIMIZER) == pytest.approx(0.02)
    assert learning_rate(119, 120, OPTIMIZER) == pytest.approx(0.002)


def test_cosine_is_half_way_down_in_the_middle():
    """In the middle of the decay the rate is in the middle between peak and minimum."""
    assert learning_rate(15 + 52, 120, OPTIMIZER) == pytest.approx(0.011)


def test_without_warmup_the_first_step_has_the_peak_rate():
    """The cosine is the same as with a warmup."""
    cold = replace(OPTIMIZER, warmup_steps=0)
    assert learning_rate(0, 120, cold) == pytest.approx(0.02)
    assert learning_rate(119, 120, cold) == pytest.approx(0.002)


def reference_adamw(weight, grads, optimizer, lr, decay):
    """AdamW in float64, one line per formula."""
    m = v = np.zeros_like(weight)
    for count, grad in enumerate(grads, start=1):
        g = grad * min(1.0, optimizer.clip_norm / np.linalg.norm(grad))
        m = optimizer.beta1 * m + (1 - optimizer.beta1) * g
        v = optimizer.beta2 * v + (1 - optimizer.beta2) * g**2
        m_hat, v_hat = m / (1 - optimizer.beta1**count), v / (1 - optimizer.beta2**count)
        weight = weight - lr * (m_hat / (np.sqrt(v_hat) + optimizer.eps) + decay * weight)
    return weight


@pytest.mark.parametrize(
    ("shape", "decay"), [((6, 4), HEALTHY.optimizer.weight_decay), ((24,), 0.0)]
)
@pytest.mark.parametrize("size", [0.01, 10.0], ids=["unclipped", "clipped"])
def test_adamw_follows_its_formulas(shape, decay, size):
    """Five steps, with and without clipping. A matrix decays, a vector does not."""
    rng = np.random.default_rng(0)
    params = Params({"w": shape}, "float64")
    params.flat[...] = rng.standard_normal(24)
    grads = size * rng.standard_normal((5, 24))
    expected = reference_adamw(params.flat.copy(), grads, OPTIMIZER, 0.02, decay)
    adamw = AdamW(params, OPTIMIZER)
    for grad in grads:
        params.flat_grad[...] = grad
        adamw.step(0.02)
    np.testing.assert_allclose(params.flat, expected, rtol=1e-12)


def test_reported_norm_is_the_one_before_clipping():
    """A norm of 50 is reported as 50, although it is clipped."""
    params = Params({"w": (25,)}, "float64")
    params.flat_grad[...] = 10.0
    assert AdamW(params, OPTIMIZER).step(0.02) == pytest.approx(50.0)


def test_update_is_what_was_added_to_the_parameters():
    """The signal update_weight_ratio depends on it."""
    params = Params({"w": (5, 5)}, "float64")
    params.flat[...] = 1.0
    params.flat_grad[...] = np.linspace(-1, 1, 25)
    before = params.flat.copy()
    adamw = AdamW(params, OPTIMIZER)
    adamw.step(0.02)
    np.testing.assert_allclose(adamw.update, params.flat - before, atol=1e-15)


def test_norm_of_a_gradient_whose_square_overflows_float32_is_finite():
    """The square of 1e25 does not fit float32; the norm of this gradient is 2e25."""
    assert global_norm(np.full(4, 1e25, np.float32)) == pytest.approx(2e25)


@pytest.mark.parametrize(("value", "expected"), [(np.nan, np.isnan), (np.inf, np.isposinf)])
def test_norm_of_a_gradient_that_is_not_finite_is_not_finite(value, expected):
    """Arithmetic in float64 does not hide it."""
    assert expected(global_norm(np.array([1.0, value], np.float32)))


def test_zero_gradient_does_not_change_a_vector():
    """The optimizer does not divide by a norm of zero."""
    params = Params({"b": (3,)}, "float64")
    params.flat[...] = 1.0
    AdamW(params, OPTIMIZER).step(0.02)
    assert params.flat.tolist() == [1.0, 1.0, 1.0]


def test_norm_of_a_gradient_whose_square_underflows_in_float32_is_not_zero():
    """The square of 1e-25 is 0 in float32."""
    assert global_norm(np.full(100, 1e-25, np.float32)) == pytest.approx(1e-24)
