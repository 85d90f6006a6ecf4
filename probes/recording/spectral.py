"""Largest singular value of a matrix by power iteration, which starts from the singular vectors
that it found the last time.

It iterates a block of vectors rather than one (Halko, Martinsson and Tropp 2011). The warm vectors
follow a matrix that changes a little; the fresh random ones find a direction that has become larger
than theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
"""Relative change of the estimate at which the iteration stops. For random matrices the estimate is
then within 1 % of the SVD's."""
MAX_ITERATIONS = 100
"""A bound for matrices whose leading singular values are almost equal. Their estimate is right long
before."""
WARM, FRESH = 2, 2
"""Vectors in a block: kept from the last time, and drawn anew."""


class SpectralNorm:
    """Keeps the leading right singular vectors of each named matrix. The estimate never exceeds the
    true value."""

    def __init__(self) -> None:
        self._vectors: dict[str, npt.NDArray[np.float64]] = {}
        self._rng = np.random.default_rng(0)

    def __call__(self, name: str, matrix: npt.NDArray[Any]) -> float:
        """Estimate for `matrix` [m, n], called `name`; NaN when it holds a value that is not
        finite, 0 when all values are 0."""
        largest = float(np.abs(matrix).max(initial=0.0))
        if largest == 0 or not np.isfinite(largest):
            return 0.0 if largest == 0 else float("nan")
        # Scaled, so that no square overflows or underflows.
        wide = np.divide(matrix, largest, dtype=np.float64)
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
            # Two powers at a time, because an orthonormal basis costs more than a product.
            block = wide.T @ (wide @ (wide.T @ image))
        return sigma * largest
