"""Largest singular value of a matrix by power iteration, warm-started from the last time the matrix
was seen.

A block of vectors is iterated rather than one (Halko, Martinsson and Tropp 2011): the warm ones
keep up with a matrix that moves a little, the fresh random ones find a direction that has overtaken
them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
"""Relative change of the estimate at which the iteration stops; random matrices then agree with SVD
within 1 %."""
MAX_ITERATIONS = 100
"""A bound for matrices whose leading singular values are all but equal; there the estimate is right
long before."""
WARM, FRESH = 2, 2


class SpectralNorm:
    """Keeps the leading right singular vectors of each named matrix. The estimate never exceeds the
    true value."""

    def __init__(self) -> None:
        self._vectors: dict[str, npt.NDArray[np.float64]] = {}
        self._rng = np.random.default_rng(0)

    def __call__(self, name: str, matrix: npt.NDArray[Any]) -> float:
        """Estimate for `matrix` [m, n]; NaN when it holds a value that is not finite, 0 when it is
        zero."""
        largest = float(np.abs(matrix).max(initial=0.0))
        if largest == 0 or not np.isfinite(largest):
            return 0.0 if largest == 0 else float("nan")
        wide = np.divide(
            matrix, largest, dtype=np.float64
        )  # so that no square overflows or vanishes
        fresh = self._rng.standard_normal(
            (wide.shape[1], FRESH if name in self._vectors else WARM + FRESH)
        )
        block = np.hstack([self._vectors[name], fresh]) if name in self._vectors else fresh
        sigma = 0.0
        for _ in range(MAX_ITERATIONS):
            block = np.linalg.qr(block)[0]  # [n, k]
            image = wide @ block
            squares, turn = np.linalg.eigh(image.T @ image)  # ascending
            self._vectors[name] = block @ turn[:, -WARM:]
            previous, sigma = sigma, float(np.sqrt(squares[-1]))
            if abs(sigma - previous) <= TOLERANCE * sigma:
                break
            block = wide.T @ (
                wide @ (wide.T @ image)
            )  # two powers at a time: making a basis costs more than a product
        return sigma * largest
