"""The PyTorch step that ours is timed against computes the same as ours."""

from dataclasses import replace

import numpy as np
import pytest

from bench.rows import ROW_LENGTHS
from model import HEALTHY, build
from model.config import change

pytest.importorskip(
    "torch", reason="PyTorch is not installed here; `make parity` installs it and runs this"
)

from bench.peer import Peer

STEPS = 6
TOLERANCE = 1e-5
"""torch clips by clip_norm / (norm + 1e-6)."""


@pytest.fixture(scope="module")
def run():
    """Losses and gradient norms [STEPS, 2] of both steps, in float64, from the same weights."""
    config = replace(change(HEALTHY, "model.dtype", "float64"), eval_every=HEALTHY.steps)
    specimen = build(config)
    specimen.params.flat += 0.05 * np.random.default_rng(0).standard_normal(
        specimen.params.flat.shape
    )
    peer = Peer(
        config,
        {name: param.data for name, param in specimen.params.items()},
        int(ROW_LENGTHS.max()),
    )
    ours, theirs = [], []
    for step in zip(range(STEPS), specimen.steps(), strict=False):
        _, taken = step
        ours.append((taken.loss, taken.grad_norm))
        theirs.append(peer.step(*peer.inputs(taken.batch_ids), taken.lr))
    return np.array(ours), np.array(theirs)


def test_the_first_losses_are_equal(run):
    """Both implementations have the same first losses, up to rounding."""
    ours, theirs = run
    assert theirs[0, 0] == pytest.approx(ours[0, 0], rel=1e-12)


def test_the_first_gradient_norms_are_equal(run):
    """Both implementations have the same first gradient norms before clipping."""
    ours, theirs = run
    assert theirs[0, 1] == pytest.approx(ours[0, 1], rel=1e-10)


def test_clipping_and_updates_are_equal(run):
    """Later losses and norms depend on all earlier updates, and some norms were clipped."""
    ours, theirs = run
    assert (ours[:, 1] > HEALTHY.optimizer.clip_norm).any()
    np.testing.assert_allclose(theirs, ours, rtol=TOLERANCE)
