"""Power iteration against the singular value decomposition."""

from dataclasses import replace

import numpy as np
import pytest

from model import HEALTHY, build
from probes.recording.spectral import MAX_ITERATIONS, SpectralNorm


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(64, 64), (256, 64), (64, 256), (1, 7), (7, 1)])
def test_estimate_agrees_with_svd_within_one_percent_and_never_exceeds_it(shape, seed):
    """A random matrix has a small gap between its first two singular values: the hard case."""
    matrix = np.random.default_rng(seed).standard_normal(shape)
    exact = np.linalg.svd(matrix, compute_uv=False)[0]
    estimate = SpectralNorm()("w", matrix)
    assert 0.99 * exact <= estimate <= exact * (1 + 1e-12)


def test_every_matrix_of_the_specimen_agrees_with_svd_along_a_run():
    """The estimate starts from the last one and follows weights that change."""
    norm = SpectralNorm()
    for step in build(replace(HEALTHY, steps=41, eval_every=41)).steps():
        if step.index % 10 == 0:
            for name, matrix in step.params.items():
                if matrix.ndim == 2:
                    assert norm(name, matrix) == pytest.approx(
                        np.linalg.svd(matrix, compute_uv=False)[0], rel=0.01
                    )


def test_warm_start_needs_fewer_iterations_than_a_cold_one(monkeypatch):
    """The second estimate takes two: one for the value, and one to see that it no longer
    changes."""
    matrix, norm, counts = np.random.default_rng(0).standard_normal((64, 64)), SpectralNorm(), []
    qr = np.linalg.qr
    for _ in range(2):
        rounds = []
        monkeypatch.setattr(
            np.linalg, "qr", lambda block, rounds=rounds: (rounds.append(1), qr(block))[1]
        )
        norm("w", matrix)
        counts.append(len(rounds))
    assert counts[1] == 2 < counts[0] <= MAX_ITERATIONS


def test_direction_that_was_zero_is_found_when_it_grows():
    """The warm vectors point where the matrix has become zero."""
    norm = SpectralNorm()
    norm("w", np.diag([3.0, 2.0, 0.0, 0.0, 0.0, 0.0]))
    assert norm("w", np.diag([0.0, 0.0, 0.0, 0.0, 0.0, 5.0])) == pytest.approx(5.0, rel=0.01)


def test_second_singular_value_is_found_when_it_overtakes_the_first():
    """Over thirty evaluations one direction shrinks and another grows."""
    norm, left, right = (
        SpectralNorm(),
        *(np.linalg.qr(np.random.default_rng(s).standard_normal((64, 64)))[0] for s in (0, 1)),
    )
    for t in np.linspace(0, 1, 30):
        values = np.r_[3 - 2 * t, 1 + 3 * t, np.full(62, 0.5)]
        assert norm("w", left * values @ right) == pytest.approx(max(values), rel=0.01)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_scale_of_a_float32_matrix_does_not_matter(scale):
    """Squares of such values overflow or underflow in float32."""
    matrix = np.random.default_rng(0).standard_normal((64, 32))
    exact = np.linalg.svd(matrix, compute_uv=False)[0] * scale
    assert SpectralNorm()("w", (matrix * scale).astype(np.float32)) == pytest.approx(
        exact, rel=0.01
    )


def test_zero_matrix_has_norm_zero():
    """The matrix is not divided by its largest value, which is 0."""
    assert SpectralNorm()("w", np.zeros((3, 4))) == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_matrix_that_is_not_finite_has_a_norm_of_nan(value):
    """The warm start is not spoilt: the next finite matrix has its norm."""
    norm, good = SpectralNorm(), np.diag([3.0, 1.0])
    bad = good.copy()
    bad[0, 0] = value
    assert np.isnan(norm("w", bad))
    assert norm("w", good) == pytest.approx(3.0, rel=0.01)
