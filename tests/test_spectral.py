"""Power iteration against the singular value decomposition."""

from dataclasses import replace

import numpy as np
import pytest

from model import HEALTHY, build
from probes.spectral import MAX_ITERATIONS, SpectralNorm


class CountingMatrix(np.ndarray):
    """Counts the products taken with it."""

    products = 0

    def __matmul__(self, other):
        CountingMatrix.products += 1
        return np.asarray(self) @ other


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(64, 64), (256, 64), (64, 256), (1, 7), (7, 1)])
def test_estimate_agrees_with_svd_within_one_percent_and_never_exceeds_it(shape, seed):
    """A random matrix has a small gap between its first two singular values: the hard case."""
    matrix = np.random.default_rng(seed).standard_normal(shape)
    exact = np.linalg.svd(matrix, compute_uv=False)[0]
    estimate = SpectralNorm()("w", matrix)
    assert 0.99 * exact <= estimate <= exact * (1 + 1e-12)


def test_every_matrix_of_the_specimen_agrees_with_svd_along_a_run():
    """Warm starts keep up with weights that move."""
    norm = SpectralNorm()
    for step in build(replace(HEALTHY, eval_every=HEALTHY.steps)).steps():
        if step.index % 10 == 0:
            for name, matrix in step.params.items():
                if matrix.ndim == 2:
                    assert norm(name, matrix) == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[0], rel=0.01)


def test_warm_start_needs_fewer_products_than_a_cold_one():
    """The second look takes two rounds, of two products each: one to see the value, one to see that it stays."""
    matrix = np.random.default_rng(0).standard_normal((64, 64)).view(CountingMatrix)
    norm, counts = SpectralNorm(), []
    for _ in range(2):
        CountingMatrix.products = 0
        norm("w", matrix)
        counts.append(CountingMatrix.products)
    assert counts[1] == 4 < counts[0] <= 2 * MAX_ITERATIONS


def test_zero_matrix_has_norm_zero():
    """No division by a zero length."""
    assert SpectralNorm()("w", np.zeros((3, 4))) == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_matrix_that_is_not_finite_has_no_norm_and_recovers_afterwards(value):
    """NaN while it lasts; the warm start is not spoilt."""
    norm, good = SpectralNorm(), np.diag([3.0, 1.0])
    bad = good.copy()
    bad[0, 0] = value
    assert np.isnan(norm("w", bad))
    assert norm("w", good) == pytest.approx(3.0, rel=0.01)
