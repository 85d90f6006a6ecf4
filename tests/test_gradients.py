"""Every hand-written backward pass against finite differences, in float64, one parameter tensor at
a time."""

import numpy as np
import pytest

from model import HEALTHY, build
from model.config import change
from model.gpt import param_shapes
from model.layers import LayerNorm

ROWS = np.array([0, 3, 200, 201, 555])  # of unequal length, so that padding is there to go wrong
STEP = 1e-5
TOLERANCE = 1e-6
MASKS = ("causal", "all-ones")


@pytest.fixture(scope="module", params=MASKS)
def specimen(request):
    config = change(
        change(HEALTHY, "model.dtype", "float64"), "model.attention_mask", request.param
    )
    specimen = build(config)
    rng = np.random.default_rng(0)
    for name, view in specimen.params.views(specimen.params.flat).items():
        if view.ndim == 1:  # away from 0 and 1, where a forgotten bias or scale would not show
            view[...] += 0.1 * rng.standard_normal(view.shape) + (
                0 if name.endswith("scale") else 0.05
            )
    return specimen


def relative_error(specimen, name):
    """Difference between the projected gradient and the finite difference, divided by their size,
    along one random direction of one tensor."""
    view = specimen.params.views(specimen.params.flat)[name]
    direction = np.random.default_rng(1).standard_normal(view.shape)
    start = view.copy()
    specimen.gradient_at(ROWS)
    analytic = float(np.vdot(specimen.params[name].grad, direction))
    losses = []
    for sign in (1, -1):
        view[...] = start + sign * STEP * direction
        losses.append(specimen.gradient_at(ROWS))
    view[...] = start
    numeric = (losses[0] - losses[1]) / (2 * STEP)
    print(f"{name:28} analytic {analytic:+.10e} numeric {numeric:+.10e}")
    return abs(analytic - numeric) / max(abs(analytic), abs(numeric))


@pytest.mark.parametrize("name", list(param_shapes(HEALTHY.model)))
def test_gradient_of_every_tensor_agrees_with_finite_differences(specimen, name):
    """A wrong backward pass may train well, so no loss curve replaces this check."""
    assert relative_error(specimen, name) <= TOLERANCE


def test_check_finds_a_layernorm_backward_without_its_mean_and_projection_terms(
    specimen, monkeypatch
):
    """No loss curve shows this fault. For parameters upstream of the layer norm, the check fails by
    far more than its tolerance."""

    def wrong(self, dy, cache):
        self.scale.grad[...] = (dy * cache.xhat).sum(axis=0)
        self.shift.grad[...] = dy.sum(axis=0)
        return dy * self.scale.data * cache.rstd

    monkeypatch.setattr(LayerNorm, "backward", wrong)
    assert relative_error(specimen, "embed.weight") > 0.01
